package pass

import (
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// foldRules turn what is known before the graph runs into constants. Together
// their results may have as many elements as budget says.
func foldRules(budget int) []rewrite.Rule {
	return []rewrite.Rule{
		{Name: "fold-constant", Doc: "a node whose inputs are all constant is computed now, unless its result is much larger than they are", Match: func(p *rewrite.Patch, n *ir.Node) bool {
			return foldConstant(p, n, &budget)
		}},
		{Name: "fold-content", Doc: "an integer vector that type inference knows (Shape, Gather, Concat … of known axes) is a constant", Match: foldContent},
		{Name: "fold-reshape", Doc: "a computed shape in which at most one entry is unknown is a constant with 0 for a kept axis and -1 for the unknown one", Match: foldReshape},
		{Name: "fold-expand", Doc: "an Expand to the shape that its input has, or that its consumer broadcasts to anyway, does nothing", Match: foldExpand},
	}
}

// Results of constant folding may have foldSmall elements, or else foldGrowth
// times as many as the inputs: a ConstantOfShape, Expand or Tile of a few
// numbers would only blow up the file. Together they may have foldGrowth times as
// many as the graph's stored tensors, and foldBase: doublings can be chained. A
// node that needs more than foldWork operations runs in the graph.
const (
	foldSmall  = 1024
	foldGrowth = 2
	foldBase   = 1 << 20
	foldWork   = 1 << 28
)

func fold(g *ir.Graph, t *rewrite.Trace) error {
	total := 0
	for _, v := range g.Stored() {
		total += v.Data.Len()
	}
	return rewrite.Run(g, t, foldRules(foldBase+foldGrowth*total)...)
}

func foldConstant(p *rewrite.Patch, n *ir.Node, budget *int) bool {
	e, ok := n.Op.(ir.Evaluator)
	if !ok || keepsConstant(n) {
		return false
	}
	in := make([]*tensor.Tensor, len(n.In))
	elements := 0
	for i, v := range n.In {
		if v == nil {
			continue
		}
		if !isConst(v) || tiedBy(v, n) {
			return false
		}
		in[i] = v.Data
		elements += v.Data.Len()
	}
	limit := min(max(foldSmall, foldGrowth*elements), *budget)
	types, err := n.Op.Infer(n.In)
	if err != nil || len(types) < len(n.Out) {
		return false
	}
	known := true
	for _, t := range types[:len(n.Out)] {
		size, ok := t.Numel().Known()
		if ok && size > limit || !ok && elements > foldSmall {
			return false
		}
		known = known && ok
	}
	if c, ok := n.Op.(ir.Costed); ok && known {
		m := &ir.Node{Op: n.Op, In: n.In, Out: make([]*ir.Value, len(n.Out))}
		for i := range m.Out {
			m.Out[i] = &ir.Value{Type: types[i]}
		}
		if cost := c.Cost(m); cost.MACs > foldWork || cost.Ops > foldWork {
			return false
		}
	}
	out, err := e.Eval(in)
	if err != nil {
		return false // it fails when the graph runs, with the node's name
	}
	for i, v := range n.Out {
		if v != nil && (i >= len(out) || out[i] == nil || out[i].Len() > limit) {
			return false
		}
	}
	for i, v := range n.Out {
		if v == nil {
			continue
		}
		t := out[i]
		*budget -= t.Len()
		if t.DType().IsFloat() {
			t = t.Clone() // it may alias an input, and each stored value is trained alone
		}
		take(p, v, p.B.Const(v.Name, t))
	}
	return true
}

// keepsConstant lists the operators that stay on constants: quantized weights
// are stored as integers or quantized in the graph on purpose.
func keepsConstant(n *ir.Node) bool {
	switch n.Op.(type) {
	case op.QuantizeLinear, op.DequantizeLinear, op.FakeQuantize, op.FakeQuantizeSymmetric, op.FakeQuantizeAsymmetric:
		return true
	}
	return false
}

// tiedBy reports whether n derives a constant from a weight that other nodes
// use as it is, such as an output layer that transposes the embedding table:
// folding it would make two tensors that training moves apart.
func tiedBy(v *ir.Value, n *ir.Node) bool {
	if !v.Type.DType.IsFloat() || v.Type.Rank() < 2 {
		return false
	}
	if _, ok := n.Op.(op.Identity); ok {
		return false
	}
	for _, u := range v.Uses() {
		if u.Node != n && isWeightUse(u) {
			return true
		}
	}
	return false
}

// isWeightUse reports whether the consumer takes its value as a weight.
func isWeightUse(u ir.Use) bool {
	return slices.ContainsFunc(ir.AllWeights(u.Node), func(p ir.WeightPorts) bool { return p.Weight == u.Port })
}

func foldContent(p *rewrite.Patch, n *ir.Node) bool {
	v := n.Output(0)
	if v == nil || v.Content == nil || len(n.Out) > 1 || v.Type.Rank() > 1 {
		return false
	}
	ints, ok := v.ConstInts()
	if !ok {
		return false
	}
	var t *tensor.Tensor
	switch v.Type.DType {
	case tensor.Int64:
		t = tensor.From(convert[int64](ints), len(ints))
	case tensor.Int32:
		t = tensor.From(convert[int32](ints), len(ints))
	default:
		return false
	}
	if v.Type.Rank() == 0 {
		t = t.Reshape()
	}
	take(p, v, p.B.Const(v.Name, t))
	return true
}

func convert[T int32 | int64](ints []int) []T {
	out := make([]T, len(ints))
	for i, n := range ints {
		out[i] = T(n)
	}
	return out
}

func foldReshape(p *rewrite.Patch, n *ir.Node) bool {
	r, ok := n.Op.(op.Reshape)
	if !ok || isConst(n.In[1]) || n.In[1].Content == nil {
		return false
	}
	x, want := n.In[0].Type.Dims, n.In[1].Content
	shape := make([]int, len(want))
	open := -1
	for i, d := range want {
		switch length, known := d.Known(); {
		case known && length == 0 && r.AllowZero:
			return false
		case known && length >= 0:
			shape[i] = length
		case i < len(x) && d.Equal(x[i]):
			shape[i] = 0
		case open >= 0:
			return false
		default: // -1, or the one entry that the number of elements decides
			open, shape[i] = i, -1
		}
	}
	p.SetInput(n, 1, p.B.ConstInts(n.In[1].Name+"/constant", shape...))
	if r.AllowZero {
		p.SetOp(n, op.Reshape{})
	}
	p.Note("%s to %v", n.Out[0].Name, shape)
	return true
}

func foldExpand(p *rewrite.Patch, n *ir.Node) bool {
	if _, ok := n.Op.(op.Expand); !ok {
		return false
	}
	x, y := n.In[0], n.Out[0]
	if want, ok := n.In[1].ConstDims(); ok && expandsNothing(x.Type.Dims, want) {
		return bypass(p, y, x)
	}
	done := false
	for _, u := range slices.Clone(y.Uses()) {
		if !broadcasts(u.Node.Op) {
			continue
		}
		var dims [][]ir.Dim
		for port, v := range u.Node.In {
			if port == u.Port {
				v = x
			}
			dims = append(dims, v.Type.Dims)
		}
		all, err := ir.BroadcastDims(dims...)
		if err == nil && slices.EqualFunc(all, u.Node.Out[0].Type.Dims, ir.Dim.Equal) {
			p.SetInput(u.Node, u.Port, x)
			p.Note("%s broadcasts %s by itself", u.Node.Label(), x.Name)
			done = true
		}
	}
	return done
}

// expandsNothing reports whether a value with axes x that is expanded to want
// stays as it is.
func expandsNothing(x, want []ir.Dim) bool {
	if len(want) > len(x) {
		return false
	}
	for i, d := range want {
		if !d.IsOne() && !d.Equal(x[len(x)-len(want)+i]) {
			return false
		}
	}
	return true
}

// broadcasts reports whether the operator broadcasts all its inputs.
func broadcasts(o ir.Op) bool {
	switch o.(type) {
	case op.Add, op.Sub, op.Mul, op.Div, op.Pow, op.Where, op.Equal, op.Less, op.Greater, op.LessOrEqual, op.GreaterOrEqual, op.Min, op.Max:
		return true
	}
	return false
}
