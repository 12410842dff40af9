package native

import (
	"slices"

	"github.com/go-nncf/nncf/op"
)

// decisions are what fusions chose and the order of sums depends on. A graph
// that computes again, for the sake of memory, what the original keeps follows
// the decisions of the original, so that its results have the same bits.
// Nodes are named by their first result, which clones keep.
type decisions struct {
	// host is the convolution whose tasks cut the partial sums of a link; ""
	// means those of a chain.
	host map[sumKey]string
	// loaded says of gradients of weights that they bring their input to
	// scratch memory, which cuts it otherwise than reading it in place.
	loaded map[string]bool
}

// sumKey names the sums of a link.
type sumKey struct{ node, link string }

func keyOf(l *link) sumKey { return sumKey{l.node.ResultName(), l.name} }

// decided returns the decisions of a compiler whose fusions are done.
func (c *compiler) decided() *decisions {
	d := &decisions{host: map[sumKey]string{}, loaded: map[string]bool{}}
	for _, s := range c.steps {
		if s.isWeightGradient() {
			d.loaded[s.node.ResultName()] = s.input.links != nil
		}
		ch := s.runs()
		if ch == nil {
			continue
		}
		host := ""
		if s.output != nil {
			host = s.node.ResultName()
		}
		for _, l := range ch.links {
			if l.sums != nil {
				d.host[keyOf(l)] = host
			}
		}
	}
	return d
}

func (s *step) isWeightGradient() bool {
	if s.node == nil || s.input == nil {
		return false
	}
	_, ok := s.node.Op.(op.ConvGradWeight)
	return ok
}

// hostOf returns the decided host of the chain's sums. free is true if nothing
// was decided about it, or it has none.
func (c *compiler) hostOf(ch *chain) (host string, free bool) {
	if c.follow == nil {
		return "", true
	}
	for _, l := range ch.links {
		if l.sums != nil {
			host, ok := c.follow.host[keyOf(l)]
			return host, !ok
		}
	}
	return "", true
}

// follows reports whether sums of two chains may run together.
func (c *compiler) follows(a, b *chain) bool {
	x, freeX := c.hostOf(a)
	y, freeY := c.hostOf(b)
	return freeX || freeY || x == y
}

// mayLoad reports whether the decisions let the step compute its input.
func (c *compiler) mayLoad(s *step) bool {
	if c.follow == nil || !s.isWeightGradient() {
		return true
	}
	loaded, ok := c.follow.loaded[s.node.ResultName()]
	return loaded || !ok
}

// obey makes what fusions could not do as it was decided follow the same cuts:
// gradients of weights bring their input to scratch memory, chains are cut like
// the convolution that they would have run in.
func (c *compiler) obey() error {
	if c.follow == nil {
		return nil
	}
	for _, s := range c.steps {
		if s.isWeightGradient() && s.input.links == nil && c.follow.loaded[s.node.ResultName()] {
			if err := s.input.prepare(); err != nil {
				return err
			}
		}
		if s.chain == nil {
			continue
		}
		host, free := c.hostOf(s.chain)
		if free || host == "" {
			continue
		}
		q := slices.IndexFunc(c.steps, func(q *step) bool {
			return q.output != nil && q.node != nil && q.node.ResultName() == host
		})
		if q < 0 {
			continue
		}
		s.chain.cut = c.steps[q].output
		for _, l := range s.chain.links {
			if l.sums != nil {
				l.sums.recut(s.chain.cut.tasks())
			}
		}
	}
	return nil
}
