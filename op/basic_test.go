package op_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

func f32(shape []int, v ...float32) *tensor.Tensor { return tensor.From(v, shape...) }

func i64(v ...int64) *tensor.Tensor { return tensor.From(v, len(v)) }

// evalCase runs one operator on tensors, through inference and evaluation.
type evalCase struct {
	name string
	op   ir.Op
	in   []*tensor.Tensor
	want []*tensor.Tensor
}

func (c evalCase) run(t *testing.T) {
	t.Helper()
	g := ir.New("test")
	in := make([]*ir.Value, len(c.in))
	for i, x := range c.in {
		if x != nil {
			in[i] = g.AddStored(ir.Constant, "x", x)
		}
	}
	types, err := c.op.Infer(in)
	if err != nil {
		t.Fatalf("infer: %v", err)
	}
	out, err := c.op.(ir.Evaluator).Eval(c.in)
	if err != nil {
		t.Fatalf("eval: %v", err)
	}
	for i, w := range c.want {
		if !ir.TypeOf(out[i]).Equal(types[i]) {
			t.Errorf("output %d: inferred %v, evaluated %v", i, types[i], out[i])
		}
		if !out[i].Equal(w) {
			g, _ := out[i].Float64s()
			x, _ := w.Float64s()
			t.Errorf("output %d: got %v %v, want %v %v", i, out[i], g, w, x)
		}
	}
}

func TestEval(t *testing.T) {
	m := f32([]int{2, 3}, 1, 2, 3, 4, 5, 6)
	cases := []evalCase{
		{"add broadcast", op.Add{}, []*tensor.Tensor{m, f32([]int{3}, 10, 20, 30)}, []*tensor.Tensor{f32([]int{2, 3}, 11, 22, 33, 14, 25, 36)}},
		{"sub int", op.Sub{}, []*tensor.Tensor{i64(1, 2), i64(3)}, []*tensor.Tensor{i64(-2, -1)}},
		{"mul column", op.Mul{}, []*tensor.Tensor{m, f32([]int{2, 1}, 2, 3)}, []*tensor.Tensor{f32([]int{2, 3}, 2, 4, 6, 12, 15, 18)}},
		{"div int truncates", op.Div{}, []*tensor.Tensor{i64(-7, 7), i64(2)}, []*tensor.Tensor{i64(-3, 3)}},
		{"relu", op.Relu{}, []*tensor.Tensor{f32([]int{3}, -1, 0, 2)}, []*tensor.Tensor{f32([]int{3}, 0, 0, 2)}},
		{"clip", op.Clip{}, []*tensor.Tensor{f32([]int{3}, -1, 3, 9), nil, f32(nil, 6)}, []*tensor.Tensor{f32([]int{3}, -1, 3, 6)}},
		{"reduce sum rows", op.ReduceSum{}, []*tensor.Tensor{m, i64(-1)}, []*tensor.Tensor{f32([]int{2}, 6, 15)}},
		{"reduce mean keep", op.ReduceMean{KeepDims: true}, []*tensor.Tensor{m, i64(0)}, []*tensor.Tensor{f32([]int{1, 3}, 2.5, 3.5, 4.5)}},
		{"reduce max all", op.ReduceMax{}, []*tensor.Tensor{m}, []*tensor.Tensor{f32(nil, 6)}},
		{"reshape", op.Reshape{}, []*tensor.Tensor{m, i64(0, -1, 1)}, []*tensor.Tensor{m.Reshape(2, 3, 1)}},
		{"flatten", op.Flatten{Axis: 0}, []*tensor.Tensor{m}, []*tensor.Tensor{m.Reshape(1, 6)}},
		{"transpose", op.Transpose{}, []*tensor.Tensor{m}, []*tensor.Tensor{f32([]int{3, 2}, 1, 4, 2, 5, 3, 6)}},
		{"concat", op.Concat{Axis: 1}, []*tensor.Tensor{m, f32([]int{2, 1}, 7, 8)}, []*tensor.Tensor{f32([]int{2, 4}, 1, 2, 3, 7, 4, 5, 6, 8)}},
		{"slice backward", op.Slice{}, []*tensor.Tensor{m, i64(-1), i64(-100), i64(1), i64(-2)}, []*tensor.Tensor{f32([]int{2, 2}, 3, 1, 6, 4)}},
		{"slice clamped", op.Slice{}, []*tensor.Tensor{m, i64(1), i64(1 << 60)}, []*tensor.Tensor{f32([]int{1, 3}, 4, 5, 6)}},
		{"pad", op.Pad{}, []*tensor.Tensor{m, i64(0, 1, 0, -1), f32(nil, 9)}, []*tensor.Tensor{f32([]int{2, 3}, 9, 1, 2, 9, 4, 5)}},
		{"pad reflect", op.Pad{Mode: "reflect"}, []*tensor.Tensor{m, i64(2, 1), nil, i64(-1)}, []*tensor.Tensor{f32([]int{2, 6}, 3, 2, 1, 2, 3, 2, 6, 5, 4, 5, 6, 5)}},
		{"pad wrap", op.Pad{Mode: "wrap"}, []*tensor.Tensor{i64(1, 2, 3), i64(2, 4)}, []*tensor.Tensor{i64(2, 3, 1, 2, 3, 1, 2, 3, 1)}},
		{"pad edge", op.Pad{Mode: "edge"}, []*tensor.Tensor{i64(1, 2, 3), i64(2, 1)}, []*tensor.Tensor{i64(1, 1, 1, 2, 3, 3)}},
		{"gather", op.Gather{Axis: 1}, []*tensor.Tensor{m, i64(-1, 0)}, []*tensor.Tensor{f32([]int{2, 2}, 3, 1, 6, 4)}},
		{"gather grad", op.GatherGrad{Shape: []int{3}}, []*tensor.Tensor{f32([]int{3}, 1, 2, 4), i64(0, 2, 0)}, []*tensor.Tensor{f32([]int{3}, 5, 0, 2)}},
		{"shape", op.Shape{Start: -1}, []*tensor.Tensor{m}, []*tensor.Tensor{i64(3)}},
		{"unsqueeze", op.Unsqueeze{}, []*tensor.Tensor{m, i64(0, -1)}, []*tensor.Tensor{m.Reshape(1, 2, 3, 1)}},
		{"squeeze all", op.Squeeze{}, []*tensor.Tensor{m.Reshape(1, 2, 1, 3)}, []*tensor.Tensor{m}},
		{"cast", op.Cast{To: tensor.Int64}, []*tensor.Tensor{f32([]int{3}, -1.9, 0.5, 7.9)}, []*tensor.Tensor{i64(-1, 0, 7)}},
		{"constant of shape", op.ConstantOfShape{DType: tensor.Int64, Int: 7}, []*tensor.Tensor{i64(2)}, []*tensor.Tensor{i64(7, 7)}},
		{"expand", op.Expand{}, []*tensor.Tensor{f32([]int{2, 1}, 1, 2), i64(2, 1, 2)}, []*tensor.Tensor{f32([]int{2, 2, 2}, 1, 1, 2, 2, 1, 1, 2, 2)}},
		{"tile", op.Tile{}, []*tensor.Tensor{f32([]int{1, 2}, 1, 2), i64(2, 2)}, []*tensor.Tensor{f32([]int{2, 4}, 1, 2, 1, 2, 1, 2, 1, 2)}},
		{"where", op.Where{}, []*tensor.Tensor{tensor.From([]bool{true, false}, 2), i64(1), i64(5, 6)}, []*tensor.Tensor{i64(1, 6)}},
	}
	for _, c := range cases {
		t.Run(c.name, c.run)
	}
}

// TestSymbolicReshape follows a batch symbol through the shape arithmetic that
// exporters write for x.view(x.size(0), -1).
func TestSymbolicReshape(t *testing.T) {
	g := ir.New("test")
	x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{ir.Symbol("N"), ir.Len(4), ir.Len(5)}})
	b := ir.NewBuilder(g, "")
	n := b.Op(op.Gather{}, "n", b.Op(op.Shape{}, "shape", x), b.Const("zero", tensor.Scalar[int64](0)))
	n = b.Op(op.Unsqueeze{}, "n1", n, b.ConstInts("axes", 0))
	shape := b.Op(op.Concat{}, "want", n, b.ConstInts("rest", -1))
	y := b.Op(op.Reshape{}, "y", x, shape)
	doubled := b.Op(op.Mul{}, "double", n, b.ConstInts("two", 2))
	z := b.Op(op.Reshape{}, "z", x, b.Op(op.Concat{}, "want2", doubled, b.ConstInts("rest", -1)))
	cond := b.Op(op.Equal{}, "eq", shape, b.ConstInts("m1", -1))
	e := b.Op(op.Expand{}, "e", b.Op(op.Reshape{}, "r", x, b.ConstInts("m1", -1, 20)), b.Op(op.Where{}, "w", cond, b.ConstInts("ones", 1, 1), shape))
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	got := []string{y.Type.String(), z.Type.String(), e.Type.String()}
	if diff := cmp.Diff([]string{"float32[N 20]", "float32[2*N 10]", "float32[N 20]"}, got); diff != "" {
		t.Error(diff)
	}
}
