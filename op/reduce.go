package op

import (
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// ReduceSum adds up the axes listed by input 1 (all of them if omitted).
//
//	in  0 x   1 axes int64 [k], optional
//	out 0 y, without the axes unless KeepDims
//
// https://onnx.ai/onnx/operators/onnx__ReduceSum.html
type ReduceSum struct {
	KeepDims          bool
	NoopWithEmptyAxes bool
}

func (ReduceSum) Kind() string { return "ReduceSum" }

func (r ReduceSum) Infer(in []*ir.Value) ([]ir.Type, error) {
	panic("op: ReduceSum is written with the other reductions")
}

func (r ReduceSum) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	panic("op: ReduceSum is written with the other reductions")
}
