package conv

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/go-nncf/nncf/internal/kernel/tile"
)

// weights is the gradient of the weights: dw[k, o] = Σ_p x[p, k]·dy[p, o]. It
// walks the windows of the forward pass in units (images × rows × columns).
// Each slot is the sum of a fixed range of units; a task is a slot and a range
// of blocks. Slots have the layout of packed forward weights, followed by the
// bias gradient, one float per padded channel.
type weights struct {
	p              pass // the forward pass, cut into units
	blk, nblk      int  // blocks per task, tasks along them
	chunk          int  // input channels of a panel of x
	chk, nchk      int  // chunks per task, tasks along them
	slots, slotLen int
	bias           bool

	// pixels per kernel call: a piece of a row, some rows of one image, or
	// some images
	cols, rows, imgs int
	strips           []strip

	// copies of dy and x in panels, where pixels are wide
	packY, packX bool
	panelPitch   int     // pixels per row of a panel of x
	panelStrips  []strip // in a panel
}

// A strip is neighbouring inputs of a pixel: those from at on, relative to its
// first tap, belong to the rows of weights from row on.
type strip struct{ at, row int }

const (
	maxSlots = 32
	// slotMACs is how many multiplications must stand behind each partial sum
	// so that adding up the slots stays below a few percent of the work.
	slotMACs = 512
	// reuseMACs is how many multiplications must use each input that a task
	// reads from memory.
	reuseMACs = 512
	// innerFloats bounds the input and output gradient that the kernels walk
	// again for each tile of weights: they should stay in a first-level cache
	// of 32 KB.
	innerFloats = 6 << 10
	// innerPixels is the least number of pixels for which a kernel is called,
	// where there are more: it loads and stores its tile once per call, which
	// costs a tenth of the time at 64 pixels.
	innerPixels = 192
	// unitFloats bounds the window of several small images.
	unitFloats = 256 << 10
	// From wideFloats channels on, pixels often lie a power of two apart in
	// memory, and few of them share a page or fit into a cache. They are copied
	// to panels: of NR output channels, or of panelX input channels, an odd
	// number of cache lines and whole tiles of 4, 6, 9 and 12 rows.
	wideFloats = 256
	panelX     = 144
	// panelRows rows of weights, panelCols output channels repay the copies.
	panelRows = 128
	panelCols = 64
	// reduceRows is how many rows of weights are added up at a time.
	reduceRows = 64
)

func planWeights(fwd *pass, macs int, bias bool) weights {
	w := weights{p: *fwd, bias: bias, slotLen: fwd.wlen}
	if bias {
		w.slotLen += fwd.padded
	}
	p := &w.p
	p.phases = slices.Clone(p.phases)
	p.divide(0)
	p.nblk = 1 // units are not cut by blocks
	p.reuse = false
	if p.direct && p.nh == 1 {
		_, p.col = pieces(p.nw, max(p.col, innerPixels))
		p.align()
		p.ncol = ceilDiv(p.nw, p.col)
	}
	if p.row == p.nh && p.col == p.nw {
		h, w := p.window(p.nh, p.nw)
		img := min(ceilDiv(innerPixels, p.nh*p.nw), unitFloats/(p.planes()*h*w*p.ic), ceilDiv(p.n, maxSlots))
		p.nimg, p.img = pieces(p.n, max(p.img, img))
	}
	p.finish()
	pixel := p.stepW*p.stepH*p.ic + p.oc
	call := max(innerPixels, innerFloats/pixel)
	_, w.cols = pieces(max(1, p.col), call)
	w.rows, w.imgs = 1, 1
	if w.cols == p.col {
		_, w.rows = pieces(p.row, ceilDiv(call, w.cols))
	}
	if w.rows == p.row {
		_, w.imgs = pieces(p.img, ceilDiv(call, w.cols*w.rows))
	}
	ph := &p.phases[0]
	for i, at := range ph.seg {
		w.strips = append(w.strips, strip{at / 4, i * ph.run})
	}
	w.packY = p.oc >= wideFloats && ph.k >= panelRows
	w.packX = !p.deep() && p.icg == p.ic && p.ic >= wideFloats && p.oc >= panelCols
	if w.packX {
		_, w.panelPitch = p.window(1, w.cols)
		for _, h := range ph.h.Taps {
			for _, v := range ph.w.Taps {
				at := ((h.Off-p.minH)*w.panelPitch + v.Off - p.minW) * panelX
				w.panelStrips = append(w.panelStrips, strip{at, len(w.panelStrips) * p.ic})
			}
		}
	}
	w.slots = max(1, min(p.tasks(), maxSlots, macs/slotMACs/max(1, w.slotLen)))
	// parts of a slot, so that there are enough tasks
	want := min(ceilDiv(wantTasks, w.slots), max(1, macs/w.slots/minTaskMACs))
	chunks := 1
	w.chunk, w.chk, w.nchk = p.ic, 1, 1
	if w.packX {
		chunks, w.chunk = pieces(p.ic, panelX)
		w.nchk, w.chk = pieces(chunks, ceilDiv(chunks, want))
	}
	most := len(p.blocks)
	least := min(most, ceilDiv(reuseMACs*len(p.blocks), p.padded*len(ph.taps)))
	w.nblk, w.blk = pieces(most, max(least, ceilDiv(most*w.nchk, want)))
	return w
}

func (w *weights) tasks() int { return w.slots * w.nchk * w.nblk }

// BackwardWeights computes part task of the weight-gradient partial sums. All
// tasks together write all Sizes.Partials floats that [Plan.ReduceWeights] reads.
func (p *Plan) BackwardWeights(task int, scratch, x, dy, partials []float32) {
	p.BackwardWeightsLoad(task, scratch, x, nil, dy, partials)
}

// BackwardWeightsLoad is BackwardWeights with a [Loader] in place of x.
func (p *Plan) BackwardWeightsLoad(task int, scratch, x []float32, load Loader, dy, partials []float32) {
	const name = "BackwardWeights"
	w := &p.wgt
	u := &w.p
	if uint(task) >= uint(w.tasks()) {
		panic(fmt.Sprintf("conv: %s: got task %d, want less than %d", name, task, w.tasks()))
	}
	w.check(name, scratch, x, load, dy, partials)

	r := run{load: load, x: x, dy: dy}
	slot := task / w.nblk / w.nchk
	bt, kt := task%w.nblk, task/w.nblk%w.nchk
	r.blocks = u.blocks[bt*w.blk : min(len(u.blocks), (bt+1)*w.blk)]
	r.k0, r.k1 = kt*w.chk*w.chunk, min(u.ic, (kt+1)*w.chk*w.chunk)
	r.slot = partials[slot*w.slotLen:][:w.slotLen]
	n := u.tasks()
	if n == 0 {
		clear(r.slot)
		return
	}
	first := slot * n / w.slots
	for i := first; i < (slot+1)*n/w.slots; i++ {
		r.zero = i == first
		w.unit(&r, u.part(i), scratch)
	}
}

// Units returns the number of pieces that [Plan.BackwardWeightsUnit] adds up.
func (p *Plan) Units() int { return p.wgt.p.tasks() }

// UnitImage is [Plan.ForwardImage] for units.
func (p *Plan) UnitImage(n int) (unit int, ok bool) { return p.wgt.p.image(n, p.g.N) }

// SlotBegins reports whether a slot begins with the unit. Units between two
// such belong to one slot and must be added in their order.
func (p *Plan) SlotBegins(unit int) bool {
	_, first := p.wgt.slotOf(unit)
	return first == unit
}

// slotOf returns the slot of a unit, and the first unit of it.
func (w *weights) slotOf(unit int) (slot, first int) {
	n := w.p.tasks()
	slot = unit * w.slots / n
	if next := (slot + 1) * n / w.slots; next == unit {
		return slot + 1, next
	}
	return slot, slot * n / w.slots
}

// BackwardWeightsUnit adds one unit to the partial sums, of all weights. All
// units together do what all tasks of [Plan.BackwardWeightsLoad] do, bit for bit.
func (p *Plan) BackwardWeightsUnit(unit int, scratch, x []float32, load Loader, dy, partials []float32) {
	const name = "BackwardWeightsUnit"
	w := &p.wgt
	u := &w.p
	if uint(unit) >= uint(u.tasks()) {
		panic(fmt.Sprintf("conv: %s: got unit %d, want less than %d", name, unit, u.tasks()))
	}
	w.check(name, scratch, x, load, dy, partials)
	slot, first := w.slotOf(unit)
	r := run{load: load, x: x, dy: dy, blocks: u.blocks, k1: u.ic, zero: first == unit, slot: partials[slot*w.slotLen:][:w.slotLen]}
	w.unit(&r, u.part(unit), scratch)
}

// check panics if memory is too short, once, so that the kernels may trust it.
func (w *weights) check(name string, scratch, x []float32, load Loader, dy, partials []float32) {
	if load == nil {
		need(name, "input", x, w.p.inputLen())
	} else if w.p.direct {
		panic("conv: " + name + ": a Loader needs a plan made with Options.AlwaysLoad")
	}
	need(name, "output gradient", dy, w.p.outputLen())
	need(name, "scratch", scratch, w.scratch())
	need(name, "partial sums", partials, w.slots*w.slotLen)
}

// run is what a task of the weight gradient works on.
type run struct {
	load     Loader
	x, dy    []float32
	slot     []float32
	blocks   []block
	k0, k1   int  // input channels, if there are panels of x
	zero     bool // the first unit overwrites the slot
	win      []float32
	pitch    int
	image    int
	windowed bool // win is a window, not x
}

// one is the input of a bias, which is the weight of a constant.
var one = float32(1)

// scratch returns the floats a task needs: a window and the panels.
func (w *weights) scratch() int {
	n := w.p.scratch()
	if w.packX {
		rows, _ := w.p.window(w.rows, 1)
		n += w.imgs * rows * w.panelPitch * panelX
	}
	if w.packY {
		n += w.cols * w.rows * w.imgs * tile.MaxNV * w.p.set.Lanes
	}
	return n
}

// unit adds one unit to a slot.
func (w *weights) unit(r *run, t part, scratch []float32) {
	p := &w.p
	base := 0
	r.win, r.pitch, r.image = r.x, p.iw, p.ih*p.iw*p.ic
	r.windowed = !p.direct && (!w.packX || r.load != nil)
	switch {
	case r.windowed:
		r.win = scratch
		r.pitch, r.image = p.load(t, scratch, r.x, r.load)
		scratch = scratch[p.scratch():]
	case p.direct:
		base = ((t.n0*p.ih+t.q0*p.stepH+p.minH)*p.iw + t.c0*p.stepW + p.minW) * p.ic
	}
	cols, rows, imgs := t.c1-t.c0, t.q1-t.q0, t.n1-t.n0
	var a tile.OuterArgs
	a.XS, a.YS = p.stepW*p.ic*4, p.oc*4
	for n := 0; n < imgs; n += w.imgs {
		a.B = min(w.imgs, imgs-n)
		for q := 0; q < rows; q += w.rows {
			a.R = min(w.rows, rows-q)
			a.XImg = (r.image - a.R*p.stepH*r.pitch*p.ic) * 4
			a.YImg = (p.oh - a.R) * p.ow * p.oc * 4
			for c := 0; c < cols; c += w.cols {
				a.P = min(w.cols, cols-c)
				a.XRow = (p.stepH*r.pitch - a.P*p.stepW) * p.ic * 4
				a.YRow = (p.ow - a.P) * p.oc * 4
				a.Zero = 0
				if r.zero && n == 0 && q == 0 && c == 0 {
					a.Zero = 1
				}
				y := r.dy[(((t.n0+n)*p.oh+t.q0+q)*p.ow+t.c0+c)*p.oc:]
				if w.packX {
					w.panels(a, r, [3]int{t.n0 + n, t.q0 + q, t.c0 + c}, t, y, scratch)
					continue
				}
				x := r.win[base+n*r.image+(q*p.stepH*r.pitch+c*p.stepW)*p.ic:]
				for _, b := range r.blocks {
					w.block(a, b, w.strips, 0, p.phases[0].run, x[b.g*p.icg:], y, r.slot, scratch)
				}
			}
		}
	}
}

// panels adds the products of the pixels that a describes, from pixel at (image,
// row, column) on, by way of panels of x.
func (w *weights) panels(a tile.OuterArgs, r *run, at [3]int, t part, y, scratch []float32) {
	p := &w.p
	rows, cols := p.window(a.R, a.P)
	line := w.panelPitch * panelX
	panel := scratch[:a.B*rows*line]
	scratch = scratch[len(panel):]
	a.XS = 4 * p.stepW * panelX
	a.XRow = 4 * (p.stepH*line - a.P*p.stepW*panelX)
	a.XImg = 4 * (rows - a.R*p.stepH) * line
	h0, w0 := at[1]*p.stepH+p.minH, at[2]*p.stepW+p.minW
	lo, hi := min(max(0, -w0), cols), max(0, min(cols, p.iw-w0)) // columns inside
	for k := r.k0; k < r.k1; k += w.chunk {
		run := min(w.chunk, p.ic-k)
		for n := range a.B {
			for q := range rows {
				to := panel[(n*rows+q)*line:][:line]
				h := h0 + q
				switch {
				case r.windowed:
					from := (at[0]-t.n0+n)*r.image + (((at[1]-t.q0)*p.stepH+q)*r.pitch+(at[2]-t.c0)*p.stepW)*p.ic + k
					p.set.Copy(to, panelX, r.win[from:], p.ic, run, cols)
				case h < 0 || h >= p.ih || lo >= hi:
					clear(to)
				default:
					clear(to[:lo*panelX])
					p.set.Copy(to[lo*panelX:], panelX, r.x[(((at[0]+n)*p.ih+h)*p.iw+w0+lo)*p.ic+k:], p.ic, run, hi-lo)
					clear(to[hi*panelX:])
				}
			}
		}
		for _, b := range r.blocks {
			w.block(a, b, w.panelStrips, k, run, panel, y, r.slot, scratch)
		}
	}
}

// gather copies width floats of each pixel of a strided view to dst, pitch apart.
func (w *weights) gather(dst []float32, pitch int, src []float32, width, cols, rows, imgs, step, row, img int) {
	at := 0
	for range imgs {
		for range rows {
			w.p.set.Copy(dst, pitch, src[at:], step, width, cols)
			dst = dst[min(cols*pitch, len(dst)):]
			at += cols*step + row
		}
		at += img
	}
}

// block adds the products of the pixels in a to rows k … k+run, counted from
// the row of each strip, of the weights of one block.
func (w *weights) block(a tile.OuterArgs, b block, strips []strip, k, run int, x, y, part, scratch []float32) {
	p := &w.p
	set := p.set
	nr := b.nv * set.Lanes
	a.DS = nr * 4
	a.Tail = b.width - (b.nv-1)*set.Lanes
	if w.packY {
		w.gather(scratch, nr, y[b.c0:], b.width, a.P, a.R, a.B, a.YS/4, a.YRow/4, a.YImg/4)
		a.Y = unsafe.Pointer(&scratch[0])
		a.YS, a.YRow, a.YImg = 4*nr, 0, 0
	} else {
		a.Y = unsafe.Pointer(&y[b.c0])
	}
	if w.bias && k == 0 {
		bias := a
		bias.X, bias.XS, bias.XRow, bias.XImg = unsafe.Pointer(&one), 0, 0, 0
		bias.D = unsafe.Pointer(&part[p.wlen+b.pad])
		set.Outer(1, b.nv, &bias)
	}
	ph := &p.phases[0]
	weights := part[ph.at+ph.k*b.pad:]
	most := set.MaxMR(b.nv)
	for _, s := range strips {
		at, d := s.at, (s.row+k)*nr
		left := run
		for tiles := ceilDiv(run, most); tiles > 0; tiles-- {
			mr := ceilDiv(left, tiles)
			a.X = unsafe.Pointer(&x[at])
			a.D = unsafe.Pointer(&weights[d])
			set.Outer(mr, b.nv, &a)
			at += mr
			left -= mr
			d += mr * nr
		}
	}
}

// ReduceWeights adds up the slots, in order, for one block of output channels:
// dw (OIHW) and, in plans made with BiasGrad, db are overwritten there. db may
// be nil otherwise.
func (p *Plan) ReduceWeights(task int, partials, dw, db []float32) {
	const name = "ReduceWeights"
	w := &p.wgt
	if uint(task) >= uint(len(p.fwd.blocks)) {
		panic(fmt.Sprintf("conv: %s: got task %d, want less than %d", name, task, len(p.fwd.blocks)))
	}
	need(name, "partial sums", partials, w.slots*w.slotLen)
	need(name, "weight gradient", dw, p.g.WeightLen())
	b := p.fwd.blocks[task]
	nr := b.nv * p.set.Lanes
	u := &w.p
	ph := &u.phases[0]
	// the sum over the slots of a row is that of its products with 1
	var buf [reduceRows * 64]float32
	a := tile.OuterArgs{X: unsafe.Pointer(&one), YS: 4 * w.slotLen, P: w.slots, R: 1, B: 1, DS: 4 * nr, Tail: p.set.Lanes, Zero: 1}
	add := func(at, row int) { // into buf[row·nr:]
		sum := buf[row*nr:][:nr]
		if w.slots == 1 {
			copy(sum, partials[at:])
			return
		}
		a.Y, a.D = unsafe.Pointer(&partials[at]), unsafe.Pointer(&sum[0])
		p.set.Outer(1, b.nv, &a)
	}
	if w.bias {
		need(name, "bias gradient", db, p.g.OC)
		add(u.wlen+b.pad, 0)
		copy(db[b.c0:][:b.width], buf[:])
	}
	if u.merged > 1 {
		for t, tap := range ph.taps {
			for i := range u.icg {
				add(ph.at+ph.k*b.pad+(t*u.icg+i)*nr, 0)
				p.unmerge(b, dw, buf[:nr], i, tap)
			}
		}
		return
	}
	// Rows are collected in the order of dw, input channels before taps, and
	// transposed.
	dw = dw[b.g*p.wloc.group+(b.c0-b.g*(u.oc/u.groups))*p.wloc.out:]
	at := ph.at + ph.k*b.pad
	taps := len(ph.taps)
	channels := max(1, reduceRows/taps)
	for i0 := 0; i0 < u.icg; i0 += channels {
		i1 := min(u.icg, i0+channels)
		for t0 := 0; t0 < taps; t0 += reduceRows {
			t1 := min(taps, t0+reduceRows)
			r := 0
			for i := i0; i < i1; i++ {
				for t := t0; t < t1; t++ {
					add(at+(t*u.icg+i)*nr, r)
					r++
				}
			}
			p.set.Transpose(dw[i0*taps+t0:], p.wloc.out, buf[:], nr, r, b.width)
		}
	}
}
