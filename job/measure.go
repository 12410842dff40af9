package job

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/distillation"
	"github.com/go-nncf/nncf/compress/sensitivity"
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/train"
)

// unlabelled reports whether a run trains without labels: its samples need none,
// and models are measured by how far their outputs are from the float model's.
func unlabelled(c *config.Config) bool { return c.Loss.Type == train.NoLoss }

// errNoTeacher is the error of a run without labels that has nothing to learn from.
var errNoTeacher = fmt.Errorf(`"loss" is none, which leaves training to a teacher, and the configuration has none: add {"algorithm": %q, "type": "relative_mse"} to "compression"`, distillation.Name)

// checkUnlabelled reports what a run without labels cannot do.
func (r *run) checkUnlabelled() error {
	var errs []error
	taught := false
	for _, a := range r.algorithms {
		taught = taught || a.Name() == distillation.Name
	}
	if !taught {
		errs = append(errs, errNoTeacher)
	}
	if r.c.AccuracyAware != nil {
		errs = append(errs, errors.New(`accuracy_aware_training: accuracy needs labels, and "loss" is none; remove one of the two`))
	}
	return errors.Join(errs...)
}

// hasLabels reports whether the samples of a loader have labels.
func hasLabels(l *data.Loader) bool { return l.Dataset.Len() == 0 || l.Dataset.Label(0) >= 0 }

// checkLabelled reports a data set without labels in a run that needs them.
func (r *run) checkLabelled() error {
	var errs []error
	for _, l := range []struct {
		what string
		*data.Loader
	}{{"training", r.train}, {"evaluation", r.eval}} {
		if !hasLabels(l.Loader) {
			errs = append(errs, fmt.Errorf(`the %s data has no labels, which loss and accuracy need: choose data that has, or a float teacher, "loss": {"type": "none"} with %s`, l.what, distillation.Name))
		}
	}
	return errors.Join(errs...)
}

// Bounds of an evaluation without labels, unless the configuration says otherwise:
// the outputs of the float model are in memory during the whole run.
const (
	unlabelledSamples = 300
	unlabelledBatch   = 25
)

// evaluate measures a form of the model.
func (r *run) evaluate(ctx context.Context, g *ir.Graph) (train.Metrics, error) {
	if !unlabelled(r.c) {
		return nncf.Evaluate(ctx, g, r.eval, train.Options{Threads: r.c.Threads, Logger: r.opt.Logger, Progress: r.opt.Progress})
	}
	if r.reference == nil {
		var err error
		if r.reference, err = newReference(ctx, r.state.float.Graph, r.eval, r.c.Threads); err != nil {
			return train.Metrics{}, err
		}
	}
	return likeness(ctx, r.reference, g)
}

// newReference runs the float model over the samples of a loader.
func newReference(ctx context.Context, float *ir.Graph, l *data.Loader, threads int) (*sensitivity.Reference, error) {
	cal, n := nncf.Calibration(ctx, l), l.Dataset.Len()
	return nncf.NewReference(ctx, float, func() compress.Batches { return cal.Batches(n) }, threads)
}

// likeness measures how far the outputs of g are from the float model's.
func likeness(ctx context.Context, ref *sensitivity.Reference, g *ir.Graph) (train.Metrics, error) {
	list, err := ref.Errors(ctx, g)
	if err != nil {
		return train.Metrics{}, err
	}
	return train.Metrics{Samples: ref.Samples, Loss: math.NaN(), Top1: math.NaN(), Top5: math.NaN(), Outputs: list}, nil
}

// evaluateTrained measures the model that the trainer has.
func (r *run) evaluateTrained(ctx context.Context) (train.Metrics, error) {
	if unlabelled(r.c) {
		return r.evaluate(ctx, r.state.graph())
	}
	return r.trainer.Evaluate(ctx, r.eval) // which keeps its programs
}

// found tells what an epoch reached.
func found(e EpochResult) string {
	if e.Eval.Outputs == nil {
		return fmt.Sprintf(", top-1 %.2f %% in training, %.2f %% in evaluation", e.Train.Top1, e.Eval.Top1)
	}
	worst := sensitivity.WorstOutput(e.Eval.Outputs)
	return fmt.Sprintf(", output %s off by %.3g %%", worst.Output, 100*float64(worst.Median))
}

// measured is a form of the model by name, and what was measured of it.
type measured struct {
	name    string
	metrics *train.Metrics // nil: nothing
}

// writeMetrics writes the rows of a table: accuracies, or the errors of the
// outputs where there are no labels.
func writeMetrics(row func(format string, args ...any), list []measured) {
	list = slices.DeleteFunc(list, func(m measured) bool { return m.metrics == nil })
	if len(list) == 0 {
		return
	}
	if len(list[len(list)-1].metrics.Outputs) == 0 {
		row("\ttop-1\ttop-5\tloss\tsamples")
		for _, l := range list {
			m := l.metrics
			row("%s\t%.2f %%\t%.2f %%\t%.4f\t%d", l.name, m.Top1, m.Top5, m.Loss, m.Samples)
		}
		return
	}
	row("relative error to the float model, %d samples\tmedian\tat most\tSQNR\tworst", list[0].metrics.Samples)
	for _, l := range list {
		for _, e := range l.metrics.Outputs {
			row("%s, output %s\t%.3g %%\t%.3g %%\t%s dB\t%.3g %% (sample %d)", l.name, e.Output, 100*e.Median, 100*e.Bound, e.SQNR.Text(), 100*e.Worst, e.WorstSample)
		}
	}
}
