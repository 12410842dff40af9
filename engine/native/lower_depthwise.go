package native

import (
	"github.com/go-nncf/nncf/internal/kernel/conv"
	"github.com/go-nncf/nncf/internal/kernel/depthwise"
	"github.com/go-nncf/nncf/ir"
)

// depthwiseOf returns the geometry of a convolution with one kernel per channel
// over one or two axes; ok is false for any other.
func depthwiseOf(g conv.Geometry) (d depthwise.Geometry, ok bool) {
	if g.Groups < 2 || g.Groups != g.IC || g.IC != g.OC || g.D != 0 {
		return d, false
	}
	return depthwise.Geometry{
		N: g.N, H: g.H, W: g.W, C: g.IC, KH: g.KH, KW: g.KW,
		StrideH: g.StrideH, StrideW: g.StrideW, DilationH: g.DilationH, DilationW: g.DilationW,
		PadT: g.PadT, PadL: g.PadL, PadB: g.PadB, PadR: g.PadR,
	}, true
}

// emitDepthwise runs a depthwise convolution: pack the weights, then convolve.
func (c *compiler) emitDepthwise(n *ir.Node, g depthwise.Geometry) error {
	p, err := depthwise.New(g, depthwise.Options{})
	if err != nil {
		return err
	}
	sz := p.Sizes()
	return c.emitDepthwisePass(n, p.Kernels(), sz.PackedForward, sz.ForwardTasks, p.PackForward, p.Forward, p.ForwardRegion)
}

// emitDepthwiseTransposed runs the data gradient of a depthwise convolution.
func (c *compiler) emitDepthwiseTransposed(n *ir.Node, g depthwise.Geometry) error {
	p, err := depthwise.New(g, depthwise.Options{})
	if err != nil {
		return err
	}
	sz := p.Sizes()
	return c.emitDepthwisePass(n, p.Kernels(), sz.PackedBackward, sz.BackwardDataTasks, p.PackBackward, p.BackwardData, p.BackwardDataRegion)
}

func (c *compiler) emitDepthwisePass(n *ir.Node, kernel string, packedLen, tasks int, pack func(dst, w []float32), pass func(task int, x, w []float32, f depthwise.Fusion, y []float32), region func(task int) depthwise.Region) error {
	x, w := c.in(n.In[0], channelsLast), c.in(n.In[1], rowMajor)
	var bias *slot
	if b := n.Input(2); b != nil {
		bias = c.in(b, rowMajor)
	}
	packed := c.temp(packedLen)
	c.emitPack(n, w, func() func() error {
		src := w.f32()
		return func() error { pack(packed.mem, src); return nil }
	}, packed)
	e := c.epilogueOf(n)
	y := c.out(e.out, channelsLast)
	ch := y.channels()
	output := &finished{
		slot:  y,
		tasks: func() int { return tasks },
		region: func(task int) (lo, hi int) {
			r := region(task)
			return r.P0 * ch, r.P1 * ch
		},
		entire: func() bool { return tasks > 0 },
	}
	s := c.emit(n, kernel, []*slot{x, bias}, []*slot{y}, func() func() error {
		xd, yd := x.f32(), y.f32()
		f := depthwise.Fusion{Clip: e.clip, Lo: e.lo, Hi: e.hi}
		if bias != nil {
			f.Bias = bias.f32()
		}
		return runTasks(c.pool, tasks, then(func(t, _ int) { pass(t, xd, packed.mem, f, yd) }, output.after(c)))
	}, packed)
	s.output = output
	s.stores(e)
	return nil
}

// emitDepthwiseGrad sums the weight gradient in fixed slots, then adds them.
func (c *compiler) emitDepthwiseGrad(n *ir.Node, g depthwise.Geometry) error {
	p, err := depthwise.New(g, depthwise.Options{})
	if err != nil {
		return err
	}
	sz := p.Sizes()
	x, dy := c.in(n.In[0], channelsLast), c.in(n.In[1], channelsLast)
	partials, scratch := c.temp(sz.Partials), c.workspace(sz.BackwardWeightsScratch*c.workers)
	c.emit(n, p.Kernels(), []*slot{x, dy}, nil, func() func() error {
		xd, dyd := x.f32(), dy.f32()
		return runTasks(c.pool, sz.BackwardWeightsTasks, func(t, worker int) {
			p.BackwardWeights(t, scratch.part(worker, sz.BackwardWeightsScratch), xd, dyd, partials.mem)
		})
	}, partials, scratch)
	dw := c.out(n.Out[0], rowMajor)
	c.emit(n, "reduce slots", nil, []*slot{dw}, func() func() error {
		dwd := dw.f32()
		return func() error { p.ReduceWeights(partials.mem, dwd, nil); return nil }
	}, partials)
	return nil
}
