package native

import (
	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/internal/kernel/norm"
	"github.com/go-nncf/nncf/internal/kernel/period"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

// sums are the partial sums of a link that has no result: one entry of length
// size per task of whatever runs the link.
type sums struct {
	part, own   *temp // own: the sums of the tile at hand
	size, tasks int
}

// recut gives the sums another number of tasks, before memory is placed.
func (s *sums) recut(tasks int) {
	s.tasks = tasks
	s.part.resize(s.size * tasks)
	s.own.resize(s.size * tasks)
}

// all returns the partial sums of all tasks, in order; for use in bind.
func (s *sums) all() []float32 { return s.part.mem[:s.tasks*s.size] }

// accumulate returns a sum link over the given operands: compute writes the
// sums of one tile, of length size, which are added up per task in tile order.
func (c *compiler) accumulate(n *ir.Node, name string, like *slot, size int, in []*slot, compute func(part []float32, src [][]float32)) (*link, *sums) {
	_, tasks := chainTasks(like.shape.Numel(), chainUnit(like))
	s := &sums{part: c.temp(0), own: c.temp(0), size: size}
	s.recut(tasks)
	l := &link{node: n, name: name, in: in, temps: []*temp{s.part, s.own}, sums: s}
	l.bind = func() tileFunc {
		return func(t tile, _ []float32, src [][]float32) {
			acc := s.part.mem[t.task*size:][:size]
			if t.first {
				compute(acc, src)
				return
			}
			p := s.own.mem[t.task*size:][:size]
			compute(p, src)
			elementwise.Add.Run(acc, acc, p)
		}
	}
	return l, s
}

// lowerBatchNorm runs batch normalization: in inference one affine map, in
// training statistics first.
func lowerBatchNorm(c *compiler, n *ir.Node) error {
	o := n.Op.(op.BatchNormalization)
	if !isFloat(n.In...) || n.In[0].Type.Rank() < 2 {
		return lowerReference(c, n)
	}
	xOrder := channelsLast
	if n.In[0].Type.Rank() == 2 {
		xOrder = rowMajor
	}
	x := c.in(n.In[0], xOrder)
	ch := x.channels()
	p := period.Len(ch)
	rows := x.rows()
	gamma, beta, runMean, runVar := c.periodic(n.In[1]), c.periodic(n.In[2]), c.periodic(n.In[3]), c.periodic(n.In[4])
	scale, shift := c.temp(p), c.temp(p)
	if !o.Training {
		inv := c.temp(p)
		c.emit(n, "affine", nil, nil, func() func() error {
			return func() error {
				norm.InvStd(inv.mem[:ch], runVar.mem, o.Epsilon)
				norm.Affine(scale.mem, shift.mem, gamma.mem, beta.mem, runMean.mem[:ch], inv.mem[:ch])
				return nil
			}
		}, gamma, beta, runMean, runVar, inv, scale, shift)
	} else {
		mean, variance, inv := c.temp(ch), c.temp(ch), c.temp(ch)
		l, part := c.accumulate(n, "statistics", x, norm.StatsLen(p), []*slot{x}, func(part []float32, src [][]float32) {
			norm.Stats(part, src[0], runMean.mem)
		})
		l.temps = append(l.temps, runMean)
		c.emitChain(x, l)
		outs := make([]*slot, 4)
		for i := range outs {
			if v := n.Output(1 + i); v != nil {
				outs[i] = c.out(v, rowMajor)
			}
		}
		c.emit(n, "moments", nil, outs, func() func() error {
			data := make([][]float32, len(outs))
			for i, s := range outs {
				if s != nil {
					data[i] = s.f32()
				}
			}
			update := func(dst, running, batch []float32) {
				if dst != nil {
					copy(dst, running)
					norm.UpdateRunning(dst, batch, 1-float64(o.Momentum), 1)
				}
			}
			return func() error {
				m, v, r := mean.mem[:ch], variance.mem[:ch], inv.mem[:ch]
				norm.Moments(m, v, part.all(), runMean.mem, rows)
				norm.InvStd(r, v, o.Epsilon)
				norm.Affine(scale.mem, shift.mem, gamma.mem, beta.mem, m, r)
				update(data[0], runMean.mem, m)
				update(data[1], runVar.mem, v)
				copy(data[2], m)
				copy(data[3], r)
				return nil
			}
		}, part.part, runMean, runVar, gamma, beta, mean, variance, inv, scale, shift)
	}
	c.emitScaleShift(n, x, scale, shift)
	return nil
}

// emitScaleShift appends y = x·scale + shift, per channel.
func (c *compiler) emitScaleShift(n *ir.Node, x *slot, scale, shift *temp) {
	l := &link{node: n, name: "scale-shift", cheap: true, in: []*slot{x}, out: c.out(n.Out[0], x.order), temps: []*temp{scale, shift}}
	l.bind = func() tileFunc {
		return func(_ tile, dst []float32, src [][]float32) {
			norm.Apply(dst, src[0], scale.mem, shift.mem, norm.Tail{})
		}
	}
	c.emitChain(x, l)
}

// lowerBatchNormAgain is batch normalization by statistics that are known, see
// recompute.go.
func lowerBatchNormAgain(c *compiler, n *ir.Node) error {
	o := channelsLast
	if n.In[0].Type.Rank() == 2 {
		o = rowMajor
	}
	x := c.in(n.In[0], o)
	ch := x.channels()
	gamma, beta := c.periodic(n.In[1]), c.periodic(n.In[2])
	mean, inv := c.in(n.In[3], rowMajor), c.in(n.In[4], rowMajor)
	scale, shift := c.temp(period.Len(ch)), c.temp(period.Len(ch))
	c.emit(n, "affine", []*slot{mean, inv}, nil, func() func() error {
		m, r := mean.f32()[:ch], inv.f32()[:ch]
		return func() error {
			norm.Affine(scale.mem, shift.mem, gamma.mem, beta.mem, m, r)
			return nil
		}
	}, gamma, beta, scale, shift)
	c.emitScaleShift(n, x, scale, shift)
	return nil
}

// lowerBatchNormGrad sums Σg and Σg·(x−mean), then maps dx = A·g + B·x + C.
func lowerBatchNormGrad(c *compiler, n *ir.Node) error {
	o := n.Op.(op.BatchNormGrad)
	if !isFloat(n.In...) || n.Input(3) == nil || n.Input(4) == nil {
		return lowerReference(c, n)
	}
	xOrder := channelsLast
	if n.In[0].Type.Rank() == 2 {
		xOrder = rowMajor
	}
	x, g := c.in(n.In[0], xOrder), c.in(n.In[2], xOrder)
	ch, rows := x.channels(), x.rows()
	p := period.Len(ch)
	gamma, mean, inv := c.periodic(n.In[1]), c.periodic(n.In[3]), c.periodic(n.In[4])
	if o.Frozen { // input 4 is the variance
		variance := inv
		inv = c.temp(p)
		c.emit(n, "inverse deviation", nil, nil, func() func() error {
			return func() error { norm.InvStd(inv.mem, variance.mem, o.Epsilon); return nil }
		}, variance, inv)
	}
	size := norm.GradStatsLen(p, false)
	l, part := c.accumulate(n, "gradient sums", x, size, []*slot{g, x}, func(part []float32, src [][]float32) {
		norm.GradStats(part, src[0], src[1], mean.mem, mean.mem, mean.mem, norm.Act{}, nil) // without act only the lengths of scale and shift count
	})
	l.temps = append(l.temps, mean)
	c.emitChain(x, l)
	a, b, k := c.temp(p), c.temp(p), c.temp(p)
	dgamma, dbeta := c.temp(ch), c.temp(ch)
	var outs [2]*slot
	for i := range outs {
		if v := n.Output(1 + i); v != nil {
			outs[i] = c.out(v, rowMajor)
		}
	}
	c.emit(n, "gradient coefficients", nil, outs[:], func() func() error {
		var d [2][]float32
		for i, s := range outs {
			if s != nil {
				d[i] = s.f32()
			}
		}
		return func() error {
			norm.GradCoef(a.mem, b.mem, k.mem, dgamma.mem, dbeta.mem, part.all(), gamma.mem, mean.mem[:ch], inv.mem[:ch], rows, false)
			copy(d[0], dgamma.mem)
			copy(d[1], dbeta.mem)
			if o.Frozen {
				clear(b.mem)
				clear(k.mem)
			}
			return nil
		}
	}, part.part, gamma, mean, inv, a, b, k, dgamma, dbeta)
	if v := n.Output(0); v != nil {
		m := &link{node: n, name: "A·g+B·x+C", in: []*slot{g, x}, out: c.out(v, xOrder), temps: []*temp{a, b, k}}
		m.bind = func() tileFunc {
			return func(_ tile, dst []float32, src [][]float32) {
				norm.GradApply(dst, src[0], src[1], norm.Affine3{A: a.mem, B: b.mem, C: k.mem}, norm.Act{}, nil)
			}
		}
		c.emitChain(x, m)
	}
	return nil
}
