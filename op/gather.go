package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Gather takes slices of x along Axis: y[…, i…, …] = x[…, indices[i…], …].
// Negative indices count from the end.
//
//	in  0 x   1 indices int64 or int32
//	out 0 y [x[:Axis]…, indices…, x[Axis+1:]…]
//
// A stored matrix indexed along axis 0 is an embedding table: its rows are
// what the indices choose, its columns are the output channels.
// https://onnx.ai/onnx/operators/onnx__Gather.html
type Gather struct{ Axis int }

var (
	_ ir.Evaluator      = Gather{}
	_ ir.Differentiable = Gather{}
	_ ir.DimsEvaluator  = Gather{}
	_ ir.AxisCutter     = Gather{}
	_ ir.QuantTraited   = Gather{}
	_ ir.Weighted       = Gather{}
)

func (Gather) Kind() string { return "Gather" }

func (g Gather) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := wantIndices(in[1]); err != nil {
		return nil, err
	}
	x := in[0].Type
	a, err := tensor.Axis(g.Axis, x.Rank())
	if err != nil {
		return nil, err
	}
	out := ir.Type{DType: x.DType, Dims: append([]ir.Dim(nil), x.Dims[:a]...)}
	out.Dims = append(append(out.Dims, in[1].Type.Dims...), x.Dims[a+1:]...)
	return []ir.Type{out}, nil
}

func wantIndices(v *ir.Value) error {
	return wantDType(v, "indices", tensor.Int64, tensor.Int32)
}

// index resolves one index of an axis of n elements.
func index(i, n int) (int, error) {
	if i < -n || i >= n {
		return 0, fmt.Errorf("index %d is out of range for an axis of %d", i, n)
	}
	if i < 0 {
		i += n
	}
	return i, nil
}

// positions lists the source of each element of the result, and its shape.
func (g Gather) positions(xs tensor.Shape, indices *tensor.Tensor) (tensor.Shape, []int, error) {
	a, err := tensor.Axis(g.Axis, len(xs))
	if err != nil {
		return nil, nil, err
	}
	idx, err := indices.Ints()
	if err != nil {
		return nil, nil, err
	}
	is := indices.Shape()
	shape := append(append(xs[:a].Clone(), is...), xs[a+1:]...)
	if err := checkSize(shape); err != nil {
		return nil, nil, err
	}
	outer, inner := xs[:a].Numel(), xs[a+1:].Numel()
	pos := make([]int, 0, shape.Numel())
	for o := range outer {
		for _, i := range idx {
			i, err := index(i, xs[a])
			if err != nil {
				return nil, nil, err
			}
			base := (o*xs[a] + i) * inner
			for k := range inner {
				pos = append(pos, base+k)
			}
		}
	}
	return shape, pos, nil
}

func (g Gather) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	shape, pos, err := g.positions(in[0].Shape(), in[1])
	if err != nil {
		return nil, err
	}
	return one(pick(in[0], shape, pos)), nil
}

func (g Gather) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	if in[0].Type.Rank() != 1 {
		return movedElements(g, in, 0)
	}
	d, ok := in[0].ConstDims()
	if !ok {
		return nil, false
	}
	idx, ok := in[1].ConstInts()
	if !ok || in[1].Type.Rank() > 1 {
		return nil, false
	}
	out := make([]ir.Dim, len(idx))
	for k, i := range idx {
		i, err := index(i, len(d))
		if err != nil {
			return nil, false
		}
		out[k] = d[i]
	}
	return out, true
}

func (g Gather) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(b.Op(GatherGrad{Axis: g.Axis, Shape: n.In[0].Type.MustShape()}, n.Name+"/grad", dOut[0], n.In[1]), n)
}

// MapAxes implements [ir.AxisMapper].
func (g Gather) MapAxes(n *ir.Node, m ir.AxisMap) {
	x, y := n.In[0], n.Out[0]
	axis, err := tensor.Axis(g.Axis, x.Type.Rank())
	if err != nil {
		return
	}
	more := n.In[1].Type.Rank() - 1
	for a := range x.Type.Rank() {
		switch {
		case a < axis:
			tieAxes(m, x, a, y, a)
		case a > axis:
			tieAxes(m, x, a, y, a+more)
		}
	}
	idx, ok := n.In[1].ConstInts()
	k, known := x.Type.Dims[axis].Known()
	if !ok || !known || more != 0 {
		m.Fix(x, axis, "entries are chosen by index")
		for i := range more + 1 {
			m.Fix(y, axis+i, "entries are chosen by index")
			tieAxes(m, n.In[1], i, y, axis+i)
		}
		return
	}
	for j, i := range idx {
		if i, err := index(i, k); err == nil {
			m.Tie(x, axis, i, y, axis, j)
		}
	}
}

// CutAxes implements [ir.AxisCutter].
func (g Gather) CutAxes(b *ir.Builder, n *ir.Node, kept func(*ir.Value, int) []int) (ir.Op, []*ir.Value) {
	x, y := n.In[0], n.Out[0]
	axis, _ := tensor.Axis(g.Axis, x.Type.Rank())
	k := kept(x, axis)
	if k == nil {
		return g, n.In
	}
	idx, _ := n.In[1].ConstInts()
	rows := kept(y, axis)
	if rows == nil {
		for j := range idx {
			rows = append(rows, j)
		}
	}
	var out []int
	for _, j := range rows {
		i, _ := index(idx[j], x.Type.Dims[axis].N)
		out = append(out, countBelow(k, i))
	}
	return g, []*ir.Value{x, b.ConstInts(n.Name+"/indices", out...)}
}

func (Gather) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

func (g Gather) Weights(n *ir.Node) ir.WeightPorts {
	x := n.In[0]
	if !x.IsStored() || !x.Type.DType.IsFloat() || x.Type.Rank() != 2 || g.Axis != 0 && g.Axis != -2 {
		return ir.WeightPorts{Weight: -1, OutAxis: -1, InAxis: -1, Bias: -1}
	}
	return ir.WeightPorts{Weight: 0, OutAxis: 1, InAxis: 0, Bias: -1}
}

func decodeGather(d *Decoder) ir.Op { return Gather{Axis: d.Int("axis", 0)} }

func encodeGather(e *Encoder) { e.Set("axis", encodedAxis(e, e.Node.Op.(Gather).Axis)) }

// encodedAxis is an axis of input 0 as every opset reads it: not negative.
func encodedAxis(e *Encoder, axis int) int {
	a, err := tensor.Axis(axis, e.In[0].Type.Rank())
	if err != nil {
		e.Errorf("%v", err)
	}
	return a
}

// GatherGrad adds each slice of dy to the slice of zeros of the given Shape
// that it was taken from, in the order of the indices. Internal: the gradient
// of [Gather].
//
//	in  0 dy   1 indices
//	out 0 dx
type GatherGrad struct {
	Axis  int
	Shape []int
}

var (
	_ ir.Evaluator      = GatherGrad{}
	_ ir.Differentiable = GatherGrad{}
)

func (GatherGrad) Kind() string { return "GatherGrad" }

func (g GatherGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := wantIndices(in[1]); err != nil {
		return nil, err
	}
	if err := tensor.Shape(g.Shape).Check(); err != nil {
		return nil, err
	}
	if _, err := tensor.Axis(g.Axis, len(g.Shape)); err != nil {
		return nil, err
	}
	return []ir.Type{ir.MakeType(in[0].Type.DType, g.Shape...)}, nil
}

func (g GatherGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := checkSize(g.Shape); err != nil {
		return nil, err
	}
	shape, pos, err := Gather{Axis: g.Axis}.positions(g.Shape, in[1])
	if err != nil {
		return nil, err
	}
	if !shape.Equal(in[0].Shape()) {
		return nil, fmt.Errorf("got gradient %v, want %v", in[0].Shape(), shape)
	}
	return oneErr(addAt(in[0], g.Shape, pos))
}

func (g GatherGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(b.Op(Gather{Axis: g.Axis}, n.Name+"/grad", dOut[0], n.In[1]), n)
}
