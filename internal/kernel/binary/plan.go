package binary

import (
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// Geometry is the shape of a 2-D convolution without groups. Zero strides and
// dilations mean 1. Pads may differ on all sides.
type Geometry struct {
	N, H, W, IC, OC        int
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

// OutH and OutW return the rows and columns of the output.
func (g Geometry) OutH() int {
	g = g.normal()
	return (g.H+g.PadT+g.PadB-g.DilationH*(g.KH-1)-1)/g.StrideH + 1
}

func (g Geometry) OutW() int {
	g = g.normal()
	return (g.W+g.PadL+g.PadR-g.DilationW*(g.KW-1)-1)/g.StrideW + 1
}

// Fits says why a geometry cannot be computed here, nil if it can. Sums must fit
// 16 bits.
func (g Geometry) Fits() error {
	g = g.normal()
	for _, v := range []int{g.H, g.W, g.IC, g.OC, g.KH, g.KW, g.StrideH, g.StrideW, g.DilationH, g.DilationW} {
		if v < 1 || v > math.MaxInt32 {
			return fmt.Errorf("got a length of %d, want 1 or more", v)
		}
	}
	switch {
	case g.N < 0 || g.PadT < 0 || g.PadL < 0 || g.PadB < 0 || g.PadR < 0:
		return errors.New("got a negative length or pad")
	case g.IC > math.MaxInt16 || g.KH > math.MaxInt16 || g.KW > math.MaxInt16 || g.IC*g.KH*g.KW > math.MaxInt16:
		return fmt.Errorf("got %d terms in a sum, want at most %d", g.IC*g.KH*g.KW, math.MaxInt16)
	case g.DilationH*(g.KH-1) >= g.H+g.PadT+g.PadB || g.DilationW*(g.KW-1) >= g.W+g.PadL+g.PadR:
		return errors.New("the kernel is larger than the padded input")
	}
	return nil
}

const (
	// pixels is the number of windows a counting kernel takes at once.
	pixels = 4
	// genericLanes is the number of output channels of a block in plain Go.
	genericLanes = 8
	// slack is what kernels may read behind the last run of a window.
	slack = 64
	// taskPixels is about how many output pixels a task computes: enough to read
	// the weights once for many.
	taskPixels = 256
)

// Plan computes one convolution.
type Plan struct {
	g          Geometry
	v          *variant
	oh, ow     int
	pp         int // bytes of a pixel in memory
	sp         int // bytes of a pixel in scratch
	wide       int // pixels of a row in scratch
	rows       int // output rows of a task
	rowTasks   int // per image
	inRows     int // input rows that a task sees
	runs       int // of a window
	runLen     int // bytes in scratch
	units      int // words or nibbles of a run
	lanes      int
	blocks     int
	last       uint64
	accPitch   int // int16s of a pixel
	accWide    int // pixels of a row of sums
	scratchLen int // bytes
}

// New returns a plan for the geometry, which must fit.
func New(g Geometry) (*Plan, error) { return newPlan(g, active) }

func newPlan(g Geometry, v *variant) (*Plan, error) {
	if err := g.Fits(); err != nil {
		return nil, err
	}
	g = g.normal()
	p := &Plan{g: g, v: v, oh: g.OutH(), ow: g.OutW(), pp: (g.IC + 7) / 8, lanes: v.lanes}
	p.sp = p.pp
	if v.nibbles {
		p.sp = 2 * p.pp
	}
	p.wide = g.W + g.PadL + g.PadR
	p.rows = min(p.oh, max(1, taskPixels/p.ow))
	p.rowTasks = (p.oh + p.rows - 1) / p.rows
	p.inRows = (p.rows-1)*g.StrideH + g.DilationH*(g.KH-1) + 1
	p.runs, p.runLen = g.KH, g.KW*p.sp
	if g.DilationW > 1 {
		p.runs, p.runLen = g.KH*g.KW, p.sp
	}
	p.units = p.runLen
	if !v.nibbles {
		p.units = (p.runLen + 7) / 8
		p.last = math.MaxUint64 >> (8 * (8*p.units - p.runLen))
	}
	p.blocks = (g.OC + p.lanes - 1) / p.lanes
	p.accPitch = p.blocks * p.lanes
	p.accWide = (p.ow + pixels - 1) / pixels * pixels
	// The last windows of a row may reach beyond it, into the next row or the slack.
	p.scratchLen = p.inRows*p.wide*p.sp + pixels*g.StrideW*p.sp + g.KW*g.DilationW*p.sp + slack
	return p, nil
}

// Kernels names the variant in use.
func (p *Plan) Kernels() string { return p.v.name }

// Sizes are the lengths of the memory that a plan needs, in floats, and the
// numbers of its tasks.
type Sizes struct {
	Bits     int // of the input
	Weights  int
	Scratch  int // of each worker
	Tasks    int
	PackRows int // tasks of PackWeights
}

// Sizes returns the sizes.
func (p *Plan) Sizes() Sizes {
	return Sizes{
		Bits:     (p.g.N*p.g.H*p.g.W*p.pp + 3) / 4,
		Weights:  (p.blocks*p.blockBytes() + 3) / 4,
		Scratch:  (p.scratchLen+63)/64*16 + (2*p.accWide*p.accPitch+63)/64*16,
		Tasks:    p.g.N * p.rowTasks,
		PackRows: p.blocks,
	}
}

// blockBytes is the size of one block of weights.
func (p *Plan) blockBytes() int {
	if p.v.nibbles {
		return p.runs * p.units * p.lanes
	}
	return 8 * p.runs * p.units * p.lanes
}

// Region returns the first and one past the last output pixel of a task.
func (p *Plan) Region(task int) (lo, hi int) {
	n, r := task/p.rowTasks, task%p.rowTasks
	return (n*p.oh + r*p.rows) * p.ow, (n*p.oh + min(p.oh, (r+1)*p.rows)) * p.ow
}

// Pack writes the bits of whole pixels of x, the first of which is pixel at of
// the input: which channels are above their thresholds.
func (p *Plan) Pack(bits, x, thresholds []float32, at int) {
	n := len(x) / p.g.IC
	if len(thresholds) != p.g.IC || n*p.g.IC != len(x) || at < 0 || at+n > p.g.N*p.g.H*p.g.W {
		panic(fmt.Sprintf("binary: got %d elements from pixel %d and %d thresholds for %d channels", len(x), at, len(thresholds), p.g.IC))
	}
	dst := bytesOf(bits)[at*p.pp:][:n*p.pp]
	if p.g.IC%8 != 0 {
		packGeneric(dst, x, thresholds, p.pp)
		return
	}
	p.v.pack(dst, x, thresholds, p.pp)
}

// PackWeights packs one of Sizes.PackRows blocks of the signs of w, OIHW.
func (p *Plan) PackWeights(task int, dst, w []float32) {
	g := p.g
	if len(w) != g.OC*g.IC*g.KH*g.KW {
		panic(fmt.Sprintf("binary: got %d weights, want %d", len(w), g.OC*g.IC*g.KH*g.KW))
	}
	out := bytesOf(dst)[task*p.blockBytes():][:p.blockBytes()]
	clear(out)
	unit := 64 // channels of a unit
	if p.v.nibbles {
		unit = 4
	}
	for lane := range p.lanes {
		o := task*p.lanes + lane
		if o >= g.OC {
			break
		}
		slot := lane
		if p.v.nibbles { // so that even and odd bytes are channels in order
			slot = lane/32*32 + lane%16*2 + lane/16%2
		}
		filter := w[o*g.IC*g.KH*g.KW:][:g.IC*g.KH*g.KW]
		for kh := range g.KH {
			for kw := range g.KW {
				run, first := kh, kw*8*p.pp // first bit in the run
				if g.DilationW > 1 {
					run, first = kh*g.KW+kw, 0
				}
				for c, i := 0, kh*g.KW+kw; c < g.IC; c, i = c+1, i+g.KH*g.KW {
					if !(filter[i] > 0) {
						continue
					}
					bit := first + c
					at := (run*p.units+bit/unit)*p.lanes + slot
					if p.v.nibbles {
						out[at] |= 1 << (bit % 4)
					} else {
						out[8*at+bit%64/8] |= 1 << (bit % 8)
					}
				}
			}
		}
	}
}

// Forward computes a task: y = sum·factors[oc], NHWC. scratch is the worker's.
func (p *Plan) Forward(task int, scratch, bits, weights, factors, y []float32) {
	g := p.g
	if len(factors) != g.OC || len(y) != g.N*p.oh*p.ow*g.OC {
		panic(fmt.Sprintf("binary: got %d factors and a result of %d, want %d and %d", len(factors), len(y), g.OC, g.N*p.oh*p.ow*g.OC))
	}
	split := (p.scratchLen + 63) / 64 * 16
	rows := bytesOf(scratch[:split])
	acc := int16sOf(scratch[split:][:(2*p.accWide*p.accPitch+3)/4])
	w := bytesOf(weights)
	n, r0 := task/p.rowTasks, task%p.rowTasks*p.rows
	r1 := min(p.oh, r0+p.rows)
	p.load(rows, bytesOf(bits), n, r0*g.StrideH-g.PadT)
	b := block{step: g.StrideW * p.sp, runs: p.runs, runLen: p.runLen, pitch: g.DilationH * p.wide * p.sp, accPitch: 2 * p.accPitch, last: p.last}
	if g.DilationW > 1 {
		b.runs = g.KW // taps of one row; the rows follow below
		b.pitch = g.DilationW * p.sp
	}
	for r := r0; r < r1; r++ {
		clear(acc)
		row := rows[(r-r0)*g.StrideH*p.wide*p.sp:]
		for k := range p.blocks {
			for x := 0; x < p.ow; x += pixels {
				p.count(&b, acc[x*p.accPitch+k*p.lanes:], row[x*g.StrideW*p.sp:], w[k*p.blockBytes():][:p.blockBytes()])
			}
		}
		out := y[(n*p.oh+r)*p.ow*g.OC:][:p.ow*g.OC]
		if g.OC%8 != 0 {
			finishGeneric(out, acc, factors, p.accPitch)
		} else {
			p.v.finish(out, acc, factors, p.accPitch)
		}
	}
}

// count adds up the windows of a few pixels for one block.
func (p *Plan) count(b *block, acc []int16, x, w []byte) {
	rows, rowPitch, rowBytes := 1, 0, 0
	if p.g.DilationW > 1 {
		rows, rowPitch, rowBytes = p.g.KH, p.g.DilationH*p.wide*p.sp, len(w)/p.g.KH
	}
	if p.v.count == nil {
		if rows > 1 { // one call, since the plain form does not add
			p.countTaps(acc, x, wordsOf(w), b)
			return
		}
		countWords(acc, x, wordsOf(w), b)
		return
	}
	b.acc = &acc[0]
	for r := range rows {
		b.x, b.w = &x[r*rowPitch], &w[r*rowBytes]
		p.v.count(noescape(b))
	}
}

// countTaps is countWords for dilated rows.
func (p *Plan) countTaps(acc []int16, x []byte, w []uint64, b *block) {
	var sum [pixels * genericLanes]int16
	per := len(w) / p.g.KH
	q := *b
	q.accPitch = 2 * genericLanes
	for r := range p.g.KH {
		countWords(sum[:], x[r*p.g.DilationH*p.wide*p.sp:], w[r*per:], &q)
		for i := range pixels {
			for l := range genericLanes {
				acc[i*b.accPitch/2+l] += sum[i*genericLanes+l]
			}
		}
	}
}

// load copies the rows of image n from row top on to scratch, in the form that
// kernels read, with zeros around.
func (p *Plan) load(dst, bits []byte, n, top int) {
	g := p.g
	pitch := p.wide * p.sp
	for r := range p.inRows {
		row := dst[r*pitch:][:pitch]
		h := top + r
		if h < 0 || h >= g.H {
			clear(row)
			continue
		}
		left, body := g.PadL*p.sp, g.W*p.sp
		src := bits[(n*g.H+h)*g.W*p.pp:][:g.W*p.pp]
		clear(row[:left])
		if p.v.nibbles {
			p.v.expand(row[left:][:body], src)
		} else {
			copy(row[left:][:body], src)
		}
		clear(row[left+body:])
	}
	clear(dst[p.inRows*pitch : p.scratchLen])
}

// noescape hides p from escape analysis: an argument of a call through the table
// would move to the heap, but no kernel keeps its arguments.
//
// Checks of pointers, which come with the race detector, would call between the
// two conversions, and the stack may move then.
//
//go:nocheckptr
func noescape[T any](p *T) *T {
	x := uintptr(unsafe.Pointer(p))
	return *(**T)(unsafe.Pointer(&x))
}

func bytesOf(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

func int16sOf(x []float32) []int16 {
	return unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(x))), 2*len(x))
}

// wordsOf views bytes as words; they must be aligned, as blocks of weights are.
func wordsOf(x []byte) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(x))), len(x)/8)
}
