package sensitivity_test

import (
	"path/filepath"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/sensitivity"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// twice is z = q2(100·q1(a·x)), q1 and q2 with a step of 1.
func twice(t *testing.T, a float32) *ir.Graph {
	t.Helper()
	g := ir.New("twice")
	b := ir.NewBuilder(g, "")
	x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{ir.Len(1), ir.Len(200)}})
	q := op.FakeQuantizeSymmetric{Low: -128, High: 127, Axis: -1}
	scale := func(name string) *ir.Value { return g.AddStored(ir.Parameter, name, tensor.From([]float32{127}, 1)) }
	y := b.Op(q, "q1", b.Op(op.Mul{}, "ax", x, b.ConstF32("a", a)), scale("s1"))
	g.Outputs = []*ir.Value{b.Op(q, "q2", b.Op(op.Mul{}, "hundred", y, b.ConstF32("h", 100)), scale("s2"))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

// once yields 200 values in [-1, 1], the first of them below a tie.
func once(yield func([]*tensor.Tensor, error) bool) {
	x := tensor.New(tensor.Float32, 1, 200)
	for i := range x.F32() {
		x.F32()[i] = float32(i%7-3) / 3 * 0.4
	}
	x.F32()[0] = 0.4999
	yield([]*tensor.Tensor{x}, nil)
}

func TestCompareStepwise(t *testing.T) {
	exact := twice(t, 1)
	path := filepath.Join(t.TempDir(), "qdq.onnx")
	if err := nncf.ExportQuantized(path, exact, nncf.ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	file, err := nncf.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		b        *ir.Graph
		moved    int64
		farthest float64
		value    string
		rounding bool
	}{
		{"itself, written", file.Graph, 0, 0, "", true},
		// One value crosses the tie: a step behind the first quantizer, and 100
		// steps, which are not counted, behind the second.
		{"rounding", twice(t, 1.001), 1, 1, "q1", true},
		{"a fault", twice(t, 5), 171, 2, "q1", false},
	} {
		s, err := nncf.CompareStepwise(t.Context(), exact, c.b, compress.Batches(once), 1)
		if err != nil {
			t.Fatal(err)
		}
		if s.Samples != 1 || s.Quantizers != 2 || s.Elements != 400 || s.Moved != c.moved || s.Farthest != c.farthest || s.Value != c.value || s.Rounding() != c.rounding {
			t.Errorf("%s: got %+v (rounding: %v), want %d of 400 moved, at most %g steps at %q, rounding %v", c.name, *s, s.Rounding(), c.moved, c.farthest, c.value, c.rounding)
		}
	}
	through, err := nncf.Compare(t.Context(), exact, twice(t, 1.001), func() compress.Batches { return once }, 1)
	if err != nil {
		t.Fatal(err)
	}
	if z := through.Outputs()[0]; z.Largest != 100 {
		t.Errorf("through the whole model: got a largest difference of %g, want 100", z.Largest)
	}
}

func TestCompareStepwise_NothingInCommon(t *testing.T) {
	s, err := nncf.CompareStepwise(t.Context(), scaled(t, 1), scaled(t, 1), nil, 1)
	if err != nil || *s != (sensitivity.Stepwise{}) {
		t.Errorf("got %+v, %v for models without quantizers; want nothing", s, err)
	}
}
