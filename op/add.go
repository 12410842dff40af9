package op

import (
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// arithmetic is what the binary arithmetic operators share.
type arithmetic struct{}

func (arithmetic) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := wantNumbers(in...); err != nil {
		return nil, err
	}
	return inferBroadcast(in)
}

func (arithmetic) Cost(n *ir.Node) ir.Cost { return elementOps(n, 1) }

// MapAxes implements [ir.AxisMapper].
func (arithmetic) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func (arithmetic) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

// Add is y = a + b with NumPy broadcasting, for numbers.
//
//	in  0 a   1 b
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Add.html
type Add struct{ arithmetic }

var (
	_ ir.Evaluator      = Add{}
	_ ir.Differentiable = Add{}
	_ ir.DimsEvaluator  = Add{}
	_ ir.Costed         = Add{}
	_ ir.AxisMapper     = Add{}
	_ ir.QuantTraited   = Add{}
)

func (Add) Kind() string { return "Add" }

func (Add) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(zip(in[0], in[1], func(x, y float64) float64 { return x + y }, func(x, y int) int { return x + y }, nil))
}

func (Add) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	return zipDims(in, func(a, b ir.Dim) ir.Dim { return addDims(a, b, 1) })
}

func (Add) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, 2)
	for i, name := range []string{"/grad_a", "/grad_b"} {
		if need[i] {
			grads[i] = sumTo(b, n.Name+name, dOut[0], n.In[i].Type)
		}
	}
	return grads, nil
}

// Sub is y = a - b with NumPy broadcasting, for numbers.
//
//	in  0 a   1 b
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Sub.html
type Sub struct{ arithmetic }

var (
	_ ir.Evaluator      = Sub{}
	_ ir.Differentiable = Sub{}
	_ ir.DimsEvaluator  = Sub{}
	_ ir.Costed         = Sub{}
	_ ir.AxisMapper     = Sub{}
	_ ir.QuantTraited   = Sub{}
)

func (Sub) Kind() string { return "Sub" }

func (Sub) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(zip(in[0], in[1], func(x, y float64) float64 { return x - y }, func(x, y int) int { return x - y }, nil))
}

func (Sub) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	return zipDims(in, func(a, b ir.Dim) ir.Dim { return addDims(a, b, -1) })
}

func (Sub) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, 2)
	if need[0] {
		grads[0] = sumTo(b, n.Name+"/grad_a", dOut[0], n.In[0].Type)
	}
	if need[1] {
		g := sumTo(b, n.Name+"/grad_b", dOut[0], n.In[1].Type)
		grads[1] = b.Op(Neg{}, n.Name+"/grad_b", g)
	}
	return grads, nil
}
