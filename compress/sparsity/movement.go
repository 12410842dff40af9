package sparsity

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"encoding/json"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// Movement is the name of the algorithm in configurations.
const Movement = "movement_sparsity"

// MovementOptions is the movement_sparsity section of a configuration. Scores of
// blocks of weights are trained in three phases: before the warm-up nothing is
// masked; during it a threshold on the scores rises from what masks almost nothing
// to its final value, and a regularization of the scores from 0 to its final
// factor; from its end on masks are fixed, whole neurons and heads of attention
// are resolved, and the model is fine-tuned.
type MovementOptions struct {
	Algorithm string          `json:"algorithm,omitempty"` // "movement_sparsity" or empty
	Params    MovementParams  `json:"params,omitzero"`
	Structure []StructureRule `json:"sparse_structure_by_scopes,omitempty"`
	// LRMultiplier is a factor on the learning rate of the scores, default 1.
	LRMultiplier *float64 `json:"compression_lr_multiplier,omitempty"`

	compress.Scopes
}

// MovementParams are the parameters of movement sparsity.
type MovementParams struct {
	// WarmupStart and WarmupEnd are the epochs of the warm-up; both must be given.
	WarmupStart *int `json:"warmup_start_epoch,omitempty"`
	WarmupEnd   *int `json:"warmup_end_epoch,omitempty"`
	// Regularization is the final factor λ of the loss λ·Σ over layers mean σ(score);
	// it must be given: larger is sparser.
	Regularization *float64 `json:"importance_regularization_factor,omitempty"`
	// InitThreshold begins the warm-up; by default the score below which 0.1 % of all
	// scores lie then. FinalThreshold ends it, default 0.
	InitThreshold  *float64 `json:"init_importance_threshold,omitempty"`
	FinalThreshold float64  `json:"final_importance_threshold,omitempty"`
	// Power of the curves between, 1-(1-p)^Power; default 3.
	Power *float64 `json:"power,omitempty"`
	// Structured resolves neurons and heads at the end of the warm-up: those of which
	// every masked weight is zero are kept zero, others come back whole. Default true.
	Structured *bool `json:"enable_structured_masking,omitempty"`
	// StepsPerEpoch is the number of optimizer steps of an epoch; known to runs.
	StepsPerEpoch int `json:"steps_per_epoch,omitempty"`
	// MaskLR is the learning rate of the scores, which Adam trains; default 0.01.
	MaskLR float64 `json:"mask_lr,omitempty"`
}

// StructureRule gives the layers of some scopes blocks.
type StructureRule struct {
	// Mode is fine, single weights (default), block or per_dim.
	Mode string `json:"mode"`
	// Factors are rows (output channels) and columns (input channels) of a block.
	Factors []int `json:"sparse_factors,omitempty"`
	// Axis of per_dim is 0 for whole output channels, 1 for whole input channels.
	Axis    *int             `json:"axis,omitempty"`
	Targets compress.Entries `json:"target_scopes,omitempty"`
}

func (r StructureRule) validate() error {
	switch {
	case r.Mode != "" && r.Mode != "fine" && r.Mode != "block" && r.Mode != "per_dim":
		return fmt.Errorf("mode: got %q, want fine, block or per_dim", r.Mode)
	case r.Mode == "block" && (len(r.Factors) != 2 || r.Factors[0] < 1 || r.Factors[1] < 1):
		return fmt.Errorf("sparse_factors: got %v, want rows and columns of a block, 1 or more", r.Factors)
	case r.Mode == "per_dim" && (r.Axis == nil || *r.Axis != 0 && *r.Axis != 1):
		return errors.New("axis: per_dim wants 0, output channels, or 1, input channels")
	case len(r.Targets) == 0:
		return errors.New("target_scopes: got none, want the operators that the rule is for")
	}
	return nil
}

// Validate reports all problems.
func (o MovementOptions) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	p := o.Params
	if o.Algorithm != "" && o.Algorithm != Movement {
		bad("algorithm: got %q, want %s", o.Algorithm, Movement)
	}
	switch {
	case p.WarmupStart == nil || p.WarmupEnd == nil:
		bad("params: warmup_start_epoch and warmup_end_epoch must be given")
	case *p.WarmupStart < 0 || *p.WarmupEnd <= *p.WarmupStart:
		bad("params: got a warm-up from epoch %d to %d, want a later end", *p.WarmupStart, *p.WarmupEnd)
	}
	switch {
	case p.Regularization == nil:
		bad("params: importance_regularization_factor must be given")
	case !(*p.Regularization >= 0) || math.IsInf(*p.Regularization, 0):
		bad("importance_regularization_factor: got %g, want 0 or more", *p.Regularization)
	}
	if p.InitThreshold != nil && *p.InitThreshold >= p.FinalThreshold {
		bad("init_importance_threshold: got %g, want less than the final one, %g", *p.InitThreshold, p.FinalThreshold)
	}
	if w := compress.ValueOr(p.Power, 3); !(w > 0) {
		bad("power: got %g, want more than 0", w)
	}
	if !(p.MaskLR >= 0) || p.StepsPerEpoch < 0 {
		bad("got mask_lr %g and steps_per_epoch %d, want 0 or more", p.MaskLR, p.StepsPerEpoch)
	}
	errs = append(errs, checkMultiplier(o.LRMultiplier))
	for i, r := range o.Structure {
		if err := r.validate(); err != nil {
			bad("sparse_structure_by_scopes[%d]: %w", i, err)
		}
	}
	return errors.Join(errs...)
}

type movement struct{ o MovementOptions }

// NewMovement returns movement sparsity.
func NewMovement(o MovementOptions) compress.Algorithm { return movement{o} }

// Name implements [compress.Algorithm].
func (movement) Name() string { return Movement }

// Priority implements [compress.Algorithm].
func (movement) Priority() compress.Priority { return compress.PrioritySparsity }

// Setup implements [compress.Algorithm]. Weights of matrix products count; of
// convolutions and embeddings they do not.
func (a movement) Setup(g *ir.Graph) (compress.Setup, error) {
	if err := a.o.Validate(); err != nil {
		return nil, err
	}
	layers, err := findLayers(g, a.o.Scopes)
	if err != nil {
		return nil, err
	}
	layers = slices.DeleteFunc(layers, func(l *Layer) bool {
		n := g.Value(l.Consumers[0].Node).Def
		_, gather := n.Op.(op.Gather)
		return gather || g.Value(l.Weight).Type.Rank() != 2
	})
	if len(layers) == 0 {
		return nil, errors.New("no matrix product is in scope; movement sparsity is for encoders, magnitude_sparsity and rb_sparsity know convolutions")
	}
	p := a.o.Params
	s := &MovementSetup{Start: *p.WarmupStart, End: *p.WarmupEnd, Regularization: *p.Regularization, InitThreshold: p.InitThreshold, FinalThreshold: p.FinalThreshold,
		Power: compress.ValueOr(p.Power, 3), Structured: compress.ValueOr(p.Structured, true), StepsPerEpoch: p.StepsPerEpoch, MaskLR: p.MaskLR}
	if s.MaskLR == 0 {
		s.MaskLR = 0.01
	}
	s.MaskLR *= compress.ValueOr(a.o.LRMultiplier, 1)
	for _, l := range layers {
		s.Layers = append(s.Layers, &MovementLayer{Layer: *l, Rows: 1, Cols: 1})
	}
	var errs []error
	for i, r := range a.o.Structure {
		if err := (compress.Scopes{Target: r.Targets}).Check(g); err != nil {
			errs = append(errs, fmt.Errorf("sparse_structure_by_scopes[%d]: %w", i, err))
			continue
		}
		for _, l := range s.Layers {
			for _, e := range r.Targets {
				if l.within(g, e) {
					l.structure(r, g.Value(l.Weight).Type.MustShape())
				}
			}
		}
	}
	return s, errors.Join(errs...)
}

// MovementLayer is a matrix whose blocks have scores.
type MovementLayer struct {
	Layer
	// Rows and Cols of a block, along axes 0 and 1 of the stored matrix.
	Rows int `json:"rows"`
	Cols int `json:"cols"`
}

// structure sets the blocks by a rule, whose rows are output channels, which
// may be either axis of the stored matrix.
func (l *MovementLayer) structure(r StructureRule, shape tensor.Shape) {
	block := [2]int{1, 1} // out, in
	switch r.Mode {
	case "block":
		block = [2]int{r.Factors[0], r.Factors[1]}
	case "per_dim":
		block = [2]int{1, shape[l.InAxis]}
		if *r.Axis == 1 {
			block = [2]int{shape[l.OutAxis], 1}
		}
	}
	l.Rows, l.Cols = block[0], block[1]
	if l.OutAxis == 1 {
		l.Rows, l.Cols = block[1], block[0]
	}
}

// MovementSetup is what movement sparsity does to one graph.
type MovementSetup struct {
	Start          int              `json:"warmup_start_epoch"`
	End            int              `json:"warmup_end_epoch"`
	Regularization float64          `json:"importance_regularization_factor"`
	InitThreshold  *float64         `json:"init_importance_threshold,omitempty"`
	FinalThreshold float64          `json:"final_importance_threshold"`
	Power          float64          `json:"power"`
	Structured     bool             `json:"structured"`
	StepsPerEpoch  int              `json:"steps_per_epoch,omitempty"`
	MaskLR         float64          `json:"mask_lr"`
	Layers         []*MovementLayer `json:"layers"`
}

// Algorithm implements [compress.Setup].
func (*MovementSetup) Algorithm() string { return Movement }

// RestoreMovement decodes a setup that was marshalled.
func RestoreMovement(raw json.RawMessage) (compress.Setup, error) {
	s := &MovementSetup{}
	if err := compress.DecodeStrict(raw, s); err != nil {
		return nil, fmt.Errorf("%s setup: %w", Movement, err)
	}
	var layers []*Layer
	for i, l := range s.Layers {
		if l == nil || l.Rows < 1 || l.Cols < 1 {
			return nil, fmt.Errorf("%s setup: layer %d is incomplete", Movement, i)
		}
		layers = append(layers, &l.Layer)
	}
	if len(layers) == 0 || s.End <= s.Start || !(s.MaskLR > 0) || !(s.Power > 0) {
		return nil, fmt.Errorf("%s setup: got %d layers, a warm-up from %d to %d, mask_lr %g and power %g", Movement, len(layers), s.Start, s.End, s.MaskLR, s.Power)
	}
	return s, checkLayers(layers)
}

// Apply implements [compress.Setup]. The scores of weight W are the parameter
// W/score, the masked weight W/masked; the states W/keep and
// movement_sparsity/threshold decide with them.
func (s *MovementSetup) Apply(g *ir.Graph, t *rewrite.Trace) (compress.Controller, error) {
	before := g.Clone()
	threshold := g.AddStored(ir.State, g.UniqueName(Movement+"/threshold"), tensor.Scalar(float32(math.Inf(-1))))
	byName := map[string]*MovementLayer{}
	var layers []*Layer
	for _, l := range s.Layers {
		byName[l.Weight] = l
		layers = append(layers, &l.Layer)
	}
	list, err := insertAll(g, Movement, layers, t, func(p *rewrite.Patch, l *Layer, w *ir.Value) *ir.Value {
		m := byName[l.Weight]
		o := op.MovementMask{Rows: m.Rows, Cols: m.Cols}
		shape := w.Type.MustShape()
		if len(shape) != 2 {
			p.B.Fail(fmt.Errorf("got weight %v, want a matrix", w.Type))
			return w
		}
		r, c := o.Blocks(shape[0], shape[1])
		keep := tensor.New(tensor.Uint8, r, c)
		for i := range tensor.Data[uint8](keep) {
			tensor.Data[uint8](keep)[i] = 1
		}
		score := g.AddStored(ir.Parameter, g.UniqueName(l.Weight+"/score"), tensor.New(tensor.Float32, r, c))
		k := g.AddStored(ir.State, g.UniqueName(l.Weight+"/keep"), keep)
		return p.B.Op(o, l.Weight+"/masked", w, score, k, threshold)
	})
	if err != nil {
		return nil, err
	}
	c := &MovementController{setup: s, base: newBase(g, list), before: before, threshold: threshold.Data, factor: tensor.New(tensor.Float32)}
	c.state.Clock.PerEpoch = s.StepsPerEpoch
	return c, nil
}
