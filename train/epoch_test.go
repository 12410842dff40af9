package train_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/engine/native"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
)

// hook counts calls and adds the sum of squares of w1, times 1/2, to the loss.
type hook struct {
	calls []string
	decay bool
	then  func(call string)
}

func (h *hook) call(s string) {
	h.calls = append(h.calls, s)
	if h.then != nil {
		h.then(s)
	}
}
func (h *hook) EpochStep() { h.call("epoch") }
func (h *hook) Step()      { h.call("step") }

func (h *hook) Loss(b *ir.Builder) (*ir.Value, error) {
	if !h.decay {
		return nil, nil
	}
	w := b.G.Value("w1")
	sum := b.Op(op.ReduceSum{}, "extra/sum", b.Op(op.Mul{}, "extra/square", w, w))
	return b.Op(op.Mul{}, "extra", sum, b.ConstF32("extra/half", 0.5)), b.Err()
}

// TestTrainer_HookLoss holds an L2 term against its value and its gradient.
func TestTrainer_HookLoss(t *testing.T) {
	x, y := batch(t, set(t, 8), 8)
	with, without := network(t), network(t)
	w := slices.Clone(with.Value("w1").Data.F32())
	sum := 0.0
	for _, v := range w {
		sum += float64(v) * float64(v)
	}
	a, err := newTrainer(t, with, train.Options{}, &hook{decay: true}).StepTensors(t.Context(), x, y, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newTrainer(t, without, train.Options{}, nil).StepTensors(t.Context(), x, y, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Loss - b.Loss; math.Abs(got-sum/2) > 100*eps*sum {
		t.Errorf("term of the hook: got %g, want %g", got, sum/2)
	}
	for i, v := range with.Value("w1").Data.F32() {
		// The rate is 1/8 and the gradient of the term is w.
		if want := without.Value("w1").Data.F32()[i] - w[i]/8; math.Abs(float64(v-want)) > 8*eps {
			t.Errorf("w1[%d]: got %g, want %g", i, v, want)
		}
	}
}

// loader has 10 batches of 4 and one of 2.
func loader(t *testing.T) *data.Loader {
	return &data.Loader{Dataset: set(t, 42), Batch: 4, Shuffle: true, Seed: 3, Normalize: data.Normalize{Raw: true}}
}

func TestTrainer_EpochCalls(t *testing.T) {
	for _, c := range []struct {
		accumulate, updates int
		rest                []int // steps at which each is called
	}{
		{1, 11, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{4, 3, []int{4, 8, 11}},
		{11, 1, []int{11}},
		{20, 1, []int{11}},
	} {
		h := &hook{}
		tr := newTrainer(t, network(t), train.Options{Accumulate: c.accumulate, Optimizer: train.OptimizerOptions{Type: "adam"}}, h)
		at := train.Position{Epoch: 5}
		var called []int
		if err := tr.EpochFrom(t.Context(), loader(t), &at, func() error { called = append(called, at.Step); return nil }); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.rest, called); d != "" {
			t.Errorf("accumulate %d: steps after updates: -want +got:\n%s", c.accumulate, d)
		}
		want := append([]string{"epoch"}, slices.Repeat([]string{"step"}, c.updates)...)
		if d := cmp.Diff(want, h.calls); d != "" {
			t.Errorf("accumulate %d: calls of the hook: -want +got:\n%s", c.accumulate, d)
		}
		if at.Epoch != 5 || at.Step != 11 || at.Samples != 42 {
			t.Errorf("accumulate %d: ended at %+v, want step 11 of epoch 5 with 42 samples", c.accumulate, at)
		}
		if step, _ := tr.OptimizerState(); step != c.updates {
			t.Errorf("accumulate %d: got %d updates, want %d", c.accumulate, step, c.updates)
		}
	}
}

// TestTrainer_Interrupted cancels an epoch at every step, saves what a
// checkpoint would, goes on in another trainer, and compares bit by bit.
func TestTrainer_Interrupted(t *testing.T) {
	for _, accumulate := range []int{1, 3} {
		o := train.Options{Accumulate: accumulate, Optimizer: train.OptimizerOptions{Momentum: 0.9}, Schedule: train.ScheduleOptions{Type: "cosine", LR: 0.25, Epochs: 2}}
		whole := network(t)
		want, err := newTrainer(t, whole, o, nil).Epoch(t.Context(), loader(t), 0)
		if err != nil {
			t.Fatal(err)
		}
		for stop := range 12 {
			g := network(t)
			ctx, cancel := context.WithCancel(t.Context())
			h := &hook{}
			if stop == 0 {
				h.then = func(string) { cancel() } // in EpochStep
			}
			tr := newTrainer(t, g, o, h)
			at := train.Position{}
			updates := 0
			err := tr.EpochFrom(ctx, loader(t), &at, func() error {
				if updates++; updates == stop {
					cancel()
				}
				return nil
			})
			cancel()
			ended := at.Step == 11
			if !errors.Is(err, context.Canceled) && !ended {
				t.Fatalf("stop %d: got error %v, want context.Canceled", stop, err)
			}
			if at.Step == 0 || at.Step%accumulate != 0 && !ended {
				t.Fatalf("stop %d: stopped at step %d, want a multiple of %d above 0", stop, at.Step, accumulate)
			}
			step, state := tr.OptimizerState()
			rest := newTrainer(t, g, o, h)
			if err := rest.LoadOptimizerState(step, state); err != nil {
				t.Fatal(err)
			}
			if err := rest.EpochFrom(t.Context(), loader(t), &at, nil); err != nil {
				t.Fatal(err)
			}
			if got := weights(g); !slices.Equal(got, weights(whole)) {
				t.Errorf("accumulate %d, interrupted after %d updates: parameters differ", accumulate, stop)
			}
			if d := cmp.Diff(want, at.Metrics(), cmpopts.EquateNaNs()); d != "" {
				t.Errorf("accumulate %d, interrupted after %d updates: -want +got:\n%s", accumulate, stop, d)
			}
			if n := len(slices.DeleteFunc(slices.Clone(h.calls), func(s string) bool { return s != "epoch" })); n != 1 {
				t.Errorf("accumulate %d, interrupted after %d updates: EpochStep was called %d times", accumulate, stop, n)
			}
		}
	}
}

// TestTrainer_CancelledBefore leaves everything as it is.
func TestTrainer_CancelledBefore(t *testing.T) {
	g, h := network(t), &hook{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	moved := change(g, func() {
		if _, err := newTrainer(t, g, train.Options{}, h).Epoch(ctx, loader(t), 0); !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v, want context.Canceled", err)
		}
	})
	if norm(moved) != 0 || h.calls != nil {
		t.Errorf("parameters moved by %g, calls %v", norm(moved), h.calls)
	}
}

func TestTrainer_EpochErrors(t *testing.T) {
	stop := errors.New("disk full")
	at := train.Position{}
	g := network(t)
	tr := newTrainer(t, g, train.Options{}, nil)
	if err := tr.EpochFrom(t.Context(), loader(t), &at, func() error { return stop }); !errors.Is(err, stop) || at.Step != 1 {
		t.Errorf("got error %v at step %d, want that of the callback at step 1", err, at.Step)
	}
	g.Value("b1").Data.F32()[0] = nan
	_, err := tr.Epoch(t.Context(), loader(t), 2)
	wantError(t, err, "epoch 3, step 1: training diverged")
	_, err = tr.Epoch(t.Context(), &data.Loader{Dataset: set(t, 3), Batch: 4, DropLast: true}, 0)
	wantError(t, err, "fewer than one batch")
}

// TestTrainer_Progress checks what a progress bar is told.
func TestTrainer_Progress(t *testing.T) {
	var got []train.Progress
	o := train.Options{Progress: func(p train.Progress) { got = append(got, p) }, Schedule: train.ScheduleOptions{Type: "exp", LR: 0.5, Gamma: 0.5, PerStep: true}}
	tr := newTrainer(t, network(t), o, nil)
	m, err := tr.Epoch(t.Context(), loader(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 11 {
		t.Fatalf("got %d reports, want 11", len(got))
	}
	for i, p := range got {
		if want := 0.5 * math.Pow(0.5, 1+float64(i)/11); p.Phase != "train" || p.Epoch != 1 || p.Step != i+1 || p.Steps != 11 || math.Abs(p.LR-want) > 1e-12 {
			t.Errorf("report %d: got %+v, want rate %g", i, p, want)
		}
	}
	if last := got[10]; last.Loss != m.Loss || last.Top1 != m.Top1 || last.Remaining != 0 || last.ImagesPerSecond <= 0 {
		t.Errorf("last report: got %+v, want the metrics %+v", last, m)
	}
	got = nil
	e, err := tr.Evaluate(t.Context(), loader(t))
	if err != nil {
		t.Fatal(err)
	}
	if last := got[len(got)-1]; len(got) != 11 || last.Phase != "eval" || math.Abs(last.Loss-e.Loss) > 1e-12 || math.Abs(last.Top1-e.Top1) > 1e-9 {
		t.Errorf("evaluation: got %d reports, the last %+v, want %+v", len(got), last, e)
	}
}

// TestEvaluate_ByHand compares with log-softmax in float64.
func TestEvaluate_ByHand(t *testing.T) {
	ds := set(t, 42)
	x, y := batch(t, ds, 42)
	g := network(t)
	out, err := ir.Eval(t.Context(), g, []*tensor.Tensor{x})
	if err != nil {
		t.Fatal(err)
	}
	loss, correct := 0.0, 0
	for i, l := range y.I64() {
		row := out[0].F32()[i*classes:][:classes]
		sum := 0.0
		for _, v := range row {
			sum += math.Exp(float64(v))
		}
		loss += math.Log(sum) - float64(row[l])
		if slices.Index(row, slices.Max(row)) == int(l) {
			correct++
		}
	}
	m, err := newTrainer(t, g, train.Options{}, nil).Evaluate(t.Context(), loader(t))
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(m.Loss-loss/42) > 50*eps || m.Top1 != 100*float64(correct)/42 || m.Top5 != 100 || m.Samples != 42 {
		t.Errorf("got %+v, want loss %g, top-1 %g", m, loss/42, 100*float64(correct)/42)
	}
	// A softmax at the end changes nothing.
	b := ir.NewBuilder(g, "")
	g.Outputs[0] = b.Op(op.Softmax{Axis: -1}, "p", g.Outputs[0])
	p, err := newTrainer(t, g, train.Options{}, nil).Evaluate(t.Context(), loader(t))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(m, p, cmpopts.EquateNaNs()); d != "" {
		t.Errorf("with softmax: -want +got:\n%s", d)
	}
}

func TestEvaluate_Errors(t *testing.T) {
	fixed, flat, two := network(t), network(t), network(t)
	fixed.Inputs[0].Type.Dims[0] = ir.Len(1)
	b := ir.NewBuilder(flat, "")
	flat.Outputs[0] = b.Op(op.ReduceMean{}, "mean", flat.Outputs[0])
	two.AddInput("other", ir.MakeType(tensor.Float32, 1))
	labelled := func(labels ...int64) *data.Loader {
		x := tensor.New(tensor.Float32, max(1, len(labels)), features)
		var y *tensor.Tensor
		if labels != nil {
			y = tensor.From(labels, len(labels))
		}
		ds, err := data.FromTensors(x, y, data.Auto, nil)
		if err != nil {
			t.Fatal(err)
		}
		return &data.Loader{Dataset: ds}
	}
	for _, c := range []struct {
		name string
		g    *ir.Graph
		l    *data.Loader
		want string
	}{
		{"fixed batch", fixed, loader(t), `input "x" has a fixed batch of 1, got a batch of 4`},
		{"no scores", flat, loader(t), "accuracy needs scores, float32[N classes]"},
		{"two inputs", two, loader(t), "2 inputs"},
		{"no labels", network(t), labelled(), "sample 0 has no label"},
		{"label too large", network(t), labelled(0, 4), "sample 1 has label 4, the model's output has 4 classes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			programs := map[int]engine.Program{}
			defer train.CloseAll(programs)
			_, err := train.Evaluate(t.Context(), c.g, programs, native.Backend{}, train.Options{}, c.l)
			wantError(t, err, c.want)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := train.Evaluate(ctx, network(t), map[int]engine.Program{}, native.Backend{}, train.Options{}, loader(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got error %v", err)
	}
}

// TestEvaluate_NaN measures a model whose outputs are not numbers.
func TestEvaluate_NaN(t *testing.T) {
	g := network(t)
	for i := range g.Value("b2").Data.F32() {
		g.Value("b2").Data.F32()[i] = nan
	}
	m, err := newTrainer(t, g, train.Options{}, nil).Evaluate(t.Context(), loader(t))
	if err != nil {
		t.Fatal(err)
	}
	if !math.IsNaN(m.Loss) || m.Top1 != 0 || m.Top5 != 0 {
		t.Errorf("got %+v, want nothing right and a loss of NaN", m)
	}
}

// TestTrainer_RangesDoNotDecay trains a quantizer's range without gradient: it
// must stay while weights shrink.
func TestTrainer_RangesDoNotDecay(t *testing.T) {
	g := network(t)
	scale := g.AddStored(ir.Parameter, "scale", tensor.From([]float32{1000}))
	b := ir.NewBuilder(g, "")
	q := b.Op(op.FakeQuantizeSymmetric{Low: -127, High: 127, Axis: -1}, "fq", g.Inputs[0], scale)
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	g.ReplaceUses(g.Inputs[0], q, q.Def)
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	x := tensor.New(tensor.Float32, 4, features) // zeros: no gradient reaches the range
	w := g.Value("w1").Data.F32()[0]
	tr := newTrainer(t, g, train.Options{Optimizer: train.OptimizerOptions{WeightDecay: 0.5}, Schedule: train.ScheduleOptions{LR: 1}}, nil)
	if _, err := tr.StepTensors(t.Context(), x, tensor.New(tensor.Int64, 4), 0); err != nil {
		t.Fatal(err)
	}
	if got := scale.Data.F32()[0]; got != 1000 {
		t.Errorf("range: got %g, want 1000", got)
	}
	if got := g.Value("w1").Data.F32()[0]; got != w/2 {
		t.Errorf("weight: got %g, want half of %g", got, w)
	}
}
