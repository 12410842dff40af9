package pass_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// model is one of the shared models with its reference input.
type model struct {
	file, input string
	slow        bool // its reference evaluation takes seconds: only with NNCF_SLOW=1
}

var models = []model{
	{"cifar-resnet/resnet20_jpeg_bn", "cifar_input", false},
	{"cifar-resnet/resnet20_jpeg_folded", "cifar_input", true},
	{"cifar-resnet/resnet20_original_bn", "cifar_input", true},
	{"cifar-resnet/resnet44_original_bn", "cifar_input", true},
	{"cifar-resnet/resnet56_original_bn", "cifar_input", true},
	{"cifar-resnet/resnet56_jpeg_bn", "cifar_input", true},
	{"cifar-resnet/resnet56_jpeg_folded", "cifar_input", true},
	{"mlperf-tiny/resnet8_original_bn", "resnet8_input", true},
	{"mlperf-tiny/resnet8_original_folded", "resnet8_input", true},
	{"mlperf-tiny/resnet8_jpeg_bn", "resnet8_input", false},
	{"mlperf-tiny/resnet8_jpeg_folded", "resnet8_input", true},
	{"mlperf-tiny/kws_dscnn_bn", "kws_input", false},
	{"mlperf-tiny/kws_dscnn_folded", "kws_input", true},
	{"mlperf-tiny/vww_mobilenetv1_025_bn", "vww_input", false},
	{"ultraface/rfb320_bn", "input", true},
	{"ultraface/rfb320_folded", "input", true},
	{"yunet/yunet_n_320_320", "input", true},
	{"yunet/yunet_n_dynamic", "input", true},
	{"fastestdet/fastestdet", "input", true},
	{"squeezenet/squeezenet1_0", "input", true},
}

func (m model) name() string { return filepath.Base(m.file) }

func (m model) load(t *testing.T) *ir.Graph {
	t.Helper()
	g, err := onnx.Load(testkit.Shared(t, "models", m.file+".onnx"))
	if err != nil {
		if strings.Contains(err.Error(), "operator is not supported") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	return g
}

func (m model) refs(t *testing.T, name string) *tensor.Tensor {
	t.Helper()
	data, err := os.ReadFile(testkit.Shared(t, "models", filepath.Dir(m.file), "refs", name+".pb"))
	if err != nil {
		t.Fatal(err)
	}
	_, x, err := onnx.ReadTensor(data)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func (m model) reference(t *testing.T, g *ir.Graph, v *ir.Value) *tensor.Tensor {
	t.Helper()
	name := m.name()
	if len(g.Outputs) > 1 {
		name += "." + v.Name
	}
	return m.refs(t, name+".out")
}

func eval(t *testing.T, g *ir.Graph, in ...*tensor.Tensor) []*tensor.Tensor {
	t.Helper()
	out, err := ir.Eval(t.Context(), g, in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// worst returns the largest difference and the largest value of want.
func worst(t *testing.T, got, want *tensor.Tensor) (diff, largest float64) {
	t.Helper()
	if !got.Shape().Equal(want.Shape()) {
		t.Fatalf("got shape %v, want %v", got.Shape(), want.Shape())
	}
	a, err := got.Float64s()
	if err != nil {
		t.Fatal(err)
	}
	b, err := want.Float64s()
	if err != nil {
		t.Fatal(err)
	}
	for i := range a {
		if d := math.Abs(a[i] - b[i]); !(d <= diff) {
			diff = d
		}
		largest = max(largest, math.Abs(b[i]))
	}
	return diff, largest
}

// first returns a tensor's first n rows.
func first(x *tensor.Tensor, n int) *tensor.Tensor {
	s := x.Shape().Clone()
	if s[0] <= n {
		return x
	}
	s[0] = n
	return tensor.From(x.F32()[:s.Numel()], s...)
}

func mustCanonicalize(t *testing.T, g *ir.Graph) *rewrite.Trace {
	t.Helper()
	var trace rewrite.Trace
	if err := pass.Canonicalize(g, &trace); err != nil {
		t.Fatal(err)
	}
	if err := ir.Verify(g); err != nil {
		t.Fatal(err)
	}
	return &trace
}

func text(t *testing.T, g *ir.Graph) string {
	t.Helper()
	s, err := ir.Print(g)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCanonicalize_Models: on every shared model the outputs stay what they
// were, they are the reference outputs, and no shape arithmetic is left.
func TestCanonicalize_Models(t *testing.T) {
	for _, m := range models {
		t.Run(m.name(), func(t *testing.T) {
			t.Parallel()
			g := m.load(t)
			before := g.Clone()
			mustCanonicalize(t, g)
			for _, n := range g.Nodes() {
				switch n.Op.Kind() {
				case "Shape", "Size", "Cast", "ConstantOfShape", "Identity", "Dropout", "Expand":
					t.Errorf("%s %q is still there", n.Op.Kind(), n.Name)
				}
				for _, v := range n.Out {
					if v != nil && v.Type.DType.IsInteger() {
						t.Errorf("%s %q still computes integers", n.Op.Kind(), n.Name)
					}
				}
			}
			once := text(t, g)
			mustCanonicalize(t, g)
			if diff := cmp.Diff(once, text(t, g)); diff != "" {
				t.Errorf("a second run changes the graph:\n%s", diff)
			}
			for i, v := range g.Outputs {
				if w := before.Outputs[i]; v.Name != w.Name {
					t.Errorf("output %d: got name %q, want %q", i, v.Name, w.Name)
				}
			}
			if m.slow && os.Getenv("NNCF_SLOW") == "" {
				return // plain loops need seconds
			}
			x := first(m.refs(t, m.input), 1)
			was, is := eval(t, before, x), eval(t, g, x)
			for i, v := range g.Outputs {
				if d, size := worst(t, is[i], was[i]); !(d <= 1e-5*size) {
					t.Errorf("%s: differs by %g from before, values up to %g", v.Name, d, size)
				}
				want := first(m.reference(t, g, v), 1)
				if d, size := worst(t, is[i], want); !(d <= 1e-4*max(1, size)) {
					t.Errorf("%s: differs by %g from the reference, values up to %g", v.Name, d, size)
				}
			}
		})
	}
}

// TestMarkTrainable_Models: the parameters and statistics of networks whose
// authors give their number.
func TestMarkTrainable_Models(t *testing.T) {
	for _, c := range []struct {
		file     string
		elements int // parameters and statistics together, from the model's README
		norms    int // BatchNormalizations
	}{
		{"mlperf-tiny/resnet8_original_bn", 78666, 7},
		{"mlperf-tiny/resnet8_original_folded", 77706, 0},
		{"mlperf-tiny/kws_dscnn_bn", 24908, 9},
		{"mlperf-tiny/kws_dscnn_folded", 22604, 0},
		{"mlperf-tiny/vww_mobilenetv1_025_bn", 221794, 27},
	} {
		t.Run(filepath.Base(c.file), func(t *testing.T) {
			g := model{file: c.file}.load(t)
			mustCanonicalize(t, g)
			if err := pass.MarkTrainable(g, nil); err != nil {
				t.Fatal(err)
			}
			got, states := 0, 0
			for _, v := range g.Stored() {
				switch v.Kind {
				case ir.State:
					states++
					fallthrough
				case ir.Parameter:
					got += v.Data.Len()
				}
			}
			if got != c.elements || states != 2*c.norms {
				t.Errorf("got %d elements and %d statistics, want %d and %d", got, states, c.elements, 2*c.norms)
			}
			if err := pass.TrainingMode(g, pass.TrainingOptions{}, nil); err != nil {
				t.Fatal(err)
			}
			if err := ir.Verify(g); err != nil {
				t.Fatal(err)
			}
			if len(g.Assigns) != 2*c.norms {
				t.Errorf("got %d state updates, want %d", len(g.Assigns), 2*c.norms)
			}
		})
	}
}

func TestTrainingOptions_Validate(t *testing.T) {
	for _, m := range []float32{-0.1, 1.1, float32(math.NaN())} {
		if (pass.TrainingOptions{Momentum: m}).Validate() == nil {
			t.Errorf("momentum %g was accepted", m)
		}
	}
}
