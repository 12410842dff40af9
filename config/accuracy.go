package config

import (
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/compress"
)

// Modes of accuracy-aware training.
const (
	EarlyExit           = "early_exit"
	AdaptiveCompression = "adaptive_compression_level"
)

// AccuracyAware says how far the accuracy of the compressed model may fall
// below that of the float model, and lets training look for it (NNCF). A nil
// pointer trains a number of epochs instead.
type AccuracyAware struct {
	// Mode is early_exit, which ends training as soon as the model is fully
	// compressed and accurate enough, or adaptive_compression_level, which then looks
	// for the highest level that is.
	Mode   string         `json:"mode"`
	Params AccuracyParams `json:"params,omitzero"`
}

// AccuracyParams are the numbers of accuracy-aware training. Nil fields have the
// original's defaults.
type AccuracyParams struct {
	// Relative is the loss of accuracy that is tolerated, in percent of the float
	// model's accuracy; default 1. Absolute is the same in percentage points.
	Relative *float64 `json:"maximal_relative_accuracy_degradation,omitempty"`
	Absolute *float64 `json:"maximal_absolute_accuracy_degradation,omitempty"`
	// MaximalEpochs ends the search; default epochs if that is given, else 10000.
	MaximalEpochs *int `json:"maximal_total_epochs,omitempty"`

	// The others are those of adaptive_compression_level: epochs of the first phase,
	// in which schedules are followed (5); epochs at a level before it is given up
	// (3); the first change of the level (0.1), its factor whenever the direction turns
	// (0.5) and when to stop (0.025); the learning rate's factor at those turns (0.5).
	InitialEpochs *int     `json:"initial_training_phase_epochs,omitempty"`
	Patience      *int     `json:"patience_epochs,omitempty"`
	Step          *float64 `json:"initial_compression_rate_step,omitempty"`
	StepFactor    *float64 `json:"compression_rate_step_reduction_factor,omitempty"`
	MinimalStep   *float64 `json:"minimal_compression_rate_step,omitempty"`
	LRFactor      *float64 `json:"lr_reduction_factor,omitempty"`
}

// Validate reports all problems.
func (a *AccuracyAware) Validate() error {
	if a == nil {
		return nil
	}
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("accuracy_aware_training: "+format, args...))
	}
	if a.Mode != EarlyExit && a.Mode != AdaptiveCompression {
		bad("mode: got %q, want %s or %s", a.Mode, EarlyExit, AdaptiveCompression)
	}
	p := a.Params
	if p.Relative != nil && p.Absolute != nil {
		bad("got maximal_relative_accuracy_degradation and maximal_absolute_accuracy_degradation, want one")
	}
	if s, m := compress.ValueOr(p.Step, 0.1), compress.ValueOr(p.MinimalStep, 0.025); m > s {
		bad("minimal_compression_rate_step: got %g, want at most the initial step of %g", m, s)
	}
	if f := compress.ValueOr(p.StepFactor, 0.5); !(f > 0 && f < 1) {
		bad("compression_rate_step_reduction_factor: got %g, want between 0 and 1", f)
	}
	return errors.Join(errs...)
}

// Limit is the largest number of epochs, given the root's.
func (a *AccuracyAware) Limit(epochs int) int {
	if a == nil {
		return epochs
	}
	if epochs == 0 {
		epochs = 10000
	}
	return compress.ValueOr(a.Params.MaximalEpochs, epochs)
}
