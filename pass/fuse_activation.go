package pass

import (
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// activationRules recognize activations that exporters write as arithmetic.
//
// SiLU stays Sigmoid and Mul: runtimes run it on integers only if all three
// edges are quantized, so quantizers must be able to sit between the two.
var activationRules = []rewrite.Rule{
	{Name: "fuse-hardsigmoid", Doc: "Clip(x+3, 0, 6)/6 is HardSigmoid", Match: fuseHardSigmoid},
	{Name: "fuse-hardswish", Doc: "x·HardSigmoid(x), or x·Clip(x+3, 0, 6)/6, is HardSwish", Match: fuseHardSwish},
	{Name: "fuse-gelu", Doc: "x/2·(1+Erf(x/√2)), or the form with Tanh, is Gelu", Match: fuseGelu},
	{Name: "fuse-mish", Doc: "x·Tanh(Softplus(x)) is Mish", Match: fuseMish},
}

// maxFactors bounds the products that are looked at: activations have at most
// three factors. A longer one has the constant NaN, which is near nothing.
const maxFactors = 8

// term is a product of values and a constant.
type term struct {
	k       float64
	factors []*ir.Value
}

// product takes a value apart into factors: through Mul, Div by constants, Neg
// and squares and cubes. Values with other consumers stay whole, except the one
// asked for.
func product(v *ir.Value) term {
	t := term{k: 1}
	t.add(v, 1, true)
	return t
}

func (t *term) add(v *ir.Value, power int, open bool) {
	if len(t.factors)+power > maxFactors {
		t.k = math.NaN()
		return
	}
	if c, ok := scalar(v); ok {
		t.k *= math.Pow(c, float64(power))
		return
	}
	if v.Def != nil && (open || len(v.Uses()) == 1) {
		in := v.Def.In
		switch v.Def.Op.(type) {
		case op.Mul:
			t.add(in[0], power, false)
			t.add(in[1], power, false)
			return
		case op.Div:
			if c, ok := scalar(in[1]); ok {
				t.k *= math.Pow(c, -float64(power))
				t.add(in[0], power, false)
				return
			}
		case op.Pow:
			if e, ok := scalar(in[1]); ok && (e == 2 || e == 3) {
				t.add(in[0], power*int(e), false)
				return
			}
		}
	}
	for range power {
		t.factors = append(t.factors, v)
	}
}

// without returns the factors but one occurrence of v.
func (t term) without(v *ir.Value) []*ir.Value {
	var out []*ir.Value
	for i, f := range t.factors {
		if f == v {
			return append(append(out, t.factors[:i]...), t.factors[i+1:]...)
		}
	}
	return nil
}

// is reports whether the term is k·v^power.
func (t term) is(k float64, v *ir.Value, power int) bool {
	if !near(t.k, k) || len(t.factors) != power {
		return false
	}
	for _, f := range t.factors {
		if f != v {
			return false
		}
	}
	return true
}

// near compares constants that exporters print with six digits or more.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-5*math.Abs(b) }

// plus returns the other operand of an Add with the constant c.
func plus(v *ir.Value, c float64) (*ir.Value, bool) {
	n, _, ok := producer[op.Add](v)
	if !ok {
		return nil, false
	}
	for i, in := range n.In {
		if k, ok := scalar(in); ok && near(k, c) {
			return n.In[1-i], true
		}
	}
	return nil, false
}

// isProduct reports whether the node can be the root of a product, of floats.
func isProduct(n *ir.Node) bool {
	switch n.Op.(type) {
	case op.Mul, op.Div:
		return n.Out[0].Type.DType == tensor.Float32
	}
	return false
}

// clip3 returns x if v is Clip(x+3, 0, 6).
func clip3(v *ir.Value) (*ir.Value, bool) {
	n, _, ok := producer[op.Clip](v)
	if !ok {
		return nil, false
	}
	lo, ok1 := scalar(n.Input(1))
	hi, ok2 := scalar(n.Input(2))
	if !ok1 || !ok2 || lo != 0 || hi != 6 {
		return nil, false
	}
	return plus(n.In[0], 3)
}

func fuseHardSigmoid(p *rewrite.Patch, n *ir.Node) bool {
	if !isProduct(n) {
		return false
	}
	t := product(n.Out[0])
	if len(t.factors) != 1 || !near(t.k, 1./6) {
		return false
	}
	x, ok := clip3(t.factors[0])
	if !ok {
		return false
	}
	take(p, n.Out[0], p.B.Op(op.HardSigmoid{Alpha: 1. / 6, Beta: 0.5}, n.Name, x))
	return true
}

func fuseHardSwish(p *rewrite.Patch, n *ir.Node) bool {
	if !isProduct(n) {
		return false
	}
	t := product(n.Out[0])
	if len(t.factors) != 2 {
		return false
	}
	for i, f := range t.factors {
		x := t.factors[1-i]
		ok := false
		if m, h, is := producer[op.HardSigmoid](f); is {
			ok = m.In[0] == x && near(float64(h.Alpha), 1./6) && near(float64(h.Beta), 0.5) && near(t.k, 1)
		} else if y, is := clip3(f); is {
			ok = y == x && near(t.k, 1./6)
		}
		if ok {
			take(p, n.Out[0], p.B.Op(op.HardSwish{}, n.Name, x))
			return true
		}
	}
	return false
}

func fuseMish(p *rewrite.Patch, n *ir.Node) bool {
	if !isProduct(n) {
		return false
	}
	t := product(n.Out[0])
	if len(t.factors) != 2 || t.k != 1 {
		return false
	}
	for i, f := range t.factors {
		th, _, ok := producer[op.Tanh](f)
		if !ok {
			continue
		}
		s, _, ok := producer[op.Softplus](th.In[0])
		if ok && s.In[0] == t.factors[1-i] {
			take(p, n.Out[0], p.B.Op(op.Mish{}, n.Name, s.In[0]))
			return true
		}
	}
	return false
}

func fuseGelu(p *rewrite.Patch, n *ir.Node) bool {
	if !isProduct(n) {
		return false
	}
	t := product(n.Out[0])
	if len(t.factors) != 2 || !near(t.k, 0.5) {
		return false
	}
	for i, f := range t.factors {
		x := t.factors[1-i]
		g, ok := plus(f, 1)
		if !ok || g.Def == nil {
			continue
		}
		switch g.Def.Op.(type) {
		case op.Erf:
			if !product(g.Def.In[0]).is(math.Sqrt2/2, x, 1) {
				continue
			}
			take(p, n.Out[0], p.B.Op(op.Gelu{}, n.Name, x))
			return true
		case op.Tanh:
			if !geluCubic(g.Def.In[0], x) {
				continue
			}
			take(p, n.Out[0], p.B.Op(op.Gelu{Tanh: true}, n.Name, x))
			return true
		}
	}
	return false
}

// geluCubic reports whether v is √(2/π)·(x + 0.044715·x³), in either of the
// forms that exporters write.
func geluCubic(v, x *ir.Value) bool {
	t := product(v)
	if !near(t.k, math.Sqrt(2/math.Pi)) {
		return false
	}
	if rest := t.without(x); len(rest) == 1 { // x·(1 + 0.044715·x²)
		if y, ok := plus(rest[0], 1); ok {
			return product(y).is(0.044715, x, 2)
		}
		return false
	}
	if len(t.factors) != 1 {
		return false
	}
	sum, _, ok := producer[op.Add](t.factors[0])
	if !ok {
		return false
	}
	for i, in := range sum.In {
		if in == x && product(sum.In[1-i]).is(0.044715, x, 3) {
			return true
		}
	}
	return false
}
