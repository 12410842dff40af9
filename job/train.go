package job

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/distillation"
	"github.com/go-nncf/nncf/compress/sensitivity"
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/train"
)

// Options are what a run needs besides its configuration.
type Options struct {
	// Resume goes on from the last checkpoint; without one the run starts anew.
	// Only settings that leave the run the same one may have changed: epochs,
	// threads, output, and, with a note, how parameters are updated.
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

// Names of the files of a run. From its beginning until its end there are both
// checkpoints: the best model, at first the initialised one, and the last state,
// from which the run resumes.
const (
	lastName = "last.ckpt"
	bestName = "best.ckpt"
	onnxName = "model.onnx"
)

// ErrInterrupted is wrapped by the error of a run whose context was cancelled;
// the error says whether a checkpoint resumes.
var ErrInterrupted = errors.New("interrupted")

// ErrNotBegun is an [ErrInterrupted] before the first step, when there is no
// checkpoint.
var ErrNotBegun = fmt.Errorf("%w before training began; the same command begins again", ErrInterrupted)

// Train runs a configuration: it loads the model, evaluates and compresses it,
// initialises compression from data, trains, and exports the best model by
// compression stage and accuracy. When ctx is cancelled it stops after the
// current step, writes a checkpoint and returns an error with ErrInterrupted.
// With no epochs it exports the initialised model.
//
// The parameters it ends with depend on the configuration and the data only:
// not on the number of threads, nor on how often the run was interrupted, or
// killed, and resumed.
func Train(ctx context.Context, c *config.Config, opt Options) (*Result, error) {
	r := &run{c: c, opt: opt, start: time.Now(), dir: c.Path(first(c.LogDir, "runs"))}
	if c.Checkpoint.Dir != "" {
		r.dir = c.Path(c.Checkpoint.Dir)
	}
	defer func() {
		if r.trainer != nil {
			r.trainer.Close()
		}
	}()
	for _, step := range []struct {
		do          func(context.Context) error
		interrupted error
	}{
		{r.open, ErrNotBegun},
		{r.prepare, ErrNotBegun},
		{r.fit, fmt.Errorf("%w between two steps", ErrInterrupted)}, // fit says better
		{r.finish, fmt.Errorf("%w while exporting; checkpoint %s resumes", ErrInterrupted, r.path(lastName))},
	} {
		err := step.do(ctx)
		if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) && !errors.Is(err, ErrInterrupted) {
			err = step.interrupted
		}
		if err != nil {
			return nil, err
		}
	}
	return &r.result, nil
}

// run is one execution of Train.
type run struct {
	c     *config.Config
	opt   Options
	start time.Time
	dir   string

	train, eval, calibration *data.Loader
	reference                *sensitivity.Reference // of a run without labels
	algorithms               []compress.Algorithm
	state                    *state
	trainer                  *train.Trainer
	meta                     checkpointMeta
	result                   Result

	epochStart time.Time // of what this execution does of the epoch
	saved      int       // step of the last checkpoint in this epoch
}

func (r *run) path(name string) string { return filepath.Join(r.dir, name) }

// open checks what can be checked before the long work, all together, and
// makes the run's folder.
func (r *run) open(context.Context) error {
	err := errors.Join(r.c.Ready(), r.c.TrainOptions().Validate(), r.exportOptions().Validate())
	if err != nil {
		return err
	}
	if r.algorithms, err = r.c.Algorithms(); err != nil {
		return err
	}
	if unlabelled(r.c) {
		if err := r.checkUnlabelled(); err != nil {
			return err
		}
	}
	if r.c.AccuracyAware != nil {
		if err := r.c.AccuracyAware.Validate(); err != nil {
			return err
		}
		if len(r.algorithms) == 0 {
			return errors.New("accuracy_aware_training: the configuration compresses nothing whose accuracy could be watched; add a compression section")
		}
		if err := r.searchable(); err != nil {
			return err
		}
	}
	if r.train, r.eval, r.calibration, err = loaders(r.c); err != nil {
		return err
	}
	if !unlabelled(r.c) {
		if err := r.checkLabelled(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return fmt.Errorf("log_dir: %w", err)
	}
	paths := []string{r.output()}
	for _, name := range append([]string{lastName, bestName, precisionName, paretoName}, pictures...) {
		paths = append(paths, r.path(name))
	}
	for _, path := range paths {
		if err := train.RemovePartial(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing what a killed run left: %w", err)
		}
	}
	return nil
}

// output is the path of the exported model.
func (r *run) output() string {
	if r.c.Output.Path != "" {
		return r.c.Path(r.c.Output.Path)
	}
	return r.path(onnxName)
}

func (r *run) exportOptions() ExportOptions {
	return ExportOptions{Format: r.c.Output.Format, Opset: r.c.Output.Opset}
}

// prepare makes the model to train: from the last checkpoint, or from the
// configuration.
func (r *run) prepare(ctx context.Context) error {
	if r.opt.Resume {
		ck, err := train.LoadCheckpoint(r.path(lastName))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			r.opt.note("no checkpoint in %s: starting anew", r.dir)
		case err != nil:
			return fmt.Errorf("resume: %w", err)
		default:
			if err := r.resume(ck); err != nil {
				return fmt.Errorf("resume %s: %w", r.path(lastName), err)
			}
			return nil
		}
	}
	return r.begin(ctx)
}

// begin makes the model from the configuration.
func (r *run) begin(ctx context.Context) error {
	m, err := loadModel(r.c)
	if err != nil {
		return err
	}
	batch := r.train.BatchSize()
	if err := Fit(ctx, m, &r.opt, r.c.Threads, r.train, r.eval, r.calibration); err != nil {
		return err
	}
	if scores := train.Logits(m.Graph); !unlabelled(r.c) && !scores.Type.IsScores() {
		return fmt.Errorf(`output %q is %v, no scores of classes, which loss and accuracy are of: a float teacher trains any model, "loss": {"type": "none"} with %s`, scores.Name, scores.Type, distillation.Name)
	}
	if n, fixed := m.Graph.FixedBatch(); fixed && n > 0 && n != batch && r.epochs() > 0 { // which the settings of training are for
		return fmt.Errorf(`input %q of the model has a fixed batch of %d, training wants batches of %d: set "batch_size" to %d, or export the model with a free batch axis`, m.Graph.Inputs[0].Name, n, batch, n)
	}
	if r.c.BatchNorm.Insert {
		n, err := nncf.InsertBatchNorm(ctx, m, nncf.Calibration(ctx, r.calibration), cmp.Or(r.c.BatchNorm.InsertSamples, compress.DefaultAdaptationSamples), engine.Options{Threads: r.c.Threads, Logger: r.opt.Logger})
		if err != nil {
			return err
		}
		r.opt.note("inserted batch normalization behind %d layers", n)
	}
	if r.state, err = newState(m); err != nil {
		return err
	}
	if r.meta.ModelSum, err = modelSum(r.c); err != nil {
		return err
	}
	r.result.Model = r.c.Model
	if len(r.algorithms) > 0 {
		if err := r.compress(ctx, m); err != nil {
			return err
		}
	}
	if err := r.shrink(ctx); err != nil {
		return err
	}
	if err := r.newTrainer(); err != nil {
		return err
	}
	// No moment may leave an older run's last state beside this run's best model.
	if err := os.Remove(r.path(lastName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(r.save(bestName), r.save(lastName))
}

func (r *run) compress(ctx context.Context, m *nncf.Model) error {
	if !unlabelled(r.c) {
		r.opt.note("evaluating the float model on %d samples", r.eval.Examples())
		float, err := r.evaluate(ctx, m.Graph)
		if err != nil {
			return err
		}
		r.result.Float = &float
	}
	r.opt.note("initialising compression")
	var err error
	r.state.compressed, err = nncf.Compress(ctx, m, r.algorithms, nncf.CompressOptions{
		Calibration: r.initData(ctx), Threads: r.c.Threads, Logger: r.opt.Logger})
	if err != nil {
		return err
	}
	if per := r.train.Len(); per > 0 {
		accumulate := max(1, r.c.Accumulate)
		compress.SetStepsPerEpoch(r.state.compressed.Controller, (per+accumulate-1)/accumulate)
	}
	if err := writePrecision(r.state.compressed, r.dir); err != nil {
		return err
	}
	for _, x := range compress.All(r.state.compressed.Controller) {
		if s, ok := x.(compress.Scheduled); ok && r.c.AccuracyAware == nil && r.c.Epochs > 0 && s.EpochsNeeded() > r.c.Epochs {
			r.opt.note("%s reaches its target in epoch %d, and training ends after %d: let the schedule end earlier, or train longer", x.Algorithm(), s.EpochsNeeded(), r.c.Epochs)
		}
	}
	initialised, err := r.evaluate(ctx, r.state.graph())
	if err != nil {
		return err
	}
	r.result.Initialized = &initialised
	r.meta.Best = &best{Stage: r.stage(), Metric: initialised.Score(), Epoch: -1}
	return r.beginSearch()
}

// calibrate is the data of compression: plain for ranges and traces, as training
// sees it for batch normalization, whose statistics go on from there.
func (r *run) calibrate(ctx context.Context) compress.Calibration {
	cal := nncf.Calibration(ctx, r.calibration)
	cal.Training = nncf.Calibration(ctx, r.train).Batches
	return cal
}

// initData is where compression is initialised from.
func (r *run) initData(ctx context.Context) compress.Calibration {
	cal := r.calibrate(ctx)
	cal.Cache, cal.Note = nncf.CacheDir(), r.opt.Note
	if r.opt.Progress != nil {
		cal.Progress = func(p compress.InitProgress) { r.opt.Progress(InitProgress(p)) }
	}
	return cal
}

// InitProgress is the progress of an initialisation in the form of a run's.
func InitProgress(p compress.InitProgress) train.Progress {
	return train.Progress{Phase: p.Phase, Step: p.Step, Steps: p.Steps, Status: p.Status, Remaining: p.Remaining}
}

// stage is the compression stage of the model under training.
func (r *run) stage() compress.Stage {
	if r.state.compressed == nil {
		return compress.Uncompressed
	}
	return r.state.compressed.Stage()
}

func (r *run) newTrainer() (err error) {
	o := r.c.TrainOptions()
	o.Logger, o.Progress = r.opt.Logger, r.opt.Progress
	var hook train.Hook
	if r.state.compressed != nil {
		r.state.compressed.Calibration = r.calibrate(context.Background())
		hook = r.state.compressed
	}
	r.trainer, err = nncf.NewTrainer(r.state.graph(), o, hook)
	return err
}

// fit trains the epochs that are left.
func (r *run) fit(ctx context.Context) error {
	for r.meta.At.Epoch < r.epochs() {
		if more, err := r.nextLevel(); err != nil {
			return err
		} else if !more {
			break
		}
		r.epochStart, r.saved = time.Now(), r.meta.At.Step
		err := r.trainer.EpochFrom(ctx, r.train, &r.meta.At, r.saveEvery)
		if err == nil {
			err = r.endEpoch(ctx)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return r.interrupted()
		case errors.Is(err, train.ErrDiverged):
			return fmt.Errorf("%w; %s holds the best model so far", err, r.path(bestName))
		default:
			return err
		}
	}
	return nil
}

// endEpoch evaluates and saves.
func (r *run) endEpoch(ctx context.Context) error {
	if err := r.controllerErrors(); err != nil {
		return err
	}
	eval, err := r.evaluateTrained(ctx)
	if err != nil {
		return err
	}
	epoch, stage := r.meta.At.Epoch, r.stage()
	e := EpochResult{Epoch: epoch, LR: r.trainer.Schedule().LR(float64(epoch)), Train: r.meta.At.Metrics(), Eval: eval, Seconds: time.Since(r.epochStart).Seconds()}
	now := best{Stage: stage, Metric: eval.Score(), Epoch: epoch}
	e.Best = r.judge(&now)
	e.Eval.Confusion = nil
	if r.state.compressed != nil {
		e.Compression = compress.Progresses(r.state.compressed.Controller)
	}
	r.result.Epochs = append(r.result.Epochs, e)
	r.trainer.Schedule().Report(eval.Score())
	if e.Best {
		r.meta.Best = &now
	}
	r.meta.At = train.Position{Epoch: epoch + 1}
	r.opt.note("epoch %d of %d: loss %.4f%s%s", epoch+1, r.epochs(), e.Train.Loss, found(e), levels(e.Compression))
	if err := r.shrink(ctx); err != nil {
		return err
	}
	if e.Best {
		if err := r.save(bestName); err != nil {
			return err
		}
	}
	return r.save(lastName)
}

// levels tells how far the algorithms have come.
func levels(list []compress.Progress) string {
	var s strings.Builder
	for _, p := range list {
		fmt.Fprintf(&s, "; %s %.1f %% of %.1f %%", p.Algorithm, 100*p.Reached, 100*p.Target)
	}
	return s.String()
}

// saveEvery saves within an epoch, as often as the configuration says.
func (r *run) saveEvery() error {
	if every := r.c.Checkpoint.EverySteps; every <= 0 || r.meta.At.Step-r.saved < every {
		return nil
	}
	r.saved = r.meta.At.Step
	return r.save(lastName)
}

func (r *run) interrupted() error {
	if err := r.save(lastName); err != nil {
		return err
	}
	return fmt.Errorf("%w in epoch %d after step %d; checkpoint %s resumes", ErrInterrupted, r.meta.At.Epoch+1, r.meta.At.Step, r.path(lastName))
}

func (r *run) save(name string) error {
	meta, result := r.meta, r.result
	result.Accuracy = r.verdict()
	result.Epochs = slices.Clone(result.Epochs)
	for i := range result.Epochs {
		result.Epochs[i].Seconds = 0
	}
	meta.Result = &result
	var err error
	if meta.Config, err = r.settings(); err != nil {
		return err
	}
	ck, err := r.state.checkpoint(meta, r.trainer)
	if err != nil {
		return err
	}
	return ck.Save(r.path(name))
}

// finish exports the best model and reports.
func (r *run) finish(ctx context.Context) error {
	r.result.Accuracy = r.verdict()
	r.result.Checkpoint = r.path(lastName)
	if r.meta.Best != nil {
		ck, err := train.LoadCheckpoint(r.path(bestName))
		if err != nil {
			return err
		}
		if r.state, _, err = restore(ck); err != nil {
			return fmt.Errorf("%s: %w", r.path(bestName), err)
		}
		r.result.Checkpoint = r.path(bestName)
	}
	if r.state.compressed != nil {
		if err := r.state.compressed.RoundBiases(); err != nil {
			return err
		}
	}
	final, err := r.evaluate(ctx, r.state.graph())
	if err != nil {
		return err
	}
	if r.state.compressed != nil {
		r.result.Compressed = &final
		r.result.Stage = r.state.compressed.Stage()
		s := r.state.compressed.Statistics()
		r.result.Statistics = &s
	}
	r.result.Metrics, r.result.Samples = final, final.Samples
	out := r.output()
	r.opt.note("exporting %s", out)
	if r.result.Export, err = exportModel(ctx, r.state, out, r.exportOptions(), r.eval, verifySamples, r.c.Threads); err != nil {
		return err
	}
	r.result.Output = out
	if err := r.draw(); err != nil {
		return err
	}
	r.result.Seconds = time.Since(r.start).Seconds()
	return nil
}
