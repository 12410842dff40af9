package native

import (
	"slices"

	"github.com/go-nncf/nncf/engine/plan"
)

// fuse joins chains of the same cut into one, computes cheap results again
// rather than keep them, drops the stores of results that only their own chain
// reads, and lets results lie where operands lay.
func (c *compiler) fuse() error {
	var steps []*step
	for _, s := range c.steps {
		steps = schedule(steps, s)
	}
	c.steps = steps
	c.again()
	if err := c.onLoad(); err != nil {
		return err
	}
	c.watch()

	// readers counts the steps that read each buffer, the outside world included.
	readers := map[*slot]int{}
	for _, s := range c.steps {
		for _, r := range s.reads {
			for _, same := range c.aliases(r) {
				readers[same]++
			}
		}
	}
	for _, o := range c.outputs {
		for _, same := range c.aliases(o) {
			readers[same]++
		}
	}
	for _, s := range c.steps {
		if s.chain == nil {
			continue
		}
		stored := map[*slot]bool{}
		var writes []*slot
		for _, l := range s.chain.links {
			if l.out != nil && readers[l.out] > 0 {
				stored[l.out] = true
				writes = append(writes, l.out)
			}
		}
		s.writes = writes
		ch := s.chain
		s.bind = func() func() error { return c.bindChain(ch, stored) }
	}
	c.reuse()
	return nil
}

// reuse lets results of chains lie where an operand lay that nobody reads any
// more: memory is saved, and lines just read are written, not others.
func (c *compiler) reuse() {
	last := map[*plan.Buffer]int{}
	for i, s := range c.steps {
		for _, l := range [][]*slot{s.reads, s.writes} {
			for _, r := range l {
				last[r.buf] = i
			}
		}
	}
	for _, s := range c.outputs {
		last[s.buf] = len(c.steps)
	}
	for i, s := range c.steps {
		if s.chain == nil {
			continue
		}
		taken := map[*plan.Buffer]bool{nil: true}
		for _, w := range s.writes {
			taken[w.buf] = true
		}
		for _, w := range s.writes {
			if x := s.chain.operandFor(w, func(x *slot) bool { return !taken[x.buf] && last[x.buf] == i }); x != nil {
				taken[x.buf] = true
				last[x.buf] = last[w.buf]
				old := w.buf
				for _, a := range c.byBuffer[old] {
					a.buf = x.buf
				}
				c.byBuffer[x.buf] = append(c.byBuffer[x.buf], c.byBuffer[old]...)
				delete(c.byBuffer, old)
			}
		}
	}
}

// operandFor returns an operand in whose memory the result w may lie: of the
// same size, acceptable to the caller, and read by no link after w's, nor as a
// whole.
func (ch *chain) operandFor(w *slot, accept func(*slot) bool) *slot {
	at := slices.IndexFunc(ch.links, func(l *link) bool { return l.out == w })
	l := ch.links[at]
	for k, x := range l.in {
		if x.dtype != w.dtype || x.buf == nil || !accept(x) || l.placed != nil && !l.placed(k) {
			continue
		}
		reads := func(s *slot) bool { return s.buf == x.buf }
		fits := !slices.ContainsFunc(ch.links, func(l *link) bool {
			return slices.ContainsFunc(l.also, reads) || l.out != nil && l.out.buf == x.buf
		})
		for j, o := range l.in { // the other operands of the same link
			fits = fits && (j == k || o.buf != x.buf || l.placed == nil || l.placed(j))
		}
		for _, later := range ch.links[at+1:] {
			fits = fits && !slices.ContainsFunc(later.in, reads)
		}
		if fits {
			return x
		}
	}
	return nil
}

// aliases returns all slots over the same buffer as s.
func (c *compiler) aliases(s *slot) []*slot {
	if s.buf == nil {
		return nil
	}
	return c.byBuffer[s.buf]
}

// joinable reports whether b may run tile by tile together with a, the step
// before it: both stream the same elements, so what b reads of a's results is
// always in the tile at hand. Small operands are read as a whole, so a must not
// compute them.
func joinable(a, b *step) bool {
	if a.chain == nil || b.chain == nil || a.chain.n != b.chain.n || a.chain.unit != b.chain.unit {
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
func schedule(steps []*step, s *step) []*step {
	if s.chain == nil {
		return append(steps, s)
	}
	end := len(steps)
	for k := end - 1; k >= max(0, end-lookBack); k-- {
		p := steps[k]
		if !joinable(p, s) || k != end-1 && !related(p, s) {
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
			break
		}
		join(p, s)
		return append(before, after...)
	}
	return append(steps, s)
}

// needs reports whether b must run after a: it reads what a writes, or both use
// the same scratch memory.
func needs(b, a *step) bool {
	for _, w := range a.writes {
		for _, r := range b.reads {
			if r.buf != nil && r.buf == w.buf {
				return true
			}
		}
	}
	for _, t := range a.temps {
		if slices.Contains(b.temps, t) {
			return true
		}
	}
	return false
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
