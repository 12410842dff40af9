package par_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-nncf/nncf/internal/par"
)

func TestSplitAndRange(t *testing.T) {
	for n := range 70 {
		for grain := range 20 {
			tasks := par.Split(n, grain)
			if n == 0 {
				if tasks != 0 {
					t.Fatalf("Split(0, %d) = %d, want 0", grain, tasks)
				}
				continue
			}
			next := 0
			for task := range tasks {
				lo, hi := par.Range(n, tasks, task)
				if lo != next || hi < lo+min(n, max(1, grain)) && tasks > 1 {
					t.Fatalf("Range(%d, %d, %d) = %d, %d after %d, grain %d", n, tasks, task, lo, hi, next, grain)
				}
				next = hi
			}
			if next != n {
				t.Fatalf("%d items in %d tasks: covered %d", n, tasks, next)
			}
		}
	}
}

func TestRun_EachTaskOnce(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 8} {
		for _, spin := range []time.Duration{0, -1, time.Microsecond} {
			t.Run(fmt.Sprintf("workers=%d/spin=%v", workers, spin), func(t *testing.T) {
				p := par.Options{Workers: workers, Spin: spin}.New()
				defer p.Close()
				if p.Workers() != workers {
					t.Fatalf("Workers() = %d, want %d", p.Workers(), workers)
				}
				busy := make([]atomic.Int32, workers)
				for round := range 300 {
					n := round % 37
					count := make([]atomic.Int32, n)
					p.Run(n, func(task, worker int) {
						if busy[worker].Add(1) != 1 {
							t.Errorf("worker %d runs two tasks at once", worker)
						}
						count[task].Add(1)
						busy[worker].Add(-1)
					})
					for i := range count {
						if c := count[i].Load(); c != 1 {
							t.Fatalf("round %d: task %d of %d ran %d times", round, i, n, c)
						}
					}
				}
			})
		}
	}
}

// Writes of tasks are visible after Run and to the next Run without other
// synchronisation (the race detector checks the second half of the claim).
func TestRun_OrdersMemory(t *testing.T) {
	p := par.New(4)
	defer p.Close()
	x := make([]int, 64)
	for range 200 {
		p.Run(len(x), func(task, _ int) { x[task]++ })
	}
	if i := slices.IndexFunc(x, func(v int) bool { return v != 200 }); i >= 0 {
		t.Fatalf("x[%d] = %d, want 200", i, x[i])
	}
}

func TestRun_FasterWorkerHelps(t *testing.T) {
	p := par.New(2)
	defer p.Close()
	// Task 0 of the caller's share waits for the last of the same share, so the
	// region ends only if the other worker steals.
	last := make(chan struct{})
	p.Run(8, func(task, _ int) {
		switch task {
		case 0:
			select {
			case <-last:
			case <-time.After(10 * time.Second):
				t.Error("nobody ran task 3 while its owner was busy")
			}
		case 3:
			close(last)
		}
	})
}

// A worker that never gets a core must not delay Run: its share is stolen.
func TestRun_OneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	p := par.New(4)
	defer p.Close()
	var n atomic.Int32
	start := time.Now()
	for range 200 {
		p.Run(16, func(int, int) { n.Add(1) })
	}
	if n.Load() != 3200 {
		t.Fatalf("ran %d tasks, want 3200", n.Load())
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("200 small regions on one processor took %v", d)
	}
}

func TestRun_TaskPanic(t *testing.T) {
	p := par.New(3)
	defer p.Close()
	boom := errors.New("boom")
	for _, bad := range []int{0, 5, 11} {
		got := func() (v any) {
			defer func() { v = recover() }()
			p.Run(12, func(task, _ int) {
				if task == bad {
					panic(boom)
				}
			})
			return nil
		}()
		pe, ok := got.(*par.Panic)
		if !ok || pe.Task != bad || !errors.Is(pe, boom) || len(pe.Stack) == 0 {
			t.Fatalf("task %d: Run panicked with %v, want *par.Panic of that task wrapping %v", bad, got, boom)
		}
		var n atomic.Int32
		p.Run(12, func(int, int) { n.Add(1) })
		if n.Load() != 12 {
			t.Fatalf("after a panic: %d tasks ran, want 12", n.Load())
		}
	}
}

func TestRun_TaskGoexit(t *testing.T) {
	p := par.New(2)
	defer p.Close()
	for round := range 3 {
		var wg sync.WaitGroup
		wg.Go(func() {
			defer func() { recover() }()
			p.Run(4, func(task, _ int) {
				if task == 3 {
					runtime.Goexit()
				}
			})
		})
		wg.Wait()
		var n atomic.Int32
		p.Run(4, func(int, int) { n.Add(1) })
		if n.Load() != 4 {
			t.Fatalf("round %d: %d tasks ran after a Goexit, want 4", round, n.Load())
		}
	}
}

func TestRun_ConcurrentCallersTakeTurns(t *testing.T) {
	p := par.New(3)
	defer p.Close()
	var inside, total atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				p.Run(6, func(int, int) {
					if inside.Add(1) > 3 {
						t.Error("more tasks at once than workers")
					}
					total.Add(1)
					inside.Add(-1)
				})
			}
		})
	}
	wg.Wait()
	if total.Load() != 1200 {
		t.Fatalf("ran %d tasks, want 1200", total.Load())
	}
}

func TestClose(t *testing.T) {
	before := runtime.NumGoroutine()
	p := par.New(5)
	p.Run(20, func(int, int) {})
	p.Close()
	p.Close()
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines after Close, %d before New", runtime.NumGoroutine(), before)
		}
		time.Sleep(time.Millisecond)
	}
	defer func() {
		if recover() == nil {
			t.Error("Run after Close did not panic")
		}
	}()
	p.Run(1, func(int, int) {})
}

func TestRun_ParkedWorkersWake(t *testing.T) {
	p := par.Options{Workers: 2, Spin: 20 * time.Microsecond}.New()
	defer p.Close()
	for range 20 {
		time.Sleep(2 * time.Millisecond) // long past the spinning time
		met := make(chan struct{})
		p.Run(2, func(task, _ int) {
			select { // two tasks meet only if two workers run
			case met <- struct{}{}:
			case <-met:
			case <-time.After(10 * time.Second):
				t.Error("the parked worker did not wake")
			}
		})
	}
}

func TestRun_NoAllocation(t *testing.T) {
	p := par.New(2)
	defer p.Close()
	f := func(int, int) {}
	if a := testing.AllocsPerRun(200, func() { p.Run(8, f) }); a != 0 {
		t.Errorf("Run allocates %v objects, want 0", a)
	}
}

func BenchmarkRun(b *testing.B) {
	work := func(n int) float32 {
		v := float32(1)
		for range n {
			v += 1.0001
		}
		return v
	}
	var sink [64 * 64]float32
	for _, us := range []int{0, 7, 50} {
		f := func(task, worker int) { sink[worker*64] = work(us * 700) }
		b.Run(fmt.Sprintf("impl=serial/us=%d", us), func(b *testing.B) {
			for b.Loop() {
				f(0, 0)
				f(1, 0)
			}
		})
		b.Run(fmt.Sprintf("impl=goroutines/us=%d", us), func(b *testing.B) {
			for b.Loop() {
				var wg sync.WaitGroup
				wg.Go(func() { f(1, 1) })
				f(0, 0)
				wg.Wait()
			}
		})
		b.Run(fmt.Sprintf("impl=pool/us=%d", us), func(b *testing.B) {
			p := par.New(2)
			defer p.Close()
			for b.Loop() {
				p.Run(2, f)
			}
		})
	}
}
