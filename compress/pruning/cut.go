package pruning

import (
	"github.com/go-nncf/nncf/channel"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/rewrite"
)

// Removed implements [compress.Remover].
func (c *Controller) Removed(value string) [][]bool {
	if c.state.Shrunk || c.setup.Options.Params.Removal == Never {
		return nil
	}
	return c.gone(value)
}

// CutOut implements [compress.Cutter].
func (c *Controller) CutOut(value string) [][]bool {
	if !c.state.Shrunk {
		return nil
	}
	return c.gone(value)
}

// gone returns which entries of each axis of a value belong to pruned channels.
func (c *Controller) gone(value string) [][]bool {
	var axes [][]bool
	for _, k := range c.clusters {
		for _, s := range k.group.Spans {
			if s.Value.Name != value {
				continue
			}
			for ch, gone := range k.gone {
				if !gone {
					continue
				}
				if axes == nil {
					axes = make([][]bool, s.Value.Type.Rank())
				}
				if axes[s.Axis] == nil {
					n, _ := s.Value.Type.Dims[s.Axis].Known()
					axes[s.Axis] = make([]bool, n)
				}
				for _, e := range s.Of(ch) {
					axes[s.Axis][e] = true
				}
			}
		}
	}
	return axes
}

// choices are the pruned channels for package channel.
func (c *Controller) choices() []channel.Choice {
	var list []channel.Choice
	for _, k := range c.clusters {
		m := k.members[0]
		ch := channel.Choice{Value: m.Value.Name, Axis: m.Axis}
		for _, i := range k.channels(true) {
			ch.Entries = append(ch.Entries, m.Of(i)...)
		}
		if len(ch.Entries) > 0 {
			list = append(list, ch)
		}
	}
	return list
}

// Strip implements [compress.Controller]: it cuts the pruned channels out.
func (c *Controller) Strip(g *ir.Graph, t *rewrite.Trace) error {
	if c.state.Shrunk || c.setup.Options.Params.Removal == Never {
		return nil
	}
	_, err := channel.Remove(g, c.choices(), t)
	return err
}

// ShrinkNow reports whether the options ask for a smaller model under training,
// and its masks are final.
func (c *Controller) ShrinkNow() bool {
	return c.setup.Options.Params.Removal == AtTraining && c.state.Frozen && !c.state.Shrunk && len(c.choices()) > 0
}

// Shrink cuts the pruned channels out of the graph under training, whose
// parameters get other tensors: whoever holds the old ones must cut what belongs
// to them, such as the moments of an optimizer, in the same way.
func (c *Controller) Shrink(t *rewrite.Trace) ([]channel.Cut, error) {
	cuts, err := channel.Remove(c.g, c.choices(), t)
	if err != nil {
		return nil, err
	}
	c.state.Shrunk = true
	return cuts, nil
}
