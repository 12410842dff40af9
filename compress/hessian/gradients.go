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

// probed is a value y that a probe goes along: its random signs become the factors
// of y's elements.
type probed struct {
	y       *ir.Value
	factors func(signs *ir.Value) *ir.Value
}

// newGradients builds the graph of traces from first derivatives,
//
//	1/N ‖Σ_y ∂(y·factors)/∂w_l‖²
//
// for each probe and weight. Inputs are those of the model and for each probe the
// signs of each y.
func newGradients(g *ir.Graph, names []string, batch []*tensor.Tensor, probes int, prepare func(b *ir.Builder) []probed) (*product, error) {
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
	list := prepare(b)
	scale := b.ConstF32("hessian/scale", 1/float32(batch[0].Shape()[0]))
	if err := b.Err(); err != nil {
		return nil, err
	}
	// Factors count as constant: inputs that they take the place of afterwards.
	type pair struct{ hole, factors *ir.Value }
	var pairs []pair
	var signs []*ir.Value
	for k := range probes {
		var along *ir.Value
		for i, x := range list {
			u := s.AddInput(s.UniqueName(fmt.Sprintf("hessian/probe%d_%d", k, i)), x.y.Type)
			hole := s.AddInput(s.UniqueName(fmt.Sprintf("hessian/hole%d_%d", k, i)), x.y.Type)
			d := b.Op(op.ReduceSum{}, "hessian/along", b.Op(op.Mul{}, "hessian/product", x.y, hole))
			if along != nil {
				d = b.Op(op.Add{}, "hessian/sum", along, d)
			}
			along = d
			signs, pairs = append(signs, u), append(pairs, pair{hole, x.factors(u)})
		}
		if err := b.Err(); err != nil {
			return nil, err
		}
		grads, err := autodiff.Grad(s, along, weights)
		if err != nil {
			return nil, fmt.Errorf("gradient: %w", err)
		}
		for i, d := range grads {
			if d == nil {
				p.outputs = append(p.outputs, b.Op(op.Identity{}, "hessian/zero", b.ConstF32("hessian/none", 0)))
				continue
			}
			p.outputs = append(p.outputs, b.Op(op.Mul{}, fmt.Sprintf("%s/curvature%d", names[i], k), b.Op(op.ReduceSum{}, "hessian/norm", b.Op(op.Mul{}, "hessian/square", d, d)), scale))
		}
	}
	for _, x := range pairs {
		s.ReplaceUses(x.hole, x.factors)
	}
	s.Inputs = append(slices.Clone(s.Inputs[:p.inputs]), signs...)
	s.Outputs = p.outputs
	s.Prune()
	return p, errors.Join(b.Err(), s.Sort())
}
