package op

import (
	"errors"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Pow is y = a^b with broadcasting. The result has the element type of a;
// the exponent may have another one.
//
//	in  0 a   1 b
//	out 0 y
//
// Its gradient with respect to b, dy·y·ln a, exists where a > 0; elsewhere it
// is taken as zero.
// https://onnx.ai/onnx/operators/onnx__Pow.html
type Pow struct{}

var (
	_ ir.Evaluator      = Pow{}
	_ ir.Differentiable = Pow{}
	_ ir.Costed         = Pow{}
	_ ir.AxisMapper     = Pow{}
	_ ir.QuantTraited   = Pow{}
)

func (Pow) Kind() string { return "Pow" }

func (Pow) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := wantNumbers(in...); err != nil {
		return nil, err
	}
	dims, err := broadcastTypes(in)
	return []ir.Type{{DType: in[0].Type.DType, Dims: dims}}, err
}

func (Pow) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	a, b := in[0], in[1]
	if a.DType().IsInteger() && b.DType().IsInteger() {
		b, err := castTo(b, a.DType())
		if err != nil {
			return nil, err
		}
		u := func(x, k uint64) uint64 { return uint64(powInt(int(x), int(k))) }
		return oneErr(zip(a, b, nil, powInt, u))
	}
	d := a.DType()
	a, err := castTo(a, tensor.Float64)
	if err != nil {
		return nil, err
	}
	b, err = castTo(b, tensor.Float64)
	if err != nil {
		return nil, err
	}
	y, err := zip(a, b, math.Pow, nil, nil)
	if err != nil {
		return nil, err
	}
	return oneErr(castTo(y, d))
}

// powInt multiplies modulo 2⁶⁴; negative exponents truncate to 0, ±1.
func powInt(x, k int) int {
	if k < 0 {
		switch {
		case x == 1:
			return 1
		case x == -1:
			return 1 - 2*(k&1)
		}
		return 0
	}
	y := 1
	for ; k > 0; k >>= 1 {
		if k&1 == 1 {
			y *= x
		}
		x *= x
	}
	return y
}

func (Pow) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, 2)
	c, x, k, dy := gradCalc(b, n), n.In[0], n.In[1], dOut[0]
	if need[0] {
		grads[0] = sumTo(b, n.Name+"/grad_a", powGrad(c, x, k, dy), x.Type)
	}
	if need[1] {
		if x.Type.DType != k.Type.DType {
			return nil, errors.New("the gradient of the exponent needs one element type for both operands")
		}
		ok := c.greater(x, c.num(x, 0))
		g := c.mul(dy, c.mul(n.Out[0], c.op(Log{}, c.where(ok, x, c.num(x, 1)))))
		grads[1] = sumTo(b, n.Name+"/grad_b", c.where(ok, g, c.num(x, 0)), k.Type)
	}
	return grads, nil
}

// powGrad is dy·k·x^(k-1), without powers for the exponents that occur most.
func powGrad(c calc, x, k, dy *ir.Value) *ir.Value {
	if f, ok := constFloat(k); ok {
		switch f {
		case 0:
			return c.scale(c.mul(dy, x), 0)
		case 1:
			return dy
		case 2:
			return c.mul(dy, c.scale(x, 2))
		case 3:
			return c.mul(dy, c.scale(c.square(x), 3))
		}
		return c.mul(dy, c.scale(c.op(Pow{}, x, c.num(x, f-1)), f))
	}
	k = c.op(Cast{To: x.Type.DType}, k)
	return c.mul(dy, c.mul(k, c.op(Pow{}, x, c.shift(k, -1))))
}

func (Pow) Cost(n *ir.Node) ir.Cost { return elementOps(n, 1) }

// MapAxes implements [ir.AxisMapper].
func (Pow) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func (Pow) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func encodePow(e *Encoder) {
	if e.In[0].Type.DType != e.In[1].Type.DType || e.In[0].Type.DType.IsInteger() {
		e.MinOpset(12)
	}
}

// Mod is the remainder of a / b: with the sign of b, or with Fmod (required
// for floating point) with the sign of a as in C.
//
//	in  0 a   1 b
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Mod.html
type Mod struct {
	arithmetic
	Fmod bool
}

var (
	_ ir.Evaluator      = Mod{}
	_ ir.Differentiable = Mod{}
	_ ir.DimsEvaluator  = Mod{}
	_ ir.Costed         = Mod{}
	_ ir.AxisMapper     = Mod{}
)

func (Mod) Kind() string { return "Mod" }

func (m Mod) Infer(in []*ir.Value) ([]ir.Type, error) {
	t, err := m.arithmetic.Infer(in)
	if err == nil && t[0].DType.IsFloat() && !m.Fmod {
		err = errors.New("floating-point operands need fmod=1")
	}
	return t, err
}

func (m Mod) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := noZeros(in[1]); err != nil {
		return nil, err
	}
	return oneErr(zip(in[0], in[1], math.Mod, m.mod, func(x, y uint64) uint64 { return x % y }))
}

func (m Mod) mod(x, y int) int {
	r := x % y
	if !m.Fmod && r != 0 && (r < 0) != (y < 0) {
		r += y
	}
	return r
}

func (m Mod) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	return zipDims(in, func(a, b ir.Dim) ir.Dim {
		if a.Sym == "" && b.Sym == "" && b.N != 0 {
			return ir.Len(m.mod(a.N, b.N))
		}
		return ir.Unknown()
	})
}

// Grad: a - b·trunc(a/b) has the slopes 1 and -trunc(a/b).
func (Mod) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, 2)
	c := gradCalc(b, n)
	if need[0] {
		grads[0] = sumTo(b, n.Name+"/grad_a", dOut[0], n.In[0].Type)
	}
	if need[1] {
		q := c.div(c.sub(n.Out[0], n.In[0]), n.In[1])
		grads[1] = sumTo(b, n.Name+"/grad_b", c.mul(dOut[0], q), n.In[1].Type)
	}
	return grads, nil
}

// MapAxes implements [ir.AxisMapper].
func (Mod) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

// QuantTrait: remainders stay in float.
func (Mod) QuantTrait() ir.QuantTrait { return ir.QuantFloat }

func decodeMod(d *Decoder) ir.Op { return Mod{Fmod: d.Bool("fmod", false)} }

func encodeMod(e *Encoder) {
	e.MinOpset(10)
	if e.Node.Op.(Mod).Fmod {
		e.Set("fmod", true)
	}
}
