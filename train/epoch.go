package train

import (
	"context"
	"fmt"
	"math"

	"github.com/go-nncf/nncf/data"
)

// Position is a place in training and what the epoch measured up to there. With
// the parameters, the states and the optimizer's state of that moment it is all
// that [Trainer.EpochFrom] needs to go on.
type Position struct {
	Epoch int `json:"epoch"`
	Step  int `json:"step"` // batches of Epoch that are done

	Loss    float64 `json:"loss"`    // sum over their samples
	Correct int     `json:"correct"` // -1 where labels are not known
	Samples int     `json:"samples"`
}

func (p *Position) add(r Result) {
	p.Step++
	p.Loss += r.Loss * float64(r.Samples)
	if p.Correct += r.Correct; r.Correct < 0 {
		p.Correct = -1
	}
	p.Samples += r.Samples
}

// Metrics returns the means of the epoch so far.
func (p *Position) Metrics() Metrics {
	if p.Samples == 0 {
		return Metrics{}
	}
	n := float64(p.Samples)
	m := Metrics{Samples: p.Samples, Loss: p.Loss / n, Top1: math.NaN(), Top5: math.NaN()}
	if p.Correct >= 0 {
		m.Top1 = 100 * float64(p.Correct) / n
	}
	return m
}

// Epoch trains on the batches of one epoch, from the first on. It calls the
// hook's EpochStep before. Cancelling ctx stops after the current step.
func (t *Trainer) Epoch(ctx context.Context, l *data.Loader, epoch int) (Metrics, error) {
	at := Position{Epoch: epoch}
	err := t.EpochFrom(ctx, l, &at, nil)
	return at.Metrics(), err
}

// EpochFrom trains on what is left of an epoch. After each update it moves at,
// which so is always a place to go on from, and calls each, if given, which may
// save the state and whose error ends the epoch. The hook's EpochStep is called
// at step 0 only.
//
// Cancelling ctx stops after an update, and not between EpochStep and the first
// one. The error is then that of ctx; it is nil if the epoch ended anyway.
func (t *Trainer) EpochFrom(ctx context.Context, l *data.Loader, at *Position, each func() error) error {
	steps := l.Len()
	if err := ctx.Err(); err != nil && at.Step < steps {
		return err
	}
	if at.Step == 0 {
		if err := t.beginEpoch(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	t.drop()
	now, began := *at, at.Step == 0
	meter := newMeter(steps-at.Step, t.opt.Progress)
	epoch := func() float64 { return float64(now.Epoch) + float64(now.Step)/float64(steps) }
	moved := func() error {
		*at, began = now, false
		if each == nil {
			return nil
		}
		return each()
	}
	run := context.WithoutCancel(ctx)
	last := epoch()
	for b, err := range l.BatchesFrom(run, now.Epoch, now.Step) {
		if err == nil && t.pending == 0 && !began {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		last = epoch()
		r, err := t.Step(run, b, last)
		if err != nil {
			return fmt.Errorf("epoch %d, step %d: %w", now.Epoch+1, now.Step+1, err)
		}
		now.add(r)
		meter.report(r.Samples, now, Progress{Phase: "train", Epoch: now.Epoch, Step: now.Step, Steps: steps, LR: t.schedule.LR(last)})
		if t.pending == 0 {
			if err := moved(); err != nil {
				return err
			}
		}
	}
	if t.pending > 0 {
		t.update(t.sums, last, 1/float32(t.pending))
		return moved()
	}
	return nil
}

// Evaluate runs the model without updates and measures it.
func (t *Trainer) Evaluate(ctx context.Context, l *data.Loader) (Metrics, error) {
	return Evaluate(ctx, t.g, t.evals, t.backend, t.opt, l)
}

// Schedule returns the learning-rate schedule.
func (t *Trainer) Schedule() *Schedule { return t.schedule }

// OptimizerState returns what [Optimizer.State] does.
func (t *Trainer) OptimizerState() (step int, tensors []NamedTensor) { return t.optimizer.State() }

// LoadOptimizerState restores it.
func (t *Trainer) LoadOptimizerState(step int, tensors []NamedTensor) error {
	return t.optimizer.LoadState(step, tensors)
}
