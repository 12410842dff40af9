package depthwise

import (
	"errors"
	"fmt"
	"math"
	"unsafe"

	"github.com/go-nncf/nncf/internal/kernel/axis"
)

// Geometry is the shape of a depthwise convolution. Zero strides and
// dilations mean 1; a negative pad crops.
type Geometry struct {
	N, H, W, C             int
	KH, KW                 int
	StrideH, StrideW       int
	PadT, PadL, PadB, PadR int
	DilationH, DilationW   int
}

func (g Geometry) normal() Geometry {
	for _, v := range []*int{&g.StrideH, &g.StrideW, &g.DilationH, &g.DilationW} {
		if *v == 0 {
			*v = 1
		}
	}
	return g
}

// OutH returns the rows of the output.
func (g Geometry) OutH() int {
	g = g.normal()
	return outSize(g.H, g.KH, g.StrideH, g.PadT+g.PadB, g.DilationH)
}

// OutW returns the columns of the output.
func (g Geometry) OutW() int {
	g = g.normal()
	return outSize(g.W, g.KW, g.StrideW, g.PadL+g.PadR, g.DilationW)
}

func outSize(in, k, stride, pad, dilation int) int {
	free := in + pad - (dilation*(k-1) + 1)
	if free < 0 {
		return 0
	}
	return free/stride + 1
}

// MACs returns the multiplications of one forward pass, padding included.
func (g Geometry) MACs() int { return g.N * g.OutH() * g.OutW() * g.C * g.KH * g.KW }

// Validate reports everything that is wrong with g.
func (g Geometry) Validate() error {
	var errs []error
	g = g.normal()
	for _, f := range []struct {
		name      string
		v, lowest int
	}{
		{"N", g.N, 0}, {"H", g.H, 1}, {"W", g.W, 1}, {"C", g.C, 1}, {"KH", g.KH, 1}, {"KW", g.KW, 1},
		{"StrideH", g.StrideH, 1}, {"StrideW", g.StrideW, 1}, {"DilationH", g.DilationH, 1}, {"DilationW", g.DilationW, 1},
	} {
		if f.v < f.lowest || f.v > math.MaxInt32 {
			errs = append(errs, fmt.Errorf("got %s %d, want %d to 2³¹-1", f.name, f.v, f.lowest))
		}
	}
	if errs == nil && (g.OutH() < 1 || g.OutW() < 1) {
		errs = append(errs, fmt.Errorf("a %dx%d kernel with dilations %d, %d does not fit into %dx%d with pads %d, %d, %d, %d",
			g.KH, g.KW, g.DilationH, g.DilationW, g.H, g.W, g.PadT, g.PadL, g.PadB, g.PadR))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("depthwise: %w", err)
	}
	return nil
}

// Options choose how a plan computes. The zero value is right for programs.
type Options struct {
	Kernels  *Set // nil means the fastest one here
	BiasGrad bool // BackwardWeights also sums the gradient of a bias
}

// Fusion is what a pass does besides the convolution. The zero value is nothing.
type Fusion struct {
	Bias       []float32 // per channel, added; nil means none
	Clip       bool      // y = min(max(y, Lo), Hi); NaN stays NaN
	Lo, Hi     float32
	Accumulate bool   // add to y instead of overwriting it; excludes Bias
	Load       Loader // replaces the input, which may then be nil; the pass then needs scratch
}

// A Loader computes part of the input instead of reading it: dst are the
// elements at, at+1, … of the input tensor, whole rows of pixels that follow each
// other. It is called in the order of the rows of an image, several times for
// few of them, and by several tasks at once.
type Loader func(dst []float32, at int)

// Plan is a depthwise convolution of fixed geometry. It is immutable; its
// methods may be called by any number of goroutines.
type Plan struct {
	g        Geometry
	set      *Set
	fwd, bwd pass
	wgt      weights
}

// New plans a depthwise convolution.
func New(g Geometry, opt Options) (*Plan, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	g = g.normal()
	p := &Plan{g: g, set: opt.Kernels}
	if p.set == nil {
		p.set = Best()
	}
	if !p.set.Supported() {
		return nil, fmt.Errorf("depthwise: got kernels %s, which this machine cannot run", p.set.Name)
	}
	oh, ow := g.OutH(), g.OutW()
	p.fwd = newPass(p.set, g, g.H, g.W, oh, ow,
		axis.Forward(oh, g.KH, g.StrideH, g.PadT, g.DilationH), axis.Forward(ow, g.KW, g.StrideW, g.PadL, g.DilationW))
	p.bwd = newPass(p.set, g, oh, ow, g.H, g.W,
		axis.Backward(g.H, g.KH, g.StrideH, g.PadT, g.DilationH), axis.Backward(g.W, g.KW, g.StrideW, g.PadL, g.DilationW))
	p.wgt = newWeights(&p.fwd, g, opt.BiasGrad)
	return p, nil
}

// Geometry returns what the plan was made for, defaults filled in.
func (p *Plan) Geometry() Geometry { return p.g }

// Kernels returns the name of the kernel set in use.
func (p *Plan) Kernels() string { return p.set.Name }

// Sizes are the memory and parallelism a plan asks for. Lengths are in float32.
type Sizes struct {
	PackedForward, PackedBackward int
	ForwardTasks                  int
	ForwardScratch                int // for a [Loader], per task running at the same time
	BackwardDataTasks             int
	BackwardWeightsTasks          int
	BackwardWeightsScratch        int // per task running at the same time
	BackwardWeightsLoad           int // what a [Loader] needs besides
	BackwardWeightsRepeats        int // how often a Loader computes an element
	Partials                      int // weight-gradient partial sums, all slots
}

// Sizes returns the sizes of the plan. They depend on the geometry and the
// kernel set, never on the number of threads.
func (p *Plan) Sizes() Sizes {
	return Sizes{
		PackedForward: p.fwd.wlen, PackedBackward: p.bwd.wlen,
		ForwardTasks: p.fwd.tasks(), ForwardScratch: p.fwd.window().floats(), BackwardDataTasks: p.bwd.tasks(),
		BackwardWeightsTasks: p.wgt.slots * p.wgt.nvec, BackwardWeightsScratch: p.wgt.scratch(), Partials: p.wgt.slots * p.wgt.slotLen,
		BackwardWeightsLoad: p.wgt.window().floats(), BackwardWeightsRepeats: p.wgt.nvec,
	}
}

// PackForward writes the packed forward weights; w is [C, 1, KH, KW].
func (p *Plan) PackForward(dst, w []float32) { p.pack(&p.fwd, "PackForward", dst, w) }

// PackBackward writes the packed weights of [Plan.BackwardData].
func (p *Plan) PackBackward(dst, w []float32) { p.pack(&p.bwd, "PackBackward", dst, w) }

func (p *Plan) pack(ps *pass, name string, dst, w []float32) {
	need(name, "packed weights", dst, ps.wlen)
	need(name, "weights", w, p.g.C*p.g.KH*p.g.KW)
	for i := range ps.phases {
		ps.phases[i].pack(dst, w, p.g, p.set.Lanes)
	}
}

// Forward computes part task of y = conv(x, w) as fused by f.
func (p *Plan) Forward(task int, x, w []float32, f Fusion, y []float32) {
	p.fwd.run("Forward", task, nil, x, w, f, y)
}

// ForwardLoad is Forward with a [Loader], which brings rows to scratch.
func (p *Plan) ForwardLoad(task int, scratch, w []float32, f Fusion, y []float32) {
	p.fwd.run("Forward", task, scratch, nil, w, f, y)
}

// BackwardData computes part task of dx from dy. It overwrites dx unless f
// says otherwise.
func (p *Plan) BackwardData(task int, dy, w []float32, f Fusion, dx []float32) {
	p.bwd.run("BackwardData", task, nil, dy, w, f, dx)
}

// ForwardImage returns the first task of Forward that works on image n or later
// ones. ok is false if it works on earlier ones, too; n may be the number of
// images.
func (p *Plan) ForwardImage(n int) (task int, ok bool) { return p.fwd.image(n) }

// BackwardDataImage is ForwardImage of BackwardData.
func (p *Plan) BackwardDataImage(n int) (task int, ok bool) { return p.bwd.image(n) }

func (p *pass) image(n int) (task int, ok bool) {
	if n == p.n {
		return p.tasks(), true
	}
	return n / p.img * p.nrow, n%p.img == 0
}

// BackwardWeightsImage is ForwardImage of BackwardWeights.
func (p *Plan) BackwardWeightsImage(n int) (task int, ok bool) {
	w, all := &p.wgt, p.wgt.p.n*p.wgt.p.oh
	if n == w.p.n {
		return w.slots * w.nvec, true
	}
	slot := ceilDiv(n*w.p.oh*w.slots, all)
	return slot * w.nvec, slot*all/w.slots == n*w.p.oh
}

// A Region is the part of an output one task writes: all channels of the
// pixels P0 ≤ p < P1 in the order of N, H, W.
type Region struct{ P0, P1 int }

// ForwardRegion returns what task of Forward writes.
func (p *Plan) ForwardRegion(task int) Region { return p.fwd.region(task) }

// BackwardDataRegion returns what task of BackwardData writes.
func (p *Plan) BackwardDataRegion(task int) Region { return p.bwd.region(task) }

// A phase is a part of the output with its own taps.
type phase struct {
	h, w   axis.Phase
	lo, hi int // columns of the phase all of whose taps are inside
	at     int // first float of its packed weights
	rows   bool
	gap    int // input rows between taps
	colGap int
}

// A pass computes one output from one input, a Forward or its transpose.
type pass struct {
	set            *Set
	n, c           int
	ih, iw, oh, ow int
	hs, ws         axis.Axis
	phases         []phase
	wlen           int
	img, row       int // images and phase rows per task
	nimg, nrow     int
	nh             int // phase rows
}

const (
	// wantTasks and minTaskMACs are as in package conv; depthwise work is
	// bound by memory, which makes a multiplication several times dearer.
	wantTasks   = 32
	minTaskMACs = 1 << 17
)

func newPass(set *Set, g Geometry, ih, iw, oh, ow int, hs, ws axis.Axis) pass {
	p := pass{set: set, n: g.N, c: g.C, ih: ih, iw: iw, oh: oh, ow: ow, hs: hs, ws: ws}
	padded := (g.C + set.Lanes - 1) / set.Lanes * set.Lanes
	for _, h := range hs.Phases {
		for _, w := range ws.Phases {
			ph := phase{h: h, w: w, at: p.wlen, gap: gap(h), colGap: gap(w)}
			ph.lo, ph.hi = ws.Inside(&w, iw)
			ph.rows = ph.colGap == 1 && set.hasRow(ws.Step, len(w.Taps))
			p.wlen += len(h.Taps) * len(w.Taps) * padded
			p.phases = append(p.phases, ph)
			p.nh = max(p.nh, h.N)
		}
	}
	macs := g.MACs()
	most := max(minTaskMACs, macs/wantTasks)
	p.img, p.row = 1, p.nh
	if g.N > 0 && macs > 0 {
		image := max(1, macs/g.N)
		p.img = max(1, min(g.N, most/image))
		if p.img == 1 {
			p.row = max(1, min(p.nh, p.nh*most/image))
		}
	}
	p.nimg, p.nrow = ceilDiv(g.N, p.img), ceilDiv(p.nh, p.row)
	return p
}

// gap is the distance between the taps of a phase, 1 if there is one only.
func gap(p axis.Phase) int {
	if len(p.Taps) < 2 {
		return 1
	}
	return p.Taps[1].Off - p.Taps[0].Off
}

func (p *pass) tasks() int { return p.nimg * p.nrow }

func (p *pass) part(task int) (n0, n1, q0, q1 int) {
	n, q := task/p.nrow, task%p.nrow
	return n * p.img, min(p.n, (n+1)*p.img), q * p.row, min(p.nh, (q+1)*p.row)
}

func (p *pass) region(task int) Region {
	n0, n1, q0, q1 := p.part(task)
	return Region{(n0*p.oh + q0*p.hs.OutStep) * p.ow, ((n1-1)*p.oh + min(p.oh, q1*p.hs.OutStep)) * p.ow}
}

func (p *pass) run(name string, task int, scratch, x, w []float32, f Fusion, y []float32) {
	if uint(task) >= uint(p.tasks()) {
		panic(fmt.Sprintf("depthwise: %s: got task %d, want less than %d", name, task, p.tasks()))
	}
	if f.Load == nil {
		need(name, "input", x, p.n*p.ih*p.iw*p.c)
	}
	need(name, "packed weights", w, p.wlen)
	need(name, "output", y, p.n*p.oh*p.ow*p.c)
	if f.Bias != nil {
		need(name, "bias", f.Bias, p.c)
		if f.Accumulate {
			panic("depthwise: " + name + ": got Bias and Accumulate, want at most one")
		}
	}
	n0, n1, q0, q1 := p.part(task)
	win := p.window()
	if f.Load != nil {
		need(name, "scratch", scratch, win.floats())
	}
	for n := n0; n < n1; n++ {
		win.start()
		for q := q0; q < q1; q++ {
			base := 0
			if f.Load != nil {
				if (q-q0)%win.rows == 0 {
					win.load(scratch, f.Load, n, q, min(q1, q+win.rows))
				}
				x, base = scratch, n*p.ih+win.h0
			}
			for i := range p.phases {
				if ph := &p.phases[i]; q < ph.h.N {
					p.line(ph, n, q, base, x, w, f, y)
				}
			}
		}
	}
}

// line computes row q of a phase. Row base of all images' rows is the first of x.
func (p *pass) line(ph *phase, n, q, base int, x, w []float32, f Fusion, y []float32) {
	yrow := ((n*p.oh+ph.h.First+q*p.hs.OutStep)*p.ow + ph.w.First) * p.c
	ystep := p.ws.OutStep * p.c
	k0, k1 := p.hs.Valid(&ph.h, q, p.ih)
	if k0 >= k1 || len(ph.w.Taps) == 0 {
		for c := range ph.w.N {
			fill(y[yrow+c*ystep:][:p.c], f)
		}
		return
	}
	lanes := p.set.Lanes
	kw := len(ph.w.Taps)
	xrow := (n*p.ih + q*p.hs.Step + ph.h.Taps[k0].Off - base) * p.iw
	wrow := w[ph.at+k0*kw*lanes:]
	wvec := len(ph.h.Taps) * kw * lanes * 4

	lo, hi := ph.lo, ph.hi
	if !ph.rows {
		lo, hi = ph.w.N, ph.w.N
	}
	px := PixelArgs{XRow: 4 * ph.gap * p.iw * p.c, XCol: 4 * ph.colGap * p.c, Rows: k1 - k0, WRow: 4 * kw * lanes, WVec: wvec, Vecs: p.c / lanes, Tail: p.c % lanes}
	if f.Clip {
		px.Clip, px.Lo, px.Hi = 1, f.Lo, f.Hi
	}
	if f.Bias != nil {
		px.C = unsafe.Pointer(&f.Bias[0])
	}
	for c := 0; c < ph.w.N; c++ {
		if c == lo && lo < hi {
			c = hi - 1
			continue
		}
		out := y[yrow+c*ystep:][:p.c]
		j0, j1 := p.ws.Valid(&ph.w, c, p.iw)
		if j0 >= j1 {
			fill(out, f)
			continue
		}
		px.Cols = j1 - j0
		px.X = unsafe.Pointer(&x[(xrow+c*p.ws.Step+ph.w.Taps[j0].Off)*p.c])
		px.W = unsafe.Pointer(&wrow[j0*lanes])
		px.Y = unsafe.Pointer(&out[0])
		if f.Accumulate {
			px.C = px.Y
		}
		p.set.runPixel(&px)
	}

	a := RowArgs{XS: 4 * p.c, XRow: px.XRow, Rows: px.Rows, W: unsafe.Pointer(&wrow[0]), WVec: wvec, YS: 4 * ystep,
		Vecs: px.Vecs, Tail: px.Tail, Clip: px.Clip, Lo: px.Lo, Hi: px.Hi}
	if f.Bias != nil {
		a.C = unsafe.Pointer(&f.Bias[0])
	}
	if f.Accumulate {
		a.CS = a.YS
	}
	c := lo
	for left := ceilDiv(hi-lo, maxTW); left > 0; left-- {
		tw := ceilDiv(hi-c, left)
		a.X = unsafe.Pointer(&x[(xrow+c*p.ws.Step+ph.w.Taps[0].Off)*p.c])
		a.Y = unsafe.Pointer(&y[yrow+c*ystep])
		if f.Accumulate {
			a.C = a.Y
		}
		p.set.runRow(p.ws.Step, kw, tw, &a)
		c += tw
	}
}

// fill writes an output no tap reaches.
func fill(y []float32, f Fusion) {
	switch {
	case f.Accumulate:
	case f.Bias != nil:
		copy(y, f.Bias)
	default:
		clear(y)
	}
	if f.Clip {
		clip(y, f.Lo, f.Hi)
	}
}

// pack writes the weights of one phase.
func (ph *phase) pack(dst, w []float32, g Geometry, lanes int) {
	d := dst[ph.at:]
	for c0 := 0; c0 < g.C; c0 += lanes {
		for _, h := range ph.h.Taps {
			for _, v := range ph.w.Taps {
				row := d[:lanes]
				d = d[lanes:]
				n := min(lanes, g.C-c0)
				for l := range n {
					row[l] = w[((c0+l)*g.KH+h.K)*g.KW+v.K]
				}
				clear(row[n:])
			}
		}
	}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

func need(name, what string, s []float32, n int) {
	if len(s) < n {
		panic(fmt.Sprintf("depthwise: %s: got %d floats of %s, want %d", name, len(s), what, n))
	}
}
