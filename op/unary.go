package op

import (
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// floatUnary is what functions of one floating-point operand share.
type floatUnary struct{}

func (floatUnary) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if err := wantFloat(in...); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type}, nil
}

func (floatUnary) Cost(n *ir.Node) ir.Cost { return elementOps(n, 1) }

// MapAxes implements [ir.AxisMapper].
func (floatUnary) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

// numberUnary is floatUnary for operators that take integers too.
type numberUnary struct{}

func (numberUnary) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if err := wantNumbers(in...); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type}, nil
}

func (numberUnary) Cost(n *ir.Node) ir.Cost { return elementOps(n, 1) }

// MapAxes implements [ir.AxisMapper].
func (numberUnary) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x // zero and NaN stay
}

// softplus is ln(1 + eˣ) without overflow.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// Neg is y = -x, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Neg.html
type Neg struct{ numberUnary }

var (
	_ ir.Evaluator      = Neg{}
	_ ir.Differentiable = Neg{}
	_ ir.DimsEvaluator  = Neg{}
	_ ir.Costed         = Neg{}
	_ ir.AxisMapper     = Neg{}
)

func (Neg) Kind() string { return "Neg" }

func (Neg) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapNumbers(in[0], func(x float64) float64 { return -x }, func(x int) int { return -x }))
}

func (Neg) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	return mapDims(in[0], func(d ir.Dim) ir.Dim { return addDims(ir.Len(0), d, -1) })
}

func (Neg) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy := gradCalc(b, n), dOut[0]
	return first(c.neg(dy), n)
}

// Abs is y = |x|, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Abs.html
type Abs struct{ numberUnary }

var (
	_ ir.Evaluator      = Abs{}
	_ ir.Differentiable = Abs{}
	_ ir.Costed         = Abs{}
	_ ir.AxisMapper     = Abs{}
)

func (Abs) Kind() string { return "Abs" }

func (Abs) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapNumbers(in[0], math.Abs, func(x int) int { return max(x, -x) }))
}

func (Abs) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, x := gradCalc(b, n), dOut[0], n.In[0]
	return first(c.mul(dy, c.op(Sign{}, x)), n)
}

// Sign is y = -1, 0 or 1 by the sign of x, elementwise. Its gradient is zero wherever it has one.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Sign.html
type Sign struct{ numberUnary }

var (
	_ ir.Evaluator      = Sign{}
	_ ir.Differentiable = Sign{}
	_ ir.Costed         = Sign{}
	_ ir.AxisMapper     = Sign{}
)

func (Sign) Kind() string { return "Sign" }

func (Sign) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapNumbers(in[0], sign, func(x int) int { return min(1, max(-1, x)) }))
}

func (Sign) Grad(_ *ir.Builder, n *ir.Node, _ []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return zeroGrad(n)
}

// Reciprocal is y = 1/x, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Reciprocal.html
type Reciprocal struct{ floatUnary }

var (
	_ ir.Evaluator      = Reciprocal{}
	_ ir.Differentiable = Reciprocal{}
	_ ir.Costed         = Reciprocal{}
	_ ir.AxisMapper     = Reciprocal{}
)

func (Reciprocal) Kind() string { return "Reciprocal" }

func (Reciprocal) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], func(x float64) float64 { return 1 / x }))
}

func (Reciprocal) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, y := gradCalc(b, n), dOut[0], n.Out[0]
	return first(c.neg(c.mul(dy, c.square(y))), n)
}

// Exp is y = eˣ, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Exp.html
type Exp struct{ floatUnary }

var (
	_ ir.Evaluator      = Exp{}
	_ ir.Differentiable = Exp{}
	_ ir.Costed         = Exp{}
	_ ir.AxisMapper     = Exp{}
	_ ir.QuantTraited   = Exp{}
)

func (Exp) Kind() string { return "Exp" }

func (Exp) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], math.Exp))
}

func (Exp) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, y := gradCalc(b, n), dOut[0], n.Out[0]
	return first(c.mul(dy, y), n)
}

func (Exp) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

// Log is y = ln x, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Log.html
type Log struct{ floatUnary }

var (
	_ ir.Evaluator      = Log{}
	_ ir.Differentiable = Log{}
	_ ir.Costed         = Log{}
	_ ir.AxisMapper     = Log{}
)

func (Log) Kind() string { return "Log" }

func (Log) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], math.Log))
}

func (Log) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, x := gradCalc(b, n), dOut[0], n.In[0]
	return first(c.div(dy, x), n)
}

// Sqrt is y = √x, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Sqrt.html
type Sqrt struct{ floatUnary }

var (
	_ ir.Evaluator      = Sqrt{}
	_ ir.Differentiable = Sqrt{}
	_ ir.Costed         = Sqrt{}
	_ ir.AxisMapper     = Sqrt{}
)

func (Sqrt) Kind() string { return "Sqrt" }

func (Sqrt) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], math.Sqrt))
}

func (Sqrt) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, y := gradCalc(b, n), dOut[0], n.Out[0]
	return first(c.div(c.scale(dy, 0.5), y), n)
}

// Floor is y = ⌊x⌋, elementwise. Its gradient is zero wherever it has one.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Floor.html
type Floor struct{ floatUnary }

var (
	_ ir.Evaluator      = Floor{}
	_ ir.Elementwise    = Floor{}
	_ ir.Differentiable = Floor{}
	_ ir.Costed         = Floor{}
	_ ir.AxisMapper     = Floor{}
)

func (Floor) Kind() string { return "Floor" }

func (Floor) Element() func(x float64) float64 {
	return math.Floor
}

func (o Floor) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (Floor) Grad(_ *ir.Builder, n *ir.Node, _ []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return zeroGrad(n)
}

// Ceil is y = ⌈x⌉, elementwise. Its gradient is zero wherever it has one.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Ceil.html
type Ceil struct{ floatUnary }

var (
	_ ir.Evaluator      = Ceil{}
	_ ir.Elementwise    = Ceil{}
	_ ir.Differentiable = Ceil{}
	_ ir.Costed         = Ceil{}
	_ ir.AxisMapper     = Ceil{}
)

func (Ceil) Kind() string { return "Ceil" }

func (Ceil) Element() func(x float64) float64 {
	return math.Ceil
}

func (o Ceil) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (Ceil) Grad(_ *ir.Builder, n *ir.Node, _ []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return zeroGrad(n)
}

// Round is y = x rounded to the nearest integer, ties to even, elementwise. Its gradient is zero wherever it has one.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Round.html
type Round struct{ floatUnary }

var (
	_ ir.Evaluator      = Round{}
	_ ir.Elementwise    = Round{}
	_ ir.Differentiable = Round{}
	_ ir.Costed         = Round{}
	_ ir.AxisMapper     = Round{}
	_ ir.QuantTraited   = Round{}
)

func (Round) Kind() string { return "Round" }

func (Round) Element() func(x float64) float64 {
	return math.RoundToEven
}

func (o Round) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (Round) Grad(_ *ir.Builder, n *ir.Node, _ []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return zeroGrad(n)
}

func (Round) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

// Erf is y = 2/√π · ∫₀ˣ exp(-t²) dt, elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Erf.html
type Erf struct{ floatUnary }

var (
	_ ir.Evaluator      = Erf{}
	_ ir.Differentiable = Erf{}
	_ ir.Costed         = Erf{}
	_ ir.AxisMapper     = Erf{}
	_ ir.QuantTraited   = Erf{}
)

func (Erf) Kind() string { return "Erf" }

func (Erf) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], math.Erf))
}

func (Erf) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, x := gradCalc(b, n), dOut[0], n.In[0]
	return first(c.mul(dy, c.scale(c.exp(c.neg(c.square(x))), 2/math.SqrtPi)), n)
}

func (Erf) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

// Softplus is y = ln(1 + eˣ), elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Softplus.html
type Softplus struct{ floatUnary }

var (
	_ ir.Evaluator      = Softplus{}
	_ ir.Differentiable = Softplus{}
	_ ir.Costed         = Softplus{}
	_ ir.AxisMapper     = Softplus{}
)

func (Softplus) Kind() string { return "Softplus" }

func (Softplus) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], softplus))
}

func (Softplus) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, x := gradCalc(b, n), dOut[0], n.In[0]
	return first(c.mul(dy, c.sigmoid(x)), n)
}

// Softsign is y = x / (1 + |x|), elementwise.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Softsign.html
type Softsign struct{ floatUnary }

var (
	_ ir.Evaluator      = Softsign{}
	_ ir.Elementwise    = Softsign{}
	_ ir.Differentiable = Softsign{}
	_ ir.Costed         = Softsign{}
	_ ir.AxisMapper     = Softsign{}
)

func (Softsign) Kind() string { return "Softsign" }

func (Softsign) Element() func(x float64) float64 {
	return func(x float64) float64 { return x / (1 + math.Abs(x)) }
}

func (o Softsign) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (Softsign) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, dy, x := gradCalc(b, n), dOut[0], n.In[0]
	return first(c.div(dy, c.square(c.shift(c.op(Abs{}, x), 1))), n)
}
