package op

import (
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Sin is y = sin x, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Sin.html
type Sin struct{ floatUnary }

var (
	_ ir.Evaluator      = Sin{}
	_ ir.Elementwise    = Sin{}
	_ ir.Differentiable = Sin{}
	_ ir.Costed         = Sin{}
	_ ir.AxisMapper     = Sin{}
)

func (Sin) Kind() string { return "Sin" }

func (Sin) Element() func(x float64) float64 {
	return math.Sin
}

func (o Sin) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (Sin) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, x := gradCalc(b, n), dOut[0], n.In[0]
	return first(c.mul(dy, c.op(Cos{}, x)), n)
}

// Cos is y = cos x, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Cos.html
type Cos struct{ floatUnary }

var (
	_ ir.Evaluator      = Cos{}
	_ ir.Elementwise    = Cos{}
	_ ir.Differentiable = Cos{}
	_ ir.Costed         = Cos{}
	_ ir.AxisMapper     = Cos{}
)

func (Cos) Kind() string { return "Cos" }

func (Cos) Element() func(x float64) float64 {
	return math.Cos
}

func (o Cos) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (Cos) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, x := gradCalc(b, n), dOut[0], n.In[0]
	return first(c.neg(c.mul(dy, c.op(Sin{}, x))), n)
}

// Tan is y = tan x, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Tan.html
type Tan struct{ floatUnary }

var (
	_ ir.Evaluator      = Tan{}
	_ ir.Elementwise    = Tan{}
	_ ir.Differentiable = Tan{}
	_ ir.Costed         = Tan{}
	_ ir.AxisMapper     = Tan{}
)

func (Tan) Kind() string { return "Tan" }

func (Tan) Element() func(x float64) float64 {
	return math.Tan
}

func (o Tan) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (Tan) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, y := gradCalc(b, n), dOut[0], n.Out[0]
	return first(c.mul(dy, c.shift(c.square(y), 1)), n)
}

// Asin is y = arcsin x, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Asin.html
type Asin struct{ floatUnary }

var (
	_ ir.Evaluator      = Asin{}
	_ ir.Elementwise    = Asin{}
	_ ir.Differentiable = Asin{}
	_ ir.Costed         = Asin{}
	_ ir.AxisMapper     = Asin{}
)

func (Asin) Kind() string { return "Asin" }

func (Asin) Element() func(x float64) float64 {
	return math.Asin
}

func (o Asin) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (Asin) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, x := gradCalc(b, n), dOut[0], n.In[0]
	return first(c.div(dy, c.sqrt(c.rsub(1, c.square(x)))), n)
}

// Acos is y = arccos x, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Acos.html
type Acos struct{ floatUnary }

var (
	_ ir.Evaluator      = Acos{}
	_ ir.Elementwise    = Acos{}
	_ ir.Differentiable = Acos{}
	_ ir.Costed         = Acos{}
	_ ir.AxisMapper     = Acos{}
)

func (Acos) Kind() string { return "Acos" }

func (Acos) Element() func(x float64) float64 {
	return math.Acos
}

func (o Acos) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (Acos) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, x := gradCalc(b, n), dOut[0], n.In[0]
	return first(c.neg(c.div(dy, c.sqrt(c.rsub(1, c.square(x))))), n)
}

// Atan is y = arctan x, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Atan.html
type Atan struct{ floatUnary }

var (
	_ ir.Evaluator      = Atan{}
	_ ir.Elementwise    = Atan{}
	_ ir.Differentiable = Atan{}
	_ ir.Costed         = Atan{}
	_ ir.AxisMapper     = Atan{}
)

func (Atan) Kind() string { return "Atan" }

func (Atan) Element() func(x float64) float64 {
	return math.Atan
}

func (o Atan) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (Atan) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, x := gradCalc(b, n), dOut[0], n.In[0]
	return first(c.div(dy, c.shift(c.square(x), 1)), n)
}

// Sinh is y = sinh x, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Sinh.html
type Sinh struct{ floatUnary }

var (
	_ ir.Evaluator      = Sinh{}
	_ ir.Elementwise    = Sinh{}
	_ ir.Differentiable = Sinh{}
	_ ir.Costed         = Sinh{}
	_ ir.AxisMapper     = Sinh{}
)

func (Sinh) Kind() string { return "Sinh" }

func (Sinh) Element() func(x float64) float64 {
	return math.Sinh
}

func (o Sinh) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (Sinh) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, x := gradCalc(b, n), dOut[0], n.In[0]
	return first(c.mul(dy, c.op(Cosh{}, x)), n)
}

// Cosh is y = cosh x, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Cosh.html
type Cosh struct{ floatUnary }

var (
	_ ir.Evaluator      = Cosh{}
	_ ir.Elementwise    = Cosh{}
	_ ir.Differentiable = Cosh{}
	_ ir.Costed         = Cosh{}
	_ ir.AxisMapper     = Cosh{}
)

func (Cosh) Kind() string { return "Cosh" }

func (Cosh) Element() func(x float64) float64 {
	return math.Cosh
}

func (o Cosh) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (Cosh) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, x := gradCalc(b, n), dOut[0], n.In[0]
	return first(c.mul(dy, c.op(Sinh{}, x)), n)
}

// Asinh is y = arsinh x, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Asinh.html
type Asinh struct{ floatUnary }

var (
	_ ir.Evaluator      = Asinh{}
	_ ir.Elementwise    = Asinh{}
	_ ir.Differentiable = Asinh{}
	_ ir.Costed         = Asinh{}
	_ ir.AxisMapper     = Asinh{}
)

func (Asinh) Kind() string { return "Asinh" }

func (Asinh) Element() func(x float64) float64 {
	return math.Asinh
}

func (o Asinh) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (Asinh) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, x := gradCalc(b, n), dOut[0], n.In[0]
	return first(c.div(dy, c.sqrt(c.shift(c.square(x), 1))), n)
}

// Acosh is y = arcosh x, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Acosh.html
type Acosh struct{ floatUnary }

var (
	_ ir.Evaluator      = Acosh{}
	_ ir.Elementwise    = Acosh{}
	_ ir.Differentiable = Acosh{}
	_ ir.Costed         = Acosh{}
	_ ir.AxisMapper     = Acosh{}
)

func (Acosh) Kind() string { return "Acosh" }

func (Acosh) Element() func(x float64) float64 {
	return math.Acosh
}

func (o Acosh) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (Acosh) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, x := gradCalc(b, n), dOut[0], n.In[0]
	return first(c.div(dy, c.sqrt(c.shift(c.square(x), -1))), n)
}

// Atanh is y = artanh x, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Atanh.html
type Atanh struct{ floatUnary }

var (
	_ ir.Evaluator      = Atanh{}
	_ ir.Elementwise    = Atanh{}
	_ ir.Differentiable = Atanh{}
	_ ir.Costed         = Atanh{}
	_ ir.AxisMapper     = Atanh{}
)

func (Atanh) Kind() string { return "Atanh" }

func (Atanh) Element() func(x float64) float64 {
	return math.Atanh
}

func (o Atanh) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (Atanh) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, x := gradCalc(b, n), dOut[0], n.In[0]
	return first(c.div(dy, c.rsub(1, c.square(x))), n)
}
