package pass

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// grid is one channel of a trainable fake-quantizer read as numbers: n+1 points
// over [low, low+width], step apart, of which point zero stands for 0. All
// float32 values are computed in the order of the operator's definition.
type grid struct {
	low, width, s float32
	n, zero       int
}

func newGrid(low, width float32, n int) grid {
	g := grid{low: low, width: width, s: float32(n) / width, n: n}
	g.zero = int(rne(float32(-low * g.s)))
	return g
}

// step is the distance of two points.
func (g grid) step() float32 { return float32(float64(g.width) / float64(g.n)) }

// min and max are the first and last point, counted from zero.
func (g grid) min() int { return -g.zero }
func (g grid) max() int { return g.n - g.zero }

// point returns which point, counted from zero, a quantized value y is.
func (g grid) point(y float32) int { return int(rne(float32(y * g.s))) }

func rne(x float32) float32 { return float32(math.RoundToEven(float64(x))) }

// fqEpsilon is what the operators add to the size of a scale or range.
const fqEpsilon float32 = 1e-16

// quantizer is a trainable fake-quantizer with its grids: one, or one for each
// index of axis.
type quantizer struct {
	node  *ir.Node
	axis  int // -1: one grid for all
	grids []grid
}

// readQuantizer reads the grids of a trainable fake-quantizer, whose parameters
// must be stored.
func readQuantizer(n *ir.Node) (*quantizer, error) {
	size := func(v *ir.Value, log bool) ([]float32, error) {
		t, ok := StoredTensor(v)
		if !ok || t.DType() != tensor.Float32 {
			return nil, fmt.Errorf("parameter %q is computed from the model's input, want a stored tensor", v.Name)
		}
		out := make([]float32, t.Len())
		for i, x := range t.F32() {
			if log {
				out[i] = float32(math.Exp(float64(x)))
			} else {
				out[i] = float32(math.Abs(float64(x))) + fqEpsilon
			}
		}
		return out, nil
	}
	q := &quantizer{node: n}
	switch o := n.Op.(type) {
	case op.FakeQuantizeSymmetric:
		scale, err := size(n.In[1], o.LogScale)
		if err != nil {
			return nil, err
		}
		q.axis = o.Axis
		ratio := float32(float64(o.Low) / float64(o.High))
		levels := o.Levels
		if levels == 0 {
			levels = o.High - o.Low + 1
		}
		for _, s := range scale {
			low := float32(s * ratio)
			q.grids = append(q.grids, newGrid(low, s-low, levels-1))
		}
	case op.FakeQuantizeAsymmetric:
		low, ok := StoredTensor(n.In[1])
		if !ok || low.DType() != tensor.Float32 {
			return nil, fmt.Errorf("parameter %q is computed from the model's input, want a stored tensor", n.In[1].Name)
		}
		width, err := size(n.In[2], o.LogRange)
		if err != nil {
			return nil, err
		}
		q.axis = o.Axis
		for i, w := range width {
			l, w := op.TuneRange(low.F32()[i], w, o.Levels, o.Compatible)
			q.grids = append(q.grids, newGrid(l, w, o.Levels-1))
		}
	default:
		return nil, fmt.Errorf("got operator %s, want a trainable fake-quantizer", n.Op.Kind())
	}
	for i, g := range q.grids {
		if !(g.width > 0) || math.IsInf(float64(g.s), 0) || math.IsInf(float64(g.width), 0) {
			return nil, fmt.Errorf("channel %d has the range [%g, %g], want a finite one of positive width", i, g.low, g.low+g.width)
		}
	}
	return q, nil
}

// channel returns the grid index of each element of a tensor of shape s.
func (q *quantizer) channel(s tensor.Shape) func(i int) int {
	if q.axis < 0 {
		return func(int) int { return 0 }
	}
	inner, n := s[q.axis+1:].Numel(), s[q.axis]
	return func(i int) int { return i / inner % n }
}

// points quantizes stored data and returns the points, counted from zero.
func (q *quantizer) points() (points []int, shape tensor.Shape, err error) {
	y, ok := StoredTensor(q.node.Out[0])
	if !ok {
		return nil, nil, fmt.Errorf("%q is computed from the model's input, want stored weights", q.node.In[0].Name)
	}
	of := q.channel(y.Shape())
	points = make([]int, y.Len())
	for i, v := range y.F32() {
		if math.IsNaN(float64(v)) {
			return nil, nil, fmt.Errorf("weights of %q contain NaN", q.node.In[0].Name)
		}
		points[i] = q.grids[of(i)].point(v)
	}
	return points, y.Shape(), nil
}

// onWeights reports whether the quantizer's input is stored, or computed from
// stored tensors alone (masks, for example).
func onWeights(n *ir.Node) bool { return n.In[0].FromStored() }

// StoredTensor returns the elements of a value that is stored, or computed from
// stored tensors alone, as masked and quantized weights are.
func StoredTensor(v *ir.Value) (*tensor.Tensor, bool) {
	if v.IsStored() {
		return v.Data, true
	}
	if v.Def == nil || !v.FromStored() {
		return nil, false
	}
	e, ok := v.Def.Op.(ir.Evaluator)
	if !ok {
		return nil, false
	}
	in := make([]*tensor.Tensor, len(v.Def.In))
	for i, w := range v.Def.In {
		if w == nil {
			continue
		}
		if in[i], ok = StoredTensor(w); !ok {
			return nil, false
		}
	}
	out, err := e.Eval(in)
	if err != nil || v.Index >= len(out) || out[v.Index] == nil {
		return nil, false
	}
	return out[v.Index], true
}

// weightSource returns the stored tensor that a weight expression starts from,
// to name what replaces it; nil if there is not exactly one.
func weightSource(v *ir.Value) *ir.Value {
	for v != nil && !v.IsStored() {
		if v.Def == nil || len(v.Def.In) == 0 {
			return nil
		}
		v = v.Def.In[0]
	}
	return v
}

// replacement adds a stored value that replaces old, and takes its name if
// nothing else uses it.
func replacement(p *rewrite.Patch, old *ir.Value, kind ir.ValueKind, name string, t *tensor.Tensor) *ir.Value {
	g := p.Graph()
	if old != nil {
		name = old.Name
		if len(old.Uses()) <= 1 && !isOutput(g, old) {
			g.Rename(old, g.UniqueName(name+"/replaced"))
		}
	}
	return g.AddStored(kind, name, t)
}
