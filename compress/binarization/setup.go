package binarization

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// Algorithm is binarization with its options.
type Algorithm struct{ Options Options }

var _ compress.Algorithm = Algorithm{}

// New returns the algorithm with the given options.
func New(o Options) compress.Algorithm { return Algorithm{o} }

// Name implements [compress.Algorithm].
func (Algorithm) Name() string { return Name }

// Priority implements [compress.Algorithm]: what is binarized is what other
// algorithms made of a weight. It comes before quantization, which then knows
// what runs on bits.
func (Algorithm) Priority() compress.Priority { return compress.PriorityQuantize - 1 }

// Setup is which layers are binarized. It is plain data, which marshals to JSON
// and back.
type Setup struct {
	Mode   Mode    `json:"mode"`
	Layers []Layer `json:"layers"`
	// Float lists the layers that are left, with the reason.
	Float     []Layer                      `json:"float,omitempty"`
	Stages    compress.Stages              `json:"stages,omitzero"`
	Scale     Scale                        `json:"scale,omitempty"`
	BatchNorm compress.BatchNormAdaptation `json:"batchnorm_adaptation,omitzero"`
}

// Layer is one layer, and why it is binarized or not.
type Layer struct {
	Value  string `json:"value"` // the result's name, in the graph that was set up
	Node   string `json:"node"`  // the operator's name
	Kind   string `json:"kind"`
	Weight string `json:"weight"`
	MACs   int64  `json:"macs,omitempty"` // of one sample, 0 if not known
	Why    string `json:"why"`
}

// Algorithm implements [compress.Setup].
func (*Setup) Algorithm() string { return Name }

// Setup implements [compress.Algorithm]; the result is a *Setup. The graph must
// be canonical (see package pass). Layers with nothing to binarize in them are
// an error.
func (a Algorithm) Setup(g *ir.Graph) (compress.Setup, error) {
	o := a.Options
	if err := errors.Join(o.Validate(), o.Scopes.Check(g)); err != nil {
		return nil, err
	}
	s := &Setup{Mode: o.Mode, Stages: o.Params, Scale: o.Initializer.Scale, BatchNorm: o.Initializer.BatchNorm}
	if s.Mode == "" {
		s.Mode = XNOR
	}
	macs := costs(g)
	for _, n := range g.Nodes() {
		port := weightPort(n)
		if port < 0 {
			continue
		}
		l := Layer{Value: n.Out[0].Name, Node: n.Label(), Kind: n.Op.Kind(), Weight: source(n.In[port]), MACs: macs[n.Out[0].Name]}
		why := unfit(n)
		switch {
		case why != "":
		case !o.Considered(n) && o.Target != nil:
			why = "not in target_scopes"
		case !o.Considered(n):
			why = "ignored scope"
		}
		if l.Why = why; why != "" {
			s.Float = append(s.Float, l)
			continue
		}
		l.Why = "2-D convolution"
		s.Layers = append(s.Layers, l)
	}
	if len(s.Layers) == 0 {
		return nil, errors.New("there is no 2-D convolution to binarize: none in the graph, or all in ignored scopes")
	}
	return s, nil
}

// weightPort returns the input that holds a layer's weight, or -1.
func weightPort(n *ir.Node) int {
	w, ok := n.Op.(ir.Weighted)
	if !ok {
		return -1
	}
	if p := w.Weights(n); p.Weight >= 0 && p.InAxis >= 0 {
		return p.Weight
	}
	return -1
}

// unfit says why an operator cannot be binarized, "" if it can.
func unfit(n *ir.Node) string {
	if _, ok := n.Op.(op.Conv); !ok {
		return "only 2-D convolutions are binarized"
	}
	x, w := n.In[0], n.In[1]
	switch {
	case x.Type.Rank() != 4:
		return fmt.Sprintf("its input is %v, only 2-D convolutions are binarized", x.Type)
	case x.Type.DType != tensor.Float32:
		return fmt.Sprintf("its elements are %v, want float32", x.Type.DType)
	case !w.FromStored():
		return "its weight is computed from the model's input"
	}
	if _, known := x.Type.Dims[1].Known(); !known {
		return "its number of input channels is not known"
	}
	if _, known := w.Type.Shape(); !known {
		return "the shape of its weight is not known"
	}
	return ""
}

// source is the name of the stored tensor that a weight is, or is computed from.
func source(v *ir.Value) string {
	for v.Def != nil && len(v.Def.In) > 0 && v.Def.In[0] != nil {
		v = v.Def.In[0]
	}
	return v.Name
}

// costs returns the multiply-accumulates of each result for one sample; it is
// empty if shapes stay unknown.
func costs(g *ir.Graph) map[string]int64 {
	out := map[string]int64{}
	shapes, ok := g.SampleShapes()
	if !ok {
		return out
	}
	for _, s := range shapes {
		if len(s) > 0 {
			s[0] = 1
		}
	}
	one, err := g.Specialize(shapes)
	if err != nil {
		return out
	}
	for _, n := range one.Nodes() {
		if cost, ok := ir.CostOf(n); ok {
			out[n.Out[0].Name] = cost.MACs
		}
	}
	return out
}

// Restore decodes a setup that was marshalled.
func Restore(raw json.RawMessage) (compress.Setup, error) {
	s := &Setup{}
	if err := compress.DecodeStrict(raw, s); err != nil {
		return nil, fmt.Errorf("binarization setup: %w", err)
	}
	if s.Mode != XNOR && s.Mode != DoReFa {
		return nil, fmt.Errorf("binarization setup: mode: got %q, want %s or %s", s.Mode, XNOR, DoReFa)
	}
	if err := errors.Join(s.Stages.Validate(), s.BatchNorm.Validate()); err != nil {
		return nil, fmt.Errorf("binarization setup: %w", err)
	}
	return s, nil
}

// Apply implements [compress.Setup]. Trained parameters are named after the
// layer's result: VALUE/binarizer/log_scale and VALUE/binarizer/logit_threshold.
// They stand for scale 1 and threshold 1/2 until data initialise the scale.
func (s *Setup) Apply(g *ir.Graph, t *rewrite.Trace) (compress.Controller, error) {
	c := &Controller{setup: s, g: g, epoch: -1}
	c.activations, c.weights = s.Stages.Enabled(0)
	p := rewrite.New(g, Name, t)
	var errs []error
	for _, l := range s.Layers {
		if err := c.insert(p, l); err != nil {
			errs = append(errs, fmt.Errorf("layer %q: %w", l.Node, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, p.Commit()
}

// insert replaces a convolution by its binarized form.
func (c *Controller) insert(p *rewrite.Patch, l Layer) error {
	g := c.g
	y := g.Value(l.Value)
	if y == nil || y.Def == nil {
		return errors.New("the graph has no such result")
	}
	n := y.Def
	if why := unfit(n); why != "" {
		return errors.New(why)
	}
	k, _ := n.In[0].Type.Dims[1].Known()
	name := l.Value + "/binarizer"
	logScale := g.AddStored(ir.Parameter, name+"/log_scale", tensor.New(tensor.Float32, 1))
	logit := g.AddStored(ir.Parameter, name+"/logit_threshold", tensor.New(tensor.Float32, k))
	x := &layer{Layer: l, logScale: logScale}

	u := p.B.Op(op.BinarizeActivation{Off: !c.activations}, name+"/activation", n.In[0], logScale, logit)
	w := p.B.Multi(c.weightOp(), name+"/weight", 2, n.In[1])
	if err := p.B.Err(); err != nil {
		return err
	}
	sum := p.B.Op(n.Op, n.Name, u, w[0])
	f := p.B.Op(op.BinaryScale{NoScale: !c.activations}, name+"/factors", w[1], logScale)
	z := p.B.Op(op.Mul{}, name+"/scale", sum, f)
	if b := n.Input(2); b != nil {
		z = p.B.Op(op.Add{}, name+"/bias", z, p.B.Op(op.Unsqueeze{}, name+"/bias_shape", b, p.B.ConstInts(name+"/axes", 1, 2)))
	}
	if err := p.B.Err(); err != nil {
		return err
	}
	g.Rename(sum, g.UniqueName(name+"/sum"))
	x.activation, x.weight, x.factors = u.Def, w[0].Def, f.Def
	p.Replace(y, z)
	if g.Value(l.Value) != z {
		g.Rename(y, g.UniqueName(l.Value+"/replaced"))
		g.Rename(z, l.Value)
	}
	p.Note("%s: %s: %s", l.Node, c.setup.Mode, l.Why)
	c.layers = append(c.layers, x)
	return nil
}
