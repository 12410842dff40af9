package op_test

import (
	"math"
	"slices"
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
		if fits := ir.TypeOf(out[i]); fits.DType != types[i].DType || !slices.EqualFunc(fits.Dims, types[i].Dims, ir.Dim.MayEqual) {
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
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	m := f32([]int{2, 3}, 1, 2, 3, 4, 5, 6)
	cases := []evalCase{
		{"add broadcast", op.Add{}, ts{m, f32([]int{3}, 10, 20, 30)}, ts{f32([]int{2, 3}, 11, 22, 33, 14, 25, 36)}},
		{"sub int", op.Sub{}, ts{i64(1, 2), i64(3)}, ts{i64(-2, -1)}},
		{"mul column", op.Mul{}, ts{m, f32([]int{2, 1}, 2, 3)}, ts{f32([]int{2, 3}, 2, 4, 6, 12, 15, 18)}},
		{"div int truncates", op.Div{}, ts{i64(-7, 7), i64(2)}, ts{i64(-3, 3)}},
		{"relu", op.Relu{}, ts{f32([]int{3}, -1, 0, 2)}, ts{f32([]int{3}, 0, 0, 2)}},
		{"clip", op.Clip{}, ts{f32([]int{3}, -1, 3, 9), nil, f32(nil, 6)}, ts{f32([]int{3}, -1, 3, 6)}},
		{"reduce sum rows", op.ReduceSum{}, ts{m, i64(-1)}, ts{f32([]int{2}, 6, 15)}},
		{"reduce mean keep", op.ReduceMean{KeepDims: true}, ts{m, i64(0)}, ts{f32([]int{1, 3}, 2.5, 3.5, 4.5)}},
		{"reduce max all", op.ReduceMax{}, ts{m}, ts{f32(nil, 6)}},
		{"reshape", op.Reshape{}, ts{m, i64(0, -1, 1)}, ts{m.Reshape(2, 3, 1)}},
		{"flatten", op.Flatten{Axis: 0}, ts{m}, ts{m.Reshape(1, 6)}},
		{"transpose", op.Transpose{}, ts{m}, ts{f32([]int{3, 2}, 1, 4, 2, 5, 3, 6)}},
		{"concat", op.Concat{Axis: 1}, ts{m, f32([]int{2, 1}, 7, 8)}, ts{f32([]int{2, 4}, 1, 2, 3, 7, 4, 5, 6, 8)}},
		{"slice backward", op.Slice{}, ts{m, i64(-1), i64(-100), i64(1), i64(-2)}, ts{f32([]int{2, 2}, 3, 1, 6, 4)}},
		{"slice clamped", op.Slice{}, ts{m, i64(1), i64(1 << 60)}, ts{f32([]int{1, 3}, 4, 5, 6)}},
		{"pad", op.Pad{}, ts{m, i64(0, 1, 0, -1), f32(nil, 9)}, ts{f32([]int{2, 3}, 9, 1, 2, 9, 4, 5)}},
		{"pad reflect", op.Pad{Mode: "reflect"}, ts{m, i64(2, 1), nil, i64(-1)}, ts{f32([]int{2, 6}, 3, 2, 1, 2, 3, 2, 6, 5, 4, 5, 6, 5)}},
		{"pad wrap", op.Pad{Mode: "wrap"}, ts{i64(1, 2, 3), i64(2, 4)}, ts{i64(2, 3, 1, 2, 3, 1, 2, 3, 1)}},
		{"pad edge", op.Pad{Mode: "edge"}, ts{i64(1, 2, 3), i64(2, 1)}, ts{i64(1, 1, 1, 2, 3, 3)}},
		{"gather", op.Gather{Axis: 1}, ts{m, i64(-1, 0)}, ts{f32([]int{2, 2}, 3, 1, 6, 4)}},
		{"gather grad", op.GatherGrad{Shape: []int{3}}, ts{f32([]int{3}, 1, 2, 4), i64(0, 2, 0)}, ts{f32([]int{3}, 5, 0, 2)}},
		{"shape", op.Shape{Start: -1}, ts{m}, ts{i64(3)}},
		{"unsqueeze", op.Unsqueeze{}, ts{m, i64(0, -1)}, ts{m.Reshape(1, 2, 3, 1)}},
		{"squeeze all", op.Squeeze{}, ts{m.Reshape(1, 2, 1, 3)}, ts{m}},
		{"cast", op.Cast{To: tensor.Int64}, ts{f32([]int{3}, -1.9, 0.5, 7.9)}, ts{i64(-1, 0, 7)}},
		{"constant of shape", op.ConstantOfShape{DType: tensor.Int64, Int: 7}, ts{i64(2)}, ts{i64(7, 7)}},
		{"expand", op.Expand{}, ts{f32([]int{2, 1}, 1, 2), i64(2, 1, 2)}, ts{f32([]int{2, 2, 2}, 1, 1, 2, 2, 1, 1, 2, 2)}},
		{"tile", op.Tile{}, ts{f32([]int{1, 2}, 1, 2), i64(2, 2)}, ts{f32([]int{2, 4}, 1, 2, 1, 2, 1, 2, 1, 2)}},
		{"pow", op.Pow{}, ts{f32([]int{3}, 2, -2, 9), f32([]int{3}, 3, 2, 0.5)}, ts{f32([]int{3}, 8, 4, 3)}},
		{"pow integers", op.Pow{}, ts{i64(2, -1, 3, 0), i64(10, 3, -1, 0)}, ts{i64(1024, -1, 0, 1)}},
		{"mod takes the divisor's sign", op.Mod{}, ts{i64(-4, 7, 5, 4, -7, 8), i64(2, -3, 8, -2, 3, 5)}, ts{i64(0, -2, 5, 0, 2, 3)}},
		{"mod like C", op.Mod{Fmod: true}, ts{i64(-4, 7, 5, 4, -7, 8), i64(2, -3, 8, -2, 3, 5)}, ts{i64(0, 1, 5, 0, -1, 3)}},
		{"min", op.Min{}, ts{i64(1, 5, 3), i64(4), i64(2, 2, 9)}, ts{i64(1, 2, 3)}},
		{"max", op.Max{}, ts{i64(1, 5, 3), i64(4), i64(2, 2, 9)}, ts{i64(4, 5, 9)}},
		{"sum", op.Sum{}, ts{f32([]int{2}, 1, 2), f32(nil, 3)}, ts{f32([]int{2}, 4, 5)}},
		{"mean", op.Mean{}, ts{f32([]int{2}, 1, 2), f32(nil, 3)}, ts{f32([]int{2}, 2, 2.5)}},
		{"neg, unsigned wraps", op.Neg{}, ts{tensor.From([]uint8{0, 1}, 2)}, ts{tensor.From([]uint8{0, 255}, 2)}},
		{"abs", op.Abs{}, ts{i64(-3, 3)}, ts{i64(3, 3)}},
		{"sign", op.Sign{}, ts{f32([]int{3}, -2, 0, 0.5)}, ts{f32([]int{3}, -1, 0, 1)}},
		{"round to even", op.Round{}, ts{f32([]int{5}, 0.5, 1.5, 2.5, -0.5, -1.5)}, ts{f32([]int{5}, 0, 2, 2, 0, -2)}},
		{"leaky relu", op.LeakyRelu{Alpha: 0.5}, ts{f32([]int{2}, -2, 2)}, ts{f32([]int{2}, -1, 2)}},
		{"prelu", op.PRelu{}, ts{f32([]int{2, 2}, -2, -2, 2, 2), f32([]int{2}, 0.5, 3)}, ts{f32([]int{2, 2}, -1, -6, 2, 2)}},
		{"hard sigmoid", op.HardSigmoid{Alpha: 0.25, Beta: 0.5}, ts{f32([]int{3}, -4, 1, 4)}, ts{f32([]int{3}, 0, 0.75, 1)}},
		{"hard swish", op.HardSwish{}, ts{f32([]int{4}, -4, -3, 0, 3)}, ts{f32([]int{4}, 0, 0, 0, 3)}},
		{"thresholded relu", op.ThresholdedRelu{Alpha: 1}, ts{f32([]int{3}, -2, 1, 1.5)}, ts{f32([]int{3}, 0, 0, 1.5)}},
		{"shrink", op.Shrink{Bias: 1.5, Lambda: 1.5}, ts{f32([]int{5}, -2, -1, 0, 1, 2)}, ts{f32([]int{5}, -0.5, 0, 0, 0, 0.5)}},
		{"clip, upper bound wins", op.Clip{}, ts{f32([]int{2}, 0, 9), f32(nil, 5), f32(nil, 1)}, ts{f32([]int{2}, 1, 1)}},
		{"equal", op.Equal{}, ts{i64(1, 2), i64(2)}, ts{tensor.From([]bool{false, true}, 2)}},
		{"less with NaN", op.Less{}, ts{f32([]int{2}, 1, nan), f32(nil, 2)}, ts{tensor.From([]bool{true, false}, 2)}},
		{"greater or equal, unsigned", op.GreaterOrEqual{}, ts{tensor.From([]uint64{1 << 63}, 1), tensor.From([]uint64{1}, 1)}, ts{tensor.From([]bool{true}, 1)}},
		{"xor", op.Xor{}, ts{tensor.From([]bool{true, false}, 2), tensor.From([]bool{true}, 1)}, ts{tensor.From([]bool{false, true}, 2)}},
		{"bit shift", op.BitShift{}, ts{tensor.From([]uint8{1, 200}, 2), tensor.From([]uint8{3, 1}, 2)}, ts{tensor.From([]uint8{8, 144}, 2)}},
		{"bitwise not", op.BitwiseNot{}, ts{tensor.From([]uint8{0, 15}, 2)}, ts{tensor.From([]uint8{255, 240}, 2)}},
		{"reduce prod", op.ReduceProd{}, ts{m, i64(1)}, ts{f32([]int{2}, 6, 120)}},
		{"reduce l1", op.ReduceL1{}, ts{f32([]int{3}, -1, 2, -3)}, ts{f32(nil, 6)}},
		{"reduce l2", op.ReduceL2{}, ts{f32([]int{2}, 3, -4)}, ts{f32(nil, 5)}},
		{"reduce sum square", op.ReduceSumSquare{}, ts{f32([]int{2}, 3, -4)}, ts{f32(nil, 25)}},
		{"reduce log sum", op.ReduceLogSum{}, ts{f32([]int{2}, 0.25, 0.75)}, ts{f32(nil, 0)}},
		{"reduce log sum exp, large", op.ReduceLogSumExp{}, ts{f32([]int{1}, 1000)}, ts{f32(nil, 1000)}},
		{"reduce nothing", op.ReduceSum{NoopWithEmptyAxes: true}, ts{m}, ts{m}},
		{"reduce an empty axis", op.ReduceMax{}, ts{f32([]int{2, 0}), i64(1)}, ts{f32([]int{2}, -inf, -inf)}},
		{"arg max, first", op.ArgMax{}, ts{f32([]int{4}, 1, 3, 3, 2)}, ts{tensor.Scalar[int64](1)}},
		{"arg max, last", op.ArgMax{SelectLastIndex: true}, ts{f32([]int{4}, 1, 3, 3, 2)}, ts{tensor.Scalar[int64](2)}},
		{"top k", op.TopK{Axis: 1}, ts{f32([]int{2, 3}, 1, 3, 2, 5, 5, 6), i64(2)}, ts{f32([]int{2, 2}, 3, 2, 6, 5), tensor.From([]int64{1, 2, 2, 0}, 2, 2)}},
		{"cumulative sum", op.CumSum{Exclusive: true, Reverse: true}, ts{i64(1, 2, 3), tensor.Scalar[int64](0)}, ts{i64(5, 3, 0)}},
		{"split", op.Split{Axis: 1, NumOutputs: 2}, ts{m}, ts{f32([]int{2, 2}, 1, 2, 4, 5), f32([]int{2, 1}, 3, 6)}},
		{"gather elements", op.GatherElements{Axis: 1}, ts{m, tensor.From([]int64{2, 0, -3, 1}, 2, 2)}, ts{f32([]int{2, 2}, 3, 1, 4, 5)}},
		{"gather nd", op.GatherND{}, ts{m, tensor.From([]int64{0, 1, 1, -1}, 2, 2)}, ts{f32([]int{2}, 2, 6)}},
		{"scatter elements", op.ScatterElements{}, ts{i64(1, 2, 3), i64(0, 2, 0), i64(7, 8, 9)}, ts{i64(9, 2, 8)}},
		{"scatter elements add", op.ScatterElements{Reduction: "add"}, ts{i64(1, 2, 3), i64(0, 2, 0), i64(7, 8, 9)}, ts{i64(17, 2, 11)}},
		{"scatter nd", op.ScatterND{}, ts{m, tensor.From([]int64{1}, 1, 1), f32([]int{1, 3}, 7, 8, 9)}, ts{f32([]int{2, 3}, 1, 2, 3, 7, 8, 9)}},
		{"depth to space", op.DepthToSpace{BlockSize: 2}, ts{f32([]int{1, 4, 1, 1}, 1, 2, 3, 4)}, ts{f32([]int{1, 1, 2, 2}, 1, 2, 3, 4)}},
		{"space to depth", op.SpaceToDepth{BlockSize: 2}, ts{f32([]int{1, 1, 2, 2}, 1, 2, 3, 4)}, ts{f32([]int{1, 4, 1, 1}, 1, 2, 3, 4)}},
		{"range", op.Range{}, ts{tensor.Scalar[int64](10), tensor.Scalar[int64](4), tensor.Scalar[int64](-4)}, ts{i64(10, 6)}},
		{"eye like", op.EyeLike{K: -1}, ts{tensor.New(tensor.Int64, 2, 2)}, ts{tensor.From([]int64{0, 0, 1, 0}, 2, 2)}},
		{"one hot", op.OneHot{Axis: -1}, ts{i64(1, -1, 5), i64(3), f32([]int{2}, 0, 1)}, ts{f32([]int{3, 3}, 0, 1, 0, 0, 0, 1, 0, 0, 0)}},
		{"upper triangle", op.Trilu{}, ts{f32([]int{2, 3}, 1, 2, 3, 4, 5, 6), tensor.Scalar[int64](1)}, ts{f32([]int{2, 3}, 0, 2, 3, 0, 0, 6)}},
		{"non zero", op.NonZero{}, ts{f32([]int{2, 2}, 1, 0, 1, 1)}, ts{tensor.From([]int64{0, 1, 1, 0, 0, 1}, 2, 3)}},
		{"compress", op.Compress{Axis: new(1)}, ts{m, tensor.From([]bool{false, true}, 2)}, ts{f32([]int{2, 1}, 2, 5)}},
		{"reverse sequence", op.ReverseSequence{TimeAxis: 1}, ts{m, i64(1, 3)}, ts{f32([]int{2, 3}, 1, 2, 3, 6, 5, 4)}},
		{"resize nearest", op.Resize{}, ts{f32([]int{2}, 1, 2), nil, f32([]int{1}, 2)}, ts{f32([]int{4}, 1, 1, 2, 2)}},
		{"resize linear", op.Resize{Mode: "linear"}, ts{f32([]int{2}, 1, 3), nil, f32([]int{1}, 2)}, ts{f32([]int{4}, 1, 1.5, 2.5, 3)}},
		{"resize not larger", op.Resize{Aspect: "not_larger"}, ts{m, nil, nil, i64(4, 9)}, ts{f32([]int{4, 6}, 1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 4, 4, 5, 5, 6, 6)}},
		{"grid sample", op.GridSample{AlignCorners: true}, ts{f32([]int{1, 1, 2, 2}, 1, 2, 3, 4), f32([]int{1, 1, 2, 2}, 0, 0, 1, -1)}, ts{f32([]int{1, 1, 1, 2}, 2.5, 2)}},
		{"cast to int4 wraps", op.Cast{To: tensor.Int4}, ts{i64(7, 8, -9)}, ts{tensor.Wrap(tensor.Int4, []int8{7, -8, 7}, 3)}},
		{"cast to bool", op.Cast{To: tensor.Bool}, ts{f32([]int{3}, 0, 0.1, nan)}, ts{tensor.From([]bool{false, true, true}, 3)}},
		{"slice grad", op.SliceGrad{Shape: []int{4}}, ts{f32([]int{2}, 1, 2), i64(-1), i64(-9), i64(0), i64(-2)}, ts{f32([]int{4}, 0, 2, 0, 1)}},
		{"pad grad", op.PadGrad{Mode: "edge", Shape: []int{2}, Pads: []int{2, 1}}, ts{f32([]int{5}, 1, 2, 3, 4, 5)}, ts{f32([]int{2}, 6, 9)}},
		{"where", op.Where{}, ts{tensor.From([]bool{true, false}, 2), i64(1), i64(5, 6)}, ts{i64(1, 6)}},
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
