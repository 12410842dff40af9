package quant

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit"
)

// eachVariant runs f for every variant this machine supports.
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

// validGrid overwrites four slices with usable grids, some of them 4 bits wide.
func validGrid(rng *rand.Rand, low, high, scale, zero []float32) {
	g := Grid{low, high, scale, zero}
	for i := range low {
		n := []int{254, 255, 15, 3}[rng.IntN(4)]
		g.set(i, -rng.Float32()*2, 0.5+rng.Float32()*3, n)
	}
}

func TestVariants_Channels(t *testing.T) {
	eachVariant(t, func(t *testing.T, v *variant) {
		rng := rand.New(rand.NewPCG(3, 1))
		for p := 1; p <= 4*16+1; p++ {
			for _, rows := range []int{0, 1, 2, 5} {
				special := rng.IntN(2) == 0
				gr := [4][]float32{}
				for i := range gr {
					gr[i] = make([]float32, p)
				}
				validGrid(rng, gr[0], gr[1], gr[2], gr[3])
				n := rows * p
				what := fmt.Sprintf("period %d, %d rows, special %v", p, rows, special)
				backward := func(v *variant) func(b [][]float32) {
					return func(b [][]float32) {
						for i := range gr {
							copy(b[3+i], gr[i])
						}
						v.backward(b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9])
					}
				}
				testkit.SameKernel(t, rng, what, []int{n, n, n, p, p, p, p, p, p, p}, special, backward(&generic), backward(v))
				n += rng.IntN(p)
				forward := func(v *variant) func(b [][]float32) {
					return func(b [][]float32) {
						for i := range gr {
							copy(b[2+i], gr[i])
						}
						v.forward(b[0], b[1], b[2], b[3], b[4], b[5])
					}
				}
				testkit.SameKernel(t, rng, what, []int{n, n, p, p, p, p}, special, forward(&generic), forward(v))
			}
		}
	})
}

func TestVariants_Rows(t *testing.T) {
	eachVariant(t, func(t *testing.T, v *variant) {
		rng := rand.New(rand.NewPCG(3, 2))
		for n := range 4*16 + 2 {
			for _, special := range []bool{false, true} {
				gr := [4][]float32{make([]float32, 1), make([]float32, 1), make([]float32, 1), make([]float32, 1)}
				validGrid(rng, gr[0], gr[1], gr[2], gr[3])
				what := fmt.Sprintf("n=%d special=%v", n, special)
				forward := func(v *variant) func(b [][]float32) {
					return func(b [][]float32) { v.forwardRow(b[0], b[1], gr[0][0], gr[1][0], gr[2][0], gr[3][0]) }
				}
				testkit.SameKernel(t, rng, what, []int{n, n}, special, forward(&generic), forward(v))
				backward := func(v *variant) func(b [][]float32) {
					return func(b [][]float32) {
						v.backwardRow(b[0], b[1], b[2], gr[0][0], gr[1][0], gr[2][0], gr[3][0], (*[16]float32)(b[3]), (*[16]float32)(b[4]), (*[16]float32)(b[5]))
					}
				}
				testkit.SameKernel(t, rng, what, []int{n, n, n, 16, 16, 16}, special, backward(&generic), backward(v))
			}
		}
	})
}

// Blocks, periods and rows are ways to do the same: per tensor against a
// float64 sum, with a bound of one rounding per term.
func TestBackward_AgainstFloat64(t *testing.T) {
	eachVariant(t, func(t *testing.T, v *variant) {
		defer func(old *variant) { active = old }(active)
		active = v
		rng := rand.New(rand.NewPCG(3, 3))
		const n = 100_003
		x, dy, dx := make([]float32, n), make([]float32, n), make([]float32, n)
		testkit.Fill(rng, x, 1.5, false)
		testkit.Fill(rng, dy, 1, false)
		one := NewGrid(make([]float32, 4), 1)
		one.Symmetric([]float32{1.3}, -128, 127)
		grid := NewGrid(make([]float32, 4*64), 64)
		for i := range 64 {
			grid.Low[i], grid.High[i], grid.Scale[i], grid.Zero[i] = one.Low[0], one.High[0], one.Scale[0], one.Zero[0]
		}
		var want, scale Sums
		for i, v := range x {
			_, in, above, below := grad(dy[i], v, one.Low[0], one.High[0], one.Scale[0], one.Zero[0])
			want.Add(Sums{float64(in), float64(above), float64(below)})
			scale.Add(Sums{math.Abs(float64(in)), math.Abs(float64(above)), math.Abs(float64(below))})
		}
		var parts []float32
		for at := 0; at < n; at += BlockLen(64) {
			end := min(n, at+BlockLen(64))
			part := make([]float32, SumsLen(64))
			Backward(dx[at:end], dy[at:end], x[at:end], grid, part)
			parts = append(parts, part...)
		}
		var got [1]Sums
		Fold(got[:], parts, 64)
		single := make([]float32, SumsLen(1))
		Backward(dx, dy, x, one, single)
		y, y64 := make([]float32, n), make([]float32, n)
		Forward(y, x, one)
		Forward(y64, x, grid)
		testkit.SameBits(t, "one entry", y, y64)
		var row [1]Sums
		BackwardRows(dx, dy, x, n, one, 0, row[:])
		// 1024 float32 additions per lane: n·ε times the sum of magnitudes.
		bound := func(s float64) float64 { return 1024 * 0x1p-24 * s }
		for name, g := range map[string]Sums{"channels": got[0], "rows": row[0], "one": {float64(single[0]), float64(single[1]), float64(single[2])}} {
			if math.Abs(g.Inside-want.Inside) > bound(scale.Inside) || math.Abs(g.Above-want.Above) > bound(scale.Above) || math.Abs(g.Below-want.Below) > bound(scale.Below) {
				t.Errorf("%s: sums %+v, want %+v", name, g, want)
			}
		}
	})
}

func TestGrid_ZeroIsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		levels := []int{4, 16, 255, 256}[rng.IntN(4)]
		low, width := Tune(rng.Float32()*4-3, 0.01+4*rng.Float32(), levels, rng.IntN(2) == 0)
		g := NewGrid(make([]float32, 4), 1)
		g.Asymmetric([]float32{low}, []float32{width}, levels)
		y := []float32{0}
		Forward(y, y, g)
		if y[0] != 0 {
			t.Fatalf("low %v width %v levels %d: 0 becomes %v", low, width, levels, y[0])
		}
	}
}

// The default rule keeps zero a grid point; figures of the reference notes: the
// interval widens by at most half.
func TestTune_Default(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 5))
	for range 60000 {
		levels := []int{4, 16, 256}[rng.IntN(3)]
		rawLow, rawWidth := rng.Float32()*4-3, 0.01+3.99*rng.Float32()
		low, width := Tune(rawLow, rawWidth, levels, false)
		lo, hi := min(rawLow, 0), max(rawLow+rawWidth, 0)
		if low > lo+1e-6 || low+width < hi-1e-5 || low > 0 || low+width < -1e-6 {
			t.Fatalf("Tune(%v, %v, %d) = [%v, +%v], does not cover [%v, %v]", rawLow, rawWidth, levels, low, width, lo, hi)
		}
		if ratio := width / (hi - lo); ratio > 1.5001 {
			t.Fatalf("Tune(%v, %v, %d): %v times as wide", rawLow, rawWidth, levels, ratio)
		}
		step := float64(width) / float64(levels-1)
		if at := -float64(low) / step; math.Abs(at-math.Round(at)) > 1e-3 {
			t.Fatalf("Tune(%v, %v, %d): zero is at grid position %v", rawLow, rawWidth, levels, at)
		}
	}
}

func TestRows_ChannelOrder(t *testing.T) {
	// Layout [outer 2][channel 3][inner 2], starting at row 1.
	g := NewGrid(make([]float32, 12), 3)
	g.Symmetric([]float32{1, 10, 100}, -1, 1)
	x := []float32{60, 60, 600, 600, 6, 6}
	y := make([]float32, 6)
	ForwardRows(y, x, 2, g, 1)
	testkit.SameBits(t, "rows", y, []float32{10, 10, 100, 100, 1, 1})
}

func BenchmarkQuant(b *testing.B) {
	const n = 16 * 1024
	rng := rand.New(rand.NewPCG(3, 6))
	x, dy, dx := make([]float32, n), make([]float32, n), make([]float32, n)
	testkit.Fill(rng, x, 1, false)
	testkit.Fill(rng, dy, 1, false)
	g := NewGrid(make([]float32, 4*64), 64)
	validGrid(rng, g.Low, g.High, g.Scale, g.Zero)
	sums, rows := make([]float32, SumsLen(64)), make([]Sums, 64)
	for _, c := range []struct {
		name  string
		bytes int64
		run   func()
	}{
		{"Forward", 8, func() { Forward(dx, x, g) }},
		{"Backward", 12, func() { Backward(dx, dy, x, g, sums) }},
		{"ForwardRows", 8, func() { ForwardRows(dx, x, n/64, g, 0) }},
		{"BackwardRows", 12, func() { BackwardRows(dx, dy, x, n/64, g, 0, rows) }},
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

func TestNoAllocation(t *testing.T) {
	x := make([]float32, 4096)
	g := NewGrid(make([]float32, 4*64), 64)
	g.Symmetric(append(make([]float32, 0, 64), x[:64]...), -1, 1)
	sums, rows := make([]float32, SumsLen(64)), make([]Sums, 64)
	if a := testing.AllocsPerRun(10, func() {
		Forward(x, x, g)
		Backward(x, x, x, g, sums)
		ForwardRows(x, x, 64, g, 0)
		BackwardRows(x, x, x, 64, g, 0, rows)
	}); a != 0 {
		t.Errorf("%v allocations, want 0", a)
	}
}

func FuzzVariants(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(5))
	f.Add(uint64(2), uint8(64), uint8(2))
	f.Add(uint64(3), uint8(17), uint8(0))
	f.Fuzz(func(t *testing.T, seed uint64, p, rows uint8) {
		rng := rand.New(rand.NewPCG(seed, 8))
		c := 1 + int(p)
		n := c * (int(rows) % 8)
		grid := [4][]float32{make([]float32, c), make([]float32, c), make([]float32, c), make([]float32, c)}
		validGrid(rng, grid[0], grid[1], grid[2], grid[3])
		run := func(v *variant) func(b [][]float32) {
			return func(b [][]float32) {
				v.backward(b[0], b[1], b[2], grid[0], grid[1], grid[2], grid[3], b[3], b[4], b[5])
				v.forward(b[1], b[2], grid[0], grid[1], grid[2], grid[3])
				v.forwardRow(b[2], b[2], grid[0][0], grid[1][0], grid[2][0], grid[3][0])
			}
		}
		for _, v := range variants() {
			if v.supported() {
				testkit.SameKernel(t, rng, v.name, []int{n, n, n, c, c, c}, seed%2 == 0, run(&generic), run(v))
			}
		}
	})
}

func TestInPlace(t *testing.T) {
	eachVariant(t, func(t *testing.T, v *variant) {
		defer func(old *variant) { active = old }(active)
		active = v
		rng := rand.New(rand.NewPCG(3, 9))
		for _, n := range []int{1, 7, 64, 203} {
			for _, p := range []int{1, 5, 64} {
				g := NewGrid(make([]float32, 4*p), p)
				validGrid(rng, g.Low, g.High, g.Scale, g.Zero)
				x, dy, y, dx := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
				testkit.Fill(rng, x, 2, true)
				testkit.Fill(rng, dy, 1, false)
				want, got := make([]float32, SumsLen(p)), make([]float32, SumsLen(p))
				Forward(y, x, g)
				Backward(dx, dy, x, g, want)
				Backward(dy, dy, x, g, got)
				Forward(x, x, g)
				testkit.SameBits(t, "x", x, y)
				testkit.SameBits(t, "dy", dy, dx)
				testkit.SameBits(t, "sums", got, want)
			}
		}
	})
}

// TestSlope compares slopes with the differences that a change of the grid makes.
func TestSlope(t *testing.T) {
	nan := float32(math.NaN())
	g := NewGrid(make([]float32, 4), 1)
	g.Symmetric([]float32{2}, -128, 127)
	x := []float32{-3, -1.3, 0, 0.01, 1.999, 5, nan}
	below := float32(-128.0 / 127)
	for _, s := range []Slope{{Above: 1, Below: below}, {Above: 1, Below: below, Exact: true}, {Above: 1, Below: below, Flat: true}} {
		got := make([]float32, len(x))
		s.Run(got, x, g)
		for i, v := range x { // by way of the sums of one element
			var sums [1]Sums
			BackwardRows([]float32{0}, []float32{1}, []float32{v}, 1, g, 0, sums[:])
			if s.Flat {
				sums[0].Inside = 0
			}
			if want := sums[0].ScaleGrad(2, -128, 127, s.Exact); math.Abs(float64(got[i]-want)) > 1e-6 {
				t.Errorf("%+v at %g: got %g, want %g", s, v, got[i], want)
			}
		}
	}
}
