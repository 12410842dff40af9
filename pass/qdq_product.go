package pass

import (
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// spreadBiases gives biases behind quantized products of known shape the rank of
// the product, unless the sum is quantized. ONNX Runtime makes a Gemm of a MatMul
// and a bias of rank 1; with a float bias and result that Gemm runs in float, where
// the MatMul by itself runs on integers.
func spreadBiases(g *ir.Graph, t *rewrite.Trace) error {
	p := rewrite.New(g, "spread-bias", t)
	for _, n := range slices.Clone(g.Nodes()) {
		if n.Op.Kind() != (op.MatMul{}).Kind() || !isDequantized(n.In[0]) || !isDequantized(n.In[1]) {
			continue
		}
		shape, known := n.Out[0].Type.Shape()
		u, only := onlyUse(g, n.Out[0])
		if !known || !only || len(shape) < 3 || n.In[1].Type.Rank() != 2 || u.Node.Op.Kind() != (op.Add{}).Kind() || feedsQuantizer(u.Node.Out[0]) {
			continue
		}
		bias := u.Node.In[1-u.Port]
		if !bias.IsStored() || bias.Type.Rank() != 1 {
			continue
		}
		ones := slices.Repeat([]int{1}, len(shape)-1)
		value := tensor.Wrap(tensor.Float32, bias.Data.F32(), append(ones, bias.Data.Len())...)
		p.SetInput(u.Node, 1-u.Port, replacement(p, bias, ir.Constant, bias.Name, value))
		p.Note("the bias of %s", n.Label())
	}
	return p.Commit()
}

func isDequantized(v *ir.Value) bool {
	_, _, ok := producer[op.DequantizeLinear](v)
	return ok
}

// feedsQuantizer reports whether a QuantizeLinear reads v.
func feedsQuantizer(v *ir.Value) bool {
	return slices.ContainsFunc(v.Uses(), func(u ir.Use) bool { return u.Node.Op.Kind() == (op.QuantizeLinear{}).Kind() })
}
