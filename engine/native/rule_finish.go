package native

import (
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/tensor"
)

// finish moves chains into the convolution whose result they read, see
// [finished].
func (c *compiler) finish() error {
	for i := 0; i < len(c.steps); i++ {
		s := c.steps[i]
		if s.chain == nil {
			continue
		}
		q, reason := c.finisher(i, s)
		if reason != "" {
			s.note("finish", false, "a pass of its own: %s", reason)
		}
		if q == nil {
			continue
		}
		if q.output.chain == nil {
			q.output.chain = newChain(s.chain.n, s.chain.unit, nil)
			q.output.chain.links = nil
			q.output.reads = slices.Clone(q.reads)
			q.fused = append(q.fused, q.kernel)
		}
		made := map[*slot]bool{q.output.slot: true}
		for _, l := range q.output.chain.links {
			if l.out != nil {
				made[l.out] = true
			}
		}
		for _, l := range s.chain.links {
			if l.sums != nil {
				l.sums.recut(q.output.tasks())
			}
			q.fused = append(q.fused, l.name)
		}
		q.notes = append(q.notes, s.notes...)
		q.note("finish", true, "%s runs over each part of the result while the caches hold it", s.title())
		q.output.chain.links = append(q.output.chain.links, s.chain.links...)
		for _, r := range s.reads {
			if !made[r] {
				q.reads = append(q.reads, r)
			}
		}
		q.writes = append(q.writes, s.writes...)
		q.temps = append(q.temps, s.temps...)
		for _, t := range s.temps {
			if s.onlyReads(t) {
				q.given = append(q.given, t)
			}
		}
		c.steps = slices.Delete(c.steps, i, i+1)
		i--
	}
	return nil
}

// finisher returns the convolution that may run the chain of step i, and moves
// before it what the chain needs besides. If there is none, reason says why the
// convolution that made an operand may not; it is empty if none made one.
func (c *compiler) finisher(i int, s *step) (q *step, reason string) {
	operand := func(x *slot) bool {
		return slices.ContainsFunc(s.chain.links, func(l *link) bool { return slices.Contains(l.in, x) })
	}
	k := i - 1
	for ; k >= 0; k-- {
		if o := c.steps[k].output; o != nil && operand(o.slot) {
			break
		}
	}
	if k < 0 {
		return nil, ""
	}
	if host, free := c.hostOf(s.chain); !free && c.steps[k].node.ResultName() != host {
		return nil, "its sums are cut as in the plan without a memory limit"
	}
	if h := c.steps[k].output.chain; h != nil && !c.follows(h, s.chain) {
		return nil, "its sums are cut as in the plan without a memory limit"
	}
	q = c.steps[k]
	switch {
	case !q.output.entire():
		return nil, "tasks of " + q.title() + " make some of the channels each"
	case s.chain.unit != chainUnit(q.output.slot) || s.chain.n != q.output.slot.shape.Numel():
		return nil, "it is cut otherwise than the channels of " + q.title()
	case q.output.tasks() < min(fewTasks, c.tasksOf(s.chain)):
		return nil, fmt.Sprintf("%s has %d tasks only", q.title(), q.output.tasks())
	case readsWhole(s.chain, q):
		return nil, "it reads a result of " + q.title() + " as a whole"
	}
	// What the chain needs from steps between moves before the convolution,
	// unless that needs the convolution.
	between := c.steps[k+1 : i]
	first := make([]bool, len(between))
	for b := len(between) - 1; b >= 0; b-- {
		m := between[b]
		first[b] = needs(s, m)
		for later := b + 1; later < len(between); later++ {
			first[b] = first[b] || first[later] && needs(between[later], m)
		}
		if first[b] && needs(m, q) {
			return nil, "it needs " + m.title() + ", which needs " + q.title()
		}
	}
	order := slices.Clone(c.steps[:k])
	var rest []*step
	for b, m := range between {
		if first[b] {
			order = append(order, m)
		} else {
			rest = append(rest, m)
		}
	}
	order = append(append(order, q), rest...)
	c.steps = append(order, c.steps[i:]...)
	return q, ""
}

// fewTasks is the number of tasks below which a convolution would keep most
// workers of a large machine from the chain.
const fewTasks = 8

// tasksOf returns the number of tasks of a chain that is a step.
func (c *compiler) tasksOf(ch *chain) int {
	_, n := chainTasks(ch.n, ch.unit)
	return n
}

// readsWhole reports whether a link reads as a whole, not tile by tile, what
// the step or its chain makes.
func readsWhole(ch *chain, q *step) bool {
	for _, l := range ch.links {
		for _, x := range l.also {
			if slices.ContainsFunc(q.writes, func(w *slot) bool { return w == x || w.buf != nil && w.buf == x.buf }) {
				return true
			}
		}
		for _, x := range l.in { // the same memory under another shape or order
			if slices.ContainsFunc(q.writes, func(w *slot) bool { return w != x && w.buf != nil && w.buf == x.buf }) {
				return true
			}
			if x.dtype != tensor.Float32 && slices.Contains(q.writes, x) {
				return true
			}
		}
	}
	return false
}
