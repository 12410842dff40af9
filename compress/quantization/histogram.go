package quantization

import (
	"math"

	"github.com/go-nncf/nncf/op"
)

// Values are counted in 8 bins for each step of an 8-bit grid over the whole
// range, in fewer if there are very many channels.
const (
	histogramBins = 2048
	coarseBins    = 512
	manyChannels  = 256
)

// histograms are the range types mse and kl. The first pass over the data finds
// the extremes, the second counts; then the ends move inwards as long as the
// objective falls.
type histograms struct {
	extremes
	q       *Quantizer
	loss    objective
	counted []histogram // nil during the first pass
	ends    extremes
}

// objective rates a grid by the histogram of the values; less is better.
type objective func(h *histogram, g grid) float64

// histogram counts values between low and high. Bins keep the mean of what they
// count, so that few values far apart are where they are.
type histogram struct {
	low, scale float64 // scale: bins per unit
	count, sum []float64
}

// grid is a candidate: points low + i·step for i from 0 to n.
type grid struct {
	low, high float64
	n         int
}

func newHistograms(e extremes, q *Quantizer, loss objective) *histograms {
	return &histograms{extremes: e, q: q, loss: loss}
}

func (h *histograms) batch(x []float32, n int) {
	if h.counted == nil {
		h.extremes.batch(x, n)
		return
	}
	for i, v := range x {
		h.counted[i/h.inner%h.channels].add(float64(v))
	}
}

func (h *histogram) add(v float64) {
	if v != v {
		return
	}
	b := h.bin(v)
	h.count[b]++
	h.sum[b] += v
}

// bin returns the bin of v, the first or last if v lies outside.
func (h *histogram) bin(v float64) int {
	return int(min(max((v-h.low)*h.scale, 0), float64(len(h.count)-1)))
}

func (h *histograms) again() bool {
	if h.counted == nil {
		bins := histogramBins
		if h.channels > manyChannels {
			bins = coarseBins
		}
		h.counted = make([]histogram, h.channels)
		for c := range h.counted {
			h.counted[c].count, h.counted[c].sum = make([]float64, bins), make([]float64, bins)
			low, high := h.low[c], h.high[c]
			if !(low < high) || math.IsInf(high-low, 0) {
				continue // one value, or none: scale 0 counts all in the first bin
			}
			h.counted[c].low, h.counted[c].scale = low, float64(bins)/(high-low)
		}
		return true
	}
	h.ends = extremes{layout: h.layout, low: append([]float64(nil), h.low...), high: append([]float64(nil), h.high...)}
	signed := h.extremes.negative()
	for c := range h.counted {
		if h.counted[c].scale > 0 {
			h.ends.low[c], h.ends.high[c] = h.search(&h.counted[c], h.low[c], h.high[c], signed)
		}
	}
	return false
}

func (h *histograms) bounds() (low, high []float64) { return h.ends.low, h.ends.high }

// negative is what the data say, not the range: the clipped end may be zero.
func (h *histograms) negative() bool { return h.extremes.negative() }

// The parts of the whole range that are tried: leastShare/shares to 1.
const (
	shares     = 128
	leastShare = 4
)

// search finds the best range for one channel.
func (h *histograms) search(x *histogram, low, high float64, signed bool) (bestLow, bestHigh float64) {
	q := *h.q
	if q.Mode == Symmetric {
		if q.Signed == nil {
			q.Signed = &signed
		}
		l, u, levels := q.Grid()
		top := max(math.Abs(low), math.Abs(high))
		best, least := top, math.Inf(1)
		for i := shares; i >= leastShare; i-- {
			s := top * float64(i) / shares
			if e := h.loss(x, grid{s * float64(l) / float64(u), s, levels - 1}); e < least {
				best, least = s, e
			}
		}
		return min(max(low, -best), 0), best
	}
	_, _, levels := q.Grid()
	low, high = min(low, 0), max(high, 0)
	rate := func(low, high float64) float64 {
		l, w := op.TuneRange(float32(low), float32(high-low), levels, false)
		if !(w > 0) {
			return math.Inf(1)
		}
		return h.loss(x, grid{float64(l), float64(l) + float64(w), levels - 1})
	}
	bestLow, bestHigh = low, high
	least := rate(low, high)
	// One end after the other, until neither moves.
	for moved, rounds := true, 0; moved && rounds < 4; rounds++ {
		moved = false
		for i := shares; i >= 0; i-- {
			if e := rate(bestLow, high*float64(i)/shares); e < least {
				bestHigh, least, moved = high*float64(i)/shares, e, true
			}
		}
		for i := shares; i >= 0; i-- {
			if e := rate(low*float64(i)/shares, bestHigh); e < least {
				bestLow, least, moved = low*float64(i)/shares, e, true
			}
		}
	}
	return bestLow, bestHigh
}

// squareError is Σ (q(x) - x)².
func squareError(h *histogram, g grid) float64 {
	step := (g.high - g.low) / float64(g.n)
	zero := math.RoundToEven(-g.low / step)
	e := 0.0
	for b, n := range h.count {
		if n == 0 {
			continue
		}
		v := h.sum[b] / n
		k := math.RoundToEven((min(max(v, g.low), g.high)-g.low)/step) - zero
		d := k*step - v
		e += n * d * d
	}
	return e
}

// divergence is Σ p·ln(p/q) over the bins: p are the values, those outside the grid
// counted at its ends, and q what is left of them when all bins that round to
// one point share their counts equally. Exact zeros do not count: they are exact
// in every grid, and after a Relu they outweigh everything.
func divergence(h *histogram, g grid) float64 {
	step := (g.high - g.low) / float64(g.n)
	width := 1 / h.scale
	first, last, all := h.bin(g.low), h.bin(g.high), len(h.count)
	zero := -1
	if h.low <= 0 {
		zero = h.bin(0)
	}
	mass := func(b int) float64 { // of the clipped distribution
		switch {
		case b == zero:
			return 0
		case b == first && b == last:
			return h.mass(0, all, zero)
		case b == first:
			return h.mass(0, first+1, zero)
		case b == last:
			return h.mass(last, all, zero)
		}
		return h.count[b]
	}
	total := h.mass(0, all, zero)
	if total == 0 {
		return 0
	}
	point := func(b int) int {
		return int(math.RoundToEven((h.low + (float64(b)+0.5)*width - g.low) / step))
	}
	d := 0.0
	for b := first; b <= last; {
		// The bins from b to e round to one point.
		e, inside, filled := b, 0.0, 0
		for ; e <= last && point(e) == point(b); e++ {
			if n := h.count[e]; e != zero && n > 0 {
				inside += n
				filled++
			}
		}
		for i := b; i < e; i++ {
			p := mass(i)
			if p == 0 {
				continue
			}
			q := inside / float64(max(filled, 1))
			if h.count[i] == 0 || q == 0 {
				q = 1e-4 // nothing of the kept values is there, only clipped ones
			}
			d += p / total * math.Log(p/q)
		}
		b = e
	}
	kept := h.mass(first, last+1, zero)
	if kept == 0 {
		return math.Inf(1)
	}
	return d + math.Log(kept/total)
}

// mass counts the bins from a to b, without bin zero.
func (h *histogram) mass(a, b, zero int) float64 {
	n := 0.0
	for i := a; i < b; i++ {
		if i != zero {
			n += h.count[i]
		}
	}
	return n
}
