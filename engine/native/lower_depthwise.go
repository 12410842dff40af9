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

// depthwisePass is a depthwise convolution or the gradient of its data.
type depthwisePass struct {
	kernel        string
	packed, tasks int
	pack          func(dst, w []float32)
	run           func(task int, scratch, x, w []float32, f depthwise.Fusion, y []float32)
	region        func(task int) depthwise.Region
	image         func(n int) (task int, ok bool)
	scratch       int // for computing the input, per worker; 0 if the pass cannot
}

// emitDepthwise runs a depthwise convolution: pack the weights, then convolve.
func (c *compiler) emitDepthwise(n *ir.Node, g depthwise.Geometry) error {
	p, err := depthwise.New(g, depthwise.Options{})
	if err != nil {
		return err
	}
	sz := p.Sizes()
	return c.emitDepthwisePass(n, depthwisePass{p.Kernels(), sz.PackedForward, sz.ForwardTasks, p.PackForward,
		func(task int, scratch, x, w []float32, f depthwise.Fusion, y []float32) {
			if f.Load != nil {
				p.ForwardLoad(task, scratch, w, f, y)
			} else {
				p.Forward(task, x, w, f, y)
			}
		}, p.ForwardRegion, p.ForwardImage, sz.ForwardScratch})
}

// emitDepthwiseTransposed runs the data gradient of a depthwise convolution.
func (c *compiler) emitDepthwiseTransposed(n *ir.Node, g depthwise.Geometry) error {
	p, err := depthwise.New(g, depthwise.Options{})
	if err != nil {
		return err
	}
	sz := p.Sizes()
	return c.emitDepthwisePass(n, depthwisePass{p.Kernels(), sz.PackedBackward, sz.BackwardDataTasks, p.PackBackward,
		func(task int, _, x, w []float32, f depthwise.Fusion, y []float32) {
			p.BackwardData(task, x, w, f, y)
		}, p.BackwardDataRegion, p.BackwardDataImage, 0})
}

func (c *compiler) emitDepthwisePass(n *ir.Node, p depthwisePass) error {
	x, w := c.in(n.In[0], channelsLast), c.in(n.In[1], rowMajor)
	var bias *slot
	if b := n.Input(2); b != nil {
		bias = c.in(b, rowMajor)
	}
	packed, scratch := c.temp(p.packed), c.workspace(0)
	c.emitPack(n, w, func() func() error {
		src := w.f32()
		return func() error { p.pack(packed.mem, src); return nil }
	}, packed)
	e := c.epilogueOf(n)
	y := c.out(e.out, channelsLast)
	ch := y.channels()
	output := &finished{
		slot:  y,
		tasks: func() int { return p.tasks },
		region: func(task int) (lo, hi int) {
			r := p.region(task)
			return r.P0 * ch, r.P1 * ch
		},
		entire: func() bool { return p.tasks > 0 },
	}
	var input *loaded
	if p.scratch > 0 {
		input = &loaded{slot: x, repeats: 1, prepare: func() error {
			scratch.resize(p.scratch * c.workers)
			return nil
		}}
	}
	images := &imagewise{images: x.shape[0], begins: p.image}
	s := c.emit(n, p.kernel, []*slot{x, bias}, []*slot{y}, func() func() error {
		yd := y.f32()
		f := depthwise.Fusion{Clip: e.clip, Lo: e.lo, Hi: e.hi}
		if bias != nil {
			f.Bias = bias.f32()
		}
		fs := make([]depthwise.Fusion, c.workers)
		var mem []float32
		for i := range fs {
			fs[i] = f
			if input != nil && input.links != nil {
				fs[i].Load = depthwise.Loader(input.loader())
			}
		}
		if fs[0].Load == nil {
			mem = x.f32()
		}
		images.do = then(func(t, worker int) {
			var own []float32
			if fs[worker].Load != nil {
				own = scratch.part(worker, p.scratch)
			}
			p.run(t, own, mem, packed.mem, fs[worker], yd)
		}, output.after(c))
		return runTasks(c.pool, p.tasks, images.do)
	}, packed, scratch)
	s.output, s.input, s.images = output, input, images
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
	own := sz.BackwardWeightsScratch
	partials, scratch := c.temp(sz.Partials), c.workspace(own*c.workers)
	input := &loaded{slot: x, repeats: sz.BackwardWeightsRepeats, prepare: func() error {
		own = sz.BackwardWeightsScratch + sz.BackwardWeightsLoad
		scratch.resize(own * c.workers)
		return nil
	}}
	images := &imagewise{images: g.N, begins: p.BackwardWeightsImage}
	s := c.emit(n, p.Kernels(), []*slot{x, dy}, nil, func() func() error {
		xd, dyd := input.mem(), dy.f32()
		loads := make([]depthwise.Loader, c.workers)
		if own > sz.BackwardWeightsScratch {
			for w := range loads {
				if loads[w] = depthwise.Loader(input.loader()); loads[w] == nil { // cut as if it were computed
					loads[w] = func(dst []float32, at int) { copy(dst, xd[at:]) }
				}
			}
		}
		images.do = func(t, worker int) {
			p.BackwardWeightsLoad(t, scratch.part(worker, own), xd, loads[worker], dyd, partials.mem)
		}
		return runTasks(c.pool, sz.BackwardWeightsTasks, images.do)
	}, partials, scratch)
	s.input, s.images = input, images
	dw := c.out(n.Out[0], rowMajor)
	c.emit(n, "reduce slots", nil, []*slot{dw}, func() func() error {
		dwd := dw.f32()
		return func() error { p.ReduceWeights(partials.mem, dwd, nil); return nil }
	}, partials)
	return nil
}
