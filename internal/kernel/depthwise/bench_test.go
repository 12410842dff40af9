package depthwise

import (
	"fmt"
	"testing"

	"github.com/go-nncf/nncf/internal/kernel/tile"
	"github.com/go-nncf/nncf/internal/kernel/tile/tiletest"
)

// Benchmark reports GFLOP/s and the share of the multiply-add peak, which
// memory keeps out of reach here, for layers of MobileNetV2 and EfficientNet.
func Benchmark(b *testing.B) {
	peak := tile.Best()
	for _, set := range supported() {
		for _, c := range []struct{ n, c, hw, k, s int }{
			{8, 32, 112, 3, 1}, {8, 96, 112, 3, 2}, {8, 144, 56, 3, 1}, {8, 192, 28, 3, 1}, {8, 384, 14, 3, 1}, {8, 960, 7, 3, 1}, {8, 240, 28, 5, 1}, {8, 144, 56, 5, 2},
		} {
			g := Geometry{N: c.n, H: c.hw, W: c.hw, C: c.c, KH: c.k, KW: c.k, StrideH: c.s, StrideW: c.s, PadT: c.k / 2, PadL: c.k / 2, PadB: c.k / 2, PadR: c.k / 2}
			p, err := New(g, Options{Kernels: set})
			if err != nil {
				b.Fatal(err)
			}
			s := p.Sizes()
			x, w, dy := make([]float32, g.N*g.H*g.W*g.C), make([]float32, g.C*g.KH*g.KW), make([]float32, g.N*g.OutH()*g.OutW()*g.C)
			y, wp, wpt, dx, parts := make([]float32, len(dy)), make([]float32, s.PackedForward), make([]float32, s.PackedBackward), make([]float32, len(x)), make([]float32, s.Partials)
			scratch := make([]float32, s.BackwardWeightsScratch)
			p.PackForward(wp, w)
			p.PackBackward(wpt, w)
			run := func(pass string, steps int, f func(int)) {
				b.Run(fmt.Sprintf("impl=%s/pass=%s/shape=%dx%d@%d_k%ds%d", set.Name, pass, c.n, c.c, c.hw, c.k, c.s), func(b *testing.B) {
					tiletest.Report(b, peak, g.MACs(), steps, f)
				})
			}
			run("f", s.ForwardTasks, func(i int) { p.Forward(i, x, wp, Fusion{}, y) })
			run("d", s.BackwardDataTasks, func(i int) { p.BackwardData(i, dy, wpt, Fusion{}, dx) })
			run("w", s.BackwardWeightsTasks+1, func(i int) {
				if i < s.BackwardWeightsTasks {
					p.BackwardWeights(i, scratch, x, dy, parts)
				} else {
					p.ReduceWeights(parts, w, nil)
				}
			})
		}
	}
}
