package native

import "slices"

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

// watch moves chains of nothing but sums over one convolution's result into that
// convolution.
func (c *compiler) watch() {
	for i := 0; i < len(c.steps); i++ {
		s := c.steps[i]
		if s.chain == nil {
			continue
		}
		x := s.chain.links[0].in[:min(1, len(s.chain.links[0].in))]
		if len(x) == 0 || slices.ContainsFunc(s.chain.links, func(l *link) bool {
			return l.out != nil || l.sums == nil || len(l.also) > 0 || len(l.in) != 1 || l.in[0] != x[0]
		}) {
			continue
		}
		at := slices.IndexFunc(c.steps[:i], func(q *step) bool { return q.output != nil && q.output.slot == x[0] })
		if at < 0 || !c.steps[at].output.entire() || s.chain.unit != chainUnit(x[0]) ||
			slices.ContainsFunc(c.steps[at+1:i], func(m *step) bool { return needs(s, m) }) {
			continue
		}
		q := c.steps[at]
		for _, l := range s.chain.links {
			l.sums.recut(q.output.tasks())
			q.fused = append(q.fused, l.name)
		}
		q.output.links = append(q.output.links, s.chain.links...)
		q.temps = append(q.temps, s.temps...)
		c.steps = slices.Delete(c.steps, i, i+1)
		i--
	}
}
