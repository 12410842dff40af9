package op_test

import (
	"context"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit/gradcheck"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// The gradients of elementwise operators and reductions, and of their own
// gradient operators, against differences of their evaluators.
func TestGrad_Math(t *testing.T) {
	rnd, away, distinct, uni := gradcheck.Rand, gradcheck.AwayFrom, gradcheck.Distinct, gradcheck.Uniform
	pos := func(seed uint64, shape ...int) *tensor.Tensor { return uni(seed, 0.5, 2, shape...) }
	x := func() *tensor.Tensor { return away(1, 0, 0.1, 3, 4) }
	ax := gradcheck.Ints
	unary := func(o ir.Op, in *tensor.Tensor) gradcheck.Case {
		return gradcheck.Case{Name: o.Kind(), Op: o, In: ts{in}}
	}
	cases := []gradcheck.Case{
		{Name: "Add", Op: op.Add{}, In: ts{rnd(1, 2, 3, 4), rnd(2, 3, 1)}},
		{Name: "Sub", Op: op.Sub{}, In: ts{rnd(1, 3, 1), rnd(2, 2, 1, 4)}},
		{Name: "Mul", Op: op.Mul{}, In: ts{rnd(1, 2, 3, 4), rnd(2, 1, 4)}},
		{Name: "Mul/scalar", Op: op.Mul{}, In: ts{rnd(1), rnd(2, 3, 4)}},
		{Name: "Div", Op: op.Div{}, In: ts{rnd(1, 2, 3, 4), pos(2, 3, 1)}},
		{Name: "Pow", Op: op.Pow{}, In: ts{pos(1, 3, 4), rnd(2, 4)}},
		{Name: "Pow/square", Op: op.Pow{}, In: ts{rnd(1, 3, 4), f32(nil, 2)}, Wrt: []int{0}},
		{Name: "Pow/cube", Op: op.Pow{}, In: ts{rnd(1, 3, 4), f32(nil, 3)}, Wrt: []int{0}},
		{Name: "Pow/root", Op: op.Pow{}, In: ts{pos(1, 3, 4), f32(nil, 0.5)}, Wrt: []int{0}},
		{Name: "Mod", Op: op.Mod{Fmod: true}, In: ts{uni(1, 2.2, 2.8, 3, 4), uni(2, 0.9, 1.05, 3, 4)}},
		{Name: "Min", Op: op.Min{}, In: ts{distinct(1, 3, 4), uni(2, 0.03, 0.07, 4), f32(nil, 0.33)}},
		{Name: "Max", Op: op.Max{}, In: ts{distinct(1, 3, 4), uni(2, 0.03, 0.07, 3, 1)}},
		{Name: "Sum", Op: op.Sum{}, In: ts{rnd(1, 3, 4), rnd(2, 4), rnd(3, 1, 1)}},
		{Name: "Mean", Op: op.Mean{}, In: ts{rnd(1, 3, 4), rnd(2, 4), rnd(3)}},
		{Name: "PRelu", Op: op.PRelu{}, In: ts{x(), rnd(2, 4)}},
		{Name: "Clip", Op: op.Clip{}, In: ts{uni(1, -0.9, 0.9, 3, 4), f32(nil, -1), f32(nil, 1)}},
		{Name: "Clip/bounds", Op: op.Clip{}, In: ts{away(1, 1, 0.2, 5, 4), f32(nil, -9), f32(nil, 1)}},
		{Name: "Clip/upper", Op: op.Clip{}, In: ts{away(1, 0.5, 0.1, 5, 4), nil, f32(nil, 0.5)}},
		{Name: "Where", Op: op.Where{}, In: ts{tensor.From([]bool{true, false, true}, 3, 1), rnd(1, 3, 4), rnd(2, 4)}},
		unary(op.Neg{}, rnd(1, 3)), unary(op.Abs{}, x()), unary(op.Sign{}, x()), unary(op.Reciprocal{}, pos(1, 3, 4)),
		unary(op.Exp{}, x()), unary(op.Log{}, pos(1, 3, 4)), unary(op.Sqrt{}, pos(1, 3, 4)),
		unary(op.Floor{}, uni(1, 0.2, 0.8, 4)), unary(op.Ceil{}, uni(1, 0.2, 0.8, 4)), unary(op.Round{}, uni(1, 0.6, 0.9, 4)),
		unary(op.Erf{}, x()), unary(op.Sin{}, x()), unary(op.Cos{}, x()), unary(op.Tan{}, uni(1, -1, 1, 4)),
		unary(op.Asin{}, uni(1, -0.9, 0.9, 5)), unary(op.Acos{}, uni(1, -0.9, 0.9, 5)), unary(op.Atan{}, x()),
		unary(op.Sinh{}, x()), unary(op.Cosh{}, x()), unary(op.Asinh{}, x()), unary(op.Acosh{}, uni(1, 1.2, 3, 5)), unary(op.Atanh{}, uni(1, -0.9, 0.9, 5)),
		unary(op.Softplus{}, x()), unary(op.Softsign{}, x()), unary(op.Sigmoid{}, x()), unary(op.Tanh{}, x()),
		unary(op.Relu{}, x()), unary(op.LeakyRelu{Alpha: 0.1}, x()), unary(op.Elu{Alpha: 0.7}, x()),
		unary(op.Selu{Alpha: 1.5, Gamma: 1.1}, x()), unary(op.Celu{Alpha: 2}, x()), unary(op.ThresholdedRelu{Alpha: 0.3}, away(1, 0.3, 0.1, 3, 4)),
		unary(op.Shrink{Bias: 0.1, Lambda: 0.5}, away(1, 0.5, 0.1, 4)), unary(op.HardSigmoid{Alpha: 0.2, Beta: 0.5}, rnd(1, 3, 4)),
		unary(op.HardSwish{}, uni(1, -2.9, 2.9, 20)), unary(op.Gelu{}, x()), unary(op.Swish{Alpha: 1.3}, x()), unary(op.Mish{}, x()),
		{Name: "Gelu/tanh", Op: op.Gelu{Tanh: true}, In: ts{x()}},
		{Name: "HardSwish/outside", Op: op.HardSwish{}, In: ts{f32([]int{3}, -5, 3.5, 9)}},

		{Name: "ReluGrad", Op: op.ReluGrad{}, In: ts{x(), rnd(2, 3, 4)}},
		{Name: "LeakyReluGrad", Op: op.LeakyReluGrad{Alpha: 0.1}, In: ts{x(), rnd(2, 3, 4)}},
		{Name: "ClipGrad", Op: op.ClipGrad{}, In: ts{away(1, 0.5, 0.1, 3, 4), rnd(2, 3, 4), nil, f32(nil, 0.5)}, Wrt: []int{0, 1}},
		{Name: "SigmoidGrad", Op: op.SigmoidGrad{}, In: ts{x(), rnd(2, 3, 4)}},
		{Name: "TanhGrad", Op: op.TanhGrad{}, In: ts{x(), rnd(2, 3, 4)}},
		{Name: "HardSigmoidGrad", Op: op.HardSigmoidGrad{Alpha: 0.2, Beta: 0.5}, In: ts{x(), rnd(2, 3, 4)}},
		{Name: "HardSwishGrad", Op: op.HardSwishGrad{}, In: ts{uni(1, -2.9, 2.9, 3, 4), rnd(2, 3, 4)}},
		{Name: "GeluGrad", Op: op.GeluGrad{}, In: ts{x(), rnd(2, 3, 4)}},
		{Name: "GeluGrad/tanh", Op: op.GeluGrad{Tanh: true}, In: ts{x(), rnd(2, 3, 4)}},
		{Name: "SwishGrad", Op: op.SwishGrad{Alpha: 1.3}, In: ts{x(), rnd(2, 3, 4)}},
	}
	type reduced struct {
		keep, drop ir.Op
		in         *tensor.Tensor
	}
	for _, r := range []reduced{
		{op.ReduceSum{KeepDims: true}, op.ReduceSum{}, rnd(1, 2, 3, 4)},
		{op.ReduceMean{KeepDims: true}, op.ReduceMean{}, rnd(1, 2, 3, 4)},
		{op.ReduceMax{KeepDims: true}, op.ReduceMax{}, distinct(1, 2, 3, 4)},
		{op.ReduceMin{KeepDims: true}, op.ReduceMin{}, distinct(1, 2, 3, 4)},
		{op.ReduceProd{KeepDims: true}, op.ReduceProd{}, pos(1, 2, 3, 4)},
		{op.ReduceL1{KeepDims: true}, op.ReduceL1{}, away(1, 0, 0.1, 2, 3, 4)},
		{op.ReduceL2{KeepDims: true}, op.ReduceL2{}, rnd(1, 2, 3, 4)},
		{op.ReduceSumSquare{KeepDims: true}, op.ReduceSumSquare{}, rnd(1, 2, 3, 4)},
		{op.ReduceLogSum{KeepDims: true}, op.ReduceLogSum{}, pos(1, 2, 3, 4)},
		{op.ReduceLogSumExp{KeepDims: true}, op.ReduceLogSumExp{}, rnd(1, 2, 3, 4)},
	} {
		k := r.keep.Kind()
		cases = append(cases,
			gradcheck.Case{Name: k + "/keep", Op: r.keep, In: ts{r.in, ax(-1)}},
			gradcheck.Case{Name: k + "/drop", Op: r.drop, In: ts{r.in, ax(0, 2)}},
			gradcheck.Case{Name: k + "/all", Op: r.drop, In: ts{r.in}})
	}
	gradcheck.Run(t, cases)
}

// Elements that tie for an extremum share the gradient evenly, which central
// differences cannot see.
func TestGrad_Ties(t *testing.T) {
	for _, c := range []struct {
		name string
		op   ir.Op
		in   []*tensor.Tensor
		want []float32
	}{
		{"ReduceMax", op.ReduceMax{}, ts{f32([]int{4}, 1, 3, 3, 2)}, []float32{0, 0.5, 0.5, 0}},
		{"Max", op.Max{}, ts{f32([]int{2}, 1, 3), f32([]int{2}, 1, 2)}, []float32{0.5, 1}},
		{"Relu at zero", op.Relu{}, ts{f32([]int{3}, -1, 0, 1)}, []float32{0, 0, 1}},
		{"Clip at the bound", op.Clip{}, ts{f32([]int{3}, -1, 0, 1), f32(nil, 0)}, []float32{0, 1, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := ir.New("test")
			b := ir.NewBuilder(g, "")
			x := g.AddInput("x", ir.TypeOf(c.in[0]))
			in, need := []*ir.Value{x}, []bool{true}
			for _, v := range c.in[1:] {
				in, need = append(in, b.Const("c", v)), append(need, false)
			}
			y := b.Op(c.op, "y", in...)
			dy := tensor.New(tensor.Float32, y.Type.MustShape()...)
			for i := range dy.F32() {
				dy.F32()[i] = 1
			}
			grads, err := c.op.(ir.Differentiable).Grad(b, y.Def, []*ir.Value{b.Const("dy", dy)}, need)
			if err != nil || b.Err() != nil {
				t.Fatal(err, b.Err())
			}
			out, err := ir.Eval(context.Background(), g, c.in[:1], grads[0])
			if err != nil {
				t.Fatal(err)
			}
			if w := f32(c.in[0].Shape(), c.want...); !out[0].Equal(w) {
				t.Errorf("got %v, want %v", out[0].F32(), c.want)
			}
		})
	}
}
