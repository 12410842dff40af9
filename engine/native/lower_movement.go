package native

import (
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// movement returns the inputs of a movement mask, bound by bind.
func (c *compiler) movement(n *ir.Node, o op.MovementMask) (in []*slot, bind func() (m *op.MovementBlocks, refresh func())) {
	for _, v := range n.In {
		in = append(in, c.in(v, rowMajor))
	}
	return in, func() (*op.MovementBlocks, func()) {
		s := in[0].shape
		m := &op.MovementBlocks{MovementMask: o, R: s[0], C: s[1], W: in[0].f32(), S: in[1].f32(), Keep: tensor.Data[uint8](in[2].data)}
		return m, func() { m.Threshold = in[3].f32()[0] }
	}
}

// rowTasks cuts rows of the given number of elements into tasks.
func (c *compiler) rowTasks(rows, each int, f func(row int)) func() error {
	per := max(1, taskLen/max(1, each))
	return runSized(c.pool, (rows+per-1)/per, rows*each, func(t, _ int) {
		for r := t * per; r < min(rows, (t+1)*per); r++ {
			f(r)
		}
	})
}

func lowerMovementMask(c *compiler, n *ir.Node) error {
	if n.In[0].Type.MustShape().Numel() == 0 {
		return lowerReference(c, n)
	}
	in, bind := c.movement(n, n.Op.(op.MovementMask))
	y := c.out(n.Out[0], rowMajor)
	c.emit(n, "MovementMask", in, []*slot{y}, func() func() error {
		m, refresh := bind()
		yd := y.f32()
		run := c.rowTasks(m.R, m.C, func(r int) { m.Apply(yd, r) })
		return func() error { refresh(); return run() }
	})
	return nil
}

func lowerMovementMaskGrad(c *compiler, n *ir.Node) error {
	if n.In[0].Type.MustShape().Numel() == 0 {
		return lowerReference(c, n)
	}
	o := op.MovementMask(n.Op.(op.MovementMaskGrad))
	in, bind := c.movement(n, o)
	outs := make([]*slot, 2)
	for i := range outs {
		if v := n.Output(i); v != nil {
			outs[i] = c.out(v, rowMajor)
		}
	}
	c.emit(n, "MovementMaskGrad", in, outs, func() func() error {
		m, refresh := bind()
		dy := in[4].f32()
		var dw, ds []float32
		if outs[0] != nil {
			dw = outs[0].f32()
		}
		if outs[1] != nil {
			ds = outs[1].f32()
		}
		rows, _ := m.Blocks(m.R, m.C)
		run := c.rowTasks(rows, m.C*m.Rows, func(r int) { m.Grad(dw, ds, dy, r) })
		return func() error { refresh(); return run() }
	})
	return nil
}
