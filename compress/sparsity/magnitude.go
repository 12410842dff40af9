package sparsity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/rewrite"
)

// Magnitude is the name of the algorithm in configurations.
const Magnitude = "magnitude_sparsity"

// MagnitudeOptions is the magnitude_sparsity section of a configuration. The
// zero value rises to 50 % within 90 epochs.
type MagnitudeOptions struct {
	Algorithm   string          `json:"algorithm,omitempty"` // "magnitude_sparsity" or empty
	Init        *float64        `json:"sparsity_init,omitempty"`
	Params      MagnitudeParams `json:"params,omitzero"`
	Initializer Initializer     `json:"initializer,omitzero"`

	compress.Scopes

	// ScopeOverrides give some layers a target or a pattern of their own; of several
	// that match, the last counts.
	ScopeOverrides Overrides `json:"scope_overrides,omitempty"`
}

// MagnitudeParams are the parameters of magnitude sparsity.
type MagnitudeParams struct {
	Params
	Importance Importance `json:"weight_importance,omitempty"`
	// Pattern restricts where zeros may be, in every layer.
	Pattern string `json:"pattern,omitempty"`
	// MaskUpdateSteps also decides masks anew every so many optimizer steps; 0 does
	// so when the level is set: at each epoch, or each step if the level rises by step.
	MaskUpdateSteps int `json:"mask_update_steps,omitempty"`
	// Straight passes the gradient of masked weights through, so that they can grow
	// and come back (dynamic network surgery; Guo et al., 2016); default true. The
	// original masks the gradient too.
	Straight *bool `json:"straight_through,omitempty"`
}

// Initializer is what is done with data before training.
type Initializer struct {
	BatchNorm compress.BatchNormAdaptation `json:"batchnorm_adaptation,omitzero"`
}

// Override changes the options of the layers of one scope.
type Override struct {
	Scope   string   `json:"-"`
	Target  *float64 `json:"sparsity_target,omitempty"`
	Pattern *string  `json:"pattern,omitempty"`
}

// Overrides keep the order of the configuration. In JSON they are an object from
// scopes to overrides.
type Overrides []Override

// UnmarshalJSON implements json.Unmarshaler.
func (o *Overrides) UnmarshalJSON(b []byte) error {
	*o = nil
	err := compress.EachKey(b, func(key string, raw json.RawMessage) error {
		v := Override{}
		if err := compress.DecodeStrict(raw, &v); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
		v.Scope = key
		*o = append(*o, v)
		return nil
	})
	if err != nil {
		return fmt.Errorf("scope_overrides: %w", err)
	}
	return nil
}

func (o MagnitudeOptions) plan() (Plan, error) {
	pattern, err := ParsePattern(o.Params.Pattern)
	target := 0.5
	if pattern.Of > 0 {
		target = pattern.Level()
	}
	return o.Params.plan("polynomial", o.Init, target), err
}

// Validate reports all problems.
func (o MagnitudeOptions) Validate() error {
	plan, err := o.plan()
	errs := []error{err, o.Params.validate(plan), o.Params.Importance.Validate(), o.Initializer.BatchNorm.Validate()}
	if o.Algorithm != "" && o.Algorithm != Magnitude {
		errs = append(errs, fmt.Errorf("algorithm: got %q, want %s", o.Algorithm, Magnitude))
	}
	if o.Params.MaskUpdateSteps < 0 {
		errs = append(errs, fmt.Errorf("mask_update_steps: got %d, want 0 or more", o.Params.MaskUpdateSteps))
	}
	if p, _ := ParsePattern(o.Params.Pattern); p.Of > 0 && plan.Final > p.Level() {
		errs = append(errs, fmt.Errorf("sparsity_target: got %g, pattern %s has at most %g", plan.Final, p, p.Level()))
	}
	for _, v := range o.ScopeOverrides {
		if v.Target != nil && !(*v.Target >= 0 && *v.Target < 1) {
			errs = append(errs, fmt.Errorf("scope_overrides: %q: sparsity_target: got %g, want 0 to below 1", v.Scope, *v.Target))
		}
		if _, err := ParsePattern(compress.ValueOr(v.Pattern, "")); err != nil {
			errs = append(errs, fmt.Errorf("scope_overrides: %q: %w", v.Scope, err))
		}
	}
	return errors.Join(errs...)
}

type magnitude struct{ o MagnitudeOptions }

// NewMagnitude returns magnitude sparsity.
func NewMagnitude(o MagnitudeOptions) compress.Algorithm { return magnitude{o} }

// Name implements [compress.Algorithm].
func (magnitude) Name() string { return Magnitude }

// Priority implements [compress.Algorithm].
func (magnitude) Priority() compress.Priority { return compress.PrioritySparsity }

// Setup implements [compress.Algorithm].
func (a magnitude) Setup(g *ir.Graph) (compress.Setup, error) {
	if err := a.o.Validate(); err != nil {
		return nil, err
	}
	plan, err := a.o.plan()
	if err != nil {
		return nil, err
	}
	layers, err := findLayers(g, a.o.Scopes)
	if err != nil {
		return nil, err
	}
	pattern, err := ParsePattern(a.o.Params.Pattern)
	if err != nil {
		return nil, err
	}
	for _, l := range layers {
		l.Pattern = pattern
	}
	var errs []error
	for _, v := range a.o.ScopeOverrides {
		if err := (compress.Scopes{Target: compress.Entries{v.Scope}}).Check(g); err != nil {
			errs = append(errs, fmt.Errorf("scope_overrides: %w", err))
			continue
		}
		for _, l := range layers {
			if !l.within(g, v.Scope) {
				continue
			}
			if v.Target != nil {
				l.Target = v.Target
			}
			if v.Pattern != nil {
				l.Pattern, _ = ParsePattern(*v.Pattern)
			}
		}
	}
	return &MagnitudeSetup{Plan: plan, Importance: a.o.Params.Importance, Local: a.o.Params.Mode == "local", Every: a.o.Params.MaskUpdateSteps, Straight: compress.ValueOr(a.o.Params.Straight, true),
		BatchNorm: a.o.Initializer.BatchNorm, Layers: layers}, errors.Join(errs...)
}

// within reports whether an operator that reads the weight matches a scope.
func (l *Layer) within(g *ir.Graph, scope string) bool {
	for _, u := range l.Consumers {
		if v := g.Value(u.Node); v != nil && v.Def != nil && compress.Match(scope, v.Def) {
			return true
		}
	}
	return false
}

// MagnitudeSetup is what magnitude sparsity does to one graph.
type MagnitudeSetup struct {
	Plan       Plan                         `json:"plan"`
	Importance Importance                   `json:"importance,omitempty"`
	Local      bool                         `json:"local,omitempty"`
	Every      int                          `json:"mask_update_steps,omitempty"`
	Straight   bool                         `json:"straight_through,omitempty"`
	BatchNorm  compress.BatchNormAdaptation `json:"batch_norm,omitzero"`
	Layers     []*Layer                     `json:"layers"`
}

// Algorithm implements [compress.Setup].
func (*MagnitudeSetup) Algorithm() string { return Magnitude }

// RestoreMagnitude decodes a setup that was marshalled.
func RestoreMagnitude(raw json.RawMessage) (compress.Setup, error) {
	s := &MagnitudeSetup{}
	if err := compress.DecodeStrict(raw, s); err != nil {
		return nil, fmt.Errorf("%s setup: %w", Magnitude, err)
	}
	if err := errors.Join(s.Plan.Validate(), s.Importance.Validate(), checkLayers(s.Layers)); err != nil {
		return nil, fmt.Errorf("%s setup: %w", Magnitude, err)
	}
	return s, nil
}

// Apply implements [compress.Setup]. The mask of weight W is the state W/mask,
// the masked weight W/masked. Masks are at the schedule's first level at once.
func (s *MagnitudeSetup) Apply(g *ir.Graph, t *rewrite.Trace) (compress.Controller, error) {
	list, err := insertAll(g, Magnitude, s.Layers, t, newMask(s.Straight))
	if err != nil {
		return nil, err
	}
	c := &MagnitudeController{setup: s, base: newBase(g, list), leveler: newLeveler(s.Plan), pinned: map[string]float64{}}
	c.decide()
	return c, nil
}

// MagnitudeController is the handle to the masks of magnitude sparsity.
type MagnitudeController struct {
	base
	setup *MagnitudeSetup
	leveler
	pinned      map[string]float64 // levels set by hand, by weight
	thresholds  map[string]float32
	initialized bool
}

var (
	_ compress.Leveled     = (*MagnitudeController)(nil)
	_ compress.StepCounter = (*MagnitudeController)(nil)
)

// Algorithm implements [compress.Controller].
func (*MagnitudeController) Algorithm() string { return Magnitude }

// decide writes the masks for the present level and weights.
func (c *MagnitudeController) decide() {
	s := selection{c.setup.Importance, c.setup.Local}
	c.thresholds = s.run(c.left(), c.leveler.Level, c.own)
}

// own returns the level of a layer that has one: set by hand, or on the way to
// its own target, as far as the others are on the way to theirs.
func (c *MagnitudeController) own(m *masked) (float64, bool) {
	if l, ok := c.pinned[m.Weight]; ok {
		return l, true
	}
	if m.Target == nil {
		return 0, false
	}
	if c.plan.Final == 0 {
		return *m.Target, true
	}
	return *m.Target * min(1, c.leveler.Level/c.plan.Final), true
}

// Initialize adapts batch normalization to the sparse model.
func (c *MagnitudeController) Initialize(ctx context.Context, r compress.Runner, cal compress.Calibration) error {
	if c.initialized {
		return nil
	}
	c.decide() // pruning may have removed channels since Apply
	if c.Reached() > 0 {
		if err := c.setup.BatchNorm.Run(ctx, r, c.after, cal); err != nil {
			return err
		}
	}
	c.initialized = true
	return nil
}

// EpochStep implements [compress.Controller].
func (c *MagnitudeController) EpochStep() {
	if c.epoch(c.Reached()) {
		c.decide()
	}
}

// Step implements [compress.Controller].
func (c *MagnitudeController) Step() {
	changed := c.step()
	if c.Frozen {
		return
	}
	if every := c.setup.Every; changed || every > 0 && (c.Clock.Steps-1)%every == 0 {
		c.decide()
	}
}

// SetStepsPerEpoch implements [compress.StepCounter].
func (c *MagnitudeController) SetStepsPerEpoch(n int) { c.stepsPerEpoch(n) }

// Level implements [compress.Leveled].
func (c *MagnitudeController) Level() float64 { return c.leveler.Level }

// Target implements [compress.Leveled].
func (c *MagnitudeController) Target() float64 { return c.plan.Final }

// SetLevel implements [compress.Leveled]: the level of all layers that have none
// of their own. Masks that are frozen are decided once more.
func (c *MagnitudeController) SetLevel(level float64) error {
	if err := c.set(level); err != nil {
		return err
	}
	c.decide()
	return nil
}

// SetSparsityLevel sets the level of the layers in a scope (see
// [compress.Scopes]) by hand, whatever the schedule does. An empty scope is
// [MagnitudeController.SetLevel].
func (c *MagnitudeController) SetSparsityLevel(level float64, scope string) error {
	if scope == "" {
		return c.SetLevel(level)
	}
	if !(level >= 0 && level < 1) {
		return fmt.Errorf("sparsity level: got %g, want 0 to below 1", level)
	}
	hit := false
	for _, m := range c.layers {
		if m.within(c.after, scope) {
			c.pinned[m.Weight], hit = level, true
		}
	}
	if !hit {
		return fmt.Errorf("scope %q has no sparse layer", scope)
	}
	c.decide()
	return nil
}

// Freeze keeps the masks as they are from now on.
func (c *MagnitudeController) Freeze() { c.Frozen = true }

// Stage implements [compress.Controller].
func (c *MagnitudeController) Stage() compress.Stage { return stage(c.leveler.Level, c.plan.Final) }

func stage(level, target float64) compress.Stage {
	switch {
	case level >= target: // a target of 0 leaves what scope_overrides ask for
		return compress.FullyCompressed
	case level == 0:
		return compress.Uncompressed
	}
	return compress.PartiallyCompressed
}

type magnitudeState struct {
	Initialized bool               `json:"initialized"`
	Schedule    *leveler           `json:"schedule"`
	Pinned      map[string]float64 `json:"pinned,omitempty"`
	Thresholds  map[string]float32 `json:"thresholds,omitempty"` // for reports
}

// State implements [compress.Controller].
func (c *MagnitudeController) State() (json.RawMessage, error) {
	return json.Marshal(magnitudeState{c.initialized, &c.leveler, c.pinned, c.thresholds})
}

// LoadState implements [compress.Controller].
func (c *MagnitudeController) LoadState(raw json.RawMessage) error {
	var s struct {
		Initialized bool               `json:"initialized"`
		Schedule    json.RawMessage    `json:"schedule"`
		Pinned      map[string]float64 `json:"pinned"`
		Thresholds  map[string]float32 `json:"thresholds"`
	}
	if err := compress.DecodeStrict(raw, &s); err != nil {
		return fmt.Errorf("%s state: %w", Magnitude, err)
	}
	for k, v := range s.Pinned {
		if !(v >= 0 && v < 1) {
			return fmt.Errorf("%s state: got level %g of %q", Magnitude, v, k)
		}
	}
	if err := c.load(s.Schedule); err != nil {
		return fmt.Errorf("%s state: %w", Magnitude, err)
	}
	c.initialized, c.thresholds = s.Initialized, s.Thresholds
	clear(c.pinned)
	maps.Copy(c.pinned, s.Pinned)
	return nil
}

// Strip implements [compress.Controller].
func (c *MagnitudeController) Strip(g *ir.Graph, t *rewrite.Trace) error {
	return strip(g, Magnitude, t, c.layers)
}
