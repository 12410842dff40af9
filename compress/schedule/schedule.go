package schedule

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Schedule gives the level at a time in epochs; t = 1.5 is the middle of the
// second epoch. Levels are shares, in [0, 1).
type Schedule interface {
	Level(t float64) float64
	// Target is the level at the end.
	Target() float64
	// Validate reports what cannot be followed.
	Validate() error
}

// Polynomial rises from Init to Final within Epochs:
//
//	level = Final - (Final-Init)·(1-p)^Power     p = min(1, t/Epochs)
//	level = Init + (Final-Init)·p^Power          with Slow
//
// With the usual power of 0.9 both are nearly straight. Epochs 0 is Final at once.
// The original calls Slow "concave": false.
type Polynomial struct {
	Init, Final, Epochs, Power float64
	Slow                       bool
}

// Level implements [Schedule].
func (s Polynomial) Level(t float64) float64 {
	if s.Epochs == 0 {
		return s.Final
	}
	p := min(1, max(0, t/s.Epochs))
	if s.Slow {
		return s.Init + (s.Final-s.Init)*math.Pow(p, s.Power)
	}
	return s.Final - (s.Final-s.Init)*math.Pow(1-p, s.Power)
}

// Target implements [Schedule].
func (s Polynomial) Target() float64 { return s.Final }

// Validate implements [Schedule].
func (s Polynomial) Validate() error {
	var errs []error
	if !(s.Power > 0) {
		errs = append(errs, fmt.Errorf("power: got %g, want more than 0", s.Power))
	}
	return errors.Join(append(errs, ends(s.Init, s.Final, s.Epochs))...)
}

// Exponential removes the same share of what is left in every epoch:
//
//	level = min(Final, 1 - (1-Init)·((1-Final)/(1-Init))^(t/Epochs))
type Exponential struct{ Init, Final, Epochs float64 }

// Level implements [Schedule].
func (s Exponential) Level(t float64) float64 {
	if s.Epochs == 0 || t >= s.Epochs {
		return s.Final
	}
	k := -math.Log((1-s.Final)/(1-s.Init)) / s.Epochs
	return min(s.Final, 1-(1-s.Init)*math.Exp(-k*max(0, t)))
}

// Target implements [Schedule].
func (s Exponential) Target() float64 { return s.Final }

// Validate implements [Schedule].
func (s Exponential) Validate() error { return ends(s.Init, s.Final, s.Epochs) }

// Multistep changes the level at given epochs: Levels[i] from the i-th step on,
// Levels[0] before the first. Steps in any order are sorted.
type Multistep struct {
	Steps  []int
	Levels []float64 // one more than Steps
}

// Level implements [Schedule].
func (s Multistep) Level(t float64) float64 {
	i := 0
	for _, at := range s.Steps {
		if float64(at) <= t {
			i++
		}
	}
	return s.Levels[i]
}

// Target implements [Schedule].
func (s Multistep) Target() float64 { return s.Levels[len(s.Levels)-1] }

// Validate implements [Schedule].
func (s Multistep) Validate() error {
	var errs []error
	if len(s.Levels) != len(s.Steps)+1 {
		errs = append(errs, fmt.Errorf("got %d levels for %d steps, want one level more than steps: the first holds before the first step", len(s.Levels), len(s.Steps)))
	}
	for _, l := range s.Levels {
		if !share(l) {
			errs = append(errs, fmt.Errorf("level: got %g, want 0 to below 1", l))
		}
	}
	if i := slices.IndexFunc(s.Steps, func(at int) bool { return at < 0 }); i >= 0 {
		errs = append(errs, fmt.Errorf("step: got epoch %d, want 0 or more", s.Steps[i]))
	}
	return errors.Join(errs...)
}

// Adaptive raises the level when training has followed it: after Patience epochs
// in which what was reached is at most Tolerance below the level, the level rises
// by Step, up to Final. Level and Followed are its state.
type Adaptive struct {
	Final     float64 `json:"-"`
	Step      float64 `json:"-"`
	Tolerance float64 `json:"-"`
	Patience  int     `json:"-"`

	Level    float64 `json:"level"`
	Followed int     `json:"followed"` // epochs since the level last rose
}

// Next returns the level of the epoch that begins, given the share that training
// has reached.
func (a *Adaptive) Next(reached float64) float64 {
	if reached >= a.Level-a.Tolerance {
		if a.Followed++; a.Followed >= a.Patience {
			a.Followed = 0
			a.Level = min(a.Level+a.Step, a.Final)
		}
	}
	return a.Level
}

// Validate reports what cannot be followed.
func (a *Adaptive) Validate() error {
	var errs []error
	if !(a.Step > 0 && a.Step < 1) {
		errs = append(errs, fmt.Errorf("step: got %g, want more than 0 and less than 1", a.Step))
	}
	if !(a.Tolerance >= 0) {
		errs = append(errs, fmt.Errorf("eps: got %g, want 0 or more", a.Tolerance))
	}
	if a.Patience < 0 {
		errs = append(errs, fmt.Errorf("patience: got %d, want 0 or more", a.Patience))
	}
	return errors.Join(append(errs, ends(a.Level, a.Final, 0))...)
}

func share(l float64) bool { return l >= 0 && l < 1 }

// ends checks what rising schedules have in common.
func ends(init, final, epochs float64) error {
	var errs []error
	if !share(init) {
		errs = append(errs, fmt.Errorf("initial level: got %g, want 0 to below 1", init))
	}
	if !share(final) {
		errs = append(errs, fmt.Errorf("target level: got %g, want 0 to below 1", final))
	}
	if share(init) && share(final) && init > final {
		errs = append(errs, fmt.Errorf("initial level %g is above the target level %g: a level never falls; lower sparsity_init or raise sparsity_target", init, final))
	}
	if !(epochs >= 0) {
		errs = append(errs, fmt.Errorf("target epoch: got %g, want 0 or more", epochs))
	}
	return errors.Join(errs...)
}
