package train

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ScheduleOptions choose a learning-rate schedule. Epochs are fractional:
// epoch 1.5 is the middle of the second one.
type ScheduleOptions struct {
	// Type is "constant", "step", "multistep", "poly", "exp", "cosine" or
	// "plateau". Default "constant".
	Type string `json:"type,omitempty"`
	// LR is the base learning rate.
	LR float64 `json:"base_lr"`
	// Epochs is the length of training, for poly and cosine.
	Epochs float64 `json:"-"`
	// Gamma multiplies the rate at each step, or each epoch for exp. Default 0.1.
	Gamma float64 `json:"gamma,omitempty"`
	// StepSize is the number of epochs between steps. Default 30.
	StepSize float64 `json:"step,omitempty"`
	// Steps are the epochs at which multistep multiplies by Gamma.
	Steps []float64 `json:"steps,omitempty"`
	// Power of poly: LR·(1 − epoch/Epochs)^Power. Default 0.9.
	Power float64 `json:"power,omitempty"`
	// MinLR is where cosine ends and plateau stops.
	MinLR float64 `json:"min_lr,omitempty"`
	// Patience, Cooldown (epochs) and Threshold (absolute) of plateau: when the
	// metric has not risen by Threshold for more than Patience epochs the rate
	// is multiplied by Gamma. Defaults 10, 0, 0.1 percentage points.
	Patience  int     `json:"patience,omitempty"`
	Cooldown  int     `json:"cooldown,omitempty"`
	Threshold float64 `json:"threshold,omitempty"`
	// WarmupEpochs raises the rate linearly from WarmupFactor·LR (default 0.1)
	// to LR before the schedule counts.
	WarmupEpochs float64 `json:"warmup_epochs,omitempty"`
	WarmupFactor float64 `json:"warmup_factor,omitempty"`
	// PerStep updates the rate at each optimizer step rather than each epoch.
	// Cosine and warm-up always do.
	PerStep bool `json:"per_step,omitempty"`
	// Drop is the last stage of training in stages; it comes on top of the schedule.
	Drop Drop `json:"drop,omitzero"`
}

// Drop ends a training in stages (Kozlov et al. 2020, section 3.2): the learning
// rate falls to 0 at each step, and weight decay ends. The zero value does
// neither.
type Drop struct {
	// For Epochs from Start, the rate is multiplied by ((Start+Epochs-e)/Epochs)^2.1
	// at fractional epoch e; after them it is 0. (In the original implementation it
	// stays where the last step left it, a millionth.) No Epochs, no fall.
	Start, Epochs float64
	// NoDecayAfter ends weight decay after that fractional epoch, if EndDecay.
	NoDecayAfter float64
	EndDecay     bool
}

const dropPower = 2.1

func (d Drop) factor(epoch float64) float64 {
	if d.Epochs <= 0 || epoch < d.Start {
		return 1
	}
	return math.Pow(max(0, (d.Start+d.Epochs-epoch)/d.Epochs), dropPower)
}

func (d Drop) noDecay(epoch float64) bool { return d.EndDecay && epoch > d.NoDecayAfter }

var scheduleTypes = []string{"", "constant", "step", "multistep", "poly", "exp", "cosine", "plateau"}

// Validate reports everything that is wrong with o.
func (o ScheduleOptions) Validate() error {
	var errs []error
	if !slices.Contains(scheduleTypes, o.Type) {
		errs = append(errs, fmt.Errorf("schedule type: got %q, want one of %v", o.Type, scheduleTypes[1:]))
	}
	if !(o.LR > 0) || math.IsInf(o.LR, 0) {
		errs = append(errs, fmt.Errorf("base_lr: got %g, want above 0", o.LR))
	}
	for _, f := range []struct {
		key string
		v   float64
	}{{"gamma", o.Gamma}, {"step", o.StepSize}, {"power", o.Power}, {"min_lr", o.MinLR}, {"threshold", o.Threshold}, {"patience", float64(o.Patience)},
		{"cooldown", float64(o.Cooldown)}, {"warmup_epochs", o.WarmupEpochs}, {"warmup_factor", o.WarmupFactor},
		{"drop start", o.Drop.Start}, {"drop epochs", o.Drop.Epochs}, {"drop's end of weight decay", o.Drop.NoDecayAfter}} {
		if !(f.v >= 0) {
			errs = append(errs, fmt.Errorf("%s: got %g, want 0 or more", f.key, f.v))
		}
	}
	if o.Type == "multistep" && len(o.Steps) == 0 {
		errs = append(errs, errors.New("steps: got none, a multistep schedule needs the epochs at which the rate falls"))
	}
	if !slices.IsSorted(o.Steps) {
		errs = append(errs, fmt.Errorf("steps: got %v, want ascending epochs", o.Steps))
	}
	return errors.Join(errs...)
}

// Schedule computes learning rates. Its exported fields are the state of plateau
// that a checkpoint keeps.
type Schedule struct {
	opt ScheduleOptions

	Factor   float64 `json:"factor"` // on the base rate
	Best     float64 `json:"best"`   // metric
	Bad      int     `json:"bad"`    // epochs since the metric last rose
	Cooldown int     `json:"cooldown"`
	// Fixed, if not 0, is the rate whatever the options say.
	Fixed float64 `json:"fixed,omitempty"`
}

// NewSchedule returns a schedule; options must be valid.
func NewSchedule(o ScheduleOptions) (*Schedule, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	def := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.Gamma, 0.1)
	def(&o.StepSize, 30)
	def(&o.Power, 0.9)
	def(&o.Threshold, 0.1)
	def(&o.WarmupFactor, 0.1)
	if o.Patience == 0 {
		o.Patience = 10
	}
	return &Schedule{opt: o, Factor: 1, Best: -1e300}, nil
}

// LR returns the rate at a fractional epoch.
func (s *Schedule) LR(epoch float64) float64 { return s.rate(epoch) * s.opt.Drop.factor(epoch) }

func (s *Schedule) rate(epoch float64) float64 {
	o := s.opt
	if s.Fixed != 0 {
		return s.Fixed
	}
	if epoch < o.WarmupEpochs {
		return o.LR * (o.WarmupFactor + (1-o.WarmupFactor)*epoch/o.WarmupEpochs)
	}
	e := epoch
	if !o.PerStep && o.Type != "cosine" {
		e = math.Floor(e)
	}
	switch o.Type {
	case "step":
		return o.LR * math.Pow(o.Gamma, math.Floor(e/o.StepSize))
	case "multistep":
		n := 0
		for _, at := range o.Steps {
			if e >= at {
				n++
			}
		}
		return o.LR * math.Pow(o.Gamma, float64(n))
	case "poly":
		return o.LR * math.Pow(max(0, 1-e/max(o.Epochs, 1e-9)), o.Power)
	case "exp":
		return o.LR * math.Pow(o.Gamma, e)
	case "cosine":
		span := o.Epochs - o.WarmupEpochs
		t := 1.0
		if span > 0 {
			t = min(1, (e-o.WarmupEpochs)/span)
		}
		return o.MinLR + (o.LR-o.MinLR)*(1+math.Cos(math.Pi*t))/2
	case "plateau":
		return max(o.MinLR, o.LR*s.Factor)
	}
	return o.LR
}

// Report tells plateau the metric of a finished epoch; larger is better.
func (s *Schedule) Report(metric float64) {
	if s.opt.Type != "plateau" {
		return
	}
	if metric > s.Best+s.opt.Threshold {
		s.Best, s.Bad = metric, 0
	} else {
		s.Bad++
	}
	if s.Cooldown > 0 {
		s.Cooldown--
		s.Bad = 0
	}
	if s.Bad > s.opt.Patience {
		s.Factor *= s.opt.Gamma
		s.Cooldown, s.Bad = s.opt.Cooldown, 0
	}
}
