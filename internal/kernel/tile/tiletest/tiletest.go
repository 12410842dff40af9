// Package tiletest is what the benchmarks of the kernel packages share.
package tiletest

import (
	"runtime"
	"testing"
	"time"

	"github.com/go-nncf/nncf/internal/kernel/tile"
)

// Report benchmarks f, which does macs multiply-adds on one thread, in turn
// with the peak probe of s. It reports the best rate of f as GFLOP/s and as a
// share of the best rate of the probe, which other load on the machine
// disturbs less than means. Times are of the thread where the system has them.
func Report(b *testing.B, s *tile.Set, macs int, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f()
	best, bestPeak := time.Duration(1<<62), 0.0
	for b.Loop() {
		t0 := now()
		f()
		t1 := now()
		n := s.Peak(1 << 22)
		t2 := now()
		best = min(best, t1-t0)
		bestPeak = max(bestPeak, 2*float64(n)/float64(max(1, t2-t1)))
	}
	rate := 2 * float64(macs) / float64(max(1, best))
	b.ReportMetric(rate, "GFLOP/s")
	b.ReportMetric(100*rate/bestPeak, "%peak")
	b.ReportMetric(best.Seconds()*1e3, "ms")
	b.ReportMetric(0, "ns/op")
}
