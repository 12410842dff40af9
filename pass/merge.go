package pass

import (
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// mergeRules make one node of chains that only move values, or prepare it.
var mergeRules = []rewrite.Rule{
	{Name: "split-axis", Doc: "a Reshape that splits an axis which another merged before a Transpose goes before the Transpose", Match: splitAxis},
	{Name: "merge-transpose", Doc: "a Transpose of a Transpose is one Transpose", Match: mergeTranspose},
	{Name: "merge-reshape", Doc: "a Reshape of a Reshape, Flatten, Squeeze or Unsqueeze is one Reshape", Match: mergeReshape},
	{Name: "merge-slice", Doc: "a Slice of a Slice along other axes is one Slice", Match: mergeSlice},
}

func mergeTranspose(p *rewrite.Patch, n *ir.Node) bool {
	second, ok := n.Op.(op.Transpose)
	if !ok {
		return false
	}
	m, first, ok := producer[op.Transpose](n.In[0])
	if !ok {
		return false
	}
	if _, ok := onlyUse(p.Graph(), n.In[0]); !ok {
		return false
	}
	rank := m.In[0].Type.Rank()
	a, err1 := first.Resolved(rank)
	b, err2 := second.Resolved(rank)
	if err1 != nil || err2 != nil {
		return false
	}
	perm := make([]int, rank)
	for i := range perm {
		perm[i] = a[b[i]]
	}
	if isIdentityPerm(perm) {
		return bypass(p, n.Out[0], m.In[0])
	}
	take(p, n.Out[0], p.B.Op(op.Transpose{Perm: perm}, n.Name, m.In[0]))
	return true
}

// splitAxis swaps Transpose and Reshape in
//
//	Reshape […, b, …] → Transpose […, b, …] → Reshape […, b₁, b₂, …]
//
// which is how PyTorch writes attention: the first Reshape merges the heads with
// the batch or a part of it, and is one with the second where they meet.
func splitAxis(p *rewrite.Patch, n *ir.Node) bool {
	if _, ok := n.Op.(op.Reshape); !ok {
		return false
	}
	m, t, ok := producer[op.Transpose](n.In[0])
	if !ok {
		return false
	}
	merging, _, ok := producer[op.Reshape](m.In[0])
	if !ok {
		return false
	}
	if _, ok := onlyUse(p.Graph(), n.In[0]); !ok {
		return false
	}
	if _, ok := onlyUse(p.Graph(), m.In[0]); !ok {
		return false
	}
	perm, err := t.Resolved(m.In[0].Type.Rank())
	if err != nil {
		return false
	}
	whole, split := n.In[0].Type.Dims, n.Out[0].Type.Dims
	a, ok := splitsAt(whole, split)
	if !ok {
		return false
	}
	more, b := len(split)-len(whole), perm[a]
	dims := slices.Concat(m.In[0].Type.Dims[:b], split[a:a+more+1], m.In[0].Type.Dims[b+1:])
	next := make([]int, 0, len(split))
	for i, from := range perm {
		if from > b {
			from += more
		}
		next = append(next, from)
		if i == a {
			for k := range more {
				next = append(next, b+1+k)
			}
		}
	}
	x := merging.In[0]
	if !slices.EqualFunc(x.Type.Dims, dims, ir.Dim.Equal) {
		shape, ok := targetOf(dims)
		if !ok {
			return false
		}
		x = p.B.Op(op.Reshape{}, n.Name, m.In[0], p.B.ConstInts(n.Name+"/shape", shape...))
	}
	take(p, n.Out[0], p.B.Op(op.Transpose{Perm: next}, m.Name, x))
	return true
}

// splitsAt returns the axis of whole that split has several for, the others being
// the same.
func splitsAt(whole, split []ir.Dim) (axis int, ok bool) {
	more := len(split) - len(whole)
	if more < 1 {
		return 0, false
	}
	for axis < len(whole)-1 && whole[axis].Equal(split[axis]) && !slices.EqualFunc(whole[axis+1:], split[axis+1+more:], ir.Dim.Equal) {
		axis++
	}
	return axis, len(whole) > 0 && slices.EqualFunc(whole[axis+1:], split[axis+1+more:], ir.Dim.Equal)
}

// targetOf returns the argument of a Reshape to dims, if one axis at most is
// symbolic and none empty.
func targetOf(dims []ir.Dim) (shape []int, ok bool) {
	open := false
	for _, d := range dims {
		n, known := d.Known()
		switch {
		case known && n < 1, !known && open:
			return nil, false
		case !known:
			n, open = -1, true
		}
		shape = append(shape, n)
	}
	return shape, true
}

func mergeReshape(p *rewrite.Patch, n *ir.Node) bool {
	r, ok := n.Op.(op.Reshape)
	if !ok {
		return false
	}
	m := n.In[0].Def
	if m == nil {
		return false
	}
	switch m.Op.(type) {
	case op.Reshape, op.Flatten, op.Squeeze, op.Unsqueeze:
	default:
		return false
	}
	if _, ok := onlyUse(p.Graph(), n.In[0]); !ok {
		return false
	}
	shape, ok := n.In[1].ConstInts()
	if !ok {
		return false
	}
	x, mid := m.In[0].Type, n.In[0].Type
	for i, d := range shape { // 0 copies an axis of the value between
		if d == 0 && (r.AllowZero || i >= x.Rank() || !x.Dims[i].Equal(mid.Dims[i])) {
			return false
		}
	}
	take(p, n.Out[0], p.B.Op(op.Reshape{}, n.Name, m.In[0], n.In[1]))
	return true
}

// slicing is the constant arguments of a Slice, by axis.
type slicing struct{ axes, starts, ends, steps []int }

func slicingOf(n *ir.Node) (s slicing, ok bool) {
	if _, ok := n.Op.(op.Slice); !ok {
		return s, false
	}
	list := func(i int, def func(k int) int) []int {
		if v := n.Input(i); v != nil {
			l, known := v.ConstInts()
			ok = ok && known
			return slices.Clone(l)
		}
		l := make([]int, len(s.starts))
		for k := range l {
			l[k] = def(k)
		}
		return l
	}
	ok = true
	s.starts = list(1, nil)
	s.ends = list(2, nil)
	s.axes = list(3, func(k int) int { return k })
	s.steps = list(4, func(int) int { return 1 })
	if !ok || len(s.ends) != len(s.starts) || len(s.axes) != len(s.starts) || len(s.steps) != len(s.starts) {
		return s, false
	}
	for i, a := range s.axes {
		axis, err := tensor.Axis(a, n.In[0].Type.Rank())
		if err != nil {
			return s, false
		}
		s.axes[i] = axis
	}
	return s, true
}

func mergeSlice(p *rewrite.Patch, n *ir.Node) bool {
	b, ok := slicingOf(n)
	if !ok || n.In[0].Def == nil {
		return false
	}
	m := n.In[0].Def
	a, ok := slicingOf(m)
	if !ok {
		return false
	}
	if _, ok := onlyUse(p.Graph(), n.In[0]); !ok {
		return false
	}
	for _, axis := range b.axes {
		if slices.Contains(a.axes, axis) {
			return false
		}
	}
	c := p.B
	args := []*ir.Value{m.In[0],
		c.ConstInts(n.Name+"/starts", append(a.starts, b.starts...)...),
		c.ConstInts(n.Name+"/ends", append(a.ends, b.ends...)...),
		c.ConstInts(n.Name+"/axes", append(a.axes, b.axes...)...)}
	steps := append(a.steps, b.steps...)
	if slices.ContainsFunc(steps, func(s int) bool { return s != 1 }) {
		args = append(args, c.ConstInts(n.Name+"/steps", steps...))
	}
	take(p, n.Out[0], c.Op(op.Slice{}, n.Name, args...))
	return true
}
