package compress

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
)

// Leveled is a controller with a level that rises over training: a share of
// zeros, or of filters removed.
type Leveled interface {
	Controller
	// Level is what the schedule asks for now, Reached what the model has, Target
	// what the schedule ends with.
	Level() float64
	Reached() float64
	Target() float64
	// SetLevel sets the level by hand, in [0, 1); the schedule stops.
	SetLevel(level float64) error
}

// TrainingFormer is a controller whose nodes have a form of their own in
// training, as dropout has. TrainingForm changes the graph of a training step,
// in which values have the names of the compressed graph.
type TrainingFormer interface {
	TrainingForm(g *ir.Graph) error
}

// ParameterRule says how one parameter is updated, other than by the options of
// training. The zero value changes nothing.
type ParameterRule struct {
	// Frozen parameters keep their values, whatever their gradients and momenta.
	Frozen bool
	// NoDecay exempts the parameter from weight decay.
	NoDecay bool
	// Optimizer is an optimizer type of its own, LR a learning rate of its own, which
	// no schedule changes; empty and 0 for those of training.
	Optimizer string
	LR        float64
}

// Merge returns the rule of a parameter that two algorithms have rules for.
func (r ParameterRule) Merge(s ParameterRule) ParameterRule {
	r.Frozen = r.Frozen || s.Frozen
	r.NoDecay = r.NoDecay || s.NoDecay
	if s.Optimizer != "" {
		r.Optimizer = s.Optimizer
	}
	if s.LR != 0 {
		r.LR = s.LR
	}
	return r
}

// ParameterRuler is a controller that has rules for parameters, by name. Frozen
// may change from epoch to epoch; the rest may not.
type ParameterRuler interface {
	ParameterRule(name string) ParameterRule
}

// StepCounter is a controller that wants to know how many optimizer steps an
// epoch has.
type StepCounter interface {
	SetStepsPerEpoch(n int)
}

// AfterStepper is a controller that puts parameters back where they must be, such
// as at zero, after each optimizer step.
type AfterStepper interface {
	AfterStep()
}

// AfterStep calls the controllers that want it.
func AfterStep(c Controller) {
	for _, x := range All(c) {
		if s, ok := x.(AfterStepper); ok {
			s.AfterStep()
		}
	}
}

// Remover is a controller that takes channels out of the model: zeros stand for
// them in training, the exported file does not have them.
type Remover interface {
	// Removed returns which entries of each axis of a value are to go, nil where an
	// axis stays whole and nil for a value that does.
	Removed(value string) [][]bool
}

// Cutter is a controller that may have cut channels out of the model under
// training.
type Cutter interface {
	// CutOut returns which entries of each axis of a value, of the model as it came,
	// are cut out of it; in the form of [Remover].
	CutOut(value string) [][]bool
}

// CutReader is a controller that compares with the model as it came. [Compose]
// hands it a function that asks all cutters.
type CutReader interface {
	ReadCuts(cut func(value string) [][]bool)
}

// RemovalReader is a controller that leaves out what others remove. [Compose]
// hands it a function that asks all removers.
type RemovalReader interface {
	ReadRemovals(removed func(value string) [][]bool)
}

// linkRemovals introduces readers to removers and cutters.
func linkRemovals(all []Controller) {
	var removed, cut []func(value string) [][]bool
	for _, x := range all {
		if r, ok := x.(Remover); ok {
			removed = append(removed, r.Removed)
		}
		if r, ok := x.(Cutter); ok {
			cut = append(cut, r.CutOut)
		}
	}
	for _, x := range all {
		if r, ok := x.(RemovalReader); ok && len(removed) > 0 {
			r.ReadRemovals(unionOf(removed))
		}
		if r, ok := x.(CutReader); ok && len(cut) > 0 {
			r.ReadCuts(unionOf(cut))
		}
	}
}

// unionOf is what any of the functions names.
func unionOf(list []func(value string) [][]bool) func(value string) [][]bool {
	return func(value string) [][]bool {
		var union [][]bool
		for _, f := range list {
			for a, gone := range f(value) {
				for len(union) <= a {
					union = append(union, nil)
				}
				if union[a] == nil {
					union[a] = slices.Clone(gone)
					continue
				}
				for i, g := range gone {
					union[a][i] = union[a][i] || g
				}
			}
		}
		return union
	}
}

// Scheduled is a controller that knows when its schedule ends.
type Scheduled interface {
	// EpochsNeeded is the number of epochs after which training has begun one at the
	// target level; 0 if that is not known.
	EpochsNeeded() int
}

// All returns the controllers that c is composed of, or c alone, in their order.
func All(c Controller) []Controller {
	if l, ok := c.(composite); ok {
		var all []Controller
		for _, x := range l {
			all = append(all, All(x)...)
		}
		return all
	}
	if c == nil {
		return nil
	}
	return []Controller{c}
}

// TrainingForm calls the controllers that have one.
func TrainingForm(c Controller, g *ir.Graph) error {
	var errs []error
	for _, x := range All(c) {
		if f, ok := x.(TrainingFormer); ok {
			if err := f.TrainingForm(g); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", x.Algorithm(), err))
			}
		}
	}
	return errors.Join(errs...)
}

// RuleOf merges the controllers' rules for a parameter.
func RuleOf(c Controller, name string) ParameterRule {
	var r ParameterRule
	for _, x := range All(c) {
		if p, ok := x.(ParameterRuler); ok {
			r = r.Merge(p.ParameterRule(name))
		}
	}
	return r
}

// SetStepsPerEpoch tells the controllers that want to know.
func SetStepsPerEpoch(c Controller, n int) {
	for _, x := range All(c) {
		if s, ok := x.(StepCounter); ok {
			s.SetStepsPerEpoch(n)
		}
	}
}

// Progress is how far one algorithm has come.
type Progress struct {
	Algorithm string  `json:"algorithm"`
	Level     float64 `json:"level"`
	Reached   float64 `json:"reached"`
	Target    float64 `json:"target"`
}

// Progresses returns the progress of the algorithms that have levels.
func Progresses(c Controller) []Progress {
	var list []Progress
	for _, l := range LeveledOf(c) {
		list = append(list, Progress{l.Algorithm(), l.Level(), l.Reached(), l.Target()})
	}
	return list
}

// LeveledOf returns the controllers that have levels, in their order.
func LeveledOf(c Controller) []Leveled {
	var list []Leveled
	for _, x := range All(c) {
		if l, ok := x.(Leveled); ok {
			list = append(list, l)
		}
	}
	return slices.Clip(list)
}
