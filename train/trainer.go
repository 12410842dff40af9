package train

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/internal/kernel/reduce"
	"github.com/go-nncf/nncf/internal/par"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
)

// Hook is how compression takes part in training; controllers of package
// compress satisfy it. A hook may also be a [compress.TrainingFormer], which
// changes the graph of a step, a [compress.ParameterRuler] and a
// [compress.AfterStepper].
type Hook interface {
	// EpochStep is called before each epoch, Step before the first forward pass of
	// each optimizer step.
	EpochStep()
	Step()
	// Loss adds a term to the loss graph, or returns nil.
	Loss(b *ir.Builder) (*ir.Value, error)
}

// StagedHook is a Hook that changes the model when some epochs begin.
type StagedHook interface {
	Hook
	// BeginEpoch is called after EpochStep. It reports whether the graph is
	// another one now; the trainer then compiles it anew.
	BeginEpoch(ctx context.Context) (changed bool, err error)
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
	// MaxMemory bounds the memory of a step, see [engine.Options].
	MaxMemory int64
	Logger    *slog.Logger
	// Progress, if set, is called after each step.
	Progress func(Progress)
}

// Validate reports everything that is wrong with o.
func (o Options) Validate() error {
	if o.MaxMemory < 0 {
		return fmt.Errorf("max memory: got %d, want 0 or more", o.MaxMemory)
	}
	errs := []error{o.Optimizer.Validate(), o.Schedule.Validate(), o.Loss.Validate(), o.BatchNorm.Validate()}
	if o.Accumulate < 0 {
		errs = append(errs, fmt.Errorf("accumulate: got %d, want 1 or more", o.Accumulate))
	}
	if !(o.ClipNorm >= 0 && o.ClipValue >= 0) {
		errs = append(errs, fmt.Errorf("gradient clipping: got norm %g and value %g, want 0 or more", o.ClipNorm, o.ClipValue))
	}
	return errors.Join(errs...)
}

// Progress is what is known after a step.
type Progress struct {
	Phase           string  // "train", "eval", or that of an initialisation
	Epoch           int     // of training, from 0
	Step, Steps     int     // steps done in this epoch or evaluation, and their number
	Loss, Top1      float64 // Top1 is NaN where labels are not known
	LR              float64
	ImagesPerSecond float64
	Remaining       time.Duration // of this epoch or evaluation
	// Status is what an initialisation knows so far; loss, accuracy and speed are 0
	// then.
	Status string
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
}

// New returns a trainer of g's parameters. g is not changed; its inputs may
// have a symbolic batch axis. hook may be nil.
func New(g *ir.Graph, backend engine.Backend, opt Options, hook Hook) (*Trainer, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	if len(g.Inputs) == 0 {
		return nil, errors.New("the model has no inputs")
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
		params = append(params, Param{Name: v.Name, Value: v.Data, NoDecay: isQuantizerParameter(v), Rule: t.rule(v.Name)})
	}
	if len(params) == 0 {
		return nil, errors.New("the model has no trainable parameters")
	}
	if t.optimizer, err = NewOptimizer(opt.Optimizer, params, t.pool); err != nil {
		return nil, err
	}
	t.optimizer.leaveOut(t.early)
	t.squares = make([]float64, len(params))
	return t, nil
}

// rule returns what the hook says about a parameter.
func (t *Trainer) rule(name string) compress.ParameterRule {
	if r, ok := t.hook.(compress.ParameterRuler); ok {
		return r.ParameterRule(name)
	}
	return compress.ParameterRule{}
}

// refreeze asks the hook again which parameters are frozen.
func (t *Trainer) refreeze() {
	if _, ok := t.hook.(compress.ParameterRuler); ok {
		for i := range t.optimizer.params {
			p := &t.optimizer.params[i]
			p.Rule.Frozen = t.rule(p.Name).Frozen
		}
	}
}

// isQuantizerParameter reports whether v is a range of a fake-quantizer, or a
// scale or threshold of a binarizer.
func isQuantizerParameter(v *ir.Value) bool {
	for _, u := range v.Uses() {
		if kind := u.Node.Op.Kind(); u.Port > 0 && (strings.HasPrefix(kind, "FakeQuantize") || kind == "BinarizeActivation") {
			return true
		}
	}
	return false
}

// Close releases programs and workers.
func (t *Trainer) Close() error {
	err := t.forget()
	t.pool.Close()
	return err
}

// forget releases all programs.
func (t *Trainer) forget() error {
	var errs []error
	for _, n := range slices.Sorted(maps.Keys(t.steps)) {
		errs = append(errs, t.steps[n].prog.Close())
	}
	errs = append(errs, CloseAll(t.evals))
	clear(t.steps)
	clear(t.evals)
	return errors.Join(errs...)
}

// beginEpoch tells the hook that an epoch begins.
func (t *Trainer) beginEpoch(ctx context.Context) error {
	if t.hook == nil {
		return nil
	}
	t.hook.EpochStep()
	t.refreeze()
	h, ok := t.hook.(StagedHook)
	if !ok {
		return nil
	}
	changed, err := h.BeginEpoch(ctx)
	if err != nil || !changed {
		return err
	}
	return t.forget()
}

// Result is the outcome of one step.
type Result struct {
	Loss    float64
	Correct int // samples whose largest score is the label's, -1 where labels are not known
	Samples int
}

// ErrDiverged is wrapped by the error of a step whose loss is not finite. The
// parameters are then those of the step before.
var ErrDiverged = errors.New("training diverged")

// Step runs forward and backward over a batch and, every Accumulate batches,
// updates the parameters. epoch is fractional and chooses the learning rate.
//
// Losses of which the target is shaped like the output get labels as one-hot
// rows; kl, which needs a teacher's scores, is for StepTensors; none takes no
// labels.
func (t *Trainer) Step(ctx context.Context, b *data.Batch, epoch float64) (Result, error) {
	p, err := t.step(ctx, b.Inputs())
	if err != nil {
		return Result{}, err
	}
	target := b.Labels
	if !t.targeted() {
		return t.run(ctx, p, b.Inputs(), nil, nil, epoch)
	}
	if t.opt.LossFunc == nil && !t.opt.Loss.classifies() {
		if target, err = t.opt.Loss.oneHot(b.Labels, p.target.Shape()); err != nil {
			return Result{}, err
		}
	}
	return t.run(ctx, p, b.Inputs(), target, b.Labels, epoch)
}

// StepTensors is Step for an input and target of the caller's making; the target
// of the loss none is nil.
func (t *Trainer) StepTensors(ctx context.Context, input, target *tensor.Tensor, epoch float64) (Result, error) {
	return t.StepInputs(ctx, []*tensor.Tensor{input}, target, epoch)
}

// StepInputs is StepTensors for models with several inputs, in their order.
func (t *Trainer) StepInputs(ctx context.Context, inputs []*tensor.Tensor, target *tensor.Tensor, epoch float64) (Result, error) {
	p, err := t.step(ctx, inputs)
	if err != nil {
		return Result{}, err
	}
	var labels *tensor.Tensor
	if t.opt.Loss.classifies() {
		labels = target
	}
	return t.run(ctx, p, inputs, target, labels, epoch)
}

// run is one step. labels, which may be nil, say what is correct.
func (t *Trainer) run(ctx context.Context, p *stepProgram, inputs []*tensor.Tensor, target, labels *tensor.Tensor, epoch float64) (Result, error) {
	switch {
	case (target == nil) != (p.target == nil):
		return Result{}, fmt.Errorf("got target %v, the loss takes %v", target, p.target)
	case target != nil && (p.target.DType() != target.DType() || p.target.Len() != target.Len()):
		return Result{}, fmt.Errorf("got target %v, the loss takes %v", target, p.target)
	}
	if t.hook != nil && t.pending == 0 {
		t.hook.Step()
	}
	for i, x := range inputs {
		p.inputs[i].CopyFrom(x)
	}
	if target != nil {
		p.target.CopyFrom(target.Reshape(p.target.Shape()...))
	}
	if t.pending == 0 {
		t.begin(epoch, 1)
	}
	if err := p.prog.Run(ctx); err != nil && !errors.Is(err, ErrDiverged) {
		return Result{}, err
	}
	r := p.result()
	r.Correct = -1
	if err := r.finite(); err != nil {
		return r, err
	}
	if scores := p.prog.Output(1); labels != nil && labels.Len() == r.Samples && scores.Len()%labels.Len() == 0 {
		r.Correct = countCorrect(scores, labels)
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

// finite reports a loss that is not.
func (r Result) finite() error {
	if math.IsNaN(r.Loss) || math.IsInf(r.Loss, 0) {
		return fmt.Errorf("%w: the loss is %v; lower the learning rate, warm up, or clip gradients", ErrDiverged, r.Loss)
	}
	return nil
}

// begin prepares the optimizer for an update in which gradients count times scale.
func (t *Trainer) begin(epoch float64, scale float32) {
	t.optimizer.Decay(!t.schedule.opt.Drop.noDecay(epoch))
	t.optimizer.begin(t.schedule.LR(epoch), scale)
}

// update applies the gradients that a run left, which count times scale.
func (t *Trainer) update(grads []*tensor.Tensor, epoch float64, scale float32) {
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
	t.begin(epoch, scale)
	t.optimizer.finish()
	if h, ok := t.hook.(compress.AfterStepper); ok {
		h.AfterStep()
	}
	t.drop()
}

// drop forgets gradients accumulated since the last update.
func (t *Trainer) drop() {
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

// countCorrect counts the rows of scores that are largest at their label.
func countCorrect(scores, labels *tensor.Tensor) int {
	k := scores.Len() / labels.Len()
	s, n := scores.F32(), 0
	for i, l := range labels.I64() {
		if reduce.ArgMax(s[i*k:][:k]) == int(l) {
			n++
		}
	}
	return n
}
