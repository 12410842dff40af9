package native

import (
	"slices"

	"github.com/go-nncf/nncf/internal/kernel/pooling"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// poolVolume returns the kernel's geometry of a pool over samples of shape xs with
// results of shape ys; ok is false for what the kernels refuse.
func poolVolume(p op.Pool, xs, ys tensor.Shape, countPad bool) (v pooling.Volume, ok bool) {
	r := p.Resolved(xs[2:], p.Kernel)
	axes := len(xs) - 2
	axis := func(i int) (n, out, k, stride, dilation, begin, end int) {
		return xs[2+i], ys[2+i], p.Kernel[i], r.Strides[i], r.Dilations[i], r.Pads[i], r.Pads[axes+i]
	}
	planes := pooling.Window{H: 1, C: xs[1], OH: 1, KH: 1, SH: 1, DH: 1, CountPad: countPad}
	planes.W, planes.OW, planes.KW, planes.SW, planes.DW, planes.PL, planes.PR = axis(axes - 1)
	if axes > 1 {
		planes.H, planes.OH, planes.KH, planes.SH, planes.DH, planes.PT, planes.PB = axis(axes - 2)
	}
	switch axes {
	case 1, 2:
		v = pooling.Flat(planes)
	case 3:
		depth := pooling.Window{CountPad: countPad}
		depth.H, depth.OH, depth.KH, depth.SH, depth.DH, depth.PT, depth.PB = axis(0)
		v = pooling.NewVolume(planes, depth)
	default:
		return v, false
	}
	return v, v.Validate() == nil
}

// A poolTask handles image t of a batch: src are the inputs, dst the result, at the
// bytes of where maxima were, nil if nothing keeps them.
type poolTask func(t int, src [][]float32, at []uint8, dst, scratch []float32)

// emitPool emits a step that runs f for each image, with so much scratch. Bytes are
// among the inputs of a gradient, and behind the result of what it is of.
func (c *compiler) emitPool(n *ir.Node, name string, in, out []*slot, size int, f poolTask) {
	images, scratch := out[0].shape[0], c.workspace(c.workers*size)
	each := imagewiseTasks(images)
	c.emit(n, name, in, out, func() func() error {
		var srcs [][]float32
		var at []uint8
		for _, s := range append(slices.Clip(in), out[1:]...) {
			if s.dtype == tensor.Uint8 {
				at = tensor.Data[uint8](s.data)
			} else {
				srcs = append(srcs, s.f32())
			}
		}
		dst := out[0].f32()
		each.do = func(t, worker int) { f(t, srcs, at, dst, scratch.part(worker, size)) }
		return runTasks(c.pool, images, each.do)
	}, scratch).images = each
}

// image returns image t of a batch, nothing of nil.
func image[T any](x []T, t, size int) []T {
	if x == nil {
		return nil
	}
	return x[t*size:][:size]
}

// mostPlaces is the number of places in a window that a byte can tell apart.
const mostPlaces = 256

func lowerMaxPool(c *compiler, n *ir.Node) error {
	xs, ys := n.In[0].Type.MustShape(), n.Out[0].Type.MustShape()
	v, ok := poolVolume(n.Op.(op.MaxPool).Pool, xs, ys, false)
	if !ok || !isFloat(n.In[0]) || n.Output(1) != nil {
		return lowerReference(c, n)
	}
	x, outs := c.in(n.In[0], channelsLast), []*slot{c.out(n.Out[0], channelsLast)}
	if v.Planes.KH*v.Planes.KW <= mostPlaces && v.Depth.KH <= mostPlaces {
		outs = c.keepWinners(n, outs, v)
	}
	xn, yn := xs[1:].Numel(), ys[1:].Numel()
	c.emitPool(n, "maximum", []*slot{x}, outs, v.Scratch(), func(t int, src [][]float32, at []uint8, dst, scratch []float32) {
		v.Max(image(dst, t, yn), image(at, t, v.Winners()), image(src[0], t, xn), scratch)
	})
	return nil
}

// keepWinners adds to what the max pool n writes, if it has gradients of the same
// geometry, bytes that say where its maxima were. The gradient need not look for
// them again, and the input need not be kept.
func (c *compiler) keepWinners(n *ir.Node, outs []*slot, v pooling.Volume) []*slot {
	xs := n.In[0].Type.MustShape()
	for _, u := range n.In[0].Uses() {
		g, ok := u.Node.Op.(op.MaxPoolGrad)
		if !ok || u.Port != 0 || !isFloat(u.Node.In...) {
			continue
		}
		if w, ok := poolVolume(g.Pool, xs, u.Node.In[1].Type.MustShape(), false); !ok || w != v {
			continue
		}
		if len(outs) == 1 {
			outs = append(outs, c.span(n.Out[0], tensor.Shape{xs[0], v.Winners()}, tensor.Uint8, rowMajor))
		}
		c.winners[u.Node.ID] = outs[1]
	}
	return outs
}

func lowerMaxPoolGrad(c *compiler, n *ir.Node) error {
	xs, ys := n.In[0].Type.MustShape(), n.In[1].Type.MustShape()
	v, ok := poolVolume(n.Op.(op.MaxPoolGrad).Pool, xs, ys, false)
	if !ok || !isFloat(n.In...) {
		return lowerReference(c, n)
	}
	xn, yn := xs[1:].Numel(), ys[1:].Numel()
	dy, dx := c.in(n.In[1], channelsLast), []*slot{c.out(n.Out[0], channelsLast)}
	if winners := c.winners[n.ID]; winners != nil {
		c.emitPool(n, "maximum gradient", []*slot{winners, dy}, dx, v.Scratch(), func(t int, src [][]float32, at []uint8, dst, scratch []float32) {
			v.MaxGrad(image(dst, t, xn), image(src[0], t, yn), image(at, t, v.Winners()), scratch)
		})
		return nil
	}
	x := c.in(n.In[0], channelsLast)
	c.emitPool(n, "maximum gradient", []*slot{x, dy}, dx, 2*v.Scratch(), func(t int, src [][]float32, _ []uint8, dst, scratch []float32) {
		v.MaxGradRecompute(image(dst, t, xn), image(src[1], t, yn), image(src[0], t, xn), scratch)
	})
	return nil
}

func lowerAveragePool(c *compiler, n *ir.Node) error {
	xs, ys, o := n.In[0].Type.MustShape(), n.Out[0].Type.MustShape(), n.Op.(op.AveragePool)
	v, ok := poolVolume(o.Pool, xs, ys, o.CountIncludePad)
	if !ok || !isFloat(n.In[0]) {
		return lowerReference(c, n)
	}
	x, y := c.in(n.In[0], channelsLast), c.out(n.Out[0], channelsLast)
	xn, yn := xs[1:].Numel(), ys[1:].Numel()
	c.emitPool(n, "average", []*slot{x}, []*slot{y}, v.Scratch(), func(t int, src [][]float32, _ []uint8, dst, scratch []float32) {
		v.Average(image(dst, t, yn), image(src[0], t, xn), scratch)
	})
	return nil
}

func lowerAveragePoolGrad(c *compiler, n *ir.Node) error {
	ys, xs, o := n.In[0].Type.MustShape(), n.Out[0].Type.MustShape(), n.Op.(op.AveragePoolGrad)
	v, ok := poolVolume(o.Pool, xs, ys, o.CountIncludePad)
	if !ok || !isFloat(n.In[0]) {
		return lowerReference(c, n)
	}
	dy, dx := c.in(n.In[0], channelsLast), c.out(n.Out[0], channelsLast)
	xn, yn := xs[1:].Numel(), ys[1:].Numel()
	c.emitPool(n, "average gradient", []*slot{dy}, []*slot{dx}, v.Scratch(), func(t int, src [][]float32, _ []uint8, dst, scratch []float32) {
		v.AverageGrad(image(dst, t, xn), image(src[0], t, yn), scratch)
	})
	return nil
}

func lowerGlobalAveragePool(c *compiler, n *ir.Node) error {
	xs := n.In[0].Type.MustShape()
	v := pooling.Flat(pooling.Global(1, xs[2:].Numel(), xs[1]))
	if !isFloat(n.In[0]) || v.Validate() != nil {
		return lowerReference(c, n)
	}
	x, y := c.in(n.In[0], channelsLast), c.out(n.Out[0], channelsLast)
	xn, ch := xs[1:].Numel(), xs[1]
	c.emitPool(n, "global average", []*slot{x}, []*slot{y}, 0, func(t int, src [][]float32, _ []uint8, dst, scratch []float32) {
		v.Average(image(dst, t, ch), image(src[0], t, xn), scratch)
	})
	return nil
}
