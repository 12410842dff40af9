package sparsity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// RB is the name of the algorithm in configurations.
const RB = "rb_sparsity"

// RBOptions is the rb_sparsity section of a configuration. The zero value rises
// exponentially to 50 % within 90 epochs.
type RBOptions struct {
	Algorithm   string      `json:"algorithm,omitempty"` // "rb_sparsity" or empty
	Init        *float64    `json:"sparsity_init,omitempty"`
	Params      RBParams    `json:"params,omitzero"`
	Initializer Initializer `json:"initializer,omitzero"`
	// LRMultiplier is a factor on the learning rate of the scores, default 1.
	LRMultiplier *float64 `json:"compression_lr_multiplier,omitempty"`

	compress.Scopes

	// Seed chooses the noise of the masks.
	Seed uint64 `json:"-"`
}

// RBParams are the parameters of RB sparsity.
type RBParams struct {
	Params
	// MaskLR is the learning rate of the scores, which Adam trains whatever trains
	// the weights, and no schedule changes; default [DefaultMaskLR].
	MaskLR float64 `json:"mask_lr,omitempty"`
	// CheckMasks compares the masks of the processes of distributed training, of
	// which there is one here.
	CheckMasks bool `json:"check_sparsity_masks,omitempty"`
}

// DefaultMaskLR moves a score from where it starts across zero within about 60
// steps. The original trains scores with the weights' rate, which in short runs
// never gets them there.
const DefaultMaskLR = 0.1

const (
	rbFirst = 4.59512 // score before training: the logit of 0.99
	rbP     = 0.05    // of the loss, see op.RBLoss
)

// plan freezes masks when training has had time at the target, unless told when:
// drawn masks cost the weights several points of accuracy, which they regain in an
// epoch of fixed ones. The original waits until epoch 100, which with its schedule
// of 90 epochs is the same.
func (o RBOptions) plan() Plan {
	l := o.Params.plan("exponential", o.Init, 0.5)
	if o.Params.FreezeEpoch != nil || l.Kind == "adaptive" {
		return l
	}
	end := l.Epochs
	if l.Kind == "multistep" {
		end = 0
		if n := len(l.Steps); n > 0 {
			end = l.Steps[n-1]
		}
	}
	l.Freeze, l.FreezeReached = end+max(1, end/9), true
	return l
}

// Validate reports all problems.
func (o RBOptions) Validate() error {
	errs := []error{o.Params.validate(o.plan()), o.Initializer.BatchNorm.Validate()}
	if o.Algorithm != "" && o.Algorithm != RB {
		errs = append(errs, fmt.Errorf("algorithm: got %q, want %s", o.Algorithm, RB))
	}
	if !(o.Params.MaskLR >= 0) || math.IsInf(o.Params.MaskLR, 0) {
		errs = append(errs, fmt.Errorf("mask_lr: got %g, want more than 0", o.Params.MaskLR))
	}
	return errors.Join(append(errs, checkMultiplier(o.LRMultiplier))...)
}

func checkMultiplier(m *float64) error {
	if m != nil && (!(*m > 0) || math.IsInf(*m, 0)) {
		return fmt.Errorf("compression_lr_multiplier: got %g, want more than 0", *m)
	}
	return nil
}

type rb struct{ o RBOptions }

// NewRB returns RB sparsity.
func NewRB(o RBOptions) compress.Algorithm { return rb{o} }

// Name implements [compress.Algorithm].
func (rb) Name() string { return RB }

// Priority implements [compress.Algorithm].
func (rb) Priority() compress.Priority { return compress.PrioritySparsity }

// Setup implements [compress.Algorithm].
func (a rb) Setup(g *ir.Graph) (compress.Setup, error) {
	if err := a.o.Validate(); err != nil {
		return nil, err
	}
	layers, err := findLayers(g, a.o.Scopes)
	if err != nil {
		return nil, err
	}
	s := &RBSetup{Plan: a.o.plan(), Local: a.o.Params.Mode == "local", Seed: a.o.Seed, MaskLR: a.o.Params.MaskLR, BatchNorm: a.o.Initializer.BatchNorm, Layers: layers}
	if s.MaskLR == 0 {
		s.MaskLR = DefaultMaskLR
	}
	s.MaskLR *= compress.ValueOr(a.o.LRMultiplier, 1)
	return s, nil
}

// RBSetup is what RB sparsity does to one graph.
type RBSetup struct {
	Plan      Plan                         `json:"plan"`
	Local     bool                         `json:"local,omitempty"`
	Seed      uint64                       `json:"seed"`
	MaskLR    float64                      `json:"mask_lr"`
	BatchNorm compress.BatchNormAdaptation `json:"batch_norm,omitzero"`
	Layers    []*Layer                     `json:"layers"`
}

// Algorithm implements [compress.Setup].
func (*RBSetup) Algorithm() string { return RB }

// RestoreRB decodes a setup that was marshalled.
func RestoreRB(raw json.RawMessage) (compress.Setup, error) {
	s := &RBSetup{}
	if err := compress.DecodeStrict(raw, s); err != nil {
		return nil, fmt.Errorf("%s setup: %w", RB, err)
	}
	if err := errors.Join(s.Plan.Validate(), checkLayers(s.Layers)); err != nil {
		return nil, fmt.Errorf("%s setup: %w", RB, err)
	}
	if len(s.Layers) == 0 || !(s.MaskLR > 0) {
		return nil, fmt.Errorf("%s setup: got %d layers and mask_lr %g", RB, len(s.Layers), s.MaskLR)
	}
	return s, nil
}

// Apply implements [compress.Setup]. The scores of weight W are the parameter
// W/score, the masked weight W/masked; the state rb_sparsity/step counts steps,
// for the noise, and is -1 once masks are frozen.
func (s *RBSetup) Apply(g *ir.Graph, t *rewrite.Trace) (compress.Controller, error) {
	step := g.AddStored(ir.State, g.UniqueName(RB+"/step"), tensor.Scalar(int64(0)))
	seed := s.Seed
	list, err := insertAll(g, RB, s.Layers, t, func(p *rewrite.Patch, l *Layer, w *ir.Value) *ir.Value {
		scores := tensor.New(tensor.Float32, w.Type.MustShape()...)
		for i := range scores.F32() {
			scores.F32()[i] = rbFirst
		}
		v := g.AddStored(ir.Parameter, g.UniqueName(l.Weight+"/score"), scores)
		seed = seed*0x9e3779b97f4a7c15 + 1 // a stream for each layer
		return p.B.Op(op.RBMask{Seed: int(seed)}, l.Weight+"/masked", w, v, step)
	})
	if err != nil {
		return nil, err
	}
	c := &RBController{setup: s, base: newBase(g, list), leveler: newLeveler(s.Plan), step: step.Data}
	n := 1
	if s.Local {
		n = len(list)
	}
	c.target = tensor.New(tensor.Float32, n)
	c.aim()
	return c, nil
}

// RBController is the handle to the masks of RB sparsity.
type RBController struct {
	base
	setup *RBSetup
	leveler
	step        *tensor.Tensor // int64
	target      *tensor.Tensor // density that the loss pulls to
	initialized bool
}

var (
	_ compress.Leveled        = (*RBController)(nil)
	_ compress.StepCounter    = (*RBController)(nil)
	_ compress.TrainingFormer = (*RBController)(nil)
	_ compress.ParameterRuler = (*RBController)(nil)
)

// Algorithm implements [compress.Controller].
func (*RBController) Algorithm() string { return RB }

// aim brings what the loss and the masks read in line with the schedule.
func (c *RBController) aim() {
	for i := range c.target.F32() {
		c.target.F32()[i] = float32(1 - c.leveler.Level)
	}
	if c.Frozen {
		c.step.I64()[0] = -1
	}
}

// leave gives weights that other algorithms take out of the model the score -Inf,
// which [op.RBLoss] does not count; those that come back begin anew.
func (c *RBController) leave() {
	if c.removed == nil {
		return
	}
	for _, m := range c.layers {
		s := m.scores()
		at, whole := c.elements(m.Weight, m.node.Out[0].Type.MustShape())
		if whole {
			for i, x := range s {
				if math.IsInf(float64(x), -1) {
					s[i] = rbFirst
				}
			}
			continue
		}
		for i := range s {
			switch stays := len(at) > 0 && at[0] == i; {
			case stays && math.IsInf(float64(s[i]), -1):
				s[i] = rbFirst
				at = at[1:]
			case stays:
				at = at[1:]
			default:
				s[i] = float32(math.Inf(-1))
			}
		}
	}
}

// Initialize adapts batch normalization, though the model is dense at first, if
// the configuration says how.
func (c *RBController) Initialize(ctx context.Context, r compress.Runner, cal compress.Calibration) error {
	if c.initialized {
		return nil
	}
	c.leave()
	if b := c.setup.BatchNorm; b.Samples != nil || b.Steps != nil {
		if err := b.Run(ctx, r, c.after, cal); err != nil {
			return err
		}
	}
	c.initialized = true
	return nil
}

// EpochStep implements [compress.Controller].
func (c *RBController) EpochStep() {
	c.leave()
	c.epoch(c.Reached())
	c.aim()
}

// Step implements [compress.Controller]: new noise.
func (c *RBController) Step() {
	c.leveler.step()
	if !c.Frozen {
		c.step.I64()[0]++
	}
	c.aim()
}

// SetStepsPerEpoch implements [compress.StepCounter].
func (c *RBController) SetStepsPerEpoch(n int) { c.stepsPerEpoch(n) }

// Level implements [compress.Leveled].
func (c *RBController) Level() float64 { return c.leveler.Level }

// Target implements [compress.Leveled].
func (c *RBController) Target() float64 { return c.plan.Final }

// SetLevel implements [compress.Leveled]: it changes the target of the loss;
// training brings the masks there.
func (c *RBController) SetLevel(level float64) error {
	if err := c.set(level); err != nil {
		return err
	}
	c.aim()
	return nil
}

// Freeze fixes the masks: no more noise, no loss, and scores that do not move.
func (c *RBController) Freeze() {
	c.Frozen = true
	c.aim()
}

// TrainingForm implements [compress.TrainingFormer]: masks are drawn.
func (c *RBController) TrainingForm(g *ir.Graph) error {
	p := rewrite.New(g, RB+"-training", nil)
	for _, m := range c.layers {
		v := g.Value(m.node.Out[0].Name)
		if v == nil || v.Def == nil {
			return fmt.Errorf("the graph has no mask %q", m.node.Out[0].Name)
		}
		o, ok := v.Def.Op.(op.RBMask)
		if !ok {
			return fmt.Errorf("%q is computed by %s, want RBMask", v.Name, v.Def.Op.Kind())
		}
		o.Training = true
		p.SetOp(v.Def, o)
	}
	return p.Commit()
}

// ParameterRule implements [compress.ParameterRuler]: scores have a learning rate
// and an optimizer of their own, and neither they nor the weights under masks
// decay: decay would pull a score to ½.
func (c *RBController) ParameterRule(name string) compress.ParameterRule {
	for _, m := range c.layers {
		switch name {
		case m.node.In[1].Name:
			return compress.ParameterRule{NoDecay: true, Optimizer: "adam", LR: c.setup.MaskLR, Frozen: c.Frozen}
		case m.Weight:
			return compress.ParameterRule{NoDecay: true}
		}
	}
	return compress.ParameterRule{}
}

// Loss implements [compress.Controller]; see [op.RBLoss].
func (c *RBController) Loss(b *ir.Builder) (*ir.Value, error) {
	in := []*ir.Value{b.G.AddStored(ir.State, b.G.UniqueName(RB+"/target"), c.target), nil}
	for _, m := range c.layers {
		for k, v := range m.node.In[1:] {
			w := b.G.Value(v.Name)
			if w == nil {
				return nil, fmt.Errorf("the graph has no %q", v.Name)
			}
			if k == 0 {
				in = append(in, w)
			} else {
				in[1] = w
			}
		}
	}
	return b.Op(op.RBLoss{P: rbP, Local: c.setup.Local}, RB+"/loss", in...), b.Err()
}

func (m *masked) scores() []float32 { return m.node.In[1].Data.F32() }

// Reached returns the share of weights that are more likely dropped than kept.
func (c *RBController) Reached() float64 { return zeroShare(c.Report()) }

// Report lists the layers.
func (c *RBController) Report() []LayerReport {
	list := make([]LayerReport, len(c.layers))
	for i, m := range c.layers {
		s := m.scores()
		list[i] = m.describe(c.count(m, func(i int) bool { return !(s[i] > 0) }))
	}
	return list
}

// reachedTolerance is how far below the target the reached level may stay for the
// model to count as fully compressed.
const reachedTolerance = 0.01

// Stage implements [compress.Controller]. What counts is the level that the
// masks have reached, not the one that the loss asks for.
func (c *RBController) Stage() compress.Stage {
	reached := c.Reached()
	if reached >= c.plan.Final-reachedTolerance {
		reached = c.plan.Final
	}
	return stage(min(c.leveler.Level, reached), c.plan.Final)
}

// Statistics implements [compress.Controller].
func (c *RBController) Statistics() compress.Statistics {
	s := c.statistics(c.Report(), c.leveler.Level)
	sum, n := 0.0, 0
	for _, m := range c.layers {
		for _, v := range m.scores() {
			if math.IsInf(float64(v), -1) {
				continue
			}
			sum += 1 / (1 + math.Exp(float64(v)))
			n++
		}
	}
	s.Numbers = append(s.Numbers, compress.Number{Name: "mean probability that a weight is zero", Value: 100 * sum / float64(max(1, n)), Unit: "%"})
	return s
}

type rbState struct {
	Initialized bool            `json:"initialized"`
	Schedule    json.RawMessage `json:"schedule"`
}

// State implements [compress.Controller].
func (c *RBController) State() (json.RawMessage, error) {
	raw, err := json.Marshal(&c.leveler)
	if err != nil {
		return nil, err
	}
	return json.Marshal(rbState{c.initialized, raw})
}

// LoadState implements [compress.Controller].
func (c *RBController) LoadState(raw json.RawMessage) error {
	var s rbState
	if err := compress.DecodeStrict(raw, &s); err != nil {
		return fmt.Errorf("%s state: %w", RB, err)
	}
	if err := c.load(s.Schedule); err != nil {
		return fmt.Errorf("%s state: %w", RB, err)
	}
	c.initialized = s.Initialized
	c.leave()
	c.aim()
	return nil
}

// Strip implements [compress.Controller].
func (c *RBController) Strip(g *ir.Graph, t *rewrite.Trace) error { return strip(g, RB, t, c.layers) }
