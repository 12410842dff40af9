package native

import (
	"slices"

	"github.com/go-nncf/nncf/internal/par"
)

// group is steps next to each other that go image by image: a worker takes some
// images through all of them, so that what one step writes is still in the caches
// when the next one reads it. Each step's tasks and sums are those that it would
// have alone, so results have the same bits.
//
//	alone     step A: image 0 1 2 3 …    then step B: image 0 1 2 3 …
//	grouped   worker 0: A0 B0 A1 B1      worker 1: A2 B2 A3 B3      …
type group struct {
	members []*step
	images  int
	parts   []int // images at which another worker may take over, 0 and all included
	run     func()
}

const (
	// groupAhead is how many steps behind the first of a group are looked at.
	groupAhead = 16
	// partsPerWorker keeps workers evenly loaded.
	partsPerWorker = 4
	// groupWeights bounds the bytes that all steps of a group read for each
	// image anew: half of a second-level cache of 1 MB.
	groupWeights = 512 << 10
)

// groupSteps finds groups. Steps between two members move before the group
// unless they need it.
func (c *compiler) groupSteps() error {
	for i := 0; i < len(c.steps); i++ {
		s := c.steps[i]
		if s.images == nil || s.once {
			continue
		}
		g := &group{members: []*step{s}, images: s.images.images}
		g.parts = g.common(s)
		if len(g.parts)-1 < partsPerWorker*c.workers {
			continue
		}
		var before, behind []*step
		for _, m := range c.steps[i+1 : min(len(c.steps), i+1+groupAhead)] {
			stuck := slices.ContainsFunc(behind, func(b *step) bool { return conflicts(b, m) })
			switch {
			case !stuck && c.mayJoin(g, m):
				g.members = append(g.members, m)
				g.parts = g.common(m)
			case !stuck && !slices.ContainsFunc(g.members, func(b *step) bool { return conflicts(b, m) }):
				before = append(before, m)
			default:
				behind = append(behind, m)
			}
		}
		if len(g.members) == 1 {
			continue
		}
		order := slices.Concat(c.steps[:i], before, g.members, behind)
		c.steps = append(order, c.steps[len(order):]...)
		for _, m := range g.members {
			m.group = g
			m.note("group", true, "goes image by image with %d other steps, in %d parts", len(g.members)-1, len(g.parts)-1)
		}
		i += len(before) + len(g.members) - 1
	}
	return nil
}

// common returns the places where the group with s in it may change hands.
func (g *group) common(s *step) []int {
	var parts []int
	for n := range g.images + 1 {
		if s.images.parts(n) && (g.parts == nil || slices.Contains(g.parts, n)) {
			parts = append(parts, n)
		}
	}
	return parts
}

// mayJoin reports whether m may follow the members of the group image by image,
// and gains from it: it reads what they have read or written.
func (c *compiler) mayJoin(g *group, m *step) bool {
	if m.images == nil || m.once || m.images.images != g.images {
		return false
	}
	weights := m.weights()
	shares := false
	for _, a := range g.members {
		weights += a.weights()
		for _, x := range slices.Concat(a.reads, a.writes) {
			for _, y := range slices.Concat(m.reads, m.writes) {
				if x.buf == nil || x.buf != y.buf {
					continue
				}
				if !byImage(a, x, g.images) || !byImage(m, y, g.images) || x.shape.Numel() != y.shape.Numel() || elemSize(x.dtype) != elemSize(y.dtype) {
					return false
				}
				shares = true
			}
		}
		for _, t := range a.temps {
			if slices.Contains(m.temps, t) && !(a.onlyReads(t) && m.onlyReads(t)) {
				return false
			}
		}
	}
	return shares && weights <= groupWeights && len(g.common(m))-1 >= partsPerWorker*c.workers
}

func (s *step) weights() int {
	if s.images.weights == nil {
		return 0
	}
	return s.images.weights()
}

// byImage reports whether the step reads or writes x image by image.
func byImage(s *step, x *slot, images int) bool {
	if len(x.shape) == 0 || x.shape[0] != images {
		return false
	}
	ch := s.runs()
	return ch == nil || !slices.ContainsFunc(ch.links, func(l *link) bool {
		return slices.ContainsFunc(l.also, func(y *slot) bool { return y.buf == x.buf })
	})
}

// conflicts reports whether b, which comes behind a, must stay there.
func conflicts(a, b *step) bool {
	if needs(b, a) {
		return true
	}
	for _, w := range b.writes {
		if w.buf != nil && touches([]*step{a}, w.buf) {
			return true
		}
	}
	return false
}

// bind makes the function that runs the group, when its members are bound.
func (g *group) bind(pool *par.Pool) {
	type turn struct {
		do     func(task, worker int)
		lo, hi int
	}
	turns := make([][]turn, len(g.parts)-1)
	for p := range turns {
		lo := g.parts[p]
		for n := lo + 1; n <= g.parts[p+1]; n++ {
			if slices.ContainsFunc(g.members, func(s *step) bool { return !s.images.cuts(n) }) {
				continue
			}
			for _, s := range g.members {
				first, _ := s.images.begins(lo)
				end, _ := s.images.begins(n)
				turns[p] = append(turns[p], turn{s.images.do, first, end})
			}
			lo = n
		}
	}
	part := func(p, worker int) {
		for _, t := range turns[p] {
			for i := t.lo; i < t.hi; i++ {
				t.do(i, worker)
			}
		}
	}
	g.run = func() { pool.Run(len(turns), part) }
}
