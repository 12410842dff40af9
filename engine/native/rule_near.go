package native

import "slices"

// near moves the packing of weights to right before the first step that reads
// them: packed weights then live no longer than they must, and are still in the
// caches.
func (c *compiler) near() error {
	for i := len(c.steps) - 1; i >= 0; i-- {
		s := c.steps[i]
		if s.kernel != packKernel || s.once {
			continue
		}
		to := i + 1
		for to < len(c.steps) && !conflicts(s, c.steps[to]) {
			to++
		}
		if to == len(c.steps) {
			continue
		}
		reader := c.steps[to]
		if g := reader.group; g != nil {
			to -= slices.Index(g.members, reader)
		}
		if to <= i+1 {
			continue
		}
		copy(c.steps[i:], c.steps[i+1:to])
		c.steps[to-1] = s
		s.note("near", true, "packs right before %s", reader.title())
	}
	return nil
}
