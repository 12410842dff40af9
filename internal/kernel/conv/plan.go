package conv

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/internal/kernel/axis"
	"github.com/go-nncf/nncf/internal/kernel/tile"
)

// Options choose how a plan computes. The zero value is right for programs.
type Options struct {
	// Kernels is the set of tile kernels; nil means the fastest one here.
	Kernels *tile.Set
	// BiasGrad makes BackwardWeights also sum the gradient of a bias.
	BiasGrad bool
	// AlwaysLoad makes forward and weight-gradient passes bring their input
	// to scratch even where it could be read in place, so that a [Loader] may
	// be given.
	AlwaysLoad bool
}

// A Loader computes part of the input of a convolution instead of copying it:
// dst are the elements at, at+1, … of the input tensor, whole pixels that
// follow each other. It may be called several times for the same elements, and
// by several tasks at once.
type Loader func(dst []float32, at int)

// Fusion is what a pass does besides the convolution. The zero value is nothing.
type Fusion struct {
	Bias       []float32 // per output channel, added; nil means none
	Clip       bool      // y = min(max(y, Lo), Hi); NaN stays NaN
	Lo, Hi     float32
	Accumulate bool   // add to y instead of overwriting it; excludes Bias
	Load       Loader // replaces the input, which may then be nil; see Options.AlwaysLoad
}

// ReLU is the fusion max(y + bias, 0).
func ReLU(bias []float32) Fusion {
	return Fusion{Bias: bias, Clip: true, Hi: float32(math.Inf(1))}
}

// A Region is the part of an output tensor one task writes: the pixels
// P0 ≤ p < P1 in the order of N, D, H, W, of the channels C0 ≤ c < C1.
type Region struct{ P0, P1, C0, C1 int }

// Plan is a convolution of fixed geometry. It is immutable; its methods may
// be called by any number of goroutines.
type Plan struct {
	g     Geometry
	opt   Options
	set   *tile.Set
	fwd   pass
	bwd   pass
	wgt   weights
	macs  int
	wloc  locator // weights as seen by the forward pass
	wloct locator // and by its transpose
}

// New plans a convolution.
func New(g Geometry, opt Options) (*Plan, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	g = g.normal()
	p := &Plan{g: g, opt: opt, set: opt.Kernels, macs: g.MACs()}
	if p.set == nil {
		p.set = tile.Best()
	}
	if !p.set.Supported() {
		return nil, fmt.Errorf("conv: got kernels %s, which this machine cannot run", p.set.Name)
	}
	f, images := g, 0
	if g.taps() == 1 && g.StrideD == 1 && g.StrideH == 1 && g.StrideW == 1 &&
		g.PadFront == 0 && g.PadBack == 0 && g.PadT == 0 && g.PadB == 0 && g.PadL == 0 && g.PadR == 0 {
		// a matrix product over all pixels
		f.N, f.D, f.H, f.W = min(g.N, 1), 1, 1, max(1, g.N*g.D*g.H*g.W)
		images = g.N
	}
	od, oh, ow := f.OutD(), f.OutH(), f.OutW()
	icg, ocg, taps := g.IC/g.Groups, g.OC/g.Groups, g.taps()

	p.fwd = pass{images: images, id: f.D, ih: f.H, iw: f.W, ic: g.IC, od: od, oh: oh, ow: ow, oc: g.OC, set: p.set, merged: merging(p.set.Lanes, g.Groups, ocg)}
	p.fwd.build(f.N, g.Groups/p.fwd.merged, g,
		axis.Forward(od, g.KD, g.StrideD, g.PadFront, g.DilationD),
		axis.Forward(oh, g.KH, g.StrideH, g.PadT, g.DilationH),
		axis.Forward(ow, g.KW, g.StrideW, g.PadL, g.DilationW))
	if opt.AlwaysLoad {
		p.fwd.direct = false
	}
	p.fwd.divide(p.macs * p.fwd.merged)
	p.fwd.finish()
	p.wloc = locator{group: ocg * icg * taps, out: icg * taps, in: taps, contiguous: true}

	p.bwd = pass{images: images, id: od, ih: oh, iw: ow, ic: g.OC, od: f.D, oh: f.H, ow: f.W, oc: g.IC, set: p.set, merged: merging(p.set.Lanes, g.Groups, icg)}
	p.bwd.build(f.N, g.Groups/p.bwd.merged, g,
		axis.Backward(f.D, g.KD, g.StrideD, g.PadFront, g.DilationD),
		axis.Backward(f.H, g.KH, g.StrideH, g.PadT, g.DilationH),
		axis.Backward(f.W, g.KW, g.StrideW, g.PadL, g.DilationW))
	p.bwd.divide(p.macs * p.bwd.merged)
	p.bwd.finish()
	p.wloct = locator{group: ocg * icg * taps, out: taps, in: icg * taps}
	p.wgt = planWeights(&p.fwd, p.macs*p.fwd.merged, opt.BiasGrad)
	return p, nil
}

// finish computes the segment tables, which need the width of the window.
func (p *pass) finish() {
	rows, pitch := p.ih, p.iw
	if !p.direct {
		rows, pitch = p.window(min(p.row, p.nh), min(p.col, p.nw))
	}
	p.segments(pitch, rows)
}

// Geometry returns what the plan was made for, defaults filled in.
func (p *Plan) Geometry() Geometry { return p.g }

// Kernels returns the name of the kernel set in use.
func (p *Plan) Kernels() string { return p.set.Name }

// Sizes are the memory and parallelism a plan asks for. Lengths are in float32.
type Sizes struct {
	PackedForward, PackedBackward int // lengths of packed weights
	PackForwardTasks              int
	PackBackwardTasks             int
	ForwardTasks, ForwardScratch  int // scratch is per task running at the same time
	BackwardDataTasks             int
	BackwardDataScratch           int
	BackwardWeightsTasks          int
	BackwardWeightsScratch        int
	Partials                      int // length of the weight-gradient partial sums, all slots
	Slots                         int
	ReduceTasks                   int
}

// Sizes returns the sizes of the plan. They depend on the geometry and the
// kernel set, never on the number of threads.
func (p *Plan) Sizes() Sizes {
	return Sizes{
		PackedForward: p.fwd.wlen, PackedBackward: p.bwd.wlen,
		PackForwardTasks: len(p.fwd.blocks), PackBackwardTasks: len(p.bwd.blocks),
		ForwardTasks: p.fwd.tasks(), ForwardScratch: p.fwd.scratch(),
		BackwardDataTasks: p.bwd.tasks(), BackwardDataScratch: p.bwd.scratch(),
		BackwardWeightsTasks: p.wgt.tasks(), BackwardWeightsScratch: p.wgt.scratch(),
		Partials: p.wgt.slots * p.wgt.slotLen, Slots: p.wgt.slots,
		ReduceTasks: len(p.fwd.blocks),
	}
}

// PackForward writes block task of the packed forward weights; w is OIHW.
func (p *Plan) PackForward(task int, dst, w []float32) {
	need("PackForward", "packed weights", dst, p.fwd.wlen)
	need("PackForward", "weights", w, p.g.WeightLen())
	p.fwd.pack(dst, w, p.fwd.blocks[task], p.wloc, p.g.taps())
}

// PackForwardRows returns the output channels that task of [Plan.PackForward]
// reads. All tasks together read each once.
func (p *Plan) PackForwardRows(task int) (lo, hi int) {
	b := p.fwd.blocks[task]
	return b.c0, b.c0 + b.width
}

// PackBackward writes block task of the packed weights of [Plan.BackwardData]; w is OIHW.
func (p *Plan) PackBackward(task int, dst, w []float32) {
	need("PackBackward", "packed weights", dst, p.bwd.wlen)
	need("PackBackward", "weights", w, p.g.WeightLen())
	p.bwd.pack(dst, w, p.bwd.blocks[task], p.wloct, p.g.taps())
}

// Forward computes part task of y = conv(x, w) as fused by f.
func (p *Plan) Forward(task int, scratch, x, w []float32, f Fusion, y []float32) {
	p.fwd.run("Forward", task, scratch, x, w, f, y)
}

// BackwardData computes part task of dx from dy: the transposed convolution.
// It overwrites dx unless f says otherwise.
func (p *Plan) BackwardData(task int, scratch, dy, w []float32, f Fusion, dx []float32) {
	p.bwd.run("BackwardData", task, scratch, dy, w, f, dx)
}

// ForwardRegion returns what task of Forward writes.
func (p *Plan) ForwardRegion(task int) Region { return p.fwd.region(task) }

// BackwardDataRegion returns what task of BackwardData writes.
func (p *Plan) BackwardDataRegion(task int) Region { return p.bwd.region(task) }

// ForwardImage returns the first task of Forward that works on image n or later
// ones. ok is false if it works on earlier ones, too; n may be the number of
// images.
func (p *Plan) ForwardImage(n int) (task int, ok bool) {
	cell, ok := p.fwd.image(n, p.g.N)
	return cell * p.fwd.nblk, ok
}

// BackwardDataImage is ForwardImage of BackwardData.
func (p *Plan) BackwardDataImage(n int) (task int, ok bool) {
	cell, ok := p.bwd.image(n, p.g.N)
	return cell * p.bwd.nblk, ok
}

// image returns which cell, a task with all blocks, is the first of image n out
// of all images.
func (p *pass) image(n, images int) (cell int, ok bool) {
	switch {
	case images == 0 || p.nd != 1:
		return 0, false
	case n == images:
		return p.nimg * p.nrow * p.ncol, true
	case p.n == images:
		return n / p.img * p.nrow * p.ncol, n%p.img == 0
	case p.n == 1 && p.nh == 1 && p.nw%images == 0: // all pixels are one row
		at := n * (p.nw / images)
		return at / p.col, at%p.col == 0
	}
	return 0, false
}

// run checks the lengths once; the kernels trust them.
func (p *pass) run(name string, task int, scratch, x, w []float32, f Fusion, y []float32) {
	if uint(task) >= uint(p.tasks()) {
		panic(fmt.Sprintf("conv: %s: got task %d, want less than %d", name, task, p.tasks()))
	}
	if f.Load == nil {
		need(name, "input", x, p.inputLen())
	} else if p.direct {
		panic("conv: " + name + ": a Loader needs a plan made with Options.AlwaysLoad")
	}
	if f.Bias != nil {
		need(name, "bias", f.Bias, p.oc)
		if f.Accumulate {
			panic("conv: " + name + ": got Bias and Accumulate, want at most one")
		}
	}
	need(name, "scratch", scratch, p.scratch())
	need(name, "packed weights", w, p.wlen)
	need(name, "output", y, p.outputLen())
	p.exec(task, scratch, operands{x: x, w: w, y: y, fuse: f})
}

func (p *pass) inputLen() int  { return p.n / p.nd * p.id * p.ih * p.iw * p.ic }
func (p *pass) outputLen() int { return p.n / p.nd * p.od * p.oh * p.ow * p.oc }

func (p *pass) region(task int) Region {
	t := p.part(task)
	last := t.n1 - 1
	r := Region{
		P0: ((t.n0/p.nd*p.od+t.n0%p.nd*p.ostepD)*p.oh + t.q0*p.ostepH) * p.ow,
		P1: ((last/p.nd*p.od+min(last%p.nd*p.ostepD+p.ostepD, p.od)-1)*p.oh + min(t.q1*p.ostepH, p.oh)) * p.ow,
		C0: p.blocks[t.b0].c0,
		C1: p.blocks[t.b1-1].c0 + p.blocks[t.b1-1].width,
	}
	if p.ncol > 1 { // one row per image
		r.P0 += t.c0 * p.ostepW
		r.P1 += min(t.c1*p.ostepW, p.ow) - p.ow
	}
	return r
}

func need(name, what string, s []float32, n int) {
	if len(s) < n {
		panic(fmt.Sprintf("conv: %s: got %d floats of %s, want %d", name, len(s), what, n))
	}
}
