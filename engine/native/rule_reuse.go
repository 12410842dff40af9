package native

import (
	"slices"

	"github.com/go-nncf/nncf/engine/plan"
)

// reuse lets results of chains lie where an operand lay that nobody reads any
// more: memory is saved, and lines just read are written, not others.
func (c *compiler) reuse() error {
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
		ch := s.runs()
		if ch == nil {
			continue
		}
		taken := map[*plan.Buffer]bool{nil: true}
		for _, w := range s.writes {
			taken[w.buf] = true
		}
		writes := s.writes
		if s.output != nil { // a convolution's result may be overwritten, what its other tasks read may not
			for _, r := range s.output.reads {
				taken[r.buf] = true
			}
			delete(taken, s.output.slot.buf)
			writes = writes[1:]
		}
		for _, w := range writes {
			if x := ch.operandFor(w, func(x *slot) bool { return !taken[x.buf] && last[x.buf] == i }); x != nil {
				s.note("reuse", true, "the result lies where %q lay", x.value.Name)
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
	return nil
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
