package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/train"
)

// Options are what a run needs besides its configuration.
type Options struct {
	// Resume goes on from the last checkpoint; without one the run starts anew.
	Resume   bool
	Logger   *slog.Logger
	Progress func(train.Progress)
	// Note receives one line about each phase of the run.
	Note func(format string, args ...any)
}

func (o *Options) note(format string, args ...any) {
	if o.Note != nil {
		o.Note(format, args...)
	}
}

// Names of the files of a run.
const (
	lastName = "last.ckpt"
	bestName = "best.ckpt"
	onnxName = "model.onnx"
)

// ErrInterrupted is returned by Train when its context was cancelled; the last
// checkpoint resumes.
var ErrInterrupted = errors.New("interrupted")

// Train runs a configuration. When ctx is cancelled it stops after the current
// step, writes a checkpoint and returns ErrInterrupted.
func Train(ctx context.Context, c *config.Config, opt Options) (*Result, error) {
	r := &run{c: c, opt: opt, start: time.Now(), dir: c.Path(first(c.LogDir, "runs"))}
	if c.Checkpoint.Dir != "" {
		r.dir = c.Path(c.Checkpoint.Dir)
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	if r.train, r.eval, r.calibration, err = loaders(c); err != nil {
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	if err := r.fit(ctx); err != nil {
		return nil, err
	}
	return r.finish(ctx)
}

// run is one execution of Train.
type run struct {
	c     *config.Config
	opt   Options
	start time.Time
	dir   string

	train, eval, calibration *data.Loader
	state                    *state
	trainer                  *train.Trainer
	meta                     checkpointMeta
	result                   Result
}

func (r *run) path(name string) string { return filepath.Join(r.dir, name) }

// prepare makes the model to train: from the last checkpoint, or from the
// configuration.
func (r *run) prepare(ctx context.Context) error {
	if r.opt.Resume {
		ck, err := train.LoadCheckpoint(r.path(lastName))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			r.opt.note("no checkpoint in %s: starting anew", r.dir)
		case err != nil:
			return err
		default:
			return r.resume(ck)
		}
	}
	m, err := loadModel(r.c)
	if err != nil {
		return err
	}
	if r.state, err = newState(m); err != nil {
		return err
	}
	r.result.Model = r.c.Model
	if len(r.c.Compression) > 0 {
		if err := r.compress(ctx, m); err != nil {
			return err
		}
	}
	return r.newTrainer()
}

func (r *run) compress(ctx context.Context, m *nncf.Model) error {
	algorithms, err := r.c.Algorithms()
	if err != nil {
		return err
	}
	r.opt.note("evaluating the float model on %d samples", r.eval.Examples())
	float, err := r.evaluate(ctx, m)
	if err != nil {
		return err
	}
	r.result.Float = &float
	r.opt.note("initialising compression")
	r.state.compressed, err = nncf.Compress(ctx, m, algorithms, nncf.CompressOptions{
		Calibration: nncf.Calibration(ctx, r.calibration), Threads: r.c.Threads, Logger: r.opt.Logger})
	if err != nil {
		return err
	}
	initialised, err := r.evaluate(ctx, nil)
	if err != nil {
		return err
	}
	r.result.Initialized = &initialised
	return nil
}

// evaluate measures a model, or the one under training if m is nil.
func (r *run) evaluate(ctx context.Context, m *nncf.Model) (train.Metrics, error) {
	g := r.state.graph()
	if m != nil {
		g = m.Graph
	}
	return nncf.Evaluate(ctx, g, r.eval, train.Options{Threads: r.c.Threads, Logger: r.opt.Logger, Progress: r.opt.Progress})
}

func (r *run) newTrainer() (err error) {
	o := r.c.TrainOptions()
	o.Logger, o.Progress = r.opt.Logger, r.opt.Progress
	var hook train.Hook
	if r.state.compressed != nil {
		hook = r.state.compressed
	}
	r.trainer, err = nncf.NewTrainer(r.state.graph(), o, hook)
	return err
}

func (r *run) resume(ck *train.Checkpoint) (err error) {
	if r.state, r.meta, err = restore(ck); err != nil {
		return err
	}
	if r.meta.Result != nil {
		r.result = *r.meta.Result
	}
	if err := r.newTrainer(); err != nil {
		return err
	}
	if err := json.Unmarshal(r.meta.Schedule, r.trainer.Schedule()); err != nil {
		return fmt.Errorf("checkpoint schedule: %w", err)
	}
	r.opt.note("resuming at epoch %d, step %d", r.meta.Epoch, r.meta.Step)
	return r.trainer.LoadOptimizerState(r.meta.OptimizerStep, ck.Tensors)
}

// fit trains the epochs that are left.
func (r *run) fit(ctx context.Context) error {
	defer r.trainer.Close()
	for r.meta.Epoch < r.c.Epochs {
		epochStart := time.Now()
		metrics, err := r.epoch(ctx)
		if err != nil {
			return err
		}
		eval, err := r.trainer.Evaluate(ctx, r.eval)
		if errors.Is(err, context.Canceled) { // the epoch itself is done: keep it
			return r.interrupted()
		}
		if err != nil {
			return err
		}
		r.trainer.Schedule().Report(eval.Top1)
		stage := compress.Uncompressed
		if r.state.compressed != nil {
			stage = r.state.compressed.Stage()
		}
		e := EpochResult{Epoch: r.meta.Epoch, LR: r.trainer.Schedule().LR(float64(r.meta.Epoch)), Train: metrics, Eval: eval, Seconds: time.Since(epochStart).Seconds()}
		e.Best = r.meta.Best == nil || compress.Better(stage, eval.Top1, r.meta.Best.Stage, r.meta.Best.Metric)
		e.Train.Confusion, e.Eval.Confusion = nil, nil
		r.result.Epochs = append(r.result.Epochs, e)
		if e.Best {
			r.meta.Best = &best{stage, eval.Top1, r.meta.Epoch}
		}
		r.opt.note("epoch %d of %d: loss %.4f, top-1 %.2f %% in training, %.2f %% in evaluation", r.meta.Epoch+1, r.c.Epochs, metrics.Loss, metrics.Top1, eval.Top1)
		r.meta.Epoch, r.meta.Step = r.meta.Epoch+1, 0
		if e.Best {
			if err := r.save(bestName); err != nil {
				return err
			}
		}
		if err := r.save(lastName); err != nil {
			return err
		}
	}
	return nil
}

// epoch trains what is left of the current epoch, saving in between.
func (r *run) epoch(ctx context.Context) (train.Metrics, error) {
	for {
		limit, stop := ctx, func() {}
		if every := r.c.Checkpoint.EverySteps; every > 0 {
			limit, stop = stepLimit(ctx, r.trainer, every)
		}
		m, done, err := r.trainer.Epoch(limit, r.train, r.meta.Epoch, r.meta.Step)
		stop()
		r.meta.Step = done
		switch {
		case err == nil:
			return m, nil
		case ctx.Err() != nil:
			return m, r.interrupted()
		case errors.Is(err, context.Canceled): // a step limit
			if err := r.save(lastName); err != nil {
				return m, err
			}
		default:
			return m, err
		}
	}
}

// stepLimit returns a context that is cancelled when the trainer has done n steps.
func stepLimit(ctx context.Context, t *train.Trainer, n int) (context.Context, func()) {
	limit, cancel := context.WithCancel(ctx)
	restore := t.AfterSteps(n, cancel)
	return limit, func() { restore(); cancel() }
}

func (r *run) interrupted() error {
	if err := r.save(lastName); err != nil {
		return err
	}
	return fmt.Errorf("%w at epoch %d, step %d; checkpoint %s resumes", ErrInterrupted, r.meta.Epoch, r.meta.Step, r.path(lastName))
}

func (r *run) save(name string) error {
	meta := r.meta
	meta.Result = &r.result
	var err error
	if meta.Config, err = json.Marshal(r.c); err != nil {
		return err
	}
	ck, err := r.state.checkpoint(meta, r.trainer)
	if err != nil {
		return err
	}
	return ck.Save(r.path(name))
}

// finish exports the best model and reports.
func (r *run) finish(ctx context.Context) (*Result, error) {
	if r.meta.Best != nil {
		ck, err := train.LoadCheckpoint(r.path(bestName))
		if err != nil {
			return nil, err
		}
		if r.state, _, err = restore(ck); err != nil {
			return nil, err
		}
		r.result.Checkpoint = r.path(bestName)
	}
	final, err := r.evaluate(ctx, nil)
	if err != nil {
		return nil, err
	}
	if r.state.compressed != nil {
		r.result.Compressed = &final
		r.result.Stage = r.state.compressed.Stage()
		s := r.state.compressed.Statistics()
		r.result.Statistics = &s
	}
	r.result.Metrics, r.result.Samples = final, final.Samples
	out := r.path(onnxName)
	if r.c.Output.Path != "" {
		out = r.c.Path(r.c.Output.Path)
	}
	r.opt.note("exporting %s", out)
	if r.result.Export, err = exportModel(ctx, r.state, out, ExportOptions{r.c.Output.Format, r.c.Output.Opset}, r.eval, r.c.Threads); err != nil {
		return nil, err
	}
	r.result.Output = out
	r.result.Seconds = time.Since(r.start).Seconds()
	return &r.result, nil
}
