package native

// finished is the result of a convolution, whose tasks may run a chain over the
// region that they wrote while the caches still hold it: statistics of a
// normalization, the addition and activation behind the convolution, or the
// masks and sums of a gradient then cost no pass over memory.
type finished struct {
	slot   *slot
	tasks  func() int
	region func(task int) (lo, hi int) // elements, whole pixels; regions of all tasks together are the result, each once
	entire func() bool                 // whether regions have all channels

	chain  *chain         // nil unless a rule gives it one
	stored map[*slot]bool // see chainPart
	reads  []*slot        // what the convolution itself reads
}

// after returns what to do when a task is done; nil: nothing.
func (f *finished) after(c *compiler) func(task, worker int) {
	if f.chain == nil {
		return nil
	}
	part := c.chainPart(f.chain, f.stored)
	var all []*sums
	for _, l := range f.chain.links {
		if l.sums != nil {
			all = append(all, l.sums)
		}
	}
	return func(task, worker int) {
		lo, end := f.region(task)
		if lo >= end { // nothing ran that would overwrite what the memory held
			for _, s := range all {
				clear(s.part.mem[task*s.size:][:s.size])
			}
		}
		part(task, worker, lo, end)
	}
}

// then runs task, and after it what finishes its result.
func then(task, after func(task, worker int)) func(task, worker int) {
	if after == nil {
		return task
	}
	return func(t, worker int) {
		task(t, worker)
		after(t, worker)
	}
}

// runs returns the chain that the step is, or runs.
func (s *step) runs() *chain {
	switch {
	case s.chain != nil:
		return s.chain
	case s.output != nil:
		return s.output.chain
	}
	return nil
}
