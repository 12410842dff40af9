package quantization

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// land puts quantizers behind v: one for each different wish.
func (p *placer) land(v *ir.Value, reqs []request) {
	delete(p.asked, v)
	if v.Kind == ir.Input && !p.o.quantizeInputs() {
		for _, r := range reqs {
			p.floats = append(p.floats, Float{r.first.Label(), r.first.Op.Kind(), fmt.Sprintf("reads model input %q, and quantize_inputs is false", v.Name)})
		}
		return
	}
	if v.Def != nil && isQuantizer(v.Def) {
		return // is quantized
	}
	if d := v.Def; d != nil && trait(d) == ir.QuantAgnostic && weightPort(d) >= 0 && p.isConst(d.In[weightPort(d)]) && p.o.considered(p.o.Weights, d) {
		return // rows of a quantized table
	}
	reqs = p.completed(v, reqs)
	for len(reqs) > 0 {
		first := reqs[0]
		var mine, rest []request
		for _, r := range reqs {
			if r.spec == first.spec {
				mine = append(mine, r)
			} else {
				rest = append(rest, r)
			}
		}
		reqs = rest
		p.activation(v, mine)
	}
}

// isQuantizer reports whether the node's result lies on a grid.
func isQuantizer(n *ir.Node) bool {
	return n.Op.Kind() == "DequantizeLinear" || strings.HasPrefix(n.Op.Kind(), "FakeQuantize")
}

// completed adds to the requests for the result of a convolution or an average,
// so that every reader gets the quantized value: runtimes compute them on integers
// only if the result is quantized and nothing reads it otherwise. Readers that
// may not be quantized, and outputs of the graph that must stay in float, keep
// the operator in float too.
func (p *placer) completed(v *ir.Value, reqs []request) []request {
	if !p.complete() || v.Def == nil || v.Type.DType != tensor.Float32 || p.isConst(v) {
		return reqs
	}
	conv := p.convolution(v)
	average := conv == nil && v.Def.Op.Kind() == "AveragePool" && !p.output[v]
	if average {
		conv = v.Def
	}
	if conv == nil || p.readsFloatInput(conv.In[0]) || !p.o.considered(p.o.Activations, conv) || !average && !p.o.considered(p.o.Weights, conv) || !alike(reqs) {
		return reqs
	}
	if p.uses(v) == 1 && !p.escapes(v) && !average {
		for _, u := range v.Uses() {
			if !op.ReadsShape(u.Node) && p.folds(u.Node) {
				return reqs // the chain goes on
			}
		}
	}
	why := fmt.Sprintf("result of %s (%s), which runtimes compute on integers if all its readers get it quantized", conv.Label(), conv.Op.Kind())
	stays := func(format string, args ...any) []request {
		p.floats = append(p.floats, Float{conv.Label(), conv.Op.Kind(), "ONNX Runtime computes it in float: " + fmt.Sprintf(format, args...)})
		return reqs
	}
	if p.output[v] && p.o.QuantizeOutputs != nil && !*p.o.QuantizeOutputs {
		return stays("output %q of the graph, and quantize_outputs is false", v.Name)
	}
	if p.state[v] {
		return stays("%q is kept as a state", v.Name)
	}
	s, r := p.o.override(p.o.activationSpec(), p.o.ScopeOverrides.Activations, conv, v.Def)
	if len(reqs) > 0 {
		s, r = reqs[0].spec, reqs[0].ranges
	}
	asked := func(u ir.Use) bool {
		return slices.ContainsFunc(reqs, func(q request) bool { return q.use == u })
	}
	more := slices.Clone(reqs)
	for _, u := range v.Uses() {
		kind := u.Node.Op.Kind()
		if op.ReadsShape(u.Node) || asked(u) {
			continue
		}
		if kind == "QuantizeLinear" || strings.HasPrefix(kind, "FakeQuantize") {
			return reqs // is quantized
		}
		if !p.o.considered(p.o.Activations, u.Node) {
			return stays("its reader %s is an ignored scope", u.Node.Label())
		}
		more = append(more, request{use: u, spec: s, ranges: r, first: conv, why: why})
	}
	if p.output[v] && !asked(ir.Use{}) {
		more = append(more, request{spec: s, ranges: r, first: conv, why: why})
	}
	return more
}

// readsFloatInput reports whether v is an input of the model that stays in
// float, perhaps moved.
func (p *placer) readsFloatInput(v *ir.Value) bool {
	for v.Def != nil && trait(v.Def) == ir.QuantAgnostic {
		v = v.Def.In[0]
	}
	return v.Kind == ir.Input && !p.o.quantizeInputs()
}

func (p *placer) activation(v *ir.Value, reqs []request) {
	slices.SortStableFunc(reqs, func(a, b request) int { // as nodes come in the graph, its output last
		if a.use.Node == nil || b.use.Node == nil {
			return cmp.Compare(btoi(a.use.Node == nil), btoi(b.use.Node == nil))
		}
		return cmp.Or(cmp.Compare(a.use.Node.ID, b.use.Node.ID), cmp.Compare(a.use.Port, b.use.Port))
	})
	s := reqs[0].spec
	q := &Quantizer{Value: v.Name, Kind: Activation, Mode: s.mode, Bits: s.bits, Axis: -1, LogScale: s.logScale, Narrow: s.narrow == signYes, Gradient: s.gradient}
	if s.mode == Symmetric {
		q.Signed = s.signed.ptr()
	}
	channels := s.perChannel
	if !channels {
		channels = true
		for _, r := range reqs {
			channels = channels && r.depthwise
		}
	}
	if _, known := channelDim(v, 1); channels && known {
		q.Axis = 1
	}
	var why []string
	var concat []int
	for _, r := range reqs {
		if r.use.Node == nil {
			q.Output = true
		} else {
			q.Consumers = append(q.Consumers, useOf(r.use))
		}
		if !slices.Contains(why, r.why) {
			why = append(why, r.why)
		}
		concat = append(concat, r.concat...)
		if r.ranges != nil {
			q.Range = *r.ranges
		}
	}
	q.Rule = strings.Join(why, "; ")
	if p.uses(v) > len(q.Consumers) {
		q.Rule += "; other readers stay in float"
	}
	if len(concat) > 0 {
		p.groups[q] = concat
	}
	p.setup.Quantizers = append(p.setup.Quantizers, q)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func channelDim(v *ir.Value, axis int) (int, bool) {
	if axis >= v.Type.Rank() {
		return 0, false
	}
	return v.Type.Dims[axis].Known()
}

// order sorts quantizers as their values come in the graph: inputs and weights
// before the first node that reads them.
func (p *placer) order() {
	pos := map[string]int{}
	for i, v := range p.g.Inputs {
		pos[v.Name] = i - len(p.g.Inputs)
	}
	for i, n := range p.g.Nodes() {
		for _, v := range n.In {
			if v == nil || !v.IsStored() {
				continue
			}
			if _, ok := pos[v.Name]; !ok {
				pos[v.Name] = 2 * i
			}
		}
		for _, v := range n.Out {
			if v != nil {
				pos[v.Name] = 2*i + 1
			}
		}
	}
	slices.Reverse(p.setup.Quantizers)
	slices.SortStableFunc(p.setup.Quantizers, func(a, b *Quantizer) int { return pos[a.Value] - pos[b.Value] })
}

// unify numbers the groups of quantizers that feed the same concatenations, or
// the same arithmetic where the device wants that.
func (p *placer) unify() {
	parent := map[int]int{}
	var find func(i int) int
	find = func(i int) int {
		q, ok := parent[i]
		if !ok || q == i {
			parent[i] = i
			return i
		}
		parent[i] = find(q)
		return parent[i]
	}
	for _, q := range p.setup.Quantizers {
		for _, c := range p.groups[q] {
			parent[find(c)] = find(p.groups[q][0])
		}
	}
	members := map[int][]*Quantizer{}
	var roots []int
	for _, q := range p.setup.Quantizers {
		if len(p.groups[q]) == 0 {
			continue
		}
		r := find(p.groups[q][0])
		if members[r] == nil {
			roots = append(roots, r)
		}
		members[r] = append(members[r], q)
	}
	n := 0
	for _, r := range roots {
		if len(members[r]) < 2 {
			continue
		}
		n++
		for _, q := range members[r] {
			q.Group, q.Axis = n, -1
			q.Rule += fmt.Sprintf("; shares range %d, as %s", n, p.sharing(members[r]))
		}
	}
}

// elements counts what shares a range, for quantizers whose gradient needs it.
// Axes of unknown length count as one.
func (p *placer) elements() {
	for _, q := range p.setup.Quantizers {
		if q.Gradient != GradientLSQ {
			continue
		}
		q.Elements = 1
		v := p.g.Value(q.Value)
		for i, d := range v.Type.Dims {
			if n, known := d.Known(); known && i != q.Axis && (i > 0 || q.Kind == Weight) {
				q.Elements *= n
			}
		}
	}
}
