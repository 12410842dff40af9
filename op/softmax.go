package op

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// softAxes is what Softmax, LogSoftmax and Hardmax share: they normalize along
// Axis (negative counts from the end), or, with Flatten, as before opset 13,
// over Axis and all axes after it together. A file's default is axis -1, before
// opset 13 axis 1.
type softAxes struct {
	Axis    int
	Flatten bool
}

func (s softAxes) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if err := wantFloat(in...); err != nil {
		return nil, err
	}
	if _, err := s.first(in[0].Type.Rank()); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type}, nil
}

// first resolves Axis; flattening may also name the end.
func (s softAxes) first(rank int) (int, error) {
	if s.Flatten && s.Axis == rank {
		return rank, nil
	}
	return tensor.Axis(s.Axis, rank)
}

// axes lists the axes normalized together.
func (s softAxes) axes(rank int) []int {
	a, err := s.first(rank)
	if err != nil {
		return nil
	}
	axes := []int{}
	for i := a; i < rank && (i == a || s.Flatten); i++ {
		axes = append(axes, i)
	}
	return axes
}

// eval applies f to each group of elements normalized together.
func (s softAxes) eval(in []*tensor.Tensor, f func(x []float64)) ([]*tensor.Tensor, error) {
	x := in[0]
	a, err := s.first(x.Rank())
	if err != nil {
		return nil, err
	}
	xd, err := reals(x)
	if err != nil {
		return nil, err
	}
	outer, n, inner := product(x.Shape()[:a]), product(x.Shape()[a:]), 1
	if !s.Flatten {
		outer, n, inner = splitAt(x.Shape(), a)
	}
	y := make([]float64, len(xd))
	row := make([]float64, n)
	for o := range outer {
		for i := range inner {
			for j := range row {
				row[j] = xd[(o*n+j)*inner+i]
			}
			if n > 0 {
				f(row)
			}
			for j, v := range row {
				y[(o*n+j)*inner+i] = v
			}
		}
	}
	return one(fromFloats(x.DType(), y, x.Shape()...)), nil
}

func (s softAxes) Cost(n *ir.Node) ir.Cost { return elementOps(n, 4) }

// sum adds up x over the normalized axes and keeps them.
func (s softAxes) sum(c calc, x *ir.Value) *ir.Value {
	axes := s.axes(x.Type.Rank())
	if len(axes) == 0 { // flattened at the end: groups of one element
		return x
	}
	return c.op(ReduceSum{KeepDims: true}, x, c.b.ConstInts(c.name+"/axes", axes...))
}

func decodeSoftAxes(d *Decoder) softAxes {
	if d.Opset >= 13 {
		return softAxes{Axis: d.Int("axis", -1)}
	}
	s := softAxes{Axis: d.Int("axis", 1), Flatten: true}
	if x := d.Input(0); x != nil {
		return s.single(x.Type)
	}
	return s
}

// single returns the form along one axis if it is the same: if at most one of
// the flattened axes is longer than 1.
func (s softAxes) single(x ir.Type) softAxes {
	a, err := s.first(x.Rank())
	if err != nil || !s.Flatten {
		return s
	}
	one := softAxes{Axis: x.Rank() - 1}
	long := 0
	for i, d := range x.Dims[a:] {
		if !d.IsOne() {
			one.Axis = a + i
			long++
		}
	}
	if long > 1 || a == x.Rank() {
		return s
	}
	return one
}

func (s softAxes) encode(e *Encoder) {
	x := e.Node.In[0].Type
	if e.Opset >= 13 {
		if s = s.single(x); s.Flatten {
			e.Errorf("normalizing over axes %d and later together was removed with opset 13, the file has %d", s.Axis, e.Opset)
		}
		e.Set("axis", s.Axis)
		return
	}
	axis := s.Axis
	if e.Opset < 11 && axis < 0 { // negative axes came with opset 11
		axis += x.Rank()
	}
	e.Set("axis", axis)
	if s.Flatten {
		return
	}
	if a, err := s.first(x.Rank()); err == nil {
		for _, d := range x.Dims[a+1:] {
			if !d.IsOne() {
				e.Errorf("normalizing along axis %d of %v alone needs opset 13, the file has %d", s.Axis, x, e.Opset)
				return
			}
		}
	}
}

// Softmax is y = exp(x) / Σ exp(x) along an axis.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Softmax.html
type Softmax struct {
	Axis    int
	Flatten bool // the form before opset 13: over Axis and all later axes together
}

var (
	_ ir.Evaluator      = Softmax{}
	_ ir.Differentiable = Softmax{}
	_ ir.Costed         = Softmax{}
	_ ir.AxisMapper     = Softmax{}
	_ ir.QuantTraited   = Softmax{}
)

func (Softmax) Kind() string { return "Softmax" }

func (s Softmax) Infer(in []*ir.Value) ([]ir.Type, error) { return softAxes(s).Infer(in) }

func (s Softmax) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return softAxes(s).eval(in, func(x []float64) {
		lse := logSumExp(x)
		for i, v := range x {
			x[i] = math.Exp(v - lse)
		}
	})
}

// Grad is dx = y·(dy - Σ dy·y).
func (s Softmax) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, y, dy := gradCalc(b, n), n.Out[0], dOut[0]
	return []*ir.Value{c.mul(y, c.sub(dy, softAxes(s).sum(c, c.mul(dy, y))))}, nil
}

func (s Softmax) Cost(n *ir.Node) ir.Cost { return softAxes(s).Cost(n) }

// MapAxes implements [ir.AxisMapper].
func (s Softmax) MapAxes(n *ir.Node, m ir.AxisMap) {
	sameAxes(n, m, "its entries are normalized together", softAxes(s).axes(n.In[0].Type.Rank())...)
}

func (Softmax) QuantTrait() ir.QuantTrait { return ir.QuantFloat }

func decodeSoftmax(d *Decoder) ir.Op { return Softmax(decodeSoftAxes(d)) }

func encodeSoftmax(e *Encoder) { softAxes(e.Node.Op.(Softmax)).encode(e) }

// LogSoftmax is y = x - ln Σ exp(x) along an axis.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__LogSoftmax.html
type LogSoftmax struct {
	Axis    int
	Flatten bool // the form before opset 13: over Axis and all later axes together
}

var (
	_ ir.Evaluator      = LogSoftmax{}
	_ ir.Differentiable = LogSoftmax{}
	_ ir.Costed         = LogSoftmax{}
	_ ir.AxisMapper     = LogSoftmax{}
	_ ir.QuantTraited   = LogSoftmax{}
)

func (LogSoftmax) Kind() string { return "LogSoftmax" }

func (s LogSoftmax) Infer(in []*ir.Value) ([]ir.Type, error) { return softAxes(s).Infer(in) }

func (s LogSoftmax) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return softAxes(s).eval(in, func(x []float64) {
		lse := logSumExp(x)
		for i, v := range x {
			x[i] = v - lse
		}
	})
}

// Grad is dx = dy - exp(y)·Σ dy.
func (s LogSoftmax) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, y, dy := gradCalc(b, n), n.Out[0], dOut[0]
	return []*ir.Value{c.sub(dy, c.mul(c.exp(y), softAxes(s).sum(c, dy)))}, nil
}

func (s LogSoftmax) Cost(n *ir.Node) ir.Cost { return softAxes(s).Cost(n) }

// MapAxes implements [ir.AxisMapper].
func (s LogSoftmax) MapAxes(n *ir.Node, m ir.AxisMap) {
	sameAxes(n, m, "its entries are normalized together", softAxes(s).axes(n.In[0].Type.Rank())...)
}

func (LogSoftmax) QuantTrait() ir.QuantTrait { return ir.QuantFloat }

func decodeLogSoftmax(d *Decoder) ir.Op { return LogSoftmax(decodeSoftAxes(d)) }

func encodeLogSoftmax(e *Encoder) { softAxes(e.Node.Op.(LogSoftmax)).encode(e) }

// Hardmax is 1 at the first maximum along an axis and 0 elsewhere.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Hardmax.html
type Hardmax struct {
	Axis    int
	Flatten bool // the form before opset 13: over Axis and all later axes together
}

var (
	_ ir.Evaluator         = Hardmax{}
	_ ir.NonDifferentiable = Hardmax{}
	_ ir.Costed            = Hardmax{}
	_ ir.AxisMapper        = Hardmax{}
)

func (Hardmax) Kind() string { return "Hardmax" }

func (s Hardmax) Infer(in []*ir.Value) ([]ir.Type, error) { return softAxes(s).Infer(in) }

func (s Hardmax) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return softAxes(s).eval(in, func(x []float64) {
		best := 0
		for i, v := range x {
			if v > x[best] {
				best = i
			}
		}
		clear(x)
		x[best] = 1
	})
}

func (Hardmax) NoGrad() string { return "it is piecewise constant" }

func (s Hardmax) Cost(n *ir.Node) ir.Cost { return softAxes(s).Cost(n) }

// MapAxes implements [ir.AxisMapper].
func (s Hardmax) MapAxes(n *ir.Node, m ir.AxisMap) {
	sameAxes(n, m, "its entries are normalized together", softAxes(s).axes(n.In[0].Type.Rank())...)
}

func decodeHardmax(d *Decoder) ir.Op { return Hardmax(decodeSoftAxes(d)) }

func encodeHardmax(e *Encoder) { softAxes(e.Node.Op.(Hardmax)).encode(e) }

// wantAxis resolves an axis of a value.
func wantAxis(v *ir.Value, axis int) (int, error) {
	a, err := tensor.Axis(axis, v.Type.Rank())
	if err != nil {
		return 0, fmt.Errorf("axis: %w", err)
	}
	return a, nil
}
