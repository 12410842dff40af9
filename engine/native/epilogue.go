package native

import (
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

// epilogue is what a product does with its sums before it stores them.
type epilogue struct {
	out    *ir.Value // what is stored
	clip   bool
	lo, hi float32
}

// epilogueOf returns the clip that is the only consumer of a node's result: the
// product then stores the clip's result, and the clip is done.
func (c *compiler) epilogueOf(n *ir.Node) epilogue {
	v := n.Out[0]
	e := epilogue{out: v, lo: float32(math.Inf(-1)), hi: float32(math.Inf(1))}
	if len(v.Uses()) != 1 || c.isBorder(v) {
		return e
	}
	u := v.Uses()[0]
	if u.Port != 0 {
		return e
	}
	lo, hi := float32(0), e.hi
	switch u.Node.Op.(type) {
	case op.Relu:
	case op.Clip:
		var ok bool
		if lo, hi, ok = clipBounds(u.Node, 1); !ok {
			return e
		}
	default:
		return e
	}
	c.done[u.Node.ID] = n
	return epilogue{u.Node.Out[0], true, lo, hi}
}

// alsoDone returns the node that an epilogue does.
func (c *compiler) alsoDone(e epilogue) *ir.Node {
	if !e.clip {
		return nil
	}
	return e.out.Def
}
