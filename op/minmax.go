package op

import (
	"errors"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// variadic is what operators on any number of broadcast operands share.
type variadic struct{}

func (variadic) Infer(in []*ir.Value) ([]ir.Type, error) {
	if len(in) == 0 {
		return nil, errors.New("got no inputs, want at least one")
	}
	if err := wantInputs(in, len(in), len(in)); err != nil {
		return nil, err
	}
	if err := wantNumbers(in...); err != nil {
		return nil, err
	}
	return inferBroadcast(in)
}

func (variadic) Cost(n *ir.Node) ir.Cost { return elementOps(n, int64(len(n.In))) }

// MapAxes implements [ir.AxisMapper].
func (variadic) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

// fold combines the operands from left to right. Sums of floats are rounded
// once, at the end.
func fold(in []*tensor.Tensor, f func(x, y float64) float64, i func(x, y int) int, u func(x, y uint64) uint64, end func(float64) float64) ([]*tensor.Tensor, error) {
	acc, d := in[0], in[0].DType()
	var err error
	for _, t := range in {
		if t.DType() != d {
			return nil, errors.New("want one element type for all inputs")
		}
	}
	if d.IsFloat() {
		if acc, err = castTo(acc, tensor.Float64); err != nil {
			return nil, err
		}
	}
	for _, t := range in[1:] {
		if d.IsFloat() {
			if t, err = castTo(t, tensor.Float64); err != nil {
				return nil, err
			}
		}
		if acc, err = zip(acc, t, f, i, u); err != nil {
			return nil, err
		}
	}
	if end != nil {
		if acc, err = mapFloats(acc, end); err != nil {
			return nil, err
		}
	}
	return oneErr(castTo(acc, d))
}

// encodeVariadic refuses broadcasting before opset 8.
func encodeVariadic(e *Encoder) {
	if e.Opset >= 8 {
		return
	}
	for _, v := range e.In {
		if !v.Type.Equal(e.In[0].Type) {
			e.MinOpset(8)
			return
		}
	}
}

func floatMin(x, y float64) float64 {
	if x < y || isNaN(x) {
		return x
	}
	return y
}

func floatMax(x, y float64) float64 {
	if x > y || isNaN(x) {
		return x
	}
	return y
}

// Min is the smallest of its inputs, elementwise with broadcasting. The
// gradient goes to the inputs that are smallest, in equal shares.
//
//	in  0… x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Min.html
type Min struct{ variadic }

var (
	_ ir.Evaluator      = Min{}
	_ ir.Differentiable = Min{}
	_ ir.DimsEvaluator  = Min{}
	_ ir.Costed         = Min{}
	_ ir.AxisMapper     = Min{}
	_ ir.QuantTraited   = Min{}
)

func (Min) Kind() string { return "Min" }

func (Min) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return fold(in, floatMin, func(x, y int) int { return min(x, y) }, func(x, y uint64) uint64 { return min(x, y) }, nil)
}

func (Min) EvalDims(in []*ir.Value) ([]ir.Dim, bool) { return foldDims(in, minDims) }

func (Min) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	return shareGrad(b, n, dOut[0], need)
}

func (Min) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

// Max is the largest of its inputs, elementwise with broadcasting. The
// gradient goes to the inputs that are largest, in equal shares.
//
//	in  0… x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Max.html
type Max struct{ variadic }

var (
	_ ir.Evaluator      = Max{}
	_ ir.Differentiable = Max{}
	_ ir.DimsEvaluator  = Max{}
	_ ir.Costed         = Max{}
	_ ir.AxisMapper     = Max{}
	_ ir.QuantTraited   = Max{}
)

func (Max) Kind() string { return "Max" }

func (Max) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return fold(in, floatMax, func(x, y int) int { return max(x, y) }, func(x, y uint64) uint64 { return max(x, y) }, nil)
}

func (Max) EvalDims(in []*ir.Value) ([]ir.Dim, bool) { return foldDims(in, maxDims) }

func (Max) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	return shareGrad(b, n, dOut[0], need)
}

func (Max) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func foldDims(in []*ir.Value, f func(a, b ir.Dim) ir.Dim) ([]ir.Dim, bool) {
	acc, ok := in[0].ConstDims()
	if !ok || in[0].Type.Rank() > 1 {
		return nil, false
	}
	for _, v := range in[1:] {
		t := ir.Type{DType: in[0].Type.DType, Dims: []ir.Dim{ir.Len(len(acc))}}
		if acc, ok = zipDims([]*ir.Value{{Type: t, Content: acc}, v}, f); !ok {
			return nil, false
		}
	}
	return acc, true
}

// shareGrad divides dy among the inputs that equal the result.
func shareGrad(b *ir.Builder, n *ir.Node, dy *ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, len(n.In))
	c, y := gradCalc(b, n), n.Out[0]
	if len(n.In) == 1 {
		return first(dy, n)
	}
	masks := make([]*ir.Value, len(n.In))
	var count *ir.Value
	for i, x := range n.In {
		masks[i] = c.op(Cast{To: y.Type.DType}, c.op(Equal{}, x, y))
		if count == nil {
			count = masks[i]
		} else {
			count = c.add(count, masks[i])
		}
	}
	share := c.div(dy, count)
	for i, x := range n.In {
		if need[i] {
			grads[i] = sumTo(b, c.name, c.mul(share, masks[i]), x.Type)
		}
	}
	return grads, nil
}

// Sum adds its inputs, elementwise with broadcasting.
//
//	in  0… x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Sum.html
type Sum struct{ variadic }

var (
	_ ir.Evaluator      = Sum{}
	_ ir.Differentiable = Sum{}
	_ ir.Costed         = Sum{}
	_ ir.AxisMapper     = Sum{}
	_ ir.QuantTraited   = Sum{}
)

func (Sum) Kind() string { return "Sum" }

func (Sum) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return fold(in, func(x, y float64) float64 { return x + y }, func(x, y int) int { return x + y }, nil, nil)
}

func (Sum) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, len(n.In))
	for i, x := range n.In {
		if need[i] {
			grads[i] = sumTo(b, n.Name+"/grad", dOut[0], x.Type)
		}
	}
	return grads, nil
}

func (Sum) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

// Mean averages its inputs, elementwise with broadcasting.
//
//	in  0… x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Mean.html
type Mean struct{ variadic }

var (
	_ ir.Evaluator      = Mean{}
	_ ir.Differentiable = Mean{}
	_ ir.Costed         = Mean{}
	_ ir.AxisMapper     = Mean{}
)

func (Mean) Kind() string { return "Mean" }

func (Mean) Infer(in []*ir.Value) ([]ir.Type, error) {
	t, err := variadic{}.Infer(in)
	if err == nil {
		err = wantFloat(in...)
	}
	return t, err
}

func (Mean) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	k := float64(len(in))
	return fold(in, func(x, y float64) float64 { return x + y }, nil, nil, func(x float64) float64 { return x / k })
}

func (Mean) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	return Sum{}.Grad(b, n, []*ir.Value{gradCalc(b, n).scale(dOut[0], 1/float64(len(n.In)))}, need)
}
