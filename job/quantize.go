package job

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/ptq"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/train"
)

// QuantizeOptions describe a post-training quantization.
type QuantizeOptions struct {
	Model      string // ONNX file
	Output     string
	Algorithms []compress.Algorithm
	Samples    int          // of Data for calibration
	Recovery   ptq.Options  // what else keeps accuracy; its subset is Samples
	Data       *data.Loader // calibration, in its order
	// Eval is what accuracy is measured on; without labels, how far outputs are from
	// the float model's. nil: nothing is measured.
	Eval *data.Loader
	// Control, if given, returns layers to more bits or to float until the
	// accuracy or the error of the outputs is within its budget. It needs Eval, or
	// Held: samples that are not among those of calibration, labels play no part.
	Control *AccuracyControl
	Held    *data.Loader
	Export  ExportOptions
	Threads int
	Options
}

// Quantize initialises compression from data and exports the result, without
// training. Beside the output it writes a checkpoint, from which [Export] makes
// other forms: model.ckpt for model.onnx.
func Quantize(ctx context.Context, o QuantizeOptions) (_ *Result, err error) {
	start := time.Now()
	defer func() {
		if o.Control != nil && err != nil && ctx.Err() != nil {
			err = fmt.Errorf("%w; the best model so far is in %s, the same command goes on", ErrInterrupted, o.Output)
			return
		}
		err = cancelled(ctx, err)
	}()
	o.Recovery.Subset = o.Samples
	if err := errors.Join(o.Export.Validate(), o.Recovery.Validate()); err != nil {
		return nil, err
	}
	if o.Control != nil {
		if err := o.Control.Validate(); err != nil {
			return nil, err
		}
		switch {
		case o.Control.MaxError == 0 && o.Eval == nil:
			return nil, errors.New("accuracy control needs data to measure the accuracy on")
		case o.Control.MaxError == 0 && !hasLabels(o.Eval):
			return nil, errors.New("accuracy control needs labels, and the data has none: a budget of output errors (max_error) needs none")
		case o.Control.MaxError > 0 && o.Held == nil:
			return nil, errNoHeld
		case o.Control.Return == ptq.ReturnTo16 && o.Export.Format == nncf.FakeQuantize:
			return nil, errors.New("return_to: got 16bit with the FakeQuantize form, which has at most 8 bits: want float")
		}
	}
	if sameFile(o.Model, o.Output) {
		return nil, fmt.Errorf("output %s would replace the model: choose another name", o.Output)
	}
	m, err := nncf.Load(o.Model)
	if err != nil {
		return nil, err
	}
	if err := Fit(ctx, m, &o.Options, o.Threads, o.Data, o.Eval, o.Held); err != nil {
		return nil, err
	}
	o.Data.Batch = min(o.Data.BatchSize(), calibrationBatch)
	r := &Result{Model: o.Model}
	if o.Control != nil {
		s, err := o.control(ctx, m, r)
		if err != nil {
			return nil, err
		}
		if r, err = o.finish(ctx, s, r, start); err == nil && o.Control.MaxError > 0 {
			err = o.measureFile(ctx, m, r.Search)
			r.Seconds = time.Since(start).Seconds()
		}
		return r, err
	}
	measure, err := o.measure(ctx, m, r)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	o.note("collecting ranges on %d samples", o.Samples)
	s, err := o.quantize(ctx, m)
	if err != nil {
		return nil, err
	}
	r.QuantizeSeconds = time.Since(begin).Seconds()
	if measure != nil {
		o.note("evaluating the quantized model")
		c, err := measure(s.compressed.Graph)
		if err != nil {
			return nil, err
		}
		r.Compressed, r.Metrics, r.Samples = &c, c, c.Samples
	}
	return o.finish(ctx, s, r, start)
}

// measure measures the float model and returns what measures others; nil if nothing
// is to be measured.
func (o QuantizeOptions) measure(ctx context.Context, m *nncf.Model, r *Result) (func(*ir.Graph) (train.Metrics, error), error) {
	if o.Eval == nil {
		return nil, nil
	}
	scores, why := train.Logits(m.Graph), ""
	switch {
	case !hasLabels(o.Eval):
		why = "the data has no labels"
	case !scores.Type.IsScores():
		why = fmt.Sprintf("output %q is %v, no scores of classes", scores.Name, scores.Type)
	}
	if why != "" {
		o.Eval.Dataset = data.First(o.Eval.Dataset, unlabelledSamples)
		if _, fixed := m.Graph.FixedBatch(); !fixed {
			o.Eval.Batch = min(o.Eval.BatchSize(), unlabelledBatch)
		}
		o.note("%s: measuring the outputs of %d samples against the float model's", why, o.Eval.Dataset.Len())
		ref, err := newReference(ctx, m.Graph, o.Eval, o.Threads)
		return func(g *ir.Graph) (train.Metrics, error) { return likeness(ctx, ref, g) }, err
	}
	evaluate := func(g *ir.Graph) (train.Metrics, error) {
		return nncf.Evaluate(ctx, g, o.Eval, train.Options{Threads: o.Threads, Logger: o.Logger, Progress: o.Progress})
	}
	o.note("evaluating the float model")
	f, err := evaluate(m.Graph)
	r.Float = &f
	return evaluate, err
}

// finish writes the result and completes the report.
func (o QuantizeOptions) finish(ctx context.Context, s *state, r *Result, start time.Time) (_ *Result, err error) {
	r.Stage = s.compressed.Stage()
	st := s.compressed.Statistics()
	r.Statistics = &st
	o.note("exporting %s", o.Output)
	if r.Export, err = o.keep(ctx, s, r, true); err != nil {
		return nil, err
	}
	r.Output = o.Output
	r.Seconds = time.Since(start).Seconds()
	return r, nil
}

// keep writes the model and its checkpoint; verify reads it back and compares.
func (o QuantizeOptions) keep(ctx context.Context, s *state, r *Result, verify bool) (*ExportReport, error) {
	r.Checkpoint = strings.TrimSuffix(o.Output, filepath.Ext(o.Output)) + ".ckpt"
	if err := os.MkdirAll(filepath.Dir(o.Output), 0o755); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	ck, err := s.checkpoint(checkpointMeta{Result: r}, nil)
	if err != nil {
		return nil, err
	}
	if err := ck.Save(r.Checkpoint); err != nil {
		return nil, err
	}
	samples := o.Data
	if !verify {
		samples = nil
	}
	return exportModel(ctx, s, o.Output, o.Export, samples, verifyCalibration, o.Threads)
}

// calibrationBatch bounds the batches of calibration: the values that ranges are
// collected from are all in memory at once.
const calibrationBatch = 50

// quantize makes the compressed model from m, of which nothing changes.
func (o QuantizeOptions) quantize(ctx context.Context, m *nncf.Model) (*state, error) {
	cal := nncf.Calibration(ctx, o.Data)
	limited := compress.Calibration{Batches: func(n int) compress.Batches { return cal.Batches(min(n, o.Samples)) },
		Labelled: cal.Labelled, Cache: nncf.CacheDir(), Note: o.Note}
	float, c, err := nncf.Quantize(ctx, m, nncf.QuantizeOptions{Options: o.Recovery, Algorithms: o.Algorithms, Calibration: limited, Threads: o.Threads, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	s, err := newState(float)
	if err != nil {
		return nil, err
	}
	s.compressed = c
	return s, nil
}

// cancelled turns the error of a cancelled context into [ErrInterrupted].
func cancelled(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return fmt.Errorf("%w; there is nothing to resume", ErrInterrupted)
	}
	return err
}

// Evaluate measures an ONNX file on a data set.
func Evaluate(ctx context.Context, model string, l *data.Loader, threads int, opt Options) (_ *Result, err error) {
	start := time.Now()
	defer func() { err = cancelled(ctx, err) }()
	m, err := nncf.Load(model)
	if err != nil {
		return nil, err
	}
	if err := Fit(ctx, m, &opt, threads, l); err != nil {
		return nil, err
	}
	metrics, err := nncf.Evaluate(ctx, m.Graph, l, train.Options{Threads: threads, Logger: opt.Logger, Progress: opt.Progress})
	if err != nil {
		return nil, err
	}
	return &Result{Model: model, Samples: metrics.Samples, Metrics: metrics, Seconds: time.Since(start).Seconds()}, nil
}
