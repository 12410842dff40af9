package norm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit"
)

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

// kernels lists the table's functions: data slices of n floats, then slices of
// one period. The last four periods of a quantized kernel are its grid.
var kernels = []struct {
	name          string
	data, periods int
	grid          bool
	sums          bool // takes whole rows, the accumulators come first among the periods
	run           func(v *variant, d, p [][]float32, lo, hi float32)
}{
	{"stats", 1, 3, false, true, func(v *variant, d, p [][]float32, lo, hi float32) { v.stats(p[0], p[1], d[0], p[2]) }},
	{"apply", 2, 2, false, false, func(v *variant, d, p [][]float32, lo, hi float32) { v.apply(d[0], d[1], p[0], p[1], lo, hi) }},
	{"applyAdd", 3, 2, false, false, func(v *variant, d, p [][]float32, lo, hi float32) {
		v.applyAdd(d[0], d[1], d[2], p[0], p[1], lo, hi)
	}},
	{"applyTwo", 3, 4, false, false, func(v *variant, d, p [][]float32, lo, hi float32) {
		v.applyTwo(d[0], d[1], d[2], p[0], p[1], p[2], p[3], lo, hi)
	}},
	{"applyQ", 2, 6, true, false, func(v *variant, d, p [][]float32, lo, hi float32) {
		v.applyQ(d[0], d[1], p[0], p[1], lo, hi, p[2], p[3], p[4], p[5])
	}},
	{"applyAddQ", 3, 6, true, false, func(v *variant, d, p [][]float32, lo, hi float32) {
		v.applyAddQ(d[0], d[1], d[2], p[0], p[1], lo, hi, p[2], p[3], p[4], p[5])
	}},
	{"applyTwoQ", 3, 8, true, false, func(v *variant, d, p [][]float32, lo, hi float32) {
		v.applyTwoQ(d[0], d[1], d[2], p[0], p[1], p[2], p[3], lo, hi, p[4], p[5], p[6], p[7])
	}},
	{"gradStats", 2, 5, false, true, func(v *variant, d, p [][]float32, lo, hi float32) {
		v.gradStats(p[0], p[1], d[0], d[1], p[2], p[3], p[4], lo, hi)
	}},
	{"gradStatsQ", 2, 12, true, true, func(v *variant, d, p [][]float32, lo, hi float32) {
		v.gradStatsQ(p[0], p[1], p[2], p[3], p[4], d[0], d[1], p[5], p[6], p[7], lo, hi, p[8], p[9], p[10], p[11])
	}},
	{"gradStatsJoin", 4, 3, false, true, func(v *variant, d, p [][]float32, lo, hi float32) {
		v.gradStatsJoin(p[0], p[1], d[0], d[1], d[2], d[3], p[2], lo, hi)
	}},
	{"gradStatsJoinQ", 4, 10, true, true, func(v *variant, d, p [][]float32, lo, hi float32) {
		v.gradStatsJoinQ(p[0], p[1], p[2], p[3], p[4], d[0], d[1], d[2], d[3], p[5], lo, hi, p[6], p[7], p[8], p[9])
	}},
	{"gradApplyPlain", 3, 3, false, false, func(v *variant, d, p [][]float32, lo, hi float32) {
		v.gradApplyPlain(d[0], d[1], d[2], p[0], p[1], p[2])
	}},
	{"gradApply", 3, 5, false, false, func(v *variant, d, p [][]float32, lo, hi float32) {
		v.gradApply(d[0], d[1], d[2], p[0], p[1], p[2], p[3], p[4], lo, hi)
	}},
	{"gradApplyQ", 3, 9, true, false, func(v *variant, d, p [][]float32, lo, hi float32) {
		v.gradApplyQ(d[0], d[1], d[2], p[0], p[1], p[2], p[3], p[4], lo, hi, p[5], p[6], p[7], p[8])
	}},
	{"layerApply", 4, 0, false, false, func(v *variant, d, p [][]float32, lo, hi float32) {
		v.layerApply(d[0], d[1], d[2], d[3], 0.7, -0.2)
	}},
	{"layerAcc", 4, 0, false, false, func(v *variant, d, p [][]float32, lo, hi float32) {
		v.layerAcc(d[0], d[1], d[2], d[3], 0.7, -0.2)
	}},
	{"layerGrad", 2, 0, false, false, func(v *variant, d, p [][]float32, lo, hi float32) { v.layerGrad(d[0], d[1], 0.7, -0.2, 0.1) }},
	{"mulSub", 3, 0, false, false, func(v *variant, d, p [][]float32, lo, hi float32) { v.mulSub(d[0], d[1], d[2], 0.3) }},
}

// grids fills four slices with usable quantizer grids.
func grids(rng *rand.Rand, low, high, scale, zero []float32) {
	for i := range low {
		n := []float32{255, 15}[rng.IntN(2)]
		low[i] = -rng.Float32() * 2 * float32(rng.IntN(2))
		width := 0.5 + 3*rng.Float32()
		high[i], scale[i] = low[i]+width, n/width
		zero[i] = rne32(-low[i] * scale[i])
	}
}

func TestVariants(t *testing.T) {
	inf := float32(math.Inf(1))
	bounds := [][2]float32{{-inf, inf}, {0, inf}, {0, 6}, {-1, 1}}
	eachVariant(t, func(t *testing.T, v *variant) {
		for _, k := range kernels {
			t.Run(k.name, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(6, 1))
				for p := 1; p <= 4*16+1; p++ {
					for _, rows := range []int{0, 1, 3} {
						n := p * rows
						if !k.sums {
							n += rng.IntN(p)
						}
						b := bounds[rng.IntN(len(bounds))]
						special := rng.IntN(2) == 0
						lens := make([]int, k.data+k.periods)
						for i := range lens {
							lens[i] = p
							if i < k.data {
								lens[i] = n
							}
						}
						var grid [4][]float32
						for i := range grid {
							grid[i] = make([]float32, p)
						}
						grids(rng, grid[0], grid[1], grid[2], grid[3])
						run := func(v *variant) func(b [][]float32) {
							return func(s [][]float32) {
								if k.grid {
									for i := range grid {
										copy(s[len(s)-4+i], grid[i])
									}
								}
								k.run(v, s[:k.data], s[k.data:], b[0], b[1])
							}
						}
						testkit.SameKernel(t, rng, fmt.Sprintf("period %d, n=%d, bounds %v, special %v", p, n, b, special), lens, special, run(&generic), run(v))
					}
				}
			})
		}
	})
}

func BenchmarkNorm(b *testing.B) {
	for _, p := range []int{64, 1024} {
		const n = 16 * 1024
		rng := rand.New(rand.NewPCG(6, 2))
		for _, k := range kernels {
			if k.periods == 0 && p > 64 {
				continue
			}
			d, ps := make([][]float32, k.data), make([][]float32, k.periods)
			for i := range d {
				d[i] = make([]float32, n)
				testkit.Fill(rng, d[i], 1, false)
			}
			for i := range ps {
				ps[i] = make([]float32, p)
				testkit.Fill(rng, ps[i], 0.1, false)
			}
			if k.grid {
				grids(rng, ps[k.periods-4], ps[k.periods-3], ps[k.periods-2], ps[k.periods-1])
			}
			for _, v := range variants() {
				if !v.supported() {
					continue
				}
				b.Run(fmt.Sprintf("%s/period=%d/impl=%s", k.name, p, v.name), func(b *testing.B) {
					b.SetBytes(int64(4 * n * k.data))
					for b.Loop() {
						k.run(v, d, ps, 0, 6)
					}
				})
			}
		}
	}
}

func FuzzVariants(f *testing.F) {
	for i := range kernels {
		f.Add(uint64(i), uint8(i), uint8(20+i), uint8(3))
	}
	f.Fuzz(func(t *testing.T, seed uint64, kernel, period, rows uint8) {
		k := kernels[int(kernel)%len(kernels)]
		rng := rand.New(rand.NewPCG(seed, 8))
		p := 1 + int(period)
		n := p * (int(rows) % 6)
		lens := make([]int, k.data+k.periods)
		for i := range lens {
			lens[i] = p
			if i < k.data {
				lens[i] = n
			}
		}
		var grid [4][]float32
		for i := range grid {
			grid[i] = make([]float32, p)
		}
		grids(rng, grid[0], grid[1], grid[2], grid[3])
		run := func(v *variant) func(b [][]float32) {
			return func(s [][]float32) {
				if k.grid {
					for i := range grid {
						copy(s[len(s)-4+i], grid[i])
					}
				}
				k.run(v, s[:k.data], s[k.data:], 0, 6)
			}
		}
		for _, v := range variants() {
			if v.supported() {
				testkit.SameKernel(t, rng, v.name+" "+k.name, lens, seed%2 == 0, run(&generic), run(v))
			}
		}
	})
}
