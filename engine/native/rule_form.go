package native

import "slices"

// form lets the packing of weights run what forms them, the last former first:
// a mask before a quantizer moves too.
func (c *compiler) form() error {
	for i := 0; i < len(c.steps); i++ {
		p := c.steps[i]
		if p.packs == nil || p.once {
			continue
		}
		for src := p.packs.src; ; {
			k := slices.IndexFunc(c.steps[:i], func(s *step) bool { return slices.Contains(s.writes, src) })
			if k < 0 {
				break
			}
			s := c.steps[k]
			f := c.formsWeight(s)
			if f == nil {
				p.note("form", false, "%s does not run block by block", s.title())
				break
			}
			if early := slices.IndexFunc(c.steps[k+1:i], func(m *step) bool { return needs(m, s) }); early >= 0 {
				p.note("form", false, "%s needs all of %s before", c.steps[k+1+early].title(), s.title())
				break
			}
			if over := slices.IndexFunc(c.steps[k+1:i], func(m *step) bool { return overwrites(m, s) }); over >= 0 {
				p.note("form", false, "%s writes over what %s reads", c.steps[k+1+over].title(), s.title())
				break
			}
			src = formedFrom(s)
			p.packs.formers = slices.Insert(p.packs.formers, 0, f)
			p.note("form", true, "%s runs on each block right before it is packed", s.title())
			p.fused = slices.Insert(p.fused, 0, s.kernel)
			p.reads = append(p.reads, s.reads...)
			p.writes = append(p.writes, s.writes...)
			p.temps = append(p.temps, s.temps...)
			c.steps = slices.Delete(c.steps, k, k+1)
			i--
			if src == nil {
				break
			}
		}
		if len(p.packs.formers) > 0 {
			p.fused = append(p.fused, p.kernel)
		}
	}
	return nil
}

// overwrites reports whether m writes memory that s reads: a result that lies
// where an operand of both lay, see reuse.
func overwrites(m, s *step) bool {
	return slices.ContainsFunc(m.writes, func(w *slot) bool {
		return w.buf != nil && slices.ContainsFunc(s.reads, func(r *slot) bool { return r.buf == w.buf })
	})
}

// formedFrom returns the operand of a former that has the result's shape, from
// which it makes it; nil if there are several.
func formedFrom(s *step) *slot {
	var from *slot
	for _, r := range s.reads {
		if r.buf == nil || !r.shape.Equal(s.writes[0].shape) || r.dtype != s.writes[0].dtype || r.order != rowMajor {
			continue
		}
		if from != nil {
			return nil
		}
		from = r
	}
	return from
}
