package native

import (
	"slices"

	"github.com/go-nncf/nncf/engine/plan"
)

// again lets chains compute what an earlier chain computed, instead of reading
// it: the earlier one then need not store it, and no memory keeps it until then.
// A normalized, rectified activation that only its quantizer's gradient asks
// for is made again from the convolution's result, which that chain reads
// anyway. The same operations on the same operands give the same bits.
//
// It does so where all links that lead to the result are cheap and the reader
// reads their operands anyway. If every reader is a chain, one operand of each
// may also be read in place of the result, provided it is in use even later.
func (c *compiler) again() error {
	for i, p := range c.steps {
		if p.chain == nil {
			continue
		}
		for _, l := range slices.Clone(p.chain.links) {
			if l.out != nil && l.out.buf != nil {
				c.repeatLink(i, p, l)
			}
		}
	}
	return nil
}

func (c *compiler) repeatLink(at int, p *step, l *link) {
	z := l.out
	cone := p.chain.cone(l, func(m *link) bool { return m.cheap })
	if cone == nil {
		return
	}
	var leaves []*slot
	for _, m := range cone {
		for _, x := range m.in {
			made := slices.ContainsFunc(cone, func(k *link) bool { return k.out == x })
			if !made && !slices.Contains(leaves, x) {
				leaves = append(leaves, x)
			}
		}
	}
	all := !slices.ContainsFunc(c.outputs, func(o *slot) bool { return o.buf == z.buf })
	var free, others []*step
	for j, s := range c.steps {
		if s == p || !slices.ContainsFunc(s.reads, func(r *slot) bool { return r.buf == z.buf }) {
			continue
		}
		if j < at || s.chain == nil || !s.chain.readsOnly(z) {
			all = false
			continue
		}
		extra := 0
		for _, x := range leaves {
			if slices.Contains(s.reads, x) {
				continue
			}
			if extra++; extra > 1 || x.buf != nil && c.lastRead(x.buf) <= j {
				all = false
			}
		}
		if extra == 0 {
			free = append(free, s)
		} else {
			others = append(others, s)
		}
	}
	if all {
		free = append(free, others...)
	}
	for _, s := range free {
		s.repeatCone(c, cone, z, leaves)
	}
}

// cone returns the links that lead to l, in order, or nil if one does not do.
func (ch *chain) cone(l *link, does func(*link) bool) []*link {
	need := map[*slot]bool{l.out: true}
	var cone []*link
	for i := slices.Index(ch.links, l); i >= 0; i-- {
		m := ch.links[i]
		if m.out == nil || !need[m.out] {
			continue
		}
		if !does(m) || len(m.also) > 0 {
			return nil
		}
		cone = append(cone, m)
		for _, x := range m.in {
			need[x] = true
		}
	}
	slices.Reverse(cone)
	return cone
}

// readsOnly reports whether the chain reads the memory of z as z and tile by
// tile only.
func (ch *chain) readsOnly(z *slot) bool {
	for _, l := range ch.links {
		for _, x := range l.in {
			if x != z && x.buf == z.buf {
				return false
			}
		}
		if slices.ContainsFunc(l.also, func(x *slot) bool { return x.buf == z.buf }) {
			return false
		}
	}
	return true
}

// lastRead returns the last step that reads the buffer.
func (c *compiler) lastRead(b *plan.Buffer) int {
	for i := len(c.steps) - 1; i >= 0; i-- {
		if slices.ContainsFunc(c.steps[i].reads, func(r *slot) bool { return r.buf == b }) {
			return i
		}
	}
	return -1
}

// repeatCone puts copies of the links before the first link that reads z.
func (s *step) repeatCone(c *compiler, cone []*link, z *slot, leaves []*slot) {
	copies := map[*slot]*slot{}
	var links []*link
	for _, m := range cone {
		k := *m
		k.in = slices.Clone(m.in)
		for i, x := range k.in {
			if y := copies[x]; y != nil {
				k.in[i] = y
			}
		}
		k.out = c.span(m.out.value, m.out.shape, m.out.dtype, m.out.order)
		c.byBuffer[k.out.buf] = []*slot{k.out}
		copies[m.out] = k.out
		links = append(links, &k)
		s.temps = append(s.temps, m.temps...)
	}
	first := slices.IndexFunc(s.chain.links, func(l *link) bool { return slices.Contains(l.in, z) })
	for _, l := range s.chain.links[first:] {
		for i, x := range l.in {
			if x == z {
				l.in[i] = copies[z]
			}
		}
	}
	s.chain.links = slices.Insert(s.chain.links, first, links...)
	s.note("again", true, "%q is computed again from %d operands, not kept", z.value.Name, len(leaves))
	s.reads = slices.DeleteFunc(s.reads, func(r *slot) bool { return r == z })
	for _, x := range leaves {
		if !slices.Contains(s.reads, x) {
			s.reads = append(s.reads, x)
		}
	}
}
