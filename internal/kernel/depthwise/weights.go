package depthwise

import (
	"fmt"
	"unsafe"

	"github.com/go-nncf/nncf/internal/kernel/axis"
	"github.com/go-nncf/nncf/internal/kernel/tile"
)

// weights is the gradient of the weights, dw[k, c] = Σ_p x[p+k, c]·dy[p, c], in
// a fixed number of slots, each for a fixed range of image rows. A task is a
// slot and a range of vectors. A slot has the layout of packed forward weights,
// followed by the bias gradient, one float per padded channel.
type weights struct {
	p              *pass
	g              Geometry
	slots, slotLen int
	vecs           int // vectors of channels
	nvec, vec      int // tasks per slot, vectors per task
	bias           bool
	tile           *tile.Set // copies

	// Where rows are short, a block of rows of panelVecs vectors is copied to a
	// panel with a border of zeros, so that every pixel has all taps.
	rows, pitch int // output rows of a block, 0 if there are no panels; pixels per row
}

const (
	maxSlots = 16
	// slotPixels is how many output pixels must stand behind a partial sum so
	// that adding up the slots is a small part of the work.
	slotPixels = 256
	// callPixels is how many pixels one kernel call sums, about: few enough to
	// find the second half of each cache line again for the next vector.
	callPixels = 64
	// panelVecs vectors make whole cache lines; panelFloats are half of a
	// first-level cache of 32 KB.
	panelVecs   = 4
	panelFloats = 4 << 10
	// panelRows is the least height of a block that repays the copy.
	panelRows = 4
)

func newWeights(p *pass, g Geometry, bias bool) weights {
	w := weights{p: p, g: g, bias: bias, slotLen: p.wlen, vecs: ceilDiv(g.C, p.set.Lanes), tile: tile.ForLevel(p.set.Level)}
	if bias {
		w.slotLen += w.vecs * p.set.Lanes
	}
	w.slots = max(1, min(maxSlots, g.N*p.oh, g.N*p.oh*p.ow/slotPixels))
	// an even number of vectors per task keeps cache lines whole
	want := max(1, min(ceilDiv(wantTasks, w.slots), g.MACs()/w.slots/minTaskMACs, w.vecs/2))
	w.vec = ceilDiv(ceilDiv(w.vecs, want), 2) * 2
	w.nvec = ceilDiv(w.vecs, w.vec)

	ph := &p.phases[0]
	w.pitch = (p.ow-1)*p.ws.Step + span(ph.w.Taps)
	line := w.pitch * panelVecs * p.set.Lanes
	rows := (panelFloats/line-span(ph.h.Taps))/p.hs.Step + 1
	if rows >= min(panelRows, p.oh) {
		_, w.rows = pieces(p.oh, rows)
	}
	return w
}

// span is the number of input positions from the first tap to the last.
func span(t []axis.Tap) int { return t[len(t)-1].Off - t[0].Off + 1 }

// scratch returns the floats a task needs.
func (w *weights) scratch() int {
	if w.rows == 0 {
		return 0
	}
	p := w.p
	return ((w.rows-1)*p.hs.Step + span(p.phases[0].h.Taps)) * w.pitch * panelVecs * p.set.Lanes
}

// BackwardWeights computes part task of the weight-gradient partial sums. All
// tasks together write all Sizes.Partials floats that [Plan.ReduceWeights] reads.
func (p *Plan) BackwardWeights(task int, scratch, x, dy, partials []float32) {
	p.BackwardWeightsLoad(task, scratch, x, nil, dy, partials)
}

// BackwardWeightsLoad is BackwardWeights with a [Loader] in place of x, which
// brings rows to scratch, Sizes.BackwardWeightsLoad floats more.
func (p *Plan) BackwardWeightsLoad(task int, scratch, x []float32, load Loader, dy, partials []float32) {
	const name = "BackwardWeights"
	w, q := &p.wgt, p.wgt.p
	if uint(task) >= uint(w.slots*w.nvec) {
		panic(fmt.Sprintf("depthwise: %s: got task %d, want less than %d", name, task, w.slots*w.nvec))
	}
	win := w.window()
	var rows []float32
	if load == nil {
		need(name, "input", x, q.n*q.ih*q.iw*q.c)
		need(name, "scratch", scratch, w.scratch())
	} else {
		need(name, "scratch", scratch, w.scratch()+win.floats())
		rows, scratch = scratch[:win.floats()], scratch[win.floats():]
	}
	need(name, "output gradient", dy, q.n*q.oh*q.ow*q.c)
	need(name, "partial sums", partials, w.slots*w.slotLen)
	slot, vt := task/w.nvec, task%w.nvec
	v0, v1 := vt*w.vec, min(w.vecs, (vt+1)*w.vec)
	lanes := q.set.Lanes
	part := partials[slot*w.slotLen:][:w.slotLen]
	taps := p.g.KH * p.g.KW * lanes
	clear(part[v0*taps : v1*taps])
	if w.bias {
		clear(part[q.wlen+v0*lanes : q.wlen+v1*lanes])
	}
	// the rows of all images, one after the other
	all := q.n * q.oh
	for r := slot * all / w.slots; r < (slot+1)*all/w.slots; {
		n, q0 := r/q.oh, r%q.oh
		q1 := min(q.oh, q0+(slot+1)*all/w.slots-r)
		if w.rows > 0 {
			q1 = min(q1, q0+w.rows)
		}
		base := 0
		if load != nil {
			q1 = min(q1, q0+win.rows)
			if q0 == 0 {
				win.start()
			}
			win.load(rows, load, n, q0, q1)
			x, base = rows, n*q.ih+win.h0
		}
		if w.rows == 0 {
			w.image(n, q0, q1, v0, v1, base, x, dy, part)
		} else {
			w.panel(n, q0, q1, v0, v1, base, scratch, x, dy, part)
		}
		r += q1 - q0
	}
}

// window returns an empty window for a [Loader].
func (w *weights) window() window {
	win := w.p.window()
	if w.rows > 0 { // whole blocks
		win.rows = w.rows
	}
	return win
}

// panel adds rows q0 … q1 of image n from panels.
func (w *weights) panel(n, q0, q1, v0, v1, base int, scratch, x, dy, part []float32) {
	q := w.p
	ph := &q.phases[0]
	if w.bias {
		w.biasRows(n, q0, q1, v0, v1, dy, part)
	}
	lanes, kh, kw := q.set.Lanes, w.g.KH, w.g.KW
	h0, c0 := q0*q.hs.Step+ph.h.Taps[0].Off, ph.w.Taps[0].Off
	height := (q1-q0-1)*q.hs.Step + span(ph.h.Taps)
	lo, hi := min(max(0, -c0), w.pitch), max(0, min(w.pitch, q.iw-c0)) // columns inside
	for v := v0; v < v1; v += panelVecs {
		nv := min(panelVecs, v1-v)
		pixel := nv * lanes
		width := min(pixel, q.c-v*lanes)
		for r := range height {
			line := scratch[r*w.pitch*pixel:][:w.pitch*pixel]
			if h := h0 + r; h < 0 || h >= q.ih || lo >= hi {
				clear(line)
				continue
			}
			clear(line[:lo*pixel])
			clear(line[hi*pixel:])
			src := x[((n*q.ih+h0+r-base)*q.iw+c0+lo)*q.c+v*lanes:]
			w.tile.Copy(line[lo*pixel:], pixel, src, q.c, width, hi-lo)
		}
		a := GradArgs{
			XS: 4 * q.ws.Step * pixel, XRow: 4 * (q.hs.Step*w.pitch - q.ow*q.ws.Step) * pixel,
			TapRow: 4 * ph.gap * w.pitch * pixel, TapX: 4 * ph.colGap * pixel, YS: 4 * q.c, P: q.ow, R: q1 - q0,
		}
		y := dy[(n*q.oh+q0)*q.ow*q.c:]
		for i := range nv {
			a.Y = unsafe.Pointer(&y[(v+i)*lanes])
			a.Tail = min(lanes, q.c-(v+i)*lanes)
			d := part[(v+i)*kh*kw*lanes:]
			run := func(f func(*GradArgs), k, j int) {
				a.X = unsafe.Pointer(&scratch[(k*ph.gap*w.pitch+j*ph.colGap)*pixel+i*lanes])
				a.D = unsafe.Pointer(&d[(k*kw+j)*lanes])
				f(noescape(&a))
			}
			switch {
			case kh == 3 && kw == 3:
				run(q.set.grad3, 0, 0)
			case kw <= maxKW && q.set.grad[kw] != nil:
				for k := range kh {
					run(q.set.grad[kw], k, 0)
				}
			default:
				for k := range kh {
					for j := range kw {
						run(q.set.grad[1], k, j)
					}
				}
			}
		}
	}
}

// image adds rows q0 … q1 of image n. Rows and columns that lose taps at the
// border are summed one by one, with the taps they have.
func (w *weights) image(n, q0, q1, v0, v1, base int, x, dy, part []float32) {
	q := w.p
	ph := &q.phases[0]
	lo, hi := q.hs.Inside(&ph.h, q.ih)
	lo, hi = max(lo, q0), min(hi, q1)
	if lo >= hi {
		lo, hi = q1, q1
	}
	step := max(1, callPixels/q.ow)
	for r := q0; r < q1; {
		end := r + 1
		if r >= lo && r < hi {
			end = min(hi, r+step)
		}
		k0, k1 := q.hs.Valid(&ph.h, r, q.ih)
		w.columns(n, r, end, k0, k1, v0, v1, base, x, dy, part)
		r = end
	}
}

// columns adds rows r0 … r1, which all have kernel rows k0 … k1.
func (w *weights) columns(n, r0, r1, k0, k1, v0, v1, base int, x, dy, part []float32) {
	q := w.p
	ph := &q.phases[0]
	if w.bias {
		w.biasRows(n, r0, r1, v0, v1, dy, part)
	}
	if k0 >= k1 {
		return
	}
	for c := 0; c < q.ow; {
		end := c + 1
		if c >= ph.lo && c < ph.hi {
			_, each := pieces(ph.hi-ph.lo, callPixels)
			end = min(ph.hi, c+each)
		}
		j0, j1 := q.ws.Valid(&ph.w, c, q.iw)
		if j0 < j1 {
			w.sum(axisRange{n, r0, r1, c, end}, k0, k1, j0, j1, v0, v1, base, x, dy, part)
		}
		c = end
	}
}

// axisRange is a rectangle of output pixels of one image.
type axisRange struct{ n, r0, r1, c0, c1 int }

// sum adds a rectangle all of whose pixels have the taps k0 … k1 × j0 … j1.
func (w *weights) sum(t axisRange, k0, k1, j0, j1, v0, v1, base int, x, dy, part []float32) {
	q := w.p
	ph := &q.phases[0]
	lanes, kw := q.set.Lanes, w.g.KW
	a := GradArgs{
		XS: 4 * q.ws.Step * q.c, YS: 4 * q.c, P: t.c1 - t.c0, R: t.r1 - t.r0,
		TapRow: 4 * ph.gap * q.iw * q.c, TapX: 4 * ph.colGap * q.c, DVec: 4 * w.g.KH * kw * lanes,
	}
	a.XRow = 4 * (q.hs.Step*q.iw - a.P*q.ws.Step) * q.c
	a.YRow = 4 * (q.ow - a.P) * q.c
	y := ((t.n*q.oh+t.r0)*q.ow + t.c0) * q.c
	at := func(k, j int) int {
		return ((t.n*q.ih+t.r0*q.hs.Step+ph.h.Taps[k].Off-base)*q.iw + t.c0*q.ws.Step + ph.w.Taps[j].Off) * q.c
	}
	run := func(f func(*GradArgs), nv, v, k, j int) {
		a.Tail = min(lanes, q.c-(v+nv-1)*lanes)
		a.X = unsafe.Pointer(&x[at(k, j)+v*lanes])
		a.Y = unsafe.Pointer(&dy[y+v*lanes])
		a.D = unsafe.Pointer(&part[((v*w.g.KH+k)*kw+j)*lanes])
		f(noescape(&a))
	}
	switch {
	case kw == 3 && w.g.KH == 3 && k1-k0 == 3 && j1-j0 == 3:
		for v := v0; v < v1; v++ {
			run(q.set.grad3, 1, v, 0, 0)
		}
	case j1-j0 == kw && kw <= maxKW && q.set.grad[kw] != nil && kw > 1:
		for v := v0; v < v1; v++ {
			for k := k0; k < k1; k++ {
				run(q.set.grad[kw], 1, v, k, 0)
			}
		}
	default:
		for v := v0; v < v1; {
			nv, f := 1, q.set.grad[1]
			if v+gradNV <= v1 {
				nv, f = gradNV, q.set.gradN
			}
			for k := k0; k < k1; k++ {
				for j := j0; j < j1; j++ {
					run(f, nv, v, k, j)
				}
			}
			v += nv
		}
	}
}

// biasRows adds dy to the bias gradient.
func (w *weights) biasRows(n, r0, r1, v0, v1 int, dy, part []float32) {
	q := w.p
	lanes := q.set.Lanes
	c0, c1 := v0*lanes, min(q.c, v1*lanes)
	sum := part[q.wlen+c0:][:c1-c0]
	for p := (n*q.oh + r0) * q.ow; p < (n*q.oh+r1)*q.ow; p++ {
		for i, v := range dy[p*q.c+c0:][:len(sum)] {
			sum[i] += v
		}
	}
}

// ReduceWeights adds up the slots, in order: dw [C, 1, KH, KW] and, in plans
// made with BiasGrad, db are overwritten. db may be nil otherwise.
func (p *Plan) ReduceWeights(partials, dw, db []float32) {
	const name = "ReduceWeights"
	w := &p.wgt
	need(name, "partial sums", partials, w.slots*w.slotLen)
	need(name, "weight gradient", dw, p.g.C*p.g.KH*p.g.KW)
	lanes, taps := p.set.Lanes, p.g.KH*p.g.KW
	for c := range p.g.C {
		for k := range taps {
			dw[c*taps+k] = w.total(partials, (c/lanes*taps+k)*lanes+c%lanes)
		}
	}
	if w.bias {
		need(name, "bias gradient", db, p.g.C)
		for c := range p.g.C {
			db[c] = w.total(partials, p.fwd.wlen+c)
		}
	}
}

func (w *weights) total(partials []float32, at int) float32 {
	s := partials[at]
	for i := 1; i < w.slots; i++ {
		s += partials[i*w.slotLen+at]
	}
	return s
}

// pieces returns how many pieces of at most size cover n, and the balanced
// size of a piece.
func pieces(n, size int) (count, each int) {
	count = ceilDiv(n, max(1, min(size, n)))
	each = ceilDiv(n, max(1, count))
	return ceilDiv(n, max(1, each)), max(1, each)
}
