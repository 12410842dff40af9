package native

// store decides what chains write to memory: what others read. What only its
// own chain reads lives in a tile. It sets the bind functions of chains.
func (c *compiler) store() error {
	readers := c.readers()
	for _, s := range c.steps {
		ch := s.runs()
		if ch == nil {
			continue
		}
		stored := map[*slot]bool{}
		var writes []*slot
		if s.output != nil {
			writes = append(writes, s.output.slot)
		}
		for _, l := range ch.links {
			switch {
			case l.out == nil:
			case readers[l.out.buf] > 0:
				stored[l.out] = true
				writes = append(writes, l.out)
			default:
				s.note("store", true, "%s of %s is not stored", l.name, l.node.Name)
			}
		}
		s.writes = writes
		if s.output != nil {
			s.output.stored = stored
			continue
		}
		ch.stored = stored
		s.images = ch.byImage()
		s.bind = func() func() error { return c.bindChain(ch, stored, s.images) }
	}
	return nil
}
