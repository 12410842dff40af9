package quantization

import (
	"math"
)

// selector finds order statistics of a stream exactly, in constant memory, by
// radix: floats map to integers of the same order, and each pass over the
// stream counts one more digit of the values that begin like the wanted ones.
type selector struct {
	bits    []uint // digits, from the top; they add up to 32
	pass    int
	count   []int64 // of the first digit
	targets []target
	n       int64
}

type target struct {
	rank   int64
	prefix uint32
	count  []int64
}

// digits for one stream, and for many at a time.
var (
	wideDigits   = []uint{16, 16}
	narrowDigits = []uint{11, 11, 10}
)

func newSelector(channels int) *selector {
	bits := wideDigits
	if channels > 1 {
		bits = narrowDigits
	}
	return &selector{bits: bits, count: make([]int64, 1<<bits[0])}
}

// key maps floats to integers of the same order; -0 is 0.
func key(v float32) uint32 {
	u := math.Float32bits(v + 0)
	if u>>31 != 0 {
		return ^u
	}
	return u | 1<<31
}

func unkey(u uint32) float32 {
	if u>>31 != 0 {
		return math.Float32frombits(u &^ (1 << 31))
	}
	return math.Float32frombits(^u)
}

// shift is how far the digit of a pass lies above bit 0.
func (s *selector) shift() uint {
	left := uint(32)
	for _, b := range s.bits[:s.pass+1] {
		left -= b
	}
	return left
}

func (s *selector) add(v float32) {
	if v != v {
		return
	}
	k := key(v)
	if s.pass == 0 {
		s.n++
		s.count[k>>(32-s.bits[0])]++
		return
	}
	shift, b := s.shift(), s.bits[s.pass]
	for i := range s.targets {
		t := &s.targets[i]
		if uint64(k)>>(shift+b) == uint64(t.prefix) {
			t.count[k>>shift&(1<<b-1)]++
		}
	}
}

// again ends a pass. ranks is asked once, after the first pass, for the order
// statistics to find among n values.
func (s *selector) again(ranks func(n int64) []int64) bool {
	if s.pass == 0 {
		if s.n == 0 {
			s.pass = len(s.bits)
			return false
		}
		for _, r := range ranks(s.n) {
			s.targets = append(s.targets, target{rank: min(max(r, 0), s.n-1)})
		}
	}
	for i := range s.targets {
		t := &s.targets[i]
		count := s.count
		if s.pass > 0 {
			count = t.count
		}
		d := 0
		for t.rank >= count[d] {
			t.rank -= count[d]
			d++
		}
		t.prefix = t.prefix<<s.bits[s.pass] | uint32(d)
	}
	s.count = nil
	s.pass++
	if s.pass == len(s.bits) {
		return false
	}
	for i := range s.targets {
		s.targets[i].count = make([]int64, 1<<s.bits[s.pass])
	}
	return true
}

// found returns order statistic i of those asked for.
func (s *selector) found(i int) float32 { return unkey(s.targets[i].prefix) }

// percentiles is the range type percentile.
type percentiles struct {
	extremes
	lo, hi    float64
	selectors []*selector
}

func newPercentiles(l layout, lo, hi float64) *percentiles {
	p := &percentiles{extremes: extremes{layout: l, low: filledWith(math.Inf(1), l.channels), high: filledWith(math.Inf(-1), l.channels)}, lo: lo, hi: hi}
	for range l.channels {
		p.selectors = append(p.selectors, newSelector(l.channels))
	}
	return p
}

func (p *percentiles) batch(x []float32, _ int) {
	for i, v := range x {
		p.selectors[i/p.inner%p.channels].add(v)
	}
}

func (p *percentiles) again() bool {
	more := false
	for c, s := range p.selectors {
		if s.again(p.ranks) {
			more = true
			continue
		}
		if s.n > 0 {
			p.low[c], p.high[c] = p.at(s, 0, p.lo), p.at(s, 2, p.hi)
		}
	}
	return more
}

// ranks are the order statistics on both sides of both percentiles.
func (p *percentiles) ranks(n int64) []int64 {
	a, _ := rank(p.lo, n)
	b, _ := rank(p.hi, n)
	return []int64{a, min(a+1, n-1), b, min(b+1, n-1)}
}

func (p *percentiles) at(s *selector, i int, percentile float64) float64 {
	_, frac := rank(percentile, s.n)
	return lerp(s.found(i), s.found(i+1), frac)
}

// threeSigma is the range type threesigma: first the median, then the median
// distance from it.
type threeSigma struct {
	extremes
	zeros     bool // count in the distance
	medians   []*selector
	distances []*selector
	median    []float64
}

// madFactor makes the median distance of normally distributed values their
// standard deviation: 1/Φ⁻¹(3/4).
const madFactor = 1.482602218505602

// compatibleMADFactor is what NNCF 2.14 multiplies with.
const compatibleMADFactor = 1.482623

func newThreeSigma(l layout, zeros bool) *threeSigma {
	t := &threeSigma{extremes: extremes{layout: l, low: filledWith(math.Inf(1), l.channels), high: filledWith(math.Inf(-1), l.channels)}, zeros: zeros, median: make([]float64, l.channels)}
	for range l.channels {
		t.medians = append(t.medians, newSelector(l.channels))
	}
	return t
}

func (t *threeSigma) batch(x []float32, _ int) {
	for i, v := range x {
		c := i / t.inner % t.channels
		switch {
		case t.distances == nil && v != 0:
			t.medians[c].add(v)
		case t.distances != nil && (v != 0 || t.zeros):
			t.distances[c].add(float32(math.Abs(float64(v) - t.median[c])))
		}
	}
}

func (t *threeSigma) again() bool {
	if t.distances == nil {
		if againAll(t.medians) {
			return true
		}
		for c, s := range t.medians {
			t.median[c] = middle(s)
			t.distances = append(t.distances, newSelector(t.channels))
		}
		return true
	}
	if againAll(t.distances) {
		return true
	}
	f := madFactor
	if t.zeros {
		f = compatibleMADFactor
	}
	for c, s := range t.distances {
		d := 3 * f * middle(s)
		t.low[c], t.high[c] = t.median[c]-d, t.median[c]+d
	}
	return false
}

func againAll(list []*selector) bool {
	more := false
	for _, s := range list {
		if s.again(func(n int64) []int64 { return []int64{(n - 1) / 2, n / 2} }) {
			more = true
		}
	}
	return more
}

// middle is the median, 0 of nothing.
func middle(s *selector) float64 {
	if len(s.targets) == 0 {
		return 0
	}
	return (float64(s.found(0)) + float64(s.found(1))) / 2
}
