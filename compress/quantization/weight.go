package quantization

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// weightPort returns the input that holds the weight of a convolution, a matrix
// product or an embedding, or -1.
func weightPort(n *ir.Node) int {
	p, _ := weightAxis(n)
	return p
}

// weightAxis returns the weight's port and output-channel axis, -1 for none.
// Unlike [ir.Weighted] it knows weights that are computed from stored values,
// as masks do.
func weightAxis(n *ir.Node) (port, axis int) {
	w, ok := n.Op.(ir.Weighted)
	if !ok {
		return -1, -1
	}
	p := w.Weights(n)
	if p.Weight >= 0 && p.InAxis >= 0 {
		return p.Weight, p.OutAxis
	}
	if _, ok := n.Op.(op.MatMul); ok {
		for port := 1; port >= 0; port-- {
			if r := n.In[port].Type.Rank(); r >= 2 && n.In[port].FromStored() {
				return port, r - 2 + port
			}
		}
		return 1, -1 // a product of two computed matrices
	}
	return -1, -1
}

// weight puts quantizers at the weights of n.
func (p *placer) weight(n *ir.Node) {
	port, axis := weightAxis(n)
	if m, ok := n.Op.(ir.ManyWeighted); ok {
		for _, w := range slices.Backward(m.MoreWeights(n)) {
			if w.Weight >= 0 {
				p.weightAt(n, w.Weight, w.OutAxis)
			}
		}
	}
	p.weightAt(n, port, axis)
}

// weightAt puts a quantizer at the weight of n at a port, or adds n to the
// consumers of the one that is there.
func (p *placer) weightAt(n *ir.Node, port, axis int) {
	v := n.In[port]
	if v == nil || !p.isConst(v) || v.Type.DType != tensor.Float32 {
		return
	}
	if v.Def != nil && isQuantizer(v.Def) {
		return // is quantized
	}
	if !p.o.considered(p.o.Weights, n) {
		p.floats = append(p.floats, Float{n.Label(), n.Op.Kind(), fmt.Sprintf("weight %q: ignored scope", v.Name)})
		return
	}
	s, r := p.o.override(p.o.weightSpec(), p.o.ScopeOverrides.Weights, n)
	if trait(n) != ir.QuantInputs {
		s.perChannel = false // an embedding's rows share one range
	}
	if q := p.weights[v]; q != nil {
		q.Consumers = append([]Use{{n.ResultName(), port}}, q.Consumers...)
		if q.Axis != axis {
			q.Axis = -1
		}
		q.Rule = fmt.Sprintf("%s of %s (%s); %s", weightWord(n, port), n.Label(), n.Op.Kind(), q.Rule)
		return
	}
	q := &Quantizer{Value: v.Name, Kind: Weight, Mode: s.mode, Bits: s.bits, Axis: -1, LogScale: s.logScale, Gradient: s.gradient,
		Consumers: []Use{{n.ResultName(), port}}, Rule: fmt.Sprintf("%s of %s (%s)", weightWord(n, port), n.Label(), n.Op.Kind())}
	if s.mode == Symmetric {
		q.Signed = s.signed.ptr()
	}
	if s.perChannel {
		q.Axis = axis
	}
	if s.bits == 8 && !p.wideInput(n, port) && !op.IsRecurrent(n.Op) { // cells compute in float
		switch p.o.OverflowFix {
		case "enable":
			q.Half = true
		case "first_layer_only":
			q.Half = p.isFirst(n)
		}
	}
	q.Narrow = !q.Half && s.bits == 8
	if s.narrow != signUnknown {
		q.Narrow = s.narrow == signYes && !q.Half
	}
	if r != nil {
		q.Range = *r
	}
	p.weights[v] = q
	p.setup.Quantizers = append(p.setup.Quantizers, q)
}

// wideInput reports whether what n multiplies its weight with is to have more than
// 8 bits: runtimes then compute in float, where nothing saturates.
func (p *placer) wideInput(n *ir.Node, port int) bool {
	if len(n.In) < 2 || port > 1 || n.In[1-port] == nil {
		return false
	}
	s, _ := p.o.override(p.o.activationSpec(), p.o.ScopeOverrides.Activations, n, n.In[1-port].Def)
	return s.bits > 8
}

// weightWord names the weight at a port.
func weightWord(n *ir.Node, port int) string {
	switch {
	case !op.IsRecurrent(n.Op):
		return "weight"
	case port == 1:
		return "input weight"
	}
	return "recurrent weight"
}

// isFirst reports whether n is a convolution that no other layer comes before.
func (p *placer) isFirst(n *ir.Node) bool {
	if n.Op.Kind() != "Conv" {
		return false
	}
	seen := map[*ir.Node]bool{}
	var free func(v *ir.Value) bool
	free = func(v *ir.Value) bool {
		if v == nil || v.Def == nil || seen[v.Def] || p.isConst(v) {
			return true
		}
		seen[v.Def] = true
		if isLayer(v.Def) {
			return false
		}
		for _, in := range v.Def.In {
			if !free(in) {
				return false
			}
		}
		return true
	}
	return free(n.In[0])
}

// ranges gives every quantizer that no override did its range initialisation.
func (p *placer) ranges() error {
	var errs []error
	list := p.o.Initializer.Range
	for _, q := range p.setup.Quantizers {
		if q.Range.isSet() || len(list) == 0 {
			continue
		}
		if len(list) == 1 && list[0].Group == "" && list[0].Ignored == nil && list[0].Target == nil {
			q.Range = list[0].bare()
			continue
		}
		hits := 0
		for _, r := range list {
			if r.Group != "" && r.Group != string(q.Kind)+"s" || !p.inScope(r.Scopes, q) {
				continue
			}
			hits++
			q.Range = r.bare()
		}
		if hits != 1 {
			errs = append(errs, fmt.Errorf("initializer.range: %s quantizer of %q is matched by %d entries, want 1", q.Kind, q.Value, hits))
		}
	}
	return errors.Join(errs...)
}

// inScope matches a quantizer by the node that makes its value, or, if that is
// stored or an input, by its consumers.
func (p *placer) inScope(s compress.Scopes, q *Quantizer) bool {
	var nodes []*ir.Node
	if v := p.g.Value(q.Value); v.Def != nil {
		nodes = append(nodes, v.Def)
	} else {
		for _, u := range v.Uses() {
			nodes = append(nodes, u.Node)
		}
	}
	return slices.ContainsFunc(nodes, s.Considered)
}

// bare returns r without what chose the quantizers.
func (r Range) bare() Range {
	r.Scopes, r.Group = compress.Scopes{}, ""
	return r
}

// isSet reports whether an override set the range.
func (r Range) isSet() bool {
	return r.Type != "" || r.Samples != nil || r.Steps != nil || r.Params != (Params{}) || r.MinPercentile != nil || r.MaxPercentile != nil
}
