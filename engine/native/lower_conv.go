package native

import (
	"errors"

	"github.com/go-nncf/nncf/internal/kernel/conv"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// geometry2D returns the geometry of a convolution with one or two spatial
// axes over x, whose forward weights are ws.
func geometry2D(xs, ws tensor.Shape, groups int, w op.Window) (conv.Geometry, error) {
	g := conv.Geometry{N: xs[0], H: 1, IC: xs[1], OC: ws[0], KH: 1, StrideH: 1, DilationH: 1, Groups: groups}
	switch len(xs) {
	case 3:
		g.W, g.KW, g.StrideW, g.DilationW = xs[2], ws[2], w.Strides[0], w.Dilations[0]
		g.PadL, g.PadR = w.Pads[0], w.Pads[1]
	case 4:
		g.H, g.W, g.KH, g.KW = xs[2], xs[3], ws[2], ws[3]
		g.StrideH, g.StrideW, g.DilationH, g.DilationW = w.Strides[0], w.Strides[1], w.Dilations[0], w.Dilations[1]
		g.PadT, g.PadL, g.PadB, g.PadR = w.Pads[0], w.Pads[1], w.Pads[2], w.Pads[3]
	default:
		return g, errors.New("no kernel for three spatial axes")
	}
	return g, nil
}

// lowerConv runs a convolution: pack the weights, then convolve.
func lowerConv(c *compiler, n *ir.Node) error {
	o := n.Op.(op.Conv)
	xv, wv := n.In[0], n.In[1]
	xs, ws := xv.Type.MustShape(), wv.Type.MustShape()
	if len(xs) > 4 || xv.Type.DType != tensor.Float32 {
		return lowerReference(c, n)
	}
	g, err := geometry2D(xs, ws, o.Groups(), o.Resolved(xs[2:], ws[2:]))
	if err != nil {
		return err
	}
	p, err := conv.New(g, conv.Options{})
	if err != nil {
		return err
	}
	sz := p.Sizes()
	x, w := c.in(xv, channelsLast), c.in(wv, rowMajor)
	var bias *slot
	if b := n.Input(2); b != nil {
		bias = c.in(b, rowMajor)
	}
	packed, scratch := c.temp(sz.PackedForward), c.temp(sz.ForwardScratch*c.workers)
	c.emit(n, "pack", []*slot{w}, nil, func() func() error {
		src, pool := w.f32(), c.pool
		task := func(t, _ int) { p.PackForward(t, packed.mem, src) }
		return func() error { pool.Run(sz.PackForwardTasks, task); return nil }
	}, packed)
	y := c.out(n.Out[0], channelsLast)
	c.emit(n, p.Kernels(), []*slot{x, bias}, []*slot{y}, func() func() error {
		xd, yd, pool := x.f32(), y.f32(), c.pool
		var f conv.Fusion
		if bias != nil {
			f.Bias = bias.f32()
		}
		task := func(t, worker int) {
			p.Forward(t, scratch.part(worker, sz.ForwardScratch), xd, packed.mem, f, yd)
		}
		return func() error { pool.Run(sz.ForwardTasks, task); return nil }
	}, packed, scratch)
	return nil
}

// lowerConvTranspose runs the data gradient of the convolution that the
// operator is the adjoint of.
func lowerConvTranspose(c *compiler, n *ir.Node) error {
	o := n.Op.(op.ConvTranspose)
	dyv, wv := n.In[0], n.In[1]
	ds, ws := dyv.Type.MustShape(), wv.Type.MustShape()
	if len(ds) > 4 || dyv.Type.DType != tensor.Float32 {
		return lowerReference(c, n)
	}
	win, _, err := o.Resolved(ds[2:], ws[2:])
	if err != nil {
		return err
	}
	g, err := geometry2D(n.Out[0].Type.MustShape(), ws, o.Groups(), win)
	if err != nil {
		return err
	}
	p, err := conv.New(g, conv.Options{})
	if err != nil {
		return err
	}
	sz := p.Sizes()
	dy, w := c.in(dyv, channelsLast), c.in(wv, rowMajor)
	var bias *slot
	if b := n.Input(2); b != nil {
		bias = c.in(b, rowMajor)
	}
	packed, scratch := c.temp(sz.PackedBackward), c.temp(sz.BackwardDataScratch*c.workers)
	c.emit(n, "pack", []*slot{w}, nil, func() func() error {
		src, pool := w.f32(), c.pool
		task := func(t, _ int) { p.PackBackward(t, packed.mem, src) }
		return func() error { pool.Run(sz.PackBackwardTasks, task); return nil }
	}, packed)
	dx := c.out(n.Out[0], channelsLast)
	c.emit(n, p.Kernels(), []*slot{dy, bias}, []*slot{dx}, func() func() error {
		dyd, dxd, pool := dy.f32(), dx.f32(), c.pool
		var f conv.Fusion
		if bias != nil {
			f.Bias = bias.f32()
		}
		task := func(t, worker int) {
			p.BackwardData(t, scratch.part(worker, sz.BackwardDataScratch), dyd, packed.mem, f, dxd)
		}
		return func() error { pool.Run(sz.BackwardDataTasks, task); return nil }
	}, packed, scratch)
	return nil
}

// lowerConvGradWeight sums the weight gradient in fixed slots, then adds them.
func lowerConvGradWeight(c *compiler, n *ir.Node) error {
	o := n.Op.(op.ConvGradWeight)
	xv, dyv := n.In[0], n.In[1]
	xs, ws := xv.Type.MustShape(), n.Out[0].Type.MustShape()
	if len(xs) > 4 || xv.Type.DType != tensor.Float32 {
		return lowerReference(c, n)
	}
	g, err := geometry2D(xs, ws, o.Groups(), o.Resolved(xs[2:], ws[2:]))
	if err != nil {
		return err
	}
	p, err := conv.New(g, conv.Options{})
	if err != nil {
		return err
	}
	sz := p.Sizes()
	x, dy := c.in(xv, channelsLast), c.in(dyv, channelsLast)
	partials, scratch := c.temp(sz.Partials), c.temp(sz.BackwardWeightsScratch*c.workers)
	c.emit(n, p.Kernels(), []*slot{x, dy}, nil, func() func() error {
		xd, dyd, pool := x.f32(), dy.f32(), c.pool
		task := func(t, worker int) {
			p.BackwardWeights(t, scratch.part(worker, sz.BackwardWeightsScratch), xd, dyd, partials.mem)
		}
		return func() error { pool.Run(sz.BackwardWeightsTasks, task); return nil }
	}, partials, scratch)
	dw := c.out(n.Out[0], rowMajor)
	c.emit(n, "reduce slots", nil, []*slot{dw}, func() func() error {
		dwd, pool := dw.f32(), c.pool
		task := func(t, _ int) { p.ReduceWeights(t, partials.mem, dwd, nil) }
		return func() error { pool.Run(sz.ReduceTasks, task); return nil }
	}, partials)
	return nil
}
