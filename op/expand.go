package op

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Expand broadcasts x against a shape, both ways: where the shape says 1, the
// axis of x stays.
//
//	in  0 x   1 shape int64 [rank]
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Expand.html
type Expand struct{}

var (
	_ ir.Evaluator      = Expand{}
	_ ir.Differentiable = Expand{}
	_ ir.DimsEvaluator  = Expand{}
	_ ir.AxisCutter     = Expand{}
	_ ir.QuantTraited   = Expand{}
)

func (Expand) Kind() string { return "Expand" }

func (Expand) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	want, err := shapeFrom(in[1])
	if err != nil {
		return nil, err
	}
	dims, err := ir.BroadcastDims(in[0].Type.Dims, want)
	return []ir.Type{{DType: in[0].Type.DType, Dims: dims}}, err
}

func (Expand) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	want, err := in[1].Ints()
	if err != nil {
		return nil, err
	}
	if err := checkSize(want); err != nil {
		return nil, err
	}
	shape, err := tensor.Broadcast(in[0].Shape(), want)
	if err != nil {
		return nil, err
	}
	if err := checkSize(shape); err != nil {
		return nil, err
	}
	return one(pick(in[0], shape, broadcastPos(shape, in[0].Shape()))), nil
}

func (Expand) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	d, ok := in[0].ConstDims()
	if !ok || in[0].Type.Rank() > 1 {
		return nil, false
	}
	n, ok := in[1].ConstInts()
	switch {
	case !ok || len(n) > 1:
		return nil, false
	case len(n) == 0 || n[0] == 1 || n[0] == len(d):
		return d, true
	case len(d) != 1 || n[0] < 0 || n[0] > maxRank:
		return nil, false
	}
	out := make([]ir.Dim, n[0])
	for i := range out {
		out[i] = d[0]
	}
	return out, true
}

func (Expand) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(sumTo(b, n.Name+"/grad", dOut[0], n.In[0].Type), n)
}

// MapAxes implements [ir.AxisMapper].
func (Expand) MapAxes(n *ir.Node, m ir.AxisMap) {
	elementAxes(&ir.Node{In: n.In[:1], Out: n.Out}, m)
	if _, ok := n.In[1].ConstInts(); !ok {
		for a := range n.Out[0].Type.Rank() {
			if _, known := n.Out[0].Type.Dims[a].Known(); known {
				m.Fix(n.Out[0], a, "the shape it gets is computed")
			}
		}
	}
}

// CutAxes implements [ir.AxisCutter].
func (e Expand) CutAxes(b *ir.Builder, n *ir.Node, kept func(*ir.Value, int) []int) (ir.Op, []*ir.Value) {
	y := n.Out[0]
	shape, ok := n.In[1].ConstInts()
	if !ok {
		return e, n.In
	}
	shape = slices.Clone(shape)
	for i := range shape {
		if k := kept(y, y.Type.Rank()-len(shape)+i); k != nil && shape[i] != 1 {
			shape[i] = len(k)
		}
	}
	return e, []*ir.Value{n.In[0], b.ConstInts(n.Name+"/shape", shape...)}
}

func (Expand) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

// Tile repeats x along every axis.
//
//	in  0 x   1 repeats int64 [rank]
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Tile.html
type Tile struct{}

var (
	_ ir.Evaluator      = Tile{}
	_ ir.Differentiable = Tile{}
	_ ir.AxisMapper     = Tile{}
	_ ir.QuantTraited   = Tile{}
)

func (Tile) Kind() string { return "Tile" }

func (Tile) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	x := in[0].Type
	out := ir.Type{DType: x.DType, Dims: make([]ir.Dim, x.Rank())}
	reps, ok := in[1].ConstDims()
	if ok && len(reps) != x.Rank() {
		return nil, fmt.Errorf("repeats: got %v, want one entry for each axis of %v", reps, x)
	}
	for i, d := range x.Dims {
		if out.Dims[i] = ir.Unknown(); ok {
			if n, known := reps[i].Known(); known && (n < 0 || n > maxElements) {
				return nil, fmt.Errorf("repeats: got %v, want values from 0 to %d", reps, maxElements)
			}
			if reps[i].N >= 0 {
				out.Dims[i] = d.Mul(reps[i])
			}
		}
	}
	return []ir.Type{out}, nil
}

func (Tile) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	xs := in[0].Shape()
	reps, err := in[1].Ints()
	if err != nil {
		return nil, err
	}
	if len(reps) != len(xs) {
		return nil, fmt.Errorf("repeats: got %v, want one entry for each axis of %v", reps, xs)
	}
	if err := checkSize(reps); err != nil {
		return nil, err
	}
	shape := make(tensor.Shape, len(xs))
	for i, n := range xs {
		if n > 0 && reps[i] > maxElements/n {
			return nil, fmt.Errorf("repeats: got %v for %v, want at most %d elements", reps, xs, maxElements)
		}
		shape[i] = n * reps[i]
	}
	if err := checkSize(shape); err != nil {
		return nil, err
	}
	src, st := make([][]int, len(xs)), xs.Strides()
	for a, n := range shape {
		src[a] = make([]int, n)
		for i := range n {
			src[a][i] = i % xs[a] * st[a]
		}
	}
	return one(pick(in[0], shape, crossPos(shape, src))), nil
}

func (Tile) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	reps, ok := n.In[1].ConstInts()
	if !ok {
		return nil, errors.New("the gradient needs constant repeats")
	}
	var split, axes []int
	for i, l := range n.In[0].Type.MustShape() {
		axes = append(axes, len(split))
		split = append(split, reps[i], l)
	}
	name := n.Name + "/grad"
	g := b.Op(Reshape{AllowZero: true}, name, dOut[0], b.ConstInts(name+"/shape", split...))
	if len(axes) == 0 {
		return first(g, n)
	}
	return first(b.Op(ReduceSum{}, name, g, b.ConstInts(name+"/axes", axes...)), n)
}

// MapAxes implements [ir.AxisMapper].
func (Tile) MapAxes(n *ir.Node, m ir.AxisMap) {
	x, y := n.In[0], n.Out[0]
	for a := range x.Type.Rank() {
		k, known := x.Type.Dims[a].Known()
		l, all := y.Type.Dims[a].Known()
		if !known || !all {
			tieAxes(m, x, a, y, a)
			continue
		}
		for j := range l {
			m.Tie(x, a, j%k, y, a, j)
		}
	}
}

func (Tile) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }
