package native

import (
	"github.com/go-nncf/nncf/internal/kernel/pooling"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// volumePool returns the kernel's geometry of a pool over volumes of shape xs with
// results of shape ys; ok is false if they are not volumes.
func volumePool(p op.Pool, xs, ys tensor.Shape, countPad bool) (v pooling.Volume, ok bool) {
	if len(xs) != 5 {
		return v, false
	}
	r := p.Resolved(xs[2:], p.Kernel)
	planes := pooling.Window{H: xs[3], W: xs[4], C: xs[1], OH: ys[3], OW: ys[4], KH: p.Kernel[1], KW: p.Kernel[2],
		SH: r.Strides[1], SW: r.Strides[2], DH: r.Dilations[1], DW: r.Dilations[2],
		PT: r.Pads[1], PL: r.Pads[2], PB: r.Pads[4], PR: r.Pads[5], CountPad: countPad}
	v = pooling.NewVolume(planes, pooling.Window{H: xs[2], OH: ys[2], KH: p.Kernel[0], SH: r.Strides[0], DH: r.Dilations[0],
		PT: r.Pads[0], PB: r.Pads[3], CountPad: countPad})
	return v, v.Validate() == nil
}

// lowerMaxVolume lowers a max pool over volumes.
func (c *compiler) lowerMaxVolume(n *ir.Node) error {
	xs, ys := n.In[0].Type.MustShape(), n.Out[0].Type.MustShape()
	v, ok := volumePool(n.Op.(op.MaxPool).Pool, xs, ys, false)
	if !ok || !isFloat(n.In[0]) || n.Output(1) != nil {
		return lowerReference(c, n)
	}
	x, y, scratch := c.in(n.In[0], channelsLast), c.out(n.Out[0], channelsLast), c.workspace(c.workers*v.Scratch())
	xn, yn := xs[1:].Numel(), ys[1:].Numel()
	var grads []*ir.Node
	if v.Planes.KH*v.Planes.KW <= 256 && v.Depth.KH <= 256 { // a byte says where the maximum was
		grads = maxPoolGrads(n, func(p op.Pool, ys tensor.Shape) bool {
			w, ok := volumePool(p, xs, ys, false)
			return ok && w == v
		})
	}
	if len(grads) == 0 {
		c.emitPool(n, "maximum", []*slot{x}, y, func(t, worker int, src [][]float32, dst []float32) {
			v.Max(image(dst, t, yn), nil, image(src[0], t, xn), scratch.part(worker, v.Scratch()))
		}, scratch)
		return nil
	}
	winners := c.keepWinners(n, grads, tensor.Shape{xs[0], v.Winners()}, rowMajor)
	each := imagewiseTasks(xs[0])
	c.emit(n, "maximum", []*slot{x}, []*slot{y, winners}, func() func() error {
		xd, yd, at := x.f32(), y.f32(), tensor.Data[uint8](winners.data)
		each.do = func(t, worker int) {
			v.Max(image(yd, t, yn), at[t*v.Winners():][:v.Winners()], image(xd, t, xn), scratch.part(worker, v.Scratch()))
		}
		return runTasks(c.pool, xs[0], each.do)
	}, scratch).images = each
	return nil
}

// lowerMaxVolumeGrad lowers its gradient.
func (c *compiler) lowerMaxVolumeGrad(n *ir.Node) error {
	xs, ys := n.In[0].Type.MustShape(), n.In[1].Type.MustShape()
	v, ok := volumePool(n.Op.(op.MaxPoolGrad).Pool, xs, ys, false)
	if !ok || !isFloat(n.In...) {
		return lowerReference(c, n)
	}
	xn, yn := xs[1:].Numel(), ys[1:].Numel()
	if winners := c.winners[n.ID]; winners != nil {
		dy, dx, scratch := c.in(n.In[1], channelsLast), c.out(n.Out[0], channelsLast), c.workspace(c.workers*v.Scratch())
		each := imagewiseTasks(xs[0])
		c.emit(n, "maximum gradient", []*slot{winners, dy}, []*slot{dx}, func() func() error {
			at, dyd, dxd := tensor.Data[uint8](winners.data), dy.f32(), dx.f32()
			each.do = func(t, worker int) {
				v.MaxGrad(image(dxd, t, xn), image(dyd, t, yn), at[t*v.Winners():][:v.Winners()], scratch.part(worker, v.Scratch()))
			}
			return runTasks(c.pool, xs[0], each.do)
		}, scratch).images = each
		return nil
	}
	size := 2 * v.Scratch()
	x, dy, dx, scratch := c.in(n.In[0], channelsLast), c.in(n.In[1], channelsLast), c.out(n.Out[0], channelsLast), c.workspace(c.workers*size)
	c.emitPool(n, "maximum gradient", []*slot{x, dy}, dx, func(t, worker int, src [][]float32, dst []float32) {
		v.MaxGradRecompute(image(dst, t, xn), image(src[1], t, yn), image(src[0], t, xn), scratch.part(worker, size))
	}, scratch)
	return nil
}

// lowerAverageVolume lowers an average pool over volumes.
func (c *compiler) lowerAverageVolume(n *ir.Node) error {
	xs, ys, o := n.In[0].Type.MustShape(), n.Out[0].Type.MustShape(), n.Op.(op.AveragePool)
	v, ok := volumePool(o.Pool, xs, ys, o.CountIncludePad)
	if !ok || !isFloat(n.In[0]) {
		return lowerReference(c, n)
	}
	x, y, scratch := c.in(n.In[0], channelsLast), c.out(n.Out[0], channelsLast), c.workspace(c.workers*v.Scratch())
	xn, yn := xs[1:].Numel(), ys[1:].Numel()
	c.emitPool(n, "average", []*slot{x}, y, func(t, worker int, src [][]float32, dst []float32) {
		v.Average(image(dst, t, yn), image(src[0], t, xn), scratch.part(worker, v.Scratch()))
	}, scratch)
	return nil
}

// lowerAverageVolumeGrad lowers its gradient.
func (c *compiler) lowerAverageVolumeGrad(n *ir.Node) error {
	ys, xs, o := n.In[0].Type.MustShape(), n.Out[0].Type.MustShape(), n.Op.(op.AveragePoolGrad)
	v, ok := volumePool(o.Pool, xs, ys, o.CountIncludePad)
	if !ok || !isFloat(n.In[0]) {
		return lowerReference(c, n)
	}
	dy, dx, scratch := c.in(n.In[0], channelsLast), c.out(n.Out[0], channelsLast), c.workspace(c.workers*v.Scratch())
	xn, yn := xs[1:].Numel(), ys[1:].Numel()
	c.emitPool(n, "average gradient", []*slot{dy}, dx, func(t, worker int, src [][]float32, dst []float32) {
		v.AverageGrad(image(dst, t, xn), image(src[0], t, yn), scratch.part(worker, v.Scratch()))
	}, scratch)
	return nil
}
