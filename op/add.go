package op

import (
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Add is y = a + b with NumPy broadcasting, for float32 and integers.
//
//	in  0 a   1 b
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Add.html
type Add struct{}

var (
	_ ir.Evaluator      = Add{}
	_ ir.Differentiable = Add{}
)

func (Add) Kind() string { return "Add" }

func (Add) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := wantSameDType(in...); err != nil {
		return nil, err
	}
	dims, err := ir.BroadcastDims(in[0].Type.Dims, in[1].Type.Dims)
	if err != nil {
		return nil, err
	}
	return []ir.Type{{DType: in[0].Type.DType, Dims: dims}}, nil
}

func (Add) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	panic("op: Add.Eval is written with the other elementwise operators")
}

func (Add) Grad(_ *ir.Builder, _ *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	panic("op: Add.Grad is written with the other elementwise operators")
}
