package op

import (
	"slices"

	"github.com/go-nncf/nncf/ir"
)

// This file holds what the axis facets share: how entries along the axes of a
// node's values belong together.

const (
	axisUnknown  = "its length depends on the input"
	axisSpatial  = "windows slide over it"
	axisTogether = "its entries are computed from each other"
)

// tieAxes ties two axes entry by entry. An axis of length 1 that is repeated
// along the other has no entry to tie.
func tieAxes(m ir.AxisMap, v *ir.Value, a int, w *ir.Value, b int) {
	n, nk := v.Type.Dims[a].Known()
	k, kk := w.Type.Dims[b].Known()
	switch {
	case !nk && !kk:
	case !nk && k != 1:
		m.Fix(w, b, axisUnknown)
	case !kk && n != 1:
		m.Fix(v, a, axisUnknown)
	case nk && kk && n == k:
		for i := range n {
			m.Tie(v, a, i, w, b, i)
		}
	case nk && kk && n != 1 && k != 1:
		m.Fix(v, a, "lengths differ")
		m.Fix(w, b, "lengths differ")
	}
}

// fixAxes keeps all entries of the given axes.
func fixAxes(m ir.AxisMap, v *ir.Value, why string, axes ...int) {
	for _, a := range axes {
		m.Fix(v, a, why)
	}
}

// fixFrom keeps all entries of the axes from a on.
func fixFrom(m ir.AxisMap, v *ir.Value, a int, why string) {
	for ; a < v.Type.Rank(); a++ {
		m.Fix(v, a, why)
	}
}

// elementAxes is the axis map of elementwise operators with broadcasting: every
// axis of every input is that of the outputs, counted from the end.
func elementAxes(n *ir.Node, m ir.AxisMap) {
	for _, y := range n.Out {
		if y == nil {
			continue
		}
		for _, x := range n.In {
			if x == nil {
				continue
			}
			off := y.Type.Rank() - x.Type.Rank()
			for a := max(0, -off); a < x.Type.Rank(); a++ {
				tieAxes(m, x, a, y, a+off)
			}
		}
	}
}

// sameAxes ties the axes of input 0 and output 0, of equal rank, except those
// listed, which stay for the given reason.
func sameAxes(n *ir.Node, m ir.AxisMap, why string, except ...int) {
	x, y := n.In[0], n.Out[0]
	for a := range x.Type.Rank() {
		if slices.Contains(except, a) {
			m.Fix(x, a, why)
			m.Fix(y, a, why)
			continue
		}
		tieAxes(m, x, a, y, a)
	}
}

// channelAxes is the axis map of what treats each channel (axis 1) for itself:
// the inputs from 1 on are vectors of channels. Spatial axes stay.
func channelAxes(n *ir.Node, m ir.AxisMap) {
	x, y := n.In[0], n.Out[0]
	for a := range min(2, x.Type.Rank()) {
		tieAxes(m, x, a, y, a)
	}
	fixFrom(m, x, 2, axisSpatial)
	fixFrom(m, y, 2, axisSpatial)
	for _, v := range n.In[1:] {
		if v != nil && v.Type.Rank() == 1 {
			tieAxes(m, v, 0, x, 1)
		}
	}
	for _, v := range n.Out[1:] {
		if v != nil && v.Type.Rank() == 1 {
			tieAxes(m, v, 0, x, 1)
		}
	}
}

// countBelow returns how many of the sorted kept entries are below limit;
// without a list all are kept.
func countBelow(kept []int, limit int) int {
	if kept == nil {
		return limit
	}
	i, _ := slices.BinarySearch(kept, limit)
	return i
}

// keptLen is the number of entries that stay on an axis.
func keptLen(kept func(*ir.Value, int) []int, v *ir.Value, a int) (int, bool) {
	if k := kept(v, a); k != nil {
		return len(k), true
	}
	return v.Type.Dims[a].Known()
}

// axisSummed is why entries stay that a product of two computed values sums over.
const axisSummed = "a product of two computed values sums over it"

// fixSums keeps the entries that a product sums over unless one factor is made
// of stored values: zeros there keep lost entries out of the sum.
func fixSums(m ir.AxisMap, v *ir.Value, a int, w *ir.Value, b int) {
	if !v.FromStored() && !w.FromStored() {
		m.Fix(v, a, axisSummed)
		m.Fix(w, b, axisSummed)
	}
}

// groupAxes is the axis map of convolutions. out and in are the channel axes of
// the weight. The channels of a depthwise convolution go one by one; other
// groups lose the same channels each, so that they stay equal.
func groupAxes(m ir.AxisMap, x, w, y, bias *ir.Value, groups, out, in int) {
	tieAxes(m, x, 0, y, 0)
	for _, v := range []*ir.Value{x, w, y} {
		fixFrom(m, v, 2, axisSpatial)
	}
	if bias != nil {
		tieAxes(m, bias, 0, y, 1)
	}
	c, ck := x.Type.Dims[1].Known()
	o, ok := y.Type.Dims[1].Known()
	if !ck || !ok {
		fixAxes(m, x, axisUnknown, 1)
		fixAxes(m, y, axisUnknown, 1)
		fixAxes(m, w, axisUnknown, 0, 1)
		return
	}
	per, each := c/groups, o/groups // channels of a group
	// The axis of the weight that is that long in all, and the one of a group.
	full, fullAxis, part, partAxis := y, out, x, in
	fullPer, partPer := each, per
	if out != 0 { // transposed: [C, O/groups, …]
		full, fullAxis, part, partAxis = x, in, y, out
		fullPer, partPer = per, each
	}
	depthwise := groups > 1 && partPer == 1
	for i := range fullPer * groups {
		m.Tie(full, 1, i, w, fullAxis, i)
		switch {
		case depthwise:
			m.Tie(full, 1, i, part, 1, i/fullPer)
		case groups > 1 && i >= fullPer:
			m.Tie(full, 1, i, full, 1, i%fullPer)
		}
	}
	if depthwise {
		m.Fix(w, partAxis, "it is one channel of a group")
		return
	}
	for i := range partPer * groups {
		m.Tie(part, 1, i, w, partAxis, i%partPer)
	}
}

// cutGroups returns the number of groups of a convolution that loses channels:
// fewer if it is depthwise.
func cutGroups(n *ir.Node, groups int, kept func(*ir.Value, int) []int) int {
	x, w := n.In[0], n.In[1]
	_, transposed := n.Op.(ConvTranspose)
	c, _ := x.Type.Dims[1].Known()
	if groups == 1 || w.Type.Dims[1] != ir.Len(1) {
		return groups
	}
	part, axis := x, 1
	if transposed {
		part = n.Out[0]
	}
	if k, ok := keptLen(kept, part, axis); ok && (transposed || c == groups) {
		return k
	}
	return groups
}

// squeezeAxes ties the axes of a value to those of the same value without some
// axes of length 1.
func squeezeAxes(wide, narrow *ir.Value, m ir.AxisMap) {
	i := 0
	for a, d := range wide.Type.Dims {
		if d.IsOne() {
			continue
		}
		for i < narrow.Type.Rank() && narrow.Type.Dims[i].IsOne() {
			i++
		}
		if i < narrow.Type.Rank() {
			tieAxes(m, wide, a, narrow, i)
			i++
		}
	}
}

// quantizerAxes is the axis map of quantizers: elementwise, with parameters per
// entry of one axis unless it is -1.
func quantizerAxes(n *ir.Node, m ir.AxisMap, axis int) {
	x := n.In[0]
	sameAxes(n, m, "")
	for _, v := range n.In[1:] {
		switch {
		case v == nil || v.Type.Rank() == 0 || v.Type.Numel().IsOne():
		case axis >= 0 && v.Type.Rank() == 1:
			tieAxes(m, v, 0, x, axis)
		default:
			fixFrom(m, v, 0, "it belongs to blocks")
			fixFrom(m, x, 0, "it is quantized in blocks")
		}
	}
}

// mapAxes is the axis map of all reductions.
func (r reduction) mapAxes(n *ir.Node, m ir.AxisMap) {
	x, y := n.In[0], n.Out[0]
	axes, err := r.nodeAxes(n)
	if err != nil {
		fixFrom(m, x, 0, axisTogether)
		fixFrom(m, y, 0, axisTogether)
		return
	}
	at := 0
	for a := range x.Type.Rank() {
		switch {
		case !slices.Contains(axes, a):
			tieAxes(m, x, a, y, at)
			at++
		default:
			m.Fix(x, a, axisTogether)
			if r.KeepDims {
				at++
			}
		}
	}
}
