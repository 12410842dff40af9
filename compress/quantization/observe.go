package quantization

import (
	"math"
	"slices"
)

// observer collects the range of one value over one or more passes over the
// data.
type observer interface {
	// batch takes the elements of one batch, which consists of n samples, equal
	// runs of elements.
	batch(x []float32, samples int)
	// again ends a pass and reports whether another one is needed.
	again() bool
	// bounds returns the ends of the range by channel.
	bounds() (low, high []float64)
	// negative reports whether the collected minimum of any channel is below zero.
	negative() bool
}

// layout says which channel an element belongs to: i/inner % channels.
type layout struct{ channels, inner int }

// each calls f for every channel with its elements; one channel is passed as it
// is, several in a buffer.
func (l layout) each(x []float32, f func(c int, x []float32)) {
	if l.channels == 1 {
		f(0, x)
		return
	}
	var buf []float32
	for c := range l.channels {
		buf = buf[:0]
		for i := c * l.inner; i < len(x); i += l.channels * l.inner {
			buf = append(buf, x[i:i+l.inner]...)
		}
		f(c, buf)
	}
}

// extremesOf are the extremes of x, the highest of |x| for symmetric quantizers.
func (q *Quantizer) extremesOf(x []float32) (low, high float64) {
	low, high = minMax(x)
	if q.Mode == Symmetric {
		high = max(math.Abs(low), math.Abs(high))
	}
	return low, high
}

// newObserver returns what collects a range of the given type.
func newObserver(r Range, q *Quantizer, l layout) observer {
	e := extremes{layout: l, low: filledWith(math.Inf(1), l.channels), high: filledWith(math.Inf(-1), l.channels)}
	lo, hi := r.percentiles()
	switch r.name() {
	case "mean_min_max":
		return &means{extremes: e, perBatch: r.Params.PerBatch, of: q.extremesOf}
	case "median_min_max":
		return &medians{extremes: e, of: q.extremesOf, lows: make([][]float64, l.channels), highs: make([][]float64, l.channels)}
	case "mean_percentile":
		return &means{extremes: e, perBatch: r.Params.PerBatch, of: func(x []float32) (float64, float64) { return percentilesOf(x, lo, hi) }}
	case "mse":
		return newHistograms(e, q, squareError)
	case "kl":
		return newHistograms(e, q, divergence)
	case "percentile":
		return newPercentiles(l, lo, hi)
	case "threesigma":
		return newThreeSigma(l, r.Params.ZerosInDeviation)
	case "mixed_min_max":
		if q.Kind == Activation && q.Axis < 0 {
			return &mixed{symmetric: q.Mode == Symmetric, low: math.Inf(1)}
		}
	}
	return &e
}

func filledWith(v float64, n int) []float64 { return slices.Repeat([]float64{v}, n) }

// minMax ignores NaN.
func minMax(x []float32) (low, high float64) {
	if len(x) == 0 {
		return math.Inf(1), math.Inf(-1)
	}
	l, h := float32(math.Inf(1)), float32(math.Inf(-1))
	for _, v := range x {
		if v < l {
			l = v
		}
		if v > h {
			h = v
		}
	}
	return float64(l), float64(h)
}

// extremes is min_max.
type extremes struct {
	layout
	low, high []float64
}

func (e *extremes) batch(x []float32, _ int) {
	e.each(x, func(c int, x []float32) {
		l, h := minMax(x)
		e.low[c], e.high[c] = min(e.low[c], l), max(e.high[c], h)
	})
}

func (e *extremes) again() bool                   { return false }
func (e *extremes) bounds() (low, high []float64) { return e.low, e.high }
func (e *extremes) negative() bool {
	low, _ := e.bounds()
	return slices.ContainsFunc(low, func(v float64) bool { return v < 0 })
}

// means averages over samples, or over batches.
type means struct {
	extremes
	perBatch bool
	of       func(x []float32) (low, high float64)
	n        int
}

func (m *means) batch(x []float32, n int) {
	if m.n == 0 {
		clear(m.low)
		clear(m.high)
	}
	if m.perBatch {
		n = 1
	}
	eachSample(x, n, func(x []float32) {
		m.n++
		m.each(x, func(c int, x []float32) {
			l, h := m.of(x)
			m.low[c] += (l - m.low[c]) / float64(m.n)
			m.high[c] += (h - m.high[c]) / float64(m.n)
		})
	})
}

// eachSample calls f with each of n equal runs of x.
func eachSample(x []float32, n int, f func(x []float32)) {
	if n < 1 || len(x)%n != 0 {
		n = 1
	}
	size := len(x) / n
	for i := range n {
		f(x[i*size : (i+1)*size])
	}
}

// medians takes the median over samples.
type medians struct {
	extremes
	of          func(x []float32) (low, high float64)
	lows, highs [][]float64 // by channel, one per sample
}

func (m *medians) batch(x []float32, n int) {
	eachSample(x, n, func(x []float32) {
		m.each(x, func(c int, x []float32) {
			l, h := m.of(x)
			m.lows[c], m.highs[c] = append(m.lows[c], l), append(m.highs[c], h)
		})
	})
}

func (m *medians) again() bool {
	for c := range m.lows {
		m.low[c], m.high[c] = medianOf(m.lows[c], m.low[c]), medianOf(m.highs[c], m.high[c])
	}
	return false
}

// medianOf sorts x; without elements it is otherwise.
func medianOf(x []float64, otherwise float64) float64 {
	if len(x) == 0 {
		return otherwise
	}
	slices.Sort(x)
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

// mixed is mixed_min_max of one channel.
type mixed struct {
	symmetric       bool
	low             float64 // of all
	sumLow, sumHigh float64
	n               int
}

func (m *mixed) batch(x []float32, samples int) {
	eachSample(x, samples, func(x []float32) {
		l, h := minMax(x)
		m.low = min(m.low, l)
		if m.symmetric {
			h = max(math.Abs(l), math.Abs(h))
		}
		m.sumLow += l
		m.sumHigh += h
		m.n++
	})
}

func (m *mixed) again() bool { return false }

func (m *mixed) bounds() (low, high []float64) {
	h := m.sumHigh / float64(m.n)
	if m.symmetric {
		return []float64{m.low}, []float64{h}
	}
	return []float64{m.sumLow / float64(m.n)}, []float64{h}
}

func (m *mixed) negative() bool { return m.low < 0 }

// percentilesOf interpolates linearly between the order statistics of x.
func percentilesOf(x []float32, lo, hi float64) (low, high float64) {
	s := slices.DeleteFunc(slices.Clone(x), func(v float32) bool { return v != v })
	if len(s) == 0 {
		return math.Inf(1), math.Inf(-1)
	}
	slices.Sort(s)
	at := func(p float64) float64 {
		i, frac := rank(p, int64(len(s)))
		if frac == 0 {
			return float64(s[i])
		}
		return lerp(s[i], s[i+1], frac)
	}
	return at(lo), at(hi)
}

// rank returns the order statistic below a percentile and the way to the next.
func rank(percentile float64, n int64) (i int64, frac float64) {
	pos := percentile / 100 * float64(n-1)
	i = min(int64(pos), n-1)
	return i, pos - float64(i)
}

func lerp(a, b float32, frac float64) float64 {
	return float64(a) + (float64(b)-float64(a))*frac
}
