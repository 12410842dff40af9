// Package tiletest is what the benchmarks of the kernel packages share.
package tiletest

import (
	"runtime"
	"testing"
	"time"

	"github.com/go-nncf/nncf/internal/kernel/tile"
)

// Report benchmarks the steps f(0) … f(steps-1), which do macs multiply-adds in
// all, on one thread, in turn with the peak probe of s. It reports a rate as
// GFLOP/s and as a share of the best rate of the probe. The time is the sum of
// the best time of each step, which other load on the machine disturbs less
// than that of the whole. Times are of the thread where the system has them.
func Report(b *testing.B, s *tile.Set, macs, steps int, f func(step int)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best, bestPeak := make([]time.Duration, steps), 0.0
	for i := range best {
		best[i] = 1 << 62
		f(i)
	}
	for b.Loop() {
		for i := range best {
			t0 := now()
			f(i)
			best[i] = min(best[i], now()-t0)
		}
		t0 := now()
		n := s.Peak(1 << 22)
		bestPeak = max(bestPeak, 2*float64(n)/float64(max(1, now()-t0)))
	}
	var total time.Duration
	for _, t := range best {
		total += t
	}
	rate := 2 * float64(macs) / float64(max(1, total))
	b.ReportMetric(rate, "GFLOP/s")
	b.ReportMetric(100*rate/bestPeak, "%peak")
	b.ReportMetric(total.Seconds()*1e3, "ms")
	b.ReportMetric(0, "ns/op")
}
