package conv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/internal/kernel/tile/tiletest"
)

// The layers of ResNet-20 at batch 128 and some of ResNet-18, ResNet-50 and
// MobileNetV2 at 224 pixels and batch 8.
var benchShapes = []struct{ n, ic, hw, oc, k, s int }{
	{128, 3, 32, 16, 3, 1},
	{128, 16, 32, 16, 3, 1},
	{128, 16, 32, 32, 3, 2},
	{128, 32, 16, 32, 3, 1},
	{128, 32, 16, 64, 3, 2},
	{128, 64, 8, 64, 3, 1},
	{128, 16, 32, 32, 1, 2},
	{128, 32, 16, 64, 1, 2},
	{8, 3, 224, 64, 7, 2},
	{8, 64, 56, 64, 3, 1},
	{8, 64, 56, 128, 3, 2},
	{8, 128, 28, 128, 3, 1},
	{8, 256, 14, 256, 3, 1},
	{8, 512, 7, 512, 3, 1},
	{8, 64, 56, 256, 1, 1},
	{8, 256, 56, 64, 1, 1},
	{8, 256, 14, 1024, 1, 1},
	{8, 2048, 7, 512, 1, 1},
	{8, 16, 112, 96, 1, 1},
	{8, 24, 56, 144, 1, 1},
	{8, 144, 56, 24, 1, 1},
	{1, 64, 56, 64, 3, 1},
	{1, 128, 28, 128, 3, 1},
	{1, 256, 14, 256, 3, 1},
	{1, 512, 7, 512, 3, 1},
	{1, 1024, 14, 2048, 1, 2},
	{1, 1024, 7, 2048, 1, 1},
	{1, 512, 28, 1024, 1, 2},
}

func benchGeometry(i int) (string, Geometry) {
	c := benchShapes[i]
	p := c.k / 2
	return fmt.Sprintf("%dx%d@%d-%d_k%ds%d", c.n, c.ic, c.hw, c.oc, c.k, c.s),
		Geometry{N: c.n, H: c.hw, W: c.hw, IC: c.ic, OC: c.oc, KH: c.k, KW: c.k, StrideH: c.s, StrideW: c.s, PadT: p, PadL: p, PadB: p, PadR: p}
}

func uniform(n int) []float32 {
	rng := rand.New(rand.NewPCG(1, 1))
	s := make([]float32, n)
	for i := range s {
		s[i] = rng.Float32() - 0.5
	}
	return s
}

// Benchmark reports GFLOP/s and the share of the multiply-add peak, measured
// in turn in the same process, of each pass on one thread.
func Benchmark(b *testing.B) {
	for _, set := range sets() {
		for i := range benchShapes {
			name, g := benchGeometry(i)
			p, err := New(g, Options{Kernels: set})
			if err != nil {
				b.Fatal(err)
			}
			var x, w, dy, y, wp, wpt, dx, parts, dw, scratch []float32
			s := p.Sizes()
			setup := func() {
				if x != nil {
					return
				}
				x, w, dy = uniform(g.N*g.H*g.W*g.IC), uniform(g.WeightLen()), uniform(g.N*g.OutH()*g.OutW()*g.OC)
				y, wp, wpt, dx, parts, dw = make([]float32, len(dy)), make([]float32, s.PackedForward), make([]float32, s.PackedBackward), make([]float32, len(x)), make([]float32, s.Partials), make([]float32, len(w))
				scratch = make([]float32, max(s.ForwardScratch, s.BackwardDataScratch, s.BackwardWeightsScratch))
				for i := range s.PackForwardTasks {
					p.PackForward(i, wp, w)
				}
				for i := range s.PackBackwardTasks {
					p.PackBackward(i, wpt, w)
				}
			}
			run := func(pass string, steps int, f func(int), check []float32) {
				b.Run(fmt.Sprintf("impl=%s/pass=%s/shape=%s", set.Name, pass, name), func(b *testing.B) {
					setup()
					tiletest.Report(b, set, g.MACs(), steps, f)
					if v := check; len(v) > 0 && math.IsNaN(float64(v[len(v)-1])) {
						b.Error("the result is NaN")
					}
				})
			}
			run("f", s.ForwardTasks, func(i int) { p.Forward(i, scratch, x, wp, Fusion{}, y) }, y)
			run("d", s.BackwardDataTasks, func(i int) { p.BackwardData(i, scratch, dy, wpt, Fusion{}, dx) }, dx)
			run("w", s.BackwardWeightsTasks+s.ReduceTasks, func(i int) {
				if i < s.BackwardWeightsTasks {
					p.BackwardWeights(i, scratch, x, dy, parts)
				} else {
					p.ReduceWeights(i-s.BackwardWeightsTasks, parts, dw, nil)
				}
			}, dw)
			run("pack", s.PackForwardTasks+s.PackBackwardTasks, func(i int) {
				if i < s.PackForwardTasks {
					p.PackForward(i, wp, w)
				} else {
					p.PackBackward(i-s.PackForwardTasks, wpt, w)
				}
			}, wp)
		}
	}
}
