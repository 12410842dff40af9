package pass

import (
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
)

// removeRules remove nodes that do nothing.
var removeRules = []rewrite.Rule{
	{Name: "remove-identity", Doc: "Identity, and Dropout outside training, pass their input on", Match: removeIdentity},
	{Name: "remove-cast", Doc: "a Cast to the type that the input has does nothing", Match: removeCast},
	{Name: "remove-reshape", Doc: "a Reshape, Flatten, Squeeze or Unsqueeze to the same axes does nothing", Match: removeReshape},
	{Name: "remove-transpose", Doc: "a Transpose that keeps the order does nothing", Match: removeTranspose},
	{Name: "remove-pad", Doc: "a Pad by nothing does nothing", Match: removePad},
	{Name: "remove-slice", Doc: "a Slice of everything does nothing", Match: removeSlice},
	{Name: "remove-zero-state", Doc: "an initial state of zeros is what a recurrent cell starts with anyway", Match: removeZeroState},
	{Name: "remove-concat", Doc: "a Concat of one value is that value", Match: removeConcat},
}

func removeIdentity(p *rewrite.Patch, n *ir.Node) bool {
	switch n.Op.Kind() {
	case "Identity":
	case "Dropout": // in 1 ratio   2 training_mode, default false
		if m := n.Output(1); m != nil && (len(m.Uses()) > 0 || isOutput(p.Graph(), m)) {
			return false
		}
		if mode := n.Input(2); mode != nil {
			if !isConst(mode) {
				return false
			}
			if on, err := truth(mode); err != nil || on {
				return false
			}
		}
	default:
		return false
	}
	return bypass(p, n.Out[0], n.In[0])
}

// truth reads a constant boolean scalar.
func truth(v *ir.Value) (bool, error) {
	ints, err := v.Data.Ints()
	if err != nil {
		f, err := v.Data.Float64s()
		return len(f) > 0 && f[0] != 0, err
	}
	return len(ints) > 0 && ints[0] != 0, nil
}

func removeCast(p *rewrite.Patch, n *ir.Node) bool {
	c, ok := n.Op.(op.Cast)
	return ok && c.To == n.In[0].Type.DType && bypass(p, n.Out[0], n.In[0])
}

func removeReshape(p *rewrite.Patch, n *ir.Node) bool {
	switch n.Op.(type) {
	case op.Reshape, op.Flatten, op.Squeeze, op.Unsqueeze:
	default:
		return false
	}
	return sameAxes(n.In[0].Type, n.Out[0].Type) && bypass(p, n.Out[0], n.In[0])
}

// sameAxes reports whether two types with as many elements have the same axes:
// all are equal, or all but one, which then is equal too.
func sameAxes(a, b ir.Type) bool {
	if a.Rank() != b.Rank() {
		return false
	}
	different := 0
	for i, d := range a.Dims {
		if n, ok := d.Known(); ok && n == 0 {
			return false
		}
		if !d.Equal(b.Dims[i]) {
			if !d.MayEqual(b.Dims[i]) {
				return false
			}
			different++
		}
	}
	return different <= 1
}

func removeTranspose(p *rewrite.Patch, n *ir.Node) bool {
	t, ok := n.Op.(op.Transpose)
	if !ok {
		return false
	}
	perm, err := t.Resolved(n.In[0].Type.Rank())
	return err == nil && isIdentityPerm(perm) && bypass(p, n.Out[0], n.In[0])
}

func isIdentityPerm(perm []int) bool {
	for i, a := range perm {
		if a != i {
			return false
		}
	}
	return true
}

func removePad(p *rewrite.Patch, n *ir.Node) bool {
	if _, ok := n.Op.(op.Pad); !ok {
		return false
	}
	pads, ok := n.In[1].ConstInts()
	if !ok {
		return false
	}
	for _, v := range pads {
		if v != 0 {
			return false
		}
	}
	return bypass(p, n.Out[0], n.In[0])
}

func removeSlice(p *rewrite.Patch, n *ir.Node) bool {
	if _, ok := n.Op.(op.Slice); !ok {
		return false
	}
	starts, ok1 := n.In[1].ConstInts()
	ends, ok2 := n.In[2].ConstInts()
	if !ok1 || !ok2 {
		return false
	}
	if steps := n.Input(4); steps != nil {
		list, ok := steps.ConstInts()
		if !ok {
			return false
		}
		for _, s := range list {
			if s != 1 {
				return false
			}
		}
	}
	x, y := n.In[0].Type, n.Out[0].Type
	for i := range starts {
		if starts[i] != 0 {
			return false
		}
		if ends[i] < math.MaxInt32 && !x.Equal(y) {
			return false
		}
	}
	return bypass(p, n.Out[0], n.In[0])
}

func removeConcat(p *rewrite.Patch, n *ir.Node) bool {
	_, ok := n.Op.(op.Concat)
	return ok && len(n.In) == 1 && bypass(p, n.Out[0], n.In[0])
}
