package op

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Shape is the vector of x's axis lengths from Start to End, both clamped;
// negative ones count from the end. End is nil for all.
//
//	in  0 x
//	out 0 y int64 [k]
//
// https://onnx.ai/onnx/operators/onnx__Shape.html
type Shape struct {
	Start int
	End   *int
}

var (
	_ ir.Evaluator     = Shape{}
	_ ir.DimsEvaluator = Shape{}
	_ ir.AxisMapper    = Shape{}
)

func (Shape) Kind() string { return "Shape" }

func (s Shape) bounds(rank int) (int, int) {
	clamp := func(v int) int {
		if v < 0 {
			v += rank
		}
		return min(max(v, 0), rank)
	}
	start, end := clamp(s.Start), rank
	if s.End != nil {
		end = clamp(*s.End)
	}
	return start, max(start, end)
}

func (s Shape) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	from, to := s.bounds(in[0].Type.Rank())
	return []ir.Type{ir.MakeType(tensor.Int64, to-from)}, nil
}

func (s Shape) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	from, to := s.bounds(in[0].Rank())
	return one(fromInts(tensor.Int64, in[0].Shape()[from:to], to-from)), nil
}

func (s Shape) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	from, to := s.bounds(in[0].Type.Rank())
	return in[0].Type.Dims[from:to], true
}

// MapAxes implements [ir.AxisMapper]: lengths are no entries.
func (Shape) MapAxes(*ir.Node, ir.AxisMap) {}

func decodeShape(d *Decoder) ir.Op {
	s := Shape{}
	if d.Opset >= 15 {
		s.Start = d.Int("start", 0)
		if d.Has("end") {
			e := d.Int("end", 0)
			s.End = &e
		}
	}
	return s
}

func encodeShape(e *Encoder) {
	s := e.Node.Op.(Shape)
	if s.Start == 0 && s.End == nil {
		return
	}
	e.MinOpset(15)
	e.Set("start", s.Start)
	if s.End != nil {
		e.Set("end", *s.End)
	}
}

// Size is the number of elements of x.
//
//	in  0 x
//	out 0 y int64, scalar
//
// https://onnx.ai/onnx/operators/onnx__Size.html
type Size struct{}

var (
	_ ir.Evaluator     = Size{}
	_ ir.DimsEvaluator = Size{}
	_ ir.AxisMapper    = Size{}
)

func (Size) Kind() string { return "Size" }

func (Size) Infer(in []*ir.Value) ([]ir.Type, error) {
	return []ir.Type{ir.MakeType(tensor.Int64)}, wantInputs(in, 1, 1)
}

func (Size) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return one(tensor.Scalar(int64(in[0].Len()))), nil
}

func (Size) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	return []ir.Dim{in[0].Type.Numel()}, true
}

// MapAxes implements [ir.AxisMapper]: lengths are no entries.
func (Size) MapAxes(*ir.Node, ir.AxisMap) {}

// ReadsShape reports whether n reads the shape of its input and no element of it.
func ReadsShape(n *ir.Node) bool {
	switch n.Op.(type) {
	case Shape, Size:
		return true
	}
	return false
}

// ConstantOfShape fills a tensor of the given shape with one value of element
// type DType (the zero value stands for float32): Float or, for integers and
// booleans, Int.
//
//	in  0 shape int64 [rank]
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__ConstantOfShape.html
type ConstantOfShape struct {
	DType tensor.DType
	Float Real
	Int   int64
}

// Real is a number that JSON can hold even if it is infinite or not a number.
type Real float64

// MarshalJSON writes what JSON has no numbers for as a string.
func (r Real) MarshalJSON() ([]byte, error) {
	if f := float64(r); !math.IsInf(f, 0) && !math.IsNaN(f) {
		return json.Marshal(f)
	}
	return json.Marshal(strconv.FormatFloat(float64(r), 'g', -1, 64))
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (r *Real) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	*r = Real(f)
	return err
}

var (
	_ ir.Evaluator      = ConstantOfShape{}
	_ ir.Differentiable = ConstantOfShape{}
	_ ir.DimsEvaluator  = ConstantOfShape{}
)

func (ConstantOfShape) Kind() string { return "ConstantOfShape" }

func (c ConstantOfShape) dtype() tensor.DType {
	if c.DType == tensor.Invalid {
		return tensor.Float32
	}
	return c.DType
}

func (c ConstantOfShape) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if c.dtype() == tensor.String {
		return nil, errors.New("value: got string elements, want numbers")
	}
	dims, err := shapeFrom(in[0])
	if err != nil {
		return nil, err
	}
	return []ir.Type{{DType: c.dtype(), Dims: dims}}, nil
}

// shapeFrom reads the axes of a result from the input that lists them.
func shapeFrom(v *ir.Value) ([]ir.Dim, error) {
	if v.Type.Rank() != 1 || !v.Type.DType.IsInteger() {
		return nil, fmt.Errorf("shape: got %v, want a vector of integers", v.Type)
	}
	dims, ok := v.ConstDims()
	if !ok {
		n, known := v.Type.Dims[0].Known()
		if !known || n > maxRank {
			return nil, fmt.Errorf("shape: got %v of unknown length, want a known rank of at most %d", v.Type, maxRank)
		}
		dims = make([]ir.Dim, n)
		for i := range dims {
			dims[i] = ir.Unknown()
		}
	}
	if len(dims) > maxRank {
		return nil, fmt.Errorf("shape: got %d axes, want at most %d", len(dims), maxRank)
	}
	out := make([]ir.Dim, len(dims))
	for i, d := range dims {
		if out[i] = d; d.Sym != "" && d.N <= 0 {
			out[i] = ir.Unknown()
		}
	}
	return out, nil
}

func (c ConstantOfShape) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	shape, err := in[0].Ints()
	if err != nil {
		return nil, err
	}
	if err := checkSize(shape); err != nil {
		return nil, err
	}
	if d := c.dtype(); d == tensor.String {
		return nil, errors.New("value: got string elements, want numbers")
	} else if d.IsFloat() {
		return one(pick(fromFloats(d, []float64{float64(c.Float)}), shape, make([]int, tensor.Shape(shape).Numel()))), nil
	}
	return one(pick(fromInts(c.dtype(), []int{int(c.Int)}), shape, make([]int, tensor.Shape(shape).Numel()))), nil
}

func (c ConstantOfShape) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	n, ok := in[0].ConstInts()
	if !ok || !c.dtype().IsInteger() || len(n) > 1 {
		return nil, false
	}
	k := 1
	if len(n) == 1 {
		k = n[0]
	}
	if k < 0 || k > maxRank {
		return nil, false
	}
	out := make([]ir.Dim, k)
	for i := range out {
		out[i] = ir.Len(int(c.Int))
	}
	return out, true
}

// Grad: nothing depends on the shape smoothly.
func (ConstantOfShape) Grad(_ *ir.Builder, n *ir.Node, _ []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return zeroGrad(n)
}

func decodeConstantOfShape(d *Decoder) ir.Op {
	t := d.Tensor("value")
	if t == nil {
		return ConstantOfShape{}
	}
	if t.Len() != 1 {
		d.Errorf("value: got shape %v, want one element", t.Shape())
		return ConstantOfShape{}
	}
	c := ConstantOfShape{DType: t.DType()}
	if t.DType().IsFloat() {
		f, err := t.Float64s()
		if err != nil {
			d.Errorf("value: %v", err)
			return c
		}
		c.Float = Real(f[0])
		return c
	}
	n, err := t.Ints()
	if err != nil {
		d.Errorf("value: %v", err)
		return c
	}
	c.Int = int64(n[0])
	return c
}

func encodeConstantOfShape(e *Encoder) {
	e.MinOpset(9)
	c := e.Node.Op.(ConstantOfShape)
	if c.dtype().IsFloat() {
		e.Set("value", fromFloats(c.dtype(), []float64{float64(c.Float)}, 1))
		return
	}
	e.Set("value", fromInts(c.dtype(), []int{int(c.Int)}, 1))
}
