package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/channel"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
)

// RemovalReport says what cutting pruned channels out of a model saves.
type RemovalReport struct {
	Before nncf.ModelSize `json:"before"` // with zeros
	After  nncf.ModelSize `json:"after"`
	// Batch is the batch that was timed.
	Batch int `json:"batch,omitempty"`
	// MaxRelativeDifference between outputs of the masked and the shrunk model, on
	// Compared samples, over the largest output.
	MaxRelativeDifference float64 `json:"max_relative_difference"`
	Compared              int     `json:"compared"`
}

const (
	// removalTolerance is how far the masked and the shrunk float model may be
	// apart: sums of fewer terms are rounded elsewhere.
	removalTolerance = 1e-5
	removalSamples   = 128
	removalRuns      = 5 // of which the fastest counts
)

// removal measures what removal does to a model, and verifies that it changes
// nothing. It returns nil if nothing is removed.
func removal(ctx context.Context, c *nncf.Compressed, samples *data.Loader, threads int) (*RemovalReport, error) {
	m, err := c.Removal()
	if m == nil || err != nil {
		return nil, err
	}
	r := &RemovalReport{Before: m.Before, After: m.After}
	if samples == nil {
		return r, nil
	}
	var batch []*tensor.Tensor
	for b, err := range nncf.Calibration(ctx, samples).Batches(removalSamples) {
		if err != nil {
			return nil, err
		}
		batch = b
		break
	}
	if batch == nil {
		return r, nil
	}
	want, before, err := timed(ctx, m.Masked, batch, threads)
	if err != nil {
		return nil, err
	}
	got, after, err := timed(ctx, m.Shrunk, batch, threads)
	if err != nil {
		return nil, fmt.Errorf("the model without its pruned channels: %w", err)
	}
	r.Before.Milliseconds, r.After.Milliseconds = before, after
	r.Batch = batch[0].Shape()[0]
	r.Compared = r.Batch
	if r.MaxRelativeDifference, err = apart(want, got); err != nil {
		return nil, err
	}
	if r.MaxRelativeDifference > removalTolerance && quantizerBits(c) == "32" {
		return nil, fmt.Errorf("removing pruned channels changes the outputs by %.2g of the largest, want at most %.0g", r.MaxRelativeDifference, removalTolerance)
	}
	return r, nil
}

// apart is the largest difference over the largest output.
func apart(want, got *tensor.Tensor) (float64, error) {
	if !want.Shape().Equal(got.Shape()) {
		return 0, fmt.Errorf("removing pruned channels makes output %v of %v", got, want)
	}
	largest, worst := 0.0, 0.0
	for i, w := range want.F32() {
		largest = max(largest, math.Abs(float64(w)))
		worst = max(worst, math.Abs(float64(w)-float64(got.F32()[i])))
	}
	if math.IsNaN(worst) || math.IsInf(worst, 0) {
		return 0, errors.New("comparing the model with and without its pruned channels: outputs are not finite")
	}
	if largest > 0 {
		worst /= largest
	}
	return worst, nil
}

// timed runs a graph on one batch and returns its first output and the
// milliseconds of the fastest run.
func timed(ctx context.Context, g *ir.Graph, batch []*tensor.Tensor, threads int) (*tensor.Tensor, float64, error) {
	var out *tensor.Tensor
	best := math.Inf(1)
	last := time.Now()
	again := func(yield func([]*tensor.Tensor, error) bool) {
		for range removalRuns {
			last = time.Now()
			if !yield(batch, nil) {
				return
			}
		}
	}
	first := true
	err := nncf.Run(ctx, g, g.Outputs[:1], again, engine.Options{Threads: threads}, func(got []*tensor.Tensor) error {
		if first { // compiled the graph
			first = false
			out = got[0].Clone()
			return nil
		}
		best = min(best, float64(time.Since(last))/float64(time.Millisecond))
		return nil
	})
	return out, best, err
}

// shrink cuts pruned channels out of the model under training, once their masks
// are final and if the configuration asks for it. What the optimizer remembers
// of the parameters that stay, it keeps.
func (r *run) shrink(ctx context.Context) error {
	c := r.state.compressed
	if c == nil || r.meta.At.Epoch >= r.epochs() {
		return nil
	}
	shapes := map[string]tensor.Shape{}
	for v := range c.Graph.Parameters() {
		shapes[v.Name] = v.Data.Shape()
	}
	report, err := r.verifyShrink(ctx)
	if err != nil || report == nil {
		return err
	}
	cuts, err := c.ShrinkNow()
	if err != nil || len(cuts) == 0 {
		return err
	}
	r.opt.note("pruned channels are cut out: %s parameters instead of %s, %.1f ms instead of %.1f for a batch of %d",
		thousands(report.After.Parameters), thousands(report.Before.Parameters), report.After.Milliseconds, report.Before.Milliseconds, report.Batch)
	if r.trainer == nil {
		return nil
	}
	step, tensors := r.trainer.OptimizerState()
	schedule, err := json.Marshal(r.trainer.Schedule())
	if err != nil {
		return err
	}
	if tensors, err = cutMoments(tensors, shapes, cuts); err != nil {
		return err
	}
	if err := r.trainer.Close(); err != nil {
		return err
	}
	if err := r.newTrainer(); err != nil {
		return err
	}
	if err := json.Unmarshal(schedule, r.trainer.Schedule()); err != nil {
		return err
	}
	return r.trainer.LoadOptimizerState(step, tensors)
}

// verifyShrink measures a removal that is due, nil if none is.
func (r *run) verifyShrink(ctx context.Context) (*RemovalReport, error) {
	due := false
	for _, x := range compress.All(r.state.compressed.Controller) {
		if p, ok := x.(interface{ ShrinkNow() bool }); ok && p.ShrinkNow() {
			due = true
		}
	}
	if !due {
		return nil, nil
	}
	return removal(ctx, r.state.compressed, r.eval, r.c.Threads)
}

// cutMoments cuts an optimizer's tensors like the parameters they belong to.
func cutMoments(tensors []train.NamedTensor, shapes map[string]tensor.Shape, cuts []channel.Cut) ([]train.NamedTensor, error) {
	out := make([]train.NamedTensor, len(tensors))
	for i, t := range tensors {
		out[i] = t
		name, ok := train.MomentOf(t.Name)
		shape := shapes[name]
		if !ok || shape == nil || t.Tensor.Len() != shape.Numel() {
			continue
		}
		x := t.Tensor.Reshape(shape...)
		for _, c := range cuts {
			if c.Value != name {
				continue
			}
			var err error
			if x, err = channel.Select(x, c.Axis, c.Kept); err != nil {
				return nil, fmt.Errorf("%s: %w", t.Name, err)
			}
		}
		out[i].Tensor = x.Reshape(x.Len())
	}
	return out, nil
}

// controllerErrors is what controllers could not tell when it happened.
func (r *run) controllerErrors() error {
	if r.state.compressed == nil {
		return nil
	}
	var errs []error
	for _, x := range compress.All(r.state.compressed.Controller) {
		if e, ok := x.(interface{ Err() error }); ok {
			errs = append(errs, e.Err())
		}
	}
	return errors.Join(errs...)
}

// thousands writes a number with spaces between groups of digits.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}
