package pruning

import (
	"fmt"

	"github.com/go-nncf/nncf/channel"
	"github.com/go-nncf/nncf/ir"
)

// Cost is the size of a model: of one sample, for what pruning can change.
type Cost struct {
	// FLOPs of convolutions and matrix products; 2 for each multiply-accumulate.
	FLOPs int64 `json:"flops"`
	// Params are the weights of convolutions and linear layers.
	Params int64 `json:"params"`
	// Filters of convolutions and linear layers.
	Filters int64 `json:"filters"`
}

// costs computes the cost of a pruned model from the number of channels that
// every cluster keeps: every axis of a product scales its cost.
type costs struct {
	layers []layerCost
	axes   []costAxis
	known  bool // whether all lengths are
}

// layerCost is one product: the full cost, and the axes that scale it.
type layerCost struct {
	node           string
	flops          float64
	params         float64
	macAxes, wAxes []int // indices of costs.axes
	filters        int   // index, -1 for none
}

// costAxis is an axis of n entries, of which clusters have some.
type costAxis struct {
	n     int
	parts []part
}

// part: each channel of a cluster is width entries.
type part struct{ cluster, channels, width int }

// newCosts looks at g, whose groups are those of the clusters.
func newCosts(g *ir.Graph, groups []*channel.Group) (*costs, error) {
	s, err := sample(g)
	if err != nil {
		return nil, err
	}
	c := &costs{known: true}
	type key struct {
		value string
		axis  int
	}
	parts := map[key][]part{}
	for i, grp := range groups {
		for _, sp := range grp.Spans {
			k := key{sp.Value.Name, sp.Axis}
			parts[k] = append(parts[k], part{i, grp.Channels, sp.Width})
		}
	}
	index := map[key]int{}
	axis := func(v *ir.Value, a int) int {
		k := key{v.Name, a}
		i, ok := index[k]
		if !ok {
			i = len(c.axes)
			index[k] = i
			n, _ := v.Type.Dims[a].Known()
			c.axes = append(c.axes, costAxis{n, parts[k]})
		}
		return i
	}
	for _, n := range s.Nodes() {
		if _, ok := n.Op.(ir.Costed); !ok {
			continue
		}
		l := layerCost{node: n.Label(), filters: -1}
		cost, ok := ir.CostOf(n)
		if c.known = c.known && ok; c.known {
			l.flops = 2 * float64(cost.MACs)
		}
		if isLayer(n) {
			p := n.Op.(ir.Weighted).Weights(n)
			w := n.In[p.Weight]
			for a := range w.Type.Rank() {
				l.wAxes = append(l.wAxes, axis(w, a))
			}
			l.macAxes, l.params = l.wAxes, float64(w.Data.Len())
			l.filters = l.wAxes[p.OutAxis]
		} else if l.flops > 0 && len(n.In) > 1 {
			a, b := n.In[0], n.In[1]
			for i := range a.Type.Rank() {
				l.macAxes = append(l.macAxes, axis(a, i))
			}
			if r := b.Type.Rank(); r > 1 {
				l.macAxes = append(l.macAxes, axis(b, r-1))
			}
		}
		if l.flops > 0 || l.params > 0 {
			c.layers = append(c.layers, l)
		}
	}
	return c, nil
}

// sample is g for one sample.
func sample(g *ir.Graph) (*ir.Graph, error) {
	shapes, ok := g.SampleShapes()
	if !ok {
		return g, nil // stays symbolic
	}
	s, err := g.Specialize(shapes)
	if err != nil {
		return nil, fmt.Errorf("one sample: %w", err)
	}
	return s, nil
}

// of returns the cost when cluster i keeps kept[i] channels; nil keeps all.
func (c *costs) of(kept []int) Cost {
	left := make([]float64, len(c.axes))
	share := make([]float64, len(c.axes))
	for i, a := range c.axes {
		left[i] = float64(a.n)
		for _, p := range a.parts {
			if kept != nil {
				left[i] -= float64((p.channels - kept[p.cluster]) * p.width)
			}
		}
		share[i] = 1
		if a.n > 0 {
			share[i] = left[i] / float64(a.n)
		}
	}
	var total Cost
	for _, l := range c.layers {
		f, p := l.flops, l.params
		for _, a := range l.macAxes {
			f *= share[a]
		}
		for _, a := range l.wAxes {
			p *= share[a]
		}
		total.FLOPs += int64(f + 0.5)
		total.Params += int64(p + 0.5)
		if l.filters >= 0 {
			total.Filters += int64(left[l.filters])
		}
	}
	return total
}
