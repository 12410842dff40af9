package native

import (
	"slices"

	"github.com/go-nncf/nncf/engine/plan"
)

// dropStores lets chains keep to themselves what nobody else reads: it lives in
// a tile. What nobody reads at all is not computed. It sets the bind functions
// of all chains.
func (c *compiler) dropStores() error {
	// readers counts the steps that read each buffer, the outside world included.
	readers := map[*plan.Buffer]int{}
	for _, s := range c.steps {
		for _, r := range s.reads {
			readers[r.buf]++
		}
	}
	for _, o := range c.outputs {
		readers[o.buf]++
	}
	for i := len(c.steps) - 1; i >= 0; i-- { // those that read come behind those that write
		s := c.steps[i]
		if s.chain == nil {
			continue
		}
		ch := s.chain
		stored, used := map[*slot]bool{}, map[*slot]bool{}
		var links []*link
		for k := len(ch.links) - 1; k >= 0; k-- {
			l := ch.links[k]
			if l.out != nil {
				stored[l.out] = readers[l.out.buf] > 0
				if !stored[l.out] && !used[l.out] && l.sums == nil {
					s.note("store", true, "%s of %s is not computed: all who need it do so themselves", l.name, l.node.Name)
					continue
				}
				if !stored[l.out] {
					s.note("store", true, "%s of %s is not stored", l.name, l.node.Name)
				}
			}
			for _, x := range l.in {
				used[x] = true
			}
			links = append(links, l)
		}
		slices.Reverse(links)
		if len(links) < len(ch.links) {
			ch.links = links
			c.shrink(s, readers)
		}
		if len(links) == 0 {
			c.steps = slices.Delete(c.steps, i, i+1)
			continue
		}
		s.writes = nil
		for _, l := range links {
			if l.out != nil && stored[l.out] {
				s.writes = append(s.writes, l.out)
			}
		}
		s.bind = func() func() error { return c.bindChain(ch, stored) }
	}
	return nil
}

// shrink brings what a step reads and uses up to date with the links of its
// chain that are left.
func (c *compiler) shrink(s *step, readers map[*plan.Buffer]int) {
	made := map[*slot]bool{}
	var reads []*slot
	s.temps = nil
	for _, l := range s.chain.links {
		for _, x := range slices.Concat(l.in, l.also) {
			if !made[x] && !slices.Contains(reads, x) {
				reads = append(reads, x)
			}
		}
		if l.out != nil {
			made[l.out] = true
		}
		s.temps = append(s.temps, l.temps...)
	}
	for _, r := range s.reads {
		readers[r.buf]--
	}
	for _, r := range reads {
		readers[r.buf]++
	}
	s.reads = reads
}
