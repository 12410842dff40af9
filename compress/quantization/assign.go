package quantization

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/rewrite"
)

// apply gives quantizers their bits. Ranges are initialised afterwards.
func (s *selection) apply() error {
	for i, l := range s.layers {
		r := &s.report.Layers[i]
		r.Bits, r.InputBits = s.bits[i], s.inputBits(l, s.bits[i])
		if l.weight.Bits != r.Bits {
			s.report.BitsPerScope = append(s.report.BitsPerScope, ScopeBits{Bits: r.Bits, Scope: r.Weight})
		}
		*l.weight.Quantizer = l.weight.withBits(r.Bits)
	}
	if s.o.assignment() == "strict" {
		groups, acts := s.c.tied(s.layers)
		for i, list := range acts {
			for _, x := range list {
				*x.Quantizer = x.withBits(s.bits[groups[i][0]])
			}
			for _, k := range groups[i] {
				s.report.Layers[k].InputBits = s.bits[k]
			}
		}
		return s.c.setOps()
	}
	return s.c.split(func(n *ir.Node) (int, bool) {
		for i, l := range s.layers {
			if slices.Contains(l.nodes, n) {
				return s.report.Layers[i].InputBits, true
			}
		}
		return 0, false
	})
}

// split gives activations the bits that their readers want; want is false for
// readers that keep what there is. Readers that want others than the most get a
// quantizer of their own on the same value. Behind operators that move values, in
// groups that share a range, and at outputs, the fewest that a layer wants count.
func (c *Controller) split(want func(*ir.Node) (int, bool)) error {
	p := rewrite.New(c.g, Name+"-bits", nil)
	fewest := map[int]int{} // by group
	wishes := func(x *placed, nodes []*ir.Node) (low int, all bool) {
		all = true
		for _, n := range nodes {
			if b, ok := want(n); !ok {
				all = false
			} else if low == 0 || b < low {
				low = b
			}
		}
		return low, all
	}
	for _, x := range c.quantizers {
		if b, _ := wishes(x, readers(x.node.Out[0])); x.Kind == Activation && x.Group != 0 && b > 0 && (fewest[x.Group] == 0 || b < fewest[x.Group]) {
			fewest[x.Group] = b
		}
	}
	var errs []error
	for _, x := range slices.Clone(c.quantizers) {
		if x.Kind != Activation {
			continue
		}
		if x.Group != 0 || x.Output {
			b := fewest[x.Group]
			if x.Group == 0 {
				b, _ = wishes(x, readers(x.node.Out[0]))
			}
			if b > 0 {
				*x.Quantizer = x.withBits(b)
			}
			continue
		}
		errs = append(errs, c.splitOne(p, x, wishes))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := p.Commit(); err != nil {
		return err
	}
	return c.setOps()
}

func (c *Controller) splitOne(p *rewrite.Patch, x *placed, wishes func(*placed, []*ir.Node) (int, bool)) error {
	byBits := map[int][]Use{}
	for _, u := range x.Consumers {
		n := c.g.Value(u.Node).Def
		b, _ := wishes(x, readersOf(ir.Use{Node: n, Port: u.Port}))
		if b == 0 {
			b = x.Bits
		}
		byBits[b] = append(byBits[b], u)
	}
	var widths []int
	for b := range byBits {
		widths = append(widths, b)
	}
	slices.Sort(widths)
	if len(widths) == 0 {
		return nil
	}
	most := widths[len(widths)-1]
	orig := *x.Quantizer
	*x.Quantizer = orig.withBits(most)
	x.Consumers = byBits[most]
	for _, b := range widths[:len(widths)-1] {
		q := orig.withBits(b)
		q.Consumers = byBits[b]
		q.Rule = fmt.Sprintf("%s; read at %d bits by some, at %d by others", orig.Rule, b, most)
		v := x.node.In[0]
		for _, u := range q.Consumers {
			p.SetInput(c.g.Value(u.Node).Def, u.Port, v)
		}
		if err := c.insert(p, &q); err != nil {
			return err
		}
		last := c.quantizers[len(c.quantizers)-1]
		for i, t := range x.params {
			copy(last.params[i].Data.F32(), t.Data.F32())
		}
		last.fixed = x.fixed
		c.setup.Quantizers = append(c.setup.Quantizers, &q)
	}
	return nil
}
