package hessian

import (
	"errors"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// This file has the third form of the estimator, for models that do not classify,
// such as detectors, whose loss no file tells: how sharply all float outputs y move
// away from what they are, each relative to its size,
//
//	L = Σ_outputs 1/2N Σ_n ‖y_n - t_n‖²/‖t_n‖²     t the outputs with the weights as they are
//
// There the residual is zero, and with it what second derivatives of y add:
//
//	H_ll = 1/N Σ_outputs Σ_n J_nᵀ J_n/‖t_n‖²       J_n = ∂y_n/∂w_l
//	tr H_ll = 1/N E‖Σ_outputs Σ_n J_nᵀ u_n/‖t_n‖‖²  u of independent ±1
//
// One probe takes a backward pass. Labels play no part. The loss is that of
// distillation by relative errors, which trains such models without labels.

// classifies reports whether g has scores of two classes or more as its only float
// output.
func classifies(g *ir.Graph) bool {
	list := floats(g)
	if len(list) != 1 || list[0] != g.Outputs[0] {
		return false
	}
	t := scores(g).Type
	return t.IsScores() && !t.Dims[1].IsOne()
}

// floats returns the float outputs.
func floats(g *ir.Graph) (list []*ir.Value) {
	for _, v := range g.Outputs {
		if v.Type.DType == tensor.Float32 && v.Type.Rank() > 0 {
			list = append(list, v)
		}
	}
	return list
}

// leastSize keeps an output that is zero in a sample from counting infinitely.
const leastSize = 1e-12

// newOutputs builds the graph: inputs are those of the model and for each probe one
// u of the size of each output.
func newOutputs(g *ir.Graph, names []string, batch []*tensor.Tensor, probes int) (*product, error) {
	if len(floats(g)) == 0 {
		return nil, errors.New("the model has no output of type float32")
	}
	return newGradients(g, names, batch, probes, func(b *ir.Builder) (list []probed) {
		for _, v := range floats(b.G) {
			y := b.Op(op.Flatten{Axis: 1}, "hessian/output", v)
			squares := b.Op(op.ReduceSum{KeepDims: true}, "hessian/squares", b.Op(op.Mul{}, "hessian/square", y, y), b.ConstInts("hessian/axis", 1))
			size := b.Op(op.Sqrt{}, "hessian/size", b.Op(op.Add{}, "hessian/least", squares, b.ConstF32("hessian/leastSize", leastSize)))
			list = append(list, probed{y, func(u *ir.Value) *ir.Value { return b.Op(op.Div{}, "hessian/factor", u, size) }})
		}
		return list
	})
}
