package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Gelu is y = x·Φ(x), Φ being the normal distribution, or with Tanh its
// approximation y = x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³))).
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Gelu.html
type Gelu struct {
	floatUnary
	Tanh bool
}

var (
	_ ir.Evaluator      = Gelu{}
	_ ir.Differentiable = Gelu{}
	_ ir.Costed         = Gelu{}
	_ ir.AxisMapper     = Gelu{}
	_ ir.QuantTraited   = Gelu{}
)

func (Gelu) Kind() string { return "Gelu" }

// The constants of the approximation (Hendrycks and Gimpel, 2016).
var geluScale = math.Sqrt(2 / math.Pi)

const geluCubic = 0.044715

func (o Gelu) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if o.Tanh {
		return oneErr(mapFloats(in[0], func(x float64) float64 {
			return x / 2 * (1 + math.Tanh(geluScale*(x+geluCubic*x*x*x)))
		}))
	}
	return oneErr(mapFloats(in[0], func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) }))
}

func (o Gelu) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(b.Op(GeluGrad{Tanh: o.Tanh}, n.Name+"/grad", n.In[0], dOut[0]), n)
}

// MapAxes implements [ir.AxisMapper].
func (Gelu) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func (Gelu) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func decodeGelu(d *Decoder) ir.Op {
	switch a := d.Str("approximate", "none"); a {
	case "none":
		return Gelu{}
	case "tanh":
		return Gelu{Tanh: true}
	default:
		d.Errorf("approximate: got %q, want none or tanh", a)
		return Gelu{}
	}
}

func encodeGelu(e *Encoder) {
	e.MinOpset(20)
	if e.Node.Op.(Gelu).Tanh {
		e.Set("approximate", "tanh")
	}
}

// GeluGrad is dx = dy·f'(x) for f = [Gelu]. Internal.
//
//	in  0 x   1 dy
//	out 0 dx
type GeluGrad struct {
	gradBinary
	Tanh bool
}

var (
	_ ir.Evaluator      = GeluGrad{}
	_ ir.Differentiable = GeluGrad{}
	_ ir.Costed         = GeluGrad{}
)

func (GeluGrad) Kind() string { return "GeluGrad" }

func (g GeluGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if g.Tanh {
		return oneErr(zipSame(in[0], in[1], func(x, dy float64) float64 {
			t := math.Tanh(geluScale * (x + geluCubic*x*x*x))
			return dy * (0.5*(1+t) + 0.5*x*(1-t*t)*geluScale*(1+3*geluCubic*x*x))
		}))
	}
	return oneErr(zipSame(in[0], in[1], func(x, dy float64) float64 {
		return dy * (0.5*(1+math.Erf(x/math.Sqrt2)) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi))
	}))
}

func (g GeluGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	out, err := gradOfMasked(g, b, n, dOut, need)
	if !need[0] {
		return out, err
	}
	c, x := gradCalc(b, n), n.In[0]
	xx := c.square(x)
	var second *ir.Value // f''(x)
	if g.Tanh {
		// u = s·(x + k·x³), t = tanh u: f'' = (1-t²)·(u' + x·(u''/2 - t·u'²))
		u := c.scale(c.mul(x, c.shift(c.scale(xx, geluCubic), 1)), geluScale)
		du := c.scale(c.shift(c.scale(xx, 3*geluCubic), 1), geluScale)
		half := c.scale(x, 3*geluCubic*geluScale)
		t := c.op(Tanh{}, u)
		inner := c.add(du, c.mul(x, c.sub(half, c.mul(t, c.square(du)))))
		second = c.mul(c.rsub(1, c.square(t)), inner)
	} else {
		// φ(x)·(2 - x²)
		second = c.mul(c.scale(c.exp(c.scale(xx, -0.5)), 1/math.Sqrt(2*math.Pi)), c.rsub(2, xx))
	}
	out[0] = c.mul(c.mul(dOut[0], n.In[1]), second)
	return out, err
}

// Swish is y = x·σ(Alpha·x); files default to 1, which is also called SiLU.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Swish.html
type Swish struct {
	floatUnary
	Alpha float32
}

var (
	_ ir.Evaluator      = Swish{}
	_ ir.Differentiable = Swish{}
	_ ir.Costed         = Swish{}
	_ ir.AxisMapper     = Swish{}
	_ ir.QuantTraited   = Swish{}
)

func (Swish) Kind() string { return "Swish" }

func (o Swish) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], func(x float64) float64 { return x * sigmoid(float64(o.Alpha)*x) }))
}

func (o Swish) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(b.Op(SwishGrad{Alpha: o.Alpha}, n.Name+"/grad", n.In[0], dOut[0]), n)
}

// MapAxes implements [ir.AxisMapper].
func (Swish) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func (Swish) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func decodeSwish(d *Decoder) ir.Op { return Swish{Alpha: d.Float("alpha", 1)} }

func encodeSwish(e *Encoder) {
	e.MinOpset(24)
	e.Set("alpha", e.Node.Op.(Swish).Alpha)
}

// SwishGrad is dx = dy·(s + Alpha·x·s·(1-s)) with s = σ(Alpha·x). Internal:
// the gradient of [Swish].
//
//	in  0 x   1 dy
//	out 0 dx
type SwishGrad struct {
	gradBinary
	Alpha float32
}

var (
	_ ir.Evaluator      = SwishGrad{}
	_ ir.Differentiable = SwishGrad{}
	_ ir.Costed         = SwishGrad{}
)

func (SwishGrad) Kind() string { return "SwishGrad" }

func (g SwishGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	a := float64(g.Alpha)
	return oneErr(zipSame(in[0], in[1], func(x, dy float64) float64 {
		s := sigmoid(a * x)
		return dy * (s + a*x*s*(1-s))
	}))
}

func (g SwishGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	out, err := gradOfMasked(g, b, n, dOut, need)
	if need[0] {
		// f'' = α·s·(1-s)·(2 + α·x·(1-2s))
		c, a := gradCalc(b, n), float64(g.Alpha)
		ax := c.scale(n.In[0], a)
		s := c.sigmoid(ax)
		curve := c.shift(c.mul(ax, c.rsub(1, c.scale(s, 2))), 2)
		second := c.scale(c.mul(c.mul(s, c.rsub(1, s)), curve), a)
		out[0] = c.mul(c.mul(dOut[0], n.In[1]), second)
	}
	return out, err
}

// Mish is y = x·tanh(softplus(x)).
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Mish.html
type Mish struct{ floatUnary }

var (
	_ ir.Evaluator      = Mish{}
	_ ir.Elementwise    = Mish{}
	_ ir.Differentiable = Mish{}
	_ ir.Costed         = Mish{}
	_ ir.AxisMapper     = Mish{}
	_ ir.QuantTraited   = Mish{}
)

func (Mish) Kind() string { return "Mish" }

func (Mish) Element() func(x float64) float64 {
	return func(x float64) float64 { return x * math.Tanh(softplus(x)) }
}

func (o Mish) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(mapFloats(in[0], o.Element()))
}

func (Mish) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	// t = tanh(softplus(x)): f' = t + x·(1-t²)·σ(x)
	c, x := gradCalc(b, n), n.In[0]
	t := c.op(Tanh{}, c.op(Softplus{}, x))
	slope := c.add(t, c.mul(c.mul(x, c.rsub(1, c.square(t))), c.sigmoid(x)))
	return first(c.mul(dOut[0], slope), n)
}

func (Mish) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

// oneOf checks a string attribute.
func oneOf(what, got string, allowed ...string) error {
	if slices.Contains(allowed, got) {
		return nil
	}
	return fmt.Errorf("%s: got %q, want one of %q", what, got, allowed)
}
