package op

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// LeakyRelu is y = x where x ≥ 0, Alpha·x elsewhere; files default to 0.01.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__LeakyRelu.html
type LeakyRelu struct {
	floatUnary
	Alpha float32
}

var (
	_ ir.Evaluator      = LeakyRelu{}
	_ ir.Differentiable = LeakyRelu{}
	_ ir.Costed         = LeakyRelu{}
	_ ir.AxisMapper     = LeakyRelu{}
	_ ir.QuantTraited   = LeakyRelu{}
)

func (LeakyRelu) Kind() string { return "LeakyRelu" }

func (l LeakyRelu) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], func(x float64) float64 {
		if x < 0 {
			return float64(l.Alpha) * x
		}
		return x
	}))
}

func (l LeakyRelu) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(b.Op(LeakyReluGrad{Alpha: l.Alpha}, n.Name+"/grad", n.In[0], dOut[0]), n)
}

// MapAxes implements [ir.AxisMapper].
func (LeakyRelu) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func (LeakyRelu) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func decodeLeakyRelu(d *Decoder) ir.Op { return LeakyRelu{Alpha: d.Float("alpha", 0.01)} }

func encodeLeakyRelu(e *Encoder) { e.Set("alpha", e.Node.Op.(LeakyRelu).Alpha) }

// LeakyReluGrad is dx = dy where x > 0, Alpha·dy elsewhere. Internal: the
// gradient of [LeakyRelu].
//
//	in  0 x   1 dy
//	out 0 dx
type LeakyReluGrad struct {
	gradBinary
	Alpha float32
}

var (
	_ ir.Evaluator      = LeakyReluGrad{}
	_ ir.Differentiable = LeakyReluGrad{}
	_ ir.Costed         = LeakyReluGrad{}
)

func (LeakyReluGrad) Kind() string { return "LeakyReluGrad" }

func (l LeakyReluGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(zipSame(in[0], in[1], func(x, dy float64) float64 {
		if x > 0 {
			return dy
		}
		return float64(l.Alpha) * dy
	}))
}

func (l LeakyReluGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	return gradOfMasked(l, b, n, dOut, need)
}

// PRelu is y = x where x ≥ 0, slope·x elsewhere. The slope broadcasts to x.
//
//	in  0 x   1 slope
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__PRelu.html
type PRelu struct{}

var (
	_ ir.Evaluator      = PRelu{}
	_ ir.Differentiable = PRelu{}
	_ ir.Costed         = PRelu{}
	_ ir.AxisMapper     = PRelu{}
	_ ir.QuantTraited   = PRelu{}
	_ ir.Weighted       = PRelu{}
)

func (PRelu) Kind() string { return "PRelu" }

func (PRelu) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := wantNumbers(in...); err != nil {
		return nil, err
	}
	t, err := inferBroadcast(in)
	if err == nil && len(t[0].Dims) > in[0].Type.Rank() {
		err = fmt.Errorf("slope: got %v, want axes that broadcast to %v", in[1].Type, in[0].Type)
	}
	return t, err
}

func (PRelu) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(zip(in[0], in[1], func(x, s float64) float64 {
		if x < 0 {
			return s * x
		}
		return x
	}, func(x, s int) int {
		if x < 0 {
			return s * x
		}
		return x
	}, func(x, _ uint64) uint64 { return x }))
}

func (PRelu) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, 2)
	c, x, slope, dy := gradCalc(b, n), n.In[0], n.In[1], dOut[0]
	neg := c.less(x, c.num(x, 0))
	if need[0] {
		grads[0] = c.where(neg, c.mul(dy, slope), dy)
	}
	if need[1] {
		grads[1] = sumTo(b, n.Name+"/grad_slope", c.where(neg, c.mul(dy, x), c.num(x, 0)), slope.Type)
	}
	return grads, nil
}

func (PRelu) Cost(n *ir.Node) ir.Cost { return elementOps(n, 2) }

// MapAxes implements [ir.AxisMapper].
func (PRelu) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func (PRelu) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

// Weights: the slope, one per channel; nothing contracts over it.
func (PRelu) Weights(*ir.Node) ir.WeightPorts {
	return ir.WeightPorts{Weight: 1, OutAxis: 0, InAxis: -1, Bias: -1}
}

// Elu is y = x where x ≥ 0, Alpha·(eˣ-1) elsewhere; files default to 1.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Elu.html
type Elu struct {
	floatUnary
	Alpha float32
}

var (
	_ ir.Evaluator      = Elu{}
	_ ir.Differentiable = Elu{}
	_ ir.Costed         = Elu{}
	_ ir.AxisMapper     = Elu{}
	_ ir.QuantTraited   = Elu{}
)

func (Elu) Kind() string { return "Elu" }

func (o Elu) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], func(x float64) float64 {
		if x < 0 {
			return float64(o.Alpha) * math.Expm1(x)
		}
		return x
	}))
}

func (o Elu) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, x, y, dy := gradCalc(b, n), n.In[0], n.Out[0], dOut[0]
	slope := c.shift(y, float64(o.Alpha)) // α·eˣ = y + α
	return first(c.where(c.less(x, c.num(x, 0)), c.mul(dy, slope), dy), n)
}

// MapAxes implements [ir.AxisMapper].
func (Elu) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func (Elu) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func decodeElu(d *Decoder) ir.Op { return Elu{Alpha: d.Float("alpha", 1)} }

func encodeElu(e *Encoder) { e.Set("alpha", e.Node.Op.(Elu).Alpha) }

// Selu is y = Gamma·x where x > 0, Gamma·Alpha·(eˣ-1) elsewhere. Files default
// to the self-normalizing constants, 1.67326… and 1.05070….
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Selu.html
type Selu struct {
	floatUnary
	Alpha, Gamma float32
}

// The defaults of Selu (Klambauer et al., 2017), as ONNX writes them.
const (
	seluAlpha = 1.67326319217681884765625
	seluGamma = 1.05070102214813232421875
)

var (
	_ ir.Evaluator      = Selu{}
	_ ir.Elementwise    = Selu{}
	_ ir.Differentiable = Selu{}
	_ ir.Costed         = Selu{}
	_ ir.AxisMapper     = Selu{}
	_ ir.QuantTraited   = Selu{}
)

func (Selu) Kind() string { return "Selu" }

func (o Selu) Element() func(x float64) float64 {
	return func(x float64) float64 {
		if x <= 0 {
			return float64(o.Gamma) * float64(o.Alpha) * math.Expm1(x)
		}
		return float64(o.Gamma) * x
	}
}

func (o Selu) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (o Selu) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, x, y, dy := gradCalc(b, n), n.In[0], n.Out[0], dOut[0]
	slope := c.shift(y, float64(o.Gamma)*float64(o.Alpha))
	return first(c.where(c.greater(x, c.num(x, 0)), c.scale(dy, float64(o.Gamma)), c.mul(dy, slope)), n)
}

// MapAxes implements [ir.AxisMapper].
func (Selu) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func (Selu) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func decodeSelu(d *Decoder) ir.Op {
	return Selu{Alpha: d.Float("alpha", seluAlpha), Gamma: d.Float("gamma", seluGamma)}
}

func encodeSelu(e *Encoder) {
	o := e.Node.Op.(Selu)
	e.Set("alpha", o.Alpha)
	e.Set("gamma", o.Gamma)
}

// Celu is y = max(x, 0) + min(0, Alpha·(e^(x/Alpha) - 1)); files default to 1.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Celu.html
type Celu struct {
	floatUnary
	Alpha float32
}

var (
	_ ir.Evaluator      = Celu{}
	_ ir.Elementwise    = Celu{}
	_ ir.Differentiable = Celu{}
	_ ir.Costed         = Celu{}
	_ ir.AxisMapper     = Celu{}
)

func (Celu) Kind() string { return "Celu" }

func (o Celu) Element() func(x float64) float64 {
	a := float64(o.Alpha)
	return func(x float64) float64 { return max(x, 0) + min(0, a*math.Expm1(x/a)) }
}

func (o Celu) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (o Celu) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, x, y, dy := gradCalc(b, n), n.In[0], n.Out[0], dOut[0]
	slope := c.shift(c.scale(y, 1/float64(o.Alpha)), 1) // e^(x/α) = y/α + 1
	return first(c.where(c.less(x, c.num(x, 0)), c.mul(dy, slope), dy), n)
}

// MapAxes implements [ir.AxisMapper].
func (Celu) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func decodeCelu(d *Decoder) ir.Op {
	o := Celu{Alpha: d.Float("alpha", 1)}
	if o.Alpha == 0 {
		d.Errorf("alpha: got 0, want another value")
	}
	return o
}

func encodeCelu(e *Encoder) {
	e.MinOpset(12)
	e.Set("alpha", e.Node.Op.(Celu).Alpha)
}

// ThresholdedRelu is y = x where x > Alpha, else 0; files default to 1.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__ThresholdedRelu.html
type ThresholdedRelu struct {
	floatUnary
	Alpha float32
}

var (
	_ ir.Evaluator      = ThresholdedRelu{}
	_ ir.Differentiable = ThresholdedRelu{}
	_ ir.Costed         = ThresholdedRelu{}
	_ ir.AxisMapper     = ThresholdedRelu{}
)

func (ThresholdedRelu) Kind() string { return "ThresholdedRelu" }

func (o ThresholdedRelu) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], func(x float64) float64 {
		if x > float64(o.Alpha) {
			return x
		}
		return 0
	}))
}

func (o ThresholdedRelu) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, x, dy := gradCalc(b, n), n.In[0], dOut[0]
	return first(c.where(c.greater(x, c.num(x, float64(o.Alpha))), dy, c.num(x, 0)), n)
}

// MapAxes implements [ir.AxisMapper].
func (ThresholdedRelu) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func decodeThresholdedRelu(d *Decoder) ir.Op { return ThresholdedRelu{Alpha: d.Float("alpha", 1)} }

func encodeThresholdedRelu(e *Encoder) {
	e.MinOpset(10)
	e.Set("alpha", e.Node.Op.(ThresholdedRelu).Alpha)
}

// Shrink is y = x + Bias where x < -Lambda, x - Bias where x > Lambda, else 0;
// files default to 0 and 0.5.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Shrink.html
type Shrink struct {
	numberUnary
	Bias, Lambda float32
}

var (
	_ ir.Evaluator      = Shrink{}
	_ ir.Differentiable = Shrink{}
	_ ir.Costed         = Shrink{}
	_ ir.AxisMapper     = Shrink{}
)

func (Shrink) Kind() string { return "Shrink" }

func (o Shrink) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	f := func(x float64) float64 {
		switch {
		case x < -float64(o.Lambda):
			return x + float64(o.Bias)
		case x > float64(o.Lambda):
			return x - float64(o.Bias)
		}
		return 0
	}
	return oneErr(mapNumbers(in[0], f, func(x int) int { return int(f(float64(x))) }))
}

func (o Shrink) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, x, dy := gradCalc(b, n), n.In[0], dOut[0]
	return first(c.where(c.greater(c.op(Abs{}, x), c.num(x, float64(o.Lambda))), dy, c.num(x, 0)), n)
}

// MapAxes implements [ir.AxisMapper].
func (Shrink) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func decodeShrink(d *Decoder) ir.Op {
	return Shrink{Bias: d.Float("bias", 0), Lambda: d.Float("lambd", 0.5)}
}

func encodeShrink(e *Encoder) {
	e.MinOpset(9)
	o := e.Node.Op.(Shrink)
	e.Set("bias", o.Bias)
	e.Set("lambd", o.Lambda)
}
