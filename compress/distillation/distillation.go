// Package distillation adds a loss that pulls the compressed model to the float
// model it came from, the teacher (Hinton et al. 2015,
// https://arxiv.org/abs/1503.02531).
//
// The teacher's nodes stand in the graph of the training step, behind those of
// the model, on the same input: a step costs one inference pass more, and the
// teacher's values take memory only while that pass needs them, since no gradient
// does. The teacher has the weights of the beginning and normalizes with their
// statistics. It is stacked with other algorithms and changes no node of the model.
package distillation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// Name is the algorithm's name in configurations.
const Name = "knowledge_distillation"

// Types of losses.
const (
	softmax     = "softmax"
	mse         = "mse"
	relativeMSE = "relative_mse"
)

// Options is the knowledge_distillation section of a configuration. With s and t
// the scores of model and teacher, C classes, and means over samples:
//
//	softmax        Scale·T²·mean(-Σ softmax(t/T)·log softmax(s/T))   for outputs [N C]
//	mse            Scale·mean((s-t)²)                               for all outputs of rank 2 and more
//	relative_mse   Scale·mean(Σ(s-t)²/Σt²)                          the same
//
// If the model ends with a softmax, scores are what goes into it; of relative_mse
// they are outputs as they come. That type gives outputs of any size the same
// weight, as detectors have them.
type Options struct {
	Algorithm string `json:"algorithm,omitempty"` // "knowledge_distillation" or empty
	// Type is softmax, mse or relative_mse; one must be given.
	Type string `json:"type"`
	// Scale is the loss's factor, default 1.
	Scale *float64 `json:"scale,omitempty"`
	// Temperature T of softmax, default 1.
	Temperature *float64 `json:"temperature,omitempty"`
	// Layers are operators, as in scopes, whose results are compared too, each by
	// mse, or relative_mse if that is the type, with LayerScale instead of Scale.
	Layers     compress.Entries `json:"layers,omitempty"`
	LayerScale *float64         `json:"layer_scale,omitempty"`
}

// Validate reports all problems.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Algorithm != "" && o.Algorithm != Name {
		bad("algorithm: got %q, want %s", o.Algorithm, Name)
	}
	switch o.Type {
	case softmax:
	case mse, relativeMSE:
		if o.Temperature != nil {
			bad("temperature: type %s has none; remove it, or choose softmax", o.Type)
		}
	default:
		bad("type: got %q, want %s, %s or %s", o.Type, softmax, mse, relativeMSE)
	}
	for _, f := range []struct {
		key string
		v   *float64
	}{{"scale", o.Scale}, {"layer_scale", o.LayerScale}} {
		if f.v != nil && !(*f.v >= 0 && !math.IsInf(*f.v, 0)) {
			bad("%s: got %g, want 0 or more", f.key, *f.v)
		}
	}
	if t := o.Temperature; t != nil && !(*t > 0 && !math.IsInf(*t, 0)) {
		bad("temperature: got %g, want more than 0", *t)
	}
	return errors.Join(errs...)
}

type algorithm struct{ o Options }

// New returns knowledge distillation.
func New(o Options) compress.Algorithm { return algorithm{o} }

// Name implements [compress.Algorithm].
func (algorithm) Name() string { return Name }

// Priority implements [compress.Algorithm]: first of all, since the teacher is
// the model as it came.
func (algorithm) Priority() compress.Priority { return compress.PriorityDefault }

// Setup implements [compress.Algorithm].
func (a algorithm) Setup(g *ir.Graph) (compress.Setup, error) {
	if err := a.o.Validate(); err != nil {
		return nil, err
	}
	s := &Setup{Type: a.o.Type, Scale: compress.ValueOr(a.o.Scale, 1), Temperature: compress.ValueOr(a.o.Temperature, 1), LayerScale: compress.ValueOr(a.o.LayerScale, 1)}
	if err := (compress.Scopes{Target: a.o.Layers}).Check(g); err != nil {
		return nil, fmt.Errorf("layers: %w", err)
	}
	for _, n := range g.Nodes() {
		if len(a.o.Layers) > 0 && compress.MatchAny(a.o.Layers, n) && n.Out[0] != nil && n.Out[0].Type.DType == tensor.Float32 {
			s.Layers = append(s.Layers, n.Out[0].Name)
		}
	}
	fits := false
	for _, v := range g.Outputs {
		fits = fits || s.fits(s.compared(v).Type)
	}
	if !fits && len(s.Layers) == 0 {
		return nil, fmt.Errorf("type %s: no output has scores to compare: want float32[N classes]", s.Type)
	}
	return s, nil
}

// Setup is what distillation compares.
type Setup struct {
	Type        string  `json:"type"`
	Scale       float64 `json:"scale"`
	Temperature float64 `json:"temperature"`
	// Layers are the names of results.
	Layers     []string `json:"layers,omitempty"`
	LayerScale float64  `json:"layer_scale,omitempty"`
}

// Algorithm implements [compress.Setup].
func (*Setup) Algorithm() string { return Name }

// Restore decodes a setup that was marshalled.
func Restore(raw json.RawMessage) (compress.Setup, error) {
	s := &Setup{}
	if err := compress.DecodeStrict(raw, s); err != nil {
		return nil, fmt.Errorf("%s setup: %w", Name, err)
	}
	if !slices.Contains([]string{softmax, mse, relativeMSE}, s.Type) || !(s.Temperature > 0) {
		return nil, fmt.Errorf("%s setup: got type %q and temperature %g", Name, s.Type, s.Temperature)
	}
	return s, nil
}

// fits reports whether an output of the type takes part.
func (s *Setup) fits(t ir.Type) bool {
	if t.DType != tensor.Float32 || t.Rank() < 2 {
		return false
	}
	return s.Type != softmax || t.IsScores()
}

// compared returns what of an output is compared.
func (s *Setup) compared(v *ir.Value) *ir.Value {
	if s.Type == relativeMSE {
		return v
	}
	return op.Scores(v)
}

// Apply implements [compress.Setup]: it keeps a copy of the model as teacher.
func (s *Setup) Apply(g *ir.Graph, _ *rewrite.Trace) (compress.Controller, error) {
	for _, name := range s.Layers {
		if g.Value(name) == nil {
			return nil, fmt.Errorf("layers: the graph has no value %q", name)
		}
	}
	t := g.Clone()
	for i, v := range t.Outputs {
		t.Outputs[i] = s.compared(v)
	}
	for _, name := range s.Layers {
		t.Outputs = append(t.Outputs, t.Value(name))
	}
	t.Prune()
	for _, v := range t.Stored() {
		v.Data = v.Data.Clone()
	}
	return &Controller{setup: s, teacher: t}, nil
}

// Controller adds the loss.
type Controller struct {
	setup   *Setup
	teacher *ir.Graph // outputs: those of the model, then the chosen layers
	// cut is what other algorithms have cut out of a value; nil if none does.
	cut func(value string) [][]bool
}

var (
	_ compress.Controller = (*Controller)(nil)
	_ compress.CutReader  = (*Controller)(nil)
)

// ReadCuts implements [compress.CutReader].
func (c *Controller) ReadCuts(cut func(value string) [][]bool) { c.cut = cut }

// Algorithm implements [compress.Controller].
func (*Controller) Algorithm() string { return Name }

// Stageless tells that distillation compresses nothing.
func (*Controller) Stageless() {}

// Initialize implements [compress.Controller].
func (*Controller) Initialize(context.Context, compress.Runner, compress.Calibration) error {
	return nil
}

// EpochStep implements [compress.Controller].
func (*Controller) EpochStep() {}

// Step implements [compress.Controller].
func (*Controller) Step() {}

// Loss implements [compress.Controller]. Layers that have lost channels are
// compared by those they have left.
func (c *Controller) Loss(b *ir.Builder) (*ir.Value, error) {
	g := b.G
	outputs := len(g.Outputs)
	taught, err := c.teach(b)
	if err != nil {
		return nil, err
	}
	var total *ir.Value
	add := func(v *ir.Value) {
		if total == nil {
			total = v
			return
		}
		total = b.Op(op.Add{}, "distillation/sum", total, v)
	}
	for i, t := range taught {
		var s *ir.Value
		factor := c.setup.Scale
		kind := c.setup.Type
		if i < outputs {
			if s = c.setup.compared(g.Outputs[i]); !c.setup.fits(t.Type) {
				continue
			}
		} else {
			name := c.setup.Layers[i-outputs]
			if s = g.Value(name); s == nil {
				return nil, fmt.Errorf("layers: the compressed model has no value %q any more", name)
			}
			if factor = c.setup.LayerScale; kind == softmax {
				kind = mse
			}
			t = c.left(b, name, t)
		}
		if !s.Type.MustShape().Equal(t.Type.MustShape()) {
			return nil, fmt.Errorf("%q is %v in the compressed model and %v in the teacher", s.Name, s.Type, t.Type)
		}
		switch kind {
		case softmax:
			add(c.softmax(b, s, t))
		case mse:
			add(scaled(b, b.Op(op.ReduceMean{}, "distillation/mean", squares(b, b.Op(op.Sub{}, "distillation/difference", s, t))), factor))
		default:
			add(scaled(b, relative(b, s, t), factor))
		}
	}
	if total == nil && b.Err() == nil {
		return nil, nil
	}
	return total, b.Err()
}

// left returns the channels of a teacher's layer that the model has left.
func (c *Controller) left(b *ir.Builder, name string, t *ir.Value) *ir.Value {
	if c.cut == nil {
		return t
	}
	for a, gone := range c.cut(name) {
		if gone == nil {
			continue
		}
		kept := []int64{}
		for i, g := range gone {
			if !g {
				kept = append(kept, int64(i))
			}
		}
		t = b.Op(op.Gather{Axis: a}, "distillation/left", t, b.Const("distillation/channels", tensor.From(kept, len(kept))))
	}
	return t
}

func scaled(b *ir.Builder, v *ir.Value, k float64) *ir.Value {
	if k == 1 {
		return v
	}
	return b.Op(op.Mul{}, "distillation/scaled", v, b.ConstF32("distillation/scale", float32(k)))
}

func squares(b *ir.Builder, v *ir.Value) *ir.Value {
	return b.Op(op.Mul{}, "distillation/square", v, v)
}

// relative returns the mean over samples of the square of their relative errors.
func relative(b *ir.Builder, s, t *ir.Value) *ir.Value {
	s, t = b.Op(op.Flatten{Axis: 1}, "distillation/outputs", s), b.Op(op.Flatten{Axis: 1}, "distillation/target", t)
	mean := func(v *ir.Value) *ir.Value {
		return b.Op(op.ReduceMean{}, "distillation/sample", squares(b, v), b.ConstInts("distillation/axis", 1))
	}
	size := b.Op(op.Add{}, "distillation/size", mean(t), b.ConstF32("distillation/least", leastSize))
	return b.Op(op.ReduceMean{}, "distillation/mean", b.Op(op.Div{}, "distillation/relative", mean(b.Op(op.Sub{}, "distillation/difference", s, t)), size))
}

// leastSize keeps an output that is zero in a sample from having an infinite error.
const leastSize = 1e-12

func (c *Controller) softmax(b *ir.Builder, s, t *ir.Value) *ir.Value {
	shape := s.Type.MustShape()
	if len(shape) > 2 {
		s, t = b.Op(op.Flatten{Axis: 1}, "distillation/scores", s), b.Op(op.Flatten{Axis: 1}, "distillation/target", t)
	}
	k := c.setup.Temperature
	s, t = scaled(b, s, 1/k), scaled(b, t, 1/k)
	p := b.Op(op.Softmax{Axis: -1}, "distillation/p", t)
	log := b.Op(op.LogSoftmax{Axis: -1}, "distillation/log_q", s)
	mean := b.Op(op.ReduceMean{}, "distillation/mean", b.Op(op.Mul{}, "distillation/product", p, log))
	return scaled(b, mean, -c.setup.Scale*k*k*float64(shape[1]))
}

// teach puts the teacher into the graph of the step and returns its outputs.
// Its weights are constants there: engines prepare them once.
func (c *Controller) teach(b *ir.Builder) ([]*ir.Value, error) {
	g := b.G
	shapes := map[string][]int{}
	for _, v := range c.teacher.Inputs {
		in := g.Value(v.Name)
		if in == nil || in.Kind != ir.Input {
			return nil, fmt.Errorf("the training graph has no input %q", v.Name)
		}
		shapes[v.Name] = in.Type.MustShape()
	}
	t, err := c.teacher.Specialize(shapes)
	if err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	of := make([]*ir.Value, t.NumValues())
	for _, v := range t.Inputs {
		of[v.ID] = g.Value(v.Name)
	}
	for _, v := range t.Stored() {
		of[v.ID] = g.AddStored(ir.Constant, g.UniqueName("teacher/"+v.Name), v.Data)
	}
	for _, n := range t.Nodes() {
		in := make([]*ir.Value, len(n.In))
		for i, v := range n.In {
			if v != nil {
				in[i] = of[v.ID]
			}
		}
		out := b.Multi(n.Op, "teacher/"+n.Name, len(n.Out), in...)
		if err := b.Err(); err != nil {
			return nil, fmt.Errorf("teacher: %w", err)
		}
		for i, v := range n.Out {
			if v != nil {
				of[v.ID] = out[i]
			}
		}
	}
	list := make([]*ir.Value, len(t.Outputs))
	for i, v := range t.Outputs {
		list[i] = of[v.ID]
	}
	return list, nil
}

// Statistics implements [compress.Controller]: there are none.
func (*Controller) Statistics() compress.Statistics { return compress.Statistics{} }

// Stage implements [compress.Controller].
func (*Controller) Stage() compress.Stage { return compress.FullyCompressed }

// State implements [compress.Controller]: the teacher is the model that a
// checkpoint begins with.
func (*Controller) State() (json.RawMessage, error) { return json.RawMessage("{}"), nil }

// LoadState implements [compress.Controller].
func (*Controller) LoadState(json.RawMessage) error { return nil }

// Strip implements [compress.Controller].
func (*Controller) Strip(*ir.Graph, *rewrite.Trace) error { return nil }
