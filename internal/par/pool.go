package par

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// defaultSpin covers the serial gaps inside a training step (a few
	// microseconds) many times over, and is short for a person.
	defaultSpin = 200 * time.Microsecond
	// joinSpin bounds how long Run spins for stragglers before it sleeps: when
	// other processes hold the cores, spinning would take the very core the
	// straggler waits for.
	joinSpin = 50 * time.Microsecond
	// pauseBurst PAUSE instructions separate two looks at shared memory: enough
	// to leave the sibling hyper-thread its execution ports.
	pauseBurst = 8
	// burstsPerClock looks at shared memory separate two looks at the clock.
	burstsPerClock = 32
)

// Options tune a [Pool]. The zero value is the default.
type Options struct {
	// Workers is the number of workers including the caller of Run.
	// Default: GOMAXPROCS at the time of the call of New.
	Workers int
	// Spin is how long an idle worker spins before it parks. Default 200 µs;
	// negative parks at once. A pool with more workers than GOMAXPROCS never
	// spins.
	Spin time.Duration
}

// Pool is a set of workers. The caller of [Pool.Run] is worker 0; the others
// are goroutines that live until [Pool.Close].
//
// How a region runs. state packs (generation, open, joined). Run publishes the
// tasks, then opens the state under a new generation; an idle worker that sees
// it open joins by incrementing joined, claims tasks until none is left, and
// leaves by decrementing it. The caller claims tasks like any other worker,
// closes the state when none is left and waits for joined to reach zero. A
// worker that wakes up late finds the state closed and touches nothing, so a
// worker without a core delays no one.
type Pool struct {
	state atomic.Uint64
	_     [120]byte

	waiting atomic.Uint32 // the caller of Run sleeps on done
	_       [124]byte

	queues []queue
	sleeps []sleeper
	done   chan struct{}
	spin   time.Duration

	mu     sync.Mutex // one Run at a time; guards closed
	closed bool

	// The current region: written before state opens, read after joining it.
	f      func(task, worker int)
	failed atomic.Bool
	panicV atomic.Pointer[Panic]
}

// queue is the tasks one worker owns and has not started: [lo, hi) packed as
// hi<<32 | lo. The owner takes from the front, thieves from the back.
type queue struct {
	span atomic.Uint64
	_    [120]byte
}

type sleeper struct {
	asleep atomic.Uint32
	wake   chan struct{}
	_      [112]byte
}

const (
	joinedMask = 1<<20 - 1
	openBit    = 1 << 20
	closeBit   = 1 << 21
	genUnit    = 1 << 22
)

// Panic is what Run panics with when a task panicked.
type Panic struct {
	Value any    // the value the task panicked with
	Stack []byte // the stack of the task
	Task  int    // one task that panicked; which one, if several did, is not defined
}

func (p *Panic) Error() string {
	return fmt.Sprintf("par: task %d: %v\n\n%s", p.Task, p.Value, p.Stack)
}

// Unwrap returns the task's panic value if it was an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// New returns a running pool with the given number of workers; 0 or less means
// GOMAXPROCS. Close it when it is no longer needed.
func New(workers int) *Pool { return Options{Workers: workers}.New() }

// New returns a running pool.
func (o Options) New() *Pool {
	n := o.Workers
	procs := runtime.GOMAXPROCS(0)
	if n <= 0 {
		n = procs
	}
	n = min(n, joinedMask)
	p := &Pool{
		queues: make([]queue, n),
		sleeps: make([]sleeper, n),
		done:   make(chan struct{}, 1),
		spin:   o.Spin,
	}
	if p.spin == 0 {
		p.spin = defaultSpin
	}
	if n > procs || p.spin < 0 {
		p.spin = 0
	}
	for w := 1; w < n; w++ {
		p.sleeps[w].wake = make(chan struct{}, 1)
		go p.worker(w)
	}
	return p
}

// Workers returns the number of workers, the caller of Run included. Worker
// indices passed to tasks are below it.
func (p *Pool) Workers() int { return len(p.queues) }

// Run calls f(task, worker) once for each task in 0…n-1 and returns when all
// calls have returned. Worker is below Workers, and no two calls that run at
// the same time have the same worker, so it may index scratch memory; it must
// not influence results. Each worker owns a contiguous share of the tasks, the
// same in every Run of the same n, and helps others when it is done.
//
// If a task panics, tasks not yet started are dropped and Run panics with a
// [*Panic]. Run does not allocate. Calls from several goroutines take turns.
// Calling Run from inside a task of the same pool deadlocks.
func (p *Pool) Run(n int, f func(task, worker int)) {
	if n <= 0 {
		return
	}
	if n > math.MaxInt32 {
		panic(fmt.Sprintf("par: %d tasks, more than %d", n, math.MaxInt32))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		panic("par: Run on a closed Pool")
	}
	workers := len(p.queues)
	p.f = f
	p.failed.Store(false)
	p.panicV.Store(nil)
	if workers == 1 || n == 1 {
		p.queues[0].span.Store(uint64(n) << 32)
		p.drain(0, 1)
	} else {
		for w := range workers {
			lo, hi := Range(n, workers, w)
			p.queues[w].span.Store(uint64(hi)<<32 | uint64(lo))
		}
		gen := p.state.Load()&^(genUnit-1) + genUnit
		p.state.Store(gen | openBit)
		p.wake(min(workers, n))
		p.lead(workers)
	}
	p.f = nil
	if e := p.panicV.Swap(nil); e != nil {
		panic(e)
	}
}

// lead is the caller's part of a region. Joining is deferred so that a task
// that calls runtime.Goexit on the caller does not leave workers behind.
func (p *Pool) lead(workers int) {
	defer p.join()
	p.drain(0, workers)
}

// Close ends the workers. Run must not be called afterwards. Closing twice is
// allowed.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	p.state.Or(closeBit)
	p.wake(len(p.queues))
}

// wake unparks the first n workers that are parked.
func (p *Pool) wake(n int) {
	for w := 1; w < n; w++ {
		s := &p.sleeps[w]
		if s.asleep.Load() == 1 && s.asleep.CompareAndSwap(1, 0) {
			s.wake <- struct{}{}
		}
	}
}

// drain runs tasks as worker w until none is left to claim among the first
// `workers` queues. A panic of a task is kept for Run.
func (p *Pool) drain(w, workers int) {
	task, ok := -1, false
	defer func() {
		if ok {
			return
		}
		v := recover()
		if v == nil {
			v = "the task called runtime.Goexit"
		}
		p.panicV.CompareAndSwap(nil, &Panic{Value: v, Stack: debug.Stack(), Task: task})
		p.failed.Store(true)
	}()
	f := p.f
	for own := &p.queues[w].span; !p.failed.Load(); {
		s := own.Load()
		lo, hi := uint32(s), uint32(s>>32)
		if lo >= hi {
			break
		}
		if own.CompareAndSwap(s, uint64(hi)<<32|uint64(lo+1)) {
			task = int(lo)
			f(task, w)
		}
	}
	for i := 1; i < workers; i++ {
		v := w + i
		if v >= workers {
			v -= workers
		}
		for victim := &p.queues[v].span; !p.failed.Load(); {
			s := victim.Load()
			lo, hi := uint32(s), uint32(s>>32)
			if lo >= hi {
				break
			}
			if victim.CompareAndSwap(s, uint64(hi-1)<<32|uint64(lo)) {
				task = int(hi - 1)
				f(task, w)
			}
		}
	}
	ok = true
}

// join closes the region and waits until every worker that joined has left.
func (p *Pool) join() {
	if p.state.And(^uint64(openBit))&joinedMask == 0 {
		return
	}
	var deadline time.Time
	if p.spin > 0 {
		deadline = time.Now().Add(joinSpin)
	}
	for n := 0; ; n++ {
		if p.state.Load()&joinedMask == 0 {
			return
		}
		if p.spin == 0 || n%burstsPerClock == burstsPerClock-1 && time.Now().After(deadline) {
			break
		}
		pause(pauseBurst)
	}
	p.waiting.Store(1)
	if p.state.Load()&joinedMask == 0 && p.waiting.CompareAndSwap(1, 0) {
		return
	}
	// Whoever leaves last, or has just left, finds waiting set and sends.
	<-p.done
}

// leave ends worker's part in the region and wakes the caller if it is the last.
func (p *Pool) leave() {
	s := p.state.Add(^uint64(0))
	if s&(joinedMask|openBit) == 0 && p.waiting.CompareAndSwap(1, 0) {
		p.done <- struct{}{}
	}
}

// worker is the body of workers 1….
func (p *Pool) worker(w int) {
	seen := uint64(0) // generation last taken part in
	for {
		s := p.await(w, seen)
		if s&closeBit != 0 {
			return
		}
		if s&openBit == 0 || s/genUnit == seen {
			continue
		}
		if !p.state.CompareAndSwap(s, s+1) {
			continue
		}
		seen = s / genUnit
		p.region(w)
	}
}

// region takes part in the open region. Leaving is deferred so that a task
// that calls runtime.Goexit costs its worker but not the region.
func (p *Pool) region(w int) {
	defer p.leave()
	p.drain(w, len(p.queues))
}

// ready reports whether a state calls for action by a worker.
func ready(s, seen uint64) bool {
	return s&closeBit != 0 || s&openBit != 0 && s/genUnit != seen
}

// await returns a state that calls for action: it spins, then parks.
func (p *Pool) await(w int, seen uint64) uint64 {
	s := p.state.Load()
	if ready(s, seen) {
		return s
	}
	if p.spin > 0 {
		start := time.Now()
		for n := 1; ; n++ {
			if s = p.state.Load(); ready(s, seen) {
				return s
			}
			if n%burstsPerClock == 0 && time.Since(start) > p.spin {
				break
			}
			pause(pauseBurst)
		}
	}
	sl := &p.sleeps[w]
	sl.asleep.Store(1)
	if s = p.state.Load(); ready(s, seen) && sl.asleep.CompareAndSwap(1, 0) {
		return s
	}
	<-sl.wake // also taken when the waker won the race for asleep
	return p.state.Load()
}
