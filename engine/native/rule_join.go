package native

import "slices"

// joinChains joins chains of the same cut into one, so that each streams its
// operands once.
func (c *compiler) joinChains() error {
	var steps []*step
	for _, s := range c.steps {
		steps = c.schedule(steps, s)
	}
	c.steps = steps
	return nil
}

// joinable reports whether b may run tile by tile together with a, the step
// before it: both stream the same elements, so what b reads of a's results is
// always in the tile at hand. Small operands are read as a whole, so a must not
// compute them.
func (c *compiler) joinable(a, b *step) bool {
	if a.chain == nil || b.chain == nil || a.chain.n != b.chain.n || a.chain.unit != b.chain.unit || !c.follows(a.chain, b.chain) {
		return false
	}
	for _, l := range b.chain.links {
		for _, s := range l.also {
			for _, m := range a.chain.links {
				if m.out != nil && (m.out == s || m.out.buf != nil && m.out.buf == s.buf) {
					return false
				}
			}
		}
	}
	return true
}

// lookBack bounds how many steps a chain may move up to join another.
const lookBack = 48

// schedule appends s to the steps, or joins it with the nearest chain before it
// that it shares an operand with. Steps between the two that do not need that
// chain move before it, the others stay behind; s must need none of those.
func (c *compiler) schedule(steps []*step, s *step) []*step {
	if s.chain == nil {
		return append(steps, s)
	}
	end := len(steps)
	for k := end - 1; k >= max(0, end-lookBack); k-- {
		p := steps[k]
		if !c.joinable(p, s) || k != end-1 && !related(p, s) {
			continue
		}
		before, after := slices.Clone(steps[:k]), []*step{p}
		for _, m := range steps[k+1:] {
			if slices.ContainsFunc(after, func(a *step) bool { return needs(m, a) }) {
				after = append(after, m)
			} else {
				before = append(before, m)
			}
		}
		if slices.ContainsFunc(after[1:], func(a *step) bool { return needs(s, a) }) {
			s.note("join", false, "does not stream with %s: steps between the two are needed first", p.title())
			break
		}
		join(p, s)
		return append(before, after...)
	}
	return append(steps, s)
}

// related reports whether two chains have an operand or a result in common.
func related(a, b *step) bool {
	same := func(x, y *slot) bool { return x == y || x.buf != nil && x.buf == y.buf }
	for _, l := range b.chain.links {
		for _, x := range l.in {
			for _, m := range a.chain.links {
				if m.out != nil && same(m.out, x) || slices.ContainsFunc(m.in, func(y *slot) bool { return same(x, y) }) {
					return true
				}
			}
		}
	}
	return false
}

// join appends b's links to a. What b reads from a is no longer read from memory.
func join(a, b *step) {
	made := map[*slot]bool{}
	for _, l := range a.chain.links {
		if l.out != nil {
			made[l.out] = true
		}
	}
	if a.fused == nil {
		a.fused = []string{a.kernel}
	}
	a.fused = append(a.fused, b.kernel)
	a.notes = append(a.notes, b.notes...)
	a.note("join", true, "%s streams with it", b.title())
	a.kernel = "chain"
	a.chain.links = append(a.chain.links, b.chain.links...)
	for _, r := range b.reads {
		if !made[r] {
			a.reads = append(a.reads, r)
		}
	}
	a.writes = append(a.writes, b.writes...)
	a.temps = append(a.temps, b.temps...)
}
