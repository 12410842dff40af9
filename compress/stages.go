package compress

import (
	"context"
	"errors"
	"fmt"
)

// Staged is a controller that changes the model when some epochs begin:
// training in stages. Whoever trains calls BeginEpoch after EpochStep.
type Staged interface {
	Controller

	// BeginEpoch does what the epoch that EpochStep has just entered needs data
	// for. It reports whether the graph has changed since the last call, so that
	// programs compiled from it are out of date.
	BeginEpoch(ctx context.Context, r Runner, c Calibration) (changed bool, err error)
}

// Stages is the "params" section of an algorithm that is trained in stages:
// first the float network, then with compressed activations, then with
// compressed weights too, at last at a falling learning rate without weight
// decay (Kozlov et al. 2020, section 3.2). Epochs count from 0.
//
// The learning rate and the weight decay are for the optimizer, which package
// config tells; see train.Drop.
type Stages struct {
	// Epochs from which activations and weights are compressed. Default 1 and 1.
	Activations *int `json:"activations_quant_start_epoch,omitempty"`
	Weights     *int `json:"weights_quant_start_epoch,omitempty"`
	// BatchMultiplier is the number of batches whose gradients make one update.
	// Default 1.
	BatchMultiplier float64 `json:"batch_multiplier,omitempty"`
	// From PolyDropStart, for PolyDropEpochs (default 30), the learning rate falls
	// as ((start+epochs-e)/epochs)^2.1. Never, if nil.
	PolyDropStart  *int `json:"lr_poly_drop_start_epoch,omitempty"`
	PolyDropEpochs *int `json:"lr_poly_drop_duration_epochs,omitempty"`
	// NoDecayStart is the epoch after whose beginning there is no weight decay.
	NoDecayStart *int `json:"disable_wd_start_epoch,omitempty"`
	// BaseLR and BaseDecay are those of the original's optimizer, Adam, which is
	// taken if the configuration has no optimizer section. Default 1e-3 and 1e-5.
	BaseLR    *float64 `json:"base_lr,omitempty"`
	BaseDecay *float64 `json:"base_wd,omitempty"`
}

// Validate reports all problems.
func (s Stages) Validate() error {
	var errs []error
	for _, f := range []struct {
		key    string
		v      *int
		lowest int
	}{
		{"activations_quant_start_epoch", s.Activations, 0}, {"weights_quant_start_epoch", s.Weights, 0},
		{"lr_poly_drop_start_epoch", s.PolyDropStart, 0}, {"lr_poly_drop_duration_epochs", s.PolyDropEpochs, 1},
		{"disable_wd_start_epoch", s.NoDecayStart, 0},
	} {
		if f.v != nil && *f.v < f.lowest {
			errs = append(errs, fmt.Errorf("%s: got %d, want %d or more", f.key, *f.v, f.lowest))
		}
	}
	if m := s.BatchMultiplier; m < 0 || m != float64(int(m)) {
		errs = append(errs, fmt.Errorf("batch_multiplier: got %g, want a whole number of batches", m))
	}
	if s.BaseLR != nil && !(*s.BaseLR > 0) {
		errs = append(errs, fmt.Errorf("base_lr: got %g, want above 0", *s.BaseLR))
	}
	if s.BaseDecay != nil && !(*s.BaseDecay >= 0) {
		errs = append(errs, fmt.Errorf("base_wd: got %g, want 0 or more", *s.BaseDecay))
	}
	return errors.Join(errs...)
}

// Enabled reports what is compressed during an epoch.
func (s Stages) Enabled(epoch int) (activations, weights bool) {
	return epoch >= ValueOr(s.Activations, 1), epoch >= ValueOr(s.Weights, 1)
}

// Drop returns when the learning rate begins to fall and for how many epochs it
// does; ok is false if it never falls.
func (s Stages) Drop() (start, epochs int, ok bool) {
	if s.PolyDropStart == nil {
		return 0, 0, false
	}
	return *s.PolyDropStart, ValueOr(s.PolyDropEpochs, 30), true
}

// StageOf is the stage of an algorithm that has compressed activations, weights,
// or both.
func StageOf(activations, weights bool) Stage {
	switch {
	case activations && weights:
		return FullyCompressed
	case activations || weights:
		return PartiallyCompressed
	}
	return Uncompressed
}

// BeginEpoch calls the controllers that are trained in stages, in their order.
func BeginEpoch(ctx context.Context, c Controller, r Runner, cal Calibration) (changed bool, err error) {
	for _, x := range All(c) {
		s, ok := x.(Staged)
		if !ok {
			continue
		}
		ch, err := s.BeginEpoch(ctx, r, cal)
		if err != nil {
			return changed, fmt.Errorf("%s: %w", x.Algorithm(), err)
		}
		changed = changed || ch
	}
	return changed, nil
}
