package pruning

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
)

// Name is the algorithm's name in configurations.
const Name = "filter_pruning"

// Options is the filter_pruning section of an NNCF configuration. The zero value
// is the original's default: half of the filters, by L2 norm, within
// [DefaultSteps] epochs.
type Options struct {
	Algorithm   string      `json:"algorithm,omitempty"` // "filter_pruning" or empty
	Initializer Initializer `json:"initializer,omitzero"`
	// PruningInit is the level at the beginning; it may stand in Params, too.
	PruningInit float64 `json:"pruning_init,omitempty"`
	Params      Params  `json:"params,omitzero"`
	compress.Scopes
}

// Initializer says how statistics are initialised.
type Initializer struct {
	BatchNorm compress.BatchNormAdaptation `json:"batchnorm_adaptation,omitzero"`
}

// Importance is how much a filter matters.
type Importance string

// The importances; see [Importance.Of].
const (
	L1              Importance = "L1"
	L2              Importance = "L2"
	GeometricMedian Importance = "geometric_median"
)

// Rounding is which multiple the number of survivors becomes.
type Rounding string

// The roundings. Balanced begins as Up and then, as long as fewer filters go than
// the level says, takes one more block of Multiple filters from the cluster that
// loses the smallest part of its importance by it, never more than one block
// beyond the cluster's own share.
const (
	Balanced Rounding = "balanced"
	Up       Rounding = "up"      // as the original: narrow layers stay whole
	Nearest  Rounding = "nearest" // of two equally near ones the larger
)

// Removal is when masks become smaller tensors.
type Removal string

// The removals. AtTraining also removes at export what is left to remove.
const (
	AtExport   Removal = "export"
	AtTraining Removal = "training" // as soon as the masks are final
	Never      Removal = "never"    // pruned channels stay, as zeros
)

// Params are the parameters of filter pruning.
type Params struct {
	// Schedule is "exponential" (default), "exponential_with_bias" or "baseline":
	// the target at once after NumInitSteps epochs without pruning.
	Schedule    string  `json:"schedule,omitempty"`
	PruningInit float64 `json:"pruning_init,omitempty"`

	// Target is the share of filters to remove, default 0.5; or FLOPsTarget, the
	// share of multiply-accumulates, or ParamsTarget, the share of the weights of
	// convolutions and linear layers. One of the three.
	Target       *float64 `json:"pruning_target,omitempty"`
	FLOPsTarget  *float64 `json:"pruning_flops_target,omitempty"`
	ParamsTarget *float64 `json:"pruning_params_target,omitempty"`

	NumInitSteps int `json:"num_init_steps,omitempty"` // epochs before pruning
	PruningSteps int `json:"pruning_steps,omitempty"`  // epochs until the target, default [DefaultSteps]

	// Importance, default L2; WeightImportance is its older name.
	Importance       Importance `json:"filter_importance,omitempty"`
	WeightImportance Importance `json:"weight_importance,omitempty"`

	// AllWeights ranks the filters of all clusters together, by importance in
	// weights of norm 1; otherwise every cluster loses the same share.
	AllWeights *bool `json:"all_weights,omitempty"`

	// First convolutions have no other layer before them, downsampling ones a
	// stride. Outputs of the model keep their width, whatever PruneLast says.
	PruneFirst      *bool `json:"prune_first_conv,omitempty"`
	PruneLast       bool  `json:"prune_last_conv,omitempty"`
	PruneDownsample *bool `json:"prune_downsample_convs,omitempty"`

	// Multiple is what the number of survivors is a multiple of, default 8; 1
	// rounds nothing. Rounding is Balanced by default.
	Multiple int      `json:"multiple,omitempty"`
	Rounding Rounding `json:"rounding,omitempty"`
	Removal  Removal  `json:"removal,omitempty"` // default AtExport
	// KeepWeights keeps the weights of pruned filters, in memory and in
	// checkpoints, so that a level can be lowered again.
	KeepWeights bool `json:"keep_weights,omitempty"`

	// Ranking is "unweighted_ranking" (default) or "learned_ranking", see [LeGR].
	Ranking    string `json:"interlayer_ranking_type,omitempty"`
	LeGR       LeGR   `json:"legr_params,omitzero"`
	LoadCoeffs string `json:"load_ranking_coeffs_path,omitempty"`
	SaveCoeffs string `json:"save_ranking_coeffs_path,omitempty"`

	// Accepted: normalization is always zero where filters are, and gradients of
	// pruned filters are.
	PruneBatchNorms *bool `json:"prune_batch_norms,omitempty"`
	ZeroGrad        *bool `json:"zero_grad,omitempty"`
}

// Defaults of [Params].
const (
	DefaultTarget   = 0.5
	DefaultSteps    = 100
	DefaultMultiple = 8
)

const learned = "learned_ranking"

// Validate reports all problems of the options that do not depend on a graph.
func (o Options) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	oneOf := func(key, got string, want ...string) {
		if got != "" && !slices.Contains(want, got) {
			fail("%s: got %q, want one of %s", key, got, strings.Join(want, ", "))
		}
	}
	p := o.Params
	oneOf("algorithm", o.Algorithm, Name)
	oneOf("params.schedule", p.Schedule, "baseline", "exponential", "exponential_with_bias")
	importances := []string{string(L1), string(L2), string(GeometricMedian)}
	oneOf("params.filter_importance", string(p.Importance), importances...)
	oneOf("params.weight_importance", string(p.WeightImportance), importances...)
	if p.Importance != "" && p.WeightImportance != "" && p.Importance != p.WeightImportance {
		fail("params.weight_importance: got %q beside filter_importance %q, want one of the two keys", p.WeightImportance, p.Importance)
	}
	oneOf("params.rounding", string(p.Rounding), string(Balanced), string(Up), string(Nearest))
	oneOf("params.removal", string(p.Removal), string(AtExport), string(AtTraining), string(Never))
	oneOf("params.interlayer_ranking_type", p.Ranking, "unweighted_ranking", learned)
	given := 0
	for _, t := range []struct {
		key string
		v   *float64
	}{{"pruning_target", p.Target}, {"pruning_flops_target", p.FLOPsTarget}, {"pruning_params_target", p.ParamsTarget}} {
		if t.v == nil {
			continue
		}
		given++
		if !(*t.v >= 0 && *t.v < 1) {
			fail("params.%s: got %g, want 0 to below 1", t.key, *t.v)
		}
	}
	if given > 1 {
		fail("params: got several of pruning_target, pruning_flops_target and pruning_params_target, want one")
	}
	if o.PruningInit != 0 && p.PruningInit != 0 && o.PruningInit != p.PruningInit {
		fail("pruning_init: got %g beside params.pruning_init %g, want one of the two keys", o.PruningInit, p.PruningInit)
	}
	if first := o.first(); !(first >= 0 && first < 1) || first > o.target() {
		fail("pruning_init: got %g, want 0 to the target, %g", first, o.target())
	}
	for _, n := range []struct {
		key string
		v   int
	}{{"num_init_steps", p.NumInitSteps}, {"pruning_steps", p.PruningSteps}, {"multiple", p.Multiple}} {
		if n.v < 0 {
			fail("params.%s: got %d, want 0 or more", n.key, n.v)
		}
	}
	if p.Ranking == learned && p.AllWeights != nil && !*p.AllWeights {
		fail("params.all_weights: learned_ranking ranks all filters together; leave all_weights out, or set it to true")
	}
	if p.Ranking != learned && (p.LoadCoeffs != "" || p.SaveCoeffs != "") {
		fail("params: ranking coefficients belong to interlayer_ranking_type %q", learned)
	}
	if p.KeepWeights && p.Removal == AtTraining {
		fail("params.keep_weights: filters that are cut out during training cannot come back; set removal to %q, or leave keep_weights out", AtExport)
	}
	errs = append(errs, p.LeGR.Validate())
	if err := o.Initializer.BatchNorm.Validate(); err != nil {
		fail("initializer.batchnorm_adaptation: %w", err)
	}
	return errors.Join(errs...)
}

// checkScopes reports scope entries that match nothing in g.
func (o Options) checkScopes(g *ir.Graph) error { return o.Scopes.Check(g) }

func (o Options) first() float64 {
	if o.PruningInit != 0 {
		return o.PruningInit
	}
	return o.Params.PruningInit
}

// target is the final level, of filters, FLOPs or parameters.
func (o Options) target() float64 {
	for _, t := range []*float64{o.Params.FLOPsTarget, o.Params.ParamsTarget, o.Params.Target} {
		if t != nil {
			return *t
		}
	}
	return DefaultTarget
}

func (p Params) importance() Importance {
	switch {
	case p.Importance != "":
		return p.Importance
	case p.WeightImportance != "":
		return p.WeightImportance
	}
	return L2
}

func (p Params) multiple() int {
	if p.Multiple == 0 {
		return DefaultMultiple
	}
	return p.Multiple
}

func (p Params) rounding() Rounding {
	if p.Rounding == "" {
		return Balanced
	}
	return p.Rounding
}

func (p Params) steps() int {
	if p.PruningSteps == 0 {
		return DefaultSteps
	}
	return p.PruningSteps
}

// global reports whether all filters are ranked together.
func (p Params) global() bool {
	if p.AllWeights != nil {
		return *p.AllWeights
	}
	return p.Ranking == learned
}

func (p Params) first() bool      { return orLearned(p.PruneFirst, p) }
func (p Params) downsample() bool { return orLearned(p.PruneDownsample, p) }

// orLearned: learned ranking prunes what others leave alone unless told so.
func orLearned(b *bool, p Params) bool {
	if b != nil {
		return *b
	}
	return p.Ranking == learned
}
