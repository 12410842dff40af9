package pass

import (
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
)

// timeFirst turns recurrent cells that have the batch first (layout 1) into ones
// that have the time first, between Transposes. That is the form that ONNX Runtime
// runs, and the only one with kernels.
func timeFirst(p *rewrite.Patch, n *ir.Node) bool {
	c, ok := n.Op.(op.Cell)
	if !ok || !c.Shared().BatchFirst {
		return false
	}
	r := c.Shared()
	r.BatchFirst = false
	in := append([]*ir.Value(nil), n.In...)
	swap := op.Transpose{Perm: []int{1, 0, 2}}
	for _, port := range []int{0, 5, 6} {
		if v := n.Input(port); v != nil {
			in[port] = p.B.Op(swap, v.Name+"/time_first", v)
		}
	}
	out := p.B.Multi(c.With(r), n.Name, len(n.Out), in...)
	for i, old := range n.Out {
		if old == nil {
			continue
		}
		back := swap
		if i == 0 {
			back = op.Transpose{Perm: []int{2, 0, 1, 3}}
		}
		v := p.B.Op(back, old.Name+"/batch_first", out[i])
		if p.B.Err() != nil {
			return true
		}
		p.Graph().Rename(out[i], p.Graph().UniqueName(old.Name+"/time_first"))
		take(p, old, v)
	}
	return true
}

// trainRecurrent gives recurrent cells the outputs that their gradients need,
// which would otherwise be computed twice.
func trainRecurrent(p *rewrite.Patch, n *ir.Node) {
	c, ok := n.Op.(op.Cell)
	if !ok || c.Shared().Training || c.Shared().BatchFirst {
		return
	}
	r := c.Shared()
	r.Training = true
	o := c.With(r)
	types, _ := o.Infer(n.In) // Multi reports the error
	name := n.ResultName()
	out := p.B.Multi(o, n.Name, len(types), n.In...)
	if p.B.Err() != nil {
		return
	}
	for i, v := range out {
		if old := n.Output(i); old != nil {
			take(p, old, v)
		} else {
			p.Graph().Rename(v, p.Graph().UniqueName(name+"/"+[]string{"y", "h", "state", "kept", "cells"}[i]))
		}
	}
}

// removeZeroState drops initial states of zeros, of any batch, as exporters make
// them.
func removeZeroState(p *rewrite.Patch, n *ir.Node) bool {
	if !op.IsRecurrent(n.Op) {
		return false
	}
	done := false
	for _, port := range []int{5, 6} {
		if v := n.Input(port); v != nil && isZero(v, 0) {
			p.SetInput(n, port, nil)
			p.Note("%s of %s", v.Name, n.Label())
			done = true
		}
	}
	return done
}

// isZero reports whether v is made of constants that are all zero.
func isZero(v *ir.Value, depth int) bool {
	if v == nil || depth > 8 || !v.Type.DType.IsFloat() {
		return false
	}
	if v.IsStored() {
		f, err := v.Data.Float64s()
		return v.Kind == ir.Constant && err == nil && len(f) > 0 && f[0] == 0 && filled(v)
	}
	if v.Def == nil {
		return false
	}
	switch o := v.Def.Op.(type) {
	case op.ConstantOfShape:
		return o.Float == 0
	case op.Expand, op.Tile, op.Reshape, op.Squeeze, op.Unsqueeze, op.Transpose, op.Slice, op.Identity, op.Cast:
		return isZero(v.Def.In[0], depth+1)
	}
	return false
}
