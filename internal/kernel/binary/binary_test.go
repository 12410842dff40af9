package binary

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func eachVariant(t *testing.T, f func(t *testing.T, v *variant)) {
	for _, v := range variants() {
		t.Run(v.name, func(t *testing.T) {
			if !v.supported() {
				t.Skipf("this machine lacks %v", v.need)
			}
			f(t, v)
		})
	}
}

// normals are numbers around 0, with zeros, infinities and NaN among them if odd.
func normals(rng *rand.Rand, n int, odd bool) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
		if odd {
			switch rng.IntN(20) {
			case 0:
				x[i] = 0
			case 1:
				x[i] = float32(math.NaN())
			case 2:
				x[i] = float32(math.Inf(1 - 2*rng.IntN(2)))
			case 3:
				x[i] = float32(math.Copysign(0, -1))
			}
		}
	}
	return x
}

var geometries = []Geometry{
	{N: 1, H: 1, W: 1, IC: 1, OC: 1, KH: 1, KW: 1},
	{N: 2, H: 5, W: 6, IC: 3, OC: 5, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1},
	{N: 1, H: 7, W: 7, IC: 16, OC: 16, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1},
	{N: 1, H: 9, W: 11, IC: 32, OC: 40, KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadT: 1, PadL: 1, PadB: 1, PadR: 1},
	{N: 2, H: 6, W: 5, IC: 64, OC: 64, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1},
	{N: 1, H: 4, W: 5, IC: 72, OC: 72, KH: 1, KW: 1, StrideH: 2, StrideW: 2},
	{N: 1, H: 8, W: 9, IC: 24, OC: 33, KH: 3, KW: 2, PadT: 2, PadR: 3, DilationH: 2, DilationW: 3},
	{N: 1, H: 9, W: 9, IC: 40, OC: 8, KH: 3, KW: 3, DilationH: 2, PadT: 2, PadB: 2},
	{N: 1, H: 3, W: 40, IC: 130, OC: 17, KH: 3, KW: 5, PadL: 2, PadR: 2},
	{N: 1, H: 4, W: 4, IC: 512, OC: 128, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1},
	{N: 1, H: 40, W: 40, IC: 8, OC: 16, KH: 5, KW: 5, StrideH: 2, PadT: 2, PadL: 2, PadB: 2, PadR: 2},
}

// Every variant computes what plain loops over float64 do, exactly: sums are
// integers, and one factor is applied to each.
func TestVariants_Conv(t *testing.T) {
	eachVariant(t, func(t *testing.T, v *variant) {
		for i, g := range geometries {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				checkConv(t, v, g, uint64(i))
			})
		}
	})
}

func checkConv(t *testing.T, v *variant, g Geometry, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	x, w := normals(rng, g.N*g.H*g.W*g.IC, true), normals(rng, g.OC*g.IC*g.KH*g.KW, true)
	at, f := normals(rng, g.IC, false), normals(rng, g.OC, false)
	got := run(t, v, g, x, w, at, f)
	if want := reference(g, x, w, at, f); !slices.Equal(got, want) {
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%+v, seed %d: element %d: got %v, want %v", g, seed, i, got[i], want[i])
			}
		}
	}
}

// run computes a convolution with guards around scratch memory filled with NaN,
// which is what bits look like to nobody.
func run(t *testing.T, v *variant, g Geometry, x, w, at, f []float32) []float32 {
	t.Helper()
	p, err := newPlan(g, v)
	if err != nil {
		t.Fatal(err)
	}
	s := p.Sizes()
	bits, weights, scratch := dirty(s.Bits), dirty(s.Weights), dirty(s.Scratch)
	px := g.N * g.H * g.W
	for lo := 0; lo < px; lo += 7 {
		hi := min(px, lo+7)
		p.Pack(bits, x[lo*g.IC:hi*g.IC], at, lo)
	}
	for i := range s.PackRows {
		p.PackWeights(i, weights, w)
	}
	y := make([]float32, g.N*g.OutH()*g.OutW()*g.OC)
	done := 0
	for i := range s.Tasks {
		p.Forward(i, scratch, bits, weights, f, y)
		lo, hi := p.Region(i)
		if lo != done {
			t.Fatalf("task %d begins at pixel %d, want %d", i, lo, done)
		}
		done = hi
	}
	if done != g.N*g.OutH()*g.OutW() {
		t.Fatalf("tasks end at pixel %d, want %d", done, g.N*g.OutH()*g.OutW())
	}
	return y
}

func dirty(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = math.Float32frombits(0xffffffff)
	}
	return x
}

func reference(g Geometry, x, w, at, f []float32) []float32 {
	g = g.normal()
	var y []float32
	for n := range g.N {
		for oh := range g.OutH() {
			for ow := range g.OutW() {
				for o := range g.OC {
					sum := 0.0
					for kh := range g.KH {
						for kw := range g.KW {
							h, c := oh*g.StrideH+kh*g.DilationH-g.PadT, ow*g.StrideW+kw*g.DilationW-g.PadL
							if h < 0 || h >= g.H || c < 0 || c >= g.W {
								continue
							}
							for i := range g.IC {
								if x[((n*g.H+h)*g.W+c)*g.IC+i] > at[i] {
									if w[((o*g.IC+i)*g.KH+kh)*g.KW+kw] > 0 {
										sum++
									} else {
										sum--
									}
								}
							}
						}
					}
					y = append(y, float32(sum)*f[o])
				}
			}
		}
	}
	return y
}

func FuzzConv(f *testing.F) {
	f.Add(uint64(1), uint8(5), uint8(6), uint8(8), uint8(9), uint8(3), uint8(3), uint8(0), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, h, w, ic, oc, kh, kw, stride, pad uint8) {
		g := Geometry{N: 1, H: 1 + int(h%12), W: 1 + int(w%20), IC: 1 + int(ic%80), OC: 1 + int(oc%80), KH: 1 + int(kh%4), KW: 1 + int(kw%4),
			StrideH: int(stride % 3), StrideW: int(stride / 3 % 3), PadT: int(pad % 3), PadL: int(pad / 3 % 3), PadB: int(pad / 9 % 3), PadR: int(pad / 27 % 3),
			DilationH: int(stride / 9 % 3), DilationW: int(stride / 27 % 3)}
		if g.Fits() != nil { // no geometry to compute
			return
		}
		for _, v := range variants() {
			if v.supported() {
				checkConv(t, v, g, seed)
			}
		}
	})
}

// Elementwise kernels have the bits of the plain ones, ends and NaN included.
func TestVariants_Elementwise(t *testing.T) {
	eachVariant(t, func(t *testing.T, v *variant) {
		rng := rand.New(rand.NewPCG(3, 4))
		for n := range 150 {
			x, du := normals(rng, n, true), normals(rng, n, false)
			got, want := make([]float32, n), make([]float32, n)
			for _, c := range []int{1, 3, 16, 40, 150} {
				at := normals(rng, c, false)
				v.above(got, x, at)
				aboveGeneric(want, x, at)
				equal(t, "above", got, want)
				if n%c != 0 {
					continue
				}
				var sums, wantSums [2][]float32
				for i := range sums {
					sums[i] = normals(rng, c, false)
					wantSums[i] = slices.Clone(sums[i])
				}
				v.backward(got, du, x, at, 1.5, 1/float32(1.5), sums[0], sums[1])
				backwardGeneric(want, du, x, at, 1.5, 1/float32(1.5), wantSums[0], wantSums[1])
				equal(t, "backward", got, want)
				equal(t, "scale sums", sums[0], wantSums[0])
				equal(t, "threshold sums", sums[1], wantSums[1])
			}
			v.signs(got, x)
			signsGeneric(want, x)
			equal(t, "signs", got, want)
		}
	})
}

func equal(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s of %d: element %d: got %v, want %v", what, len(want), i, got[i], want[i])
		}
	}
}

// Backward takes any length, in place.
func TestBackward_Ends(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	at := normals(rng, 12, false)
	for n := range 40 {
		x, du := normals(rng, n, true), normals(rng, n, false)
		want := make([]float32, n)
		var sums, wantSums [2][]float32
		for i := range sums {
			sums[i], wantSums[i] = dirty(12), make([]float32, 12)
		}
		backwardGeneric(want, du, x, at, 0.7, 1/float32(0.7), wantSums[0], wantSums[1])
		Backward(du, du, x, at, 0.7, sums[0], sums[1])
		equal(t, "dx", du, want)
		equal(t, "scale sums", sums[0], wantSums[0])
		equal(t, "threshold sums", sums[1], wantSums[1])
	}
}

func TestFits(t *testing.T) {
	for _, g := range []Geometry{
		{N: 1, H: 4, W: 4, IC: 4000, OC: 1, KH: 3, KW: 3},
		{N: 1, H: 2, W: 4, IC: 4, OC: 1, KH: 3, KW: 3},
		{N: 1, H: 4, W: 4, IC: 4, OC: 1, KH: 3, KW: 3, PadL: -1},
		{N: 1, H: 4, W: 4, IC: 0, OC: 1, KH: 3, KW: 3},
	} {
		if g.Fits() == nil {
			t.Errorf("%+v: got no error", g)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	g := geometries[4]
	p, err := New(g)
	if err != nil {
		t.Fatal(err)
	}
	s := p.Sizes()
	bits, weights, scratch := make([]float32, s.Bits), make([]float32, s.Weights), make([]float32, s.Scratch)
	x, w, f, at := make([]float32, g.N*g.H*g.W*g.IC), make([]float32, g.OC*g.IC*9), make([]float32, g.OC), make([]float32, g.IC)
	y := make([]float32, g.N*g.H*g.W*g.OC)
	if n := testing.AllocsPerRun(3, func() {
		p.Pack(bits, x, at, 0)
		p.PackWeights(0, weights, w)
		p.Forward(0, scratch, bits, weights, f, y)
	}); n != 0 {
		t.Errorf("got %v allocations", n)
	}
}

// The 3×3 convolutions of ResNet-18, beside which cmd nncf bench puts the float ones.
func BenchmarkConv(b *testing.B) {
	for _, s := range []struct{ c, size int }{{64, 56}, {128, 28}, {256, 14}, {512, 7}} {
		g := Geometry{N: 1, H: s.size, W: s.size, IC: s.c, OC: s.c, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1}
		for _, v := range variants() {
			if !v.supported() {
				continue
			}
			b.Run(fmt.Sprintf("impl=%s/%dx%d", v.name, s.c, s.size), func(b *testing.B) {
				p, err := newPlan(g, v)
				if err != nil {
					b.Fatal(err)
				}
				z := p.Sizes()
				bits, weights, scratch := make([]float32, z.Bits), make([]float32, z.Weights), make([]float32, z.Scratch)
				rng := rand.New(rand.NewPCG(7, 8))
				x, w, f, at := normals(rng, g.H*g.W*g.IC, false), normals(rng, g.OC*g.IC*9, false), normals(rng, g.OC, false), normals(rng, g.IC, false)
				y := make([]float32, g.H*g.W*g.OC)
				for i := range z.PackRows {
					p.PackWeights(i, weights, w)
				}
				for b.Loop() {
					p.Pack(bits, x, at, 0)
					for i := range z.Tasks {
						p.Forward(i, scratch, bits, weights, f, y)
					}
				}
				b.ReportMetric(float64(g.H*g.W*g.IC*g.OC*9)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
			})
		}
	}
}
