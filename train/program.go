package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-nncf/nncf/autodiff"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/internal/kernel/norm"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
)

// stepProgram is the training step for one batch size.
type stepProgram struct {
	prog   engine.Program
	inputs []*tensor.Tensor
	target *tensor.Tensor   // nil if there is no loss that takes one
	grads  []*tensor.Tensor // in the order of the trainer's parameters; nil if the run applies it
}

// earlyFrom is the number of elements from which on a gradient is applied during
// the run, where its memory is worth more than a call.
const earlyFrom = 64 << 10

// early reports whether runs update parameter i themselves: large ones, unless
// gradients are added up or measured before they count.
func (t *Trainer) early(i int) bool {
	return t.opt.Accumulate <= 1 && t.opt.ClipNorm == 0 && t.opt.ClipValue == 0 && t.params[i].Data.Len() >= earlyFrom
}

// updates returns what a run of p updates.
func (t *Trainer) updates(p *stepProgram) *engine.Updates {
	u := &engine.Updates{Begin: func() error { return p.result().finite() }, Needs: []int{0}}
	for i, v := range t.params {
		if t.early(i) {
			u.Take = append(u.Take, engine.Update{Output: 2 + i, Stored: v.Name,
				Apply: func(lo int, part []float32) { t.optimizer.updatePart(i, lo, part) }})
		}
	}
	return u
}

// result returns the loss of the last run.
func (p *stepProgram) result() Result {
	return Result{Loss: float64(p.prog.Output(0).F32()[0]), Samples: p.inputs[0].Shape()[0]}
}

// step returns the program for a batch like inputs, compiling it the first time.
func (t *Trainer) step(ctx context.Context, inputs []*tensor.Tensor) (*stepProgram, error) {
	if err := checkInputs(t.g, inputs); err != nil {
		return nil, err
	}
	n := inputs[0].Shape()[0]
	if p := t.steps[n]; p != nil {
		for i, x := range inputs {
			if !p.inputs[i].Shape().Equal(x.Shape()) {
				return nil, fmt.Errorf("got input %v, earlier batches of %d were %v", x, n, p.inputs[i])
			}
		}
		return p, nil
	}
	g, err := t.StepGraph(tensor.Shapes(inputs)...)
	if err != nil {
		return nil, err
	}
	p := &stepProgram{}
	p.prog, err = t.backend.Compile(ctx, g, engine.Options{Threads: t.opt.Threads, MaxMemory: t.opt.MaxMemory, Updates: t.updates(p), Logger: t.opt.Logger})
	if err != nil {
		return nil, err
	}
	for i := range inputs {
		p.inputs = append(p.inputs, p.prog.Input(i))
	}
	if t.targeted() {
		p.target = p.prog.Input(len(inputs))
	}
	for i := range t.params {
		p.grads = append(p.grads, p.prog.Output(2+i))
	}
	t.steps[n] = p
	return p, nil
}

// Program returns the compiled step for batches like inputs, which [Trainer.Step]
// runs: its inputs are these and the target, if the loss takes one, its outputs those of [Trainer.StepGraph]
// but for the gradients that the run applies. The trainer keeps owning it.
func (t *Trainer) Program(ctx context.Context, inputs ...*tensor.Tensor) (engine.Program, error) {
	p, err := t.step(ctx, inputs)
	if err != nil {
		return nil, err
	}
	return p.prog, nil
}

// StepGraph returns the graph of one training step for inputs of the given
// shapes, one for each: outputs are the loss, the scores, and the gradient of each
// parameter.
func (t *Trainer) StepGraph(shapes ...tensor.Shape) (*ir.Graph, error) {
	g, err := pass.Specialize(t.g, shapes)
	if err != nil {
		return nil, err
	}
	if err := pass.TrainingMode(g, t.opt.BatchNorm, nil); err != nil {
		return nil, err
	}
	if f, ok := t.hook.(compress.TrainingFormer); ok {
		if err := f.TrainingForm(g); err != nil {
			return nil, err
		}
	}
	b := ir.NewBuilder(g, "loss")
	outputs := slices.Clone(g.Outputs)
	outputs[0] = Logits(g)
	if t.opt.Loss.classifies() && outputs[0].Type.Rank() > 2 && outputs[0].Type.IsScores() {
		outputs[0] = b.Op(op.Flatten{Axis: 1}, "loss/scores", outputs[0])
		if err := b.Err(); err != nil {
			return nil, err
		}
	}
	loss, err := t.loss(b, outputs)
	if err != nil {
		return nil, err
	}
	wrt := make([]*ir.Value, len(t.params))
	for i, p := range t.params {
		if wrt[i] = g.Value(p.Name); wrt[i] == nil {
			return nil, fmt.Errorf("parameter %q is not in the training graph", p.Name)
		}
	}
	grads, err := autodiff.Grad(g, loss, wrt)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i, d := range grads {
		if d == nil {
			errs = append(errs, fmt.Errorf("the loss does not depend on parameter %q", wrt[i].Name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		if len(outputs) > 1 {
			err = fmt.Errorf("%w\nthe model has %d outputs, and losses are of the first one: knowledge distillation by mse or relative_mse trains all", err, len(outputs))
		}
		return nil, err
	}
	g.Outputs = append([]*ir.Value{loss, outputs[0]}, grads...)
	g.Prune()
	return g, nil
}

// targeted reports whether the loss takes a target.
func (t *Trainer) targeted() bool { return t.opt.LossFunc != nil || t.opt.Loss.Type != NoLoss }

// loss builds the loss of the task, with a target as a new input, and what the
// hook adds to it.
func (t *Trainer) loss(b *ir.Builder, outputs []*ir.Value) (loss *ir.Value, err error) {
	if t.targeted() {
		target := b.G.AddInput(b.G.UniqueName("target"), t.opt.Loss.TargetType(outputs[0].Type))
		build := t.opt.LossFunc
		if build == nil {
			build = t.opt.Loss.Func()
		}
		if loss, err = build(b, outputs, target); err != nil {
			return nil, fmt.Errorf("loss: %w", err)
		}
	}
	if t.hook != nil {
		extra, err := t.hook.Loss(b)
		if err != nil {
			return nil, fmt.Errorf("compression loss: %w", err)
		}
		switch {
		case loss == nil:
			loss = extra
		case extra != nil:
			loss = b.Op(op.Add{}, "total_loss", loss, extra)
		}
	}
	if loss == nil {
		return nil, errors.New("loss: it is none, and nothing else adds one: add knowledge distillation, or choose another loss")
	}
	return loss, b.Err()
}

// checkInputs reports what a batch has that the inputs of g do not take; shapes
// that are wrong beyond the batch axis are left to Specialize.
func checkInputs(g *ir.Graph, inputs []*tensor.Tensor) error {
	if len(inputs) != len(g.Inputs) || len(inputs) == 0 {
		return fmt.Errorf("got a batch of %d tensors, the model has %d inputs", len(inputs), len(g.Inputs))
	}
	for i, v := range g.Inputs {
		if err := checkInput(v, inputs[i]); err != nil {
			return err
		}
		if n := inputs[0].Shape()[0]; inputs[i].Shape()[0] != n {
			return fmt.Errorf("input %q: got %v, the first input has a batch of %d", v.Name, inputs[i], n)
		}
	}
	return nil
}

// checkInput reports what a batch of images has that the input does not take;
// shapes that are wrong beyond the batch axis are left to Specialize.
func checkInput(v *ir.Value, images *tensor.Tensor) error {
	if v.Type.DType != images.DType() {
		return fmt.Errorf("input %q takes %v, got %v", v.Name, v.Type, images)
	}
	if images.Rank() == 0 || v.Type.Rank() == 0 {
		return fmt.Errorf("input %q: got %v, want %v with a batch axis", v.Name, images, v.Type)
	}
	if n, fixed := v.Type.Dims[0].Known(); fixed && n != images.Shape()[0] {
		return fmt.Errorf("input %q has a fixed batch of %d, got a batch of %d: set the batch size to %d, or export the model with a free batch axis", v.Name, n, images.Shape()[0], n)
	}
	return nil
}

// Logits returns the first output, or, if that is a softmax over the classes,
// what the softmax is taken of.
func Logits(g *ir.Graph) *ir.Value { return op.Scores(g.Outputs[0]) }

// Evaluate measures a classifier on a data set; the loss is cross-entropy,
// whatever the model is trained with. programs caches compiled graphs by batch
// size; the caller closes them.
func Evaluate(ctx context.Context, g *ir.Graph, programs map[int]engine.Program, backend engine.Backend, opt Options, l *data.Loader) (Metrics, error) {
	logits := Logits(g)
	var c Classification
	sums := Position{}
	meter := newMeter(l.Len(), opt.Progress)
	var lp []float32
	for b, err := range l.Batches(ctx, 0) {
		if err != nil {
			return Metrics{}, err
		}
		n, inputs := b.Len(), b.Inputs()
		p := programs[n]
		if p == nil {
			if p, err = compileFor(ctx, g, logits, backend, opt, inputs); err != nil {
				return Metrics{}, err
			}
			programs[n] = p
		}
		for i, x := range inputs {
			p.Input(i).CopyFrom(x)
		}
		if err := p.Run(ctx); err != nil {
			return Metrics{}, err
		}
		scores := p.Output(0)
		if len(lp) < scores.Len() {
			lp = make([]float32, scores.Len())
		}
		loss, err := crossEntropy(lp, scores, b)
		if err != nil {
			return Metrics{}, err
		}
		if scores.Rank() > 2 {
			scores = scores.Reshape(n, scores.Len()/n)
		}
		if err := c.Add(scores, b.Labels, n, loss); err != nil {
			return Metrics{}, err
		}
		sums.add(Result{Loss: loss, Correct: c.top1 - sums.Correct, Samples: n})
		meter.report(n, sums, Progress{Phase: "eval", Step: b.Index + 1, Steps: l.Len()})
	}
	if c.n == 0 {
		return Metrics{}, errors.New("the data set is empty")
	}
	return c.Metrics(), ctx.Err()
}

// crossEntropy returns the mean loss of scores [N, classes]; lp is scratch.
func crossEntropy(lp []float32, scores *tensor.Tensor, b *data.Batch) (float64, error) {
	n := b.Len()
	k := scores.Len() / n
	norm.LogSoftmax(lp[:scores.Len()], scores.F32(), k)
	loss := 0.0
	for i, y := range b.Labels.I64() {
		if y < 0 {
			return 0, fmt.Errorf("sample %d has no label; accuracy needs a data set with labels", b.Indices[i])
		}
		if y >= int64(k) {
			return 0, fmt.Errorf("sample %d has label %d, the model's output has %d classes (0 to %d)", b.Indices[i], y, k, k-1)
		}
		loss -= float64(lp[i*k+int(y)])
	}
	return loss / float64(n), nil
}

func compileFor(ctx context.Context, g *ir.Graph, out *ir.Value, backend engine.Backend, opt Options, inputs []*tensor.Tensor) (engine.Program, error) {
	if err := checkInputs(g, inputs); err != nil {
		return nil, err
	}
	s, err := pass.Specialize(g, tensor.Shapes(inputs))
	if err != nil {
		return nil, err
	}
	s.Outputs = []*ir.Value{s.Value(out.Name)}
	if t := s.Outputs[0].Type; t.DType != tensor.Float32 || !t.IsScores() || !t.Dims[0].Equal(ir.Len(inputs[0].Shape()[0])) {
		return nil, fmt.Errorf("output %q is %v for %d samples, accuracy needs scores, float32[N classes]", out.Name, t, inputs[0].Shape()[0])
	}
	s.Prune()
	return backend.Compile(ctx, s, engine.Options{Threads: opt.Threads, Logger: opt.Logger})
}

// CloseAll closes cached programs.
func CloseAll(programs map[int]engine.Program) error {
	var errs []error
	for _, n := range slices.Sorted(maps.Keys(programs)) {
		errs = append(errs, programs[n].Close())
	}
	return errors.Join(errs...)
}

// meter reports progress with speed and time left.
type meter struct {
	f           func(Progress)
	steps, done int
	start       time.Time
	timed       int // samples since start
}

func newMeter(steps int, f func(Progress)) *meter { return &meter{f: f, steps: steps} }

// report is called after each step of n samples; sums are those of the epoch.
func (m *meter) report(n int, sums Position, p Progress) {
	if m.f == nil {
		return
	}
	if m.done++; m.done == 1 { // compiling is not part of the rate
		m.start = time.Now()
	} else {
		m.timed += n
		if s := time.Since(m.start).Seconds(); s > 0 {
			p.ImagesPerSecond = float64(m.timed) / s
			p.Remaining = time.Duration(s / float64(m.done-1) * float64(m.steps-m.done) * float64(time.Second))
		}
	}
	mean := sums.Metrics()
	p.Loss, p.Top1 = mean.Loss, mean.Top1
	m.f(p)
}
