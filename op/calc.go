package op

import "github.com/go-nncf/nncf/ir"

// calc writes gradient formulas: every call adds one node under one name.
type calc struct {
	b    *ir.Builder
	name string
}

func gradCalc(b *ir.Builder, n *ir.Node) calc { return calc{b, n.Name + "/grad"} }

func (c calc) op(o ir.Op, in ...*ir.Value) *ir.Value { return c.b.Op(o, c.name, in...) }
func (c calc) add(x, y *ir.Value) *ir.Value          { return c.op(Add{}, x, y) }
func (c calc) sub(x, y *ir.Value) *ir.Value          { return c.op(Sub{}, x, y) }
func (c calc) mul(x, y *ir.Value) *ir.Value          { return c.op(Mul{}, x, y) }
func (c calc) div(x, y *ir.Value) *ir.Value          { return c.op(Div{}, x, y) }
func (c calc) neg(x *ir.Value) *ir.Value             { return c.op(Neg{}, x) }
func (c calc) exp(x *ir.Value) *ir.Value             { return c.op(Exp{}, x) }
func (c calc) sqrt(x *ir.Value) *ir.Value            { return c.op(Sqrt{}, x) }
func (c calc) square(x *ir.Value) *ir.Value          { return c.op(Mul{}, x, x) }
func (c calc) sigmoid(x *ir.Value) *ir.Value         { return c.op(Sigmoid{}, x) }
func (c calc) less(x, y *ir.Value) *ir.Value         { return c.op(Less{}, x, y) }
func (c calc) greater(x, y *ir.Value) *ir.Value      { return c.op(Greater{}, x, y) }
func (c calc) where(p, x, y *ir.Value) *ir.Value     { return c.op(Where{}, p, x, y) }

// num is the scalar constant k of x's element type.
func (c calc) num(x *ir.Value, k float64) *ir.Value { return constLike(c.b, c.name+"/c", x, k) }

// scale is k·x, shift is x + k.
func (c calc) scale(x *ir.Value, k float64) *ir.Value { return c.mul(x, c.num(x, k)) }
func (c calc) shift(x *ir.Value, k float64) *ir.Value { return c.add(x, c.num(x, k)) }

// rsub is k - x.
func (c calc) rsub(k float64, x *ir.Value) *ir.Value { return c.sub(c.num(x, k), x) }

// first is the gradient list of an operator with n inputs of which only the
// first has a gradient.
func first(g *ir.Value, n *ir.Node) ([]*ir.Value, error) {
	out := make([]*ir.Value, len(n.In))
	out[0] = g
	return out, nil
}

// zeroGrad is the gradient list of a piecewise constant operator.
func zeroGrad(n *ir.Node) ([]*ir.Value, error) { return make([]*ir.Value, len(n.In)), nil }
