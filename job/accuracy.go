package job

import (
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/pruning"
	"github.com/go-nncf/nncf/compress/sparsity"
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/train"
)

// search is the state of accuracy-aware training. It is decided anew at the end
// of every epoch and before the first one of every level, and both are saved, so
// that a resumed run decides the same.
type search struct {
	// Tolerated is the lowest accuracy that is good enough, in percent.
	Tolerated float64 `json:"tolerated"`
	// Done: training ends, for the reason Why.
	Done bool   `json:"done,omitempty"`
	Why  string `json:"why,omitempty"`

	// The rest is that of adaptive_compression_level. Searching: the first phase is
	// over. Ready: the model has been prepared for the epoch that is next.
	Searching bool    `json:"searching,omitempty"`
	Ready     bool    `json:"ready,omitempty"`
	Level     float64 `json:"level,omitempty"`
	Step      float64 `json:"step,omitempty"`
	Sign      int     `json:"sign,omitempty"`  // of the last change
	Turns     int     `json:"turns,omitempty"` // of its direction
	Epochs    int     `json:"epochs,omitempty"`
	Budget    float64 `json:"budget,omitempty"` // best at this level, in points above Tolerated
}

// Levels beyond these are not tried.
const (
	lowestLevel  = 0.0
	highestLevel = 0.95
)

// AccuracyVerdict is the result of accuracy-aware training.
type AccuracyVerdict struct {
	Mode      string  `json:"mode"`
	Tolerated float64 `json:"tolerated"` // lowest accuracy that is good enough
	Metric    float64 `json:"metric"`    // of the best model
	Enough    bool    `json:"enough"`
	// Level is that of the best model, of adaptive_compression_level.
	Level float64 `json:"level,omitempty"`
	Why   string  `json:"why,omitempty"` // training ended
}

// epochs is the largest number of epochs.
func (r *run) epochs() int { return r.c.AccuracyAware.Limit(r.c.Epochs) }

// searched is the algorithm whose level is searched: the first of magnitude
// sparsity and filter pruning.
func (r *run) searched() (compress.Leveled, error) {
	if r.state.compressed != nil {
		for _, l := range compress.LeveledOf(r.state.compressed.Controller) {
			if n := l.Algorithm(); n == sparsity.Magnitude || n == pruning.Name {
				return l, nil
			}
		}
	}
	return nil, errors.New("accuracy_aware_training: adaptive_compression_level searches the level of magnitude_sparsity or filter_pruning, and the configuration has neither; add one, or choose early_exit")
}

// searchable prepares the algorithms for a search that lowers levels too.
func (r *run) searchable() error {
	if r.c.AccuracyAware.Mode != config.AdaptiveCompression {
		return nil
	}
	for i, a := range r.algorithms {
		switch p, ok := a.(pruning.Algorithm); {
		case !ok:
		case p.Options.Params.Removal == pruning.AtTraining:
			return errors.New(`accuracy_aware_training: adaptive_compression_level raises and lowers the level of filter_pruning, and filters that are cut out during training cannot come back: set "removal" to "export" in its params, or choose early_exit`)
		default:
			p.Options.Params.KeepWeights = true
			r.algorithms[i] = p
		}
	}
	return nil
}

// beginSearch starts accuracy-aware training of a model that is initialised.
func (r *run) beginSearch() error {
	a := r.c.AccuracyAware
	if a == nil {
		return nil
	}
	float := r.result.Float.Top1
	s := &search{Tolerated: float * (1 - 0.01*compress.ValueOr(a.Params.Relative, 1)), Step: compress.ValueOr(a.Params.Step, 0.1)}
	if a.Params.Absolute != nil {
		s.Tolerated = float - *a.Params.Absolute
	}
	r.meta.Search = s
	if a.Mode == config.AdaptiveCompression {
		l, err := r.searched()
		if err != nil {
			return err
		}
		r.meta.Best.Level, r.meta.Best.Enough = l.Level(), r.meta.Best.Metric >= s.Tolerated
	}
	r.opt.note("accuracy-aware training: float %.2f %%, tolerated %.2f %%, initialised %.2f %%", float, s.Tolerated, r.meta.Best.Metric)
	r.firstPhase(*r.meta.Best)
	return nil
}

// firstPhase ends the phase in which schedules are followed, if the model now is
// good enough or its epochs are over.
func (r *run) firstPhase(now best) {
	a, s := r.c.AccuracyAware, r.meta.Search
	good := now.Stage == compress.FullyCompressed && now.Metric >= s.Tolerated
	if a.Mode == config.EarlyExit {
		if good {
			s.Done, s.Why = true, "the fully compressed model is accurate enough"
		}
		return
	}
	if good || now.Epoch+1 >= compress.ValueOr(a.Params.InitialEpochs, 5) {
		s.Searching, s.Level, s.Epochs, s.Budget = true, now.Level, 0, now.Metric-s.Tolerated
	}
}

// judge completes what is known of a model after an epoch and reports whether it
// is the best so far. The search moves on.
func (r *run) judge(now *best) bool {
	s := r.meta.Search
	if s == nil {
		return r.meta.Best.beatenBy(now.Stage, now.Metric)
	}
	s.Ready = false
	if r.c.AccuracyAware.Mode == config.EarlyExit {
		r.firstPhase(*now)
		return r.meta.Best.beatenBy(now.Stage, now.Metric)
	}
	l, err := r.searched()
	if err != nil {
		panic("job: " + err.Error()) // beginSearch has found it
	}
	now.Level, now.Enough = l.Level(), now.Metric >= s.Tolerated
	if !s.Searching {
		r.firstPhase(*now)
	} else {
		if s.Epochs++; s.Epochs == 1 || now.Metric-s.Tolerated > s.Budget {
			s.Budget = now.Metric - s.Tolerated
		}
	}
	return r.meta.Best.outdone(now)
}

// outdone reports whether b is less than a model of the search: accurate enough
// beats not so; among those that are the level counts, then the accuracy.
func (b *best) outdone(now *best) bool {
	switch {
	case b.Enough != now.Enough:
		return now.Enough
	case now.Enough && now.Level != b.Level:
		return now.Level > b.Level
	}
	return now.Metric > b.Metric
}

// nextLevel prepares the next epoch. It reports whether there is one.
func (r *run) nextLevel() (bool, error) {
	s := r.meta.Search
	switch {
	case s == nil:
		return true, nil
	case s.Done:
		return false, nil
	case !s.Searching || s.Ready || r.meta.At.Step > 0:
		return true, nil
	}
	p := r.c.AccuracyAware.Params
	first := s.Sign == 0
	if first || s.Budget >= 0 || s.Epochs >= compress.ValueOr(p.Patience, 3) {
		if err := r.changeLevel(); err != nil || s.Done {
			return false, err
		}
	}
	s.Ready = true
	return true, r.save(lastName)
}

// changeLevel goes on from the best model at another level.
func (r *run) changeLevel() error {
	s, p := r.meta.Search, r.c.AccuracyAware.Params
	sign := 1
	if s.Budget < 0 {
		sign = -1
	}
	if s.Sign != 0 && sign != s.Sign {
		s.Step *= compress.ValueOr(p.StepFactor, 0.5)
		s.Turns++
	}
	level := s.Level + float64(sign)*s.Step
	end := func(why string, args ...any) error {
		s.Done, s.Why = true, fmt.Sprintf(why, args...)
		return r.save(lastName)
	}
	switch {
	case s.Step < compress.ValueOr(p.MinimalStep, 0.025):
		return end("the next change of the level would be %.4g, less than the least", s.Step)
	case level < lowestLevel:
		return end("the accuracy is not reached at the level %.4g, and there is no lower one to try", s.Level)
	case level > highestLevel:
		return end("the accuracy holds at the level %.4g, and there is no higher one to try", s.Level)
	}
	ck, err := train.LoadCheckpoint(r.path(bestName))
	if err != nil {
		return err
	}
	if r.state, _, err = restore(ck); err != nil {
		return fmt.Errorf("%s: %w", r.path(bestName), err)
	}
	l, err := r.searched()
	if err != nil {
		return err
	}
	if err := l.SetLevel(level); err != nil {
		return err
	}
	if err := r.trainer.Close(); err != nil {
		return err
	}
	if err := r.newTrainer(); err != nil {
		return err
	}
	rate := r.c.TrainOptions().Schedule.LR
	for range s.Turns {
		rate *= compress.ValueOr(p.LRFactor, 0.5)
	}
	r.trainer.Schedule().Fixed = rate
	r.opt.note("level %.4g after %.4g (budget %+.2f points): from the best model, learning rate %.4g", level, s.Level, s.Budget, rate)
	s.Level, s.Sign, s.Epochs, s.Budget = level, sign, 0, 0
	return nil
}

// verdict is what the search has found so far.
func (r *run) verdict() *AccuracyVerdict {
	s, b := r.meta.Search, r.meta.Best
	if s == nil || b == nil {
		return nil
	}
	v := &AccuracyVerdict{Mode: r.c.AccuracyAware.Mode, Tolerated: s.Tolerated, Metric: b.Metric, Enough: b.Metric >= s.Tolerated, Why: s.Why}
	if v.Mode == config.AdaptiveCompression {
		v.Level = b.Level
	} else if b.Stage != compress.FullyCompressed {
		v.Enough = false
	}
	if v.Why == "" && r.meta.At.Epoch >= r.epochs() {
		v.Why = fmt.Sprintf("%d epochs are done", r.meta.At.Epoch)
	}
	return v
}
