package depthwise

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const guard = 19

var nan = float32(math.NaN())

type guarded struct{ all, s []float32 }

func newGuarded(n int) guarded {
	all := make([]float32, n+2*guard)
	for i := range all {
		all[i] = nan
	}
	return guarded{all, all[guard : guard+n : guard+n]}
}

func random(rng *rand.Rand, n int) guarded {
	g := newGuarded(n)
	for i := range g.s {
		g.s[i] = float32(rng.NormFloat64())
	}
	return g
}

func (g guarded) check(t *testing.T, name string) {
	t.Helper()
	for i, v := range g.all {
		if (i < guard || i >= guard+len(g.s)) && v == v {
			t.Errorf("%s: wrote %v outside, at %d of %d", name, v, i-guard, len(g.s))
		}
	}
}

// sum is a float64 sum with what its error bound in float32 follows from:
// n·ε·Σ|xᵢyᵢ| for any order of summation, ε = 2⁻²⁴.
type sum struct {
	v, mag float64
	n      int
}

func (s *sum) add(x, y float32) {
	p := float64(x) * float64(y)
	s.v += p
	s.mag += math.Abs(p)
	s.n++
}

func (s *sum) bound() float64 { return float64(s.n+2) * 0x1p-24 * s.mag }

func compare(t *testing.T, name string, got []float32, want []sum) {
	t.Helper()
	bad := 0
	for i, v := range got {
		if d := math.Abs(float64(v) - want[i].v); !(d <= want[i].bound()) {
			if bad++; bad <= 3 {
				t.Errorf("%s[%d] = %v, want %v ± %v", name, i, v, want[i].v, want[i].bound())
			}
		}
	}
	if bad > 3 {
		t.Errorf("%s: %d of %d wrong", name, bad, len(got))
	}
}

func reference(g Geometry, x, w, dy []float32) (y, dx, dw, db []sum) {
	g = g.normal()
	oh, ow := g.OutH(), g.OutW()
	y, dx, dw, db = make([]sum, g.N*oh*ow*g.C), make([]sum, g.N*g.H*g.W*g.C), make([]sum, g.C*g.KH*g.KW), make([]sum, g.C)
	for n := range g.N {
		for q := range oh {
			for p := range ow {
				for c := range g.C {
					yi := ((n*oh+q)*ow+p)*g.C + c
					db[c].add(dy[yi], 1)
					for kh := range g.KH {
						for kw := range g.KW {
							h, v := q*g.StrideH+kh*g.DilationH-g.PadT, p*g.StrideW+kw*g.DilationW-g.PadL
							if h < 0 || h >= g.H || v < 0 || v >= g.W {
								continue
							}
							xi, wi := ((n*g.H+h)*g.W+v)*g.C+c, (c*g.KH+kh)*g.KW+kw
							y[yi].add(x[xi], w[wi])
							dx[xi].add(dy[yi], w[wi])
							dw[wi].add(x[xi], dy[yi])
						}
					}
				}
			}
		}
	}
	return y, dx, dw, db
}

func supported() (s []*Set) {
	for _, k := range Sets() {
		if k.Supported() {
			s = append(s, k)
		}
	}
	return s
}

var geometries = []struct {
	name string
	g    Geometry
}{
	{"3x3", Geometry{N: 2, H: 9, W: 14, C: 24, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1}},
	{"3x3 many channels", Geometry{N: 1, H: 5, W: 6, C: 100, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1}},
	{"3x3 wide", Geometry{N: 1, H: 4, W: 150, C: 5, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1}},
	{"3x3 stride 2", Geometry{N: 2, H: 13, W: 20, C: 17, KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadT: 1, PadL: 1, PadB: 1, PadR: 1}},
	{"stride 2 asymmetric", Geometry{N: 1, H: 12, W: 12, C: 40, KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadB: 1, PadR: 1}},
	{"5x5", Geometry{N: 1, H: 11, W: 15, C: 33, KH: 5, KW: 5, PadT: 2, PadL: 2, PadB: 2, PadR: 2}},
	{"5x5 stride 2", Geometry{N: 2, H: 12, W: 23, C: 9, KH: 5, KW: 5, StrideH: 2, StrideW: 2, PadT: 2, PadL: 2, PadB: 2, PadR: 2}},
	{"7x7", Geometry{N: 1, H: 9, W: 8, C: 8, KH: 7, KW: 7, PadT: 3, PadL: 3, PadB: 3, PadR: 3}},
	{"2x4 stride 3", Geometry{N: 1, H: 9, W: 13, C: 12, KH: 2, KW: 4, StrideH: 3, StrideW: 3, PadT: 1, PadL: 2}},
	{"3x3 dilation 2", Geometry{N: 1, H: 9, W: 11, C: 10, KH: 3, KW: 3, DilationH: 2, DilationW: 2, PadT: 2, PadL: 2, PadB: 2, PadR: 2}},
	{"dilation of rows, stride", Geometry{N: 1, H: 11, W: 20, C: 7, KH: 3, KW: 3, StrideH: 2, StrideW: 2, DilationH: 3, PadT: 3, PadB: 1, PadL: 1, PadR: 1}},
	{"wide padding", Geometry{N: 1, H: 2, W: 3, C: 4, KH: 3, KW: 3, PadT: 4, PadL: 3, PadB: 2, PadR: 5}},
	{"cropping", Geometry{N: 1, H: 8, W: 9, C: 3, KH: 3, KW: 3, PadT: -1, PadL: -2, PadB: 1, PadR: -1}},
	{"1x1", Geometry{N: 2, H: 3, W: 5, C: 9, KH: 1, KW: 1}},
	{"1x1 stride 2", Geometry{N: 1, H: 5, W: 5, C: 9, KH: 1, KW: 1, StrideH: 2, StrideW: 2}},
	{"one dimension", Geometry{N: 1, H: 1, W: 70, C: 31, KH: 1, KW: 5, PadL: 4}},
	{"image below kernel", Geometry{N: 5, H: 2, W: 1, C: 16, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1}},
	{"no images", Geometry{N: 0, H: 4, W: 4, C: 3, KH: 3, KW: 3}},
}

type work struct {
	p                             *Plan
	s                             Sizes
	x, w, dy, bias                guarded
	wp, wpt, y, dx, parts, dw, db guarded
	scratch                       guarded
}

func newWork(t *testing.T, g Geometry, set *Set) *work {
	t.Helper()
	p, err := New(g, Options{Kernels: set, BiasGrad: true})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 2))
	g = p.Geometry()
	k := &work{p: p, s: p.Sizes()}
	ny := g.N * g.OutH() * g.OutW() * g.C
	k.x, k.w, k.dy, k.bias = random(rng, g.N*g.H*g.W*g.C), random(rng, g.C*g.KH*g.KW), random(rng, ny), random(rng, g.C)
	k.wp, k.wpt = newGuarded(k.s.PackedForward), newGuarded(k.s.PackedBackward)
	k.y, k.dx, k.parts = newGuarded(ny), newGuarded(len(k.x.s)), newGuarded(k.s.Partials)
	k.dw, k.db = newGuarded(len(k.w.s)), newGuarded(g.C)
	k.scratch = newGuarded(k.s.BackwardWeightsScratch)
	return k
}

func (k *work) run(order func(int) []int, f Fusion) {
	k.p.PackForward(k.wp.s, k.w.s)
	k.p.PackBackward(k.wpt.s, k.w.s)
	for _, i := range order(k.s.ForwardTasks) {
		k.p.Forward(i, k.x.s, k.wp.s, f, k.y.s)
	}
	for _, i := range order(k.s.BackwardDataTasks) {
		k.p.BackwardData(i, k.dy.s, k.wpt.s, Fusion{}, k.dx.s)
	}
	for _, i := range order(k.s.BackwardWeightsTasks) {
		k.p.BackwardWeights(i, k.scratch.s, k.x.s, k.dy.s, k.parts.s)
	}
	k.p.ReduceWeights(k.parts.s, k.dw.s, k.db.s)
}

func ascending(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func TestPlan(t *testing.T) {
	for _, set := range supported() {
		for _, c := range geometries {
			t.Run(fmt.Sprintf("impl=%s/%s", set.Name, c.name), func(t *testing.T) {
				k := newWork(t, c.g, set)
				k.run(ascending, Fusion{})
				y, dx, dw, db := reference(c.g, k.x.s, k.w.s, k.dy.s)
				compare(t, "y", k.y.s, y)
				compare(t, "dx", k.dx.s, dx)
				compare(t, "dw", k.dw.s, dw)
				compare(t, "db", k.db.s, db)
				for _, b := range []struct {
					name string
					g    guarded
				}{{"packed", k.wp}, {"packed backward", k.wpt}, {"y", k.y}, {"dx", k.dx}, {"partials", k.parts}, {"dw", k.dw}, {"db", k.db}, {"scratch", k.scratch}} {
					b.g.check(t, b.name)
				}
			})
		}
	}
}

// Any order of the tasks gives the same bits, and each task writes its region.
func TestPlan_tasks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	for _, set := range supported() {
		for _, c := range geometries {
			t.Run(fmt.Sprintf("impl=%s/%s", set.Name, c.name), func(t *testing.T) {
				a, b := newWork(t, c.g, set), newWork(t, c.g, set)
				a.run(ascending, Fusion{})
				b.run(rng.Perm, Fusion{})
				for _, r := range []struct {
					name string
					a, b []float32
				}{{"y", a.y.s, b.y.s}, {"dx", a.dx.s, b.dx.s}, {"dw", a.dw.s, b.dw.s}, {"db", a.db.s, b.db.s}} {
					if !slices.Equal(r.a, r.b) {
						t.Errorf("%s differs between orders of the tasks", r.name)
					}
				}
				check := func(what string, tasks int, out []float32, run func(int), region func(int) Region) {
					seen := 0
					for i := range tasks {
						for j := range out {
							out[j] = nan
						}
						run(i)
						r := region(i)
						for j, v := range out {
							if in := j/c.g.C >= r.P0 && j/c.g.C < r.P1; (v == v) != in {
								t.Fatalf("%s: task %d: wrote[%d] = %v, region %+v", what, i, j, v == v, r)
							}
						}
						seen += (r.P1 - r.P0) * c.g.C
					}
					if seen != len(out) {
						t.Errorf("%s: regions cover %d of %d", what, seen, len(out))
					}
				}
				check("forward", a.s.ForwardTasks, a.y.s, func(i int) { a.p.Forward(i, a.x.s, a.wp.s, Fusion{}, a.y.s) }, a.p.ForwardRegion)
				check("backward", a.s.BackwardDataTasks, a.dx.s, func(i int) { a.p.BackwardData(i, a.dy.s, a.wpt.s, Fusion{}, a.dx.s) }, a.p.BackwardDataRegion)
			})
		}
	}
}

func TestFusion(t *testing.T) {
	for _, set := range supported() {
		for _, c := range geometries {
			t.Run(fmt.Sprintf("impl=%s/%s", set.Name, c.name), func(t *testing.T) {
				k := newWork(t, c.g, set)
				k.run(ascending, Fusion{Bias: k.bias.s})
				y, dx, _, _ := reference(c.g, k.x.s, k.w.s, k.dy.s)
				for i := range y {
					y[i].add(k.bias.s[i%c.g.C], 1)
				}
				compare(t, "y + bias", k.y.s, y)
				biased := slices.Clone(k.y.s)
				k.run(ascending, Fusion{Bias: k.bias.s, Clip: true, Lo: 0, Hi: 2})
				for i, v := range biased {
					if want := min(max(v, 0), 2); k.y.s[i] != want {
						t.Fatalf("clip: y[%d] = %v, want %v", i, k.y.s[i], want)
					}
				}
				for i := range k.dx.s {
					k.dx.s[i] = float32(i%7) - 3
					dx[i].add(k.dx.s[i], 1)
				}
				for i := range k.s.BackwardDataTasks {
					k.p.BackwardData(i, k.dy.s, k.wpt.s, Fusion{Accumulate: true}, k.dx.s)
				}
				compare(t, "dx accumulated", k.dx.s, dx)
			})
		}
	}
}

func TestPlan_allocations(t *testing.T) {
	for _, set := range supported() {
		k := newWork(t, geometries[0].g, set)
		if n := testing.AllocsPerRun(2, func() { k.run(func(n int) []int { return nil }, Fusion{}) }); n != 0 {
			t.Errorf("impl=%s: got %v allocations without tasks, want 0", set.Name, n)
		}
		if n := testing.AllocsPerRun(2, func() {
			k.p.Forward(0, k.x.s, k.wp.s, Fusion{Bias: k.bias.s}, k.y.s)
			k.p.BackwardData(0, k.dy.s, k.wpt.s, Fusion{}, k.dx.s)
			k.p.BackwardWeights(0, k.scratch.s, k.x.s, k.dy.s, k.parts.s)
		}); n != 0 {
			t.Errorf("impl=%s: got %v allocations, want 0", set.Name, n)
		}
	}
}

func TestGeometry_Validate(t *testing.T) {
	_, err := New(Geometry{N: 1, H: 2, W: 2, C: 0, KH: 3, KW: -1}, Options{})
	if err == nil || !strings.Contains(err.Error(), "got C 0") || !strings.Contains(err.Error(), "got KW -1") {
		t.Errorf("New: got %v, want errors about C and KW", err)
	}
	if _, err := New(Geometry{N: 1, H: 2, W: 2, C: 1, KH: 3, KW: 1}, Options{}); err == nil || !strings.Contains(err.Error(), "does not fit") {
		t.Errorf("New: got %v, want an error about the kernel", err)
	}
}
