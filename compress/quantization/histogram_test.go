package quantization

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// bestScale searches the scale with the least square error among the values
// themselves, finely.
func bestScale(x []float32, low, high int) (scale, least float64) {
	top := 0.0
	for _, v := range x {
		top = max(top, math.Abs(float64(v)))
	}
	least = math.Inf(1)
	for i := 1; i <= 800; i++ {
		s := top * float64(i) / 800
		if e := gridError(x, s/float64(high), low, high, 0); e < least {
			scale, least = s, e
		}
	}
	return scale, least
}

func gridError(x []float32, step float64, low, high int, zero float64) (e float64) {
	for _, v := range x {
		k := math.RoundToEven(float64(v)/step) + zero
		d := (min(max(k, float64(low)), float64(high))-zero)*step - float64(v)
		e += d * d
	}
	return e
}

// The range type mse comes within 2 % of the least error that any scale has.
func TestMSE(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	normal := make([]float32, 6000)
	positive := make([]float32, 6000)
	outlier := make([]float32, 6000)
	few := make([]float32, 27)
	for i := range normal {
		normal[i] = float32(rng.NormFloat64())
		positive[i] = float32(max(0, rng.NormFloat64()+0.3))
		outlier[i] = float32(rng.NormFloat64() * 0.1)
	}
	for i := range few {
		few[i] = float32(rng.NormFloat64())
	}
	outlier[77] = 3
	for _, c := range []struct {
		name string
		x    []float32
		bits int
	}{{"normal 4", normal, 4}, {"normal 2", normal, 2}, {"normal 8", normal, 8}, {"rectified 4", positive, 4}, {"outlier 4", outlier, 4}, {"27 weights 4", few, 4}} {
		t.Run(c.name, func(t *testing.T) {
			q := &Quantizer{Mode: Symmetric, Bits: c.bits, Axis: -1, Kind: Weight}
			o := newObserver(Range{Type: "mse"}, q, layout{1, len(c.x)})
			if got := run(o, c.x); got != 2 {
				t.Errorf("got %d passes, want 2", got)
			}
			signed := slices.Min(c.x) < 0
			q.Signed = &signed
			low, high, _ := q.Grid()
			_, highs := o.bounds()
			got := gridError(c.x, highs[0]/float64(high), low, high, 0)
			scale, want := bestScale(c.x, low, high)
			if got > 1.02*want {
				t.Errorf("scale %.4g: error %.5g, want at most 2 %% above %.5g of scale %.4g", highs[0], got, want, scale)
			}
			if o.negative() != signed {
				t.Errorf("negative: got %v, want %v", o.negative(), signed)
			}
		})
	}
}

// An asymmetric range of least error is better than the extremes, and nearly
// what a symmetric search finds for rectified values.
func TestMSE_Asymmetric(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	x := make([]float32, 20000)
	for i := range x {
		x[i] = float32(max(-0.2, rng.NormFloat64()))
	}
	q := &Quantizer{Mode: Asymmetric, Bits: 4, Axis: -1, Kind: Activation}
	errorOf := func(r Range) float64 {
		o := newObserver(r, q, layout{1, len(x)})
		run(o, x)
		l, h := o.bounds()
		step := (h[0] - l[0]) / 15
		return gridError(x, step, 0, 15, math.RoundToEven(-l[0]/step))
	}
	if mse, whole := errorOf(Range{Type: "histogram"}), errorOf(Range{Type: "min_max"}); mse > 0.8*whole {
		t.Errorf("error %.4g, want well below %.4g of the extremes", mse, whole)
	}
}

// One outlier among many values does not move the range of type kl, and values
// that fill a grid evenly keep all of it.
func TestKL(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	x := make([]float32, 100000)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	find := func(x []float32, bits int) float64 {
		o := newObserver(Range{Type: "kl"}, &Quantizer{Mode: Symmetric, Bits: bits, Axis: -1, Kind: Activation}, layout{1, len(x)})
		run(o, x)
		_, h := o.bounds()
		return h[0]
	}
	plain := find(x, 8)
	if plain < 2 || plain > 4.6 {
		t.Errorf("normal values: got %.3g, want between 2 and the largest value", plain)
	}
	x[5] = 40
	if got := find(x, 8); got > 10 {
		t.Errorf("with an outlier at 40: got %.3g, want below 10", got)
	}
	for i := range x {
		x[i] = float32(rng.Float64()*2 - 1)
	}
	if got := find(x, 8); got < 0.95 {
		t.Errorf("even values of [-1, 1]: got %.3g, want nearly 1", got)
	}
}

// No range type depends on how samples are cut into batches.
func TestObservers_IgnoreBatches(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 1))
	const samples, size = 12, 60
	x := make([]float32, samples*size)
	for i := range x {
		x[i] = float32(rng.NormFloat64() * math.Exp(float64(i/size%3)))
	}
	for _, name := range append(slices.Clone(rangeTypes), "median", "histogram", "three_sigma") {
		for _, q := range []*Quantizer{{Mode: Symmetric, Bits: 8, Axis: -1, Kind: Activation}, {Mode: Asymmetric, Bits: 4, Axis: 1, Kind: Activation}} {
			l := layout{1, size}
			if q.Axis == 1 {
				l = layout{3, size / 3}
			}
			var want []float64
			for _, cut := range []int{samples, 1, 5} {
				o := newObserver(Range{Type: name}, q, l)
				for {
					for i := 0; i < samples; i += cut {
						n := min(cut, samples-i)
						o.batch(x[i*size:(i+n)*size], n)
					}
					if !o.again() {
						break
					}
				}
				low, high := o.bounds()
				got := slices.Concat(low, high)
				if want == nil {
					want = got
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s, axis %d, batches of %d: got %v, want %v", name, q.Axis, cut, got, want)
				}
			}
		}
	}
}
