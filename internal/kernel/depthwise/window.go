package depthwise

// A window is the rows of an image that a [Loader] has computed for some rows
// of output:
//
//	scratch   row h0 … h1-1 of the input, all columns and channels
//
// It moves down the image; rows that the next rows of output need again move to
// its start, so that the loader computes each once.
type window struct {
	p      *pass
	lo, hi int // tap offsets, first and last
	rows   int // rows of output for which it has room
	h0, h1 int
}

// windowFloats is about what a window holds: it stays in a second-level cache
// of 512 KB beside the output.
const windowFloats = 32 << 10

// window returns an empty window for a pass with one phase along the height.
func (p *pass) window() window {
	t := p.phases[0].h.Taps
	w := window{p: p}
	if len(t) > 0 {
		w.lo, w.hi = t[0].Off, t[len(t)-1].Off
	}
	line := p.iw * p.c
	w.rows = max(1, min(p.row, (windowFloats/line-(w.hi-w.lo))/p.hs.Step))
	return w
}

// floats returns the floats of scratch that the window needs.
func (w window) floats() int {
	return min(w.p.ih, (w.rows-1)*w.p.hs.Step+w.hi-w.lo+1) * w.p.iw * w.p.c
}

// start forgets the rows of another image.
func (w *window) start() { w.h0, w.h1 = 0, 0 }

// load brings what rows q0 ≤ q < q1 of the output of image n need.
func (w *window) load(scratch []float32, load Loader, n, q0, q1 int) {
	p := w.p
	line := p.iw * p.c
	h0 := min(max(0, q0*p.hs.Step+w.lo), p.ih)
	h1 := max(h0, min(p.ih, (q1-1)*p.hs.Step+w.hi+1))
	from := h0
	if h0 >= w.h0 && h0 < w.h1 { // the rows before overlap
		from = min(w.h1, h1)
		copy(scratch[:(from-h0)*line], scratch[(h0-w.h0)*line:])
	}
	if from < h1 {
		load(scratch[(from-h0)*line:(h1-h0)*line], (n*p.ih+from)*line)
	}
	w.h0, w.h1 = h0, h1
}
