// Package autodiff turns a graph into one that also computes gradients:
// reverse mode, graph to graph. The backward pass is ordinary nodes appended
// to the same graph, so that one planner and one set of fusions serve both,
// and gradients can be differentiated again.
//
// Start at [Grad]. The derivative of each operator is its Differentiable facet
// in package op; this package only orders and sums.
package autodiff

import (
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// Rule is the rule name recorded in every node of the backward pass.
const Rule = "autodiff"

// Grad appends the nodes that compute d loss / d w for every w in wrt, and
// returns those gradients in the same order; an entry is nil if loss does not
// depend on w. loss must be a float scalar (or hold one element), and all types
// on the way must be known (see [ir.Graph.Specialize]).
//
// Where a value has several consumers their contributions are added in the
// order of the consumers, last one first, so the sum does not depend on
// anything but the graph. All operators on the way that have no gradient are
// reported together, each with its reason.
func Grad(g *ir.Graph, loss *ir.Value, wrt []*ir.Value) ([]*ir.Value, error) {
	shape, ok := loss.Type.Shape()
	if !ok || shape.Numel() != 1 || loss.Type.DType != tensor.Float32 {
		return nil, fmt.Errorf("loss %q: got %v, want one float32 element", loss.Name, loss.Type)
	}
	nodes := g.Nodes()
	last := len(nodes) // the forward pass; backward nodes are appended behind it

	// needs: values through which loss depends on some w.
	needs := make([]bool, g.NumValues())
	for _, w := range wrt {
		needs[w.ID] = true
	}
	for _, n := range nodes {
		for _, v := range n.In {
			if v != nil && needs[v.ID] && v.Type.DType.IsFloat() {
				for _, o := range n.Out {
					if o != nil && o.Type.DType.IsFloat() {
						needs[o.ID] = true
					}
				}
				break
			}
		}
	}

	b := ir.NewBuilder(g, Rule)
	cot := make([]*ir.Value, g.NumValues()) // cotangents by value ID
	seed := tensor.New(tensor.Float32, shape...)
	seed.F32()[0] = 1
	cot[loss.ID] = b.Const("grad/seed", seed)

	var errs []error
	for i := last - 1; i >= 0; i-- {
		n := nodes[i]
		dOut := make([]*ir.Value, len(n.Out))
		any := false
		for k, o := range n.Out {
			if o != nil && needs[o.ID] && cot[o.ID] != nil {
				dOut[k], any = cot[o.ID], true
			}
		}
		if !any {
			continue
		}
		need := make([]bool, len(n.In))
		want := false
		for k, v := range n.In {
			need[k] = v != nil && needs[v.ID] && v.Type.DType.IsFloat()
			want = want || need[k]
		}
		if !want {
			continue
		}
		d, ok := n.Op.(ir.Differentiable)
		if !ok {
			reason := "the operator has no gradient"
			if nd, ok := n.Op.(ir.NonDifferentiable); ok {
				reason = nd.NoGrad()
			}
			errs = append(errs, n.Errorf("grad", "%s", reason))
			continue
		}
		dIn, err := d.Grad(b, n, dOut, need)
		if err != nil {
			errs = append(errs, n.Wrap("grad", err))
			continue
		}
		if err := b.Err(); err != nil {
			return nil, err
		}
		for k, dv := range dIn {
			if dv == nil || !need[k] {
				continue
			}
			v := n.In[k]
			if !dv.Type.Equal(v.Type) {
				return nil, n.Errorf("grad", "gradient of input %d has type %v, want %v", k, dv.Type, v.Type)
			}
			if prev := cot[v.ID]; prev != nil {
				dv = b.Op(op.Add{}, v.Name+"/grad_sum", prev, dv)
			}
			cot[v.ID] = dv
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := b.Err(); err != nil {
		return nil, err
	}
	grads := make([]*ir.Value, len(wrt))
	for i, w := range wrt {
		grads[i] = cot[w.ID]
	}
	return grads, nil
}
