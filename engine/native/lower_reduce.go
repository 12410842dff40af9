package native

import (
	"slices"

	"github.com/go-nncf/nncf/internal/kernel/period"
	"github.com/go-nncf/nncf/internal/kernel/reduce"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// reducedAxes returns which axes a node reduces; ok is false unless they are
// constant.
func reducedAxes(n *ir.Node) (reduced []bool, ok bool) {
	rank := n.In[0].Type.Rank()
	reduced = make([]bool, rank)
	axes, given := n.Input(1), false
	if axes != nil {
		list, ok := axes.ConstInts()
		if !ok {
			return nil, false
		}
		given = len(list) > 0
		for _, a := range list {
			i, err := tensor.Axis(a, rank)
			if err != nil {
				return nil, false
			}
			reduced[i] = true
		}
	}
	if !given {
		for i := range reduced {
			reduced[i] = true
		}
	}
	return reduced, true
}

// lowerSum adds up axes; with mean it divides by the number of elements.
func lowerSum(mean bool) lowering {
	return func(c *compiler, n *ir.Node) error {
		reduced, ok := reducedAxes(n)
		noop := false
		switch o := n.Op.(type) {
		case op.ReduceSum:
			noop = o.NoopWithEmptyAxes
		case op.ReduceMean:
			noop = o.NoopWithEmptyAxes
		}
		xs := n.In[0].Type.MustShape()
		if !ok || noop || !isFloat(n.In[0]) || xs.Numel() == 0 {
			return lowerReference(c, n)
		}
		kept := n.Out[0].Type.MustShape().Numel()
		factor := 1.0
		if mean {
			factor = float64(kept) / float64(xs.Numel())
		}
		channelOnly, lastOnly := len(xs) >= 3, len(xs) >= 1
		prefix := 0 // leading kept axes, all later ones reduced
		for i, r := range reduced {
			channelOnly = channelOnly && r == (i != 1)
			lastOnly = lastOnly && r == (i != len(xs)-1)
		}
		for prefix < len(xs) && !reduced[prefix] {
			prefix++
		}
		switch {
		case channelOnly, lastOnly && len(xs) > 1:
			return c.emitColumnSum(n, channelOnly, factor)
		case !slices.Contains(reduced[prefix:], false):
			return c.emitRowSum(n, xs[:prefix].Numel(), factor)
		}
		return lowerReference(c, n)
	}
}

// emitColumnSum sums over all axes but the channels (or the last one).
func (c *compiler) emitColumnSum(n *ir.Node, channel bool, factor float64) error {
	o := rowMajor
	if channel {
		o = channelsLast
	}
	x := c.in(n.In[0], o)
	ch := n.Out[0].Type.MustShape().Numel()
	if ch > tileLen {
		return lowerReference(c, n)
	}
	p := period.Len(ch)
	l, part, tasks := c.accumulate(n, "sum", x, p, []*slot{x}, func(part []float32, src [][]float32) {
		clear(part)
		reduce.SumChannels(part, src[0])
	})
	c.emitChainUnit(x.shape.Numel(), ch, l)
	y := c.out(n.Out[0], rowMajor)
	c.emit(n, "fold", nil, []*slot{y}, func() func() error {
		yd, sums := y.f32(), make([]float64, ch)
		return func() error {
			clear(sums)
			for i, v := range part.mem[:tasks*p] { // tasks in order, p a multiple of ch
				sums[i%ch] += float64(v)
			}
			for i, v := range sums {
				yd[i] = float32(v * factor)
			}
			return nil
		}
	}, part)
	return nil
}

// emitRowSum sums the inner axes of each of rows rows.
func (c *compiler) emitRowSum(n *ir.Node, rows int, factor float64) error {
	x := c.in(n.In[0], rowMajor)
	y := c.out(n.Out[0], rowMajor)
	row := x.shape.Numel() / rows
	per := max(1, taskLen/row)
	c.emit(n, "row sum", []*slot{x}, []*slot{y}, func() func() error {
		xd, yd := x.f32(), y.f32()
		return runTasks(c.pool, (rows+per-1)/per, func(t, _ int) {
			for r := t * per; r < min(rows, (t+1)*per); r++ {
				yd[r] = float32(reduce.Sum(xd[r*row:][:row]) * factor)
			}
		})
	})
	return nil
}
