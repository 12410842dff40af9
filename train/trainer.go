package train

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/internal/kernel/reduce"
	"github.com/go-nncf/nncf/internal/par"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
)

// Hook is how compression takes part in training; controllers of package
// compress satisfy it.
type Hook interface {
	// EpochStep is called before each epoch, Step before each optimizer step.
	EpochStep()
	Step()
	// Loss adds a term to the loss graph, or returns nil.
	Loss(b *ir.Builder) (*ir.Value, error)
}

// Options say how to train. The zero value needs a learning rate.
type Options struct {
	Optimizer OptimizerOptions
	Schedule  ScheduleOptions
	Loss      LossOptions
	// LossFunc replaces Loss; its target has the type that Loss says.
	LossFunc LossFunc
	// Accumulate adds up the gradients of so many batches before each update,
	// which then uses their mean. Default 1.
	Accumulate int
	// ClipNorm scales gradients down to this global L2 norm; 0 means no limit.
	ClipNorm float64
	// ClipValue limits every element of the gradients; 0 means no limit.
	ClipValue float64
	// BatchNorm says how batch normalization trains.
	BatchNorm pass.TrainingOptions
	Threads   int
	Logger    *slog.Logger
	// Progress, if set, is called after each step.
	Progress func(Progress)
}

// Validate reports everything that is wrong with o.
func (o Options) Validate() error {
	errs := []error{o.Optimizer.Validate(), o.Schedule.Validate(), o.Loss.Validate(), o.BatchNorm.Validate()}
	if o.Accumulate < 0 {
		errs = append(errs, fmt.Errorf("accumulate: got %d, want 1 or more", o.Accumulate))
	}
	if o.ClipNorm < 0 || o.ClipValue < 0 {
		errs = append(errs, fmt.Errorf("gradient clipping: got norm %g and value %g, want 0 or more", o.ClipNorm, o.ClipValue))
	}
	return errors.Join(errs...)
}

// Progress is what is known after a step.
type Progress struct {
	Phase           string // "train" or "eval"
	Epoch           int    // of training, from 0
	Step, Steps     int    // steps done in this epoch or evaluation, and their number
	Loss, Top1      float64
	LR              float64
	ImagesPerSecond float64
	Remaining       time.Duration // of this epoch or evaluation
}

// Trainer fine-tunes one graph. Parameters and states are updated in place, in
// the tensors that the graph shares with its clones. A Trainer belongs to one
// goroutine at a time.
type Trainer struct {
	g       *ir.Graph
	backend engine.Backend
	opt     Options
	hook    Hook

	optimizer *Optimizer
	schedule  *Schedule
	pool      *par.Pool
	params    []*ir.Value
	steps     map[int]*stepProgram // by batch size
	evals     map[int]engine.Program
	sums      []*tensor.Tensor // of accumulated gradients
	squares   []float64
	pending   int // batches accumulated since the last update

	left  int // steps until after is called
	after func()
}

// New returns a trainer of g's parameters. g is not changed; its inputs may
// have a symbolic batch axis. hook may be nil.
func New(g *ir.Graph, backend engine.Backend, opt Options, hook Hook) (*Trainer, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	if len(g.Inputs) != 1 {
		return nil, fmt.Errorf("got a model with %d inputs; the trainer feeds one, and StepTensors takes a program of your own", len(g.Inputs))
	}
	t := &Trainer{g: g, backend: backend, opt: opt, hook: hook, pool: par.New(opt.Threads),
		steps: map[int]*stepProgram{}, evals: map[int]engine.Program{}}
	var err error
	if t.schedule, err = NewSchedule(opt.Schedule); err != nil {
		return nil, err
	}
	var params []Param
	for v := range g.Parameters() {
		t.params = append(t.params, v)
		params = append(params, Param{Name: v.Name, Value: v.Data, NoDecay: isQuantizerParameter(v)})
	}
	if len(params) == 0 {
		return nil, errors.New("the model has no trainable parameters")
	}
	if t.optimizer, err = NewOptimizer(opt.Optimizer, params, t.pool); err != nil {
		return nil, err
	}
	t.squares = make([]float64, len(params))
	return t, nil
}

// isQuantizerParameter reports whether v is a range of a fake-quantizer.
func isQuantizerParameter(v *ir.Value) bool {
	for _, u := range v.Uses() {
		if u.Port > 0 && strings.HasPrefix(u.Node.Op.Kind(), "FakeQuantize") {
			return true
		}
	}
	return false
}

// Close releases programs and workers.
func (t *Trainer) Close() error {
	var errs []error
	for _, p := range t.steps {
		errs = append(errs, p.prog.Close())
	}
	for _, p := range t.evals {
		errs = append(errs, p.Close())
	}
	t.pool.Close()
	return errors.Join(errs...)
}

// Result is the outcome of one step.
type Result struct {
	Loss    float64
	Correct int // samples whose largest score is the label's, for classification
	Samples int
}

// Step runs forward and backward over a batch and, every Accumulate batches,
// updates the parameters. epoch is fractional and chooses the learning rate.
func (t *Trainer) Step(ctx context.Context, b *data.Batch, epoch float64) (Result, error) {
	return t.StepTensors(ctx, b.Images, b.Labels, epoch)
}

// StepTensors is Step for inputs and targets of the caller's making.
func (t *Trainer) StepTensors(ctx context.Context, images, target *tensor.Tensor, epoch float64) (Result, error) {
	n := images.Shape()[0]
	p, err := t.step(ctx, n, images)
	if err != nil {
		return Result{}, err
	}
	if !p.input.Shape().Equal(images.Shape()) || p.target.DType() != target.DType() || p.target.Len() != target.Len() {
		return Result{}, fmt.Errorf("got input %v and target %v, the model takes %v and %v", images, target, p.input, p.target)
	}
	p.input.CopyFrom(images)
	p.target.CopyFrom(target)
	if err := p.prog.Run(ctx); err != nil {
		return Result{}, err
	}
	r := Result{Loss: float64(p.prog.Output(0).F32()[0]), Samples: n}
	if math.IsNaN(r.Loss) || math.IsInf(r.Loss, 0) {
		return r, fmt.Errorf("the loss is %v: lower the learning rate, or clip gradients", r.Loss)
	}
	if t.opt.Loss.classifies() {
		r.Correct = countCorrect(p.prog.Output(1), target)
	}
	grads := p.grads
	accumulate := max(1, t.opt.Accumulate)
	if accumulate > 1 {
		t.add(grads)
		grads = t.sums
	}
	if t.pending++; t.pending < accumulate {
		return r, nil
	}
	t.update(grads, epoch, 1/float32(t.pending))
	return r, nil
}

// update applies the gradients, which count times scale.
func (t *Trainer) update(grads []*tensor.Tensor, epoch float64, scale float32) {
	if t.hook != nil {
		t.hook.Step()
	}
	if v := float32(t.opt.ClipValue); v > 0 {
		limit := v / scale
		for _, g := range grads {
			clipValues(g.F32(), limit)
		}
	}
	if t.opt.ClipNorm > 0 {
		scale *= t.clipFactor(grads, float64(scale))
	}
	for i := range t.optimizer.params {
		t.optimizer.params[i].Grad = grads[i]
	}
	t.optimizer.Step(t.schedule.LR(epoch), scale)
	t.pending = 0
	for _, s := range t.sums {
		clear(s.F32())
	}
}

func clipValues(x []float32, limit float32) {
	for i, v := range x {
		x[i] = min(max(v, -limit), limit)
	}
}

// clipFactor returns min(1, ClipNorm / ‖scale·grads‖), summed tensor by tensor.
func (t *Trainer) clipFactor(grads []*tensor.Tensor, scale float64) float32 {
	t.pool.Run(len(grads), func(i, _ int) { t.squares[i] = reduce.SumSquares(grads[i].F32()) })
	total := 0.0
	for _, s := range t.squares {
		total += s
	}
	if norm := math.Sqrt(total) * scale; norm > t.opt.ClipNorm {
		return float32(t.opt.ClipNorm / norm)
	}
	return 1
}

func (t *Trainer) add(grads []*tensor.Tensor) {
	if t.sums == nil {
		for _, g := range grads {
			t.sums = append(t.sums, tensor.New(tensor.Float32, g.Shape()...))
		}
	}
	t.pool.Run(len(grads), func(i, _ int) {
		s, g := t.sums[i].F32(), grads[i].F32()
		for k, v := range g {
			s[k] += v
		}
	})
}

func countCorrect(scores, labels *tensor.Tensor) int {
	k := scores.Shape()[len(scores.Shape())-1]
	s, n := scores.F32(), 0
	for i, l := range labels.I64() {
		if reduce.ArgMax(s[i*k:][:k]) == int(l) {
			n++
		}
	}
	return n
}

// Epoch trains on the batches of one epoch, from batch first on. It calls the
// hook's EpochStep unless it goes on in the middle. Cancelling ctx stops after
// the current step; done is the number of steps that took effect, so a
// checkpoint made then resumes at first = done.
func (t *Trainer) Epoch(ctx context.Context, l *data.Loader, epoch, first int) (m Metrics, done int, err error) {
	if t.hook != nil && first == 0 {
		t.hook.EpochStep()
	}
	steps := l.Len()
	done = first
	meter := newMeter(steps-first, t.opt.Progress)
	for b, err := range l.BatchesFrom(context.WithoutCancel(ctx), epoch, first) {
		if err == nil && t.pending == 0 { // gradients accumulated so far would be lost
			err = ctx.Err()
		}
		if err != nil {
			return meter.metrics(), done, err
		}
		at := float64(epoch) + float64(done)/float64(steps)
		r, err := t.Step(context.WithoutCancel(ctx), b, at)
		if err != nil {
			return meter.metrics(), done, fmt.Errorf("epoch %d, step %d: %w", epoch, done, err)
		}
		done++
		if t.left--; t.left == 0 && t.after != nil {
			t.after()
		}
		meter.add(r, Progress{Phase: "train", Epoch: epoch, Step: done, Steps: steps, LR: t.schedule.LR(at)})
	}
	if t.pending > 0 {
		t.update(t.sums, float64(epoch+1), 1/float32(t.pending))
	}
	return meter.metrics(), done, ctx.Err()
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

// AfterSteps arranges for f to be called once, when n more steps are done.
// Calling the result takes the arrangement back.
func (t *Trainer) AfterSteps(n int, f func()) (cancel func()) {
	t.left, t.after = n, f
	return func() { t.after = nil }
}
