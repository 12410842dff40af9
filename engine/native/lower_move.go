package native

import (
	"slices"

	"github.com/go-nncf/nncf/internal/kernel/layout"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// lowerAlias reads the input's memory as another shape, in row-major order.
func lowerAlias(c *compiler, n *ir.Node) error {
	c.alias(n.Out[0], rowMajor, c.in(n.In[0], rowMajor))
	return nil
}

// lowerIdentity reads the input's memory as it is.
func lowerIdentity(c *compiler, n *ir.Node) error {
	x := c.any(n.In[0])
	c.alias(n.Out[0], x.order, x)
	return nil
}

// region is a box of one axis: element i lies at start + i·step, in elements of
// that axis.
type region struct{ start, step int }

// boxCopy copies a box between two dense arrays, run by run.
type boxCopy struct {
	shape    []int // of the box
	dst, src []int // strides in elements, steps included
	dst0     int
	src0     int
	run      int // contiguous elements at the end of both
}

// newBoxCopy prepares the copy of a box of the given shape; dshape and sshape
// are the arrays' shapes, d and s where the box lies in them.
func newBoxCopy(shape, dshape, sshape []int, d, s []region) boxCopy {
	b := boxCopy{shape: slices.Clone(shape), run: 1}
	ds, ss := tensor.Shape(dshape).Strides(), tensor.Shape(sshape).Strides()
	for i := range shape {
		b.dst0 += d[i].start * ds[i]
		b.src0 += s[i].start * ss[i]
		b.dst = append(b.dst, ds[i]*d[i].step)
		b.src = append(b.src, ss[i]*s[i].step)
	}
	for k := len(b.shape) - 1; k >= 0 && b.dst[k] == b.run && b.src[k] == b.run; k-- {
		b.run *= b.shape[k]
		b.shape, b.dst, b.src = b.shape[:k], b.dst[:k], b.src[:k]
	}
	return b
}

// rows returns the number of runs.
func (b boxCopy) rows() int { return tensor.Shape(b.shape).Numel() }

// copyRows copies runs [lo, hi).
func (b boxCopy) copyRows(dst, src []float32, lo, hi int) {
	for r := lo; r < hi; r++ {
		d, s, q := b.dst0, b.src0, r
		for k := len(b.shape) - 1; k >= 0; k-- {
			i := q % b.shape[k]
			q /= b.shape[k]
			d += i * b.dst[k]
			s += i * b.src[k]
		}
		if b.run == 1 {
			dst[d] = src[s]
			continue
		}
		copy(dst[d:d+b.run], src[s:s+b.run])
	}
}

// moveGrain is the number of elements a task copies at least.
const moveGrain = 32 << 10

// emitBoxes emits one step that clears dst to a value unless the boxes cover
// it, and copies the boxes.
func (c *compiler) emitBoxes(n *ir.Node, name string, dst *slot, srcs []*slot, boxes []boxCopy, clear bool, value float32) {
	c.emit(n, name, srcs, []*slot{dst}, func() func() error {
		d, pool := dst.f32(), c.pool
		type job struct {
			box    boxCopy
			src    []float32
			per, n int
		}
		jobs := make([]job, len(boxes))
		for i, b := range boxes {
			per := max(1, moveGrain/max(1, b.run))
			jobs[i] = job{b, srcs[i].f32(), per, (b.rows() + per - 1) / per}
		}
		fills := 0
		if clear {
			fills = (len(d) + moveGrain - 1) / moveGrain
		}
		fill := func(t, _ int) { layout.Fill(d[t*moveGrain:min(len(d), (t+1)*moveGrain)], value) }
		tasks := make([]func(t, worker int), len(jobs))
		for i := range jobs {
			j := &jobs[i]
			tasks[i] = func(t, _ int) { j.box.copyRows(d, j.src, t*j.per, min(j.box.rows(), (t+1)*j.per)) }
		}
		return func() error {
			if fills > 0 {
				pool.Run(fills, fill)
			}
			for i := range jobs {
				pool.Run(jobs[i].n, tasks[i])
			}
			return nil
		}
	})
}

// physicalList reorders per-axis entries as order.physical reorders axes.
func physicalList[T any](o order, l []T) []T {
	if o == rowMajor || len(l) < 3 {
		return l
	}
	p := append([]T{l[0]}, l[2:]...)
	return append(p, l[1])
}

func whole(rank int) []region {
	r := make([]region, rank)
	for i := range r {
		r[i].step = 1
	}
	return r
}

func lowerSlice(c *compiler, n *ir.Node) error {
	shape := n.In[0].Type.MustShape()
	spans, ok := op.Spans(shape, n.In[1:])
	if !ok || !isFloat(n.In[0]) {
		return lowerReference(c, n)
	}
	x := c.any(n.In[0])
	y := c.out(n.Out[0], x.order)
	from := make([]region, len(spans))
	for i, s := range spans {
		from[i] = region{s.Start, s.Step}
	}
	o := x.order
	box := newBoxCopy(o.physical(y.shape), o.physical(y.shape), o.physical(x.shape), whole(len(spans)), physicalList(o, from))
	c.emitBoxes(n, "copy", y, []*slot{x}, []boxCopy{box}, false, 0)
	return nil
}

func lowerSliceGrad(c *compiler, n *ir.Node) error {
	shape := n.Out[0].Type.MustShape()
	spans, ok := op.Spans(shape, n.In[1:])
	if !ok || !isFloat(n.In[0]) {
		return lowerReference(c, n)
	}
	dy := c.any(n.In[0])
	dx := c.out(n.Out[0], dy.order)
	to := make([]region, len(spans))
	for i, s := range spans {
		to[i] = region{s.Start, s.Step}
	}
	o := dy.order
	box := newBoxCopy(o.physical(dy.shape), o.physical(dx.shape), o.physical(dy.shape), physicalList(o, to), whole(len(spans)))
	c.emitBoxes(n, "scatter", dx, []*slot{dy}, []boxCopy{box}, true, 0)
	return nil
}

func lowerPad(c *compiler, n *ir.Node) error {
	pads, ok := op.Pads(n)
	if !ok || n.Op.(op.Pad).Mode != "" || !isFloat(n.In[0]) {
		return lowerReference(c, n)
	}
	value := float32(0)
	if v := n.Input(2); v != nil {
		if v.Kind != ir.Constant {
			return lowerReference(c, n)
		}
		value = v.Data.F32()[0]
	}
	x := c.any(n.In[0])
	y := c.out(n.Out[0], x.order)
	r := len(x.shape)
	shape := make([]int, r)
	to, from := whole(r), whole(r)
	inner := true
	for i := range r {
		to[i].start, from[i].start = max(0, pads[i]), max(0, -pads[i])
		shape[i] = x.shape[i] - from[i].start - max(0, -pads[i+r])
		inner = inner && shape[i] > 0
	}
	o := x.order
	var boxes []boxCopy
	var srcs []*slot
	if inner {
		boxes = append(boxes, newBoxCopy(o.physical(shape), o.physical(y.shape), o.physical(x.shape), physicalList(o, to), physicalList(o, from)))
		srcs = append(srcs, x)
	}
	c.emitBoxes(n, "pad", y, srcs, boxes, !y.shape.Equal(shape), value)
	return nil
}

func lowerConcat(c *compiler, n *ir.Node) error {
	if !isFloat(n.In...) {
		return lowerReference(c, n)
	}
	y0 := n.Out[0].Type.MustShape()
	axis, err := tensor.Axis(n.Op.(op.Concat).Axis, len(y0))
	if err != nil {
		return err
	}
	o := rowMajor
	for _, v := range n.In {
		if c.any(v).order == channelsLast {
			o = channelsLast
		}
	}
	y := c.out(n.Out[0], o)
	var boxes []boxCopy
	var srcs []*slot
	at := 0
	for _, v := range n.In {
		x := c.in(v, o)
		to := whole(len(y0))
		to[axis].start = at
		at += x.shape[axis]
		if x.shape.Numel() == 0 {
			continue
		}
		boxes = append(boxes, newBoxCopy(o.physical(x.shape), o.physical(y.shape), o.physical(x.shape), physicalList(o, to), whole(len(y0))))
		srcs = append(srcs, x)
	}
	c.emitBoxes(n, "concat", y, srcs, boxes, false, 0)
	return nil
}

func lowerTranspose(c *compiler, n *ir.Node) error {
	perm := n.Op.(op.Transpose).Perm
	xs := n.In[0].Type.MustShape()
	if perm == nil {
		for i := range xs {
			perm = append(perm, len(xs)-1-i)
		}
	}
	return c.emitPermute(n, xs, perm)
}

// emitPermute reads input 0 as an array of the given axes, and writes output 0
// with the axes permuted.
func (c *compiler) emitPermute(n *ir.Node, dims, perm []int) error {
	p := newPermute(dims, perm)
	if !isFloat(n.In[0]) || len(p.dims) > layout.MaxRank || n.Out[0].Type.MustShape().Numel() == 0 {
		return lowerReference(c, n)
	}
	x := c.in(n.In[0], rowMajor)
	if len(p.dims) == 0 { // nothing moves
		c.alias(n.Out[0], rowMajor, x)
		return nil
	}
	y := c.out(n.Out[0], rowMajor)
	c.emit(n, "transpose", []*slot{x}, []*slot{y}, func() func() error {
		xd, yd := x.f32(), y.f32()
		return runTasks(c.pool, p.tasks(), func(t, _ int) { p.run(yd, xd, t) })
	})
	return nil
}

func lowerDepthToSpace(c *compiler, n *ir.Node) error {
	o := n.Op.(op.DepthToSpace)
	xs, b := n.In[0].Type.MustShape(), o.BlockSize
	if o.CRD {
		return c.emitPermute(n, []int{xs[0], xs[1] / (b * b), b, b, xs[2], xs[3]}, []int{0, 1, 4, 2, 5, 3})
	}
	return c.emitPermute(n, []int{xs[0], b, b, xs[1] / (b * b), xs[2], xs[3]}, []int{0, 3, 4, 1, 5, 2})
}

func lowerSpaceToDepth(c *compiler, n *ir.Node) error {
	xs, b := n.In[0].Type.MustShape(), n.Op.(op.SpaceToDepth).BlockSize
	return c.emitPermute(n, []int{xs[0], xs[1], xs[2] / b, b, xs[3] / b, b}, []int{0, 3, 5, 1, 2, 4})
}

// lowerSplit copies parts of an axis.
func lowerSplit(c *compiler, n *ir.Node) error {
	xs := n.In[0].Type.MustShape()
	axis, err := tensor.Axis(n.Op.(op.Split).Axis, len(xs))
	if err != nil {
		return err
	}
	types, err := n.Op.Infer(n.In)
	if err != nil {
		return err
	}
	if !isFloat(n.In[0]) {
		return lowerReference(c, n)
	}
	x := c.any(n.In[0])
	o := x.order
	at := 0
	for i, t := range types {
		part, ok := t.Shape()
		if !ok {
			return lowerReference(c, n)
		}
		from := whole(len(xs))
		from[axis].start = at
		at += part[axis]
		v := n.Output(i)
		if v == nil {
			continue
		}
		y := c.out(v, o)
		if part.Numel() == 0 {
			continue
		}
		box := newBoxCopy(o.physical(part), o.physical(part), o.physical(xs), whole(len(xs)), physicalList(o, from))
		c.emitBoxes(n, "split", y, []*slot{x}, []boxCopy{box}, false, 0)
	}
	return nil
}

// lowerExpand repeats a tensor over a larger shape, as a link of a chain.
func lowerExpand(c *compiler, n *ir.Node) error {
	v, ys := n.In[0], n.Out[0].Type.MustShape()
	if !isFloat(v) || ys.Numel() == 0 {
		return lowerReference(c, n)
	}
	return c.emitRepeat(n, v, v.Type.MustShape(), ys)
}

// emitRepeat emits a link that repeats v, read as an array of shape xs, over
// ys, whose elements are those of output 0.
func (c *compiler) emitRepeat(n *ir.Node, v *ir.Value, xs, ys tensor.Shape) error {
	out := n.Out[0]
	if xs.Numel() == ys.Numel() {
		c.alias(out, rowMajor, c.in(v, rowMajor))
		return nil
	}
	o := rowMajor
	if len(ys) == out.Type.Rank() {
		o = c.wanted(out)
	}
	l := c.repeat(n, v, xs, ys, o)
	l.out = c.out(out, o)
	c.emitChain(l.out, l)
	return nil
}

// wanted guesses the order in which the consumers of v will read it: that of
// their other operands of its shape.
func (c *compiler) wanted(v *ir.Value) order {
	shape := v.Type.MustShape()
	if len(shape) < 3 {
		return rowMajor
	}
	for _, u := range v.Uses() {
		switch u.Node.Op.(type) {
		case op.Conv, op.ConvTranspose, op.ConvGradWeight:
			return channelsLast
		}
		for _, w := range u.Node.In {
			if w != nil && w != v && c.home[w.ID] != nil && c.any(w).order == channelsLast && w.Type.MustShape().Equal(shape) {
				return channelsLast
			}
		}
		if len(u.Node.In) == 2 { // a small operand, such as the factor of a mean
			for _, y := range u.Node.Out {
				if y != nil && y.Type.MustShape().Equal(shape) && c.wanted(y) == channelsLast {
					return channelsLast
				}
			}
		}
	}
	return rowMajor
}

// lowerTile repeats every axis as a whole.
func lowerTile(c *compiler, n *ir.Node) error {
	reps, ok := n.In[1].ConstInts()
	xs := n.In[0].Type.MustShape()
	if !ok || !isFloat(n.In[0]) || n.Out[0].Type.MustShape().Numel() == 0 {
		return lowerReference(c, n)
	}
	var from, to tensor.Shape
	for i, l := range xs {
		from, to = append(from, 1, l), append(to, reps[i], l)
	}
	return c.emitRepeat(n, n.In[0], from, to)
}
