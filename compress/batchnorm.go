package compress

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
)

// BatchNormAdaptation says how to bring the running statistics of batch
// normalization in line with a model that compression has just changed:
// training data run through the compressed model while every BatchNormalization
// is in training form with its own momentum; no parameter is touched. The zero
// value runs [DefaultAdaptationSamples].
//
// Samples count single inputs; steps, if given, count batches instead. A forget
// stage before it lets every batch replace 9/10 of the statistics, which the
// original implementation did until version 2.4.
type BatchNormAdaptation struct {
	Samples       *int `json:"num_bn_adaptation_samples,omitempty"`
	Steps         *int `json:"num_bn_adaptation_steps,omitempty"`
	ForgetSamples int  `json:"num_bn_forget_samples,omitempty"`
	ForgetSteps   int  `json:"num_bn_forget_steps,omitempty"`
}

// DefaultAdaptationSamples is how many samples [BatchNormAdaptation] takes
// unless told otherwise.
const DefaultAdaptationSamples = 2000

// forgetMomentum is what is left of the old statistics after a batch of the
// forget stage.
const forgetMomentum = 0.1

// Validate reports all problems.
func (a BatchNormAdaptation) Validate() error {
	var errs []error
	check := func(key string, n int) {
		if n < 0 {
			errs = append(errs, fmt.Errorf("%s: got %d, want 0 or more", key, n))
		}
	}
	if a.Samples != nil {
		check("num_bn_adaptation_samples", *a.Samples)
	}
	if a.Steps != nil {
		check("num_bn_adaptation_steps", *a.Steps)
	}
	check("num_bn_forget_samples", a.ForgetSamples)
	check("num_bn_forget_steps", a.ForgetSteps)
	if a.Samples != nil && a.Steps != nil {
		errs = append(errs, errors.New("num_bn_adaptation_samples and num_bn_adaptation_steps: got both, want one"))
	}
	return errors.Join(errs...)
}

// Run adapts the statistics of g, in place: its stored tensors change, its
// nodes do not. It does nothing if g normalizes no batches.
func (a BatchNormAdaptation) Run(ctx context.Context, r Runner, g *ir.Graph, c Calibration) error {
	samples, steps := DefaultAdaptationSamples, 0
	if a.Samples != nil {
		samples = *a.Samples
	}
	if a.Steps != nil {
		samples, steps = 0, *a.Steps
	}
	if err := AdaptBatchNorm(ctx, r, g, c, a.ForgetSamples, a.ForgetSteps, forgetMomentum); err != nil {
		return err
	}
	return AdaptBatchNorm(ctx, r, g, c, samples, steps, 0)
}

// AdaptBatchNorm runs the given number of samples, or of batches if steps is
// not 0, through g with batch normalization in training form. momentum is what
// each batch leaves of the old statistics, 0 for what the model says.
func AdaptBatchNorm(ctx context.Context, r Runner, g *ir.Graph, c Calibration, samples, steps int, momentum float32) error {
	if samples == 0 && steps == 0 {
		return nil
	}
	has := false
	for _, n := range g.Nodes() {
		_, bn := n.Op.(op.BatchNormalization)
		has = has || bn
	}
	if !has {
		return nil
	}
	t := g.Clone()
	if err := pass.TrainingMode(t, pass.TrainingOptions{Momentum: momentum}, nil); err != nil {
		return fmt.Errorf("batch normalization adaptation: %w", err)
	}
	if c.Training != nil {
		c.Batches = c.Training
	}
	err := r.Run(ctx, t, nil, c.Take(samples, steps), func([]*tensor.Tensor) error { return nil })
	if err != nil {
		return fmt.Errorf("batch normalization adaptation: %w", err)
	}
	return nil
}

// Take returns batches with the given number of samples, or the given number
// of batches if steps is not 0.
func (c Calibration) Take(samples, steps int) Batches {
	if steps == 0 {
		return c.Batches(samples)
	}
	const many = math.MaxInt32 // more samples than anybody runs; the loop ends by steps
	return func(yield func([]*tensor.Tensor, error) bool) {
		i := 0
		for b, err := range c.Batches(many) {
			if !yield(b, err) || err != nil {
				return
			}
			if i++; i == steps {
				return
			}
		}
	}
}
