package hessian

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/autodiff"
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
	if t.Rank() < 2 || slices.ContainsFunc(t.Dims[2:], func(d ir.Dim) bool { return !d.IsOne() }) {
		return false
	}
	n, known := t.Dims[1].Known()
	return !known || n > 1
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
	s, err := g.Specialize(shapesOf(g, batch))
	if err != nil {
		return nil, err
	}
	p := &product{graph: s, probes: probes, inputs: len(g.Inputs)}
	weights, err := p.find(names)
	if err != nil {
		return nil, err
	}
	b := ir.NewBuilder(s, "hessian")
	var outputs, sizes []*ir.Value // flat, and the norms of their samples
	for _, v := range floats(s) {
		y := b.Op(op.Flatten{Axis: 1}, "hessian/output", v)
		squares := b.Op(op.ReduceSum{KeepDims: true}, "hessian/squares", b.Op(op.Mul{}, "hessian/square", y, y), b.ConstInts("hessian/axis", 1))
		outputs = append(outputs, y)
		sizes = append(sizes, b.Op(op.Sqrt{}, "hessian/size", b.Op(op.Add{}, "hessian/least", squares, b.ConstF32("hessian/leastSize", leastSize))))
	}
	scale := b.ConstF32("hessian/scale", 1/float32(batch[0].Shape()[0]))
	if err := b.Err(); err != nil {
		return nil, err
	}
	if len(outputs) == 0 {
		return nil, errors.New("the model has no output of type float32")
	}
	// Outputs are differentiated with constant factors: inputs that u/‖t‖ takes the
	// place of afterwards.
	type pair struct{ hole, factor *ir.Value }
	var pairs []pair
	var signs []*ir.Value
	for k := range probes {
		var along *ir.Value
		for i, y := range outputs {
			u := s.AddInput(s.UniqueName(fmt.Sprintf("hessian/probe%d_%d", k, i)), y.Type)
			hole := s.AddInput(s.UniqueName(fmt.Sprintf("hessian/hole%d_%d", k, i)), y.Type)
			d := b.Op(op.ReduceSum{}, "hessian/along", b.Op(op.Mul{}, "hessian/yu", y, hole))
			if along != nil {
				d = b.Op(op.Add{}, "hessian/sum", along, d)
			}
			along = d
			signs, pairs = append(signs, u), append(pairs, pair{hole, b.Op(op.Div{}, "hessian/factor", u, sizes[i])})
		}
		if err := b.Err(); err != nil {
			return nil, err
		}
		grads, err := autodiff.Grad(s, along, weights)
		if err != nil {
			return nil, fmt.Errorf("gradient: %w", err)
		}
		p.squares(b, grads, k, scale)
	}
	for _, x := range pairs {
		s.ReplaceUses(x.hole, x.factor)
	}
	s.Inputs = append(slices.Clone(s.Inputs[:p.inputs]), signs...)
	s.Outputs = p.outputs
	s.Prune()
	return p, errors.Join(b.Err(), s.Sort())
}
