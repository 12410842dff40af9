package quantization

import (
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
)

// This file finds out what belongs together around the layers of a quantized
// graph.

// layer is a quantized weight with the operators that use it.
type layer struct {
	weight *placed
	nodes  []*ir.Node // in the quantized graph
	macs   int64      // for one sample
	inputs []*placed  // activation quantizers that the nodes read, through what moves values
}

// findLayers returns the layers in the order of their weights' quantizers, with
// the multiply-accumulates of one sample.
func (c *Controller) findLayers(shapes map[string][]int) ([]*layer, error) {
	macs, err := c.macs(shapes)
	if err != nil {
		return nil, err
	}
	var list []*layer
	of := map[*ir.Node]*layer{}
	for _, x := range c.quantizers {
		if x.Kind != Weight {
			continue
		}
		l := &layer{weight: x}
		for _, u := range x.node.Out[0].Uses() {
			if !isLayer(u.Node) {
				continue // rows of a table
			}
			l.nodes = append(l.nodes, u.Node)
			l.macs += macs[u.Node.ResultName()]
			of[u.Node] = l
		}
		if len(l.nodes) > 0 {
			list = append(list, l)
		}
	}
	for _, x := range c.quantizers {
		if x.Kind != Activation {
			continue
		}
		for _, n := range readers(x.node.Out[0]) {
			if l := of[n]; l != nil && !slices.Contains(l.inputs, x) {
				l.inputs = append(l.inputs, x)
			}
		}
	}
	return list, nil
}

// macs returns the multiply-accumulates of the float graph's layers for one
// sample, by name of their result. Without shapes, a free batch axis is 1.
func (c *Controller) macs(shapes map[string][]int) (map[string]int64, error) {
	if shapes == nil {
		var ok bool
		if shapes, ok = c.float.SampleShapes(); !ok {
			i := slices.IndexFunc(c.float.Inputs, func(v *ir.Value) bool { return shapes[v.Name] == nil })
			v := c.float.Inputs[i]
			return nil, fmt.Errorf("input %q is %v: the arithmetic of layers needs known lengths behind the batch axis", v.Name, v.Type)
		}
	}
	g, err := c.float.Specialize(shapes)
	if err != nil {
		return nil, err
	}
	samples := int64(1)
	if n, ok := g.FixedBatch(); ok && n > 0 {
		samples = int64(n)
	}
	m := map[string]int64{}
	for _, n := range g.Nodes() {
		if _, ok := n.Op.(ir.Costed); !ok || !isLayer(n) {
			continue
		}
		cost, ok := ir.CostOf(n)
		if !ok {
			return nil, n.Errorf("cost", "got a result of type %v, want known lengths of all that it reads and makes", n.Out[0].Type)
		}
		m[n.ResultName()] = cost.MACs / samples
	}
	return m, nil
}

// readers returns the operators that compute with v, directly or behind others
// that only move values.
func readers(v *ir.Value) []*ir.Node {
	var list []*ir.Node
	for _, u := range v.Uses() {
		for _, n := range readersOf(u) {
			if !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
	}
	return list
}

func readersOf(u ir.Use) []*ir.Node {
	if moves(u.Node) {
		var list []*ir.Node
		for _, v := range u.Node.Out {
			if v != nil {
				list = append(list, readers(v)...)
			}
		}
		return list
	}
	return []*ir.Node{u.Node}
}

// tied returns the groups of strict assignment: quantizers are together if the
// same operator reads them, or if they share a range. Weights are those of the
// layers, by index; the groups hold weights, and all activations around them.
func (c *Controller) tied(layers []*layer) (weights [][]int, acts [][]*placed) {
	parent := make([]int, len(c.quantizers))
	for i := range parent {
		parent[i] = i
	}
	var find func(i int) int
	find = func(i int) int {
		if parent[i] != i {
			parent[i] = find(parent[i])
		}
		return parent[i]
	}
	first := map[*ir.Node]int{}
	shared := map[int]int{}
	join := func(a, b int) { parent[find(b)] = find(a) }
	for i, x := range c.quantizers {
		for _, n := range readers(x.node.Out[0]) {
			if j, ok := first[n]; ok {
				join(j, i)
			} else {
				first[n] = i
			}
		}
		if x.Group != 0 {
			if j, ok := shared[x.Group]; ok {
				join(j, i)
			} else {
				shared[x.Group] = i
			}
		}
	}
	at := map[int]int{} // root to group
	for k, l := range layers {
		r := find(slices.Index(c.quantizers, l.weight))
		i, ok := at[r]
		if !ok {
			i = len(weights)
			at[r] = i
			weights, acts = append(weights, nil), append(acts, nil)
		}
		weights[i] = append(weights[i], k)
	}
	for i, x := range c.quantizers {
		if k, ok := at[find(i)]; ok && x.Kind == Activation {
			acts[k] = append(acts[k], x)
		}
	}
	return weights, acts
}
