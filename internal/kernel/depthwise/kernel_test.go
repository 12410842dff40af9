package depthwise

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/go-nncf/nncf/internal/cpu"
)

func ptr(s []float32, i int) unsafe.Pointer { return unsafe.Pointer(&s[i]) }

// near compares a kernel with its plain Go twin: they differ by the roundings
// of at most terms products, of magnitude at most mag each.
func near(t *testing.T, what string, got, want []float32, terms int, mag float64) {
	t.Helper()
	for i := range got {
		if bound := float64(terms+2) * 0x1p-23 * mag * float64(terms+1); !(math.Abs(float64(got[i]-want[i])) <= bound) {
			t.Fatalf("%s: [%d] = %v, want %v ± %v", what, i, got[i], want[i], bound)
		}
	}
}

func eachSet(t *testing.T, f func(t *testing.T, s *Set)) {
	for _, s := range Sets() {
		t.Run("impl="+s.Name, func(t *testing.T) {
			if !s.Supported() {
				t.Skipf("this machine lacks %v", s.Features&^cpu.Available())
			}
			f(t, s)
		})
	}
}

// unit fills random values in [-1, 1].
func unit(rng *rand.Rand, n int) guarded {
	g := newGuarded(n)
	for i := range g.s {
		g.s[i] = 2*rng.Float32() - 1
	}
	return g
}

func TestRow(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 1))
	eachSet(t, func(t *testing.T, s *Set) {
		for _, sh := range rowShapes {
			step, kw := sh[0], sh[1]
			for tw := 1; tw <= maxTW; tw++ {
				for vecs := range 3 {
					for _, tail := range []int{0, 1, s.Lanes - 1} {
						c := vecs*s.Lanes + tail
						if c == 0 {
							continue
						}
						rows, extra := 1+rng.IntN(4), rng.IntN(3)
						xs, ys := c+extra, c+rng.IntN(3)
						width := (tw-1)*step + kw
						xrow := width*xs + rng.IntN(5)
						padded := vecs + min(tail, 1)
						x, w := unit(rng, (rows-1)*xrow+(width-1)*xs+c), unit(rng, padded*rows*kw*s.Lanes)
						y, bias := unit(rng, (tw-1)*ys+c), unit(rng, c)
						for mode := range 4 {
							a := RowArgs{X: ptr(x.s, 0), XS: 4 * xs, XRow: 4 * xrow, Rows: rows, W: ptr(w.s, 0), WVec: 4 * rows * kw * s.Lanes,
								YS: 4 * ys, Vecs: vecs, Tail: tail, Lo: -0.5, Hi: 0.25}
							want := slices.Clone(y.s)
							run := func(out []float32, f func(*RowArgs)) {
								b := a
								b.Y = ptr(out, 0)
								switch mode {
								case 1:
									b.C = ptr(bias.s, 0)
								case 2:
									b.C, b.CS = b.Y, b.YS
								case 3:
									b.Clip = 1
								}
								f(&b)
							}
							run(want, func(a *RowArgs) { rowGeneric(a, kw, step, tw, s.Lanes) })
							run(y.s, s.row[step][kw][tw])
							near(t, fmt.Sprintf("k%d s%d t%d, %d channels, %d rows, mode %d", kw, step, tw, c, rows, mode), y.s, want, rows*kw+1, 1)
							y.check(t, "y")
						}
					}
				}
			}
		}
	})
}

func TestPixel(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 1))
	eachSet(t, func(t *testing.T, s *Set) {
		for vecs := range 10 {
			for tail := range s.Lanes {
				c := vecs*s.Lanes + tail
				if c == 0 {
					continue
				}
				rows, cols := 1+rng.IntN(4), 1+rng.IntN(4)
				kw := cols + rng.IntN(2)
				xcol := c + rng.IntN(3)
				xrow := cols*xcol + rng.IntN(3)
				padded := vecs + min(tail, 1)
				x, w := unit(rng, (rows-1)*xrow+(cols-1)*xcol+c), unit(rng, padded*rows*kw*s.Lanes)
				y, bias := unit(rng, c), unit(rng, c)
				for mode := range 4 {
					a := PixelArgs{X: ptr(x.s, 0), XRow: 4 * xrow, XCol: 4 * xcol, Rows: rows, Cols: cols, W: ptr(w.s, 0), WRow: 4 * kw * s.Lanes, WVec: 4 * rows * kw * s.Lanes,
						Vecs: vecs, Tail: tail, Lo: -0.5, Hi: 0.25}
					want := slices.Clone(y.s)
					run := func(out []float32, f func(*PixelArgs)) {
						b := a
						b.Y = ptr(out, 0)
						switch mode {
						case 1:
							b.C = ptr(bias.s, 0)
						case 2:
							b.C = b.Y
						case 3:
							b.Clip = 1
						}
						f(&b)
					}
					run(want, func(a *PixelArgs) { pixelGeneric(a, s.Lanes) })
					run(y.s, s.pixel)
					near(t, fmt.Sprintf("%dx%d taps, %d channels, mode %d", rows, cols, c, mode), y.s, want, rows*cols+1, 1)
					y.check(t, "y")
				}
			}
		}
	})
}

func TestGrad(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 1))
	eachSet(t, func(t *testing.T, s *Set) {
		for _, k := range []struct {
			kh, kw, nv int
			f          func(*GradArgs)
		}{{3, 3, 1, s.grad3}, {1, 1, 1, s.grad[1]}, {1, 3, 1, s.grad[3]}, {1, 5, 1, s.grad[5]}, {1, 1, gradNV, s.gradN}} {
			for tail := 1; tail <= s.Lanes; tail++ {
				c := (k.nv-1)*s.Lanes + tail
				p, r, step := 1+rng.IntN(5), 1+rng.IntN(3), 1+rng.IntN(2)
				pixel := c + rng.IntN(3)
				line := ((p-1)*step + k.kw) * pixel
				dyPixel := c + rng.IntN(3)
				x, y := unit(rng, (r+k.kh-2)*line+((p-1)*step+k.kw-1)*pixel+c), unit(rng, (r*p-1)*dyPixel+c)
				d := unit(rng, k.kh*k.kw*k.nv*s.Lanes)
				want := slices.Clone(d.s)
				run := func(out []float32, f func(*GradArgs)) {
					f(&GradArgs{X: ptr(x.s, 0), XS: 4 * step * pixel, XRow: 4 * (line - p*step*pixel), TapRow: 4 * line, TapX: 4 * pixel,
						Y: ptr(y.s, 0), YS: 4 * dyPixel, P: p, R: r, D: ptr(out, 0), DVec: 4 * k.kh * k.kw * s.Lanes, Tail: tail})
				}
				run(want, func(a *GradArgs) { gradGeneric(a, k.kh, k.kw, k.nv, s.Lanes) })
				run(d.s, k.f)
				near(t, fmt.Sprintf("%dx%d taps, %d vectors, tail %d, %dx%d pixels", k.kh, k.kw, k.nv, tail, r, p), d.s, want, r*p+1, 1)
				d.check(t, "d")
			}
		}
	})
}
