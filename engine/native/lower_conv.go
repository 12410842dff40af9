package native

import (
	"fmt"

	"github.com/go-nncf/nncf/internal/kernel/conv"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// geometryOf returns the geometry of a convolution with one to three spatial
// axes over x, whose forward weights are ws.
func geometryOf(xs, ws tensor.Shape, groups int, w op.Window) (conv.Geometry, error) {
	g := conv.Geometry{N: xs[0], H: 1, IC: xs[1], OC: ws[0], KH: 1, StrideH: 1, DilationH: 1, Groups: groups}
	axes := len(xs) - 2
	if axes < 1 || axes > 3 {
		return g, fmt.Errorf("got %d spatial axes, want 1 to 3", axes)
	}
	last := len(xs) - 1
	g.W, g.KW, g.StrideW, g.DilationW = xs[last], ws[last], w.Strides[axes-1], w.Dilations[axes-1]
	g.PadL, g.PadR = w.Pads[axes-1], w.Pads[2*axes-1]
	if axes >= 2 {
		g.H, g.KH, g.StrideH, g.DilationH = xs[last-1], ws[last-1], w.Strides[axes-2], w.Dilations[axes-2]
		g.PadT, g.PadB = w.Pads[axes-2], w.Pads[2*axes-2]
	}
	if axes == 3 {
		g.D, g.KD, g.StrideD, g.DilationD = xs[2], ws[2], w.Strides[0], w.Dilations[0]
		g.PadFront, g.PadBack = w.Pads[0], w.Pads[3]
	}
	return g, nil
}

// lowerConv runs a convolution: pack the weights, then convolve.
func lowerConv(c *compiler, n *ir.Node) error {
	if b := c.bitsOf(n); b != nil {
		if b.mul != nil {
			return nil // see lowerMul: factors are computed later
		}
		return c.emitBits(b)
	}
	o := n.Op.(op.Conv)
	xv, wv := n.In[0], n.In[1]
	xs, ws := xv.Type.MustShape(), wv.Type.MustShape()
	if len(xs) > 5 || xv.Type.DType != tensor.Float32 {
		return lowerReference(c, n)
	}
	g, err := geometryOf(xs, ws, o.Groups(), o.Resolved(xs[2:], ws[2:]))
	if err != nil {
		return err
	}
	if d, ok := depthwiseOf(g); ok {
		return c.emitDepthwise(n, d)
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
	input := &loaded{slot: x, repeats: g.OC}
	if r := p.ForwardRegion(0); sz.ForwardTasks > 0 && r.C1 > r.C0 {
		input.repeats = g.OC / (r.C1 - r.C0)
	}
	input.work = g.MACs() / max(1, xs.Numel()*input.repeats)
	packed, scratch := c.temp(sz.PackedForward), c.workspace(sz.ForwardScratch*c.workers)
	c.emitPackBlocks(n, &packing{
		src:   w,
		tasks: func() int { return sz.PackForwardTasks },
		rows:  func(task int) (lo, hi int) { return p.PackForwardRows(task) },
		pack:  func(task int, src []float32) { p.PackForward(task, packed.mem, src) },
	}, packed)
	e := c.epilogueOf(n)
	y := c.out(e.out, channelsLast)
	output := &finished{
		slot:  y,
		tasks: func() int { return sz.ForwardTasks },
		region: func(task int) (lo, hi int) {
			r := p.ForwardRegion(task)
			return r.P0 * g.OC, r.P1 * g.OC
		},
		entire: func() bool {
			if sz.ForwardTasks == 0 {
				return false
			}
			r := p.ForwardRegion(0)
			return r.C0 == 0 && r.C1 == g.OC
		},
	}
	images := &imagewise{
		images:  g.N,
		begins:  func(n int) (int, bool) { return p.ForwardImage(n) },
		weights: func() int { return 4 * sz.PackedForward },
	}
	s := c.emit(n, p.Kernels(), []*slot{x, bias}, []*slot{y}, func() func() error {
		xd, yd, pool := input.mem(), y.f32(), c.pool
		f := conv.Fusion{Clip: e.clip, Lo: e.lo, Hi: e.hi}
		if bias != nil {
			f.Bias = bias.f32()
		}
		fs := make([]conv.Fusion, c.workers)
		for w := range fs {
			fs[w] = f
			fs[w].Load = input.loader()
		}
		task := func(t, worker int) {
			p.Forward(t, scratch.part(worker, sz.ForwardScratch), xd, packed.mem, fs[worker], yd)
		}
		images.do = then(task, output.after(c))
		return runTasks(pool, sz.ForwardTasks, images.do)
	}, packed, scratch)
	s.output, s.images = output, images
	s.stores(e)
	s.input = input
	input.prepare = func() error {
		if p, err = conv.New(g, conv.Options{AlwaysLoad: true}); err != nil {
			return err
		}
		sz = p.Sizes()
		packed.resize(sz.PackedForward)
		scratch.resize(sz.ForwardScratch * c.workers)
		return nil
	}
	return nil
}

// lowerConvTranspose runs the data gradient of the convolution that the
// operator is the adjoint of.
func lowerConvTranspose(c *compiler, n *ir.Node) error {
	o := n.Op.(op.ConvTranspose)
	dyv, wv := n.In[0], n.In[1]
	ds, ws := dyv.Type.MustShape(), wv.Type.MustShape()
	if len(ds) > 5 || dyv.Type.DType != tensor.Float32 {
		return lowerReference(c, n)
	}
	win, _, err := o.Resolved(ds[2:], ws[2:])
	if err != nil {
		return err
	}
	g, err := geometryOf(n.Out[0].Type.MustShape(), ws, o.Groups(), win)
	if err != nil {
		return err
	}
	if d, ok := depthwiseOf(g); ok {
		return c.emitDepthwiseTransposed(n, d)
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
	packed, scratch := c.temp(sz.PackedBackward), c.workspace(sz.BackwardDataScratch*c.workers)
	c.emitPack(n, w, func() func() error {
		src := w.f32()
		return runSized(c.pool, sz.PackBackwardTasks, len(src), func(t, _ int) { p.PackBackward(t, packed.mem, src) })
	}, packed)
	e := c.epilogueOf(n)
	dx := c.out(e.out, channelsLast)
	output := &finished{
		slot:  dx,
		tasks: func() int { return sz.BackwardDataTasks },
		region: func(task int) (lo, hi int) {
			r := p.BackwardDataRegion(task)
			return r.P0 * g.IC, r.P1 * g.IC
		},
		entire: func() bool {
			if sz.BackwardDataTasks == 0 {
				return false
			}
			r := p.BackwardDataRegion(0)
			return r.C0 == 0 && r.C1 == g.IC
		},
	}
	images := &imagewise{
		images:  g.N,
		begins:  func(n int) (int, bool) { return p.BackwardDataImage(n) },
		weights: func() int { return 4 * sz.PackedBackward },
	}
	s := c.emit(n, p.Kernels(), []*slot{dy, bias}, []*slot{dx}, func() func() error {
		dyd, dxd, pool := dy.f32(), dx.f32(), c.pool
		f := conv.Fusion{Clip: e.clip, Lo: e.lo, Hi: e.hi}
		if bias != nil {
			f.Bias = bias.f32()
		}
		task := func(t, worker int) {
			p.BackwardData(t, scratch.part(worker, sz.BackwardDataScratch), dyd, packed.mem, f, dxd)
		}
		images.do = then(task, output.after(c))
		return runTasks(pool, sz.BackwardDataTasks, images.do)
	}, packed, scratch)
	s.output, s.images = output, images
	s.stores(e)
	return nil
}

// lowerConvGradWeight sums the weight gradient in fixed slots, then adds them.
func lowerConvGradWeight(c *compiler, n *ir.Node) error {
	o := n.Op.(op.ConvGradWeight)
	xv, dyv := n.In[0], n.In[1]
	xs, ws := xv.Type.MustShape(), n.Out[0].Type.MustShape()
	if len(xs) > 5 || xv.Type.DType != tensor.Float32 {
		return lowerReference(c, n)
	}
	g, err := geometryOf(xs, ws, o.Groups(), o.Resolved(xs[2:], ws[2:]))
	if err != nil {
		return err
	}
	if d, ok := depthwiseOf(g); ok {
		return c.emitDepthwiseGrad(n, d)
	}
	p, err := conv.New(g, conv.Options{})
	if err != nil {
		return err
	}
	sz := p.Sizes()
	x, dy := c.in(xv, channelsLast), c.in(dyv, channelsLast)
	input := &loaded{slot: x, repeats: sz.BackwardWeightsTasks / max(1, sz.Slots)}
	input.work = g.MACs() / max(1, xs.Numel()*input.repeats)
	partials, scratch := c.temp(sz.Partials), c.workspace(sz.BackwardWeightsScratch*c.workers)
	images := &imagewise{
		images: g.N,
		begins: func(n int) (int, bool) { return p.UnitImage(n) },
		owned: func(n int) bool {
			unit, ok := p.UnitImage(n)
			return ok && p.SlotBegins(unit)
		},
		weights: func() int { return 4 * sz.Partials / max(1, sz.Slots) },
	}
	s := c.emit(n, p.Kernels(), []*slot{x, dy}, nil, func() func() error {
		xd, dyd, pool := input.mem(), dy.f32(), c.pool
		loads := make([]conv.Loader, c.workers)
		for w := range loads {
			loads[w] = input.loader()
		}
		task := func(t, worker int) {
			p.BackwardWeightsLoad(t, scratch.part(worker, sz.BackwardWeightsScratch), xd, loads[worker], dyd, partials.mem)
		}
		images.do = func(unit, worker int) {
			p.BackwardWeightsUnit(unit, scratch.part(worker, sz.BackwardWeightsScratch), xd, loads[worker], dyd, partials.mem)
		}
		return func() error { pool.Run(sz.BackwardWeightsTasks, task); return nil }
	}, partials, scratch)
	s.input, s.images = input, images
	input.prepare = func() error {
		if p, err = conv.New(g, conv.Options{AlwaysLoad: true}); err != nil {
			return err
		}
		sz = p.Sizes()
		partials.resize(sz.Partials)
		scratch.resize(sz.BackwardWeightsScratch * c.workers)
		return nil
	}
	dw := c.out(n.Out[0], rowMajor)
	c.emit(n, "reduce slots", nil, []*slot{dw}, func() func() error {
		dwd := dw.f32()
		return runSized(c.pool, sz.ReduceTasks, sz.Partials, func(t, _ int) { p.ReduceWeights(t, partials.mem, dwd, nil) })
	}, partials)
	return nil
}
