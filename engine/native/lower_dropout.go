package native

import (
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// lowerDropout draws the mask of each element from its position, the seed and
// the step, in whatever order the elements lie.
func lowerDropout(c *compiler, n *ir.Node) error {
	o := n.Op.(op.Dropout)
	ratio, train := 0.5, false
	constant := isFloat(n.In[0])
	if v := n.Input(1); v != nil {
		if constant = constant && oneConstant(v) && isFloat(v); constant {
			ratio = float64(v.Data.F32()[0])
		}
	}
	if v := n.Input(2); v != nil {
		if constant = constant && oneConstant(v); constant {
			train = tensor.Data[bool](v.Data)[0]
		}
	}
	step := n.Input(3)
	mask := n.Output(1)
	if !constant || n.Out[0] == nil {
		return lowerReference(c, n)
	}
	if !train || ratio == 0 {
		if mask != nil {
			return lowerReference(c, n)
		}
		return lowerIdentity(c, n)
	}
	if step == nil || !(ratio > 0 && ratio < 1) || n.In[0].Type.MustShape().Numel() == 0 {
		return lowerReference(c, n) // which says what is wrong
	}
	x, at := c.any(n.In[0]), c.in(step, rowMajor)
	ch, hw := 1, 1
	if x.order == channelsLast {
		ch, hw = x.channels(), x.shape[2:].Numel()
	}
	position := func(i int) int { // in row-major order
		if ch == 1 {
			return i
		}
		return i/(ch*hw)*ch*hw + i%ch*hw + i/ch%hw
	}
	scale := 1 - ratio
	l := &link{node: n, name: "Dropout", in: []*slot{x}, also: []*slot{at}, out: c.out(n.Out[0], x.order)}
	l.bind = func() tileFunc {
		return func(t tile, dst []float32, src [][]float32) {
			step := int(at.data.I64()[0])
			for k := range dst {
				v := float32(0)
				if op.DropoutKeep(o.Seed, step, position(t.lo+k), ratio) {
					v = float32(float64(src[0][k]) / scale)
				}
				dst[k] = v
			}
		}
	}
	c.emitChain(l.out, l)
	if mask == nil {
		return nil
	}
	m := &link{node: n, name: "Dropout mask", in: []*slot{x}, also: []*slot{at}, out: c.out(mask, x.order)}
	m.bind = func() tileFunc {
		return func(t tile, dst []float32, _ [][]float32) {
			step := int(at.data.I64()[0])
			for k := range dst {
				v := uint32(0)
				if op.DropoutKeep(o.Seed, step, position(t.lo+k), ratio) {
					v = one32
				}
				dst[k] = math.Float32frombits(v)
			}
		}
	}
	c.emitChain(m.out, m)
	return nil
}
