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
			free := func(x *slot) bool { return !taken[x.buf] && last[x.buf] == i }
			x := ch.operandFor(w, func(x *slot) bool { return s.output != nil && x == s.output.slot && free(x) }) // written a moment ago
			if x == nil {
				x = ch.operandFor(w, free)
			}
			if x != nil {
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
// whole. Operands of w's own link come first; those of links before it do too,
// since a tile is read there before w's is written.
func (ch *chain) operandFor(w *slot, accept func(*slot) bool) *slot {
	at := slices.IndexFunc(ch.links, func(l *link) bool { return l.out == w })
	for i := at; i >= 0; i-- {
		for _, x := range ch.links[i].in {
			if x.dtype == w.dtype && x.buf != nil && accept(x) && ch.mayLieIn(at, x) {
				return x
			}
		}
	}
	return nil
}

// mayLieIn reports whether the result of link at may lie where x lies.
func (ch *chain) mayLieIn(at int, x *slot) bool {
	reads := func(s *slot) bool { return s.buf == x.buf }
	for i, l := range ch.links {
		switch {
		case slices.ContainsFunc(l.also, reads), l.out != nil && l.out.buf == x.buf:
			return false
		case i > at && slices.ContainsFunc(l.in, reads):
			return false
		}
	}
	l := ch.links[at]
	for k, o := range l.in {
		if o.buf == x.buf && l.placed != nil && !l.placed(k) {
			return false
		}
	}
	return true
}
