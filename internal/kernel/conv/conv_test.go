package conv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/internal/kernel/tile"
)

const guard = 16 // NaN words around every buffer

// guarded is a slice with NaN words before and after it, at an odd offset.
type guarded struct{ all, s []float32 }

func newGuarded(n int) guarded {
	all := make([]float32, n+2*guard+3)
	for i := range all {
		all[i] = float32(math.NaN())
	}
	g := guarded{all, all[guard+3 : guard+3+n : guard+3+n]}
	return g
}

func (g guarded) check(t *testing.T, name string) {
	t.Helper()
	for i, v := range g.all {
		if (i < guard+3 || i >= guard+3+len(g.s)) && v == v {
			t.Errorf("%s: wrote %v outside, at %d of %d", name, v, i-guard-3, len(g.s))
		}
	}
}

func random(rng *rand.Rand, n int) guarded {
	g := newGuarded(n)
	for i := range g.s {
		g.s[i] = float32(rng.NormFloat64())
	}
	return g
}

// sum is a float64 sum with the sum of magnitudes and the number of terms,
// from which the error bound of a float32 sum follows.
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

// bound is n·ε·Σ|xᵢyᵢ| for any order of summation, ε = 2⁻²⁴ the rounding unit,
// plus the roundings of product and result.
func (s *sum) bound() float64 { return float64(s.n+2) * 0x1p-24 * s.mag }

// reference computes all three passes in float64, straight from the definition.
func reference(g Geometry, x, w, dy []float32) (y, dx, dw, db []sum) {
	g = g.normal()
	od, oh, ow := g.OutD(), g.OutH(), g.OutW()
	icg, ocg := g.IC/g.Groups, g.OC/g.Groups
	y, dx, dw, db = make([]sum, len(dy)), make([]sum, len(x)), make([]sum, g.WeightLen()), make([]sum, g.OC)
	for i := range y {
		o, c := i%g.OC, i/g.OC%ow
		q, e, n := i/g.OC/ow%oh, i/g.OC/ow/oh%od, i/g.OC/ow/oh/od
		db[o].add(dy[i], 1)
		for t := range g.taps() {
			kd, kh, kw := t/g.KW/g.KH, t/g.KW%g.KH, t%g.KW
			d, h, v := e*g.StrideD+kd*g.DilationD-g.PadFront, q*g.StrideH+kh*g.DilationH-g.PadT, c*g.StrideW+kw*g.DilationW-g.PadL
			if d < 0 || d >= g.D || h < 0 || h >= g.H || v < 0 || v >= g.W {
				continue
			}
			for j := range icg {
				xi := (((n*g.D+d)*g.H+h)*g.W+v)*g.IC + o/ocg*icg + j
				wi := (o*icg+j)*g.taps() + t
				y[i].add(x[xi], w[wi])
				dx[xi].add(dy[i], w[wi])
				dw[wi].add(x[xi], dy[i])
			}
		}
	}
	return y, dx, dw, db
}

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

// sets returns the kernel sets this machine can run.
func sets() (s []*tile.Set) {
	for _, k := range tile.Sets() {
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
	{"3x3", Geometry{N: 2, H: 9, W: 8, IC: 16, OC: 16, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1}},
	{"3x3 wide", Geometry{N: 1, H: 5, W: 33, IC: 5, OC: 33, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1}},
	{"3x3 many images", Geometry{N: 19, H: 3, W: 3, IC: 8, OC: 24, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1}},
	{"3x3 stride 2", Geometry{N: 2, H: 9, W: 10, IC: 7, OC: 17, KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadT: 1, PadL: 1, PadB: 1, PadR: 1}},
	{"stride 2 asymmetric", Geometry{N: 1, H: 8, W: 8, IC: 4, OC: 9, KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadB: 1, PadR: 1}},
	{"stem 7x7 stride 2", Geometry{N: 1, H: 20, W: 22, IC: 3, OC: 64, KH: 7, KW: 7, StrideH: 2, StrideW: 2, PadT: 3, PadL: 3, PadB: 3, PadR: 3}},
	{"no padding", Geometry{N: 2, H: 7, W: 6, IC: 3, OC: 5, KH: 3, KW: 2}},
	{"wide padding", Geometry{N: 1, H: 3, W: 2, IC: 3, OC: 4, KH: 3, KW: 3, PadT: 4, PadL: 3, PadB: 2, PadR: 5}},
	{"cropping", Geometry{N: 1, H: 8, W: 9, IC: 3, OC: 4, KH: 3, KW: 3, PadT: -1, PadL: -2, PadB: 1, PadR: -1}},
	{"dilation 2", Geometry{N: 1, H: 11, W: 9, IC: 6, OC: 10, KH: 3, KW: 3, DilationH: 2, DilationW: 2, PadT: 2, PadL: 2, PadB: 2, PadR: 2}},
	{"dilation 3 stride 2", Geometry{N: 1, H: 14, W: 13, IC: 3, OC: 6, KH: 3, KW: 2, StrideH: 2, StrideW: 3, DilationH: 3, DilationW: 2, PadT: 1, PadR: 2}},
	{"dilation only rows", Geometry{N: 1, H: 9, W: 7, IC: 3, OC: 6, KH: 3, KW: 3, DilationH: 2, PadT: 2, PadB: 2, PadL: 1, PadR: 1}},
	{"stride above kernel", Geometry{N: 1, H: 10, W: 11, IC: 4, OC: 6, KH: 2, KW: 1, StrideH: 3, StrideW: 2}},
	{"groups", Geometry{N: 2, H: 6, W: 5, IC: 12, OC: 18, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1, Groups: 3}},
	{"groups of 4, stride 2", Geometry{N: 1, H: 7, W: 7, IC: 32, OC: 32, KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadT: 1, PadL: 1, PadB: 1, PadR: 1, Groups: 8}},
	{"groups of 2 and 3 channels", Geometry{N: 2, H: 6, W: 9, IC: 12, OC: 18, KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadT: 1, PadL: 1, PadB: 1, PadR: 1, Groups: 6}},
	{"many groups of 1 and 2 channels", Geometry{N: 1, H: 4, W: 5, IC: 24, OC: 48, KH: 2, KW: 3, PadL: 1, DilationW: 2, Groups: 24}},
	{"1x1 groups of 4", Geometry{N: 3, H: 3, W: 4, IC: 64, OC: 64, KH: 1, KW: 1, Groups: 16}},
	{"depthwise multiplier 2", Geometry{N: 1, H: 6, W: 6, IC: 5, OC: 10, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1, Groups: 5}},
	{"1x1", Geometry{N: 3, H: 5, W: 7, IC: 13, OC: 21, KH: 1, KW: 1}},
	{"1x1 groups", Geometry{N: 2, H: 5, W: 3, IC: 6, OC: 20, KH: 1, KW: 1, Groups: 2}},
	{"1x1 stride 2", Geometry{N: 2, H: 6, W: 7, IC: 8, OC: 16, KH: 1, KW: 1, StrideH: 2, StrideW: 2}},
	{"1x1 padded", Geometry{N: 1, H: 3, W: 3, IC: 2, OC: 3, KH: 1, KW: 1, PadT: 1, PadR: 1}},
	{"1x1 many channels", Geometry{N: 1, H: 2, W: 2, IC: 100, OC: 1000, KH: 1, KW: 1}},
	{"1x1 wide", Geometry{N: 1, H: 2, W: 5, IC: 600, OC: 530, KH: 1, KW: 1}},
	{"3x3 wide output", Geometry{N: 2, H: 2, W: 3, IC: 20, OC: 515, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1}},
	{"3x3 wide input", Geometry{N: 2, H: 4, W: 3, IC: 300, OC: 65, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1}},
	{"3x3 wide, stride 2", Geometry{N: 1, H: 5, W: 6, IC: 256, OC: 70, KH: 3, KW: 2, StrideH: 2, StrideW: 2, PadT: 1, PadL: 1}},
	{"one dimension", Geometry{N: 2, H: 1, W: 300, IC: 10, OC: 11, KH: 1, KW: 5, PadL: 4}},
	{"one dimension, long", Geometry{N: 1, H: 1, W: 2000, IC: 40, OC: 8, KH: 1, KW: 3, PadL: 1, PadR: 1}},
	{"one pixel", Geometry{N: 3, H: 1, W: 1, IC: 9, OC: 2, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1}},
	{"large image", Geometry{N: 1, H: 70, W: 60, IC: 24, OC: 8, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1}},
	{"3x3x3", Geometry{N: 2, D: 4, H: 5, W: 6, IC: 5, OC: 9, KD: 3, KH: 3, KW: 3, PadFront: 1, PadBack: 1, PadT: 1, PadL: 1, PadB: 1, PadR: 1}},
	{"3x3x3 stride 2", Geometry{N: 2, D: 5, H: 7, W: 6, IC: 4, OC: 17, KD: 3, KH: 3, KW: 3, StrideD: 2, StrideH: 2, StrideW: 2, PadFront: 1, PadBack: 1, PadT: 1, PadL: 1, PadB: 1, PadR: 1}},
	{"2x1x3 dilated, groups", Geometry{N: 1, D: 6, H: 3, W: 7, IC: 4, OC: 6, KD: 2, KH: 1, KW: 3, StrideD: 3, DilationD: 2, DilationW: 2, PadFront: 2, PadR: 3, Groups: 2}},
	{"depth only", Geometry{N: 2, D: 9, H: 1, W: 1, IC: 3, OC: 4, KD: 3, KH: 1, KW: 1, StrideD: 2, PadBack: 1}},
	{"1x1x1", Geometry{N: 2, D: 3, H: 4, W: 5, IC: 6, OC: 7, KD: 1, KH: 1, KW: 1}},
	{"1x1x1 stride 2", Geometry{N: 2, D: 3, H: 4, W: 5, IC: 6, OC: 7, KD: 1, KH: 1, KW: 1, StrideD: 2, StrideH: 2, StrideW: 2}},
	{"large depth", Geometry{N: 1, D: 20, H: 16, W: 16, IC: 16, OC: 8, KD: 3, KH: 3, KW: 3, StrideD: 2, PadFront: 1, PadBack: 1, PadT: 1, PadL: 1, PadB: 1, PadR: 1}},
	{"no images", Geometry{N: 0, H: 4, W: 4, IC: 3, OC: 2, KH: 3, KW: 3}},
}

// work holds the operands and results of all passes of one plan.
type work struct {
	p                               *Plan
	s                               Sizes
	x, w, dy, bias                  guarded
	wp, wpt, y, dx, parts, dw, db   guarded
	scratchF, scratchD, scratchW, _ guarded
}

func newWork(t *testing.T, g Geometry, opt Options) *work {
	t.Helper()
	p, err := New(g, opt)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 1))
	g = p.Geometry()
	k := &work{p: p, s: p.Sizes()}
	ny := g.N * g.OutD() * g.OutH() * g.OutW() * g.OC
	k.x, k.w, k.dy, k.bias = random(rng, g.N*g.D*g.H*g.W*g.IC), random(rng, g.WeightLen()), random(rng, ny), random(rng, g.OC)
	k.wp, k.wpt = newGuarded(k.s.PackedForward), newGuarded(k.s.PackedBackward)
	k.y, k.dx, k.parts = newGuarded(ny), newGuarded(len(k.x.s)), newGuarded(k.s.Partials)
	k.dw, k.db = newGuarded(g.WeightLen()), newGuarded(g.OC)
	k.scratchF, k.scratchD, k.scratchW = newGuarded(k.s.ForwardScratch), newGuarded(k.s.BackwardDataScratch), newGuarded(k.s.BackwardWeightsScratch)
	return k
}

// run runs all passes; order permutes the tasks.
func (k *work) run(order func(n int) []int, f Fusion) {
	for _, i := range order(k.s.PackForwardTasks) {
		k.p.PackForward(i, k.wp.s, k.w.s)
	}
	for _, i := range order(k.s.PackBackwardTasks) {
		k.p.PackBackward(i, k.wpt.s, k.w.s)
	}
	for _, i := range order(k.s.ForwardTasks) {
		k.p.Forward(i, k.scratchF.s, k.x.s, k.wp.s, f, k.y.s)
	}
	for _, i := range order(k.s.BackwardDataTasks) {
		k.p.BackwardData(i, k.scratchD.s, k.dy.s, k.wpt.s, Fusion{}, k.dx.s)
	}
	for _, i := range order(k.s.BackwardWeightsTasks) {
		k.p.BackwardWeights(i, k.scratchW.s, k.x.s, k.dy.s, k.parts.s)
	}
	for _, i := range order(k.s.ReduceTasks) {
		k.p.ReduceWeights(i, k.parts.s, k.dw.s, k.db.s)
	}
}

func (k *work) checkGuards(t *testing.T) {
	t.Helper()
	for _, b := range []struct {
		name string
		g    guarded
	}{
		{"packed forward", k.wp}, {"packed backward", k.wpt}, {"y", k.y}, {"dx", k.dx}, {"partials", k.parts}, {"dw", k.dw}, {"db", k.db},
		{"forward scratch", k.scratchF}, {"backward scratch", k.scratchD}, {"weights scratch", k.scratchW},
	} {
		b.g.check(t, b.name)
	}
}

func ascending(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func TestPlan(t *testing.T) {
	for _, set := range sets() {
		for _, c := range geometries {
			t.Run(fmt.Sprintf("impl=%s/%s", set.Name, c.name), func(t *testing.T) {
				k := newWork(t, c.g, Options{Kernels: set, BiasGrad: true})
				k.run(ascending, Fusion{})
				y, dx, dw, db := reference(c.g, k.x.s, k.w.s, k.dy.s)
				compare(t, "y", k.y.s, y)
				compare(t, "dx", k.dx.s, dx)
				compare(t, "dw", k.dw.s, dw)
				compare(t, "db", k.db.s, db)
				k.checkGuards(t)
			})
		}
	}
}
