package native

import (
	"github.com/go-nncf/nncf/internal/kernel/pooling"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// poolWindow returns the kernel's geometry of a pool over images of shape xs
// with results of shape ys; ok is false for volumes.
func poolWindow(p op.Pool, xs, ys tensor.Shape, countPad bool) (w pooling.Window, ok bool) {
	r := p.Resolved(xs[2:], p.Kernel)
	w = pooling.Window{H: 1, C: xs[1], OH: 1, KH: 1, SH: 1, DH: 1, CountPad: countPad}
	switch len(xs) {
	case 3:
		w.W, w.OW, w.KW, w.SW, w.DW = xs[2], ys[2], p.Kernel[0], r.Strides[0], r.Dilations[0]
		w.PL, w.PR = r.Pads[0], r.Pads[1]
	case 4:
		w.H, w.W, w.OH, w.OW, w.KH, w.KW = xs[2], xs[3], ys[2], ys[3], p.Kernel[0], p.Kernel[1]
		w.SH, w.SW, w.DH, w.DW = r.Strides[0], r.Strides[1], r.Dilations[0], r.Dilations[1]
		w.PT, w.PL, w.PB, w.PR = r.Pads[0], r.Pads[1], r.Pads[2], r.Pads[3]
	default:
		return w, false
	}
	return w, w.Validate() == nil
}

// globalWindow returns the window over whole images.
func globalWindow(xs tensor.Shape) pooling.Window {
	return pooling.Global(1, xs[2:].Numel(), xs[1])
}

// emitPool emits a step that handles one image per task.
func (c *compiler) emitPool(n *ir.Node, name string, in []*slot, out *slot, f func(image, worker int, src [][]float32, dst []float32), temps ...*temp) {
	images := out.shape[0]
	each := imagewiseTasks(images)
	c.emit(n, name, in, []*slot{out}, func() func() error {
		srcs := make([][]float32, len(in))
		for i, s := range in {
			srcs[i] = s.f32()
		}
		dst := out.f32()
		each.do = func(t, worker int) { f(t, worker, srcs, dst) }
		return runTasks(c.pool, images, each.do)
	}, temps...).images = each
}

// image returns image t of a batch.
func image(x []float32, t, size int) []float32 { return x[t*size:][:size] }

func lowerMaxPool(c *compiler, n *ir.Node) error {
	xs, ys := n.In[0].Type.MustShape(), n.Out[0].Type.MustShape()
	if len(xs) == 5 {
		return c.lowerMaxVolume(n)
	}
	w, ok := poolWindow(n.Op.(op.MaxPool).Pool, xs, ys, false)
	if !ok || !isFloat(n.In[0]) || n.Output(1) != nil {
		return lowerReference(c, n)
	}
	x, y := c.in(n.In[0], channelsLast), c.out(n.Out[0], channelsLast)
	xn, yn := xs[1:].Numel(), ys[1:].Numel()
	grads := maxPoolGrads(n, func(p op.Pool, ys tensor.Shape) bool {
		v, ok := poolWindow(p, xs, ys, false)
		return ok && v == w
	})
	if len(grads) == 0 || w.KH*w.KW > 256 {
		c.emitPool(n, "maximum", []*slot{x}, y, func(t, _ int, src [][]float32, dst []float32) {
			pooling.Max(image(dst, t, yn), nil, image(src[0], t, xn), w, 0, w.OH)
		})
		return nil
	}
	// A byte for each result says where its maximum was: the gradient need not
	// look for it again, and the input need not be kept.
	winners := c.keepWinners(n, grads, ys, channelsLast)
	each := imagewiseTasks(xs[0])
	c.emit(n, "maximum", []*slot{x}, []*slot{y, winners}, func() func() error {
		xd, yd, at := x.f32(), y.f32(), tensor.Data[uint8](winners.data)
		each.do = func(t, _ int) { pooling.Max(image(yd, t, yn), at[t*yn:][:yn], image(xd, t, xn), w, 0, w.OH) }
		return runTasks(c.pool, xs[0], each.do)
	}).images = each
	return nil
}

// keepWinners makes the slot of the bytes of the pool n for its gradients.
func (c *compiler) keepWinners(n *ir.Node, grads []*ir.Node, shape tensor.Shape, o order) *slot {
	winners := c.span(n.Out[0], shape, tensor.Uint8, o)
	for _, g := range grads {
		c.winners[g.ID] = winners
	}
	return winners
}

// maxPoolGrads returns the nodes that scatter the gradient of the pool n, those of
// the same geometry.
func maxPoolGrads(n *ir.Node, same func(p op.Pool, ys tensor.Shape) bool) (grads []*ir.Node) {
	for _, u := range n.In[0].Uses() {
		if g, ok := u.Node.Op.(op.MaxPoolGrad); ok && u.Port == 0 && isFloat(u.Node.In...) && same(g.Pool, u.Node.In[1].Type.MustShape()) {
			grads = append(grads, u.Node)
		}
	}
	return grads
}

func lowerMaxPoolGrad(c *compiler, n *ir.Node) error {
	xs, ys := n.In[0].Type.MustShape(), n.In[1].Type.MustShape()
	if len(xs) == 5 {
		return c.lowerMaxVolumeGrad(n)
	}
	w, ok := poolWindow(n.Op.(op.MaxPoolGrad).Pool, xs, ys, false)
	if !ok || !isFloat(n.In...) {
		return lowerReference(c, n)
	}
	xn, yn := xs[1:].Numel(), ys[1:].Numel()
	if winners := c.winners[n.ID]; winners != nil {
		dy, dx := c.in(n.In[1], channelsLast), c.out(n.Out[0], channelsLast)
		each := imagewiseTasks(xs[0])
		c.emit(n, "maximum gradient", []*slot{winners, dy}, []*slot{dx}, func() func() error {
			at, dyd, dxd := tensor.Data[uint8](winners.data), dy.f32(), dx.f32()
			each.do = func(t, _ int) {
				pooling.MaxGrad(image(dxd, t, xn), image(dyd, t, yn), at[t*yn:][:yn], w, 0, w.H)
			}
			return runTasks(c.pool, xs[0], each.do)
		}).images = each
		return nil
	}
	x, dy, dx := c.in(n.In[0], channelsLast), c.in(n.In[1], channelsLast), c.out(n.Out[0], channelsLast)
	c.emitPool(n, "maximum gradient", []*slot{x, dy}, dx, func(t, _ int, src [][]float32, dst []float32) {
		pooling.MaxGradRecompute(image(dst, t, xn), image(src[1], t, yn), image(src[0], t, xn), w)
	})
	return nil
}

func lowerAveragePool(c *compiler, n *ir.Node) error {
	xs, ys := n.In[0].Type.MustShape(), n.Out[0].Type.MustShape()
	if len(xs) == 5 {
		return c.lowerAverageVolume(n)
	}
	o := n.Op.(op.AveragePool)
	w, ok := poolWindow(o.Pool, xs, ys, o.CountIncludePad)
	if !ok || !isFloat(n.In[0]) {
		return lowerReference(c, n)
	}
	x, y := c.in(n.In[0], channelsLast), c.out(n.Out[0], channelsLast)
	xn, yn := xs[1:].Numel(), ys[1:].Numel()
	c.emitPool(n, "average", []*slot{x}, y, func(t, _ int, src [][]float32, dst []float32) {
		pooling.Average(image(dst, t, yn), image(src[0], t, xn), w, 0, w.OH)
	})
	return nil
}

func lowerAveragePoolGrad(c *compiler, n *ir.Node) error {
	ys, xs := n.In[0].Type.MustShape(), n.Out[0].Type.MustShape()
	if len(xs) == 5 {
		return c.lowerAverageVolumeGrad(n)
	}
	o := n.Op.(op.AveragePoolGrad)
	w, ok := poolWindow(o.Pool, xs, ys, o.CountIncludePad)
	if !ok || !isFloat(n.In[0]) {
		return lowerReference(c, n)
	}
	dy, dx := c.in(n.In[0], channelsLast), c.out(n.Out[0], channelsLast)
	xn, yn := xs[1:].Numel(), ys[1:].Numel()
	c.emitPool(n, "average gradient", []*slot{dy}, dx, func(t, _ int, src [][]float32, dst []float32) {
		pooling.AverageGrad(image(dst, t, xn), image(src[0], t, yn), w, 0, w.H)
	})
	return nil
}

func lowerGlobalAveragePool(c *compiler, n *ir.Node) error {
	xs := n.In[0].Type.MustShape()
	w := globalWindow(xs)
	if !isFloat(n.In[0]) || w.Validate() != nil {
		return lowerReference(c, n)
	}
	x, y := c.in(n.In[0], channelsLast), c.out(n.Out[0], channelsLast)
	xn, ch := xs[1:].Numel(), xs[1]
	c.emitPool(n, "global average", []*slot{x}, y, func(t, _ int, src [][]float32, dst []float32) {
		pooling.Average(image(dst, t, ch), image(src[0], t, xn), w, 0, 1)
	})
	return nil
}
