package native

import (
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// Masks lie on weights, so they are carried out once per run and weight, in
// row-major order, and never touch an activation.

// maskTasks cuts the elements of a weight into tasks.
func (c *compiler) maskTasks(n int, f func(lo, hi int)) func() error {
	return runSized(c.pool, (n+taskLen-1)/taskLen, n, func(t, _ int) { f(t*taskLen, min(n, (t+1)*taskLen)) })
}

func lowerMask(c *compiler, n *ir.Node) error {
	if !isFloat(n.In[0]) || n.In[0].Type.MustShape().Numel() == 0 {
		return lowerReference(c, n)
	}
	x, m, y := c.in(n.In[0], rowMajor), c.in(n.In[1], rowMajor), c.out(n.Out[0], rowMajor)
	c.emitFormer(n, "Mask", []*slot{x, m}, y, func() formerFuncs {
		xd, md, yd := x.f32(), tensor.Data[uint8](m.data), y.f32()
		return formerFuncs{run: func(_, lo, hi int) {
			dst, src := yd[lo:hi], xd[lo:hi]
			for i, k := range md[lo:hi] { // all ones or all zeros, which no branch has to guess
				dst[i] = math.Float32frombits(math.Float32bits(src[i]) & -uint32(k))
			}
		}}
	})
	return nil
}

func lowerRBMask(c *compiler, n *ir.Node) error {
	if n.In[0].Type.MustShape().Numel() == 0 {
		return lowerReference(c, n)
	}
	o := n.Op.(op.RBMask)
	w, s, step, y := c.in(n.In[0], rowMajor), c.in(n.In[1], rowMajor), c.in(n.In[2], rowMajor), c.out(n.Out[0], rowMajor)
	c.emitFormer(n, "RBMask", []*slot{w, s, step}, y, func() formerFuncs {
		wd, sd, yd := w.f32(), s.f32(), y.f32()
		var r op.RBStream
		return formerFuncs{
			begin: func() { r = o.Stream(step.data.I64()[0]) },
			run:   func(_, lo, hi int) { r.Apply(yd, wd, sd, lo, hi) },
		}
	})
	return nil
}

func lowerRBMaskGrad(c *compiler, n *ir.Node) error {
	if n.In[0].Type.MustShape().Numel() == 0 {
		return lowerReference(c, n)
	}
	o := op.RBMask(n.Op.(op.RBMaskGrad))
	w, s, step, dy := c.in(n.In[0], rowMajor), c.in(n.In[1], rowMajor), c.in(n.In[2], rowMajor), c.in(n.In[3], rowMajor)
	outs := make([]*slot, 2)
	for i := range outs {
		if v := n.Output(i); v != nil {
			outs[i] = c.out(v, rowMajor)
		}
	}
	c.emit(n, "RBMaskGrad", []*slot{w, s, step, dy}, outs, func() func() error {
		wd, sd, dyd := w.f32(), s.f32(), dy.f32()
		var dw, ds []float32
		if outs[0] != nil {
			dw = outs[0].f32()
		}
		if outs[1] != nil {
			ds = outs[1].f32()
		}
		var r op.RBStream
		run := c.maskTasks(len(wd), func(lo, hi int) { r.Grad(dw, ds, wd, sd, dyd, lo, hi) })
		return func() error {
			r = o.Stream(step.data.I64()[0])
			return run()
		}
	})
	return nil
}

// lowerRBLossGrad writes the gradients of all scores, tensor by tensor.
func lowerRBLossGrad(c *compiler, n *ir.Node) error {
	o := op.RBLoss(n.Op.(op.RBLossGrad))
	in := make([]*slot, len(n.In))
	for i, v := range n.In {
		in[i] = c.in(v, rowMajor)
	}
	outs := make([]*slot, len(n.In)-3)
	for i := range outs {
		if v := n.Output(i); v != nil {
			outs[i] = c.out(v, rowMajor)
		}
	}
	c.emit(n, "RBLossGrad", in, outs, func() func() error {
		scores := make([]*tensor.Tensor, len(outs))
		for i := range scores {
			scores[i] = in[3+i].data
		}
		var k float64
		var runs []func() error
		factors := make([]float64, len(outs))
		for i, out := range outs {
			if out == nil {
				continue
			}
			d, s := out.f32(), scores[i].F32()
			run := c.maskTasks(len(d), func(lo, hi int) {
				for j := lo; j < hi; j++ {
					d[j] = 0
					if k != 0 {
						d[j] = float32(k * op.RBLossSlope(s[j]))
					}
				}
			})
			runs = append(runs, func() error { k = factors[i]; return run() })
		}
		return func() error {
			clear(factors)
			if in[2].data.I64()[0] >= 0 {
				copy(factors, o.Factors(in[1].f32(), scores))
				for i := range factors {
					factors[i] *= float64(in[0].f32()[0])
				}
			}
			for _, run := range runs {
				if err := run(); err != nil {
					return err
				}
			}
			return nil
		}
	})
	return nil
}
