package native

import (
	"math"

	"github.com/go-nncf/nncf/internal/kernel/period"
	"github.com/go-nncf/nncf/internal/kernel/quant"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

// symmetricGrid fills a grid, one entry per scale repeated to period p, at this
// point of the run, or at its start if the scale is stored.
func (c *compiler) symmetricGrid(n *ir.Node, q op.FakeQuantizeSymmetric, scale *ir.Value, p int) *temp {
	s := c.in(scale, rowMajor)
	k := s.shape.Numel()
	buf, raw := c.temp(4*p), c.temp(p)
	bind := func() func() error {
		src, g := s.f32(), quant.NewGrid(buf.mem, p)
		return func() error {
			period.Expand(raw.mem, src[:k])
			if q.LogScale {
				for i, v := range raw.mem {
					raw.mem[i] = float32(math.Exp(float64(v)))
				}
			}
			g.Symmetric(raw.mem, q.Low, q.High)
			return nil
		}
	}
	if scale.IsStored() {
		c.emitFirst("quantizer grid", []*slot{s}, bind, buf, raw)
	} else {
		c.emit(n, "quantizer grid", []*slot{s}, nil, bind, buf, raw)
	}
	return buf
}

// channelLayout says where axis lies in value v: per tensor, along channels of
// channels-last tiles, or as rows of length row in row-major memory.
func channelLayout(v *ir.Value, axis int) (o order, perTensor, tiled bool, row int) {
	s := v.Type.MustShape()
	switch {
	case axis < 0:
		return rowMajor, true, true, 0
	case axis == 1 && len(s) >= 3:
		return channelsLast, false, true, 0
	case axis == len(s)-1:
		return rowMajor, false, true, 0
	}
	return rowMajor, false, false, s[axis+1:].Numel()
}

// levelsFit reports whether the kernel's grid is the operator's.
func levelsFit(q op.FakeQuantizeSymmetric) bool { return q.Levels == 0 || q.Levels == q.High-q.Low+1 }

func lowerFakeQuantizeSymmetric(c *compiler, n *ir.Node) error {
	q := n.Op.(op.FakeQuantizeSymmetric)
	xv := n.In[0]
	if !isFloat(n.In...) || !levelsFit(q) {
		return lowerReference(c, n)
	}
	o, perTensor, tiled, row := channelLayout(xv, q.Axis)
	if tiled {
		p := 1
		x := c.any(xv)
		if !perTensor {
			x = c.in(xv, o)
			p = period.Len(n.In[1].Type.MustShape().Numel())
		}
		buf := c.symmetricGrid(n, q, n.In[1], p)
		l := &link{node: n, name: "FakeQuantize", in: []*slot{x}, out: c.out(n.Out[0], x.order), temps: []*temp{buf}}
		l.bind = func() tileFunc {
			g := quant.NewGrid(buf.mem, p)
			return func(_ tile, dst []float32, src [][]float32) { quant.Forward(dst, src[0], g) }
		}
		c.emitChain(x, l)
		return nil
	}
	k := n.In[1].Type.MustShape().Numel()
	buf := c.symmetricGrid(n, q, n.In[1], k)
	x, y := c.in(xv, rowMajor), c.out(n.Out[0], rowMajor)
	rows := x.shape.Numel() / row
	per := max(1, taskLen/row)
	c.emit(n, "FakeQuantize rows", []*slot{x}, []*slot{y}, func() func() error {
		g, xd, yd := quant.NewGrid(buf.mem, k), x.f32(), y.f32()
		return runTasks(c.pool, (rows+per-1)/per, func(t, _ int) {
			lo, hi := t*per, min(rows, (t+1)*per)
			quant.ForwardRows(yd[lo*row:hi*row], xd[lo*row:hi*row], row, g, lo%k)
		})
	}, buf)
	return nil
}

func lowerFakeQuantizeSymmetricGrad(c *compiler, n *ir.Node) error {
	q := op.FakeQuantizeSymmetric(n.Op.(op.FakeQuantizeSymmetricGrad))
	if !isFloat(n.In...) || !levelsFit(q) || q.LogScale || n.Output(0) == nil {
		return lowerReference(c, n)
	}
	xv, sv, dyv := n.In[0], n.In[1], n.In[2]
	scale := c.in(sv, rowMajor)
	k := scale.shape.Numel()
	o, perTensor, tiled, row := channelLayout(xv, q.Axis)
	var fold func() func() []quant.Sums
	var parts []*temp
	if tiled {
		p := 1
		x := c.any(xv)
		if !perTensor {
			x = c.in(xv, o)
			p = period.Len(k)
		}
		buf := c.symmetricGrid(n, q, sv, p)
		dy := c.in(dyv, x.order)
		size := quant.SumsLen(p)
		_, tasks := chainTasks(x.shape.Numel(), chainUnit(x))
		part, own := c.temp(size*tasks), c.temp(size*tasks)
		l := &link{node: n, name: "FakeQuantizeGrad", in: []*slot{x, dy}, out: c.out(n.Out[0], x.order), temps: []*temp{buf, part, own}}
		l.bind = func() tileFunc {
			g := quant.NewGrid(buf.mem, p)
			return func(t tile, dst []float32, src [][]float32) {
				acc := part.mem[t.task*size:][:size]
				if t.first {
					quant.Backward(dst, src[1], src[0], g, acc)
					return
				}
				s := own.mem[t.task*size:][:size]
				quant.Backward(dst, src[1], src[0], g, s)
				for i, v := range s {
					acc[i] += v
				}
			}
		}
		c.emitChain(x, l)
		parts = []*temp{part}
		fold = func() func() []quant.Sums {
			sums := make([]quant.Sums, k)
			return func() []quant.Sums {
				clear(sums)
				quant.Fold(sums, part.mem, p)
				return sums
			}
		}
	} else {
		buf := c.symmetricGrid(n, q, sv, k)
		x, dy, dx := c.in(xv, rowMajor), c.in(dyv, rowMajor), c.out(n.Out[0], rowMajor)
		rows := x.shape.Numel() / row
		per := max(1, taskLen/row)
		rowSums := make([]quant.Sums, rows)
		c.emit(n, "FakeQuantizeGrad rows", []*slot{x, dy}, []*slot{dx}, func() func() error {
			g, xd, dyd, dxd := quant.NewGrid(buf.mem, k), x.f32(), dy.f32(), dx.f32()
			return runTasks(c.pool, (rows+per-1)/per, func(t, _ int) {
				lo, hi := t*per, min(rows, (t+1)*per)
				quant.BackwardRows(dxd[lo*row:hi*row], dyd[lo*row:hi*row], xd[lo*row:hi*row], row, g, lo%k, rowSums[lo:hi])
			})
		}, buf)
		fold = func() func() []quant.Sums {
			sums := make([]quant.Sums, k)
			return func() []quant.Sums {
				clear(sums)
				for r, s := range rowSums {
					sums[r%k].Add(s)
				}
				return sums
			}
		}
	}
	if v := n.Output(1); v != nil {
		ds := c.out(v, rowMajor)
		c.emit(n, "scale gradient", []*slot{scale}, []*slot{ds}, func() func() error {
			sums, s, d := fold(), scale.f32(), ds.f32()
			return func() error {
				for i, t := range sums() {
					d[i] = t.ScaleGrad(s[i], q.Low, q.High, q.ExactSTE)
				}
				return nil
			}
		}, parts...)
	}
	return nil
}
