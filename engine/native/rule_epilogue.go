package native

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

// epilogue is what a product does with its sums before it stores them.
type epilogue struct {
	out    *ir.Value // what is stored
	clip   bool
	lo, hi float32
	reason string // why there is a clip that is not done
}

// epilogueOf returns the clip that is the only consumer of a node's result: the
// product then stores the clip's result, and the clip is done.
func (c *compiler) epilogueOf(n *ir.Node) epilogue {
	v := n.Out[0]
	e := epilogue{out: v, lo: float32(math.Inf(-1)), hi: float32(math.Inf(1))}
	if len(v.Uses()) != 1 || c.isBorder(v) {
		for _, u := range v.Uses() {
			switch u.Node.Op.(type) {
			case op.Relu, op.Clip:
				e.reason = fmt.Sprintf("%s %s is not done as the result is stored: others read the result too", u.Node.Op.Kind(), u.Node.Name)
			}
		}
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
	return epilogue{out: u.Node.Out[0], clip: true, lo: lo, hi: hi}
}

// stores tells the step of a product what it does as it stores.
func (s *step) stores(e epilogue) {
	switch {
	case e.clip:
		s.also = e.out.Def
		s.note("epilogue", true, "%s %s is done as the result is stored", s.also.Op.Kind(), s.also.Name)
	case e.reason != "":
		s.note("epilogue", false, "%s", e.reason)
	}
}
