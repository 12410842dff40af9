package native

import (
	"fmt"
	"slices"
)

const (
	// mostRepeats bounds how often the same elements may be computed in one step.
	mostRepeats = 2
	// repeatWork multiplications for each element make up for any number of
	// repeats: normalizing, rectifying and quantizing takes some ten operations.
	repeatWork = 128
)

// tooOften reports whether the step would compute its input more often than pays.
func (l *loaded) tooOften() bool { return l.repeats > mostRepeats && l.work < repeatWork }

// onLoad finds results of chains that only convolutions read, and lets those
// compute them.
func (c *compiler) onLoad() error {
	for _, p := range c.steps {
		if p.chain == nil {
			continue
		}
		for _, l := range slices.Clone(p.chain.links) {
			if l.out != nil && l.out.buf != nil {
				if err := c.loadLink(p, l); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// loadLink lets the readers of l's result compute it, or notes with those that
// could why they do not.
func (c *compiler) loadLink(p *step, l *link) error {
	z := l.out
	var readers []*step
	for _, s := range c.steps {
		if s != p && slices.ContainsFunc(s.reads, func(r *slot) bool { return r.buf == z.buf }) {
			readers = append(readers, s)
		}
	}
	could := func(s *step) bool { return s.input != nil && s.input.slot == z }
	if !slices.ContainsFunc(readers, could) {
		return nil
	}
	cone, leaves, reason := c.loadable(p, l, readers, could)
	if reason != "" {
		if kept := c.operandsKept(p, l, readers, could); kept != nil {
			cone, leaves, reason = []*link{l}, kept, ""
		}
	}
	if reason != "" {
		for _, s := range readers {
			if could(s) {
				s.note("load", false, "%s of %s is read from memory: %s", l.name, l.node.Name, reason)
			}
		}
		return nil
	}
	for _, s := range readers {
		if !could(s) {
			s.repeatCone(c, cone, z, leaves)
			continue
		}
		s.input.links = cone
		if err := s.input.prepare(); err != nil {
			return err
		}
		s.reads = slices.DeleteFunc(s.reads, func(r *slot) bool { return r == z })
		for _, x := range leaves {
			if !slices.Contains(s.reads, x) {
				s.reads = append(s.reads, x)
			}
		}
		for _, m := range cone {
			s.temps = append(s.temps, m.temps...)
			s.given = append(s.given, m.temps...)
			s.fused = append(s.fused, m.name)
			s.note("load", true, "%s of %s is computed as the input is loaded", m.name, m.node.Name)
		}
		s.fused = append(s.fused, s.kernel)
	}
	return nil
}

// operandsKept returns the operands of l if they stay in memory anyway for as
// long as its result would, and all readers may compute that themselves, chains
// among them; nil if it is not so. A quantized activation need then not be kept
// beside the activation, which the quantizer's gradient asks for.
func (c *compiler) operandsKept(p *step, l *link, readers []*step, could func(*step) bool) []*slot {
	z := l.out
	if !l.cheap && !l.light || len(l.also) > 0 || l.sums != nil || slices.ContainsFunc(c.outputs, func(o *slot) bool { return o.buf == z.buf }) {
		return nil
	}
	from, last := slices.Index(c.steps, p), 0
	for _, s := range readers {
		at := slices.Index(c.steps, s)
		last = max(last, at)
		conv := could(s) && c.mayLoad(s) && !s.input.tooOften() &&
			!slices.ContainsFunc(s.reads, func(r *slot) bool { return r != z && r.buf == z.buf })
		if at < from || !conv && (s.chain == nil || !s.chain.readsOnly(z)) {
			return nil
		}
	}
	for _, x := range l.in {
		if x.buf == nil || x.dtype != z.dtype || x.order != z.order || c.lastRead(x.buf) < last {
			return nil
		}
	}
	return slices.Clone(l.in)
}

// loadable returns the links that lead to l and what they read from memory, or
// the reason why the readers cannot, or should not, compute them.
func (c *compiler) loadable(p *step, l *link, readers []*step, could func(*step) bool) (cone []*link, leaves []*slot, reason string) {
	z := l.out
	if slices.ContainsFunc(c.outputs, func(o *slot) bool { return o.buf == z.buf }) {
		return nil, nil, "it is a result of the graph"
	}
	cone = p.chain.cone(l, func(m *link) bool { return m.cheap || m.light })
	if cone == nil {
		return nil, nil, "it takes more than light arithmetic on whole operands"
	}
	// One after the other, each on the result of the one before.
	for i, m := range cone {
		for _, x := range m.in {
			made := slices.IndexFunc(cone, func(k *link) bool { return k.out == x })
			if made >= 0 && made != i-1 {
				return nil, nil, "its operators do not follow each other one by one"
			}
			if made < 0 && !slices.Contains(leaves, x) {
				leaves = append(leaves, x)
			}
		}
	}
	for _, s := range readers {
		switch {
		case !could(s):
			return nil, nil, fmt.Sprintf("%s reads it too", s.title())
		case !c.mayLoad(s):
			return nil, nil, s.title() + " would add up in another order than the plan without a memory limit"
		case s.input.tooOften():
			return nil, nil, fmt.Sprintf("%s would compute it %d times", s.title(), s.input.repeats)
		case slices.ContainsFunc(s.reads, func(r *slot) bool { return r != z && r.buf == z.buf }):
			return nil, nil, "its memory is read as another value too"
		}
	}
	last := slices.Index(c.steps, readers[len(readers)-1])
	kept := 0 // operands that would live longer than they do
	for _, x := range leaves {
		if x.dtype != z.dtype || x.order != z.order {
			return nil, nil, "an operand has another element type or order"
		}
		if x.buf != nil && c.lastRead(x.buf) < last {
			kept++
		}
	}
	if kept > 1 {
		return nil, nil, fmt.Sprintf("%d operands would have to be kept instead", kept)
	}
	return cone, leaves, ""
}
