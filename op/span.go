package op

import (
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Span is what a slice takes of one axis: Length elements from Start, Step apart.
type Span struct{ Start, Step, Length int }

// Spans returns what a Slice or SliceGrad takes of each axis of the longer
// shape; bounds are the node's inputs from starts on. ok is false unless all
// of them are constant.
func Spans(shape tensor.Shape, bounds []*ir.Value) (spans []Span, ok bool) {
	ts := make([]*tensor.Tensor, len(bounds))
	for i, v := range bounds {
		if v == nil {
			continue
		}
		ints, known := v.ConstInts()
		if !known {
			return nil, false
		}
		d := make([]int64, len(ints))
		for k, n := range ints {
			d[k] = int64(n)
		}
		ts[i] = tensor.From(d, len(d))
	}
	list, err := Slice{}.spans(shape, ts)
	if err != nil {
		return nil, false
	}
	for _, s := range list {
		spans = append(spans, Span{s.start, s.step, s.length})
	}
	return spans, true
}

// Pads returns the begins and then the ends of a Pad node whose pads are
// constant.
func Pads(n *ir.Node) (pads []int, ok bool) {
	pads, ok, err := nodePads(n.In[0].Type.Rank(), n.In[1], n.Input(3))
	return pads, ok && err == nil
}
