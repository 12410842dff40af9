package native

import (
	"slices"

	"github.com/go-nncf/nncf/internal/kernel/conv"
)

// loaded is the input of a convolution or of a weight gradient. Those copy
// windows of it to scratch memory before they compute; instead of copying they
// may run the links of a chain, so that a normalized, rectified, quantized
// activation need not exist in memory.
type loaded struct {
	slot    *slot
	repeats int          // how often a task reads what another one read too
	prepare func() error // replans the step for loading
	links   []*link      // what computes the input, in place; nil: it is read
}

// mem returns the input's memory, nil if it is computed.
func (l *loaded) mem() []float32 {
	if l.links != nil {
		return nil
	}
	return l.slot.f32()
}

// loader returns a function that computes part of the input, nil if it is read.
// Each worker needs its own.
func (l *loaded) loader() conv.Loader {
	if l.links == nil {
		return nil
	}
	type bound struct {
		run  tileFunc
		mem  [][]float32 // nil: what the link before left in the destination
		tile [][]float32
	}
	links := make([]bound, len(l.links))
	for i, m := range l.links {
		b := &links[i]
		b.run, b.tile = m.bind(), make([][]float32, len(m.in))
		for _, x := range m.in {
			if i > 0 && x == l.links[i-1].out {
				b.mem = append(b.mem, nil)
			} else {
				b.mem = append(b.mem, x.f32())
			}
		}
	}
	return func(dst []float32, at int) {
		for i := range links {
			b := &links[i]
			for k, m := range b.mem {
				if m == nil {
					b.tile[k] = dst
				} else {
					b.tile[k] = m[at:][:len(dst)]
				}
			}
			b.run(tile{lo: at}, dst, b.tile)
		}
	}
}

// mostRepeats bounds how often the same elements may be computed in one step.
const mostRepeats = 2

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

func (c *compiler) loadLink(p *step, l *link) error {
	z := l.out
	if slices.ContainsFunc(c.outputs, func(o *slot) bool { return o.buf == z.buf }) {
		return nil
	}
	cone := p.chain.cone(l, func(m *link) bool { return m.cheap || m.light })
	if cone == nil {
		return nil
	}
	// One after the other, each on the result of the one before.
	var leaves []*slot
	for i, m := range cone {
		for _, x := range m.in {
			made := slices.IndexFunc(cone, func(k *link) bool { return k.out == x })
			if made >= 0 && made != i-1 {
				return nil
			}
			if made < 0 && !slices.Contains(leaves, x) {
				leaves = append(leaves, x)
			}
		}
	}
	var readers []*step
	last := -1
	for j, s := range c.steps {
		if s == p || !slices.ContainsFunc(s.reads, func(r *slot) bool { return r.buf == z.buf }) {
			continue
		}
		others := slices.ContainsFunc(s.reads, func(r *slot) bool { return r != z && r.buf == z.buf })
		if s.input == nil || s.input.slot != z || s.input.repeats > mostRepeats || others {
			return nil
		}
		readers = append(readers, s)
		last = j
	}
	if last < 0 {
		return nil
	}
	kept := 0 // operands that would live longer than they do
	for _, x := range leaves {
		if x.dtype != z.dtype || x.order != z.order {
			return nil
		}
		if x.buf != nil && c.lastRead(x.buf) < last {
			kept++
		}
	}
	if kept > 1 {
		return nil
	}
	for _, s := range readers {
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
			s.fused = append(s.fused, m.name)
		}
		s.fused = append(s.fused, s.kernel)
	}
	return nil
}
