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
	x := c.in(n.In[0], rowMajor)
	perm := n.Op.(op.Transpose).Perm
	rank := len(x.shape)
	if !isFloat(n.In[0]) || rank > layout.MaxRank || rank == 0 {
		return lowerReference(c, n)
	}
	if perm == nil {
		for i := range rank {
			perm = append(perm, rank-1-i)
		}
	}
	y := c.out(n.Out[0], rowMajor)
	dims := []int(x.shape)
	c.emit(n, "transpose", []*slot{x}, []*slot{y}, func() func() error {
		xd, yd := x.f32(), y.f32()
		return func() error { layout.Permute(yd, xd, dims, perm); return nil }
	})
	return nil
}

// lowerExpand repeats one value per image and channel over the image, the
// gradient of global pooling; other expansions run by the reference.
func lowerExpand(c *compiler, n *ir.Node) error {
	xs, ys := n.In[0].Type.MustShape(), n.Out[0].Type.MustShape()
	if !isFloat(n.In[0]) || len(xs) != len(ys) || len(ys) < 3 || xs[0] != ys[0] || xs[1] != ys[1] || xs[2:].Numel() != 1 {
		return lowerReference(c, n)
	}
	x, y := c.in(n.In[0], rowMajor), c.out(n.Out[0], channelsLast)
	ch, hw := ys[1], ys[2:].Numel()
	c.emit(n, "repeat", []*slot{x}, []*slot{y}, func() func() error {
		xd, yd := x.f32(), y.f32()
		return runTasks(c.pool, ys[0], func(t, _ int) {
			row := xd[t*ch:][:ch]
			img := yd[t*hw*ch:][:hw*ch]
			for done := copy(img, row); done < len(img); done *= 2 {
				copy(img[done:], img[:done])
			}
		})
	})
	return nil
}
