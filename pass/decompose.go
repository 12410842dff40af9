package pass

import (
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// ForOpset replaces the operators that [Canonicalize] introduces, and that an
// opset of the default domain lacks, by the arithmetic that exporters write
// there: Swish (24), Gelu (20), Mish (18), LayerNormalization (17), HardSwish
// (14). Runtimes recognize these forms, so an older file runs as fast.
func ForOpset(g *ir.Graph, opset int, t *rewrite.Trace) error {
	return rewrite.Run(g, t, rewrite.Rule{Name: "for-opset", Match: func(p *rewrite.Patch, n *ir.Node) bool {
		a := arithmetic{p: p, n: n, x: n.In}
		var y *ir.Value
		switch o := n.Op.(type) {
		case op.Swish:
			if opset < 24 {
				y = a.swish(o)
			}
		case op.Gelu:
			if opset < 20 {
				y = a.gelu(o)
			}
		case op.Mish:
			if opset < 18 {
				y = a.op(op.Mul{}, "mul", n.In[0], a.op(op.Tanh{}, "tanh", a.op(op.Softplus{}, "softplus", n.In[0])))
			}
		case op.LayerNormalization:
			if opset < 17 && n.Output(1) == nil && n.Output(2) == nil {
				y = a.layerNorm(o)
			}
		case op.HardSwish:
			if opset < 14 {
				y = a.op(op.Mul{}, "mul", n.In[0], a.op(op.HardSigmoid{Alpha: 1. / 6, Beta: 0.5}, "hardsigmoid", n.In[0]))
			}
		}
		if y == nil {
			return false
		}
		take(p, n.Out[0], y)
		return true
	}})
}

// arithmetic writes the nodes that replace n.
type arithmetic struct {
	p *rewrite.Patch
	n *ir.Node
	x []*ir.Value
}

func (a arithmetic) op(o ir.Op, name string, in ...*ir.Value) *ir.Value {
	return a.p.B.Op(o, a.n.Label()+"/"+name, in...)
}

// num is a scalar constant of the input's element type.
func (a arithmetic) num(v float64) *ir.Value {
	name := a.n.Label() + "/c"
	if a.x[0].Type.DType == tensor.Float64 {
		return a.p.B.Const(name, tensor.Scalar(v))
	}
	t := tensor.Scalar(float32(v))
	if d := a.x[0].Type.DType; d != tensor.Float32 {
		return a.op(op.Cast{To: d}, "cast", a.p.B.Const(name, t))
	}
	return a.p.B.Const(name, t)
}

func (a arithmetic) swish(o op.Swish) *ir.Value {
	x := a.x[0]
	s := x
	if o.Alpha != 1 {
		s = a.op(op.Mul{}, "alpha", x, a.num(float64(o.Alpha)))
	}
	return a.op(op.Mul{}, "mul", x, a.op(op.Sigmoid{}, "sigmoid", s))
}

func (a arithmetic) gelu(o op.Gelu) *ir.Value {
	x := a.x[0]
	var f *ir.Value
	if o.Tanh {
		cube := a.op(op.Pow{}, "cube", x, a.num(3))
		sum := a.op(op.Add{}, "sum", x, a.op(op.Mul{}, "cubic", cube, a.num(0.044715)))
		f = a.op(op.Tanh{}, "tanh", a.op(op.Mul{}, "scale", sum, a.num(math.Sqrt(2/math.Pi))))
	} else {
		f = a.op(op.Erf{}, "erf", a.op(op.Div{}, "div", x, a.num(math.Sqrt2)))
	}
	y := a.op(op.Mul{}, "mul", x, a.op(op.Add{}, "add", f, a.num(1)))
	return a.op(op.Mul{}, "half", y, a.num(0.5))
}

func (a arithmetic) layerNorm(o op.LayerNormalization) *ir.Value {
	x := a.x[0]
	rank := x.Type.Rank()
	axis := o.Axis
	if axis < 0 {
		axis += rank
	}
	axes := []int{}
	for i := axis; i < rank; i++ {
		axes = append(axes, i)
	}
	list := a.p.B.ConstInts(a.n.Label()+"/axes", axes...)
	mean := op.ReduceMean{}
	mean.KeepDims = true
	d := a.op(op.Sub{}, "center", x, a.op(mean, "mean", x, list))
	v := a.op(mean, "variance", a.op(op.Pow{}, "square", d, a.num(2)), list)
	s := a.op(op.Sqrt{}, "sqrt", a.op(op.Add{}, "epsilon", v, a.num(float64(o.Epsilon))))
	y := a.op(op.Mul{}, "scale", a.op(op.Div{}, "div", d, s), a.x[1])
	if b := a.n.Input(2); b != nil {
		y = a.op(op.Add{}, "bias", y, b)
	}
	return y
}
