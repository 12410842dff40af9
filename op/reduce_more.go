package op

import (
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

func maxOf[T float64 | int](least T) func([]T) T {
	return func(v []T) T {
		m := least
		for _, e := range v {
			if e > m || e != e {
				m = e
			}
		}
		return m
	}
}

func minOf[T float64 | int](most T) func([]T) T {
	return func(v []T) T {
		m := most
		for _, e := range v {
			if e < m || e != e {
				m = e
			}
		}
		return m
	}
}

func prod[T float64 | int](v []T) T {
	p := T(1)
	for _, e := range v {
		p *= e
	}
	return p
}

func sumSquare[T float64 | int](v []T) T {
	var s T
	for _, e := range v {
		s += e * e
	}
	return s
}

func mapSlice[T any](v []T, f func(T) T) []T {
	for i, e := range v {
		v[i] = f(e)
	}
	return v
}

func logSumExp(v []float64) float64 {
	m := maxOf(math.Inf(-1))(v)
	if math.IsInf(m, 0) {
		return m
	}
	s := 0.0
	for _, e := range v {
		s += math.Exp(e - m)
	}
	return m + math.Log(s)
}

func maxDims(a, b ir.Dim) ir.Dim {
	if a.Sym == "" && b.Sym == "" {
		return ir.Len(max(a.N, b.N))
	}
	return eitherDim(a, b)
}

func minDims(a, b ir.Dim) ir.Dim {
	if a.Sym == "" && b.Sym == "" {
		return ir.Len(min(a.N, b.N))
	}
	return eitherDim(a, b)
}

func eitherDim(a, b ir.Dim) ir.Dim {
	if a.Equal(b) {
		return a
	}
	return ir.Unknown()
}

// extremumGrad sends the gradient to the elements that equal the result, in equal shares.
func extremumGrad(axes *ir.Value) func(c calc, x, y, dy *ir.Value) *ir.Value {
	return func(c calc, x, y, dy *ir.Value) *ir.Value {
		mask := c.op(Cast{To: x.Type.DType}, c.op(Equal{}, x, y))
		in := []*ir.Value{mask}
		if axes != nil {
			in = append(in, axes)
		}
		return c.mul(mask, c.div(dy, c.op(ReduceSum{KeepDims: true}, in...)))
	}
}

// ReduceMax takes the largest element over the axes listed by input 1 (all of them if omitted). Where several elements are largest, they share the gradient evenly.
//
//	in  0 x   1 axes int64 [k], optional
//	out 0 y, without the axes unless KeepDims
//
// https://onnx.ai/onnx/operators/onnx__ReduceMax.html
type ReduceMax struct {
	KeepDims          bool
	NoopWithEmptyAxes bool
}

var (
	_ ir.Evaluator      = ReduceMax{}
	_ ir.Differentiable = ReduceMax{}
	_ ir.DimsEvaluator  = ReduceMax{}
	_ ir.Costed         = ReduceMax{}
	_ ir.AxisMapper     = ReduceMax{}
	_ ir.QuantTraited   = ReduceMax{}
)

func (ReduceMax) Kind() string { return "ReduceMax" }

func (r ReduceMax) Infer(in []*ir.Value) ([]ir.Type, error) { return reduction(r).infer(in) }

func (r ReduceMax) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return reduction(r).eval(in, maxOf(math.Inf(-1)), maxOf(math.MinInt))
}

func (r ReduceMax) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	return reduction(r).contents(in, maxDims)
}

func (r ReduceMax) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return reduction(r).grad(b, n, dOut[0], extremumGrad(n.Input(1)))
}

func (r ReduceMax) Cost(n *ir.Node) ir.Cost { return reduction(r).cost(n) }

// MapAxes implements [ir.AxisMapper].
func (r ReduceMax) MapAxes(n *ir.Node, m ir.AxisMap) { reduction(r).mapAxes(n, m) }

func (ReduceMax) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

func decodeReduceMax(d *Decoder) ir.Op { return ReduceMax(decodeReduction(d, 18)) }

func encodeReduceMax(e *Encoder) { reduction(e.Node.Op.(ReduceMax)).encode(e, 18) }

// ReduceMin takes the smallest element over the axes listed by input 1 (all of them if omitted). Where several elements are smallest, they share the gradient evenly.
//
//	in  0 x   1 axes int64 [k], optional
//	out 0 y, without the axes unless KeepDims
//
// https://onnx.ai/onnx/operators/onnx__ReduceMin.html
type ReduceMin struct {
	KeepDims          bool
	NoopWithEmptyAxes bool
}

var (
	_ ir.Evaluator      = ReduceMin{}
	_ ir.Differentiable = ReduceMin{}
	_ ir.DimsEvaluator  = ReduceMin{}
	_ ir.Costed         = ReduceMin{}
	_ ir.AxisMapper     = ReduceMin{}
	_ ir.QuantTraited   = ReduceMin{}
)

func (ReduceMin) Kind() string { return "ReduceMin" }

func (r ReduceMin) Infer(in []*ir.Value) ([]ir.Type, error) { return reduction(r).infer(in) }

func (r ReduceMin) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return reduction(r).eval(in, minOf(math.Inf(1)), minOf(math.MaxInt))
}

func (r ReduceMin) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	return reduction(r).contents(in, minDims)
}

func (r ReduceMin) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return reduction(r).grad(b, n, dOut[0], extremumGrad(n.Input(1)))
}

func (r ReduceMin) Cost(n *ir.Node) ir.Cost { return reduction(r).cost(n) }

// MapAxes implements [ir.AxisMapper].
func (r ReduceMin) MapAxes(n *ir.Node, m ir.AxisMap) { reduction(r).mapAxes(n, m) }

func (ReduceMin) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

func decodeReduceMin(d *Decoder) ir.Op { return ReduceMin(decodeReduction(d, 18)) }

func encodeReduceMin(e *Encoder) { reduction(e.Node.Op.(ReduceMin)).encode(e, 18) }

// ReduceProd multiplies the elements over the axes listed by input 1 (all of them if omitted). Its gradient dy·y/x is not defined where an element is zero.
//
//	in  0 x   1 axes int64 [k], optional
//	out 0 y, without the axes unless KeepDims
//
// https://onnx.ai/onnx/operators/onnx__ReduceProd.html
type ReduceProd struct {
	KeepDims          bool
	NoopWithEmptyAxes bool
}

var (
	_ ir.Evaluator      = ReduceProd{}
	_ ir.Differentiable = ReduceProd{}
	_ ir.DimsEvaluator  = ReduceProd{}
	_ ir.Costed         = ReduceProd{}
	_ ir.AxisMapper     = ReduceProd{}
)

func (ReduceProd) Kind() string { return "ReduceProd" }

func (r ReduceProd) Infer(in []*ir.Value) ([]ir.Type, error) { return reduction(r).infer(in) }

func (r ReduceProd) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return reduction(r).eval(in, prod[float64], prod[int])
}

func (r ReduceProd) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	return reduction(r).contents(in, ir.Dim.Mul)
}

func (r ReduceProd) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return reduction(r).grad(b, n, dOut[0], func(c calc, x, y, dy *ir.Value) *ir.Value { return c.div(c.mul(dy, y), x) })
}

func (r ReduceProd) Cost(n *ir.Node) ir.Cost { return reduction(r).cost(n) }

// MapAxes implements [ir.AxisMapper].
func (r ReduceProd) MapAxes(n *ir.Node, m ir.AxisMap) { reduction(r).mapAxes(n, m) }

func decodeReduceProd(d *Decoder) ir.Op { return ReduceProd(decodeReduction(d, 18)) }

func encodeReduceProd(e *Encoder) { reduction(e.Node.Op.(ReduceProd)).encode(e, 18) }

// ReduceL1 adds up the absolute values over the axes listed by input 1 (all of them if omitted).
//
//	in  0 x   1 axes int64 [k], optional
//	out 0 y, without the axes unless KeepDims
//
// https://onnx.ai/onnx/operators/onnx__ReduceL1.html
type ReduceL1 struct {
	KeepDims          bool
	NoopWithEmptyAxes bool
}

var (
	_ ir.Evaluator      = ReduceL1{}
	_ ir.Differentiable = ReduceL1{}
	_ ir.Costed         = ReduceL1{}
	_ ir.AxisMapper     = ReduceL1{}
)

func (ReduceL1) Kind() string { return "ReduceL1" }

func (r ReduceL1) Infer(in []*ir.Value) ([]ir.Type, error) { return reduction(r).infer(in) }

func (r ReduceL1) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return reduction(r).eval(in, func(v []float64) float64 { return sum(mapSlice(v, math.Abs)) }, func(v []int) int { return sum(mapSlice(v, func(x int) int { return max(x, -x) })) })
}

func (r ReduceL1) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return reduction(r).grad(b, n, dOut[0], func(c calc, x, _, dy *ir.Value) *ir.Value { return c.mul(dy, c.op(Sign{}, x)) })
}

func (r ReduceL1) Cost(n *ir.Node) ir.Cost { return reduction(r).cost(n) }

// MapAxes implements [ir.AxisMapper].
func (r ReduceL1) MapAxes(n *ir.Node, m ir.AxisMap) { reduction(r).mapAxes(n, m) }

func decodeReduceL1(d *Decoder) ir.Op { return ReduceL1(decodeReduction(d, 18)) }

func encodeReduceL1(e *Encoder) { reduction(e.Node.Op.(ReduceL1)).encode(e, 18) }

// ReduceL2 takes the Euclidean norm over the axes listed by input 1 (all of them if omitted). Its gradient dy·x/y is not defined where the norm is zero.
//
//	in  0 x   1 axes int64 [k], optional
//	out 0 y, without the axes unless KeepDims
//
// https://onnx.ai/onnx/operators/onnx__ReduceL2.html
type ReduceL2 struct {
	KeepDims          bool
	NoopWithEmptyAxes bool
}

var (
	_ ir.Evaluator      = ReduceL2{}
	_ ir.Differentiable = ReduceL2{}
	_ ir.Costed         = ReduceL2{}
	_ ir.AxisMapper     = ReduceL2{}
)

func (ReduceL2) Kind() string { return "ReduceL2" }

func (r ReduceL2) Infer(in []*ir.Value) ([]ir.Type, error) { return reduction(r).infer(in) }

func (r ReduceL2) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return reduction(r).eval(in, func(v []float64) float64 { return math.Sqrt(sumSquare(v)) }, nil)
}

func (r ReduceL2) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return reduction(r).grad(b, n, dOut[0], func(c calc, x, y, dy *ir.Value) *ir.Value { return c.mul(x, c.div(dy, y)) })
}

func (r ReduceL2) Cost(n *ir.Node) ir.Cost { return reduction(r).cost(n) }

// MapAxes implements [ir.AxisMapper].
func (r ReduceL2) MapAxes(n *ir.Node, m ir.AxisMap) { reduction(r).mapAxes(n, m) }

func decodeReduceL2(d *Decoder) ir.Op { return ReduceL2(decodeReduction(d, 18)) }

func encodeReduceL2(e *Encoder) { reduction(e.Node.Op.(ReduceL2)).encode(e, 18) }

// ReduceSumSquare adds up the squares over the axes listed by input 1 (all of them if omitted).
//
//	in  0 x   1 axes int64 [k], optional
//	out 0 y, without the axes unless KeepDims
//
// https://onnx.ai/onnx/operators/onnx__ReduceSumSquare.html
type ReduceSumSquare struct {
	KeepDims          bool
	NoopWithEmptyAxes bool
}

var (
	_ ir.Evaluator      = ReduceSumSquare{}
	_ ir.Differentiable = ReduceSumSquare{}
	_ ir.Costed         = ReduceSumSquare{}
	_ ir.AxisMapper     = ReduceSumSquare{}
)

func (ReduceSumSquare) Kind() string { return "ReduceSumSquare" }

func (r ReduceSumSquare) Infer(in []*ir.Value) ([]ir.Type, error) { return reduction(r).infer(in) }

func (r ReduceSumSquare) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return reduction(r).eval(in, sumSquare[float64], sumSquare[int])
}

func (r ReduceSumSquare) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return reduction(r).grad(b, n, dOut[0], func(c calc, x, _, dy *ir.Value) *ir.Value { return c.mul(x, c.scale(dy, 2)) })
}

func (r ReduceSumSquare) Cost(n *ir.Node) ir.Cost { return reduction(r).cost(n) }

// MapAxes implements [ir.AxisMapper].
func (r ReduceSumSquare) MapAxes(n *ir.Node, m ir.AxisMap) { reduction(r).mapAxes(n, m) }

func decodeReduceSumSquare(d *Decoder) ir.Op { return ReduceSumSquare(decodeReduction(d, 18)) }

func encodeReduceSumSquare(e *Encoder) { reduction(e.Node.Op.(ReduceSumSquare)).encode(e, 18) }

// ReduceLogSum takes the logarithm of the sum over the axes listed by input 1 (all of them if omitted).
//
//	in  0 x   1 axes int64 [k], optional
//	out 0 y, without the axes unless KeepDims
//
// https://onnx.ai/onnx/operators/onnx__ReduceLogSum.html
type ReduceLogSum struct {
	KeepDims          bool
	NoopWithEmptyAxes bool
}

var (
	_ ir.Evaluator      = ReduceLogSum{}
	_ ir.Differentiable = ReduceLogSum{}
	_ ir.Costed         = ReduceLogSum{}
	_ ir.AxisMapper     = ReduceLogSum{}
)

func (ReduceLogSum) Kind() string { return "ReduceLogSum" }

func (r ReduceLogSum) Infer(in []*ir.Value) ([]ir.Type, error) { return reduction(r).infer(in) }

func (r ReduceLogSum) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return reduction(r).eval(in, func(v []float64) float64 { return math.Log(sum(v)) }, nil)
}

func (r ReduceLogSum) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return reduction(r).grad(b, n, dOut[0], func(c calc, x, y, dy *ir.Value) *ir.Value { return expandTo(c.b, c.name, c.div(dy, c.exp(y)), x.Type) })
}

func (r ReduceLogSum) Cost(n *ir.Node) ir.Cost { return reduction(r).cost(n) }

// MapAxes implements [ir.AxisMapper].
func (r ReduceLogSum) MapAxes(n *ir.Node, m ir.AxisMap) { reduction(r).mapAxes(n, m) }

func decodeReduceLogSum(d *Decoder) ir.Op { return ReduceLogSum(decodeReduction(d, 18)) }

func encodeReduceLogSum(e *Encoder) { reduction(e.Node.Op.(ReduceLogSum)).encode(e, 18) }

// ReduceLogSumExp takes ln Σ eˣ over the axes listed by input 1 (all of them if omitted).
//
//	in  0 x   1 axes int64 [k], optional
//	out 0 y, without the axes unless KeepDims
//
// https://onnx.ai/onnx/operators/onnx__ReduceLogSumExp.html
type ReduceLogSumExp struct {
	KeepDims          bool
	NoopWithEmptyAxes bool
}

var (
	_ ir.Evaluator      = ReduceLogSumExp{}
	_ ir.Differentiable = ReduceLogSumExp{}
	_ ir.Costed         = ReduceLogSumExp{}
	_ ir.AxisMapper     = ReduceLogSumExp{}
)

func (ReduceLogSumExp) Kind() string { return "ReduceLogSumExp" }

func (r ReduceLogSumExp) Infer(in []*ir.Value) ([]ir.Type, error) { return reduction(r).infer(in) }

func (r ReduceLogSumExp) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return reduction(r).eval(in, logSumExp, nil)
}

func (r ReduceLogSumExp) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return reduction(r).grad(b, n, dOut[0], func(c calc, x, y, dy *ir.Value) *ir.Value { return c.mul(dy, c.exp(c.sub(x, y))) })
}

func (r ReduceLogSumExp) Cost(n *ir.Node) ir.Cost { return reduction(r).cost(n) }

// MapAxes implements [ir.AxisMapper].
func (r ReduceLogSumExp) MapAxes(n *ir.Node, m ir.AxisMap) { reduction(r).mapAxes(n, m) }

func decodeReduceLogSumExp(d *Decoder) ir.Op { return ReduceLogSumExp(decodeReduction(d, 18)) }

func encodeReduceLogSumExp(e *Encoder) { reduction(e.Node.Op.(ReduceLogSumExp)).encode(e, 18) }
