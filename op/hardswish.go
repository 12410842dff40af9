package op

import (
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// HardSigmoid is y = min(max(Alpha·x + Beta, 0), 1); files default to 0.2 and 0.5.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__HardSigmoid.html
type HardSigmoid struct {
	floatUnary
	Alpha, Beta float32
}

var (
	_ ir.Evaluator      = HardSigmoid{}
	_ ir.Differentiable = HardSigmoid{}
	_ ir.Costed         = HardSigmoid{}
	_ ir.AxisMapper     = HardSigmoid{}
	_ ir.QuantTraited   = HardSigmoid{}
)

func (HardSigmoid) Kind() string { return "HardSigmoid" }

func (o HardSigmoid) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], func(x float64) float64 {
		return min(max(float64(o.Alpha)*x+float64(o.Beta), 0), 1)
	}))
}

func (o HardSigmoid) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(b.Op(HardSigmoidGrad{Alpha: o.Alpha, Beta: o.Beta}, n.Name+"/grad", n.In[0], dOut[0]), n)
}

// MapAxes implements [ir.AxisMapper].
func (HardSigmoid) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func (HardSigmoid) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func decodeHardSigmoid(d *Decoder) ir.Op {
	return HardSigmoid{Alpha: d.Float("alpha", 0.2), Beta: d.Float("beta", 0.5)}
}

func encodeHardSigmoid(e *Encoder) {
	o := e.Node.Op.(HardSigmoid)
	e.Set("alpha", o.Alpha)
	e.Set("beta", o.Beta)
}

// HardSigmoidGrad is dx = Alpha·dy where 0 < Alpha·x + Beta < 1, else 0.
// Internal: the gradient of [HardSigmoid].
//
//	in  0 x   1 dy
//	out 0 dx
type HardSigmoidGrad struct {
	gradBinary
	Alpha, Beta float32
}

var (
	_ ir.Evaluator      = HardSigmoidGrad{}
	_ ir.Differentiable = HardSigmoidGrad{}
	_ ir.Costed         = HardSigmoidGrad{}
)

func (HardSigmoidGrad) Kind() string { return "HardSigmoidGrad" }

func (o HardSigmoidGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(zipSame(in[0], in[1], func(x, dy float64) float64 {
		if v := float64(o.Alpha)*x + float64(o.Beta); v > 0 && v < 1 {
			return float64(o.Alpha) * dy
		}
		return 0
	}))
}

func (o HardSigmoidGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	return gradOfMasked(o, b, n, dOut, need)
}

// HardSwish is y = x · min(max(x/6 + 1/2, 0), 1).
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__HardSwish.html
type HardSwish struct{ floatUnary }

var (
	_ ir.Evaluator      = HardSwish{}
	_ ir.Differentiable = HardSwish{}
	_ ir.Costed         = HardSwish{}
	_ ir.AxisMapper     = HardSwish{}
	_ ir.QuantTraited   = HardSwish{}
)

func (HardSwish) Kind() string { return "HardSwish" }

func (HardSwish) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], func(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) }))
}

func (HardSwish) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(b.Op(HardSwishGrad{}, n.Name+"/grad", n.In[0], dOut[0]), n)
}

func (HardSwish) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

// HardSwishGrad is dx = 0 where x ≤ -3, dy where x ≥ 3, (x/3 + 1/2)·dy between.
// Internal: the gradient of [HardSwish].
//
//	in  0 x   1 dy
//	out 0 dx
type HardSwishGrad struct{ gradBinary }

var (
	_ ir.Evaluator      = HardSwishGrad{}
	_ ir.Differentiable = HardSwishGrad{}
	_ ir.Costed         = HardSwishGrad{}
)

func (HardSwishGrad) Kind() string { return "HardSwishGrad" }

func (HardSwishGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(zipSame(in[0], in[1], func(x, dy float64) float64 {
		switch {
		case x <= -3:
			return 0
		case x >= 3:
			return dy
		}
		return (x/3 + 0.5) * dy
	}))
}

func (g HardSwishGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	out, err := gradOfMasked(g, b, n, dOut, need)
	if need[0] { // the slope's slope is 1/3 between -3 and 3
		c := gradCalc(b, n)
		out[0] = c.op(HardSigmoidGrad{Alpha: 1. / 6, Beta: 0.5}, n.In[0], c.scale(c.mul(dOut[0], n.In[1]), 2))
	}
	return out, err
}
