package native

// watched is the result of a convolution, which may be summed region by region
// while the caches still hold it: statistics of a normalization then cost no
// pass over memory.
type watched struct {
	slot    *slot
	tasks   func() int
	region  func(task int) (lo, hi int) // elements, whole pixels
	entire  func() bool                 // whether regions have all channels
	links   []*link                     // sums of slot alone
	workers int
}

// after returns what to do when a task is done; nil: nothing.
func (w *watched) after() func(task, worker int) {
	if len(w.links) == 0 {
		return nil
	}
	var run []tileFunc
	for _, l := range w.links {
		run = append(run, l.bind())
	}
	x := w.slot.f32()
	step := roundUnit(tileLen, chainUnit(w.slot))
	src := make([][][]float32, w.workers)
	for i := range src {
		src[i] = make([][]float32, 1)
	}
	return func(task, worker int) {
		lo, end := w.region(task)
		s := src[worker]
		if lo >= end {
			for _, l := range w.links {
				clear(l.sums.part.mem[task*l.sums.size:][:l.sums.size])
			}
		}
		for at := lo; at < end; at += step {
			s[0] = x[at:min(end, at+step)]
			for _, f := range run {
				f(tile{task: task, lo: at, first: at == lo}, nil, s)
			}
		}
	}
}

// then runs task, and after it what watches its result.
func then(task, after func(task, worker int)) func(task, worker int) {
	if after == nil {
		return task
	}
	return func(t, worker int) {
		task(t, worker)
		after(t, worker)
	}
}
