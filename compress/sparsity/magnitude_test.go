package sparsity_test

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/compress/sparsity"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine/native"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
	"github.com/go-nncf/nncf/zoo"
)

func resnet(t testing.TB) *ir.Graph {
	t.Helper()
	g, err := zoo.Build("resnet8_cifar", zoo.Options{Width: 8, Size: 8, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func bits(g *ir.Graph, weight string) []uint8 {
	return tensor.Data[uint8](g.Value(weight + "/mask").Data)
}

// Of every M weights along the input channels exactly N are kept, the largest,
// and a group that is not whole stays dense.
func TestPattern_NofM(t *testing.T) {
	g := resnet(t)
	c := apply(t, g, sparsity.MagnitudeOptions{Params: sparsity.MagnitudeParams{Pattern: "2:4"}})
	if c.Target() != 0.5 {
		t.Errorf("got target %g, want that of the pattern", c.Target())
	}
	if err := c.SetLevel(0.5); err != nil {
		t.Fatal(err)
	}
	groups := 0
	for _, r := range c.Report() {
		w, m := g.Value(r.Weight).Data, bits(g, r.Weight)
		s := w.Shape()
		if s[1]%4 != 0 { // the first layer has three channels
			if r.Zeros != 0 {
				t.Errorf("%s %v: got %d zeros", r.Weight, s, r.Zeros)
			}
			continue
		}
		inner := s[2:].Numel()
		for o := range s[0] {
			for c0 := 0; c0 < s[1]; c0 += 4 {
				for i := range inner {
					kept, least, most := 0, math.Inf(1), 0.0
					for k := range 4 {
						at := (o*s[1]+c0+k)*inner + i
						v := math.Abs(float64(w.F32()[at]))
						if m[at] != 0 {
							kept++
							least = min(least, v)
						} else {
							most = max(most, v)
						}
					}
					if kept != 2 || least < most {
						t.Fatalf("%s: a group keeps %d, the least of %g, and drops %g", r.Weight, kept, least, most)
					}
					groups++
				}
			}
		}
	}
	if groups < 1000 {
		t.Errorf("saw %d groups", groups)
	}
	o := sparsity.MagnitudeOptions{Params: sparsity.MagnitudeParams{Pattern: "2:4", Params: sparsity.Params{Target: new(0.6)}}}
	if err := o.Validate(); err == nil || !strings.Contains(err.Error(), "0.5") {
		t.Errorf("a level above that of the pattern: got %v", err)
	}
}

// Blocks are zero or kept as a whole, those of the least mean importance go.
func TestPattern_Blocks(t *testing.T) {
	g := resnet(t)
	c := apply(t, g, sparsity.MagnitudeOptions{Params: sparsity.MagnitudeParams{Pattern: "4x2", Importance: "abs", Params: sparsity.Params{Mode: "local"}}})
	if err := c.SetLevel(0.5); err != nil {
		t.Fatal(err)
	}
	for _, r := range c.Report() {
		w, m := g.Value(r.Weight).Data, bits(g, r.Weight)
		s := w.Shape()
		inner := s[2:].Numel()
		worst, best := 0.0, math.Inf(1) // of dropped and of kept blocks
		for o := 0; o < s[0]; o += 4 {
			for k := 0; k < s[1]; k += 2 {
				for i := range inner {
					sum, n, ones := 0.0, 0, 0
					for a := o; a < min(s[0], o+4); a++ {
						for b := k; b < min(s[1], k+2); b++ {
							at := (a*s[1]+b)*inner + i
							sum += math.Abs(float64(w.F32()[at]))
							n++
							ones += int(m[at])
						}
					}
					switch mean := sum / float64(n); ones {
					case 0:
						worst = max(worst, mean)
					case n:
						best = min(best, mean)
					default:
						t.Fatalf("%s: a block keeps %d of %d", r.Weight, ones, n)
					}
				}
			}
		}
		if worst > best*(1+1e-6) || math.Abs(r.Level-0.5) > 0.1 {
			t.Errorf("%s: level %g, the most important dropped block has %g, the least kept one %g", r.Weight, r.Level, worst, best)
		}
	}
}

func TestParsePattern(t *testing.T) {
	for _, s := range []string{"2", "4:2", "2:2", "0x1", "-1:4", "2:4:8", "axb", "9999:99999"} {
		if p, err := sparsity.ParsePattern(s); err == nil {
			t.Errorf("%q: got %v", s, p)
		}
	}
	for _, s := range []string{"", "2:4", "1:8", "4x1", "16x16"} {
		if p, err := sparsity.ParsePattern(s); err != nil || p.String() != s {
			t.Errorf("%q: got %q, %v", s, p, err)
		}
	}
}

// Levels are set by hand, for all layers, for some, and by the configuration.
func TestMagnitude_Levels(t *testing.T) {
	g := resnet(t)
	o := sparsity.MagnitudeOptions{Params: sparsity.MagnitudeParams{Params: sparsity.Params{Target: new(0.4), TargetEpoch: new(2), Power: new(1.0)}},
		ScopeOverrides: sparsity.Overrides{{Scope: "{re}conv1", Target: new(0.2)}}}
	c := apply(t, g, o)
	level := func(weight string) float64 {
		for _, r := range c.Report() {
			if r.Weight == weight {
				return r.Level
			}
		}
		t.Fatalf("no layer %s", weight)
		return 0
	}
	near := func(got, want float64) bool { return math.Abs(got-want) < 0.02 }
	c.EpochStep()
	if c.Reached() != 0 || c.Stage() != compress.Uncompressed {
		t.Errorf("epoch 0: got %g and stage %v", c.Reached(), c.Stage())
	}
	c.EpochStep() // half way
	if got := level("conv1.weight"); !near(got, 0.1) || !near(c.Level(), 0.2) || c.Stage() != compress.PartiallyCompressed {
		t.Errorf("epoch 1: got level %g of conv1, stage %v", got, c.Stage())
	}
	if err := c.SetSparsityLevel(0.9, "linear"); err != nil {
		t.Fatal(err)
	}
	c.EpochStep()
	if a, b := level("conv1.weight"), level("linear.weight"); !near(a, 0.2) || !near(b, 0.9) || c.Stage() != compress.FullyCompressed {
		t.Errorf("epoch 2: got levels %g of conv1 and %g of fc, stage %v", a, b, c.Stage())
	}
	if err := c.SetSparsityLevel(0.7, ""); err != nil {
		t.Fatal(err)
	}
	c.EpochStep()
	if c.Level() != 0.7 || level("linear.weight") < 0.88 {
		t.Errorf("by hand: got level %g, fc %g", c.Level(), level("linear.weight"))
	}
	for _, bad := range []float64{-0.1, 1, math.NaN()} {
		if c.SetLevel(bad) == nil || c.SetSparsityLevel(bad, "linear") == nil {
			t.Errorf("level %g: got no error", bad)
		}
	}
	if c.SetSparsityLevel(0.5, "nosuch") == nil {
		t.Error("got no error for a scope without layers")
	}
	o.ScopeOverrides[0].Scope = "nosuch"
	if _, err := sparsity.NewMagnitude(o).Setup(resnet(t)); err == nil || !strings.Contains(err.Error(), "nearest") {
		t.Errorf("got %v", err)
	}
}

// Frozen masks stay, whatever becomes of the weights; until then they follow.
func TestMagnitude_Freeze(t *testing.T) {
	g := resnet(t)
	c := apply(t, g, sparsity.MagnitudeOptions{Params: sparsity.MagnitudeParams{
		Params: sparsity.Params{Schedule: "multistep", Steps: []int{}, Levels: []float64{0.5}, FreezeEpoch: new(1)}, MaskUpdateSteps: 1}})
	mask := func() string { return string(bits(g, "conv1.weight")) }
	disturb := func() {
		for i := range g.Value("conv1.weight").Data.F32() {
			g.Value("conv1.weight").Data.F32()[i] *= float32(1 + i%3)
		}
	}
	first := mask()
	c.EpochStep()
	disturb()
	c.Step()
	if mask() == first {
		t.Error("the mask does not follow the weights")
	}
	c.EpochStep()
	frozen := mask()
	disturb()
	c.Step()
	c.EpochStep()
	if mask() != frozen {
		t.Error("the frozen mask has changed")
	}
	raw, err := c.State()
	if err != nil {
		t.Fatal(err)
	}
	d := apply(t, resnet(t), sparsity.MagnitudeOptions{})
	if err := d.LoadState(raw); err == nil { // of another schedule
		t.Log("a state without adaptive parts fits every schedule")
	}
	for _, bad := range []string{"", "{", `{"schedule": {"level": 2}}`, `{"nosuch": 1}`} {
		if d.LoadState(json.RawMessage(bad)) == nil {
			t.Errorf("state %q: got no error", bad)
		}
	}
}

// Masked weights learn only if their gradient passes through.
func TestMagnitude_StraightThrough(t *testing.T) {
	for _, straight := range []bool{false, true} {
		g := resnet(t)
		c := apply(t, g, sparsity.MagnitudeOptions{Init: new(0.5), Params: sparsity.MagnitudeParams{Straight: new(straight)}})
		tr, err := train.New(g, native.Backend{}, train.Options{Schedule: train.ScheduleOptions{LR: 0.1}, Threads: 1}, c)
		if err != nil {
			t.Fatal(err)
		}
		x := tensor.New(tensor.Float32, 8, 3, 8, 8)
		for i := range x.F32() {
			x.F32()[i] = float32(math.Sin(float64(i)))
		}
		w := g.Value("conv1.weight").Data.F32()
		before := append([]float32(nil), w...)
		if _, err := tr.StepTensors(t.Context(), x, tensor.New(tensor.Int64, 8), 0); err != nil {
			t.Fatal(err)
		}
		if err := tr.Close(); err != nil {
			t.Fatal(err)
		}
		moved := map[uint8]int{}
		for i, k := range bits(g, "conv1.weight") {
			if w[i] != before[i] {
				moved[k]++
			}
		}
		if moved[1] == 0 || (moved[0] > 0) != straight {
			t.Errorf("straight through %t: %d masked weights have moved, %d others", straight, moved[0], moved[1])
		}
		y := eval(t, g, "conv1.weight/masked").F32()
		for i, k := range bits(g, "conv1.weight") {
			if k == 0 && y[i] != 0 {
				t.Fatalf("element %d is masked and read as %g", i, y[i])
			}
		}
	}
}

// A weight gets its mask before its quantizer, whatever the order of algorithms,
// and masked weights are zero in what the quantizer gives.
func TestStack_Quantization(t *testing.T) {
	for _, swap := range []bool{false, true} {
		g := resnet(t)
		list := []compress.Algorithm{sparsity.NewMagnitude(sparsity.MagnitudeOptions{Init: new(0.5)}), quantization.New(quantization.Options{})}
		if swap {
			list[0], list[1] = list[1], list[0]
		}
		if _, _, err := compress.SetupAll(g, list, nil); err != nil {
			t.Fatal(err)
		}
		n := g.Value("conv1.weight/mask").Uses()[0].Node
		if n.In[0] != g.Value("conv1.weight") || len(n.Out[0].Uses()) != 1 {
			t.Fatal("the mask is not on the weight")
		}
		q := n.Out[0].Uses()[0].Node
		if _, ok := q.Op.(op.FakeQuantizeSymmetric); !ok {
			t.Fatalf("%s reads the masked weight, want the quantizer", q.Op.Kind())
		}
		y := eval(t, g, q.Out[0].Name).F32()
		for i, k := range bits(g, "conv1.weight") {
			if k == 0 && y[i] != 0 {
				t.Fatalf("element %d is masked and quantized to %g", i, y[i])
			}
		}
	}
}

// RB scores move by their own optimizer and learning rate, not at all once they
// are frozen, momentum or not; neither they nor masked weights decay.
func TestRB_Training(t *testing.T) {
	g := resnet(t)
	c := applyRB(t, g, sparsity.RBOptions{Params: sparsity.RBParams{MaskLR: 0.25}})
	if err := c.SetLevel(0.5); err != nil {
		t.Fatal(err)
	}
	tr, err := train.New(g, native.Backend{}, train.Options{Optimizer: train.OptimizerOptions{Momentum: 0.9, WeightDecay: 0.1},
		Schedule: train.ScheduleOptions{LR: 1e-30}, Threads: 1}, c)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	x, labels := tensor.New(tensor.Float32, 8, 3, 8, 8), tensor.New(tensor.Int64, 8)
	for i := range x.F32() {
		x.F32()[i] = float32(math.Sin(float64(i)))
	}
	step := func() {
		t.Helper()
		if _, err := tr.StepTensors(context.Background(), x, labels, 0); err != nil {
			t.Fatal(err)
		}
	}
	w, s := g.Value("conv1.weight").Data.F32(), g.Value("conv1.weight/score").Data.F32()
	before, start := append([]float32(nil), w...), append([]float32(nil), s...)
	step()
	for i := range s { // the first step of Adam is as long as its learning rate
		if d := math.Abs(float64(s[i] - start[i])); math.Abs(d-0.25) > 1e-3 {
			t.Fatalf("score %d: moved by %g, want 0.25", i, d)
		}
		if w[i] != before[i] {
			t.Fatalf("weight %d: moved from %g to %g without a learning rate", i, before[i], w[i])
		}
	}
	step()
	c.Freeze()
	frozen := append([]float32(nil), s...)
	for name := range map[string]bool{"conv1.weight/score": true} {
		if !c.ParameterRule(name).Frozen {
			t.Errorf("%s is not frozen", name)
		}
	}
	if r := c.ParameterRule("conv1.weight"); !r.NoDecay || r.Frozen {
		t.Errorf("conv1.weight: got rule %+v", r)
	}
	// The trainer asks again at the next epoch.
	loader := oneBatch(t)
	if _, err := tr.Epoch(context.Background(), loader, 1); err != nil {
		t.Fatal(err)
	}
	for i := range s {
		if s[i] != frozen[i] {
			t.Fatalf("score %d: moved from %g to %g though it is frozen", i, frozen[i], s[i])
		}
	}
}

// noise is a data set of eight images.
type noise struct{}

func (noise) Len() int          { return 8 }
func (noise) Classes() []string { return nil }
func (noise) Label(i int) int   { return i }
func (noise) Image(i int, dst *data.Image) error {
	*dst = data.Image{H: 8, W: 8, C: 3, Pix: make([]uint8, 192)}
	for k := range dst.Pix {
		dst.Pix[k] = uint8(k * (i + 3))
	}
	return nil
}

func oneBatch(t testing.TB) *data.Loader {
	t.Helper()
	return &data.Loader{Dataset: noise{}, Batch: 8}
}
