package pooling

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
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

func TestVariants(t *testing.T) {
	eachVariant(t, func(t *testing.T, v *variant) {
		rng := rand.New(rand.NewPCG(8, 1))
		for c := range 4*16 + 2 {
			for range 3 {
				rows, cols := 1+rng.IntN(3), 1+rng.IntN(3)
				colStep := c + rng.IntN(3)
				rowStep := cols*colStep + rng.IntN(5)
				n := (rows-1)*rowStep + (cols-1)*colStep + c
				special := rng.IntN(2) == 0
				what := fmt.Sprintf("c=%d rows=%d cols=%d special=%v", c, rows, cols, special)
				testkit.SameKernel(t, rng, "max "+what, []int{c, n}, special,
					func(b [][]float32) { generic.max(b[0], b[1], rows, cols, rowStep, colStep) },
					func(b [][]float32) { v.max(b[0], b[1], rows, cols, rowStep, colStep) })
				testkit.SameKernel(t, rng, "maxScatter "+what, []int{n, c, n}, special,
					func(b [][]float32) { generic.maxScatter(b[0], b[1], b[2], rows, cols, rowStep, colStep) },
					func(b [][]float32) { v.maxScatter(b[0], b[1], b[2], rows, cols, rowStep, colStep) })
				testkit.SameKernel(t, rng, "average "+what, []int{c, n}, special,
					func(b [][]float32) { generic.average(b[0], b[1], rows, cols, rowStep, colStep, 0.3) },
					func(b [][]float32) { v.average(b[0], b[1], rows, cols, rowStep, colStep, 0.3) })
				want, got := make([]uint8, c+16), make([]uint8, c+16)
				testkit.SameKernel(t, rng, "maxIndex "+what, []int{c, n}, special,
					func(b [][]float32) { generic.maxIndex(b[0], want[:c], b[1], rows, cols, rowStep, colStep, 4, 7) },
					func(b [][]float32) { v.maxIndex(b[0], got[:c], b[1], rows, cols, rowStep, colStep, 4, 7) })
				if !slices.Equal(got, want) {
					t.Fatalf("%s: index %v, want %v", what, got, want)
				}
				for i := range want {
					want[i] = uint8(rng.IntN(3))
				}
				testkit.SameKernel(t, rng, "addWhere "+what, []int{c, c}, special,
					func(b [][]float32) { generic.addWhere(b[0], b[1], want[:c], 1) },
					func(b [][]float32) { v.addWhere(b[0], b[1], want[:c], 1) })
				testkit.SameKernel(t, rng, "addScaled "+what, []int{c, c}, special,
					func(b [][]float32) { generic.addScaled(b[0], b[1], 0.3) },
					func(b [][]float32) { v.addScaled(b[0], b[1], 0.3) })
			}
		}
	})
}

func windows() []Window {
	ws := []Window{
		{H: 8, W: 8, C: 16, KH: 2, KW: 2, SH: 2, SW: 2},
		{H: 9, W: 7, C: 5, KH: 3, KW: 3, SH: 2, SW: 2, PT: 1, PL: 1, PB: 1, PR: 1},
		{H: 6, W: 6, C: 3, KH: 3, KW: 2, SH: 1, SW: 1, PT: 1, PB: 1},
		{H: 11, W: 10, C: 20, KH: 3, KW: 3, SH: 2, SW: 1, DH: 2, DW: 3, PT: 2, PL: 1, PB: 2, PR: 1},
		{H: 5, W: 5, C: 33, KH: 5, KW: 5},
		{H: 10, W: 10, C: 4, KH: 3, KW: 3, SH: 3, SW: 3, CountPad: true, PT: 1, PL: 1, PB: 0, PR: 2},
	}
	for i := range ws {
		w := &ws[i]
		w.OH = Out(w.H, w.KH, w.SH, w.DH, w.PT, w.PB, i%2 == 1)
		w.OW = Out(w.W, w.KW, w.SW, w.DW, w.PL, w.PR, i%2 == 1)
	}
	return append(ws, Global(7, 7, 64))
}

// each calls f with the output, the input pixel (or −1) and the position of
// every tap of every window.
func (w Window) each(f func(out, in, tap int)) {
	w = w.withDefaults()
	for oy := range w.OH {
		for ox := range w.OW {
			for ky := range w.KH {
				for kx := range w.KW {
					iy, ix := oy*w.SH-w.PT+ky*w.DH, ox*w.SW-w.PL+kx*w.DW
					in := iy*w.W + ix
					if iy < 0 || iy >= w.H || ix < 0 || ix >= w.W {
						in = -1
						if iy >= w.H+w.PB || ix >= w.W+w.PR {
							in = -2 // beyond the padding too
						}
					}
					f(oy*w.OW+ox, in, ky*w.KW+kx)
				}
			}
		}
	}
}

func TestMax(t *testing.T) {
	eachVariant(t, func(t *testing.T, _ *variant) {
		for _, w := range windows() {
			t.Run(fmt.Sprintf("%+v", w), func(t *testing.T) {
				if err := w.Validate(); err != nil {
					t.Fatal(err)
				}
				rng := rand.New(rand.NewPCG(8, 2))
				x, g := make([]float32, w.H*w.W*w.C), make([]float32, w.OH*w.OW*w.C)
				for i := range x {
					x[i] = float32(rng.IntN(9)) // many ties
				}
				for i := range g {
					g[i] = float32(rng.IntN(100)) // sums are exact
				}
				wantY, wantIdx, wantDX := make([]float32, len(g)), make([]uint8, len(g)), make([]float32, len(x))
				argmax := make([]int, len(g))
				for i := range argmax {
					argmax[i] = -1
				}
				w.each(func(out, in, tap int) {
					for c := 0; in >= 0 && c < w.C; c++ {
						if o := out*w.C + c; argmax[o] < 0 || x[in*w.C+c] > wantY[o] {
							argmax[o], wantY[o], wantIdx[o] = in*w.C+c, x[in*w.C+c], uint8(tap)
						}
					}
				})
				for o, i := range argmax {
					wantDX[i] += g[o]
				}
				y, y2, idx, dx := make([]float32, len(g)), make([]float32, len(g)), make([]uint8, len(g)), make([]float32, len(x))
				for r := range w.OH {
					Max(y, nil, x, w, r, r+1)
				}
				Max(y2, idx, x, w, 0, w.OH)
				testkit.SameBits(t, "y", y, wantY)
				testkit.SameBits(t, "y with index", y2, wantY)
				if !slices.Equal(idx, wantIdx) {
					t.Fatalf("index %v, want %v", idx, wantIdx)
				}
				testkit.Fill(rng, dx, 1, false) // must be overwritten
				MaxGrad(dx, g, idx, w, 0, w.H/2)
				MaxGrad(dx, g, idx, w, w.H/2, w.H)
				testkit.SameBits(t, "dx", dx, wantDX)
				testkit.Fill(rng, dx, 1, false)
				MaxGradRecompute(dx, g, x, w)
				testkit.SameBits(t, "dx recomputed", dx, wantDX)
			})
		}
	})
}

func TestAverage(t *testing.T) {
	eachVariant(t, func(t *testing.T, _ *variant) {
		for _, w := range windows() {
			for _, countPad := range []bool{false, true} {
				w.CountPad = countPad
				t.Run(fmt.Sprintf("%+v", w), func(t *testing.T) {
					rng := rand.New(rand.NewPCG(8, 3))
					x, g := make([]float32, w.H*w.W*w.C), make([]float32, w.OH*w.OW*w.C)
					testkit.Fill(rng, x, 1, false)
					testkit.Fill(rng, g, 1, false)
					wantY, count, wantDX := make([]float64, len(g)), make([]float64, w.OH*w.OW), make([]float64, len(x))
					w.each(func(out, in, _ int) {
						if in >= 0 || in == -1 && countPad {
							count[out]++
						}
						for c := 0; in >= 0 && c < w.C; c++ {
							wantY[out*w.C+c] += float64(x[in*w.C+c])
						}
					})
					w.each(func(out, in, _ int) {
						for c := 0; in >= 0 && c < w.C; c++ {
							wantDX[in*w.C+c] += float64(g[out*w.C+c]) / count[out]
						}
					})
					y, dx := make([]float32, len(g)), make([]float32, len(x))
					Average(y, x, w, 0, 1)
					Average(y, x, w, 1, w.OH)
					AverageGrad(dx, g, w, 0, w.H)
					for i, v := range y {
						if want := wantY[i] / count[i/w.C]; math.Abs(float64(v)-want) > 1e-6 {
							t.Fatalf("y[%d] = %v, want %v", i, v, want)
						}
					}
					for i, v := range dx {
						if math.Abs(float64(v)-wantDX[i]) > 2e-6 {
							t.Fatalf("dx[%d] = %v, want %v", i, v, wantDX[i])
						}
					}
				})
			}
		}
	})
}

func TestMax_NaNWins(t *testing.T) {
	eachVariant(t, func(t *testing.T, _ *variant) {
		nan, inf := float32(math.NaN()), float32(math.Inf(1))
		w := Window{H: 1, W: 4, C: 1, OH: 1, OW: 2, KH: 1, KW: 2, SH: 1, SW: 2}
		x, y, idx := []float32{-inf, -inf, 3, nan}, make([]float32, 2), make([]uint8, 2)
		Max(y, idx, x, w, 0, 1)
		testkit.SameBits(t, "y", y, []float32{-inf, nan})
		if idx[0] != 0 || idx[1] != 1 {
			t.Errorf("index %v, want 0 1", idx)
		}
	})
}

func TestOut(t *testing.T) {
	for _, c := range []struct {
		n, k, s, d, begin, end int
		ceil                   bool
		want                   int
	}{
		{112, 3, 2, 1, 1, 1, false, 56},
		{112, 3, 2, 1, 0, 0, true, 56},
		{112, 3, 2, 1, 0, 0, false, 55},
		{4, 2, 2, 1, 1, 1, true, 3},
		{3, 2, 2, 1, 1, 0, true, 2}, // a third window would start in the padding
		{5, 3, 1, 2, 0, 0, false, 1},
		{2, 3, 1, 1, 0, 0, false, 0},
	} {
		if got := Out(c.n, c.k, c.s, c.d, c.begin, c.end, c.ceil); got != c.want {
			t.Errorf("Out(%d, %d, %d, %d, %d, %d, %v) = %d, want %d", c.n, c.k, c.s, c.d, c.begin, c.end, c.ceil, got, c.want)
		}
	}
}

func TestValidate(t *testing.T) {
	for name, w := range map[string]Window{
		"empty":             {},
		"negative stride":   {H: 4, W: 4, C: 1, OH: 1, OW: 1, KH: 2, KW: 2, SH: -1},
		"negative padding":  {H: 4, W: 4, C: 1, OH: 1, OW: 1, KH: 2, KW: 2, PT: -1},
		"window in padding": {H: 4, W: 4, C: 1, OH: 2, OW: 1, KH: 2, KW: 4, SH: 2, PT: 3},
		"beyond the image":  {H: 4, W: 4, C: 1, OH: 1, OW: 5, KH: 4, KW: 1},
	} {
		if w.Validate() == nil {
			t.Errorf("%s: no error for %+v", name, w)
		}
	}
}

func BenchmarkPooling(b *testing.B) {
	rng := rand.New(rand.NewPCG(8, 4))
	max3 := Window{H: 112, W: 112, C: 64, OH: 56, OW: 56, KH: 3, KW: 3, SH: 2, SW: 2, PT: 1, PL: 1, PB: 1, PR: 1}
	avg2 := Window{H: 32, W: 32, C: 128, OH: 16, OW: 16, KH: 2, KW: 2, SH: 2, SW: 2}
	global := Global(7, 7, 1280)
	other := make([]float32, max3.H*max3.W*max3.C)
	for _, c := range []struct {
		name string
		w    Window
		run  func(w Window, x, y []float32, idx []uint8)
	}{
		{"Max", max3, func(w Window, x, y []float32, idx []uint8) { Max(y, nil, x, w, 0, w.OH) }},
		{"MaxIndex", max3, func(w Window, x, y []float32, idx []uint8) { Max(y, idx, x, w, 0, w.OH) }},
		{"MaxGrad", max3, func(w Window, x, y []float32, idx []uint8) { MaxGrad(x, y, idx, w, 0, w.H) }},
		{"MaxGradRecompute", max3, func(w Window, x, y []float32, idx []uint8) { MaxGradRecompute(other, y, x, w) }},
		{"Average", avg2, func(w Window, x, y []float32, idx []uint8) { Average(y, x, w, 0, w.OH) }},
		{"AverageGrad", avg2, func(w Window, x, y []float32, idx []uint8) { AverageGrad(x, y, w, 0, w.H) }},
		{"Global", global, func(w Window, x, y []float32, idx []uint8) { Average(y, x, w, 0, w.OH) }},
	} {
		x, y, idx := make([]float32, c.w.H*c.w.W*c.w.C), make([]float32, c.w.OH*c.w.OW*c.w.C), make([]uint8, c.w.OH*c.w.OW*c.w.C)
		testkit.Fill(rng, x, 1, false)
		for _, v := range variants() {
			if !v.supported() {
				continue
			}
			b.Run(fmt.Sprintf("%s/impl=%s", c.name, v.name), func(b *testing.B) {
				defer func(old *variant) { active = old }(active)
				active = v
				b.SetBytes(int64(4 * (len(x) + len(y))))
				for b.Loop() {
					c.run(c.w, x, y, idx)
				}
			})
		}
	}
}

func FuzzWindow(f *testing.F) {
	f.Add(uint64(1), uint8(9), uint8(7), uint8(17), uint8(3), uint8(2), uint8(2), uint8(1), uint8(1))
	f.Add(uint64(2), uint8(5), uint8(5), uint8(64), uint8(5), uint8(5), uint8(1), uint8(0), uint8(2))
	f.Fuzz(func(t *testing.T, seed uint64, h, wd, c, kh, kw, stride, pad, dilation uint8) {
		w := Window{H: 1 + int(h%12), W: 1 + int(wd%12), C: 1 + int(c%70), KH: 1 + int(kh%5), KW: 1 + int(kw%5),
			SH: 1 + int(stride%3), SW: 1 + int(stride/3%3), DH: 1 + int(dilation%3), DW: 1 + int(dilation/3%3),
			PT: int(pad % 3), PL: int(pad / 3 % 3), PB: int(pad / 9 % 3), PR: int(pad / 27 % 3), CountPad: seed%2 == 0}
		w.OH = Out(w.H, w.KH, w.SH, w.DH, w.PT, w.PB, seed%3 == 0)
		w.OW = Out(w.W, w.KW, w.SW, w.DW, w.PL, w.PR, seed%3 == 0)
		if w.Validate() != nil {
			t.Skip("refused")
		}
		defer func(old *variant) { active = old }(active)
		rng := rand.New(rand.NewPCG(seed, 8))
		xn, yn := w.H*w.W*w.C, w.OH*w.OW*w.C
		idx := make([]uint8, yn)
		run := func(v *variant) func(b [][]float32) {
			return func(b [][]float32) {
				active = v
				Max(b[2], idx, b[0], w, 0, w.OH)
				MaxGrad(b[3], b[1], idx, w, 0, w.H)
				MaxGradRecompute(b[4], b[1], b[0], w)
				Average(b[5], b[0], w, 0, w.OH)
				AverageGrad(b[6], b[1], w, 0, w.H)
			}
		}
		for _, v := range variants() {
			if v.supported() {
				testkit.SameKernel(t, rng, fmt.Sprintf("%s %+v", v.name, w), []int{xn, yn, yn, xn, xn, yn, xn}, seed%2 == 0, run(&generic), run(v))
			}
		}
	})
}

// boxes are windows of volumes: those of images, and some along depth.
func boxes() (list []Volume) {
	depths := []Window{{H: 4, KH: 2, SH: 2}, {H: 5, KH: 3, SH: 2, PT: 1, PB: 1}, {H: 6, KH: 2, SH: 1, DH: 3}, {H: 3, KH: 3, PT: 1, CountPad: true}}
	for i, w := range windows() {
		d := depths[i%len(depths)]
		d.CountPad = w.CountPad
		d.OH = Out(d.H, d.KH, max(1, d.SH), d.DH, d.PT, d.PB, false)
		list = append(list, NewVolume(w, d), Flat(w))
	}
	return list
}

// TestVolume compares with the definition: each output of a box reads its planes.
func TestVolume(t *testing.T) {
	eachVariant(t, func(t *testing.T, _ *variant) {
		for _, v := range boxes() {
			t.Run(fmt.Sprintf("%+v", v), func(t *testing.T) {
				if err := v.Validate(); err != nil {
					t.Fatal(err)
				}
				w, d, rng := v.Planes, v.Depth.withDefaults(), rand.New(rand.NewPCG(8, 3))
				in, out := w.H*w.W, w.OH*w.OW
				x, g := make([]float32, d.H*in*w.C), make([]float32, d.OH*out*w.C)
				for i := range x {
					x[i] = float32(rng.IntN(9)) // many ties
				}
				for i := range g {
					g[i] = float32(rng.IntN(100)) // sums are exact
				}
				most, mean := slices.Repeat([]float32{-1}, len(g)), make([]float32, len(g))
				toMost, toMean := make([]float32, len(x)), make([]float32, len(x))
				for od := range d.OH {
					for c := range w.C {
						first, count := make([]int, out), make([]int, out)
						pass := func(f func(o, i int)) {
							for kd := range d.KH {
								id := od*d.SH - d.PT + kd*d.DH
								w.each(func(o, i, _ int) {
									switch {
									case i == -2 || id >= d.H+d.PB: // beyond the padding
									case i == -1 || id < 0 || id >= d.H:
										f((od*out+o)*w.C+c, -1)
									default:
										f((od*out+o)*w.C+c, (id*in+i)*w.C+c)
									}
								})
							}
						}
						pass(func(o, i int) {
							k := o/w.C - od*out
							if i >= 0 || w.CountPad {
								count[k]++
							}
							if i >= 0 {
								mean[o] += x[i]
								if x[i] > most[o] {
									most[o], first[k] = x[i], i
								}
							}
						})
						for k := range out {
							o := (od*out+k)*w.C + c
							mean[o] /= float32(count[k])
							toMost[first[k]] += g[o]
						}
						pass(func(o, i int) {
							if i >= 0 {
								toMean[i] += g[o] / float32(count[o/w.C-od*out])
							}
						})
					}
				}
				near := func(what string, got, want []float32) {
					t.Helper()
					for i := range want {
						if math.Abs(float64(got[i]-want[i])) > 1e-5*max(1, math.Abs(float64(want[i]))) {
							t.Fatalf("%s: got %g at %d, want %g", what, got[i], i, want[i])
						}
					}
				}
				y, dx, at, scratch := make([]float32, len(g)), make([]float32, len(x)), make([]uint8, v.Winners()), make([]float32, 2*v.Scratch())
				v.Max(y, at, x, scratch)
				if !slices.Equal(y, most) {
					t.Errorf("maximum: got %v, want %v", y, most)
				}
				v.MaxGrad(dx, g, at, scratch)
				if !slices.Equal(dx, toMost) {
					t.Errorf("gradient of the maximum: got %v, want %v", dx, toMost)
				}
				v.MaxGradRecompute(dx, g, x, scratch)
				if !slices.Equal(dx, toMost) {
					t.Errorf("gradient of the maximum, winners looked for again: got %v, want %v", dx, toMost)
				}
				v.Average(y, x, scratch)
				near("average", y, mean)
				v.AverageGrad(dx, g, scratch)
				near("gradient of the average", dx, toMean)
			})
		}
	})
}
