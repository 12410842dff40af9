// Package probe measures what this machine gives at best, with the kernels in
// use: multiplications and additions a second from registers, and bytes a
// second from memory. Benchmarks of the same process and minute compare with
// it, so that a busy or throttled machine shows.
//
// It refuses to judge: it returns rates, best of several rounds. Start at
// [Arithmetic] and [Bandwidth].
package probe

import (
	"time"

	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/internal/kernel/tile"
	"github.com/go-nncf/nncf/internal/par"
)

const (
	// round is the time of one round: long against the handing out of tasks,
	// short against changes of frequency.
	round = 10 * time.Millisecond
	// streamFloats is the length of the vectors of Bandwidth, 64 MiB: more than
	// any last-level cache gives to one program.
	streamFloats = 16 << 20
	// taskFloats is the part of them that one task moves.
	taskFloats = 64 << 10
)

// Arithmetic returns the float32 operations a second of all workers together,
// a fused multiply-add counting as two: the best of rounds within d.
func Arithmetic(pool *par.Pool, d time.Duration) float64 {
	set := tile.Best()
	workers := pool.Workers()
	const few = 1 << 16
	done := make([]int, workers)
	macs := few
	best := 0.0
	for start := time.Now(); ; {
		t := time.Now()
		pool.Run(workers, func(task, _ int) { done[task] = set.Peak(macs) })
		e := time.Since(t)
		sum := 0
		for _, n := range done {
			sum += n
		}
		if e >= round/4 {
			best = max(best, 2*float64(sum)/e.Seconds())
		}
		if e < round/2 {
			macs *= 2
			continue
		}
		if time.Since(start) >= d {
			return best
		}
	}
}

// Bandwidth returns the bytes a second that all workers together read and
// write when they scale a vector that no cache holds into another: the best of
// rounds within d. Lines that the machine reads because they are written are
// not counted, as [engine.Step] does not count them.
//
// [engine.Step]: https://pkg.go.dev/github.com/go-nncf/nncf/engine#Step
func Bandwidth(pool *par.Pool, d time.Duration) float64 {
	src, dst := make([]float32, streamFloats), make([]float32, streamFloats)
	move := func(task, _ int) {
		lo := task * taskFloats
		elementwise.ScaleShift.Run(dst[lo:lo+taskFloats], src[lo:lo+taskFloats], 0.5, 1)
	}
	best := 0.0
	for start, first := time.Now(), true; ; first = false {
		t := time.Now()
		pool.Run(streamFloats/taskFloats, move)
		if e := time.Since(t); !first { // the first one maps pages
			best = max(best, 8*streamFloats/e.Seconds())
		}
		if !first && time.Since(start) >= d {
			return best
		}
	}
}
