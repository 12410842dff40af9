package binary_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-nncf/nncf/internal/kernel/binary"
	"github.com/go-nncf/nncf/internal/kernel/conv"
)

// The 3×3 convolutions of ResNet-18, binary against float, in turns on one thread,
// so that both meet the same machine; the ratio is that of the medians. Packing
// the input's bits and scaling the sums count, weights are packed before.
func BenchmarkAgainstFloat(b *testing.B) {
	for _, s := range []struct{ c, size int }{{64, 56}, {128, 28}, {256, 14}, {512, 7}} {
		b.Run(fmt.Sprintf("%dx%dx%d", s.c, s.size, s.size), func(b *testing.B) {
			g := binary.Geometry{N: 1, H: s.size, W: s.size, IC: s.c, OC: s.c, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1}
			p, err := binary.New(g)
			if err != nil {
				b.Fatal(err)
			}
			f, err := conv.New(conv.Geometry{N: 1, H: s.size, W: s.size, IC: s.c, OC: s.c, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1}, conv.Options{})
			if err != nil {
				b.Fatal(err)
			}
			x, w := make([]float32, g.H*g.W*g.IC), make([]float32, g.OC*g.IC*9)
			for i := range x {
				x[i] = float32(i%7 - 3)
			}
			for i := range w {
				w[i] = float32(i%5 - 2)
			}
			at, factors := make([]float32, g.IC), make([]float32, g.OC)
			z, fz := p.Sizes(), f.Sizes()
			bits, weights, scratch := make([]float32, z.Bits), make([]float32, z.Weights), make([]float32, z.Scratch)
			packed, fscratch := make([]float32, fz.PackedForward), make([]float32, fz.ForwardScratch)
			y := make([]float32, g.H*g.W*g.OC)
			for i := range z.PackRows {
				p.PackWeights(i, weights, w)
			}
			for i := range fz.PackForwardTasks {
				f.PackForward(i, packed, w)
			}
			var fast, slow []time.Duration
			for b.Loop() {
				start := time.Now()
				p.Pack(bits, x, at, 0)
				for i := range z.Tasks {
					p.Forward(i, scratch, bits, weights, factors, y)
				}
				mid := time.Now()
				for i := range fz.ForwardTasks {
					f.Forward(i, fscratch, x, packed, conv.Fusion{}, y)
				}
				fast, slow = append(fast, mid.Sub(start)), append(slow, time.Since(mid))
			}
			slices.Sort(fast)
			slices.Sort(slow)
			a, c := fast[len(fast)/2].Seconds(), slow[len(slow)/2].Seconds()
			macs := float64(g.H * g.W * g.IC * g.OC * 9)
			b.ReportMetric(macs/a/1e9, "binaryGMAC/s")
			b.ReportMetric(macs/c/1e9, "floatGMAC/s")
			b.ReportMetric(c/a, "ratio")
			b.ReportMetric(slow[0].Seconds()/fast[0].Seconds(), "ratio-of-best")
		})
	}
}
