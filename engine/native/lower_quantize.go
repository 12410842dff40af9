package native

import (
	"math"

	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/internal/kernel/period"
	"github.com/go-nncf/nncf/internal/kernel/quant"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

// quantizer is what the lowerings of symmetric and asymmetric fake-quantizers
// share: how the grid is made of the parameters, and what the sums of the
// gradient mean for them.
type quantizer struct {
	axis   int
	params []*ir.Value // of equal length, one entry per channel
	// fill makes the grid of the raw parameters, each repeated to a period.
	fill func(g quant.Grid, raw [][]float32)
	// grads writes the gradients of the parameters of channel i.
	grads func(s quant.Sums, raw, d [][]float32, i int)
}

func symmetric(q op.FakeQuantizeSymmetric, scale *ir.Value) quantizer {
	return quantizer{
		axis: q.Axis, params: []*ir.Value{scale},
		fill: func(g quant.Grid, raw [][]float32) {
			if q.LogScale {
				for i, v := range raw[0] {
					raw[0][i] = float32(math.Exp(float64(v)))
				}
			}
			g.Symmetric(raw[0], q.Low, q.High)
		},
		grads: func(s quant.Sums, raw, d [][]float32, i int) {
			if q.ClipGrad {
				s.Inside = 0
			}
			size, factor := raw[0][i], factor(q.GradScale)
			if q.LogScale {
				size = float32(math.Exp(float64(size)))
				factor *= size
			}
			d[0][i] = factor * s.ScaleGrad(size, q.Low, q.High, q.ExactSTE)
		},
	}
}

func asymmetric(q op.FakeQuantizeAsymmetric, low, width *ir.Value) quantizer {
	size := func(width float32) float32 {
		if q.LogRange {
			return float32(math.Exp(float64(width)))
		}
		return float32(math.Abs(float64(width))) + 1e-16
	}
	return quantizer{
		axis: q.Axis, params: []*ir.Value{low, width},
		fill: func(g quant.Grid, raw [][]float32) {
			low, width := raw[0], raw[1]
			for i := range low {
				low[i], width[i] = op.TuneRange(low[i], size(width[i]), q.Levels, q.Compatible)
			}
			g.Asymmetric(low, width, q.Levels)
		},
		grads: func(s quant.Sums, raw, d [][]float32, i int) {
			raw0, raw1 := raw[0][i], raw[1][i]
			if q.ClipGrad {
				s.Inside = 0
			}
			_, tuned := op.TuneRange(raw0, size(raw1), q.Levels, q.Compatible)
			low, width := s.RangeGrad(raw1, tuned)
			if q.LogRange {
				_, width = s.RangeGrad(1, tuned)
				width *= size(raw1)
			}
			if d[0] != nil {
				d[0][i] = factor(q.LowGradScale) * low
			}
			if d[1] != nil {
				d[1][i] = factor(q.GradScale) * width
			}
		},
	}
}

// factor is a factor of gradients, of which 0 stands for 1.
func factor(f float32) float32 {
	if f == 0 {
		return 1
	}
	return f
}

// channels returns the number of entries of the grid.
func (q quantizer) channels() int { return q.params[0].Type.MustShape().Numel() }

// grid fills a grid, one entry per channel repeated to period p, at this point
// of the run, or at its start if the parameters are stored.
func (c *compiler) grid(n *ir.Node, q quantizer, p int) *temp {
	slots := make([]*slot, len(q.params))
	raw := make([]*temp, len(q.params))
	stored := true
	buf := c.temp(4 * p)
	temps := []*temp{buf}
	for i, v := range q.params {
		slots[i], raw[i] = c.in(v, rowMajor), c.temp(p)
		temps = append(temps, raw[i])
		stored = stored && v.IsStored()
	}
	k := q.channels()
	bind := func() func() error {
		g := quant.NewGrid(buf.mem, p)
		srcs, mem := make([][]float32, len(slots)), make([][]float32, len(slots))
		for i, s := range slots {
			srcs[i], mem[i] = s.f32()[:k], raw[i].mem
		}
		return func() error {
			for i := range srcs {
				period.Expand(mem[i], srcs[i])
			}
			q.fill(g, mem)
			return nil
		}
	}
	if stored {
		c.emitFirst("quantizer grid", slots, bind, temps...)
	} else {
		c.emit(n, "quantizer grid", slots, nil, bind, temps...)
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
	if !isFloat(n.In...) || !levelsFit(q) {
		return lowerReference(c, n)
	}
	return c.emitFakeQuantize(n, symmetric(q, n.In[1]))
}

func lowerFakeQuantizeAsymmetric(c *compiler, n *ir.Node) error {
	if !isFloat(n.In...) {
		return lowerReference(c, n)
	}
	return c.emitFakeQuantize(n, asymmetric(n.Op.(op.FakeQuantizeAsymmetric), n.In[1], n.In[2]))
}

func (c *compiler) emitFakeQuantize(n *ir.Node, q quantizer) error {
	xv := n.In[0]
	o, perTensor, tiled, row := channelLayout(xv, q.axis)
	k := q.channels()
	if tiled {
		p := 1
		x := c.any(xv)
		if !perTensor {
			x = c.in(xv, o)
			p = period.Len(k)
		}
		buf := c.grid(n, q, p)
		l := &link{node: n, name: "FakeQuantize", light: true, in: []*slot{x}, out: c.out(n.Out[0], x.order), temps: []*temp{buf}}
		l.bind = func() tileFunc {
			g := quant.NewGrid(buf.mem, p)
			return func(_ tile, dst []float32, src [][]float32) { quant.Forward(dst, src[0], g) }
		}
		c.emitChain(x, l)
		return nil
	}
	buf := c.grid(n, q, k)
	x, y := c.in(xv, rowMajor), c.out(n.Out[0], rowMajor)
	c.emitFormer(n, "FakeQuantize rows", []*slot{x}, y, func() formerFuncs {
		g, xd, yd := quant.NewGrid(buf.mem, k), x.f32(), y.f32()
		return formerFuncs{run: func(_, lo, hi int) { quant.ForwardRows(yd[lo:hi], xd[lo:hi], row, g, lo/row%k) }}
	}, buf)
	return nil
}

func lowerFakeQuantizeSymmetricGrad(c *compiler, n *ir.Node) error {
	q := op.FakeQuantizeSymmetric(n.Op.(op.FakeQuantizeSymmetricGrad))
	if !isFloat(n.In...) || !levelsFit(q) || n.Output(0) == nil {
		return lowerReference(c, n)
	}
	return c.emitFakeQuantizeGrad(n, symmetric(q, n.In[1]))
}

func lowerFakeQuantizeAsymmetricGrad(c *compiler, n *ir.Node) error {
	if !isFloat(n.In...) || n.Output(0) == nil {
		return lowerReference(c, n)
	}
	q := op.FakeQuantizeAsymmetric(n.Op.(op.FakeQuantizeAsymmetricGrad))
	return c.emitFakeQuantizeGrad(n, asymmetric(q, n.In[1], n.In[2]))
}

// emitFakeQuantizeGrad runs a straight-through gradient: dx and the sums of each
// channel in one pass, then the gradients of the parameters from the sums.
func (c *compiler) emitFakeQuantizeGrad(n *ir.Node, q quantizer) error {
	xv, dyv := n.In[0], n.In[1+len(q.params)]
	k := q.channels()
	o, perTensor, tiled, row := channelLayout(xv, q.axis)
	var fold func() func() []quant.Sums
	var parts []*temp
	if tiled {
		p := 1
		x := c.any(xv)
		if !perTensor {
			x = c.in(xv, o)
			p = period.Len(k)
		}
		buf := c.grid(n, q, p)
		dy := c.in(dyv, x.order)
		size := quant.SumsLen(p)
		_, tasks := chainTasks(x.shape.Numel(), chainUnit(x))
		total := &sums{part: c.temp(0), own: c.temp(0), size: size}
		total.recut(tasks)
		l := &link{node: n, name: "FakeQuantizeGrad", in: []*slot{x, dy}, out: c.out(n.Out[0], x.order), temps: []*temp{buf, total.part, total.own}, sums: total}
		l.placed = func(k int) bool { return k == 1 } // dx on dy
		l.bind = func() tileFunc {
			g := quant.NewGrid(buf.mem, p)
			return func(t tile, dst []float32, src [][]float32) {
				acc := total.part.mem[t.task*size:][:size]
				if t.first {
					quant.Backward(dst, src[1], src[0], g, acc)
					return
				}
				s := total.own.mem[t.task*size:][:size]
				quant.Backward(dst, src[1], src[0], g, s)
				elementwise.Add.Run(acc, acc, s)
			}
		}
		c.emitChain(x, l)
		parts = []*temp{total.part}
		fold = func() func() []quant.Sums {
			s := make([]quant.Sums, k)
			return func() []quant.Sums {
				clear(s)
				quant.Fold(s, total.all(), p)
				return s
			}
		}
	} else {
		buf := c.grid(n, q, k)
		x, dy, dx := c.in(xv, rowMajor), c.in(dyv, rowMajor), c.out(n.Out[0], rowMajor)
		rows := x.shape.Numel() / row
		per := max(1, taskLen/row)
		rowSums := make([]quant.Sums, rows)
		token := c.temp(1) // orders the steps that write and read them
		parts = []*temp{token}
		c.emit(n, "FakeQuantizeGrad rows", []*slot{x, dy}, []*slot{dx}, func() func() error {
			g, xd, dyd, dxd := quant.NewGrid(buf.mem, k), x.f32(), dy.f32(), dx.f32()
			return runTasks(c.pool, (rows+per-1)/per, func(t, _ int) {
				lo, hi := t*per, min(rows, (t+1)*per)
				quant.BackwardRows(dxd[lo*row:hi*row], dyd[lo*row:hi*row], xd[lo*row:hi*row], row, g, lo%k, rowSums[lo:hi])
			})
		}, buf, token)
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
	raw, outs := make([]*slot, len(q.params)), make([]*slot, len(q.params))
	any := false
	for i, v := range q.params {
		raw[i] = c.in(v, rowMajor)
		if d := n.Output(1 + i); d != nil {
			outs[i], any = c.out(d, rowMajor), true
		}
	}
	if !any {
		return nil
	}
	c.emit(n, "quantizer gradient", raw, outs, func() func() error {
		fold := fold()
		r, d := make([][]float32, len(raw)), make([][]float32, len(raw))
		for i, s := range raw {
			r[i] = s.f32()
			if outs[i] != nil {
				d[i] = outs[i].f32()
			}
		}
		return func() error {
			for i, t := range fold() {
				q.grads(t, r, d, i)
			}
			return nil
		}
	}, parts...)
	return nil
}
