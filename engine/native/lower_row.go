package native

import (
	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/internal/kernel/norm"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// rowFunc computes whole rows of the given length.
type rowFunc func(y, x []float32, row int)

// lowerSoftAxis applies f along an axis, or with flatten along it and all axes
// after it. Along channels it works in channels-last order; along other inner
// axes it permutes to and fro.
func (c *compiler) lowerSoftAxis(n *ir.Node, name string, f rowFunc, axis int, flatten bool) error {
	xs := n.In[0].Type.MustShape()
	rank := len(xs)
	a, err := tensor.Axis(axis, rank)
	if err != nil && rank > 0 {
		return err
	}
	if !isFloat(n.In[0]) || xs.Numel() == 0 || rank == 0 {
		return lowerReference(c, n)
	}
	switch {
	case flatten:
		return c.emitRows(n, name, f, rowMajor, tensor.Shape(xs[a:]).Numel())
	case a == rank-1:
		return c.emitRows(n, name, f, rowMajor, xs[a])
	case a == 1 && rank >= 3:
		return c.emitRows(n, name, f, channelsLast, xs[1])
	}
	perm := make([]int, 0, rank)
	for i := range rank {
		if i != a {
			perm = append(perm, i)
		}
	}
	perm = append(perm, a)
	back := make([]int, rank)
	dims := make([]int, rank)
	for i, p := range perm {
		back[p], dims[i] = i, xs[p]
	}
	x := c.in(n.In[0], rowMajor)
	moved, res := c.temp(xs.Numel()), c.temp(xs.Numel())
	there, again := newPermute(xs, perm), newPermute(dims, back)
	c.emit(n, "transpose", []*slot{x}, nil, func() func() error {
		xd := x.f32()
		return runTasks(c.pool, there.tasks(), func(t, _ int) { there.run(moved.mem, xd, t) })
	}, moved)
	row := xs[a]
	rows := xs.Numel() / row
	per := max(1, taskLen/row)
	c.emit(n, name, nil, nil, func() func() error {
		return runTasks(c.pool, (rows+per-1)/per, func(t, _ int) {
			lo, hi := t*per*row, min(rows, (t+1)*per)*row
			f(res.mem[lo:hi], moved.mem[lo:hi], row)
		})
	}, moved, res)
	y := c.out(n.Out[0], rowMajor)
	c.emit(n, "transpose", nil, []*slot{y}, func() func() error {
		yd := y.f32()
		return runTasks(c.pool, again.tasks(), func(t, _ int) { again.run(yd, res.mem, t) })
	}, res)
	return nil
}

// emitRows emits a step that applies f to blocks of whole rows.
func (c *compiler) emitRows(n *ir.Node, name string, f rowFunc, o order, row int) error {
	x, y := c.in(n.In[0], o), c.out(n.Out[0], o)
	rows := x.shape.Numel() / row
	per := max(1, taskLen/row)
	c.emit(n, name, []*slot{x}, []*slot{y}, func() func() error {
		xd, yd := x.f32(), y.f32()
		return runTasks(c.pool, (rows+per-1)/per, func(t, _ int) {
			lo, hi := t*per*row, min(rows, (t+1)*per)*row
			f(yd[lo:hi], xd[lo:hi], row)
		})
	})
	return nil
}

func lowerSoftmax(c *compiler, n *ir.Node) error {
	o := n.Op.(op.Softmax)
	return c.lowerSoftAxis(n, "softmax", norm.Softmax, o.Axis, o.Flatten)
}

func lowerLogSoftmax(c *compiler, n *ir.Node) error {
	o := n.Op.(op.LogSoftmax)
	return c.lowerSoftAxis(n, "log-softmax", norm.LogSoftmax, o.Axis, o.Flatten)
}

// lowerLayerNorm normalizes rows, then scales and shifts them by parameters of
// the row's shape. Other parameters, which broadcast, run by the reference.
func lowerLayerNorm(c *compiler, n *ir.Node) error {
	o := n.Op.(op.LayerNormalization)
	xs := n.In[0].Type.MustShape()
	a, err := tensor.Axis(o.Axis, len(xs))
	if err != nil {
		return err
	}
	row := tensor.Shape(xs[a:]).Numel()
	fits := isFloat(n.In...) && xs.Numel() > 0
	for _, v := range n.In[1:] {
		fits = fits && (v == nil || v.Type.MustShape().Numel() == row)
	}
	if !fits {
		return lowerReference(c, n)
	}
	var bias *slot
	x, scale := c.in(n.In[0], rowMajor), c.in(n.In[1], rowMajor)
	if b := n.Input(2); b != nil {
		bias = c.in(b, rowMajor)
	}
	rows := xs.Numel() / row
	per := max(1, taskLen/row)
	zero, stats := c.temp(row), c.temp(2*rows)
	outs := make([]*slot, 3)
	for i := range outs {
		if v := n.Output(i); v != nil {
			outs[i] = c.out(v, rowMajor)
		}
	}
	var y *temp
	if outs[0] == nil {
		y = c.temp(xs.Numel())
	}
	temps := []*temp{zero, stats}
	if y != nil {
		temps = append(temps, y)
	}
	c.emit(n, "layer norm", []*slot{x, scale, bias}, outs, func() func() error {
		xd, gamma := x.f32(), scale.f32()
		beta := zero.mem
		if bias != nil {
			beta = bias.f32()
		}
		mean, inv := stats.mem[:rows], stats.mem[rows:]
		if outs[1] != nil {
			mean = outs[1].f32()
		}
		if outs[2] != nil {
			inv = outs[2].f32()
		}
		var yd []float32
		if y != nil {
			yd = y.mem
		} else {
			yd = outs[0].f32()
		}
		run := runTasks(c.pool, (rows+per-1)/per, func(t, _ int) {
			lo, hi := t*per, min(rows, (t+1)*per)
			norm.LayerNorm(yd[lo*row:hi*row], xd[lo*row:hi*row], gamma, beta, mean[lo:hi], inv[lo:hi], o.Epsilon)
		})
		if bias != nil {
			return run
		}
		return func() error { clear(zero.mem); return run() }
	}, temps...)
	return nil
}

// lowerBlockNorm covers instance and group normalization: rows of row-major
// memory normalized, then scaled and shifted per channel.
func (c *compiler) lowerBlockNorm(n *ir.Node, groups int, perGroup bool, eps float32) error {
	xs := n.In[0].Type.MustShape()
	if !isFloat(n.In...) || len(xs) < 3 || xs.Numel() == 0 {
		return lowerReference(c, n)
	}
	x := c.in(n.In[0], rowMajor)
	scale, bias := c.in(n.In[1], rowMajor), c.in(n.In[2], rowMajor)
	rows := xs[0] * groups
	row := xs.Numel() / rows
	channels := xs[1] / groups // of a row
	hw := row / channels
	ones, stats := c.temp(2*row), c.temp(2*rows)
	y := c.out(n.Out[0], rowMajor)
	c.emit(n, "block norm", []*slot{x, scale, bias}, []*slot{y}, func() func() error {
		xd, yd, sd, bd := x.f32(), y.f32(), scale.f32(), bias.f32()
		one, zero := ones.mem[:row], ones.mem[row:]
		run := runTasks(c.pool, rows, func(t, _ int) {
			out := yd[t*row:][:row]
			norm.LayerNorm(out, xd[t*row:][:row], one, zero, stats.mem[t:t+1], stats.mem[rows+t:][:1], eps)
			for k := range channels {
				at := t%groups*channels + k
				if perGroup {
					at = t % groups
				}
				p := out[k*hw:][:hw]
				elementwise.ScaleShift.Run(p, p, sd[at], bd[at])
			}
		})
		return func() error {
			for i := range one {
				one[i] = 1
			}
			clear(zero)
			return run()
		}
	}, ones, stats)
	return nil
}

func lowerInstanceNorm(c *compiler, n *ir.Node) error {
	return c.lowerBlockNorm(n, n.In[0].Type.MustShape()[1], false, n.Op.(op.InstanceNormalization).Epsilon)
}

func lowerGroupNorm(c *compiler, n *ir.Node) error {
	o := n.Op.(op.GroupNormalization)
	return c.lowerBlockNorm(n, o.Groups, o.PerGroup, o.Epsilon)
}
