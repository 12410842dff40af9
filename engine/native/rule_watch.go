package native

import "slices"

// watch moves chains of nothing but sums over one convolution's result into that
// convolution.
func (c *compiler) watch() error {
	for i := 0; i < len(c.steps); i++ {
		s := c.steps[i]
		if s.chain == nil || slices.ContainsFunc(s.chain.links, func(l *link) bool { return l.out != nil }) {
			continue
		}
		q, reason := c.watcher(i, s)
		if reason != "" {
			s.note("watch", false, "the sums take a pass of their own: %s", reason)
			continue
		}
		for _, l := range s.chain.links {
			l.sums.recut(q.output.tasks())
			q.fused = append(q.fused, l.name)
			q.note("watch", true, "%s of %s are summed while the caches hold the result", l.name, l.node.Name)
		}
		q.output.links = append(q.output.links, s.chain.links...)
		q.temps = append(q.temps, s.temps...)
		c.steps = slices.Delete(c.steps, i, i+1)
		i--
	}
	return nil
}

// watcher returns the convolution that may run the sums of step i, or why none
// may.
func (c *compiler) watcher(i int, s *step) (q *step, reason string) {
	var x *slot
	for _, l := range s.chain.links {
		if l.sums == nil || len(l.also) > 0 || len(l.in) != 1 || x != nil && l.in[0] != x {
			return nil, "they are of more than one value"
		}
		x = l.in[0]
	}
	at := slices.IndexFunc(c.steps[:i], func(q *step) bool { return q.output != nil && q.output.slot == x })
	switch {
	case at < 0:
		return nil, "the value is not the result of a convolution"
	case !c.steps[at].output.entire():
		return nil, "tasks of " + c.steps[at].title() + " make some of the channels"
	case s.chain.unit != chainUnit(x):
		return nil, "the sums are cut otherwise than the channels"
	case slices.ContainsFunc(c.steps[at+1:i], func(m *step) bool { return needs(s, m) }):
		return nil, "they need what is computed after " + c.steps[at].title()
	}
	return c.steps[at], ""
}
