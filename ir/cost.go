package ir

import "slices"

// SampleShapes returns the shapes of the inputs for one sample: an open first
// axis is 1. ok is false if another axis of an input is open; that input is left
// out.
func (g *Graph) SampleShapes() (shapes map[string][]int, ok bool) {
	shapes, ok = map[string][]int{}, true
	for _, v := range g.Inputs {
		s := make([]int, 0, v.Type.Rank())
		for i, d := range v.Type.Dims {
			n, known := d.Known()
			if !known {
				if i > 0 {
					ok = false
					break
				}
				n = 1
			}
			s = append(s, n)
		}
		if len(s) == v.Type.Rank() {
			shapes[v.Name] = s
		}
	}
	return shapes, ok
}

// FixedBatch returns the length of the first input's first axis, which is the batch
// of a graph that takes no other; ok is false if it is open or there is none.
func (g *Graph) FixedBatch() (n int, ok bool) {
	if len(g.Inputs) == 0 || g.Inputs[0].Type.Rank() == 0 {
		return 0, false
	}
	return g.Inputs[0].Type.Dims[0].Known()
}

// CostOf returns the arithmetic of a node; ok is false if the operator does not
// say it, or lengths of the node's values are not known.
func CostOf(n *Node) (cost Cost, ok bool) {
	k, ok := n.Op.(Costed)
	if !ok || slices.ContainsFunc(slices.Concat(n.In, n.Out), func(v *Value) bool {
		if v == nil {
			return false
		}
		_, known := v.Type.Shape()
		return !known
	}) {
		return Cost{}, false
	}
	return k.Cost(n), true
}
