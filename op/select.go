package op

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// argAttrs are the attributes of [ArgMax] and [ArgMin]; both convert to it.
type argAttrs struct {
	Axis            int
	KeepDims        bool
	SelectLastIndex bool
}

func (o argAttrs) infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if err := wantNumbers(in...); err != nil {
		return nil, err
	}
	a, err := tensor.Axis(o.Axis, in[0].Type.Rank())
	if err != nil {
		return nil, err
	}
	dims := slices.Clone(in[0].Type.Dims)
	if o.KeepDims {
		dims[a] = ir.Len(1)
	} else {
		dims = slices.Delete(dims, a, a+1)
	}
	return []ir.Type{{DType: tensor.Int64, Dims: dims}}, nil
}

// eval finds, along the axis, the element that better prefers to all others.
func (o argAttrs) eval(x *tensor.Tensor, better func(a, b float64) bool) ([]*tensor.Tensor, error) {
	xs := x.Shape()
	a, err := tensor.Axis(o.Axis, len(xs))
	if err != nil {
		return nil, err
	}
	v, err := x.Float64s()
	if err != nil {
		return nil, err
	}
	if err := checkSize(xs); err != nil {
		return nil, err
	}
	outer, n, inner := splitAt(xs, a)
	shape := xs.Clone()
	if o.KeepDims {
		shape[a] = 1
	} else {
		shape = slices.Delete(shape, a, a+1)
	}
	out := make([]int64, outer*inner)
	if n == 0 && len(out) > 0 {
		return nil, errors.New("an empty axis has no extremum")
	}
	for k := range out {
		base := k/inner*n*inner + k%inner
		at := 0
		for i := 1; i < n; i++ {
			e, best := v[base+i*inner], v[base+at*inner]
			if better(e, best) || o.SelectLastIndex && e == best {
				at = i
			}
		}
		out[k] = int64(at)
	}
	return one(tensor.From(out, shape...)), nil
}

func decodeArg(d *Decoder) argAttrs {
	return argAttrs{Axis: d.Int("axis", 0), KeepDims: d.Bool("keepdims", true),
		SelectLastIndex: d.Opset >= 12 && d.Bool("select_last_index", false)}
}

func (o argAttrs) encode(e *Encoder) {
	e.Set("axis", encodedAxis(e, o.Axis))
	e.Set("keepdims", o.KeepDims)
	if o.SelectLastIndex {
		e.MinOpset(12)
		e.Set("select_last_index", true)
	}
}

// ArgMax is the index of the largest element along Axis: the first, or with
// SelectLastIndex the last one.
//
//	in  0 x
//	out 0 y int64, without the axis unless KeepDims
//
// https://onnx.ai/onnx/operators/onnx__ArgMax.html
type ArgMax struct {
	Axis            int
	KeepDims        bool
	SelectLastIndex bool
}

var _ ir.Evaluator = ArgMax{}

func (ArgMax) Kind() string { return "ArgMax" }

func (o ArgMax) Infer(in []*ir.Value) ([]ir.Type, error) { return argAttrs(o).infer(in) }

func (o ArgMax) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return argAttrs(o).eval(in[0], func(a, b float64) bool { return a > b })
}

func decodeArgMax(d *Decoder) ir.Op { return ArgMax(decodeArg(d)) }

func encodeArgMax(e *Encoder) { argAttrs(e.Node.Op.(ArgMax)).encode(e) }

// ArgMin is the index of the smallest element along Axis: the first, or with
// SelectLastIndex the last one.
//
//	in  0 x
//	out 0 y int64, without the axis unless KeepDims
//
// https://onnx.ai/onnx/operators/onnx__ArgMin.html
type ArgMin struct {
	Axis            int
	KeepDims        bool
	SelectLastIndex bool
}

var _ ir.Evaluator = ArgMin{}

func (ArgMin) Kind() string { return "ArgMin" }

func (o ArgMin) Infer(in []*ir.Value) ([]ir.Type, error) { return argAttrs(o).infer(in) }

func (o ArgMin) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return argAttrs(o).eval(in[0], func(a, b float64) bool { return a < b })
}

func decodeArgMin(d *Decoder) ir.Op { return ArgMin(decodeArg(d)) }

func encodeArgMin(e *Encoder) { argAttrs(e.Node.Op.(ArgMin)).encode(e) }

// TopK takes the k largest (with Smallest: smallest) elements along Axis, in
// that order, and their indices; of equal elements the first comes first.
//
//	in  0 x   1 k int64 [1]
//	out 0 values   1 indices int64
//
// The results are always sorted, which is what ONNX's default says; files that
// say sorted=0 get more than they asked for. The field's zero value is axis 0,
// files default to -1.
// https://onnx.ai/onnx/operators/onnx__TopK.html
type TopK struct {
	Axis     int
	Smallest bool
}

var (
	_ ir.Evaluator      = TopK{}
	_ ir.Differentiable = TopK{}
)

func (TopK) Kind() string { return "TopK" }

func (o TopK) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := wantNumbers(in...); err != nil {
		return nil, err
	}
	a, err := tensor.Axis(o.Axis, in[0].Type.Rank())
	if err != nil {
		return nil, err
	}
	dims := slices.Clone(in[0].Type.Dims)
	if k, ok := in[1].ConstInts(); !ok {
		dims[a] = ir.Unknown()
	} else if n, known := dims[a].Known(); len(k) != 1 || k[0] < 0 || known && k[0] > n {
		return nil, fmt.Errorf("k: got %v for an axis of %v, want one number up to that", k, dims[a])
	} else {
		dims[a] = ir.Len(k[0])
	}
	return []ir.Type{{DType: in[0].Type.DType, Dims: dims}, {DType: tensor.Int64, Dims: dims}}, nil
}

func (o TopK) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x := in[0]
	xs := x.Shape()
	a, err := tensor.Axis(o.Axis, len(xs))
	if err != nil {
		return nil, err
	}
	k, err := intOf(in[1], "k")
	if err != nil {
		return nil, err
	}
	if k < 0 || k > xs[a] {
		return nil, fmt.Errorf("k: got %d for an axis of %d", k, xs[a])
	}
	v, err := x.Float64s()
	if err != nil {
		return nil, err
	}
	if err := checkSize(xs); err != nil {
		return nil, err
	}
	outer, n, inner := splitAt(xs, a)
	shape := xs.Clone()
	shape[a] = k
	pos, idx := make([]int, shape.Numel()), make([]int64, shape.Numel())
	order := make([]int, n)
	for o2 := range outer * inner {
		base := o2/inner*n*inner + o2%inner
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(i, j int) int {
			p, q := v[base+i*inner], v[base+j*inner]
			switch {
			case p == q:
				return 0
			case (p > q) != o.Smallest:
				return -1
			}
			return 1
		})
		for j, i := range order[:k] {
			at := o2/inner*k*inner + j*inner + o2%inner
			pos[at], idx[at] = base+i*inner, int64(i)
		}
	}
	return []*tensor.Tensor{pick(x, shape, pos), tensor.From(idx, shape...)}, nil
}

func (o TopK) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	if dOut[0] == nil {
		return zeroGrad(n)
	}
	idx := n.Output(1)
	if idx == nil {
		idx = b.Multi(o, n.Name+"/grad_index", 2, n.In...)[1]
	}
	zero := zerosOf(b, n.Name+"/grad_zero", n.In[0].Type)
	return first(b.Op(ScatterElements{Axis: o.Axis}, n.Name+"/grad", zero, idx, dOut[0]), n)
}

func decodeTopK(d *Decoder) ir.Op {
	if d.Opset < 10 {
		d.SetIn(1, d.ConstInts("k", []int{d.Int("k", 0)}))
	}
	o := TopK{Axis: d.Int("axis", -1)}
	if d.Opset >= 11 {
		o.Smallest = !d.Bool("largest", true)
		d.Ignore("sorted")
	}
	return o
}

func encodeTopK(e *Encoder) {
	o := e.Node.Op.(TopK)
	e.Set("axis", encodedAxis(e, o.Axis))
	if o.Smallest {
		e.MinOpset(11)
		e.Set("largest", false)
	}
	if e.Opset < 10 {
		k, ok := e.In[1].ConstInts()
		if !ok || len(k) != 1 {
			e.Errorf("k must be constant at opset %d", e.Opset)
			return
		}
		e.Set("k", k[0])
		e.In = e.In[:1]
	}
}

// CumSum is y[i] = Σ x[j] over j ≤ i along an axis; Exclusive sums j < i, and
// Reverse goes from the end.
//
//	in  0 x   1 axis int64 or int32, scalar
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__CumSum.html
type CumSum struct{ Exclusive, Reverse bool }

var (
	_ ir.Evaluator      = CumSum{}
	_ ir.Differentiable = CumSum{}
	_ ir.Costed         = CumSum{}
)

func (CumSum) Kind() string { return "CumSum" }

func (CumSum) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := wantNumbers(in...); err != nil {
		return nil, err
	}
	if a, ok := in[1].ConstInts(); ok {
		if len(a) != 1 {
			return nil, fmt.Errorf("axis: got %v, want one number", a)
		}
		if _, err := tensor.Axis(a[0], in[0].Type.Rank()); err != nil {
			return nil, err
		}
	}
	return []ir.Type{in[0].Type}, nil
}

func (o CumSum) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x := in[0]
	a, err := intOf(in[1], "axis")
	if err != nil {
		return nil, err
	}
	if a, err = tensor.Axis(a, x.Rank()); err != nil {
		return nil, err
	}
	if err := checkSize(x.Shape()); err != nil {
		return nil, err
	}
	outer, n, inner := splitAt(x.Shape(), a)
	if x.DType().IsFloat() {
		v, _ := x.Float64s()
		return one(fromFloats(x.DType(), cumulate(o, v, outer, n, inner), x.Shape()...)), nil
	}
	v, err := x.Ints()
	if err != nil {
		return nil, err
	}
	return one(fromInts(x.DType(), cumulate(o, v, outer, n, inner), x.Shape()...)), nil
}

func cumulate[T int | float64](o CumSum, v []T, outer, n, inner int) []T {
	out := make([]T, len(v))
	for k := range outer * inner {
		base := k/inner*n*inner + k%inner
		var sum T
		for i := range n {
			if o.Reverse {
				i = n - 1 - i
			}
			at := base + i*inner
			if o.Exclusive {
				out[at] = sum
			}
			sum += v[at]
			if !o.Exclusive {
				out[at] = sum
			}
		}
	}
	return out
}

func (o CumSum) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(b.Op(CumSum{Exclusive: o.Exclusive, Reverse: !o.Reverse}, n.Name+"/grad", dOut[0], n.In[1]), n)
}

func (CumSum) Cost(n *ir.Node) ir.Cost { return elementOps(n, 1) }

func decodeCumSum(d *Decoder) ir.Op {
	return CumSum{Exclusive: d.Bool("exclusive", false), Reverse: d.Bool("reverse", false)}
}

func encodeCumSum(e *Encoder) {
	e.MinOpset(11)
	o := e.Node.Op.(CumSum)
	if o.Exclusive {
		e.Set("exclusive", true)
	}
	if o.Reverse {
		e.Set("reverse", true)
	}
}
