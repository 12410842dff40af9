package native

import (
	"slices"

	"github.com/go-nncf/nncf/engine/plan"
)

// drop removes links whose results nobody reads: other chains compute them
// again, or convolutions as they load them.
func (c *compiler) drop() error {
	// readers counts the steps that read each buffer, the outside world included.
	readers := c.readers()
	for i := len(c.steps) - 1; i >= 0; i-- { // those that read come behind those that write
		s := c.steps[i]
		if s.chain == nil {
			continue
		}
		used := map[*slot]bool{}
		var links []*link
		for _, l := range slices.Backward(s.chain.links) {
			if l.out != nil && l.sums == nil && !used[l.out] && readers[l.out.buf] == 0 {
				s.note("drop", true, "%s of %s is not computed: all who need it do so themselves", l.name, l.node.Name)
				continue
			}
			for _, x := range l.in {
				used[x] = true
			}
			links = append(links, l)
		}
		slices.Reverse(links)
		if len(links) == len(s.chain.links) {
			continue
		}
		s.chain.links = links
		s.shrink(readers)
		if len(links) == 0 {
			c.steps = slices.Delete(c.steps, i, i+1)
		}
	}
	return nil
}

// readers counts the steps that read each buffer, and the outputs there.
func (c *compiler) readers() map[*plan.Buffer]int {
	n := map[*plan.Buffer]int{}
	for _, s := range c.steps {
		for _, r := range s.reads {
			n[r.buf]++
		}
	}
	for _, o := range c.outputs {
		n[o.buf]++
	}
	return n
}

// shrink brings what a step reads, writes and uses up to date with the links of
// its chain that are left.
func (s *step) shrink(readers map[*plan.Buffer]int) {
	made := map[*slot]bool{}
	for _, r := range s.reads {
		readers[r.buf]--
	}
	s.reads, s.writes, s.temps = nil, nil, nil
	for _, l := range s.chain.links {
		for _, x := range slices.Concat(l.in, l.also) {
			if !made[x] && !slices.Contains(s.reads, x) {
				s.reads = append(s.reads, x)
				readers[x.buf]++
			}
		}
		if l.out != nil {
			made[l.out] = true
			s.writes = append(s.writes, l.out)
		}
		s.temps = append(s.temps, l.temps...)
	}
}
