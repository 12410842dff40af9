package pass

import (
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// normRules recognize normalizations that exporters write as arithmetic.
var normRules = []rewrite.Rule{
	{Name: "fuse-layernorm", Doc: "(x-mean)/√(variance+ε)·scale+bias over the last axes is LayerNormalization", Match: fuseLayerNorm},
}

func fuseLayerNorm(p *rewrite.Patch, n *ir.Node) bool {
	if _, ok := n.Op.(op.Div); !ok || n.Out[0].Type.DType != tensor.Float32 {
		return false
	}
	d, ok := centered(n.In[0])
	if !ok {
		return false
	}
	root, _, ok := producer[op.Sqrt](n.In[1])
	if !ok {
		return false
	}
	sum, _, ok := producer[op.Add](root.In[0])
	if !ok {
		return false
	}
	for i, in := range sum.In {
		eps, ok := scalar(in)
		if !ok {
			continue
		}
		square, axis, ok := meanOf(sum.In[1-i])
		if !ok || axis != d.axis {
			return false
		}
		t := product(square)
		if t.k != 1 || len(t.factors) != 2 || t.factors[0] != t.factors[1] {
			return false
		}
		if again, ok := centered(t.factors[0]); t.factors[0] != n.In[0] && (!ok || again != d) {
			return false
		}
		return layerNorm(p, n, d, float32(eps))
	}
	return false
}

// deviation is x minus its mean over axis and all axes after it.
type deviation struct {
	x    *ir.Value
	axis int
}

func centered(v *ir.Value) (d deviation, ok bool) {
	sub, _, ok := producer[op.Sub](v)
	if !ok {
		return d, false
	}
	x, axis, ok := meanOf(sub.In[1])
	return deviation{sub.In[0], axis}, ok && x == sub.In[0]
}

// meanOf returns what v is the mean of, over axis and all axes after it, each of
// which stays with length 1.
func meanOf(v *ir.Value) (x *ir.Value, axis int, ok bool) {
	n, o, ok := producer[op.ReduceMean](v)
	if !ok || !o.KeepDims || n.Input(1) == nil {
		return nil, 0, false
	}
	axes, ok := n.In[1].ConstInts()
	rank := n.In[0].Type.Rank()
	if !ok || len(axes) == 0 || len(axes) > rank {
		return nil, 0, false
	}
	axes = slices.Clone(axes)
	for i, a := range axes {
		if a < 0 {
			axes[i] = a + rank
		}
	}
	slices.Sort(axes)
	for i, a := range axes {
		if a != rank-len(axes)+i {
			return nil, 0, false
		}
	}
	return n.In[0], axes[0], true
}

// layerNorm replaces the Div, and the scale and bias behind it, if any.
func layerNorm(p *rewrite.Patch, n *ir.Node, d deviation, eps float32) bool {
	y := n.Out[0]
	shape, ok := ir.Type{Dims: d.x.Type.Dims[d.axis:]}.Shape()
	if !ok {
		return false
	}
	fits := func(v *ir.Value) bool {
		return isConst(v) && v.Type.DType == tensor.Float32 && v.Data.Shape().Equal(shape)
	}
	var scale, bias *ir.Value
	last := y
	if u, ok := onlyUse(p.Graph(), last); ok {
		if _, is := u.Node.Op.(op.Mul); is && fits(u.Node.In[1-u.Port]) {
			scale, last = u.Node.In[1-u.Port], u.Node.Out[0]
		}
	}
	if u, ok := onlyUse(p.Graph(), last); ok && scale != nil {
		if _, is := u.Node.Op.(op.Add); is && fits(u.Node.In[1-u.Port]) {
			bias, last = u.Node.In[1-u.Port], u.Node.Out[0]
		}
	}
	if scale == nil {
		one := tensor.New(tensor.Float32, shape...)
		for i := range one.F32() {
			one.F32()[i] = 1
		}
		scale = p.B.Const(n.Label()+"/scale", one)
	}
	in := []*ir.Value{d.x, scale}
	if bias != nil {
		in = append(in, bias)
	}
	take(p, last, p.B.Op(op.LayerNormalization{Axis: d.axis - d.x.Type.Rank(), Epsilon: eps}, last.Def.Label(), in...))
	return true
}
