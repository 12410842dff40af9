package conv

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
)

// FuzzPlan compares all passes of every kernel set with the definition, on
// small geometries.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{1, 8, 9, 5, 7, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{2, 3, 11, 2, 3, 2, 4, 2, 3, 0, 3, 2, 1, 2, 1, 2, 3, 1, 1, 0, 2, 1})
	f.Add([]byte{3, 5, 1, 9, 1, 1, 1, 3, 2, 4, 0, 0, 5, 1, 3, 3, 0, 0, 1, 1, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 22 {
			return
		}
		in := func(i, lo, hi int) int { return lo + int(b[i])%(hi-lo+1) }
		groups := in(15, 1, 3)
		g := Geometry{
			N: in(0, 1, 3), H: in(1, 1, 12), W: in(2, 1, 12), IC: groups * in(3, 1, 9), OC: groups * in(4, 1, 20), KH: in(5, 1, 4), KW: in(6, 1, 4),
			StrideH: in(7, 1, 3), StrideW: in(8, 1, 3), PadT: in(9, -1, 4), PadL: in(10, -1, 4), PadB: in(11, -1, 4), PadR: in(12, -1, 4),
			DilationH: in(13, 1, 3), DilationW: in(14, 1, 3), Groups: groups,
			D: in(16, 1, 5), KD: in(17, 1, 3), StrideD: in(18, 1, 3), DilationD: in(19, 1, 2), PadFront: in(20, -1, 2), PadBack: in(21, -1, 2),
		}
		if g.Validate() != nil {
			return
		}
		for _, set := range sets() {
			k := newWork(t, g, Options{Kernels: set, BiasGrad: true})
			k.run(ascending, Fusion{})
			y, dx, dw, db := reference(g, k.x.s, k.w.s, k.dy.s)
			compare(t, set.Name+" y", k.y.s, y)
			compare(t, set.Name+" dx", k.dx.s, dx)
			compare(t, set.Name+" dw", k.dw.s, dw)
			compare(t, set.Name+" db", k.db.s, db)
			k.checkGuards(t)
			if t.Failed() {
				t.Fatalf("geometry %+v", g)
			}
		}
	})
}

// Any number of threads gives the same bits.
func TestPlan_threads(t *testing.T) {
	for _, set := range sets() {
		for _, g := range []Geometry{
			{N: 48, H: 16, W: 16, IC: 16, OC: 32, KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadT: 1, PadL: 1, PadB: 1, PadR: 1},
			{N: 9, H: 14, W: 14, IC: 64, OC: 64, KH: 1, KW: 1},
		} {
			serial := newWork(t, g, Options{Kernels: set, BiasGrad: true})
			serial.run(ascending, Fusion{})
			if serial.s.ForwardTasks < 4 || serial.s.BackwardDataTasks < 4 || serial.s.BackwardWeightsTasks < 2 {
				t.Errorf("impl=%s: got %+v, want at least 4, 4 and 2 tasks for %d multiplications", set.Name, serial.s, g.MACs())
			}
			for _, threads := range []int{2, 3, 7} {
				k := newWork(t, g, Options{Kernels: set, BiasGrad: true})
				each := func(tasks, scratch int, f func(task int, scratch []float32)) {
					var next atomic.Int64
					var wg sync.WaitGroup
					for range threads {
						wg.Go(func() {
							buf := make([]float32, scratch)
							for i := range buf {
								buf[i] = float32(math.NaN())
							}
							for i := int(next.Add(1)) - 1; i < tasks; i = int(next.Add(1)) - 1 {
								f(i, buf)
							}
						})
					}
					wg.Wait()
				}
				each(k.s.PackForwardTasks, 0, func(i int, _ []float32) { k.p.PackForward(i, k.wp.s, k.w.s) })
				each(k.s.PackBackwardTasks, 0, func(i int, _ []float32) { k.p.PackBackward(i, k.wpt.s, k.w.s) })
				each(k.s.ForwardTasks, k.s.ForwardScratch, func(i int, s []float32) { k.p.Forward(i, s, k.x.s, k.wp.s, Fusion{}, k.y.s) })
				each(k.s.BackwardDataTasks, k.s.BackwardDataScratch, func(i int, s []float32) { k.p.BackwardData(i, s, k.dy.s, k.wpt.s, Fusion{}, k.dx.s) })
				each(k.s.BackwardWeightsTasks, k.s.BackwardWeightsScratch, func(i int, s []float32) { k.p.BackwardWeights(i, s, k.x.s, k.dy.s, k.parts.s) })
				each(k.s.ReduceTasks, 0, func(i int, _ []float32) { k.p.ReduceWeights(i, k.parts.s, k.dw.s, k.db.s) })
				for _, r := range []struct {
					name string
					a, b []float32
				}{{"y", serial.y.s, k.y.s}, {"dx", serial.dx.s, k.dx.s}, {"dw", serial.dw.s, k.dw.s}, {"db", serial.db.s, k.db.s}} {
					for i := range r.a {
						if math.Float32bits(r.a[i]) != math.Float32bits(r.b[i]) {
							t.Fatalf("impl=%s: %d threads: %s[%d] = %v, on one thread %v", set.Name, threads, r.name, i, r.b[i], r.a[i])
						}
					}
				}
			}
		}
	}
}
