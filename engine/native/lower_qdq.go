package native

import (
	"slices"

	"github.com/go-nncf/nncf/internal/kernel/quant"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// roundTrip describes a QuantizeLinear all of whose consumers dequantize with
// its own parameters: a fake-quantizer in two nodes.
type roundTrip struct {
	scale     float32
	low, high float32 // of the integer type, less the zero point
}

// pairOf returns the round trip of a QuantizeLinear with one constant scale; ok
// is false if its integers are needed as such.
func (c *compiler) pairOf(q *ir.Node) (r roundTrip, ok bool) {
	v := q.Out[0]
	lo, hi := 0, 255
	switch v.Type.DType {
	case tensor.Uint8:
	case tensor.Int8:
		lo, hi = -128, 127
	case tensor.Uint16:
		hi = 65535
	case tensor.Int16:
		lo, hi = -32768, 32767
	default:
		return r, false
	}
	scale, zero := q.In[1], q.Input(2)
	if !isFloat(q.In[0], scale) || !oneConstant(scale) || zero != nil && !oneConstant(zero) || c.isBorder(v) || len(v.Uses()) == 0 {
		return r, false
	}
	z := 0
	if zero != nil {
		ints, known := zero.ConstInts()
		if !known {
			return r, false
		}
		z = ints[0]
	}
	for _, u := range v.Uses() {
		if _, isDQ := u.Node.Op.(op.DequantizeLinear); !isDQ || u.Port != 0 || !sameConstant(u.Node.In[1], scale) || !sameConstant(u.Node.Input(2), zero) {
			return r, false
		}
	}
	return roundTrip{scale.Data.F32()[0], float32(lo - z), float32(hi - z)}, true
}

func oneConstant(v *ir.Value) bool { return v.Kind == ir.Constant && v.Data.Len() == 1 }

func sameConstant(a, b *ir.Value) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a == b || a.Data != nil && b.Data != nil && a.Kind == ir.Constant && b.Kind == ir.Constant && a.Data.Len() == b.Data.Len() && a.Data.Reshape(b.Data.Shape()...).Equal(b.Data)
}

// isBorder reports whether the value leaves the graph.
func (c *compiler) isBorder(v *ir.Value) bool {
	if slices.Contains(c.g.Outputs, v) {
		return true
	}
	for _, a := range c.g.Assigns {
		if a.Src == v {
			return true
		}
	}
	return false
}

// lowerQuantizeLinear leaves round trips to lowerDequantizeLinear.
func lowerQuantizeLinear(c *compiler, n *ir.Node) error {
	if _, ok := c.pairOf(n); ok {
		return nil
	}
	return lowerReference(c, n)
}

func lowerDequantizeLinear(c *compiler, n *ir.Node) error {
	q := n.In[0].Def
	if q == nil {
		return lowerReference(c, n)
	}
	if _, isQ := q.Op.(op.QuantizeLinear); !isQ {
		return lowerReference(c, n)
	}
	r, ok := c.pairOf(q)
	if !ok {
		return lowerReference(c, n)
	}
	x := c.any(q.In[0])
	l := &link{node: n, name: "quantize-dequantize", in: []*slot{x}, out: c.out(n.Out[0], x.order)}
	l.bind = func() tileFunc {
		return func(_ tile, dst []float32, src [][]float32) { quant.RoundTrip(dst, src[0], r.scale, r.low, r.high) }
	}
	c.emitChain(x, l)
	return nil
}
