package tile

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/go-nncf/nncf/internal/cpu"
)

const guard = 20

var nan = float32(math.NaN())

// guarded returns n random floats, and the NaN words around them to check.
func guarded(rng *rand.Rand, n, offset int) (s, all []float32) {
	all = make([]float32, n+2*guard+offset)
	for i := range all {
		all[i] = nan
	}
	s = all[guard+offset:][:n:n]
	for i := range s {
		s[i] = float32(rng.NormFloat64())
	}
	return s, all
}

func outside(t *testing.T, name string, s, all []float32, offset int) {
	t.Helper()
	for i, v := range all {
		if (i < guard+offset || i >= guard+offset+len(s)) && v == v {
			t.Errorf("%s: wrote %v outside, at %d of %d", name, v, i-guard-offset, len(s))
		}
	}
}

func supported(t *testing.T) []*Set {
	var s []*Set
	for _, k := range Sets() {
		if k.Supported() {
			s = append(s, k)
		} else {
			t.Logf("impl=%s: not run, this machine lacks %v", k.Name, k.Features&^cpu.Available())
		}
	}
	return s
}

// each calls f for each tile of each set this machine can run.
func each(t *testing.T, f func(t *testing.T, s *Set, mr, nv int)) {
	for _, s := range supported(t) {
		for nv := 1; nv <= MaxNV; nv++ {
			for mr := 1; mr <= s.MaxMR(nv); mr++ {
				t.Run(fmt.Sprintf("impl=%s/%dx%d", s.Name, mr, nv*s.Lanes), func(t *testing.T) { f(t, s, mr, nv) })
			}
		}
	}
}

func ptr(s []float32, i int) unsafe.Pointer { return unsafe.Pointer(&s[i]) }

func TestDot(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	each(t, func(t *testing.T, s *Set, mr, nv int) {
		nr := nv * s.Lanes
		half := (mr + 1) / 2
		for trial := range 24 {
			run, nseg := 1+rng.IntN(11), 1+rng.IntN(3)
			tail := 1 + rng.IntN(s.Lanes)
			if trial%3 == 0 {
				tail = s.Lanes
			}
			width := nr - s.Lanes + tail
			xs, ys := run+rng.IntN(4), width+rng.IntN(3)
			gap := run + rng.IntN(5) // between segments
			split := rng.IntN(9)     // between the halves of the tile
			offset := rng.IntN(4)
			rowX := func(m int) int { return m*xs + m/half*split }
			rowY := func(m int) int { return m*ys + m/half*split }
			x, _ := guarded(rng, rowX(mr-1)+(nseg-1)*gap+run, offset)
			w, _ := guarded(rng, nseg*run*nr, offset)
			y, yall := guarded(rng, rowY(mr-1)+width, offset)
			bias, _ := guarded(rng, width, offset)
			seg := make([]int, nseg)
			for i := range seg {
				seg[i] = 4 * i * gap
			}
			a := DotArgs{
				X0: ptr(x, 0), X1: ptr(x, rowX(min(half, mr-1))), XS: 4 * xs, W: ptr(w, 0), Seg: unsafe.Pointer(&seg[0]), NSeg: nseg, Run: run,
				Y0: ptr(y, 0), Y1: ptr(y, rowY(min(half, mr-1))), YS: 4 * ys, Tail: tail, Lo: -1, Hi: 0.75,
			}
			mode := trial % 4 // zero, bias, accumulate, clip
			before := append([]float32(nil), y...)
			switch mode {
			case 1:
				a.C0, a.C1 = ptr(bias, 0), ptr(bias, 0)
			case 2:
				a.C0, a.C1, a.CS = a.Y0, a.Y1, a.YS
			case 3:
				a.Clip = 1
			}
			s.Dot(mr, nv, &a)
			written := make([]bool, len(y))
			for m := range mr {
				for v := range width {
					i := rowY(m) + v
					written[i] = true
					want, mag := 0.0, 0.0
					switch mode {
					case 1:
						want = float64(bias[v])
					case 2:
						want = float64(before[i])
					}
					mag = math.Abs(want)
					for sg := range nseg {
						for k := range run {
							p := float64(x[rowX(m)+sg*gap+k]) * float64(w[(sg*run+k)*nr+v])
							want += p
							mag += math.Abs(p)
						}
					}
					if mode == 3 {
						want = min(max(want, -1), 0.75)
					}
					if bound := float64(nseg*run+2) * 0x1p-24 * mag; !(math.Abs(float64(y[i])-want) <= bound) {
						t.Fatalf("mode %d, tail %d, run %d×%d: y[%d,%d] = %v, want %v ± %v", mode, tail, nseg, run, m, v, y[i], want, bound)
					}
				}
			}
			for i, w := range written {
				if !w && y[i] != before[i] {
					t.Fatalf("wrote element %d between the rows", i)
				}
			}
			outside(t, "y", y, yall, offset)
		}
	})
}

func TestReuse(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	for _, s := range supported(t) {
		for nv := 1; nv <= MaxNV; nv++ {
			for mr := 1; mr <= s.MaxReuse(nv); mr++ {
				t.Run(fmt.Sprintf("impl=%s/%dx%d", s.Name, mr, nv*s.Lanes), func(t *testing.T) {
					for trial := range 12 {
						testReuse(t, rng, s, mr, nv, trial)
					}
				})
			}
		}
	}
}

func testReuse(t *testing.T, rng *rand.Rand, s *Set, mr, nv, trial int) {
	nr := nv * s.Lanes
	half := (mr + 1) / 2
	run, nseg := 1+rng.IntN(7), 1+rng.IntN(3)
	tail := 1 + rng.IntN(s.Lanes)
	if trial%3 == 0 {
		tail = s.Lanes
	}
	width := nr - s.Lanes + tail
	xs, ys, gap := run+rng.IntN(3), width+rng.IntN(3), rng.IntN(7)
	x, _ := guarded(rng, (mr+1)*xs+(nseg-1)*gap+run, 1)
	w, _ := guarded(rng, nseg*run*3*nr, 2)
	y, yall := guarded(rng, (mr-1)*ys+width, 3)
	bias, _ := guarded(rng, width, 1)
	seg := make([]int, nseg)
	for i := range seg {
		seg[i] = 4 * i * gap
	}
	before := append([]float32(nil), y...)
	a := DotArgs{X0: ptr(x, 0), XS: 4 * xs, W: ptr(w, 0), Seg: unsafe.Pointer(&seg[0]), NSeg: nseg, Run: run,
		Y0: ptr(y, 0), Y1: ptr(y, min(half, mr-1)*ys), YS: 4 * ys, Tail: tail, Lo: -1, Hi: 0.75}
	mode := trial % 4
	switch mode {
	case 1:
		a.C0, a.C1 = ptr(bias, 0), ptr(bias, 0)
	case 2:
		a.C0, a.C1, a.CS = a.Y0, a.Y1, a.YS
	case 3:
		a.Clip = 1
	}
	s.Reuse(mr, nv, &a)
	for i := range y {
		m, v := i/ys, i%ys
		if v >= width {
			if y[i] != before[i] {
				t.Fatalf("wrote y[%d,%d], beyond width %d", m, v, width)
			}
			continue
		}
		want := 0.0
		switch mode {
		case 1:
			want = float64(bias[v])
		case 2:
			want = float64(before[i])
		}
		mag := math.Abs(want)
		for sg := range nseg {
			for k := range run {
				for j := range 3 {
					p := float64(x[(m+j)*xs+sg*gap+k]) * float64(w[((sg*run+k)*3+j)*nr+v])
					want += p
					mag += math.Abs(p)
				}
			}
		}
		if mode == 3 {
			want = min(max(want, -1), 0.75)
		}
		if bound := float64(3*nseg*run+2) * 0x1p-24 * mag; !(math.Abs(float64(y[i])-want) <= bound) {
			t.Fatalf("mode %d, tail %d, run %d×%d: y[%d,%d] = %v, want %v ± %v", mode, tail, nseg, run, m, v, y[i], want, bound)
		}
	}
	outside(t, "y", y, yall, 3)
}

func TestOuter(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	each(t, func(t *testing.T, s *Set, mr, nv int) {
		nr := nv * s.Lanes
		for trial := range 16 {
			p, r, b := 1+rng.IntN(6), 1+rng.IntN(3), 1+rng.IntN(3)
			tail := 1 + rng.IntN(s.Lanes)
			if trial%3 == 0 {
				tail = s.Lanes
			}
			width := nr - s.Lanes + tail
			xs, ys, ds := mr+rng.IntN(3), width+rng.IntN(3), width+rng.IntN(3)
			xrow, yrow, ximg, yimg := rng.IntN(3), rng.IntN(3), rng.IntN(5), rng.IntN(5)
			offset := rng.IntN(4)
			px := func(bi, ri, pi, s, row, img int) int { return (bi*r*p+ri*p+pi)*s + (bi*r+ri)*row + bi*img }
			x, _ := guarded(rng, px(b-1, r-1, p-1, xs, xrow, ximg)+mr, offset)
			y, _ := guarded(rng, px(b-1, r-1, p-1, ys, yrow, yimg)+width, offset)
			d, dall := guarded(rng, (mr-1)*ds+width, offset)
			before := append([]float32(nil), d...)
			zero := trial % 2
			if zero == 1 {
				for m := range mr {
					for v := range width {
						d[m*ds+v] = nan // must not be read
					}
				}
			}
			s.Outer(mr, nv, &OuterArgs{
				X: ptr(x, 0), XS: 4 * xs, XRow: 4 * xrow, XImg: 4 * ximg, Y: ptr(y, 0), YS: 4 * ys, YRow: 4 * yrow, YImg: 4 * yimg,
				P: p, R: r, B: b, D: ptr(d, 0), DS: 4 * ds, Tail: tail, Zero: zero,
			})
			for i := range d {
				m, v := i/ds, i%ds
				if v >= width {
					if d[i] != before[i] {
						t.Fatalf("wrote d[%d,%d], beyond width %d", m, v, width)
					}
					continue
				}
				want := 0.0
				if zero == 0 {
					want = float64(before[i])
				}
				mag := math.Abs(want)
				for bi := range b {
					for ri := range r {
						for pi := range p {
							q := float64(x[px(bi, ri, pi, xs, xrow, ximg)+m]) * float64(y[px(bi, ri, pi, ys, yrow, yimg)+v])
							want += q
							mag += math.Abs(q)
						}
					}
				}
				if bound := float64(b*r*p+2) * 0x1p-24 * mag; !(math.Abs(float64(d[i])-want) <= bound) {
					t.Fatalf("zero %d, tail %d, %dx%dx%d: d[%d,%d] = %v, want %v ± %v", zero, tail, b, r, p, m, v, d[i], want, bound)
				}
			}
			outside(t, "d", d, dall, offset)
		}
	})
}

// Infinities and NaN go through a sum and a clip as in plain Go.
func TestDot_special(t *testing.T) {
	inf := float32(math.Inf(1))
	each(t, func(t *testing.T, s *Set, mr, nv int) {
		nr := nv * s.Lanes
		for _, c := range []struct{ x, want float32 }{{nan, nan}, {inf, 2}, {-inf, -2}, {3, 2}, {0, 0}} {
			x := make([]float32, mr)
			for i := range x {
				x[i] = c.x
			}
			w, y := make([]float32, nr), make([]float32, mr*nr)
			for i := range w {
				w[i] = 1
			}
			seg := []int{0}
			half := (mr + 1) / 2
			s.Dot(mr, nv, &DotArgs{
				X0: ptr(x, 0), X1: ptr(x, min(half, mr-1)), XS: 4, W: ptr(w, 0), Seg: unsafe.Pointer(&seg[0]), NSeg: 1, Run: 1,
				Y0: ptr(y, 0), Y1: ptr(y, min(half, mr-1)*nr), YS: 4 * nr, Tail: s.Lanes, Clip: 1, Lo: -2, Hi: 2,
			})
			for i, v := range y {
				if v != c.want && !(v != v && c.want != c.want) {
					t.Fatalf("x = %v: y[%d] = %v, want %v", c.x, i, v, c.want)
				}
			}
		}
	})
}

func TestForLevel(t *testing.T) {
	if got := ForLevel(cpu.Generic).Name; got != "generic" {
		t.Errorf("ForLevel(generic) = %s", got)
	}
	restore := cpu.Hide(cpu.FMA)
	defer restore()
	if got := Best().Name; got != "generic" {
		t.Errorf("Best without FMA = %s, want generic", got)
	}
}

func TestTranspose(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	for _, s := range supported(t) {
		for rows := range 20 {
			for n := range 35 {
				ss, ds := n+rng.IntN(3), rows+rng.IntN(3)
				src, _ := guarded(rng, rows*ss, 1)
				dst, all := guarded(rng, n*ds, 1)
				before := append([]float32(nil), dst...)
				s.Transpose(dst, ds, src, ss, rows, n)
				for i, v := range dst {
					want := before[i]
					if k, r := i/ds, i%ds; r < rows {
						want = src[r*ss+k]
					}
					if v != want {
						t.Fatalf("impl=%s: %dx%d: dst[%d] = %v, want %v", s.Name, rows, n, i, v, want)
					}
				}
				outside(t, "dst", dst, all, 1)
			}
		}
	}
}

func TestCopy(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	for _, s := range supported(t) {
		for width := range 7*s.Lanes + 1 {
			n := rng.IntN(5)
			ss, ds := width+rng.IntN(3), width+rng.IntN(3)
			src, _ := guarded(rng, n*ss, 1)
			dst, all := guarded(rng, n*ds, 1)
			before := append([]float32(nil), dst...)
			s.Copy(dst, ds, src, ss, width, n)
			for i, v := range dst {
				want := before[i]
				if r, k := i/ds, i%ds; k < width {
					want = src[r*ss+k]
				}
				if v != want {
					t.Fatalf("impl=%s: %d rows of %d: dst[%d] = %v, want %v", s.Name, n, width, i, v, want)
				}
			}
			outside(t, "dst", dst, all, 1)
		}
	}
}
