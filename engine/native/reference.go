package native

import (
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// lowerReference runs a node by its operator's own evaluator, on row-major
// tensors. It allocates at each run.
func lowerReference(c *compiler, n *ir.Node) error {
	e, ok := n.Op.(ir.Evaluator)
	if !ok {
		return errors.New("operator has neither a kernel nor a reference evaluator")
	}
	var reads, writes []*slot
	in := make([]*slot, len(n.In))
	for i, v := range n.In {
		if v != nil {
			in[i] = c.in(v, rowMajor)
			reads = append(reads, in[i])
		}
	}
	out := make([]*slot, len(n.Out))
	for i, v := range n.Out {
		if v != nil {
			out[i] = c.out(v, rowMajor)
			writes = append(writes, out[i])
		}
	}
	c.emit(n, "reference", reads, writes, func() func() error {
		ts := make([]*tensor.Tensor, len(in))
		for i, s := range in {
			if s != nil {
				ts[i] = s.data
			}
		}
		return func() error {
			res, err := e.Eval(ts)
			if err != nil {
				return err
			}
			for i, s := range out {
				if s == nil {
					continue
				}
				if i >= len(res) || res[i] == nil {
					return fmt.Errorf("output %d was not computed", i)
				}
				if !res[i].Shape().Equal(s.shape) {
					return fmt.Errorf("output %d has shape %v, the plan has %v", i, res[i].Shape(), s.shape)
				}
				s.data.CopyFrom(res[i])
			}
			return nil
		}
	})
	return nil
}
