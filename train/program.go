package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-nncf/nncf/autodiff"
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
	prog          engine.Program
	input, target *tensor.Tensor
	grads         []*tensor.Tensor // in the order of the trainer's parameters
}

// step returns the program for batches of n, compiling it the first time.
func (t *Trainer) step(ctx context.Context, n int, images *tensor.Tensor) (*stepProgram, error) {
	if p := t.steps[n]; p != nil {
		return p, nil
	}
	g, err := t.StepGraph(images.Shape())
	if err != nil {
		return nil, err
	}
	prog, err := t.backend.Compile(ctx, g, engine.Options{Threads: t.opt.Threads, Logger: t.opt.Logger})
	if err != nil {
		return nil, err
	}
	p := &stepProgram{prog: prog, input: prog.Input(0), target: prog.Input(1)}
	for i := range t.params {
		p.grads = append(p.grads, prog.Output(2+i))
	}
	t.steps[n] = p
	return p, nil
}

// StepGraph returns the graph of one training step for inputs of the given
// shape: outputs are the loss, the scores, and the gradient of each parameter.
func (t *Trainer) StepGraph(shape tensor.Shape) (*ir.Graph, error) {
	g, err := t.g.Specialize(map[string][]int{t.g.Inputs[0].Name: shape})
	if err != nil {
		return nil, err
	}
	if err := pass.TrainingMode(g, t.opt.BatchNorm, nil); err != nil {
		return nil, err
	}
	outputs := slices.Clone(g.Outputs)
	outputs[0] = Logits(g)
	target := g.AddInput(g.UniqueName("target"), t.opt.Loss.TargetType(outputs[0].Type))
	b := ir.NewBuilder(g, "loss")
	build := t.opt.LossFunc
	if build == nil {
		build = t.opt.Loss.Func()
	}
	loss, err := build(b, outputs, target)
	if err != nil {
		return nil, fmt.Errorf("loss: %w", err)
	}
	if t.hook != nil {
		extra, err := t.hook.Loss(b)
		if err != nil {
			return nil, fmt.Errorf("compression loss: %w", err)
		}
		if extra != nil {
			loss = b.Op(op.Add{}, "total_loss", loss, extra)
		}
	}
	if err := b.Err(); err != nil {
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
		return nil, err
	}
	g.Outputs = append([]*ir.Value{loss, outputs[0]}, grads...)
	g.Prune()
	return g, nil
}

// Logits returns the first output, or, if that is a softmax over the classes,
// what the softmax is taken of.
func Logits(g *ir.Graph) *ir.Value {
	v := g.Outputs[0]
	if n := v.Def; n != nil {
		if s, ok := n.Op.(op.Softmax); ok && (s.Axis == -1 || s.Axis == v.Type.Rank()-1) {
			return n.In[0]
		}
	}
	return v
}

// Evaluate measures a classifier on a data set. programs caches compiled
// graphs by batch size; the caller closes them.
func Evaluate(ctx context.Context, g *ir.Graph, programs map[int]engine.Program, backend engine.Backend, opt Options, l *data.Loader) (Metrics, error) {
	if len(g.Inputs) != 1 {
		return Metrics{}, fmt.Errorf("got a model with %d inputs, evaluation feeds one", len(g.Inputs))
	}
	logits := Logits(g)
	var c Classification
	meter := newMeter(l.Len(), opt.Progress)
	var lp []float32
	for b, err := range l.Batches(ctx, 0) {
		if err != nil {
			return Metrics{}, err
		}
		n := b.Len()
		p := programs[n]
		if p == nil {
			if p, err = compileFor(ctx, g, logits, backend, opt, b.Images.Shape()); err != nil {
				return Metrics{}, err
			}
			programs[n] = p
		}
		p.Input(0).CopyFrom(b.Images)
		if err := p.Run(ctx); err != nil {
			return Metrics{}, err
		}
		scores := p.Output(0)
		if scores.Rank() > 2 { // [N C 1 1]
			scores = scores.Reshape(n, scores.Len()/n)
		}
		if scores.Rank() != 2 {
			return Metrics{}, fmt.Errorf("output %q has shape %v, accuracy needs [N classes]", logits.Name, scores.Shape())
		}
		k := scores.Shape()[1]
		if len(lp) < scores.Len() {
			lp = make([]float32, scores.Len())
		}
		norm.LogSoftmax(lp[:scores.Len()], scores.F32(), k)
		loss := 0.0
		for i, y := range b.Labels.I64() {
			if y < 0 {
				return Metrics{}, fmt.Errorf("sample %d has no label", b.Indices[i])
			}
			if int(y) < k {
				loss -= float64(lp[i*k+int(y)])
			}
		}
		if err := c.Add(scores, b.Labels, n, loss/float64(n)); err != nil {
			return Metrics{}, err
		}
		meter.add(Result{Loss: loss / float64(n), Correct: countCorrect(scores, b.Labels), Samples: n}, Progress{Phase: "eval", Step: b.Index + 1, Steps: l.Len()})
	}
	if c.n == 0 {
		return Metrics{}, errors.New("the data set is empty")
	}
	return c.Metrics(), ctx.Err()
}

func compileFor(ctx context.Context, g *ir.Graph, out *ir.Value, backend engine.Backend, opt Options, shape tensor.Shape) (engine.Program, error) {
	s, err := g.Specialize(map[string][]int{g.Inputs[0].Name: shape})
	if err != nil {
		return nil, err
	}
	s.Outputs = []*ir.Value{s.Value(out.Name)}
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

// meter averages results and reports progress.
type meter struct {
	report        func(Progress)
	steps, done   int
	start         time.Time
	loss          float64
	correct, seen int
	timed         int // samples since start
}

func newMeter(steps int, report func(Progress)) *meter {
	return &meter{report: report, steps: steps, start: time.Now()}
}

func (m *meter) add(r Result, p Progress) {
	m.done++
	m.loss += r.Loss * float64(r.Samples)
	m.correct += r.Correct
	m.seen += r.Samples
	if m.report == nil {
		return
	}
	if m.done == 1 { // compiling is not part of the rate
		m.start = time.Now()
	} else {
		m.timed += r.Samples
		if s := time.Since(m.start).Seconds(); s > 0 {
			p.ImagesPerSecond = float64(m.timed) / s
			p.Remaining = time.Duration(s / float64(m.done-1) * float64(m.steps-m.done) * float64(time.Second))
		}
	}
	p.Loss, p.Top1 = m.loss/float64(m.seen), 100*float64(m.correct)/float64(m.seen)
	m.report(p)
}

func (m *meter) metrics() Metrics {
	if m.seen == 0 {
		return Metrics{}
	}
	return Metrics{Samples: m.seen, Loss: m.loss / float64(m.seen), Top1: 100 * float64(m.correct) / float64(m.seen)}
}
