package ptq

import (
	"math"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
)

// layer is a convolution or matrix product with a weight that does not depend
// on the model's input.
type layer struct {
	node *ir.Node
	// port holds the weight, data the other operand.
	port, data int
	// outAxis and inAxis are the weight's channels; groups divide the outputs.
	outAxis, inAxis, groups int
	// channelAxis is that of the output's channels.
	channelAxis int
	channels    int
}

// name is that of the result, by which layers are found in other graphs.
func (l layer) name() string { return l.node.Out[0].Name }

// label is how reports call the layer.
func (l layer) label() string { return l.node.Label() }

func (l layer) weight() *ir.Value { return l.node.In[l.port] }

func (l layer) input() *ir.Value { return l.node.In[l.data] }

// layerOf returns the layer that n is.
func layerOf(n *ir.Node) (l layer, ok bool) {
	if len(n.Out) == 0 || n.Out[0] == nil {
		return l, false
	}
	l = layer{node: n, port: 1, data: 0, groups: 1, channelAxis: 1}
	switch o := n.Op.(type) {
	case op.Conv:
		l.outAxis, l.inAxis, l.groups = 0, 1, o.Groups()
	case op.ConvTranspose:
		l.outAxis, l.inAxis, l.groups = 1, 0, o.Groups()
	case op.Gemm:
		if o.TransA {
			return l, false
		}
		l.outAxis, l.inAxis = 1, 0
		if o.TransB {
			l.outAxis, l.inAxis = 0, 1
		}
	case op.MatMul:
		if len(n.In) < 2 || n.In[1].Type.Rank() != 2 {
			return l, false
		}
		l.outAxis, l.inAxis = 1, 0
		l.channelAxis = n.Out[0].Type.Rank() - 1
	default:
		return l, false
	}
	if !l.weight().FromStored() || l.input().FromStored() || l.weight().Type.DType != tensor.Float32 {
		return l, false
	}
	k, known := l.weight().Type.Dims[l.outAxis].Known()
	if _, transposed := n.Op.(op.ConvTranspose); transposed {
		k *= l.groups
	}
	l.channels = k
	return l, known
}

// layers returns the layers of a graph, in order.
func layers(g *ir.Graph) []layer {
	var list []layer
	for _, n := range g.Nodes() {
		if l, ok := layerOf(n); ok {
			list = append(list, l)
		}
	}
	return list
}

// findLayer returns the layer of g with the given result.
func findLayer(g *ir.Graph, name string) (layer, bool) {
	v := g.Value(name)
	if v == nil || v.Def == nil {
		return layer{}, false
	}
	return layerOf(v.Def)
}

// quantizedWeight reports whether the layer's weight comes from a quantizer.
func (l layer) quantizedWeight() bool { return op.IsFakeQuantizer(l.weight().Def) }

// onlyUse returns the only reader of v.
func onlyUse(g *ir.Graph, v *ir.Value) (ir.Use, bool) {
	if len(v.Uses()) != 1 {
		return ir.Use{}, false
	}
	if slices.Contains(g.Outputs, v) {
		return ir.Use{}, false
	}
	for _, a := range g.Assigns {
		if a.Src == v || a.Dst == v {
			return ir.Use{}, false
		}
	}
	return v.Uses()[0], true
}

// bias is a stored vector that is added to a layer's result, times the factor
// of each channel.
type bias struct {
	value *ir.Value
	gain  []float64
}

// add moves the layer's result by d in every channel.
func (b bias) add(d []float64) {
	data := b.value.Data.F32()
	for c := range data {
		data[c] = float32(float64(data[c]) + d[c]*b.gain[c])
	}
}

// biasOf finds the vector that takes a correction of l: that of the batch
// normalization behind it, its own, or that of an Add behind it.
func biasOf(g *ir.Graph, l layer) (bias, bool) {
	b := bias{gain: make([]float64, l.channels)}
	for c := range b.gain {
		b.gain[c] = 1
	}
	fits := func(v *ir.Value) bool {
		return v != nil && v.IsStored() && v.Data.DType() == tensor.Float32 && len(v.Uses()) == 1 && v.Data.Len() == l.channels &&
			v.Data.Shape()[v.Data.Rank()-1] == l.channels
	}
	if u, ok := onlyUse(g, l.node.Out[0]); ok {
		switch o := u.Node.Op.(type) {
		case op.BatchNormalization:
			scale, ok1 := pass.StoredTensor(u.Node.In[1])
			variance, ok2 := pass.StoredTensor(u.Node.In[4])
			if u.Port != 0 || l.channelAxis != 1 || !ok1 || !ok2 || scale.Len() != l.channels || !fits(u.Node.In[2]) {
				return b, false
			}
			for c := range b.gain {
				b.gain[c] = float64(scale.F32()[c]) / math.Sqrt(float64(variance.F32()[c])+float64(o.Epsilon))
			}
			b.value = u.Node.In[2]
			return b, true
		case op.Add:
			if v := u.Node.In[1-u.Port]; l.node.Input(2) == nil && l.channelAxis == l.node.Out[0].Type.Rank()-1 && fits(v) {
				b.value = v
				return b, true
			}
		}
	}
	v := l.node.Input(2)
	if !fits(v) || v.Data.Rank() != 1 {
		return b, false
	}
	if o, ok := l.node.Op.(op.Gemm); ok {
		_, beta := o.Factors()
		if beta == 0 {
			return b, false
		}
		for c := range b.gain {
			b.gain[c] /= float64(beta)
		}
	}
	b.value = v
	return b, true
}
