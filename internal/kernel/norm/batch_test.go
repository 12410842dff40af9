package norm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/internal/kernel/period"
	"github.com/go-nncf/nncf/internal/testkit"
)

// batch runs the whole batch normalization over [rows][c] data the way an
// engine does: blocks, fold, apply, and backward.
type batch struct {
	rows, c            int
	x, g, res          []float32
	gamma, beta        []float32
	act                Act
	shiftAt            float32 // added to the shift, to see what a bad one costs
	y, dx              []float32
	mean, variance     []float32
	dgamma, dbeta      []float32
	inside, above, bel []float64
}

func (b *batch) run(grid *Grid) {
	p := period.Len(b.c)
	expand := func(src []float32) []float32 {
		dst := make([]float32, p)
		period.Expand(dst, src)
		return dst
	}
	first := append([]float32(nil), b.x[:b.c]...)
	for i := range first {
		first[i] += b.shiftAt
	}
	shift := expand(first)
	block := BlockRows(b.c, p) * b.c
	var part []float32
	for at := 0; at < len(b.x); at += block {
		s := make([]float32, StatsLen(p))
		Stats(s, b.x[at:min(at+block, len(b.x))], shift)
		part = append(part, s...)
	}
	b.mean, b.variance = make([]float32, b.c), make([]float32, b.c)
	Moments(b.mean, b.variance, part, shift, b.rows)
	inv := make([]float32, b.c)
	InvStd(inv, b.variance, 1e-5)
	scale, sh := make([]float32, p), make([]float32, p)
	Affine(scale, sh, b.gamma, b.beta, b.mean, inv)
	b.y = make([]float32, len(b.x))
	Apply(b.y, b.x, scale, sh, Tail{Residual: b.res, Act: b.act, Grid: grid})

	part = nil
	k := Affine3{A: make([]float32, p), B: make([]float32, p), C: make([]float32, p), Scale: scale, Shift: sh}
	mean := expand(b.mean)
	g := b.g
	var z []float32
	if b.res != nil {
		z = make([]float32, len(b.x))
		Apply(z, b.x, scale, sh, Tail{Residual: b.res, Act: b.act})
		g = make([]float32, len(b.x))
	}
	for at := 0; at < len(b.x); at += block {
		end := min(at+block, len(b.x))
		s := make([]float32, GradStatsLen(p, grid != nil))
		if b.res != nil {
			GradStatsJoin(s, g[at:end], b.g[at:end], z[at:end], b.x[at:end], mean, b.act, grid)
		} else {
			GradStats(s, b.g[at:end], b.x[at:end], mean, scale, sh, b.act, grid)
		}
		part = append(part, s...)
	}
	b.dgamma, b.dbeta = make([]float32, b.c), make([]float32, b.c)
	GradCoef(k.A, k.B, k.C, b.dgamma, b.dbeta, part, b.gamma, b.mean, inv, b.rows, grid != nil)
	b.dx = make([]float32, len(b.x))
	if b.res != nil {
		GradApply(b.dx, g, b.x, k, Act{}, nil)
	} else {
		GradApply(b.dx, g, b.x, k, b.act, grid)
	}
	if grid != nil {
		b.inside, b.above, b.bel = make([]float64, b.c), make([]float64, b.c), make([]float64, b.c)
		QuantSums(b.inside, b.above, b.bel, part, p)
	}
}

// reference computes the same in float64, without quantizer.
func (b *batch) reference() (y, dx, mean, variance, dgamma, dbeta []float64) {
	n, c := len(b.x), b.c
	y, dx = make([]float64, n), make([]float64, n)
	mean, variance, dgamma, dbeta = make([]float64, c), make([]float64, c), make([]float64, c), make([]float64, c)
	m := float64(b.rows)
	lo, hi := b.act.bounds()
	for ch := range c {
		var s float64
		for i := ch; i < n; i += c {
			s += float64(b.x[i])
		}
		mean[ch] = s / m
		var q float64
		for i := ch; i < n; i += c {
			d := float64(b.x[i]) - mean[ch]
			q += d * d
		}
		variance[ch] = q / m
		r := 1 / math.Sqrt(variance[ch]+1e-5)
		gamma, beta := float64(b.gamma[ch]), float64(b.beta[ch])
		var sg, sgx float64
		masked := make([]float64, n)
		for i := ch; i < n; i += c {
			v := (float64(b.x[i])-mean[ch])*r*gamma + beta
			if b.res != nil {
				v += float64(b.res[i])
			}
			y[i] = min(max(v, float64(lo)), float64(hi))
			if v > float64(lo) && v < float64(hi) {
				masked[i] = float64(b.g[i])
			}
			sg += masked[i]
			sgx += masked[i] * (float64(b.x[i]) - mean[ch]) * r
		}
		dgamma[ch], dbeta[ch] = sgx, sg
		for i := ch; i < n; i += c {
			dx[i] = gamma * r * (masked[i] - sg/m - (float64(b.x[i])-mean[ch])*r*sgx/m)
		}
	}
	return
}

func near(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	var size float64
	for _, v := range want {
		size = max(size, math.Abs(v))
	}
	for i, v := range got {
		if d := math.Abs(float64(v) - want[i]); !(d <= tolerance*size) {
			t.Fatalf("%s[%d] = %v, want %v (largest %v)", what, i, v, want[i], size)
		}
	}
}

func newBatch(rng *rand.Rand, rows, c int, mean float64) *batch {
	b := &batch{rows: rows, c: c, x: make([]float32, rows*c), g: make([]float32, rows*c), gamma: make([]float32, c), beta: make([]float32, c)}
	testkit.Fill(rng, b.x, 1, false)
	testkit.Fill(rng, b.g, 1, false)
	for i := range b.x {
		b.x[i] += float32(mean * (1 + float64(i%c%8)))
	}
	testkit.Fill(rng, b.gamma, 1, false)
	testkit.Fill(rng, b.beta, 1, false)
	return b
}

func TestBatch_AgainstFloat64(t *testing.T) {
	eachVariant(t, func(t *testing.T, _ *variant) {
		for _, c := range []int{1, 3, 10, 16, 24, 65, 520} {
			for _, residual := range []bool{false, true} {
				for name, act := range map[string]Act{"none": {}, "relu": Relu(), "relu6": Relu6()} {
					t.Run(fmt.Sprintf("c=%d/act=%s/residual=%v", c, name, residual), func(t *testing.T) {
						rows := 1000
						if c > 64 {
							rows = 100
						}
						b := newBatch(rand.New(rand.NewPCG(6, 3)), rows, c, 0.5)
						b.act = act
						if residual {
							b.res = make([]float32, len(b.x))
							testkit.Fill(rand.New(rand.NewPCG(6, 4)), b.res, 1, false)
						}
						b.run(nil)
						y, dx, mean, variance, dgamma, dbeta := b.reference()
						// float32 inputs of size s carry s·2^-24; sums average that
						// out. A mask may flip within rounding of a bound, which
						// the seeds here do not hit.
						near(t, "mean", b.mean, mean, 1e-6)
						near(t, "variance", b.variance, variance, 2e-6)
						near(t, "y", b.y, y, 2e-5)
						near(t, "dgamma", b.dgamma, dgamma, 2e-4)
						near(t, "dbeta", b.dbeta, dbeta, 1e-5)
						near(t, "dx", b.dx, dx, 2e-5)
					})
				}
			}
		}
	})
}

// The mean is a thousand deviations away: unshifted float32 sums of squares
// would have no correct digit.
func TestStats_MeanAgainstDeviation(t *testing.T) {
	eachVariant(t, func(t *testing.T, _ *variant) {
		b := newBatch(rand.New(rand.NewPCG(6, 5)), 5000, 4, 1000)
		b.run(nil)
		_, _, mean, variance, _, _ := b.reference()
		near(t, "mean", b.mean, mean, 1e-7)
		near(t, "variance", b.variance, variance, 1e-5)
	})
}

// Results do not depend on how blocks are grouped into tasks, because they
// never see tasks; they do not depend on the variant either.
func TestBatch_SameBitsInAllVariants(t *testing.T) {
	type result struct{ y, dx, mean, variance, dgamma, dbeta []float32 }
	var first *result
	eachVariant(t, func(t *testing.T, _ *variant) {
		b := newBatch(rand.New(rand.NewPCG(6, 6)), 777, 10, 0.3)
		b.act = Relu6()
		low, high, scale, zero := make([]float32, 80), make([]float32, 80), make([]float32, 80), make([]float32, 80)
		for i := range low {
			high[i], scale[i] = 4, 255.0/4
		}
		b.run(&Grid{low, high, scale, zero})
		r := &result{b.y, b.dx, b.mean, b.variance, b.dgamma, b.dbeta}
		if first == nil {
			first = r
			return
		}
		testkit.SameBits(t, "y", r.y, first.y)
		testkit.SameBits(t, "dx", r.dx, first.dx)
		testkit.SameBits(t, "mean", r.mean, first.mean)
		testkit.SameBits(t, "variance", r.variance, first.variance)
		testkit.SameBits(t, "dgamma", r.dgamma, first.dgamma)
		testkit.SameBits(t, "dbeta", r.dbeta, first.dbeta)
	})
}

// The fused passes with a quantizer equal the separate ones: Apply, then
// rounding, then the quantizer's mask on the gradient.
func TestBatch_QuantizerEqualsSeparatePasses(t *testing.T) {
	eachVariant(t, func(t *testing.T, _ *variant) {
		for _, residual := range []bool{false, true} {
			const c = 16
			b := newBatch(rand.New(rand.NewPCG(6, 7)), 500, c, 0.3)
			b.act = Relu()
			if residual {
				b.res = make([]float32, len(b.x))
				testkit.Fill(rand.New(rand.NewPCG(6, 8)), b.res, 1, false)
			}
			p := period.Len(c)
			grid := &Grid{make([]float32, p), make([]float32, p), make([]float32, p), make([]float32, p)}
			for i := range grid.Low {
				grid.High[i] = 1 + float32(i%c)/16
				grid.Scale[i] = 255 / grid.High[i]
			}
			b.run(grid)
			plain := newBatch(rand.New(rand.NewPCG(6, 7)), 500, c, 0.3)
			plain.act, plain.res = b.act, b.res
			plain.run(nil) // for y before the quantizer
			want := make([]float32, len(b.y))
			masked := make([]float32, len(b.y))
			var inside, above [c]float64
			for i, v := range plain.y {
				ch := i % c
				want[i] = round32(v, grid.Low[ch], grid.High[ch], grid.Scale[ch], grid.Zero[ch])
				if v > grid.High[ch] {
					above[ch] += float64(b.g[i])
				} else {
					masked[i] = b.g[i]
					inside[ch] += float64(b.g[i] * (want[i] - v))
				}
			}
			testkit.SameBits(t, "y", b.y, want)
			plain.g = masked
			plain.run(nil)
			near(t, "dx", b.dx, widen(plain.dx), 1e-6)
			near(t, "dgamma", b.dgamma, widen(plain.dgamma), 1e-6)
			near(t, "inside", narrow(b.inside), inside[:], 1e-4)
			near(t, "above", narrow(b.above), above[:], 1e-5)
			near(t, "below", narrow(b.bel), make([]float64, c), 0)
		}
	})
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func narrow(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

func TestApply_TwoBranches(t *testing.T) {
	eachVariant(t, func(t *testing.T, _ *variant) {
		x, r := []float32{1, 2, 3, 4}, []float32{10, 20, 30, 40}
		y := make([]float32, 4)
		Apply(y, x, []float32{2, 3}, []float32{1, -1}, Tail{Residual: r, ResScale: []float32{0.5, -1}, ResShift: []float32{0, 1}, Act: Act{On: true, Lo: -20, Hi: 20}})
		// 1·2+1+5, 2·3−1−19, 3·2+1+15 clipped, 4·3−1−39 clipped
		testkit.SameBits(t, "y", y, []float32{8, -14, 20, -20})
	})
}

func TestUpdateRunning(t *testing.T) {
	r := []float32{1, 2}
	UpdateRunning(r, []float32{3, 4}, 0.1, 10.0/9)
	near(t, "running", r, []float64{1 + 0.1*(3*10.0/9-1), 2 + 0.1*(4*10.0/9-2)}, 1e-7)
}

func TestNoAllocation(t *testing.T) {
	x, p, part := make([]float32, 6400), make([]float32, 64), make([]float32, 5*64)
	one := make([]float32, 64)
	q := &Grid{p, p, one, p}
	labels, loss := make([]int32, 100), make([]float32, 100)
	y := make([]float32, 6400)
	if a := testing.AllocsPerRun(5, func() {
		Stats(part[:128], x, p)
		Apply(y, x, p, p, Tail{Residual: x, Act: Relu(), Grid: q})
		GradStats(part, x, x, p, p, p, Relu(), q)
		GradApply(y, x, x, Affine3{p, p, p, p, p}, Relu(), q)
		LayerNorm(y, x, p, p, loss, loss, 1e-5)
		Softmax(y, x, 64)
		LogSoftmax(y, x, 64)
		CrossEntropy(loss, y, x, labels, 64, 1, 0.1, nil)
	}); a != 0 {
		t.Errorf("%v allocations, want 0", a)
	}
}

func TestInPlace(t *testing.T) {
	eachVariant(t, func(t *testing.T, _ *variant) {
		rng := rand.New(rand.NewPCG(6, 10))
		for _, p := range []int{3, 16, 70} {
			n := 5*p + p/2
			data := make([][]float32, 4)
			for i := range data {
				data[i] = make([]float32, n)
				testkit.Fill(rng, data[i], 1, false)
			}
			ps := make([][]float32, 5)
			for i := range ps {
				ps[i] = make([]float32, p)
				testkit.Fill(rng, ps[i], 1, false)
			}
			grid := &Grid{make([]float32, p), make([]float32, p), make([]float32, p), make([]float32, p)}
			grids(rng, grid.Low, grid.High, grid.Scale, grid.Zero)
			for _, q := range []*Grid{nil, grid} {
				// f writes its first slice; the one at index alias takes its place.
				check := func(name string, alias int, f func(d [][]float32)) {
					t.Helper()
					a, b := make([][]float32, 4), make([][]float32, 4)
					for i := range data {
						a[i], b[i] = append([]float32(nil), data[i]...), append([]float32(nil), data[i]...)
					}
					f(a)
					b[0] = b[alias]
					f(b)
					testkit.SameBits(t, fmt.Sprintf("%s in place of %d, period %d", name, alias, p), b[0], a[0])
				}
				k := Affine3{ps[0], ps[1], ps[2], ps[3], ps[4]}
				for alias := 1; alias <= 2; alias++ {
					check("Apply", alias, func(d [][]float32) {
						Apply(d[0], d[1], ps[0], ps[1], Tail{Residual: d[2], Act: Relu(), Grid: q})
					})
					check("Apply two", alias, func(d [][]float32) {
						Apply(d[0], d[1], ps[0], ps[1], Tail{Residual: d[2], ResScale: ps[2], ResShift: ps[3], Grid: q})
					})
					check("GradApply", alias, func(d [][]float32) { GradApply(d[0], d[1], d[2], k, Relu(), q) })
				}
				check("GradApply plain", 1, func(d [][]float32) { GradApply(d[0], d[1], d[2], k, Act{}, nil) })
				part := make([]float32, GradStatsLen(p, q != nil))
				check("GradStatsJoin", 1, func(d [][]float32) { GradStatsJoin(part, d[0], d[1], d[2], d[3], ps[0], Relu(), q) })
			}
		}
	})
}
