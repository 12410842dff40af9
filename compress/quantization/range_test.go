package quantization

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// run feeds batches to an observer until it wants no more, and returns how
// often it saw the data.
func run(o observer, batches ...[]float32) (passes int) {
	for {
		passes++
		for _, b := range batches {
			o.batch(b, 1)
		}
		if !o.again() {
			return passes
		}
	}
}

// TestSelector_IsExact compares order statistics of a stream with sorting.
func TestSelector_IsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	for _, c := range []struct {
		name  string
		value func() float32
	}{
		{"normal", func() float32 { return float32(rng.NormFloat64()) }},
		{"few values", func() float32 { return float32(rng.IntN(5) - 2) }},
		{"tiny and huge", func() float32 { return float32(math.Ldexp(rng.Float64()-0.5, rng.IntN(200)-100)) }},
		{"neighbours", func() float32 { return math.Float32frombits(0x3f800000 + uint32(rng.IntN(300))) }},
		{"half zero", func() float32 { return float32(max(0, rng.NormFloat64())) }},
	} {
		for _, channels := range []int{1, 2} {
			t.Run(c.name, func(t *testing.T) {
				x := make([]float32, 1999)
				for i := range x {
					x[i] = c.value()
				}
				sorted := slices.Sorted(slices.Values(x))
				ranks := []int64{0, 1, 20, 999, 1000, 1979, 1998}
				s := newSelector(channels)
				for {
					for _, v := range x {
						s.add(v)
					}
					if !s.again(func(int64) []int64 { return ranks }) {
						break
					}
				}
				for i, r := range ranks {
					if got := s.found(i); got != sorted[r] {
						t.Errorf("order statistic %d: got %v, want %v", r, got, sorted[r])
					}
				}
			})
		}
	}
}

func TestSelector_SkipsNaN(t *testing.T) {
	o := newPercentiles(layout{1, 4}, 0, 100)
	run(o, []float32{float32(math.NaN()), 3, -2, float32(math.NaN())})
	if low, high := o.bounds(); low[0] != -2 || high[0] != 3 {
		t.Errorf("got [%g, %g], want [-2, 3]", low[0], high[0])
	}
}

// TestObservers computes every range type of a small stream by hand.
func TestObservers(t *testing.T) {
	ramp := make([]float32, 10000)
	for i := range ramp {
		ramp[i] = float32(i)
	}
	num := func(v float64) *float64 { return &v }
	batches := [][]float32{{-1, 0, 3, 0}, {-3, 1, 5, 1}}
	perTensor, perChannel := layout{1, 4}, layout{2, 1} // of four elements: channels are even and odd ones
	for _, c := range []struct {
		name      string
		r         Range
		q         Quantizer
		l         layout
		batches   [][]float32
		low, high []float64
		passes    int
	}{
		{"min_max", Range{Type: "min_max"}, Quantizer{Axis: -1}, perTensor, batches, []float64{-3}, []float64{5}, 1},
		{"min_max per channel", Range{Type: "min_max"}, Quantizer{Axis: 1}, perChannel, batches, []float64{-3, 0}, []float64{5, 1}, 1},
		{"mean_min_max", Range{Type: "mean_min_max"}, Quantizer{Axis: -1, Mode: Asymmetric}, perTensor, batches, []float64{-2}, []float64{4}, 1},
		{"mixed, asymmetric", Range{}, Quantizer{Axis: -1, Kind: Activation, Mode: Asymmetric}, perTensor, batches, []float64{-2}, []float64{4}, 1},
		{"mixed, symmetric", Range{}, Quantizer{Axis: -1, Kind: Activation, Mode: Symmetric}, perTensor, batches, []float64{-3}, []float64{4}, 1},
		{"mixed of a weight", Range{}, Quantizer{Axis: -1, Kind: Weight, Mode: Symmetric}, perTensor, batches, []float64{-3}, []float64{5}, 1},
		{"percentile of a ramp", Range{Type: "percentile", MinPercentile: num(32.10), MaxPercentile: num(67.89)}, Quantizer{Axis: -1}, layout{1, 10000}, [][]float32{ramp},
			[]float64{.3210 * 9999}, []float64{.6789 * 9999}, 2},
		{"median_min_max", Range{Type: "median_min_max"}, Quantizer{Axis: -1, Mode: Symmetric}, perTensor, batches, []float64{-2}, []float64{4}, 1},
		{"mean_percentile", Range{Type: "mean_percentile", Params: Params{MinPercentile: num(50), MaxPercentile: num(100)}}, Quantizer{Axis: -1}, perTensor, batches, []float64{.5}, []float64{4}, 1},
		// Without zeros -3 -1 1 1 3 5: median 1, distances 4 2 0 0 2 4 of median 2.
		{"threesigma", Range{Type: "threesigma"}, Quantizer{Axis: -1}, perTensor, batches, []float64{1 - 6*madFactor}, []float64{1 + 6*madFactor}, 4},
		// Zeros add two distances of 1: 0 0 1 1 2 2 4 4 of median 1.5.
		{"threesigma with zeros", Range{Type: "threesigma", Params: Params{ZerosInDeviation: true}}, Quantizer{Axis: -1}, perTensor, batches,
			[]float64{1 - 4.5*compatibleMADFactor}, []float64{1 + 4.5*compatibleMADFactor}, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newObserver(c.r, &c.q, c.l)
			if got := run(o, c.batches...); got != c.passes {
				t.Errorf("got %d passes, want %d", got, c.passes)
			}
			low, high := o.bounds()
			for i := range c.low {
				if math.Abs(low[i]-c.low[i]) > 1e-9 || math.Abs(high[i]-c.high[i]) > 1e-9 {
					t.Errorf("channel %d: got [%g, %g], want [%g, %g]", i, low[i], high[i], c.low[i], c.high[i])
				}
			}
		})
	}
}

// TestMixed_IgnoresBatchSize: samples count, however they are grouped.
func TestMixed_IgnoresBatchSize(t *testing.T) {
	x := []float32{-1, 2, 0, -7, 4, 4, -2, 3}
	q := &Quantizer{Axis: -1, Kind: Activation, Mode: Asymmetric}
	all := newObserver(Range{}, q, layout{1, 8})
	all.batch(x, 4)
	one := newObserver(Range{}, q, layout{1, 2})
	for i := 0; i < 8; i += 2 {
		one.batch(x[i:i+2], 1)
	}
	al, ah := all.bounds()
	ol, oh := one.bounds()
	if al[0] != ol[0] || ah[0] != oh[0] || al[0] != (-1-7+4-2)/4. {
		t.Errorf("got [%g, %g] of one batch, [%g, %g] of four, want a low end of -1.5", al[0], ah[0], ol[0], oh[0])
	}
}

func TestQuantizer_Grid(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		name              string
		q                 Quantizer
		low, high, levels int
	}{
		{"signed", Quantizer{Mode: Symmetric, Bits: 8, Signed: &yes}, -128, 127, 256},
		{"sign not known", Quantizer{Mode: Symmetric, Bits: 8}, -128, 127, 256},
		{"unsigned", Quantizer{Mode: Symmetric, Bits: 8, Signed: &no}, 0, 255, 256},
		{"weight", Quantizer{Mode: Symmetric, Bits: 8, Signed: &yes, Narrow: true}, -127, 127, 255},
		{"unsigned weight has all its levels", Quantizer{Mode: Symmetric, Bits: 8, Signed: &no, Narrow: true}, 0, 255, 256},
		{"half range", Quantizer{Mode: Symmetric, Bits: 8, Signed: &yes, Half: true}, -64, 63, 128},
		{"four bits", Quantizer{Mode: Symmetric, Bits: 4, Signed: &yes, Narrow: true}, -7, 7, 15},
		{"two bits", Quantizer{Mode: Symmetric, Bits: 2, Signed: &yes, Narrow: true}, -1, 1, 3},
		{"asymmetric", Quantizer{Mode: Asymmetric, Bits: 8}, 0, 255, 256},
		{"asymmetric weight", Quantizer{Mode: Asymmetric, Bits: 8, Narrow: true}, 1, 255, 255},
	} {
		if low, high, levels := c.q.Grid(); low != c.low || high != c.high || levels != c.levels {
			t.Errorf("%s: got %d…%d, %d levels, want %d…%d, %d", c.name, low, high, levels, c.low, c.high, c.levels)
		}
	}
}
