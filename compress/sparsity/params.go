package sparsity

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/schedule"
)

// Params is what magnitude and RB sparsity have in common: how the level rises.
// Fields that are not given have the defaults of the original.
type Params struct {
	// Schedule is polynomial, exponential, multistep or adaptive; default polynomial,
	// exponential for RB.
	Schedule string `json:"schedule,omitempty"`
	// Init is the level before training, default 0. It may stand at the algorithm too.
	Init *float64 `json:"sparsity_init,omitempty"`
	// Target is the level at the end, default 0.5; multistep ends with its last level.
	Target *float64 `json:"sparsity_target,omitempty"`
	// TargetEpoch is when polynomial and exponential reach it, default 90.
	TargetEpoch *int `json:"sparsity_target_epoch,omitempty"`
	// FreezeEpoch is from when on masks stay as they are, default 100; for RB a ninth
	// of the schedule after its end, at least one epoch, and not before the masks have
	// reached the target.
	FreezeEpoch *int `json:"sparsity_freeze_epoch,omitempty"`
	// Power and Concave shape polynomial, see [schedule.Polynomial]; 0.9 and true.
	Power   *float64 `json:"power,omitempty"`
	Concave *bool    `json:"concave,omitempty"`
	// PerStep lets polynomial rise with every optimizer step.
	PerStep bool `json:"update_per_optimizer_step,omitempty"`
	// StepsPerEpoch is the number of optimizer steps of an epoch; known to runs.
	StepsPerEpoch int `json:"steps_per_epoch,omitempty"`
	// Steps and Levels of multistep, by default [90] and [0.1, 0.5].
	Steps  []int     `json:"multistep_steps,omitempty"`
	Levels []float64 `json:"multistep_sparsity_levels,omitempty"`
	// Step, Eps and Patience of adaptive, see [schedule.Adaptive]: 0.05, 0.03 and 1.
	Step     *float64 `json:"step,omitempty"`
	Eps      *float64 `json:"eps,omitempty"`
	Patience *int     `json:"patience,omitempty"`
	// Mode is global, one threshold or density for all layers, or local; default global.
	Mode string `json:"sparsity_level_setting_mode,omitempty"`
}

// Plan is a schedule with every number decided. It is part of a setup.
type Plan struct {
	Kind          string    `json:"schedule"`
	Init          float64   `json:"init"`
	Final         float64   `json:"target"`
	Epochs        int       `json:"target_epoch"`
	Freeze        int       `json:"freeze_epoch"`
	FreezeReached bool      `json:"freeze_reached,omitempty"` // not before the target is reached, and not at a level set by hand
	Power         float64   `json:"power,omitempty"`
	Slow          bool      `json:"slow,omitempty"`
	PerStep       bool      `json:"per_step,omitempty"`
	StepsPerEpoch int       `json:"steps_per_epoch,omitempty"`
	Steps         []int     `json:"steps,omitempty"`
	Levels        []float64 `json:"levels,omitempty"`
	Step          float64   `json:"step,omitempty"`
	Eps           float64   `json:"eps,omitempty"`
	Patience      int       `json:"patience,omitempty"`
}

// plan decides what the parameters leave open.
func (p Params) plan(kind string, init *float64, target float64) Plan {
	if p.Schedule != "" {
		kind = p.Schedule
	}
	l := Plan{Kind: kind, Init: compress.ValueOr(p.Init, compress.ValueOr(init, 0)), Final: compress.ValueOr(p.Target, target), Epochs: compress.ValueOr(p.TargetEpoch, 90), Freeze: compress.ValueOr(p.FreezeEpoch, 100),
		PerStep: p.PerStep, StepsPerEpoch: p.StepsPerEpoch}
	switch kind {
	case "polynomial":
		l.Power, l.Slow = compress.ValueOr(p.Power, 0.9), !compress.ValueOr(p.Concave, true)
	case "multistep":
		l.Steps, l.Levels = p.Steps, p.Levels
		if l.Steps == nil {
			l.Steps = []int{90}
		}
		if l.Levels == nil {
			l.Levels = []float64{0.1, 0.5}
		}
		l.Init, l.Final = 0, 0
		if len(l.Levels) > 0 {
			l.Init, l.Final = l.Levels[0], l.Levels[len(l.Levels)-1]
		}
	case "adaptive":
		l.Step, l.Eps, l.Patience = compress.ValueOr(p.Step, 0.05), compress.ValueOr(p.Eps, 0.03), compress.ValueOr(p.Patience, 1)
	}
	return l
}

// validate reports everything that the parameters ask and cannot have.
func (p Params) validate(l Plan) error {
	var errs []error
	switch l.Kind {
	case "polynomial", "exponential", "multistep", "adaptive":
		errs = append(errs, l.Validate())
	default:
		errs = append(errs, fmt.Errorf("schedule: got %q, want polynomial, exponential, multistep or adaptive", l.Kind))
	}
	if p.Mode != "" && p.Mode != "global" && p.Mode != "local" {
		errs = append(errs, fmt.Errorf("sparsity_level_setting_mode: got %q, want global or local", p.Mode))
	}
	if p.PerStep && l.Kind != "polynomial" {
		errs = append(errs, fmt.Errorf("update_per_optimizer_step: the %s schedule changes with epochs only; choose polynomial", l.Kind))
	}
	if p.StepsPerEpoch < 0 {
		errs = append(errs, fmt.Errorf("steps_per_epoch: got %d, want 0 or more", p.StepsPerEpoch))
	}
	return errors.Join(errs...)
}

// Validate reports numbers that cannot be followed.
func (l Plan) Validate() error {
	s, a := l.build()
	if a != nil {
		return a.Validate()
	}
	return s.Validate()
}

func (l Plan) build() (schedule.Schedule, *schedule.Adaptive) {
	switch l.Kind {
	case "exponential":
		return schedule.Exponential{Init: l.Init, Final: l.Final, Epochs: float64(l.Epochs)}, nil
	case "multistep":
		return schedule.Multistep{Steps: l.Steps, Levels: l.Levels}, nil
	case "adaptive":
		return nil, &schedule.Adaptive{Final: l.Final, Step: l.Step, Tolerance: l.Eps, Patience: l.Patience, Level: l.Init}
	}
	return schedule.Polynomial{Init: l.Init, Final: l.Final, Epochs: float64(l.Epochs), Power: l.Power, Slow: l.Slow}, nil
}

// leveler follows a plan. Its state is what [leveler.save] writes.
type leveler struct {
	plan     Plan
	schedule schedule.Schedule
	adaptive *schedule.Adaptive

	Clock schedule.Clock `json:"clock"`
	Level float64        `json:"level"`
	// Manual: the level was set by hand, the schedule has stopped.
	Manual bool `json:"manual,omitempty"`
	Frozen bool `json:"frozen,omitempty"`
	// Adaptive is the state of the adaptive schedule.
	Adaptive *schedule.Adaptive `json:"adaptive,omitempty"`
}

func newLeveler(p Plan) leveler {
	l := leveler{plan: p, Level: p.Init}
	l.schedule, l.adaptive = p.build()
	l.Adaptive = l.adaptive
	l.Clock.PerEpoch = p.StepsPerEpoch
	return l
}

// epoch begins an epoch; reached is the level that training has brought about.
// It reports whether masks are to follow the level. The epoch of freezing is the
// last in which they do.
func (l *leveler) epoch(reached float64) bool {
	// Another number of steps than the configuration said moves a schedule by steps
	// within its epochs only, which are counted; so it is no error here.
	_ = l.Clock.EpochStep()
	if l.Frozen {
		return false
	}
	l.Frozen = l.Clock.Epoch() >= l.plan.Freeze && (!l.plan.FreezeReached || !l.Manual && reached >= l.plan.Final-reachedTolerance)
	switch {
	case l.Manual, l.plan.PerStep:
	case l.adaptive != nil:
		l.Level = l.adaptive.Next(reached)
	default:
		l.Level = l.schedule.Level(float64(l.Clock.Epoch()))
	}
	return true
}

// step begins an optimizer step and reports whether the level has changed.
func (l *leveler) step() bool {
	l.Clock.Step()
	if !l.plan.PerStep || l.Manual || l.Frozen {
		return false
	}
	t, ok := l.Clock.Fraction()
	if !ok {
		return false
	}
	was := l.Level
	l.Level = l.schedule.Level(t)
	return l.Level != was
}

func (l *leveler) set(level float64) error {
	if !(level >= 0 && level < 1) {
		return fmt.Errorf("sparsity level: got %g, want 0 to below 1", level)
	}
	l.Level, l.Manual = level, true
	return nil
}

// load restores what was marshalled.
func (l *leveler) load(raw json.RawMessage) error {
	s := leveler{plan: l.plan, schedule: l.schedule}
	if l.adaptive != nil {
		a := *l.adaptive
		s.Adaptive = &a
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	s.adaptive = s.Adaptive
	share := func(v float64) bool { return v >= 0 && v < 1 }
	if (s.adaptive == nil) != (l.adaptive == nil) || !share(s.Level) || s.adaptive != nil && !share(s.adaptive.Level) {
		return fmt.Errorf("got %.80s, which is not the state of a %s schedule", raw, l.plan.Kind)
	}
	*l = s
	return nil
}

func (l *leveler) stepsPerEpoch(n int) {
	if l.Clock.PerEpoch == 0 {
		l.Clock.PerEpoch = n
	}
}

// EpochsNeeded implements [compress.Scheduled].
func (l *leveler) EpochsNeeded() int {
	switch p := l.plan; {
	case l.adaptive != nil:
		return 0
	case p.Kind == "multistep":
		return 1 + slices.Max(append([]int{0}, p.Steps...))
	default:
		return 1 + p.Epochs
	}
}
