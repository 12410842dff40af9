package op

import (
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// Sigmoid is y = 1 / (1 + e⁻ˣ), elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Sigmoid.html
type Sigmoid struct{ floatUnary }

var (
	_ ir.Evaluator      = Sigmoid{}
	_ ir.Differentiable = Sigmoid{}
	_ ir.Costed         = Sigmoid{}
	_ ir.AxisMapper     = Sigmoid{}
	_ ir.QuantTraited   = Sigmoid{}
)

func (Sigmoid) Kind() string { return "Sigmoid" }

func (Sigmoid) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], sigmoid))
}

func (Sigmoid) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(b.Op(SigmoidGrad{}, n.Name+"/grad", n.Out[0], dOut[0]), n)
}

func (Sigmoid) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

// SigmoidGrad is dx = dy·y·(1-y). Internal: the gradient of [Sigmoid].
//
//	in  0 y, the output of Sigmoid   1 dy
//	out 0 dx
type SigmoidGrad struct{ gradBinary }

var (
	_ ir.Evaluator      = SigmoidGrad{}
	_ ir.Differentiable = SigmoidGrad{}
	_ ir.Costed         = SigmoidGrad{}
)

func (SigmoidGrad) Kind() string { return "SigmoidGrad" }

func (SigmoidGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(zipSame(in[0], in[1], func(y, dy float64) float64 { return dy * y * (1 - y) }))
}

func (g SigmoidGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	out, err := gradOfMasked(g, b, n, dOut, need)
	if need[0] {
		c, y, dy := gradCalc(b, n), n.In[0], n.In[1]
		out[0] = c.mul(c.mul(dOut[0], dy), c.rsub(1, c.scale(y, 2)))
	}
	return out, err
}

// Tanh is y = tanh x, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Tanh.html
type Tanh struct{ floatUnary }

var (
	_ ir.Evaluator      = Tanh{}
	_ ir.Differentiable = Tanh{}
	_ ir.Costed         = Tanh{}
	_ ir.AxisMapper     = Tanh{}
	_ ir.QuantTraited   = Tanh{}
)

func (Tanh) Kind() string { return "Tanh" }

func (Tanh) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], math.Tanh))
}

func (Tanh) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(b.Op(TanhGrad{}, n.Name+"/grad", n.Out[0], dOut[0]), n)
}

func (Tanh) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

// TanhGrad is dx = dy·(1-y²). Internal: the gradient of [Tanh].
//
//	in  0 y, the output of Tanh   1 dy
//	out 0 dx
type TanhGrad struct{ gradBinary }

var (
	_ ir.Evaluator      = TanhGrad{}
	_ ir.Differentiable = TanhGrad{}
	_ ir.Costed         = TanhGrad{}
)

func (TanhGrad) Kind() string { return "TanhGrad" }

func (TanhGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(zipSame(in[0], in[1], func(y, dy float64) float64 { return dy * (1 - y*y) }))
}

func (g TanhGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	out, err := gradOfMasked(g, b, n, dOut, need)
	if need[0] {
		c, y, dy := gradCalc(b, n), n.In[0], n.In[1]
		out[0] = c.mul(c.mul(dOut[0], dy), c.scale(y, -2))
	}
	return out, err
}
