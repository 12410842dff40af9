package op

import (
	"errors"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

var errDivideByZero = errors.New("integer division by zero")

// Mul is y = a · b with NumPy broadcasting, for numbers.
//
//	in  0 a   1 b
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Mul.html
type Mul struct{ arithmetic }

var (
	_ ir.Evaluator      = Mul{}
	_ ir.Differentiable = Mul{}
	_ ir.DimsEvaluator  = Mul{}
	_ ir.Costed         = Mul{}
	_ ir.AxisMapper     = Mul{}
	_ ir.QuantTraited   = Mul{}
)

func (Mul) Kind() string { return "Mul" }

func (Mul) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(zip(in[0], in[1], func(x, y float64) float64 { return x * y }, func(x, y int) int { return x * y }, nil))
}

func (Mul) EvalDims(in []*ir.Value) ([]ir.Dim, bool) { return zipDims(in, ir.Dim.Mul) }

func (Mul) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, 2)
	for i, name := range []string{"/grad_a", "/grad_b"} {
		if need[i] {
			g := b.Op(Mul{}, n.Name+name, dOut[0], n.In[1-i])
			grads[i] = sumTo(b, n.Name+name, g, n.In[i].Type)
		}
	}
	return grads, nil
}

// Div is y = a / b with NumPy broadcasting; integers truncate toward zero.
//
//	in  0 a   1 b
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Div.html
type Div struct{ arithmetic }

var (
	_ ir.Evaluator      = Div{}
	_ ir.Differentiable = Div{}
	_ ir.DimsEvaluator  = Div{}
	_ ir.Costed         = Div{}
	_ ir.AxisMapper     = Div{}
	_ ir.QuantTraited   = Div{}
)

func (Div) Kind() string { return "Div" }

func (Div) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := noZeros(in[1]); err != nil {
		return nil, err
	}
	return oneErr(zip(in[0], in[1], func(x, y float64) float64 { return x / y },
		func(x, y int) int { return x / y }, func(x, y uint64) uint64 { return x / y }))
}

// noZeros refuses integer divisors of zero.
func noZeros(t *tensor.Tensor) error {
	if v, err := t.Ints(); err == nil && slices.Contains(v, 0) {
		return errDivideByZero
	}
	return nil
}

func (Div) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	return zipDims(in, func(a, b ir.Dim) ir.Dim {
		if a.Sym == "" && b.Sym == "" && b.N != 0 {
			return ir.Len(a.N / b.N)
		}
		return a.Div(b)
	})
}

func (Div) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, 2)
	if !need[0] && !need[1] {
		return grads, nil
	}
	q := b.Op(Div{}, n.Name+"/grad_a", dOut[0], n.In[1])
	if need[0] {
		grads[0] = sumTo(b, n.Name+"/grad_a", q, n.In[0].Type)
	}
	if need[1] {
		g := b.Op(Mul{}, n.Name+"/grad_b", q, n.Out[0])
		grads[1] = b.Op(Neg{}, n.Name+"/grad_b", sumTo(b, n.Name+"/grad_b", g, n.In[1].Type))
	}
	return grads, nil
}
