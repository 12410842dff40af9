package tile

import (
	"fmt"
	"testing"
	"time"
	"unsafe"
)

// BenchmarkDot reports the share of the multiply-add peak each tile reaches on
// a run of 144 (3x3 of 16 channels) and operands in the first-level cache.
func BenchmarkDot(b *testing.B) {
	for _, s := range Sets() {
		if !s.Supported() {
			continue
		}
		for nv := 1; nv <= MaxNV; nv++ {
			for mr := 1; mr <= s.MaxMR(nv); mr++ {
				b.Run(fmt.Sprintf("impl=%s/tile=%dx%d", s.Name, mr, nv*s.Lanes), func(b *testing.B) {
					nr, run := nv*s.Lanes, 48
					x, w, y := make([]float32, 3*34*16), make([]float32, 3*run*nr), make([]float32, mr*nr)
					seg := []int{0, 34 * 64, 2 * 34 * 64}
					half := (mr + 1) / 2
					a := DotArgs{X0: ptr(x, 0), X1: ptr(x, half*16), XS: 64, W: ptr(w, 0), Seg: unsafe.Pointer(&seg[0]), NSeg: 3, Run: run,
						Y0: ptr(y, 0), Y1: ptr(y, min(half, mr-1)*nr), YS: 4 * nr, Tail: s.Lanes}
					report(b, s, mr*nr*3*run, func() { s.Dot(mr, nv, &a) })
				})
			}
		}
	}
}

func BenchmarkOuter(b *testing.B) {
	for _, s := range Sets() {
		if !s.Supported() {
			continue
		}
		for nv := 1; nv <= MaxNV; nv++ {
			for mr := 1; mr <= s.MaxMR(nv); mr++ {
				b.Run(fmt.Sprintf("impl=%s/tile=%dx%d", s.Name, mr, nv*s.Lanes), func(b *testing.B) {
					nr, p := nv*s.Lanes, 192
					x, y, d := make([]float32, p*16+mr), make([]float32, p*nr), make([]float32, mr*nr)
					a := OuterArgs{X: ptr(x, 0), XS: 64, Y: ptr(y, 0), YS: 4 * nr, P: p, R: 1, B: 1, D: ptr(d, 0), DS: 4 * nr, Tail: s.Lanes}
					report(b, s, mr*nr*p, func() { s.Outer(mr, nv, &a) })
				})
			}
		}
	}
}

// report runs f, of macs multiply-adds, in turn with the peak probe.
func report(b *testing.B, s *Set, macs int, f func()) {
	var tf, tp time.Duration
	peak, n := 0, 0
	rep := 1<<20/macs + 1
	for b.Loop() {
		t0 := time.Now()
		for range rep {
			f()
		}
		t1 := time.Now()
		peak += s.Peak(rep * macs)
		tf, tp = tf+t1.Sub(t0), tp+time.Since(t1)
		n += rep * macs
	}
	rate := 2 * float64(n) / float64(tf.Nanoseconds())
	b.ReportMetric(rate, "GFLOP/s")
	b.ReportMetric(100*rate/(2*float64(peak)/float64(tp.Nanoseconds())), "%peak")
	b.ReportMetric(0, "ns/op")
}
