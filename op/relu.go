package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Relu is y = max(x, 0), elementwise. It has no QuantTrait: patterns fuse it
// with its producer, and no quantizer passes it.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Relu.html
type Relu struct{ numberUnary }

var (
	_ ir.Evaluator      = Relu{}
	_ ir.Differentiable = Relu{}
	_ ir.Costed         = Relu{}
	_ ir.AxisMapper     = Relu{}
)

func (Relu) Kind() string { return "Relu" }

func (Relu) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapNumbers(in[0], func(x float64) float64 {
		if x < 0 {
			return 0
		}
		return x // NaN too
	}, func(x int) int { return max(x, 0) }))
}

func (Relu) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(b.Op(ReluGrad{}, n.Name+"/grad", n.Out[0], dOut[0]), n)
}

// ReluGrad is dx = dy where y > 0, else 0. Internal: the gradient of [Relu].
//
//	in  0 y, the output of Relu   1 dy
//	out 0 dx
type ReluGrad struct{ gradBinary }

var (
	_ ir.Evaluator      = ReluGrad{}
	_ ir.Differentiable = ReluGrad{}
	_ ir.Costed         = ReluGrad{}
)

func (ReluGrad) Kind() string { return "ReluGrad" }

func (ReluGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(zipSame(in[0], in[1], func(y, dy float64) float64 {
		if y > 0 {
			return dy
		}
		return 0
	}))
}

func (g ReluGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	return gradOfMasked(g, b, n, dOut, need)
}

// gradBinary is what the gradients of elementwise functions share: an input or
// output of the function, and the gradient that arrives, of one type.
type gradBinary struct{}

func (gradBinary) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	return inferSame(in[0], in[1])
}

func (gradBinary) Cost(n *ir.Node) ir.Cost { return elementOps(n, 1) }

// inferSame is the inference for two floating-point operands of one type.
func inferSame(x, dy *ir.Value) ([]ir.Type, error) {
	if err := wantFloat(x, dy); err != nil {
		return nil, err
	}
	if err := wantSameDType(x, dy); err != nil {
		return nil, err
	}
	ok := x.Type.Rank() == dy.Type.Rank()
	for i := 0; ok && i < x.Type.Rank(); i++ {
		ok = x.Type.Dims[i].MayEqual(dy.Type.Dims[i])
	}
	if !ok {
		return nil, fmt.Errorf("got %v and gradient %v, want the same axes", x.Type, dy.Type)
	}
	return []ir.Type{x.Type}, nil
}

// zipSame is zip without broadcasting, for floating-point elements.
func zipSame(a, b *tensor.Tensor, f func(x, y float64) float64) (*tensor.Tensor, error) {
	if a.DType() != b.DType() || !a.DType().IsFloat() || !a.Shape().Equal(b.Shape()) {
		return nil, fmt.Errorf("got %v and %v, want one floating-point type", a, b)
	}
	x, _ := a.Float64s()
	y, _ := b.Float64s()
	for i := range x {
		x[i] = f(x[i], y[i])
	}
	return fromFloats(a.DType(), x, a.Shape()...), nil
}

// gradOfMasked is the gradient of an operator f(x, dy) that is linear in dy
// and piecewise constant in x: the operator itself, applied to the gradient.
func gradOfMasked(g ir.Op, b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	out := make([]*ir.Value, len(n.In))
	if need[1] {
		in := append([]*ir.Value(nil), n.In...)
		in[1] = dOut[0]
		out[1] = b.Op(g, n.Name+"/grad", in...)
	}
	return out, nil
}
