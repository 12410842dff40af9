package quantization

import (
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// This file says which operators are computed together with the one before
// them, so that no quantizer belongs between:
//
//	layer (convolution, matrix product)   + constant factor or addend, batch normalization, activation
//	arithmetic                            + batch normalization, activation
//	batch normalization                   + activation
//	activation                            + batch normalization
//
// each reading the only use of the result before. An activation may be spelled
// x·s(x).
//
// Behind a convolution, placement "complete" is stricter: batch normalization,
// which is folded, and Relu or Clip from 0, which the next quantizer makes
// redundant, are all that integer convolutions can carry.

// activations are the functions of one value that runtimes compute in float, or
// on the way out of the layer before.
var activations = set("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish",
	"Swish", "Gelu", "Mish", "Softplus", "Softsign", "ThresholdedRelu", "Clip")

// integerFunctions are those of activations that run on integers between
// quantizers.
var integerFunctions = set("Sigmoid", "LeakyRelu")

// mathFunctions run in float unless the target is TRIAL.
var mathFunctions = set("Exp", "Erf", "Round")

var arithmetic = set("Add", "Sub", "Mul", "Div", "Sum", "Max", "Min")

// divides reports whether n divides by data, or computes nothing but what others
// divide by: a grid has a zero where the divisor has a small number.
func (p *placer) divides(n *ir.Node) bool {
	if n.Op.Kind() == "Div" && !p.isConst(n.In[1]) {
		return true
	}
	return arithmetic[n.Op.Kind()] && !p.escapes(n.Out[0]) && p.isDivisor(n.Out[0])
}

// addsMask reports whether n adds or subtracts a mask: numbers that come from
// integers alone, such as 0 and the lowest number for tokens to see and not to see.
// No grid has both.
func (p *placer) addsMask(n *ir.Node) bool {
	kind := n.Op.Kind()
	return (kind == "Add" || kind == "Sub") && (p.masks[n.In[0].ID] || p.masks[n.In[1].ID])
}

// isMask reports whether the results of n depend on inputs of the graph, on
// integers or truth values among them only, and on no parameter.
func (p *placer) isMask(n *ir.Node) bool {
	if op.ReadsShape(n) {
		return true
	}
	depends := false
	for _, v := range n.In {
		switch {
		case v == nil:
		case p.isConst(v):
			if v.Kind == ir.Parameter {
				return false
			}
		case !p.masks[v.ID]:
			return false
		default:
			depends = true
		}
	}
	table := n.Op.Kind() == "Gather" && p.isConst(n.In[0]) // of vectors for tokens
	return depends && !table
}

// isDivisor reports whether all that reads v divides by it, perhaps moved.
func (p *placer) isDivisor(v *ir.Value) bool {
	uses := v.Uses()
	for _, u := range uses {
		kind := u.Node.Op.Kind()
		switch {
		case op.ReadsShape(u.Node), kind == "Div" && u.Port == 1, kind == "Reciprocal":
		case trait(u.Node) == ir.QuantAgnostic && !p.escapes(u.Node.Out[0]) && p.isDivisor(u.Node.Out[0]):
		default:
			return false
		}
	}
	return len(uses) > 0
}

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

func isLayer(n *ir.Node) bool { return weightPort(n) >= 0 && trait(n) == ir.QuantInputs }

// carries reports whether n is a layer that runtimes compute together with what
// comes behind it; the result of a recurrent cell has passed its own functions.
func carries(n *ir.Node) bool { return isLayer(n) && !op.IsRecurrent(n.Op) }

// onBits reports whether n is part of a binarized convolution, see package
// binarization: it adds up bits, or scales their sum.
func onBits(n *ir.Node) bool {
	by := func(v *ir.Value, kinds ...string) bool {
		return v != nil && v.Def != nil && slices.Contains(kinds, v.Def.Op.Kind())
	}
	switch n.Op.Kind() {
	case "Conv":
		return by(n.In[0], "BinarizeActivation") || by(n.In[1], "BinarizeWeight")
	case "Mul":
		return by(n.In[0], "BinaryScale") || by(n.In[1], "BinaryScale")
	case "Add":
		return by(n.In[0], "Mul") && onBits(n.In[0].Def) && n.In[1].FromStored()
	}
	return false
}

func isBatchNorm(n *ir.Node) bool { return n.Op.Kind() == "BatchNormalization" }

func trait(n *ir.Node) ir.QuantTrait {
	if onBits(n) {
		return ir.QuantFloat
	}
	if t, ok := n.Op.(ir.QuantTraited); ok {
		return t.QuantTrait()
	}
	return ir.QuantFloat
}

// fused returns the node that n is computed together with, or nil.
func (p *placer) fused(n *ir.Node) *ir.Node {
	kind := n.Op.Kind()
	v := p.dataInput(n)
	if v == nil || v.Def == nil || p.escapes(v) {
		return nil
	}
	prev := v.Def
	if p.complete() {
		if p.convolution(v) != nil {
			if p.uses(v) == 1 && p.folds(n) {
				return prev
			}
			return nil
		}
		if isBatchNorm(n) && activations[prev.Op.Kind()] {
			return nil
		}
	}
	if sole := p.uses(v) == 1; !sole {
		// x·s(x): the product and the function read the same x.
		if kind == "Mul" && p.selfGated(n) != nil {
			return p.selfGated(n).Def
		}
		if !activations[kind] || !p.gates(n, v) {
			return nil
		}
	}
	switch {
	case activations[kind]:
		if carries(prev) || isBatchNorm(prev) || arithmetic[prev.Op.Kind()] {
			return prev
		}
	case isBatchNorm(n):
		if carries(prev) || arithmetic[prev.Op.Kind()] || activations[prev.Op.Kind()] {
			return prev
		}
	case arithmetic[kind] && len(n.In) == 2 && (p.isConst(n.In[0]) || p.isConst(n.In[1])):
		if carries(prev) {
			return prev
		}
	}
	return nil
}

// complete reports whether every convolution gets what runtimes need to compute
// it on integers.
func (p *placer) complete() bool { return p.o.Placement != PlacementNNCF && !p.device.FunctionInputs }

// folds reports whether an integer convolution can carry n behind it: a batch
// normalization of its result, or an activation that only clips at 0 and above.
func (p *placer) folds(n *ir.Node) bool {
	switch n.Op.(type) {
	case op.BatchNormalization:
		v := n.In[0]
		return v.Def != nil && v.Def.Op.Kind() == "Conv"
	case op.Relu:
		return true
	case op.Clip:
		low := n.Input(1)
		return low != nil && low.IsStored() && low.Type.DType == tensor.Float32 && low.Data.Len() == 1 && low.Data.F32()[0] == 0
	}
	return false
}

// convolution returns the convolution whose result v is, perhaps behind what it
// carries, or nil.
func (p *placer) convolution(v *ir.Value) *ir.Node {
	for {
		d := v.Def
		if d == nil {
			return nil
		}
		if d.Op.Kind() == "Conv" && !onBits(d) {
			return d
		}
		if !p.folds(d) {
			return nil
		}
		v = d.In[0]
		if p.uses(v) != 1 || p.escapes(v) {
			return nil
		}
	}
}

// dataInput returns the input that is not known before the graph runs, nil if
// there are several different ones; of a product x·s(x) it is x.
func (p *placer) dataInput(n *ir.Node) *ir.Value {
	if n.Op.Kind() == "Mul" {
		if x := p.selfGated(n); x != nil {
			return x
		}
	}
	var v *ir.Value
	for _, in := range n.In {
		if in == nil || p.isConst(in) {
			continue
		}
		if v != nil && v != in {
			return nil
		}
		v = in
	}
	return v
}

// selfGated returns x if the node is x·s(x) with an activation s, and x and s(x)
// have no other use. Behind a convolution, complete placement takes the two
// apart: all three edges need quantizers.
func (p *placer) selfGated(n *ir.Node) *ir.Value {
	if n.Op.Kind() != "Mul" || len(n.In) != 2 {
		return nil
	}
	for i := range 2 {
		x, s := n.In[i], n.In[1-i]
		if s.Def != nil && activations[s.Def.Op.Kind()] && s.Def.In[0] == x && p.uses(s) == 1 && p.uses(x) == 2 && !p.escapes(x) && !p.escapes(s) {
			if p.complete() && p.convolution(x) != nil {
				return nil
			}
			return x
		}
	}
	return nil
}

// gates reports whether n is the s of x·s(x) with x = v.
func (p *placer) gates(n *ir.Node, v *ir.Value) bool {
	out := n.Output(0)
	if out == nil {
		return false
	}
	for _, u := range out.Uses() {
		if p.selfGated(u.Node) == v {
			return true
		}
	}
	return false
}
