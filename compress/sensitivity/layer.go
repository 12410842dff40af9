package sensitivity

import (
	"math"
	mathbits "math/bits"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// layer is one layer in both graphs.
type layer struct {
	float, quantized *ir.Node
	weightPort       int
}

// quantizedLayers lists the layers with a quantized weight, in order.
func quantizedLayers(float, quantized *ir.Graph) []layer {
	var list []layer
	for _, n := range float.Nodes() {
		if len(n.Out) == 0 || n.Out[0] == nil {
			continue
		}
		switch n.Op.(type) {
		case op.Conv, op.ConvTranspose, op.Gemm, op.MatMul:
		default:
			continue
		}
		v := quantized.Value(n.Out[0].Name)
		if v == nil || v.Def == nil || v.Def.Op.Kind() != n.Op.Kind() {
			continue
		}
		for port := 1; port >= 0; port-- {
			if q := v.Def.In[port].Def; op.IsFakeQuantizer(q) && n.In[port].Kind != ir.Input && q.In[0].FromStored() {
				list = append(list, layer{n, v.Def, port})
				break
			}
		}
	}
	return list
}

// input is what the layer reads in the float graph.
func (l layer) input() *ir.Value { return l.float.In[1-l.weightPort] }

// quantizer is the node that quantizes the input, nil if none does.
func (l layer) quantizer() *ir.Node { return feeding(l.quantized.In[1-l.weightPort]) }

func (l layer) weightQuantizer() *ir.Node { return l.quantized.In[l.weightPort].Def }

func (l layer) weightElements() int {
	s, _ := l.float.In[l.weightPort].Type.Shape()
	return tensor.Shape(s).Numel()
}

// feeding returns the quantizer whose grid v lies on, behind operators that
// only move values.
func feeding(v *ir.Value) *ir.Node {
	for v.Def != nil {
		if op.IsFakeQuantizer(v.Def) {
			return v.Def
		}
		t, ok := v.Def.Op.(ir.QuantTraited)
		if !ok || t.QuantTrait() != ir.QuantAgnostic && t.QuantTrait() != ir.QuantConcat || v.Def.In[0] == nil {
			return nil
		}
		v = v.Def.In[0]
	}
	return nil
}

// bits is the width that a quantizer's points need.
func bits(q *ir.Node) int {
	if q == nil {
		return 0
	}
	levels := 0
	switch o := q.Op.(type) {
	case op.FakeQuantizeSymmetric:
		levels = o.High - o.Low + 1
	case op.FakeQuantizeAsymmetric:
		levels = o.Levels
	}
	return mathbits.Len(uint(max(0, levels-1)))
}

// extent is what is seen of a layer's input.
type extent struct {
	low, high []float64 // the quantizer's range, nil without one
	axis      int
	lowest    float64
	highest   float64
	outside   int64
	all       int64
}

func newExtent(q *ir.Node) extent {
	e := extent{lowest: math.Inf(1), highest: math.Inf(-1), axis: -1}
	if q == nil {
		return e
	}
	param := func(i int) []float32 {
		if !q.In[i].IsStored() {
			return nil
		}
		return q.In[i].Data.F32()
	}
	switch o := q.Op.(type) {
	case op.FakeQuantizeSymmetric:
		e.axis = o.Axis
		for _, s := range param(1) {
			high := math.Abs(float64(s))
			if o.LogScale {
				high = math.Exp(float64(s))
			}
			e.high, e.low = append(e.high, high), append(e.low, high*float64(o.Low)/float64(o.High))
		}
	case op.FakeQuantizeAsymmetric:
		e.axis = o.Axis
		low, width := param(1), param(2)
		for i, w := range width {
			w = float32(math.Abs(float64(w)))
			if o.LogRange {
				w = float32(math.Exp(float64(width[i])))
			}
			l, w := op.TuneRange(low[i], w, o.Levels, o.Compatible)
			e.low, e.high = append(e.low, float64(l)), append(e.high, float64(l)+float64(w))
		}
	}
	return e
}

func (e *extent) add(t *tensor.Tensor) {
	if t.DType() != tensor.Float32 {
		return
	}
	channels, inner := 1, max(1, t.Len())
	if e.axis >= 0 && e.axis < t.Rank() && len(e.low) > 1 {
		channels, inner = t.Shape()[e.axis], max(1, tensor.Shape(t.Shape()[e.axis+1:]).Numel())
	}
	for i, v := range t.F32() {
		x := float64(v)
		e.lowest, e.highest = min(e.lowest, x), max(e.highest, x)
		if e.low == nil {
			continue
		}
		c := i / inner % channels
		// A value within float32 rounding of the end is on it.
		if slack := 1e-6 * (e.high[c] - e.low[c]); x < e.low[c]-slack || x > e.high[c]+slack {
			e.outside++
		}
	}
	e.all += int64(t.Len())
}

func (e *extent) report(l *Layer) {
	if e.all == 0 {
		return
	}
	l.Lowest, l.Highest = e.lowest, e.highest
	for c := range e.low {
		l.RangeLow, l.RangeHigh = min(l.RangeLow, e.low[c]), max(l.RangeHigh, e.high[c])
	}
	l.Clipped = 100 * float64(e.outside) / float64(e.all)
}
