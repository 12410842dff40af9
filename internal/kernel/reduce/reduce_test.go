package reduce

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit"
)

type laneKernel struct {
	name   string
	slices int
	run    func(v *variant, acc *[lanes]float32, b [][]float32)
}

var laneKernels = []laneKernel{
	{name: "sum", slices: 1, run: func(v *variant, acc *[lanes]float32, b [][]float32) { v.sum(acc, b[0]) }},
	{name: "sumAbs", slices: 1, run: func(v *variant, acc *[lanes]float32, b [][]float32) { v.sumAbs(acc, b[0]) }},
	{name: "sumSquares", slices: 1, run: func(v *variant, acc *[lanes]float32, b [][]float32) { v.sumSquares(acc, b[0]) }},
	{name: "sumSquaresAbout", slices: 1, run: func(v *variant, acc *[lanes]float32, b [][]float32) { v.sumSquaresAbout(acc, b[0], 0.7) }},
	{name: "dot", slices: 2, run: func(v *variant, acc *[lanes]float32, b [][]float32) { v.dot(acc, b[0], b[1]) }},
	{name: "dotAbout", slices: 2, run: func(v *variant, acc *[lanes]float32, b [][]float32) { v.dotAbout(acc, b[0], b[1], -0.7) }},
	{name: "max", slices: 1, run: func(v *variant, acc *[lanes]float32, b [][]float32) { v.max(acc, b[0]) }},
	{name: "min", slices: 1, run: func(v *variant, acc *[lanes]float32, b [][]float32) { v.min(acc, b[0]) }},
	{name: "maxAbs", slices: 1, run: func(v *variant, acc *[lanes]float32, b [][]float32) { v.maxAbs(acc, b[0]) }},
}

func eachVariant(t *testing.T, f func(t *testing.T, v *variant)) {
	defer func(old *variant) { active = old }(active)
	for _, v := range variants() {
		t.Run(v.name, func(t *testing.T) {
			if !v.supported() {
				t.Skipf("this machine lacks %v", v.need)
			}
			active = v
			f(t, v)
		})
	}
}

func TestVariants_Lanes(t *testing.T) {
	eachVariant(t, func(t *testing.T, v *variant) {
		for _, k := range laneKernels {
			rng := rand.New(rand.NewPCG(5, 1))
			for n := range 4*lanes + 2 {
				for _, special := range []bool{false, true} {
					lens := []int{lanes, n, n}[:1+k.slices]
					testkit.SameKernel(t, rng, fmt.Sprintf("%s n=%d special=%v", k.name, n, special), lens, special,
						func(b [][]float32) { k.run(&generic, (*[lanes]float32)(b[0]), b[1:]) },
						func(b [][]float32) { k.run(v, (*[lanes]float32)(b[0]), b[1:]) })
				}
			}
		}
	})
}

func TestVariants_Channels(t *testing.T) {
	eachVariant(t, func(t *testing.T, v *variant) {
		rng := rand.New(rand.NewPCG(5, 2))
		for p := 1; p <= 4*16+1; p++ {
			for _, rows := range []int{0, 1, 2, 7} {
				n := p * rows
				for _, special := range []bool{false, true} {
					what := fmt.Sprintf("period %d rows %d special %v", p, rows, special)
					one := func(name string, f func(v *variant) func(acc, x []float32)) {
						testkit.SameKernel(t, rng, name+" "+what, []int{p, n}, special,
							func(b [][]float32) { f(&generic)(b[0], b[1]) }, func(b [][]float32) { f(v)(b[0], b[1]) })
					}
					two := func(name string, lens []int, f func(v *variant) func(a, b, c []float32)) {
						testkit.SameKernel(t, rng, name+" "+what, lens, special,
							func(b [][]float32) { f(&generic)(b[0], b[1], b[2]) }, func(b [][]float32) { f(v)(b[0], b[1], b[2]) })
					}
					one("sumChannels", func(v *variant) func(acc, x []float32) { return v.sumChannels })
					one("maxChannels", func(v *variant) func(acc, x []float32) { return v.maxChannels })
					two("dotChannels", []int{p, n, n}, func(v *variant) func(a, b, c []float32) { return v.dotChannels })
					two("slopeChannels", []int{p, n, n}, func(v *variant) func(a, b, c []float32) { return v.slopeChannels })
					two("minMaxChannels", []int{p, p, n}, func(v *variant) func(a, b, c []float32) { return v.minMaxChannels })
				}
			}
		}
	})
}

// Against float64, bound n·ε·Σ|term| with n the longest chain of float32 sums.
func TestSlices_AgainstFloat64(t *testing.T) {
	eachVariant(t, func(t *testing.T, _ *variant) {
		rng := rand.New(rand.NewPCG(5, 3))
		for _, n := range []int{0, 1, 5, 16, 17, 63, 64, 65, 1000, 70_000, 200_000} {
			x, y := make([]float32, n), make([]float32, n)
			testkit.Fill(rng, x, 1, false)
			testkit.Fill(rng, y, 1, false)
			check := func(name string, got float64, term func(i int) float64) {
				t.Helper()
				var want, size float64
				for i := range x {
					want += term(i)
					size += math.Abs(term(i))
				}
				chain := float64(min(n, block)/lanes + 2)
				if d := math.Abs(got - want); d > chain*0x1p-23*size {
					t.Errorf("%s of %d: %v, want %v", name, n, got, want)
				}
			}
			f := func(s []float32, i int) float64 { return float64(s[i]) }
			m := float32(0.3)
			check("Sum", Sum(x), func(i int) float64 { return f(x, i) })
			check("SumAbs", SumAbs(x), func(i int) float64 { return math.Abs(f(x, i)) })
			check("SumSquares", SumSquares(x), func(i int) float64 { return f(x, i) * f(x, i) })
			check("SumSquaresAbout", SumSquaresAbout(x, m), func(i int) float64 { d := f(x, i) - float64(m); return d * d })
			check("Dot", Dot(x, y), func(i int) float64 { return f(x, i) * f(y, i) })
			check("DotAbout", DotAbout(x, y, m), func(i int) float64 { return f(x, i) * (f(y, i) - float64(m)) })
			lo, hi, abs := math.Inf(1), math.Inf(-1), 0.0
			for i := range x {
				lo, hi, abs = min(lo, f(x, i)), max(hi, f(x, i)), max(abs, math.Abs(f(x, i)))
			}
			l2, h2 := MinMax(x)
			if float64(Min(x)) != lo || float64(Max(x)) != hi || float64(MaxAbs(x)) != abs || float64(l2) != lo || float64(h2) != hi {
				t.Errorf("extremes of %d: %v %v %v %v %v, want %v %v %v", n, Min(x), Max(x), MaxAbs(x), l2, h2, lo, hi, abs)
			}
		}
	})
}

func TestChannels_AnyLength(t *testing.T) {
	eachVariant(t, func(t *testing.T, _ *variant) {
		for _, p := range []int{1, 3, 64, 520, 2048} {
			n := 5*p + p/2
			x := make([]float32, n)
			want, wantDot, wantSlope := make([]float32, p), make([]float32, p), make([]float32, p)
			lo, hi, top := make([]float32, p), make([]float32, p), make([]float32, p)
			for i := range x {
				x[i] = float32(i%7 - 3) // sums of small integers are exact
				want[i%p] += x[i]
				wantDot[i%p] += x[i] * x[i]
				wantSlope[i%p] += x[i] * min(x[i], 0)
			}
			sum, dot, slope := make([]float32, p), make([]float32, p), make([]float32, p)
			SumChannels(sum, x)
			SumSquaresChannels(dot, x)
			SlopeGradChannels(slope, x, x)
			testkit.SameBits(t, fmt.Sprintf("sum, period %d", p), sum, want)
			testkit.SameBits(t, fmt.Sprintf("squares, period %d", p), dot, wantDot)
			testkit.SameBits(t, fmt.Sprintf("slope, period %d", p), slope, wantSlope)
			MinMaxChannels(lo, hi, x)
			MaxChannels(top, x)
			for c := range p {
				l, h := float32(0), float32(0)
				for i := c; i < n; i += p {
					l, h = min(l, x[i]), max(h, x[i])
				}
				if lo[c] != l || hi[c] != h || top[c] != h {
					t.Fatalf("period %d channel %d: %v %v %v, want %v %v %v", p, c, lo[c], hi[c], top[c], l, h, h)
				}
			}
		}
	})
}

func TestExtremes_IgnoreNaN(t *testing.T) {
	eachVariant(t, func(t *testing.T, _ *variant) {
		nan := float32(math.NaN())
		x := []float32{nan, 2, nan, -3, nan}
		if Max(x) != 2 || Min(x) != -3 || MaxAbs(x) != 3 {
			t.Errorf("got %v %v %v, want 2 -3 3", Max(x), Min(x), MaxAbs(x))
		}
		if got := Sum(x); !math.IsNaN(got) {
			t.Errorf("Sum with NaN = %v", got)
		}
	})
}

func TestRows(t *testing.T) {
	x := []float32{1, 2, 3, -4, 5, -6}
	dst := make([]float32, 2)
	Rows(dst, x, 3, Mean)
	testkit.SameBits(t, "mean", dst, []float32{2, -5.0 / 3})
	Rows(dst, x, 3, SumAbs)
	testkit.SameBits(t, "sum of magnitudes", dst, []float32{6, 15})
	ExtremeRows(dst, x, 3, Max)
	testkit.SameBits(t, "max", dst, []float32{3, 5})
	hi := make([]float32, 2)
	MinMaxRows(dst, hi, x, 3)
	testkit.SameBits(t, "row minima", dst, []float32{1, -6})
	testkit.SameBits(t, "row maxima", hi, []float32{3, 5})
	if ArgMax(x) != 4 || ArgMax(nil) != -1 || ArgMax([]float32{1, float32(math.NaN()), 9}) != 1 {
		t.Error("ArgMax")
	}
}

func TestNoAllocation(t *testing.T) {
	x, acc := make([]float32, 5000), make([]float32, 64)
	if a := testing.AllocsPerRun(10, func() {
		Sum(x)
		Dot(x, x)
		MinMax(x)
		MaxAbs(x)
		SumSquaresAbout(x, 1)
		SumChannels(acc, x)
		MinMaxChannels(acc, acc, x)
	}); a != 0 {
		t.Errorf("%v allocations, want 0", a)
	}
}

func BenchmarkReduce(b *testing.B) {
	const n = 16 * 1024
	rng := rand.New(rand.NewPCG(5, 6))
	x, y, acc, acc2 := make([]float32, n), make([]float32, n), make([]float32, 64), make([]float32, 64)
	wide := make([]float32, 1024)
	testkit.Fill(rng, x, 1, false)
	for _, c := range []struct {
		name  string
		bytes int64
		run   func()
	}{
		{"Sum", 4, func() { Sum(x) }},
		{"Dot", 8, func() { Dot(x, y) }},
		{"Max", 4, func() { Max(x) }},
		{"MinMax", 4, func() { MinMax(x) }},
		{"SumChannels64", 4, func() { SumChannels(acc, x) }},
		{"SumChannels1024", 4, func() { SumChannels(wide, x) }},
		{"MinMaxChannels64", 4, func() { MinMaxChannels(acc, acc2, x) }},
	} {
		for _, v := range variants() {
			if !v.supported() {
				continue
			}
			b.Run(fmt.Sprintf("%s/impl=%s", c.name, v.name), func(b *testing.B) {
				defer func(old *variant) { active = old }(active)
				active = v
				b.SetBytes(c.bytes * n)
				for b.Loop() {
					c.run()
				}
			})
		}
	}
}

func FuzzVariants(f *testing.F) {
	for i := range laneKernels {
		f.Add(uint64(i), uint8(i), uint16(60+i), uint8(i+1))
	}
	f.Fuzz(func(t *testing.T, seed uint64, kernel uint8, n uint16, p uint8) {
		rng := rand.New(rand.NewPCG(seed, 8))
		k := laneKernels[int(kernel)%len(laneKernels)]
		m := int(n % 500)
		c := 1 + int(p)
		rows := c * (m / c)
		for _, v := range variants() {
			if !v.supported() {
				continue
			}
			testkit.SameKernel(t, rng, v.name+" "+k.name, []int{lanes, m, m}[:1+k.slices], seed%2 == 0,
				func(b [][]float32) { k.run(&generic, (*[lanes]float32)(b[0]), b[1:]) },
				func(b [][]float32) { k.run(v, (*[lanes]float32)(b[0]), b[1:]) })
			channels := func(v *variant) func(b [][]float32) {
				return func(b [][]float32) {
					v.sumChannels(b[0], b[3])
					v.dotChannels(b[1], b[3], b[4])
					v.minMaxChannels(b[0], b[2], b[4])
				}
			}
			testkit.SameKernel(t, rng, v.name+" channels", []int{c, c, c, rows, rows}, seed%2 == 0, channels(&generic), channels(v))
		}
	})
}
