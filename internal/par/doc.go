// Package par runs fixed sets of tasks on a fixed set of workers.
//
// It exists because a training step has one to two hundred parallel regions of
// tens of microseconds: waking a parked thread for each costs more than the
// work. A [Pool] keeps its workers spinning between regions for a bounded time,
// then parks them.
//
// The rule that makes results independent of the number of workers: *the
// caller's shapes decide the tasks, the pool decides only who runs them*.
// Cut work with [Split] and [Range], give every task its own output (or its own
// partial sum, folded afterwards in task order), and the bits do not depend on
// GOMAXPROCS.
//
// It refuses to nest (Run inside a task of the same pool deadlocks), to cancel,
// and to queue: Run returns when all its tasks are done. Start at [Pool.Run].
package par

// Split returns the number of tasks for n items when a task should have at
// least grain of them. It depends on its arguments only and is at least 1 for
// n > 0, and 0 for n ≤ 0. A grain below 1 counts as 1.
func Split(n, grain int) int {
	if n <= 0 {
		return 0
	}
	return max(1, n/max(1, grain))
}

// Range returns the half-open item range [lo, hi) of one task when n items are
// cut into tasks contiguous parts whose sizes differ by at most one.
func Range(n, tasks, task int) (lo, hi int) {
	q, r := n/tasks, n%tasks
	lo = task*q + min(task, r)
	hi = lo + q
	if task < r {
		hi++
	}
	return lo, hi
}
