package pass

import (
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// RoundBiases moves the biases of quantized layers to the multiples of s_x·s_w[c]
// that [ToQDQ] writes, so that the simulated graph computes what the file
// computes: without that they differ by up to half a step of the accumulator in
// every channel, which moves a few of a thousand values of the next activation by a
// step of its grid, and adds up along deep networks.
//
// Where batch normalization follows the layer, its bias is what moves, by at
// most half a step times the factor that [FoldBatchNorm] folds. Values are written
// to the stored tensors in place, as an optimizer does; writing twice changes
// nothing. A bias that several nodes read, as of a module that is used twice,
// becomes a constant of its own for each layer but the last, since the file rounds
// it for each: training is over then. A bias that is computed stays, and so do all
// of a graph that ToQDQ refuses; the trace says so.
func RoundBiases(g *ir.Graph, t *rewrite.Trace) error {
	p := rewrite.New(g, "round-biases", t)
	file := g.Clone()
	for _, convert := range []func(*ir.Graph, *rewrite.Trace) error{FoldBatchNorm, ToQDQ} {
		if err := convert(file, nil); err != nil {
			p.Note("biases stay: %v", err)
			return p.Commit()
		}
	}
	for _, n := range g.Nodes() {
		switch n.Op.(type) {
		case op.Conv, op.ConvTranspose, op.Gemm, op.MatMul:
			roundBias(p, file, n)
		}
	}
	return p.Commit()
}

// roundBias takes the bias of one layer from the graph that is written.
func roundBias(p *rewrite.Patch, file *ir.Graph, n *ir.Node) {
	var bn *ir.Node
	written := file.Value(n.Out[0].Name)
	if u, ok := onlyUse(p.Graph(), n.Out[0]); ok && written == nil {
		if _, ok := u.Node.Op.(op.BatchNormalization); ok {
			bn, written = u.Node, file.Value(u.Node.Out[0].Name)
		}
	}
	if written == nil || written.Def == nil {
		return
	}
	bias, ok := integers(written.Def.Input(2))
	if !ok {
		return
	}
	owner, port := n, 2
	factor, offset := 1.0, make([]float64, len(bias))
	if o, ok := n.Op.(op.Gemm); ok {
		_, beta := o.Factors()
		factor = float64(beta)
	}
	if bn != nil {
		gain, shift, ok := affine(bn, n, factor)
		if !ok {
			return
		}
		for c := range offset {
			offset[c] = shift[c] * gain[c]
		}
		owner, factor = bn, 1
	}
	target := owner.Input(port)
	if target == nil || !target.IsStored() || target.Data.DType() != tensor.Float32 || target.Data.Len() != len(bias) || factor == 0 {
		p.Note("%s: the bias stays, it is computed", n.Label())
		return
	}
	if len(target.Uses()) != 1 || isOutput(p.Graph(), target) {
		own := p.B.Const(target.Name+"/of/"+n.Label(), target.Data.Clone())
		p.SetInput(owner, port, own)
		p.Note("%s: %s is a copy of %s, which others read too", n.Label(), own.Name, target.Name)
		target = own
	}
	moved := false
	for c, b := range bias {
		v := float32((b - offset[c]) / factor)
		moved = moved || v != target.Data.F32()[c]
		target.Data.F32()[c] = v
	}
	if moved {
		p.Note("%s", target.Name)
	}
}

// integers returns the numbers of an int32 bias behind DequantizeLinear.
func integers(v *ir.Value) ([]float64, bool) {
	d, _, ok := producer[op.DequantizeLinear](v)
	if !ok || !d.In[0].IsStored() || d.In[0].Data.DType() != tensor.Int32 || !d.In[1].IsStored() {
		return nil, false
	}
	k, s := tensor.Data[int32](d.In[0].Data), d.In[1].Data.F32()
	out := make([]float64, len(k))
	for c, v := range k {
		out[c] = float64(v) * float64(s[min(c, len(s)-1)])
	}
	return out, true
}

// affine returns the factor of a batch normalization and what it is applied to
// besides the layer's product: its bias, if any, less the mean.
func affine(bn, layer *ir.Node, factor float64) (gain, shift []float64, ok bool) {
	o := bn.Op.(op.BatchNormalization)
	var v [4][]float32 // scale, bias, mean, var
	for i := range v {
		t, ok := StoredTensor(bn.In[1+i])
		if !ok || t.DType() != tensor.Float32 {
			return nil, nil, false
		}
		v[i] = t.F32()
	}
	gain, shift = make([]float64, len(v[0])), make([]float64, len(v[0]))
	var old []float32
	if b := layer.Input(2); b != nil {
		t, ok := StoredTensor(b)
		if ok {
			old, ok = rowVector(t, len(gain))
		}
		if !ok {
			return nil, nil, false
		}
	}
	for c := range gain {
		gain[c] = float64(v[0][c]) / math.Sqrt(float64(v[3][c])+float64(o.Epsilon))
		shift[c] = -float64(v[2][c])
		if old != nil {
			shift[c] += factor * float64(old[c])
		}
	}
	return gain, shift, true
}
