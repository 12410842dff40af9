package op

import (
	"errors"
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Not is y = ¬x, elementwise.
//
//	in  0 x bool
//	out 0 y bool
//
// https://onnx.ai/onnx/operators/onnx__Not.html
type Not struct{}

var (
	_ ir.Evaluator  = Not{}
	_ ir.AxisMapper = Not{}
)

func (Not) Kind() string { return "Not" }

func (Not) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type}, wantDType(in[0], "input", tensor.Bool)
}

func (Not) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x := tensor.Data[bool](in[0])
	out := make([]bool, len(x))
	for i, v := range x {
		out[i] = !v
	}
	return one(tensor.From(out, in[0].Shape()...)), nil
}

// MapAxes implements [ir.AxisMapper].
func (Not) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

// logical is what the binary logical operators share.
type logical struct{}

func (logical) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	for i, v := range in {
		if err := wantDType(v, fmt.Sprintf("input %d", i), tensor.Bool); err != nil {
			return nil, err
		}
	}
	return inferBroadcast(in)
}

// MapAxes implements [ir.AxisMapper].
func (logical) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func zipBools(in []*tensor.Tensor, f func(a, b bool) bool) ([]*tensor.Tensor, error) {
	shape, err := tensor.Broadcast(in[0].Shape(), in[1].Shape())
	if err != nil {
		return nil, err
	}
	if err := checkSize(shape); err != nil {
		return nil, err
	}
	a, b := tensor.Data[bool](in[0]), tensor.Data[bool](in[1])
	pa, pb := broadcastPos(shape, in[0].Shape()), broadcastPos(shape, in[1].Shape())
	out := make([]bool, len(pa))
	for i := range out {
		out[i] = f(a[pa[i]], b[pb[i]])
	}
	return one(tensor.From(out, shape...)), nil
}

// bitwise is what the binary bitwise operators share.
type bitwise struct{}

func (bitwise) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	for i, v := range in {
		if !v.Type.DType.IsInteger() {
			return nil, fmt.Errorf("input %d: got %v elements, want integers", i, v.Type.DType)
		}
	}
	return inferBroadcast(in)
}

// MapAxes implements [ir.AxisMapper].
func (bitwise) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func zipInts(in []*tensor.Tensor, f func(a, b int) int) ([]*tensor.Tensor, error) {
	if !in[0].DType().IsInteger() {
		return nil, fmt.Errorf("got %v elements, want integers", in[0].DType())
	}
	return oneErr(zip(in[0], in[1], nil, f, nil))
}

// BitwiseNot is y = ¬x, bit by bit.
//
//	in  0 x integer
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__BitwiseNot.html
type BitwiseNot struct{}

var (
	_ ir.Evaluator  = BitwiseNot{}
	_ ir.AxisMapper = BitwiseNot{}
)

func (BitwiseNot) Kind() string { return "BitwiseNot" }

func (BitwiseNot) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if !in[0].Type.DType.IsInteger() {
		return nil, fmt.Errorf("got %v elements, want integers", in[0].Type.DType)
	}
	return []ir.Type{in[0].Type}, nil
}

func (BitwiseNot) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if !in[0].DType().IsInteger() {
		return nil, fmt.Errorf("got %v elements, want integers", in[0].DType())
	}
	return oneErr(mapNumbers(in[0], nil, func(x int) int { return ^x }))
}

// MapAxes implements [ir.AxisMapper].
func (BitwiseNot) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

// BitShift is y = a << b, or a >> b with Right, for unsigned integers.
//
//	in  0 a   1 b
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__BitShift.html
type BitShift struct{ Right bool }

var (
	_ ir.Evaluator  = BitShift{}
	_ ir.AxisMapper = BitShift{}
)

func (BitShift) Kind() string { return "BitShift" }

func (BitShift) Infer(in []*ir.Value) ([]ir.Type, error) {
	t, err := bitwise{}.Infer(in)
	if err == nil && !t[0].DType.IsUnsigned() {
		err = fmt.Errorf("got %v elements, want unsigned integers", t[0].DType)
	}
	return t, err
}

func (s BitShift) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return zipInts(in, func(a, b int) int {
		if s.Right {
			return int(uint64(a) >> uint64(b))
		}
		return int(uint64(a) << uint64(b))
	})
}

// MapAxes implements [ir.AxisMapper].
func (BitShift) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func decodeBitShift(d *Decoder) ir.Op {
	dir := d.Str("direction", "")
	if dir != "LEFT" && dir != "RIGHT" {
		d.Errorf("direction: got %q, want LEFT or RIGHT", dir)
	}
	return BitShift{Right: dir == "RIGHT"}
}

func encodeBitShift(e *Encoder) {
	e.MinOpset(11)
	dir := "LEFT"
	if e.Node.Op.(BitShift).Right {
		dir = "RIGHT"
	}
	e.Set("direction", dir)
}

// IsNaN is y = (x is not a number), elementwise.
//
//	in  0 x
//	out 0 y bool
//
// https://onnx.ai/onnx/operators/onnx__IsNaN.html
type IsNaN struct{}

var (
	_ ir.Evaluator  = IsNaN{}
	_ ir.AxisMapper = IsNaN{}
)

func (IsNaN) Kind() string { return "IsNaN" }

func (IsNaN) Infer(in []*ir.Value) ([]ir.Type, error) { return inferTest(in) }

func (IsNaN) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return testFloats(in[0], math.IsNaN)
}

// MapAxes implements [ir.AxisMapper].
func (IsNaN) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

// IsInf is y = (x is infinite), elementwise; the flags leave one sign out.
//
//	in  0 x
//	out 0 y bool
//
// https://onnx.ai/onnx/operators/onnx__IsInf.html
type IsInf struct{ NoNegative, NoPositive bool }

var (
	_ ir.Evaluator  = IsInf{}
	_ ir.AxisMapper = IsInf{}
)

func (IsInf) Kind() string { return "IsInf" }

func (IsInf) Infer(in []*ir.Value) ([]ir.Type, error) { return inferTest(in) }

func (o IsInf) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return testFloats(in[0], func(x float64) bool {
		return !o.NoNegative && math.IsInf(x, -1) || !o.NoPositive && math.IsInf(x, 1)
	})
}

// MapAxes implements [ir.AxisMapper].
func (IsInf) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func decodeIsInf(d *Decoder) ir.Op {
	return IsInf{NoNegative: !d.Bool("detect_negative", true), NoPositive: !d.Bool("detect_positive", true)}
}

func encodeIsInf(e *Encoder) {
	e.MinOpset(10)
	o := e.Node.Op.(IsInf)
	e.Set("detect_negative", !o.NoNegative)
	e.Set("detect_positive", !o.NoPositive)
}

func inferTest(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type.WithDType(tensor.Bool)}, wantFloat(in...)
}

func testFloats(x *tensor.Tensor, f func(float64) bool) ([]*tensor.Tensor, error) {
	if !x.DType().IsFloat() {
		return nil, errors.New("want floating-point elements")
	}
	v, err := x.Float64s()
	if err != nil {
		return nil, err
	}
	out := make([]bool, len(v))
	for i, e := range v {
		out[i] = f(e)
	}
	return one(tensor.From(out, x.Shape()...)), nil
}

// And is y = (a ∧ b), elementwise with broadcasting.
//
//	in  0 a bool   1 b bool
//	out 0 y bool
//
// https://onnx.ai/onnx/operators/onnx__And.html
type And struct{ logical }

var (
	_ ir.Evaluator  = And{}
	_ ir.AxisMapper = And{}
)

func (And) Kind() string { return "And" }

func (And) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return zipBools(in, func(a, b bool) bool { return a && b })
}

// Or is y = (a ∨ b), elementwise with broadcasting.
//
//	in  0 a bool   1 b bool
//	out 0 y bool
//
// https://onnx.ai/onnx/operators/onnx__Or.html
type Or struct{ logical }

var (
	_ ir.Evaluator  = Or{}
	_ ir.AxisMapper = Or{}
)

func (Or) Kind() string { return "Or" }

func (Or) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return zipBools(in, func(a, b bool) bool { return a || b })
}

// Xor is y = (a ≠ b), elementwise with broadcasting.
//
//	in  0 a bool   1 b bool
//	out 0 y bool
//
// https://onnx.ai/onnx/operators/onnx__Xor.html
type Xor struct{ logical }

var (
	_ ir.Evaluator  = Xor{}
	_ ir.AxisMapper = Xor{}
)

func (Xor) Kind() string { return "Xor" }

func (Xor) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return zipBools(in, func(a, b bool) bool { return a != b })
}

// BitwiseAnd is y = a & b, bit by bit, with broadcasting.
//
//	in  0 a   1 b
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__BitwiseAnd.html
type BitwiseAnd struct{ bitwise }

var (
	_ ir.Evaluator  = BitwiseAnd{}
	_ ir.AxisMapper = BitwiseAnd{}
)

func (BitwiseAnd) Kind() string { return "BitwiseAnd" }

func (BitwiseAnd) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return zipInts(in, func(a, b int) int { return a & b })
}

// BitwiseOr is y = a | b, bit by bit, with broadcasting.
//
//	in  0 a   1 b
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__BitwiseOr.html
type BitwiseOr struct{ bitwise }

var (
	_ ir.Evaluator  = BitwiseOr{}
	_ ir.AxisMapper = BitwiseOr{}
)

func (BitwiseOr) Kind() string { return "BitwiseOr" }

func (BitwiseOr) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return zipInts(in, func(a, b int) int { return a | b })
}

// BitwiseXor is y = a ^ b, bit by bit, with broadcasting.
//
//	in  0 a   1 b
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__BitwiseXor.html
type BitwiseXor struct{ bitwise }

var (
	_ ir.Evaluator  = BitwiseXor{}
	_ ir.AxisMapper = BitwiseXor{}
)

func (BitwiseXor) Kind() string { return "BitwiseXor" }

func (BitwiseXor) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return zipInts(in, func(a, b int) int { return a ^ b })
}
