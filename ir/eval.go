package ir

import (
	"context"
	"fmt"

	"github.com/go-nncf/nncf/tensor"
)

// Eval runs the graph by the operators' reference evaluators, in order, and
// returns the outputs. inputs are by position; their shapes may differ from
// symbolic or unknown axes. want lists further values whose tensors to return,
// after the outputs. Assigns are not carried out.
//
// It is the slow, general executor: results may have shapes that depend on data.
func Eval(ctx context.Context, g *Graph, inputs []*tensor.Tensor, want ...*Value) ([]*tensor.Tensor, error) {
	if len(inputs) != len(g.Inputs) {
		return nil, fmt.Errorf("got %d inputs, want %d", len(inputs), len(g.Inputs))
	}
	env := make([]*tensor.Tensor, g.nextVal)
	left := make([]int, g.nextVal) // consumers still to come
	for i, v := range g.Inputs {
		if err := checkInput(v, inputs[i]); err != nil {
			return nil, err
		}
		env[v.ID] = inputs[i]
	}
	for _, v := range g.stored {
		env[v.ID] = v.Data
	}
	for _, n := range g.nodes {
		for _, v := range n.In {
			if v != nil {
				left[v.ID]++
			}
		}
	}
	keep := append(append([]*Value(nil), g.Outputs...), want...)
	for _, v := range keep {
		left[v.ID]++
	}
	for _, n := range g.nodes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, ok := n.Op.(Evaluator)
		if !ok {
			return nil, n.Errorf("eval", "operator has no reference evaluator")
		}
		in := make([]*tensor.Tensor, len(n.In))
		for i, v := range n.In {
			if v != nil {
				in[i] = env[v.ID]
			}
		}
		out, err := e.Eval(in)
		if err != nil {
			return nil, n.Wrap("eval", err)
		}
		for i, v := range n.Out {
			if v == nil {
				continue
			}
			if i >= len(out) || out[i] == nil {
				return nil, n.Errorf("eval", "output %d was not computed", i)
			}
			env[v.ID] = out[i]
		}
		for _, v := range n.In {
			if v != nil {
				if left[v.ID]--; left[v.ID] == 0 {
					env[v.ID] = nil
				}
			}
		}
	}
	results := make([]*tensor.Tensor, len(keep))
	for i, v := range keep {
		results[i] = env[v.ID]
	}
	return results, nil
}

func checkInput(v *Value, t *tensor.Tensor) error {
	if t == nil {
		return fmt.Errorf("input %q is missing", v.Name)
	}
	ok := t.DType() == v.Type.DType && t.Rank() == v.Type.Rank()
	for i := 0; ok && i < t.Rank(); i++ {
		ok = v.Type.Dims[i].MayEqual(Len(t.Shape()[i]))
	}
	if !ok {
		return fmt.Errorf("input %q: got %v, want %v", v.Name, t, v.Type)
	}
	return nil
}
