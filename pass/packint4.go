package pass

import (
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// PackInt4 stores the weights of matrix products that have at most 16 points as
// int4, two to a byte, which opset 21 can. It follows [ToQDQ]: int8 constant →
// DequantizeLinear becomes int4 constant → DequantizeLinear with the same scale,
// and the values stay what they were.
//
// Weights of convolutions stay int8: both runtimes compute convolutions with
// int4 weights in float.
func PackInt4(g *ir.Graph, t *rewrite.Trace) error {
	p := rewrite.New(g, "pack-int4", t)
	for _, n := range append([]*ir.Node(nil), g.Nodes()...) {
		d, ok := n.Op.(op.DequantizeLinear)
		if !ok || !n.In[0].IsStored() || n.In[0].Type.DType != tensor.Int8 || !onlyMatrices(g, n.Out[0]) {
			continue
		}
		k := n.In[0].Data
		if !fitsInt4(k) || n.Input(2) == nil || !n.In[2].IsStored() || !fitsInt4(n.In[2].Data) {
			continue
		}
		v, z := n.In[0], n.In[2]
		y := n.Out[0]
		w := p.B.Op(d, n.Name+"/int4", p.B.Const(v.Name+"/int4", asInt4(k)), n.In[1], p.B.Const(z.Name+"/int4", asInt4(z.Data)))
		if err := p.B.Err(); err != nil {
			return err
		}
		take(p, y, w)
		p.Note("%s", v.Name)
	}
	return p.Commit()
}

// onlyMatrices reports whether v is the weight of matrix products and nothing
// else.
func onlyMatrices(g *ir.Graph, v *ir.Value) bool {
	for _, u := range v.Uses() {
		switch u.Node.Op.(type) {
		case op.MatMul, op.Gemm:
			if u.Port > 1 {
				return false // a bias
			}
		default:
			return false
		}
	}
	if slices.Contains(g.Outputs, v) {
		return false
	}
	return len(v.Uses()) > 0
}

func fitsInt4(t *tensor.Tensor) bool {
	if t.DType() != tensor.Int8 || t.Len() == 0 {
		return false
	}
	for _, v := range tensor.Data[int8](t) {
		if v < -8 || v > 7 {
			return false
		}
	}
	return true
}

// asInt4 is t as int4, which memory holds one to a byte.
func asInt4(t *tensor.Tensor) *tensor.Tensor {
	out := tensor.New(tensor.Int4, t.Shape()...)
	copy(tensor.Data[int8](out), tensor.Data[int8](t))
	return out
}
