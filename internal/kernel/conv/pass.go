package conv

import (
	"unsafe"

	"github.com/go-nncf/nncf/internal/kernel/axis"
	"github.com/go-nncf/nncf/internal/kernel/tile"
)

// A phase is a part of the output with its own set of taps. Its weights are
// packed as [block][kd tap][kh tap][kw tap][input channel][NR].
type phase struct {
	d, h, w axis.Phase

	k    int   // taps · input channels per group: rows of packed weights
	run  int   // floats of x per segment
	seg  []int // bytes, relative to the first tap of a pixel in the window
	at   int   // first float of the phase in the packed weights
	taps []int // (kd·KH + kh)·KW + kw, in the order of their use
}

// packedRow returns which row of the packed weights of a block holds tap t and
// input channel i.
func (p *pass) packedRow(t, i int) int {
	if p.reuse { // [kd][kh][ic][kw]
		return (t/3*p.icg+i)*3 + t%3
	}
	return t*p.icg + i
}

// A block is the output channels one tile covers: c0 … c0+width of group g.
type block struct {
	g, c0, width int
	nv           int
	pad          int // padded channels of the blocks before this one
}

// A pass is a correlation of an input with packed weights that writes each
// element of its output once. The forward convolution is one; its transpose,
// the gradient of the data, is another with several phases. What it calls an
// image is one depth of a phase of one image: number n·nd + depth.
type pass struct {
	n, ic, oc      int // images, channels
	images         int // what the pixels of the only row belong to, see align; 0 if rows are rows
	id, ih, iw     int // input positions
	od, oh, ow     int // output positions
	groups, icg    int // input channels per group
	merged         int // groups of the convolution in each of these, see merge.go
	stepD, ostepD  int // input, output positions between neighbours of a phase
	stepH, stepW   int
	ostepH, ostepW int
	phases         []phase
	blocks         []block
	padded         int // output channels, each block rounded up to NR
	wlen           int // floats of packed weights

	// the window: input planes, rows and columns a block of output needs
	minD, maxD, minH, maxH, minW, maxW int // tap offsets over all phases
	direct                             bool

	set   *tile.Set
	reuse bool // 3-wide kernels at step 1 use the reuse kernels
	cut
}

// A cut is the partition of a pass into tasks. It depends on the geometry only.
type cut struct {
	img, row, col, blk     int // images, phase rows, phase columns, blocks per task
	nimg, nrow, ncol, nblk int // how many of them
	nd, nh, nw             int // phase depths, rows and columns
}

func (c *cut) tasks() int { return c.nimg * c.nrow * c.ncol * c.nblk }

// part is one task: half-open ranges.
type part struct{ n0, n1, q0, q1, c0, c1, b0, b1 int }

func (p *pass) part(task int) part {
	var t part
	b := task % p.nblk
	task /= p.nblk
	c := task % p.ncol
	task /= p.ncol
	q := task % p.nrow
	n := task / p.nrow
	t.b0, t.b1 = b*p.blk, min(len(p.blocks), (b+1)*p.blk)
	t.c0, t.c1 = c*p.col, min(p.nw, (c+1)*p.col)
	t.q0, t.q1 = q*p.row, min(p.nh, (q+1)*p.row)
	t.n0, t.n1 = n*p.img, min(p.n, (n+1)*p.img)
	return t
}

// window returns the rows and columns of input that rows × cols of a phase need.
func (p *pass) window(rows, cols int) (wh, ww int) {
	return (rows-1)*p.stepH + p.maxH - p.minH + 1, (cols-1)*p.stepW + p.maxW - p.minW + 1
}

// scratch returns the floats a task needs.
func (p *pass) scratch() int {
	if p.direct {
		return 0
	}
	wh, ww := p.window(min(p.row, p.nh), min(p.col, p.nw))
	return min(p.img, max(p.n, 1)) * p.planes() * wh * ww * p.ic
}

// planes returns the input planes in a window.
func (p *pass) planes() int { return p.maxD - p.minD + 1 }

// deep reports whether there is a depth to speak of.
func (p *pass) deep() bool { return p.id > 1 || p.od > 1 || p.planes() > 1 }

// build finishes a pass over images whose dimensions are known.
func (p *pass) build(images, groups int, g Geometry, ds, hs, ws axis.Axis) {
	p.stepD, p.ostepD = ds.Step, ds.OutStep
	p.stepH, p.ostepH, p.stepW, p.ostepW = hs.Step, hs.OutStep, ws.Step, ws.OutStep
	p.groups, p.icg = groups, p.ic/groups
	nv := p.set.Vectors(p.oc / groups)
	if groups == 1 && p.stepW == 1 && threeWide(ws) {
		if r := p.set.ReuseVectors(p.oc, ws.Phases[0].N); r > 0 {
			nv, p.reuse = r, true
		}
	}
	p.blocks, p.padded = blocks(p.set.Lanes, nv, groups, p.oc/groups)
	var inD, inH, inW bool
	p.nd, p.minD, p.maxD, inD = extent(ds, p.id)
	p.nh, p.minH, p.maxH, inH = extent(hs, p.ih)
	p.nw, p.minW, p.maxW, inW = extent(ws, p.iw)
	p.n = images * p.nd
	p.direct = inD && inH && inW && !p.deep()
	for _, d := range ds.Phases {
		for _, h := range hs.Phases {
			for _, w := range ws.Phases {
				ph := phase{d: d, h: h, w: w, at: p.wlen}
				for _, a := range d.Taps {
					for _, b := range h.Taps {
						for _, c := range w.Taps {
							ph.taps = append(ph.taps, (a.K*g.KH+b.K)*g.KW+c.K)
						}
					}
				}
				ph.k = len(ph.taps) * p.icg
				p.wlen += ph.k * p.padded
				p.phases = append(p.phases, ph)
			}
		}
	}
}

// extent returns the longest phase of an axis over n input positions, the
// range of its tap offsets, and whether all taps stay inside.
func extent(a axis.Axis, n int) (most, least, greatest int, inside bool) {
	first := true
	inside = true
	for _, p := range a.Phases {
		most = max(most, p.N)
		if len(p.Taps) == 0 {
			continue
		}
		lo, hi := p.Taps[0].Off, p.Taps[len(p.Taps)-1].Off
		if first {
			least, greatest, first = lo, hi, false
		}
		least, greatest = min(least, lo), max(greatest, hi)
		inside = inside && lo >= 0 && (p.N-1)*a.Step+hi < n
	}
	return most, least, greatest, inside
}

// threeWide reports whether all outputs of an axis have three neighbouring taps.
func threeWide(a axis.Axis) bool {
	t := a.Phases[0].Taps
	return len(a.Phases) == 1 && len(t) == 3 && t[1].Off == t[0].Off+1 && t[2].Off == t[0].Off+2
}

// segments fills in the segment tables for a window of pitch pixels per row
// and rows per plane.
func (p *pass) segments(pitch, rows int) {
	for i := range p.phases {
		ph := &p.phases[i]
		ph.seg = nil
		if ph.k == 0 {
			continue
		}
		tw := ph.w.Taps
		merged := p.icg == p.ic
		for j := 1; j < len(tw); j++ {
			merged = merged && tw[j].Off == tw[j-1].Off+1
		}
		ph.run = p.icg
		switch {
		case p.reuse:
			tw = tw[:1]
		case merged:
			ph.run, tw = len(tw)*p.ic, tw[:1]
		}
		for _, d := range ph.d.Taps {
			for _, h := range ph.h.Taps {
				for _, w := range tw {
					ph.seg = append(ph.seg, (((d.Off-p.minD)*rows+h.Off-p.minH)*pitch+w.Off-p.minW)*p.ic*4)
				}
			}
		}
	}
}

// blocks cuts the output channels of each group into tiles. The last block of
// a group may have fewer vectors and unused lanes.
func blocks(lanes, nv, groups, ocg int) (bs []block, padded int) {
	nr := nv * lanes
	for g := range groups {
		for c := 0; c < ocg; c += nr {
			b := block{g: g, c0: g*ocg + c, width: min(nr, ocg-c), pad: padded}
			b.nv = (b.width + lanes - 1) / lanes
			padded += b.nv * lanes
			bs = append(bs, b)
		}
	}
	return bs, padded
}

// operands of one run of a pass.
type operands struct {
	x, w, y []float32
	fuse    Fusion
}

// exec runs one task.
func (p *pass) exec(task int, scratch []float32, o operands) {
	t := p.part(task)
	win, pitch, image := o.x, p.iw, p.ih*p.iw*p.ic
	base := 0 // element of the window where image n0, phase row q0, column c0 reads its first tap
	if p.direct {
		base = ((t.n0*p.ih+t.q0*p.stepH+p.minH)*p.iw + t.c0*p.stepW + p.minW) * p.ic
	} else {
		win = scratch
		pitch, image = p.load(t, scratch, o.x, o.fuse.Load)
	}
	for _, b := range p.blocks[t.b0:t.b1] {
		for i := range p.phases {
			p.tiles(&p.phases[i], b, t, o, win[base:], pitch, image)
		}
	}
}

// load copies the window of a task into scratch, zero where it leaves the
// input, and returns the pixels per row and the floats per image.
func (p *pass) load(t part, scratch, x []float32, load Loader) (pitch, image int) {
	rows, pitch := p.window(min(p.row, p.nh), min(p.col, p.nw)) // what the segment tables were made for
	wh, ww := p.window(t.q1-t.q0, t.c1-t.c0)
	h0, w0 := t.q0*p.stepH+p.minH, t.c0*p.stepW+p.minW
	// columns of the window that exist in the input
	lo, hi := min(max(0, -w0), ww), max(0, min(ww, p.iw-w0))
	plane := rows * pitch * p.ic
	image = p.planes() * plane
	for n := t.n0; n < t.n1; n++ {
		d0 := n%p.nd*p.stepD + p.minD
		for i := range p.planes() {
			d := d0 + i
			for r := range wh {
				dst := scratch[(n-t.n0)*image+i*plane+r*pitch*p.ic:][:pitch*p.ic]
				h := h0 + r
				if d < 0 || d >= p.id || h < 0 || h >= p.ih || lo >= hi {
					clear(dst)
					continue
				}
				clear(dst[:lo*p.ic])
				clear(dst[hi*p.ic:])
				at := (((n/p.nd*p.id+d)*p.ih+h)*p.iw + w0 + lo) * p.ic
				if in := dst[lo*p.ic : hi*p.ic]; load != nil {
					load(in, at)
				} else {
					copy(in, x[at:])
				}
			}
		}
	}
	return pitch, image
}

// line returns the first row of output pixels of a phase in image n and phase
// row q, and whether the phase has the image.
func (p *pass) line(ph *phase, n, q int) (row int, ok bool) {
	d := n % p.nd
	return (n/p.nd*p.od+ph.d.First+d*p.ostepD)*p.oh + ph.h.First + q*p.ostepH, d < ph.d.N
}

// tiles computes the outputs of one phase and block in a task.
func (p *pass) tiles(ph *phase, b block, t part, o operands, win []float32, pitch, image int) {
	t.q1, t.c1 = min(t.q1, ph.h.N), min(t.c1, ph.w.N)
	if t.q0 >= t.q1 || t.c0 >= t.c1 {
		return
	}
	if ph.k == 0 {
		p.fill(ph, b, t, o)
		return
	}
	var a tile.DotArgs
	a.XS = p.stepW * p.ic * 4
	a.YS = p.ostepW * p.oc * 4
	a.Run = ph.run
	a.Tail = b.width - (b.nv-1)*p.set.Lanes
	if o.fuse.Bias != nil {
		bias := unsafe.Pointer(&o.fuse.Bias[b.c0])
		a.C0, a.C1 = bias, bias
	}
	if o.fuse.Accumulate {
		a.CS = a.YS
	}
	row := ph.k / len(ph.seg) * b.nv * p.set.Lanes // floats of the weights of a segment
	each := max(1, weightFloats/row)
	for s := 0; s < len(ph.seg); s += each {
		a.NSeg = min(each, len(ph.seg)-s)
		a.Seg = unsafe.Pointer(&ph.seg[s])
		a.W = unsafe.Pointer(&o.w[ph.at+ph.k*b.pad+s*row])
		if o.fuse.Clip && s+a.NSeg == len(ph.seg) {
			a.Clip, a.Lo, a.Hi = 1, o.fuse.Lo, o.fuse.Hi
		}
		p.rows(ph, b, t, a, o.y, win, pitch, image)
		a.CS = a.YS // the next segments add to what these gave
	}
}

// rows computes the sums of some segments for all outputs of one phase and
// block in a task. It adds to y if a.CS is not 0, else to the bias in a.
func (p *pass) rows(ph *phase, b block, t part, a tile.DotArgs, y, win []float32, pitch, image int) {
	mrMax := p.set.MaxMR(b.nv)
	if p.reuse {
		mrMax = p.set.MaxReuse(b.nv)
	}
	accumulate := a.CS != 0
	cols := t.c1 - t.c0
	xg := b.g * p.icg
	for n := t.n0; n < t.n1; n++ {
		for q := t.q0; q < t.q1; q++ {
			line, ok := p.line(ph, n, q)
			if !ok {
				break
			}
			xrow := (n-t.n0)*image + (q-t.q0)*p.stepH*pitch*p.ic + xg
			yrow := (line*p.ow+ph.w.First+t.c0*p.ostepW)*p.oc + b.c0
			if 2*cols <= mrMax && q+1 < t.q1 && !p.reuse {
				// a tile of two short rows
				a.X0, a.X1 = unsafe.Pointer(&win[xrow]), unsafe.Pointer(&win[xrow+p.stepH*pitch*p.ic])
				a.Y0, a.Y1 = unsafe.Pointer(&y[yrow]), unsafe.Pointer(&y[yrow+p.ostepH*p.ow*p.oc])
				if accumulate {
					a.C0, a.C1 = a.Y0, a.Y1
				}
				p.set.Dot(2*cols, b.nv, &a)
				q++
				continue
			}
			left := cols
			for k := (cols + mrMax - 1) / mrMax; k > 0; k-- {
				mr := (left + k - 1) / k // balanced tiles
				half := (mr + 1) / 2
				if mr == 1 {
					half = 0
				}
				a.X0, a.X1 = unsafe.Pointer(&win[xrow]), unsafe.Pointer(&win[xrow+half*p.stepW*p.ic])
				a.Y0, a.Y1 = unsafe.Pointer(&y[yrow]), unsafe.Pointer(&y[yrow+half*p.ostepW*p.oc])
				if accumulate {
					a.C0, a.C1 = a.Y0, a.Y1
				}
				if p.reuse {
					p.set.Reuse(mr, b.nv, &a)
				} else {
					p.set.Dot(mr, b.nv, &a)
				}
				xrow += mr * p.stepW * p.ic
				yrow += mr * p.ostepW * p.oc
				left -= mr
			}
		}
	}
}

// fill writes the outputs of a phase no tap reaches.
func (p *pass) fill(ph *phase, b block, t part, o operands) {
	if o.fuse.Accumulate && !o.fuse.Clip {
		return
	}
	for n := t.n0; n < t.n1; n++ {
		for q := t.q0; q < min(t.q1, ph.h.N); q++ {
			line, ok := p.line(ph, n, q)
			if !ok {
				break
			}
			for c := t.c0; c < min(t.c1, ph.w.N); c++ {
				at := (line*p.ow+ph.w.First+c*p.ostepW)*p.oc + b.c0
				y := o.y[at : at+b.width]
				switch {
				case o.fuse.Accumulate:
				case o.fuse.Bias != nil:
					copy(y, o.fuse.Bias[b.c0:])
				default:
					clear(y)
				}
				if o.fuse.Clip {
					for i, v := range y {
						y[i] = clip(v, o.fuse.Lo, o.fuse.Hi)
					}
				}
			}
		}
	}
}

// clip bounds v; NaN passes.
func clip(v, lo, hi float32) float32 {
	if v < lo {
		v = lo
	}
	if v > hi {
		v = hi
	}
	return v
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// pieces returns how many pieces of at most size cover n, and the balanced
// size of a piece.
func pieces(n, size int) (count, each int) {
	count = ceilDiv(n, max(1, min(size, n)))
	each = ceilDiv(n, max(1, count))
	return ceilDiv(n, max(1, each)), max(1, each)
}
