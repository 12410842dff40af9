package gemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/internal/kernel/tile"
	"github.com/go-nncf/nncf/internal/kernel/tile/tiletest"
)

const guard = 19

var nan = float32(math.NaN())

// guarded returns n random floats between NaN words.
func guarded(rng *rand.Rand, n int) (s, all []float32) {
	all = make([]float32, n+2*guard)
	for i := range all {
		all[i] = nan
	}
	s = all[guard:][:n:n]
	for i := range s {
		s[i] = float32(rng.NormFloat64())
	}
	return s, all
}

func outside(t *testing.T, name string, n int, all []float32) {
	t.Helper()
	for i, v := range all {
		if (i < guard || i >= guard+n) && v == v {
			t.Errorf("%s: wrote %v outside, at %d of %d", name, v, i-guard, n)
		}
	}
}

func sets() (s []*tile.Set) {
	for _, k := range tile.Sets() {
		if k.Supported() {
			s = append(s, k)
		}
	}
	return s
}

func TestRun(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	shapes := []Shape{
		{M: 1, N: 1, K: 1}, {M: 0, N: 3, K: 2}, {M: 3, N: 0, K: 2}, {M: 3, N: 2, K: 0}, {M: 7, N: 10, K: 64}, {M: 128, N: 10, K: 64},
		{M: 1, N: 1000, K: 77}, {M: 7, N: 33, K: 1030}, {M: 64, N: 64, K: 16}, {M: 50, N: 17, K: 513}, {M: 150, N: 40, K: 100}, {M: 9, N: 100, K: 600},
	}
	for i := range 16 {
		shapes = append(shapes, Shape{M: 1 + rng.IntN(49), N: i * 3, K: 1 + rng.IntN(40)})
	}
	for _, set := range sets() {
		for _, s := range shapes {
			for flags := range 4 {
				s.TransA, s.TransB = flags&1 != 0, flags&2 != 0
				t.Run(fmt.Sprintf("impl=%s/%dx%dx%d,%t,%t", set.Name, s.M, s.N, s.K, s.TransA, s.TransB), func(t *testing.T) {
					for _, f := range []Fusion{{}, {Bias: []float32{}}, {Accumulate: true}, {Clip: true, Lo: -1, Hi: 1}} {
						testRun(t, rng, set, s, f)
					}
				})
			}
		}
	}
}

func testRun(t *testing.T, rng *rand.Rand, set *tile.Set, s Shape, f Fusion) {
	p, err := New(s, Options{Kernels: set})
	if err != nil {
		t.Fatal(err)
	}
	z := p.Sizes()
	a, _ := guarded(rng, s.M*s.K)
	b, _ := guarded(rng, s.K*s.N)
	c, call := guarded(rng, s.M*s.N)
	pb, pball := guarded(rng, z.PackedB)
	if f.Bias != nil {
		f.Bias, _ = guarded(rng, s.N)
	}
	before := append([]float32(nil), c...)
	for _, i := range rng.Perm(z.PackBTasks) {
		p.PackB(i, pb, b)
	}
	covered := make([]int, len(c))
	for _, i := range rng.Perm(z.Tasks) {
		p.Run(i, a, pb, f, c)
		r := p.Region(i)
		for m := r.M0; m < r.M1; m++ {
			for n := r.N0; n < r.N1; n++ {
				covered[m*s.N+n]++
			}
		}
	}
	for m := range s.M {
		for n := range s.N {
			want := 0.0
			if f.Accumulate {
				want = float64(before[m*s.N+n])
			}
			if f.Bias != nil {
				want = float64(f.Bias[n])
			}
			mag := math.Abs(want)
			for k := range s.K {
				ai, bi := m*s.K+k, k*s.N+n
				if s.TransA {
					ai = k*s.M + m
				}
				if s.TransB {
					bi = n*s.K + k
				}
				x := float64(a[ai]) * float64(b[bi])
				want += x
				mag += math.Abs(x)
			}
			if f.Clip {
				want = min(max(want, float64(f.Lo)), float64(f.Hi))
			}
			bound := float64(s.K+2) * 0x1p-24 * mag
			if got := c[m*s.N+n]; !(math.Abs(float64(got)-want) <= bound) {
				t.Fatalf("%+v: c[%d,%d] = %v, want %v ± %v", f, m, n, got, want, bound)
			}
			if covered[m*s.N+n] != 1 {
				t.Fatalf("c[%d,%d] belongs to %d tasks, want 1", m, n, covered[m*s.N+n])
			}
		}
	}
	outside(t, "C", len(c), call)
	outside(t, "packed B", len(pb), pball)
}

// The order of tasks changes no bit.
func TestRun_taskOrder(t *testing.T) {
	for _, set := range sets() {
		for _, transA := range []bool{false, true} {
			rng := rand.New(rand.NewPCG(6, 1))
			s := Shape{M: 200, N: 150, K: 600, TransA: transA}
			p, err := New(s, Options{Kernels: set})
			if err != nil {
				t.Fatal(err)
			}
			a, _ := guarded(rng, s.M*s.K)
			b, _ := guarded(rng, s.K*s.N)
			pb := make([]float32, p.Sizes().PackedB)
			c, d := make([]float32, s.M*s.N), make([]float32, s.M*s.N)
			for i := range p.Sizes().PackBTasks {
				p.PackB(i, pb, b)
			}
			n := p.Sizes().Tasks
			if n < 8 {
				t.Errorf("impl=%s: got %d tasks for %d multiplications, want at least 8", set.Name, n, s.MACs())
			}
			for i := range n {
				p.Run(i, a, pb, Fusion{}, c)
			}
			for _, i := range rng.Perm(n) {
				p.Run(i, a, pb, Fusion{}, d)
			}
			for i := range c {
				if c[i] != d[i] {
					t.Fatalf("impl=%s: c[%d] = %v in order, %v permuted", set.Name, i, c[i], d[i])
				}
			}
			if got := testing.AllocsPerRun(2, func() { p.Run(0, a, pb, Fusion{}, c) }); got != 0 {
				t.Errorf("impl=%s: got %v allocations, want 0", set.Name, got)
			}
		}
	}
}

func TestShape_Validate(t *testing.T) {
	if _, err := New(Shape{M: -1, N: 1, K: 1 << 40}, Options{}); err == nil || err.Error() != "gemm: got M -1, want 0 to 2³¹-1\ngot K 1099511627776, want 0 to 2³¹-1" {
		t.Errorf("New: got %v", err)
	}
}

func Benchmark(b *testing.B) {
	for _, set := range sets() {
		for _, s := range []Shape{
			{M: 128, N: 10, K: 64, TransB: true},
			{M: 64, N: 64, K: 64, TransB: true},
			{M: 128, N: 128, K: 64, TransB: true},
			{M: 128, N: 768, K: 768, TransB: true},
			{M: 768, N: 768, K: 128, TransA: true},
			{M: 512, N: 512, K: 512},
			{M: 1000, N: 512, K: 64, TransA: true},
			{M: 1, N: 1000, K: 512, TransB: true},
			{M: 1024, N: 1024, K: 1024},
		} {
			p, err := New(s, Options{Kernels: set})
			if err != nil {
				b.Fatal(err)
			}
			x, w, c, pb := make([]float32, s.M*s.K), make([]float32, s.K*s.N), make([]float32, s.M*s.N), make([]float32, p.Sizes().PackedB)
			name := fmt.Sprintf("impl=%s/shape=%dx%dx%d_%t_%t", set.Name, s.M, s.N, s.K, s.TransA, s.TransB)
			packs, tasks := p.Sizes().PackBTasks, p.Sizes().Tasks
			run := func(i int) { p.Run(i, x, pb, Fusion{}, c) }
			b.Run(name, func(b *testing.B) { tiletest.Report(b, set, s.MACs(), tasks, run) })
			b.Run(name+"_pack", func(b *testing.B) {
				tiletest.Report(b, set, s.MACs(), packs+tasks, func(i int) {
					if i < packs {
						p.PackB(i, pb, w)
					} else {
						run(i - packs)
					}
				})
			})
		}
	}
}
