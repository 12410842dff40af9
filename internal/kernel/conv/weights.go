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
	blk, nblk      int  // blocks per task, tasks per slot
	slots, slotLen int
	bias           bool

	// pixels per kernel call: a piece of a row, some rows of one image, or
	// some images
	cols, rows, imgs int
	packY, packX     bool // copy dy, x to panels before use
}

const (
	maxSlots = 32
	// slotMACs is how many multiplications must stand behind each partial sum
	// so that adding up the slots stays below a few percent of the work.
	slotMACs = 1024
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
	// From wideFloats channels on, pixels lie a large power of two apart in
	// memory, often, and too few of them fit into a cache; they are copied
	// to panels, of NR output channels or panelX input channels, an odd number
	// of cache lines and whole tiles of 4, 6, 9 and 12 rows.
	wideFloats = 512
	panelX     = 144
	// reduceRows is how many input channels are added up at a time.
	reduceRows = 16
	// panelRows is how many rows of weights must use a panel of dy.
	panelRows = 128
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
		p.ncol = ceilDiv(p.nw, p.col)
	}
	if p.row == p.nh && p.col == p.nw {
		h, w := p.window(p.nh, p.nw)
		img := min(ceilDiv(innerPixels, p.nh*p.nw), unitFloats/(h*w*p.ic), ceilDiv(p.n, maxSlots))
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
	w.packX = p.direct && len(p.phases[0].seg) == 1 && p.icg == p.ic && p.ic >= wideFloats
	w.packY = p.oc >= wideFloats && p.phases[0].run*len(p.phases[0].seg) >= panelRows
	w.slots = max(1, min(p.tasks(), maxSlots, macs/slotMACs/max(1, w.slotLen)))
	// blocks per task, so that there are enough tasks
	want := min(ceilDiv(wantTasks, w.slots), max(1, macs/w.slots/minTaskMACs))
	w.nblk, w.blk = pieces(len(p.blocks), ceilDiv(len(p.blocks), want))
	return w
}

func (w *weights) tasks() int { return w.slots * w.nblk }

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
	if load == nil {
		need(name, "input", x, u.n*u.ih*u.iw*u.ic)
	} else if u.direct {
		panic("conv: " + name + ": a Loader needs a plan made with Options.AlwaysLoad")
	}
	need(name, "output gradient", dy, u.n*u.oh*u.ow*u.oc)
	need(name, "scratch", scratch, w.scratch())
	need(name, "partial sums", partials, w.slots*w.slotLen)

	slot, bt := task/w.nblk, task%w.nblk
	blocks := u.blocks[bt*w.blk : min(len(u.blocks), (bt+1)*w.blk)]
	part := partials[slot*w.slotLen:][:w.slotLen]
	n := u.tasks()
	if n == 0 {
		clear(part)
		return
	}
	first := slot * n / w.slots
	for i := first; i < (slot+1)*n/w.slots; i++ {
		t := u.part(i)
		win, pitch, image, base := x, u.iw, u.ih*u.iw*u.ic, 0
		if u.direct {
			base = ((t.n0*u.ih+t.q0*u.stepH+u.minH)*u.iw + t.c0*u.stepW + u.minW) * u.ic
		} else {
			win = scratch
			pitch, image = u.load(t, scratch, x, load)
		}
		w.unit(t, blocks, win[base:], pitch, image, dy, part, scratch[u.scratch():], i == first)
	}
}

// one is the input of a bias, which is the weight of a constant.
var one = float32(1)

// scratch returns the floats a task needs: a window and the panels.
func (w *weights) scratch() int {
	n := w.p.scratch()
	if w.packX {
		n += w.cols * w.rows * w.imgs * panelX
	}
	if w.packY {
		n += w.cols * w.rows * w.imgs * tile.MaxNV * w.p.set.Lanes
	}
	return n
}

// unit adds one unit to a slot.
func (w *weights) unit(t part, bs []block, win []float32, pitch, image int, dy, part, scratch []float32, zero bool) {
	p := &w.p
	cols, rows, imgs := t.c1-t.c0, t.q1-t.q0, t.n1-t.n0
	var a tile.OuterArgs
	a.XS, a.YS = p.stepW*p.ic*4, p.oc*4
	for n := 0; n < imgs; n += w.imgs {
		a.B = min(w.imgs, imgs-n)
		for q := 0; q < rows; q += w.rows {
			a.R = min(w.rows, rows-q)
			a.XImg = (image - a.R*p.stepH*pitch*p.ic) * 4
			a.YImg = (p.oh - a.R) * p.ow * p.oc * 4
			for c := 0; c < cols; c += w.cols {
				a.P = min(w.cols, cols-c)
				a.XRow = (p.stepH*pitch - a.P*p.stepW) * p.ic * 4
				a.YRow = (p.ow - a.P) * p.oc * 4
				a.Zero = 0
				if zero && n == 0 && q == 0 && c == 0 {
					a.Zero = 1
				}
				x := win[n*image+(q*p.stepH*pitch+c*p.stepW)*p.ic:]
				y := dy[(((t.n0+n)*p.oh+t.q0+q)*p.ow+t.c0+c)*p.oc:]
				w.call(a, bs, x, y, part, scratch)
			}
		}
	}
}

// call adds the products of the pixels that a describes to all blocks.
func (w *weights) call(a tile.OuterArgs, bs []block, x, y, part, scratch []float32) {
	p := &w.p
	if !w.packX {
		for _, b := range bs {
			w.block(a, b, 0, p.phases[0].run, x, y, part, scratch)
		}
		return
	}
	pixels := a.P * a.R * a.B
	panel := scratch[:pixels*panelX]
	scratch = scratch[len(panel):]
	for k := 0; k < p.ic; k += panelX {
		width := min(panelX, p.ic-k)
		w.gather(panel, panelX, x[k:], width, a.P, a.R, a.B, a.XS/4, a.XRow/4, a.XImg/4)
		in := a
		in.XS, in.XRow, in.XImg = 4*panelX, 0, 0
		for _, b := range bs {
			w.block(in, b, k, width, panel, y, part, scratch)
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

// block adds the products of the pixels in a to the rows k0 … k0+run of each
// segment of the weights of one block.
func (w *weights) block(a tile.OuterArgs, b block, k0, run int, x, y, part, scratch []float32) {
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
	if w.bias && k0 == 0 {
		bias := a
		bias.X, bias.XS, bias.XRow, bias.XImg = unsafe.Pointer(&one), 0, 0, 0
		bias.D = unsafe.Pointer(&part[p.wlen+b.pad])
		set.Outer(1, b.nv, &bias)
	}
	ph := &p.phases[0]
	d := part[ph.at+ph.k*b.pad+k0*nr:]
	most := set.MaxMR(b.nv)
	for _, seg := range ph.seg {
		at := b.g*p.icg + seg/4
		left := run
		for k := ceilDiv(run, most); k > 0; k-- {
			mr := ceilDiv(left, k)
			a.X = unsafe.Pointer(&x[at])
			a.D = unsafe.Pointer(&d[0])
			set.Outer(mr, b.nv, &a)
			at += mr
			left -= mr
			d = d[mr*nr:]
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
	var buf [reduceRows][64]float32
	a := tile.OuterArgs{X: unsafe.Pointer(&one), YS: 4 * w.slotLen, P: w.slots, R: 1, B: 1, DS: 4 * nr, Tail: p.set.Lanes, Zero: 1}
	add := func(at int, sum *float32) {
		a.Y, a.D = unsafe.Pointer(&partials[at]), unsafe.Pointer(sum)
		p.set.Outer(1, b.nv, &a)
	}
	to := b.g*p.wloc.group + (b.c0-b.g*(u.oc/u.groups))*p.wloc.out
	for i0 := 0; i0 < u.icg; i0 += reduceRows {
		n := min(reduceRows, u.icg-i0)
		for t, tap := range ph.taps {
			for i := range n {
				add(ph.at+ph.k*b.pad+(t*u.icg+i0+i)*nr, &buf[i][0])
			}
			for l := range b.width {
				d := dw[to+l*p.wloc.out+i0*p.wloc.in+tap:]
				for i := range n {
					d[i*p.wloc.in] = buf[i][l]
				}
			}
		}
	}
	if w.bias {
		need(name, "bias gradient", db, p.g.OC)
		add(u.wlen+b.pad, &buf[0][0])
		copy(db[b.c0:][:b.width], buf[0][:])
	}
}
