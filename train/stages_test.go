package train_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
)

// stagedHook changes what the network computes when its second epoch begins.
type stagedHook struct {
	hook
	g     *ir.Graph
	epoch int
	err   error
}

func (h *stagedHook) BeginEpoch(context.Context) (bool, error) {
	h.call("begin")
	if h.epoch++; h.err != nil || h.epoch != 2 {
		return false, h.err
	}
	p := rewrite.New(h.g, "stage", nil)
	v := h.g.Outputs[0]
	p.InsertAfter(v, op.Mul{}, "stage", p.B.ConstF32("zero", 0))
	return true, p.Commit()
}

// TestStagedHook: the second epoch trains the changed graph.
func TestStagedHook(t *testing.T) {
	g := network(t)
	h := &stagedHook{g: g}
	tr := newTrainer(t, g, train.Options{}, h)
	l := loader(t)
	for epoch, want := range []bool{false, true} {
		m, err := tr.Epoch(t.Context(), l, epoch)
		if err != nil {
			t.Fatal(err)
		}
		eval, err := tr.Evaluate(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		if got := math.Abs(m.Loss-eval.Loss) < 1e-6; got != want { // all scores are 0, whatever the parameters
			t.Errorf("epoch %d: got losses %g and %g, equal: want %t", epoch, m.Loss, eval.Loss, want)
		}
	}
	h.err = errors.New("no data")
	if _, err := tr.Epoch(t.Context(), l, 2); !errors.Is(err, h.err) {
		t.Errorf("got error %v, want that of the hook", err)
	}
}

// TestDrop_NoDecay: weight decay ends after the epoch that Drop says, for groups
// too, and the gradient counts on.
func TestDrop_NoDecay(t *testing.T) {
	o := train.OptimizerOptions{WeightDecay: 0.5, Groups: []train.ParameterGroup{{Pattern: "a", WeightDecay: new(0.25)}}}
	for _, c := range []struct {
		name string
		on   bool
		want float32 // of 1 after a step with gradient 1 and rate 1
	}{{"a", true, -0.25}, {"a", false, 0}, {"b", true, -0.5}, {"b", false, 0}} {
		w, g := tensor.From([]float32{1}, 1), tensor.From([]float32{1}, 1)
		opt := newOptimizer(t, o, 1, train.Param{Name: c.name, Value: w, Grad: g})
		opt.Decay(c.on)
		opt.Step(1, 1)
		if got := w.F32()[0]; got != c.want {
			t.Errorf("%s, decay %t: got %g, want %g", c.name, c.on, got, c.want)
		}
	}
	// Of the trainer: the same step before and after.
	step := func(epoch float64) float64 {
		g := network(t)
		x, y := batch(t, set(t, 8), 8)
		tr := newTrainer(t, g, train.Options{Optimizer: train.OptimizerOptions{WeightDecay: 50}, Schedule: train.ScheduleOptions{LR: 0.01, Drop: train.Drop{NoDecayAfter: 1, EndDecay: true}}}, nil)
		if _, err := tr.StepTensors(t.Context(), x, y, epoch); err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for p := range g.Parameters() {
			for _, v := range p.Data.F32() {
				sum += float64(v) * float64(v)
			}
		}
		return sum
	}
	at, after := step(1), step(1.01)
	if !(at < after/2) {
		t.Errorf("got squares %g at the epoch and %g after it, want them to shrink at it only", at, after)
	}
}
