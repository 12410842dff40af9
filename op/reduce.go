package op

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// reduction is the attribute set of all reductions; each of them converts to it.
// Axes come as input 1 and may be negative. Without axes (omitted or empty)
// everything is reduced, or nothing if NoopWithEmptyAxes.
type reduction struct{ KeepDims, NoopWithEmptyAxes bool }

// axes resolves the axes for a given rank; noop reports that nothing is reduced.
func (r reduction) axes(list []int, rank int) (axes []int, noop bool, err error) {
	if len(list) == 0 {
		if r.NoopWithEmptyAxes {
			return nil, true, nil
		}
		list = nil
	}
	axes, err = axesOf(list, rank)
	return axes, false, err
}

func (r reduction) infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 2); err != nil {
		return nil, err
	}
	x := in[0].Type
	if x.DType == tensor.String {
		return nil, fmt.Errorf("got %v elements, want numbers", x.DType)
	}
	var list []int
	if v := present(in, 1); v != nil {
		var ok bool
		if list, ok = v.ConstInts(); !ok {
			if n, known := v.Type.Numel().Known(); known && n == 0 {
				list = []int{}
			} else {
				return r.inferUnknown(x, v)
			}
		}
	}
	axes, noop, err := r.axes(list, x.Rank())
	if err != nil {
		return nil, err
	}
	if noop {
		return []ir.Type{x}, nil
	}
	out := ir.Type{DType: x.DType}
	for i, d := range x.Dims {
		switch {
		case !slices.Contains(axes, i):
			out.Dims = append(out.Dims, d)
		case r.KeepDims:
			out.Dims = append(out.Dims, ir.Len(1))
		}
	}
	return []ir.Type{out}, nil
}

// inferUnknown is the inference for axes that are not constant: their number
// decides the rank.
func (r reduction) inferUnknown(x ir.Type, axes *ir.Value) ([]ir.Type, error) {
	rank := x.Rank()
	if !r.KeepDims {
		k, ok := axes.Type.Numel().Known()
		if !ok || k > rank {
			return nil, fmt.Errorf("axes: got %v, which is not constant; want constant axes, keepdims, or a known number of axes", axes.Type)
		}
		rank -= k
	}
	out := ir.Type{DType: x.DType, Dims: make([]ir.Dim, rank)}
	for i := range out.Dims {
		out.Dims[i] = ir.Unknown()
	}
	return []ir.Type{out}, nil
}

// groups lists the positions of the elements that are reduced together, group
// after group, and the shape of the result.
func (r reduction) groups(in []*tensor.Tensor) (pos []int, size int, shape []int, noop bool, err error) {
	xs := in[0].Shape()
	var list []int
	if t := present(in, 1); t != nil {
		if list, err = t.Ints(); err != nil {
			return
		}
	}
	axes, noop, err := r.axes(list, len(xs))
	if err != nil || noop {
		return nil, 0, nil, noop, err
	}
	st := xs.Strides()
	var kept, red, keptStride, redStride []int
	for i, n := range xs {
		if slices.Contains(axes, i) {
			red, redStride = append(red, n), append(redStride, st[i])
			if r.KeepDims {
				shape = append(shape, 1)
			}
			continue
		}
		kept, keptStride = append(kept, n), append(keptStride, st[i])
		shape = append(shape, n)
	}
	if err := checkSize(xs); err != nil {
		return nil, 0, nil, false, err
	}
	pos = stridedPos(append(kept, red...), append(keptStride, redStride...), 0)
	return pos, tensor.Shape(red).Numel(), shape, false, nil
}

// eval reduces each group by f; integers by i if it is not nil.
func (r reduction) eval(in []*tensor.Tensor, f func([]float64) float64, i func([]int) int) ([]*tensor.Tensor, error) {
	x := in[0]
	pos, size, shape, noop, err := r.groups(in)
	if err != nil {
		return nil, err
	}
	if noop {
		return one(x), nil
	}
	n := tensor.Shape(shape).Numel()
	if !x.DType().IsFloat() && i != nil {
		v, err := x.Ints()
		if err != nil {
			return nil, err
		}
		return one(fromInts(x.DType(), reduceGroups(v, pos, n, size, i), shape...)), nil
	}
	v, err := x.Float64s()
	if err != nil {
		return nil, err
	}
	return one(fromFloats(x.DType(), reduceGroups(v, pos, n, size, f), shape...)), nil
}

func reduceGroups[T any](v []T, pos []int, n, size int, f func([]T) T) []T {
	out, group := make([]T, n), make([]T, size)
	for k := range out {
		for j := range group {
			group[j] = v[pos[k*size+j]]
		}
		out[k] = f(group)
	}
	return out
}

// cost is one operation per input element.
func (reduction) cost(n *ir.Node) ir.Cost {
	s, ok := n.In[0].Type.Shape()
	if !ok {
		return ir.Cost{}
	}
	return ir.Cost{Ops: int64(s.Numel())}
}

// isNoop reports whether a node with known axes reduces nothing.
func (r reduction) isNoop(n *ir.Node) (bool, error) {
	axes, err := r.nodeAxes(n)
	return axes == nil, err
}

// nodeAxes returns the resolved axes of a node, nil if it reduces nothing.
func (r reduction) nodeAxes(n *ir.Node) ([]int, error) {
	var list []int
	if v := n.Input(1); v != nil {
		var ok bool
		if list, ok = v.ConstInts(); !ok {
			return nil, errors.New("the gradient needs constant axes")
		}
	}
	axes, noop, err := r.axes(list, n.In[0].Type.Rank())
	if noop || err != nil {
		return nil, err
	}
	if axes == nil {
		axes = []int{}
	}
	return axes, nil
}

// widen gives a result-shaped value (the result, or its gradient) the reduced
// axes back, with length 1.
func (r reduction) widen(b *ir.Builder, n *ir.Node, name string, v *ir.Value) (*ir.Value, error) {
	axes, err := r.nodeAxes(n)
	if err != nil || axes == nil || r.KeepDims {
		return v, err
	}
	t := ir.Type{DType: v.Type.DType}
	for i, d := range n.In[0].Type.Dims {
		if slices.Contains(axes, i) {
			d = ir.Len(1)
		}
		t.Dims = append(t.Dims, d)
	}
	return reshapeTo(b, name, v, t), b.Err()
}

// count returns how many elements each result element stands for.
func (r reduction) count(n *ir.Node) (int, error) {
	axes, err := r.nodeAxes(n)
	c := 1
	for _, a := range axes {
		c *= n.In[0].Type.MustShape()[a]
	}
	return c, err
}

// grad builds f(x, y, dy), where y and dy broadcast against x, for one input.
func (r reduction) grad(b *ir.Builder, n *ir.Node, dy *ir.Value, f func(c calc, x, y, dy *ir.Value) *ir.Value) ([]*ir.Value, error) {
	noop, err := r.isNoop(n)
	if err != nil {
		return nil, err
	}
	if noop {
		return first(dy, n)
	}
	c := gradCalc(b, n)
	if dy, err = r.widen(b, n, c.name, dy); err != nil {
		return nil, err
	}
	y, err := r.widen(b, n, c.name, n.Out[0])
	if err != nil {
		return nil, err
	}
	return first(f(c, n.In[0], y, dy), n)
}

// contents reduces the known content of an integer vector.
func (r reduction) contents(in []*ir.Value, f func(a, b ir.Dim) ir.Dim) ([]ir.Dim, bool) {
	d, ok := in[0].ConstDims()
	if !ok || len(d) == 0 || in[0].Type.Rank() != 1 || r.NoopWithEmptyAxes || !calculable(in[0].Type.DType) {
		return nil, false
	}
	acc := d[0]
	for _, e := range d[1:] {
		acc = wrapped(in[0].Type.DType, f(acc, e))
	}
	return []ir.Dim{acc}, true
}

// decode reads the attributes; before opset axesInput the axes are one of them.
func decodeReduction(d *Decoder, axesInput int) reduction {
	if d.Opset < axesInput {
		d.IntsToInput("axes", 1)
	}
	return reduction{KeepDims: d.Bool("keepdims", true), NoopWithEmptyAxes: d.Opset >= axesInput && d.Bool("noop_with_empty_axes", false)}
}

func (r reduction) encode(e *Encoder, axesInput int) {
	e.Set("keepdims", r.KeepDims)
	if e.Opset >= axesInput {
		if r.NoopWithEmptyAxes {
			e.Set("noop_with_empty_axes", true)
		}
		return
	}
	axes := present(e.In, 1)
	if list, ok := axes.ConstInts(); axes == nil || ok && len(list) == 0 {
		if r.NoopWithEmptyAxes {
			e.Errorf("noop_with_empty_axes without axes needs opset %d, the file has %d", axesInput, e.Opset)
		}
		e.In = e.In[:1]
		return
	}
	axesToAttr(e, 1, "axes", e.In[0].Type.Rank())
}

// axesToAttr is InputToInts for axes, which are written without negative
// values: opsets below 11 have none.
func axesToAttr(e *Encoder, i int, name string, rank int) {
	n := len(e.Attrs)
	e.InputToInts(i, name)
	if len(e.Attrs) == n {
		return
	}
	list, _ := e.Attrs[n].Value.([]int64)
	for k, a := range list {
		if a < 0 {
			list[k] = a + int64(rank)
		}
	}
}

// ReduceSum adds up the axes listed by input 1 (all of them if omitted).
//
//	in  0 x   1 axes int64 [k], optional
//	out 0 y, without the axes unless KeepDims
//
// https://onnx.ai/onnx/operators/onnx__ReduceSum.html
type ReduceSum struct {
	KeepDims          bool
	NoopWithEmptyAxes bool
}

var (
	_ ir.Evaluator      = ReduceSum{}
	_ ir.Differentiable = ReduceSum{}
	_ ir.DimsEvaluator  = ReduceSum{}
	_ ir.Costed         = ReduceSum{}
	_ ir.AxisMapper     = ReduceSum{}
)

func (ReduceSum) Kind() string { return "ReduceSum" }

func (r ReduceSum) Infer(in []*ir.Value) ([]ir.Type, error) { return reduction(r).infer(in) }

func (r ReduceSum) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return reduction(r).eval(in, sum[float64], sum[int])
}

func (r ReduceSum) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	return reduction(r).contents(in, func(a, b ir.Dim) ir.Dim { return addDims(a, b, 1) })
}

func (r ReduceSum) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	dy, err := reduction(r).widen(b, n, n.Name+"/grad", dOut[0])
	if err != nil {
		return nil, err
	}
	return first(expandTo(b, n.Name+"/grad", dy, n.In[0].Type), n)
}

func (r ReduceSum) Cost(n *ir.Node) ir.Cost { return reduction(r).cost(n) }

// MapAxes implements [ir.AxisMapper].
func (r ReduceSum) MapAxes(n *ir.Node, m ir.AxisMap) { reduction(r).mapAxes(n, m) }

func decodeReduceSum(d *Decoder) ir.Op { return ReduceSum(decodeReduction(d, 13)) }

func encodeReduceSum(e *Encoder) { reduction(e.Node.Op.(ReduceSum)).encode(e, 13) }

func sum[T float64 | int](v []T) T {
	var s T
	for _, e := range v {
		s += e
	}
	return s
}

// ReduceMean averages over the axes listed by input 1 (all of them if omitted).
//
//	in  0 x   1 axes int64 [k], optional
//	out 0 y, without the axes unless KeepDims
//
// https://onnx.ai/onnx/operators/onnx__ReduceMean.html
type ReduceMean struct {
	KeepDims          bool
	NoopWithEmptyAxes bool
}

var (
	_ ir.Evaluator      = ReduceMean{}
	_ ir.Differentiable = ReduceMean{}
	_ ir.Costed         = ReduceMean{}
	_ ir.AxisMapper     = ReduceMean{}
	_ ir.QuantTraited   = ReduceMean{}
)

func (ReduceMean) Kind() string { return "ReduceMean" }

func (r ReduceMean) Infer(in []*ir.Value) ([]ir.Type, error) { return reduction(r).infer(in) }

func (r ReduceMean) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return reduction(r).eval(in, func(v []float64) float64 { return sum(v) / float64(len(v)) },
		func(v []int) int { return sum(v) / max(1, len(v)) })
}

func (r ReduceMean) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	k, err := reduction(r).count(n)
	if err != nil {
		return nil, err
	}
	dy, err := reduction(r).widen(b, n, n.Name+"/grad", dOut[0])
	if err != nil {
		return nil, err
	}
	if k != 1 {
		dy = gradCalc(b, n).scale(dy, 1/float64(k))
	}
	return first(expandTo(b, n.Name+"/grad", dy, n.In[0].Type), n)
}

func (r ReduceMean) Cost(n *ir.Node) ir.Cost { return reduction(r).cost(n) }

// MapAxes implements [ir.AxisMapper].
func (r ReduceMean) MapAxes(n *ir.Node, m ir.AxisMap) { reduction(r).mapAxes(n, m) }

func (ReduceMean) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func decodeReduceMean(d *Decoder) ir.Op { return ReduceMean(decodeReduction(d, 18)) }

func encodeReduceMean(e *Encoder) { reduction(e.Node.Op.(ReduceMean)).encode(e, 18) }
