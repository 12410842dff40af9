package quantization

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// placer decides for one graph. Requests are gathered by value, from the last
// node to the first, so that all consumers of a value have spoken when its
// producer is reached.
type placer struct {
	g       *ir.Graph
	o       Options
	device  *Device
	consts  []bool // by value ID: known before the graph runs
	masks   []bool // by value ID: made of integers alone
	ahead   []bool // by value ID: a layer depends on it
	output  map[*ir.Value]bool
	state   map[*ir.Value]bool // assigned to a state at the end of the run
	asked   map[*ir.Value][]request
	setup   *Setup
	groups  map[*Quantizer][]int // operators that a quantizer feeds whose inputs share one range
	floats  []Float
	weights map[*ir.Value]*Quantizer
}

// request is one consumer's wish to read a value quantized.
type request struct {
	use    ir.Use // Node nil: the graph's output
	spec   spec
	ranges *Range
	first  *ir.Node // who asked
	why    string
	concat []int // IDs of operators on the way up whose inputs share one range
	// depthwise: one range per channel is fine, if all agree.
	depthwise bool
}

func place(g *ir.Graph, o Options) (*Setup, error) {
	d, err := DeviceFor(o.TargetDevice)
	if err != nil {
		return nil, err
	}
	p := &placer{g: g, o: o, device: d, consts: make([]bool, g.NumValues()), masks: make([]bool, g.NumValues()), ahead: make([]bool, g.NumValues()), output: map[*ir.Value]bool{}, state: map[*ir.Value]bool{},
		asked: map[*ir.Value][]request{}, groups: map[*Quantizer][]int{}, weights: map[*ir.Value]*Quantizer{},
		setup: &Setup{BatchNorm: o.Initializer.BatchNorm, ScaleFloor: o.ScaleFloor, ZeroPoint: o.ZeroPoint}}
	for _, v := range g.Stored() {
		p.consts[v.ID] = true
	}
	for _, v := range g.Inputs {
		p.masks[v.ID] = v.Type.DType != tensor.Float32
	}
	for _, n := range g.Nodes() {
		c, mask := true, p.isMask(n)
		for _, v := range n.In {
			c = c && (v == nil || p.isConst(v))
		}
		for _, v := range n.Out {
			if v != nil {
				p.consts[v.ID], p.masks[v.ID] = c, mask
			}
		}
	}
	for _, n := range slices.Backward(g.Nodes()) {
		layer := isLayer(n)
		for _, v := range n.Out {
			layer = layer || v != nil && p.ahead[v.ID]
		}
		for _, v := range n.In {
			if v != nil {
				p.ahead[v.ID] = p.ahead[v.ID] || layer
			}
		}
	}
	for _, v := range g.Outputs {
		p.output[v] = true
	}
	for _, a := range g.Assigns {
		p.state[a.Src] = true
	}
	if o.quantizeOutputs() {
		for _, v := range g.Outputs {
			if v.Type.DType == tensor.Float32 && !p.isConst(v) {
				p.ask(v, request{spec: o.activationSpec(), first: v.Def, why: "output of the graph"})
			}
		}
	}
	for _, n := range slices.Backward(g.Nodes()) {
		p.node(n)
	}
	for _, v := range g.Inputs {
		p.land(v, p.asked[v])
	}
	slices.Reverse(p.floats)
	p.setup.Float = p.floats
	p.order()
	p.unify()
	p.elements()
	if err := errors.Join(p.ranges(), p.checkPrecision()); err != nil {
		return nil, err
	}
	if o.Initializer.Precision.searches() {
		p.setup.Precision, p.setup.Device = &o.Initializer.Precision, o.TargetDevice
	}
	if o.Params != nil && *o.Params != (compress.Stages{}) {
		p.setup.Stages = o.Params
	}
	return p.setup, nil
}

func (p *placer) isConst(v *ir.Value) bool { return p.consts[v.ID] }

// escapes reports whether something other than nodes reads v.
func (p *placer) escapes(v *ir.Value) bool { return p.output[v] || p.state[v] }

// uses counts the inputs that read elements of v.
func (p *placer) uses(v *ir.Value) int {
	n := 0
	for _, u := range v.Uses() {
		if !op.ReadsShape(u.Node) {
			n++
		}
	}
	return n
}

func (p *placer) ask(v *ir.Value, r request) { p.asked[v] = append(p.asked[v], r) }

// node settles the requests for the results of n, then lets n ask.
func (p *placer) node(n *ir.Node) {
	if p.passes(n) {
		p.up(n)
	} else {
		for _, v := range n.Out {
			if v != nil {
				p.land(v, p.asked[v])
			}
		}
	}
	if why := p.request(n); why != "" && hasFloatResult(n) && !p.isConst(n.Out[0]) {
		p.floats = append(p.floats, Float{n.Label(), n.Op.Kind(), why})
	}
}

// request lets n ask for quantized inputs, or says why it does not.
func (p *placer) request(n *ir.Node) string {
	if onBits(n) {
		return "binarized"
	}
	if trait(n) == ir.QuantAgnostic && weightPort(n) >= 0 || isLayer(n) {
		p.weight(n)
	}
	switch t := trait(n); {
	case t == ir.QuantAgnostic, t == ir.QuantConcat:
		if !p.o.considered(p.o.Activations, n) {
			return "ignored scope; no quantizer passes"
		}
		return ""
	case t != ir.QuantInputs && !isBatchNorm(n):
		if prev := p.fused(n); prev != nil {
			return "computed together with " + prev.Label()
		}
		return "computes in float"
	case !p.o.considered(p.o.Activations, n):
		return "ignored scope"
	}
	if prev := p.fused(n); prev != nil {
		return "computed together with " + prev.Label()
	}
	kind := n.Op.Kind()
	if isBatchNorm(n) {
		return "computes in float"
	}
	if integerFunctions[kind] && p.complete() && p.convolution(n.In[0]) != nil {
		return "" // reads the quantized result of a convolution
	}
	if (activations[kind] || mathFunctions[kind]) && !p.device.FunctionInputs {
		return "function that runtimes compute in float"
	}
	if slices.Contains(p.device.Float, kind) {
		return "operator that " + p.device.Name + " computes in float"
	}
	if p.complete() && p.divides(n) {
		return "division by data, which a grid could round to zero"
	}
	if p.addsMask(n) {
		return "adds a mask, of which no grid has all numbers"
	}
	if arithmetic[kind] && !p.ahead[n.Out[0].ID] && !p.device.FunctionInputs {
		return "arithmetic behind the last layer"
	}
	if op.IsRecurrent(n.Op) && p.o.Placement != PlacementNNCF && !p.device.FunctionInputs {
		return "recurrent cell, which runtimes compute in float with the quantized weights"
	}
	asked := false
	wp := weightPort(n)
	for port, v := range n.In {
		if v == nil || port == wp && p.isConst(v) || !p.isData(n, port) {
			continue
		}
		s, r := p.o.override(p.o.activationSpec(), p.o.ScopeOverrides.Activations, n, v.Def)
		var unified []int
		if p.unifies(n) {
			unified = []int{n.ID}
		}
		for i, group := range p.o.unified() {
			if compress.MatchAny(group, n) {
				unified = append(unified, -1-i)
			}
		}
		p.ask(v, request{use: ir.Use{Node: n, Port: port}, spec: s, ranges: r, first: n,
			why:       fmt.Sprintf("input of %s (%s)", n.Label(), n.Op.Kind()),
			concat:    unified,
			depthwise: p.o.DepthwisePerChannel && isDepthwise(n)})
		asked = true
	}
	if !asked {
		return "no input depends on data"
	}
	return ""
}

// isData reports whether input port of n carries real numbers that depend on
// the model's inputs and are not a parameter of the operator.
func (p *placer) isData(n *ir.Node, port int) bool {
	v := n.In[port]
	if v == nil || v.Type.DType != tensor.Float32 || p.isConst(v) {
		return false
	}
	for _, wp := range ir.AllWeights(n) {
		if port == wp.Bias || port == wp.Weight && wp.InAxis < 0 {
			return false
		}
	}
	return !op.IsRecurrent(n.Op) || port != 6 // the cell's memory, which no runtime takes quantized
}

// passes reports whether n only moves values and everyone who reads its
// results wants them quantized alike, so that its inputs can be quantized
// instead.
func (p *placer) passes(n *ir.Node) bool {
	t := trait(n)
	if t != ir.QuantAgnostic && t != ir.QuantConcat || !p.o.considered(p.o.Activations, n) {
		return false
	}
	var all []request
	for _, v := range n.Out {
		if v == nil || v.Type.DType != tensor.Float32 {
			continue
		}
		reqs := p.asked[v]
		if len(reqs) == 0 && p.uses(v) == 0 && !p.escapes(v) {
			continue
		}
		if !p.unanimous(v, reqs) {
			return false
		}
		all = append(all, reqs...)
	}
	if len(all) == 0 || !alike(all) {
		return false
	}
	if all[0].spec.perChannel {
		return false // the channels are those of this value
	}
	if t == ir.QuantConcat && !p.quantizable(n) {
		return false
	}
	if pad, ok := n.Op.(op.Pad); ok && !zeroPad(n, pad) {
		return false
	}
	for port := range n.In {
		if p.isData(n, port) {
			return true
		}
	}
	return false
}

// unanimous reports whether every reader of v is among the requests.
func (p *placer) unanimous(v *ir.Value, reqs []request) bool {
	want := p.uses(v)
	if p.output[v] {
		want++
	}
	return len(reqs) == want && !p.state[v]
}

func alike(reqs []request) bool {
	for _, r := range reqs {
		if r.spec != reqs[0].spec {
			return false
		}
	}
	return true
}

// zeroPad reports whether what n pads with stays exact under any range: zero, or
// values of its input.
func zeroPad(n *ir.Node, pad op.Pad) bool {
	v := n.Input(2)
	if pad.Mode != "" && pad.Mode != "constant" || v == nil {
		return true
	}
	if !v.IsStored() || v.Type.DType != tensor.Float32 {
		return false
	}
	for _, x := range v.Data.F32() {
		if x != 0 {
			return false
		}
	}
	return true
}

// quantizable reports whether every input of n ends, through operators that
// only move values, at a value that can be quantized.
func (p *placer) quantizable(n *ir.Node) bool {
	for _, v := range n.In {
		if v == nil || trait(n) != ir.QuantConcat && (p.isConst(v) || v.Type.DType != tensor.Float32) {
			continue
		}
		if v.Type.DType != tensor.Float32 || p.isConst(v) || v.Kind == ir.Input && !p.o.quantizeInputs() {
			return false
		}
		if d := v.Def; d != nil && (trait(d) == ir.QuantAgnostic || trait(d) == ir.QuantConcat) && p.o.considered(p.o.Activations, d) && weightPort(d) < 0 {
			if !p.quantizable(d) && p.uses(v) == 1 {
				return false
			}
		}
	}
	return true
}

// up hands the requests for the results of n to its inputs.
func (p *placer) up(n *ir.Node) {
	var all []request
	for _, v := range n.Out {
		if v != nil {
			all = append(all, p.asked[v]...)
			delete(p.asked, v)
		}
	}
	r := all[0]
	why := make([]string, 0, len(all))
	var concat []int
	for _, x := range all {
		if !slices.Contains(why, x.why) {
			why = append(why, x.why)
		}
		concat = append(concat, x.concat...)
		if r.ranges == nil {
			r.ranges = x.ranges
		}
	}
	if p.unifies(n) {
		concat = append(concat, n.ID)
	}
	r.why = fmt.Sprintf("%s, moved above %s (%s)", strings.Join(why, ", "), n.Label(), n.Op.Kind())
	r.concat, r.depthwise = concat, false
	for port, v := range n.In {
		if p.isData(n, port) {
			x := r
			x.use = ir.Use{Node: n, Port: port}
			p.ask(v, x)
		}
	}
}

func useOf(u ir.Use) Use { return Use{u.Node.ResultName(), u.Port} }

func hasFloatResult(n *ir.Node) bool {
	v := n.Output(0)
	return v != nil && v.Type.DType.IsFloat()
}

// isDepthwise reports whether n convolves every channel by itself.
func isDepthwise(n *ir.Node) bool {
	c, ok := n.Op.(op.Conv)
	if !ok || c.Groups() == 1 {
		return false
	}
	ch, known := channelDim(n.In[0], 1)
	return known && ch == c.Groups()
}
