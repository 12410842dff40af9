package native

import (
	"math"
	"slices"

	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/internal/kernel/layout"
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

// fold is a reduction: how rows and rows of columns are folded, and what is
// done with the result. A zero row function means that of sums.
type fold struct {
	name string
	row  func(x []float32) float64
	// column folds x into acc; sums among columns are kept in float64 between
	// blocks of rows, extremes in float32.
	column func(acc, x []float32)
	// start is what acc holds before; again is the fold of partial results.
	start float32
	again *fold
	end   func(v float64) float64 // nil: nothing
}

var sumFold = &fold{name: "sum", row: reduce.Sum, column: reduce.SumChannels}

// extremeFold is a maximum or a minimum, which NaN wins.
func extremeFold(f elementwise.Binary, start float64) *fold {
	choose := math.Max
	if f == elementwise.Min {
		choose = math.Min
	}
	r := &fold{name: f.String(), start: float32(start)}
	r.row = func(x []float32) float64 {
		v := start
		for _, e := range x {
			v = choose(v, float64(e))
		}
		return v
	}
	r.column = func(acc, x []float32) { f.Run(acc, acc, x) }
	r.again = r
	return r
}

// folds lists the reductions that run on kernels.
var folds = map[string]*fold{
	"ReduceL1": {name: "sum of magnitudes", row: reduce.SumAbs, again: sumFold, column: func(acc, x []float32) {
		for i, v := range x {
			acc[i] += math.Float32frombits(math.Float32bits(v) &^ (1 << 31))
		}
	}},
	"ReduceL2":        {name: "root of squares", row: reduce.SumSquares, column: reduce.SumSquaresChannels, again: sumFold, end: math.Sqrt},
	"ReduceLogSum":    {name: "log of sum", row: reduce.Sum, column: reduce.SumChannels, again: sumFold, end: math.Log},
	"ReduceMax":       extremeFold(elementwise.Max, math.Inf(-1)),
	"ReduceMin":       extremeFold(elementwise.Min, math.Inf(1)),
	"ReduceSumSquare": {name: "sum of squares", row: reduce.SumSquares, column: reduce.SumSquaresChannels, again: sumFold},
}

// lowerReduce runs one of folds.
func lowerReduce(kind string) lowering {
	return func(c *compiler, n *ir.Node) error {
		reduced, ok := reducedAxes(n)
		if !ok || !isFloat(n.In[0]) || n.In[0].Type.MustShape().Numel() == 0 || noop(n) {
			return lowerReference(c, n)
		}
		return c.emitFold(n, folds[kind], reduced, 1)
	}
}

// lowerGlobalMaxPool is the maximum over all axes from 2 on.
func lowerGlobalMaxPool(c *compiler, n *ir.Node) error {
	xs := n.In[0].Type.MustShape()
	if !isFloat(n.In[0]) || xs.Numel() == 0 {
		return lowerReference(c, n)
	}
	reduced := make([]bool, len(xs))
	for i := range reduced {
		reduced[i] = i >= 2
	}
	return c.emitFold(n, folds["ReduceMax"], reduced, 1)
}

// noop reports whether a node without axes reduces nothing.
func noop(n *ir.Node) bool {
	switch o := n.Op.(type) {
	case op.ReduceSum:
		return o.NoopWithEmptyAxes
	case op.ReduceMean:
		return o.NoopWithEmptyAxes
	case op.ReduceMax:
		return o.NoopWithEmptyAxes
	case op.ReduceMin:
		return o.NoopWithEmptyAxes
	case op.ReduceL1:
		return o.NoopWithEmptyAxes
	case op.ReduceL2:
		return o.NoopWithEmptyAxes
	case op.ReduceLogSum:
		return o.NoopWithEmptyAxes
	case op.ReduceSumSquare:
		return o.NoopWithEmptyAxes
	}
	return false
}

// lowerSum adds up axes; with mean it divides by the number of elements.
func lowerSum(mean bool) lowering {
	return func(c *compiler, n *ir.Node) error {
		reduced, ok := reducedAxes(n)
		xs := n.In[0].Type.MustShape()
		if !ok || noop(n) || !isFloat(n.In[0]) || xs.Numel() == 0 {
			return lowerReference(c, n)
		}
		factor := 1.0
		if mean {
			factor = float64(n.Out[0].Type.MustShape().Numel()) / float64(xs.Numel())
		}
		channelOnly, lastOnly := len(xs) >= 3, len(xs) > 1
		for i, r := range reduced {
			channelOnly = channelOnly && r == (i != 1)
			lastOnly = lastOnly && r == (i != len(xs)-1)
		}
		if (channelOnly && xs[1] <= tileLen) || (lastOnly && xs[len(xs)-1] <= tileLen) {
			return c.emitColumnSum(n, channelOnly, factor)
		}
		return c.emitFold(n, sumFold, reduced, factor)
	}
}

// emitColumnSum sums over all axes but the channels (or the last one), as part
// of a chain.
func (c *compiler) emitColumnSum(n *ir.Node, channel bool, factor float64) error {
	o := rowMajor
	if channel {
		o = channelsLast
	}
	x := c.in(n.In[0], o)
	ch := n.Out[0].Type.MustShape().Numel()
	p := period.Len(ch)
	l, part := c.accumulate(n, "sum", x, p, []*slot{x}, func(part []float32, src [][]float32) {
		clear(part)
		reduce.SumChannels(part, src[0])
	})
	c.emitChainUnit(x.shape.Numel(), ch, l)
	y := c.out(n.Out[0], rowMajor)
	c.emit(n, "fold", nil, []*slot{y}, func() func() error {
		yd, sums := y.f32(), make([]float64, ch)
		return func() error {
			foldColumns(sums, part.all())
			for i, v := range sums {
				yd[i] = float32(v * factor)
			}
			return nil
		}
	}, part.part)
	return nil
}

// foldColumns adds up the rows of part, each of the length of sums, in order.
func foldColumns(sums []float64, part []float32) {
	clear(sums)
	for ; len(part) > 0; part = part[len(sums):] {
		for i, v := range part[:len(sums)] {
			sums[i] += float64(v)
		}
	}
}

// band is a run of axes that are all kept or all reduced.
type band struct {
	n       int
	reduced bool
}

// emitFold reduces any axes: the last reduced band first, as rows or columns,
// then the one before, until none is left.
func (c *compiler) emitFold(n *ir.Node, f *fold, reduced []bool, factor float64) error {
	x := c.any(n.In[0])
	if x.order == channelsLast {
		// What is kept must come in logical order.
		spatial := slices.Contains(reduced[2:], false)
		if !reduced[1] && spatial {
			x = c.in(n.In[0], rowMajor)
		}
	}
	var bands []band
	flags := physicalList(x.order, reduced)
	if x.order == rowMajor {
		flags = reduced
	}
	for i, l := range x.order.physical(x.shape) {
		if k := len(bands) - 1; k >= 0 && bands[k].reduced == flags[i] {
			bands[k].n *= l
		} else if l != 1 {
			bands = append(bands, band{l, flags[i]})
		}
	}
	y := c.out(n.Out[0], rowMajor)
	last := -1
	count := 0
	for i, b := range bands {
		if b.reduced {
			last, count = i, count+1
		}
	}
	if last < 0 { // axes of length 1 only
		bands = append(bands, band{1, true})
		last, count = len(bands)-1, 1
	}
	finish := func(v float64) float32 {
		if v *= factor; f.end != nil {
			v = f.end(v)
		}
		return float32(v)
	}
	var from *temp
	g := f
	for stage := range count {
		outer, inner := 1, 1
		for _, b := range bands[:last] {
			outer *= b.n
		}
		for _, b := range bands[last+1:] {
			inner *= b.n
		}
		s := foldStage{fold: g, outer: outer, n: bands[last].n, inner: inner}
		var reads, writes []*slot
		var temps []*temp
		var to *temp
		if stage == 0 {
			reads = []*slot{x}
		} else {
			temps = append(temps, from)
		}
		if stage == count-1 {
			s.finish = finish
			writes = []*slot{y}
		} else {
			to = c.temp(outer * inner)
			temps = append(temps, to)
		}
		src := from
		c.emit(n, s.fold.name, reads, writes, func() func() error {
			var xd, yd []float32
			if src == nil {
				xd = x.f32()
			} else {
				xd = src.mem
			}
			if to == nil {
				yd = y.f32()
			} else {
				yd = to.mem
			}
			return runTasks(c.pool, s.tasks(), s.bind(c.workers, yd, xd))
		}, temps...)
		from = to
		// Kept bands on both sides become one.
		bands = slices.Delete(bands, last, last+1)
		if last < len(bands) && last > 0 {
			bands[last-1].n *= bands[last].n
			bands = slices.Delete(bands, last, last+1)
		}
		last = -1
		for i, b := range bands {
			if b.reduced {
				last = i
			}
		}
		if g.again != nil {
			g = g.again
		}
	}
	return nil
}

// foldStage reduces the middle of [outer][n][inner].
type foldStage struct {
	*fold
	outer, n, inner int
	finish          func(float64) float32 // nil: store as it is
}

// foldBlock is the number of columns a task handles, foldRows how many rows are
// added up in float32.
const (
	foldBlock = 1024
	foldRows  = 64
)

func (s foldStage) per() int { return max(1, taskLen/max(1, s.n)) }

func (s foldStage) tasks() int {
	if s.inner == 1 {
		return (s.outer + s.per() - 1) / s.per()
	}
	return s.outer * ((s.inner + foldBlock - 1) / foldBlock)
}

func (s foldStage) bind(workers int, y, x []float32) func(t, worker int) {
	finish := s.finish
	if finish == nil {
		finish = func(v float64) float32 { return float32(v) }
	}
	if s.inner == 1 {
		per := s.per()
		return func(t, _ int) {
			for r := t * per; r < min(s.outer, (t+1)*per); r++ {
				y[r] = finish(s.row(x[r*s.n:][:s.n]))
			}
		}
	}
	width := min(s.inner, foldBlock)
	acc, sums := make([]float32, workers*width), make([]float64, workers*width)
	blocks := (s.inner + foldBlock - 1) / foldBlock
	extreme := s.start != 0
	return func(t, worker int) {
		o, lo := t/blocks, t%blocks*foldBlock
		w := min(s.inner-lo, foldBlock)
		a, d := acc[worker*width:][:w], sums[worker*width:][:w]
		clear(d)
		layout.Fill(a, s.start)
		base := x[o*s.n*s.inner+lo:]
		for r := range s.n {
			s.column(a, base[r*s.inner:][:w])
			if !extreme && (r+1)%foldRows == 0 {
				for i, v := range a {
					d[i] += float64(v)
				}
				clear(a)
			}
		}
		out := y[o*s.inner+lo:][:w]
		for i, v := range a {
			out[i] = finish(d[i] + float64(v))
		}
	}
}
