package binarization_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/binarization"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/internal/testkit/calibrate"
	"github.com/go-nncf/nncf/internal/testkit/gradcheck"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/zoo"
)

// build makes a network of package zoo.
func build(t *testing.T, name string, o zoo.Options) *ir.Graph {
	t.Helper()
	g, err := zoo.Build(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func epochs(activations, weights int) compress.Stages {
	return compress.Stages{Activations: &activations, Weights: &weights}
}

// The original implementation's stages, epoch by epoch.
func TestGolden_Stages(t *testing.T) {
	for name, steps := range golden(t).Staged {
		t.Run(name, func(t *testing.T) {
			var a, w int
			if _, err := fmt.Sscanf(name, "activations %d weights %d", &a, &w); err != nil {
				t.Fatal(err)
			}
			g := load(t, testkit.Shared(t, "data", "nncf-goldens", "models", "resnet_basic.onnx"))
			c := apply(t, g, binarization.Options{Params: epochs(a, w)})
			for i, s := range steps {
				if i > 0 {
					c.EpochStep()
				}
				activations, weights := 0, 0
				for _, n := range g.Nodes() {
					switch o := n.Op.(type) {
					case op.BinarizeActivation:
						if !o.Off {
							activations++
						}
					case op.BinarizeWeight:
						if !o.Off {
							weights++
						}
					}
				}
				if activations != s.Activations || weights != s.Weights {
					t.Errorf("%s: got %d activations and %d weights on, want %d and %d", s.When, activations, weights, s.Activations, s.Weights)
				}
				// The original tells stage 0 until the first epoch, whatever is on.
				if got := fmt.Sprint(int(c.Stage())); s.When != "start" && got != s.Stage {
					t.Errorf("%s: got stage %s, want %s", s.When, got, s.Stage)
				}
			}
		})
	}
}

// Until it is switched on, a binarized network computes what the float one does.
func TestApply_FloatStage(t *testing.T) {
	g := build(t, "resnet20", zoo.Options{})
	float := g.Clone()
	apply(t, g, binarization.Options{Scopes: compress.Scopes{Ignored: compress.Entries{"ResNet/Conv2d[conv1]"}}})
	x := gradcheck.Rand(1, 1, 3, 32, 32)
	var got []*tensor.Tensor
	for _, m := range []*ir.Graph{float, g} {
		data := func(yield func([]*tensor.Tensor, error) bool) { yield([]*tensor.Tensor{x}, nil) }
		if err := (calibrate.Runner{}).Run(t.Context(), m, m.Outputs, data, func(y []*tensor.Tensor) error { got = append(got, y[0].Clone()); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got[0].F32(), got[1].F32()) {
		t.Errorf("got %v, want %v", got[1].F32(), got[0].F32())
	}
}

// ResNet-18 with the ignored scopes of the original's configurations: 92.4 % of
// its multiply-accumulates are binary, each layer counted once.
func TestSetup_Share(t *testing.T) {
	g := build(t, "resnet18", zoo.Options{})
	s, err := binarization.New(binarization.Options{Scopes: compress.Scopes{Ignored: compress.Entries{
		"ResNet/Linear[fc]", "ResNet/Conv2d[conv1]", "ResNet/Sequential[layer2]/BasicBlock[0]/Sequential[downsample]",
		"ResNet/Sequential[layer3]/BasicBlock[0]/Sequential[downsample]", "ResNet/Sequential[layer4]/BasicBlock[0]/Sequential[downsample]"}}}).Setup(g)
	if err != nil {
		t.Fatal(err)
	}
	binary, all := s.(*binarization.Setup).Share()
	if binary != 1676279808 || all != 1814073344 {
		t.Errorf("got %d of %d MACs binary, want 1676279808 of 1814073344", binary, all)
	}
}

// What is left out says why; nothing to binarize, unknown scopes and bad options
// are errors, all together.
func TestSetup_Reasons(t *testing.T) {
	g := build(t, "resnet20", zoo.Options{})
	s, err := binarization.New(binarization.Options{Scopes: compress.Scopes{Ignored: compress.Entries{"ResNet/Conv2d[conv1]"}}}).Setup(g)
	if err != nil {
		t.Fatal(err)
	}
	var why []string
	for _, l := range s.(*binarization.Setup).Float {
		why = append(why, l.Weight+": "+l.Why)
	}
	want := []string{"conv1.weight: ignored scope", "linear.weight: only 2-D convolutions are binarized"}
	if !slices.Equal(why, want) {
		t.Errorf("got %q, want %q", why, want)
	}
	minus := -1
	for _, c := range []struct {
		o    binarization.Options
		want string
	}{
		{binarization.Options{Scopes: compress.Scopes{Ignored: compress.Entries{"{re}conv"}}}, "nothing"},
		{binarization.Options{Scopes: compress.Scopes{Ignored: compress.Entries{"ResNet/Conv2d[conv7]"}}}, "conv7"},
		{binarization.Options{Mode: "bnn"}, `got "bnn", want xnor or dorefa`},
		{binarization.Options{Params: compress.Stages{Weights: &minus}}, "weights_quant_start_epoch: got -1"},
		{binarization.Options{Initializer: binarization.Initializer{Range: json.RawMessage(`{"type":"min_max"}`)}}, "initializer.range"},
	} {
		_, err := binarization.New(c.o).Setup(g)
		if c.want == "nothing" {
			c.want = "no 2-D convolution to binarize"
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.o, err, c.want)
		}
	}
}

// A stage begins with data: scales, then batch normalization. State and setup
// restore it.
func TestController_Stage(t *testing.T) {
	o := binarization.Options{Params: epochs(1, 2), Initializer: binarization.Initializer{}}
	path := testkit.Shared(t, "data", "nncf-goldens", "models", "resnet_basic.onnx")
	g := load(t, path)
	c := apply(t, g, o)
	cal := calibrate.Samples(images(t), 8)
	var changes []bool
	for range 4 {
		c.EpochStep()
		changed, err := c.BeginEpoch(t.Context(), calibrate.Runner{}, cal)
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, changed)
	}
	if want := []bool{false, true, true, false}; !slices.Equal(changes, want) {
		t.Errorf("got changes %v, want %v", changes, want)
	}
	for _, l := range c.Setup().Layers {
		if v := g.Value(l.Value + "/binarizer/log_scale").Data.F32()[0]; v == 0 {
			t.Errorf("%s: scale is not initialised", l.Node)
		}
	}
	raw, err := json.Marshal(c.Setup())
	if err != nil {
		t.Fatal(err)
	}
	s, err := binarization.Restore(raw)
	if err != nil {
		t.Fatal(err)
	}
	g2 := load(t, path)
	k, err := s.Apply(g2, nil)
	if err != nil {
		t.Fatal(err)
	}
	state, err := c.State()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.LoadState(state); err != nil {
		t.Fatal(err)
	}
	a, err := ir.Print(g)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ir.Print(g2)
	if err != nil {
		t.Fatal(err)
	}
	strip := func(s string) string { // tensors differ, nodes must not
		var out []string
		for l := range strings.Lines(s) {
			if !strings.HasPrefix(l, "param") && !strings.HasPrefix(l, "state") {
				out = append(out, l)
			}
		}
		return strings.Join(out, "")
	}
	if strip(a) != strip(b) {
		t.Error("restored graph differs")
	}
	if k.Stage() != compress.FullyCompressed {
		t.Errorf("got stage %v", k.Stage())
	}
}

// Without data a stage that needs them cannot begin.
func TestController_NoData(t *testing.T) {
	g := build(t, "resnet20", zoo.Options{})
	c := apply(t, g, binarization.Options{})
	c.EpochStep()
	c.EpochStep()
	if _, err := c.BeginEpoch(t.Context(), calibrate.Runner{}, compress.Calibration{}); err == nil || !strings.Contains(err.Error(), "no calibration data") {
		t.Errorf("got %v", err)
	}
}

// The selection is that of sorting, whatever the values.
func TestKthLargest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		x := make([]float32, 1+rng.IntN(300))
		for i := range x {
			x[i] = float32(rng.NormFloat64())
			switch rng.IntN(8) {
			case 0:
				x[i] = 0
			case 1:
				x[i] = float32(math.Copysign(0, -1))
			case 2:
				x[i] = x[0]
			}
		}
		sorted := slices.Clone(x)
		slices.Sort(sorted)
		k := 1 + rng.IntN(len(x))
		if got, want := binarization.KthLargest(x, k), sorted[len(x)-k]; got != want {
			t.Fatalf("%d-th largest of %v: got %v, want %v", k, x, got, want)
		}
	}
}
