package train_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/engine/native"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
)

const features, classes = 6, 4

// network is two layers without batch normalization, [N features] → [N classes],
// with small random weights.
func network(t testing.TB) *ir.Graph {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 8))
	g := ir.New("test")
	b := ir.NewBuilder(g, "")
	param := func(name string, shape ...int) *ir.Value {
		p := tensor.New(tensor.Float32, shape...)
		for i := range p.F32() {
			p.F32()[i] = float32(rng.NormFloat64() / 2)
		}
		return g.AddStored(ir.Parameter, name, p)
	}
	x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{ir.Symbol("N"), ir.Len(features)}})
	h := b.Op(op.Gemm{Alpha: 1, Beta: 1}, "hidden", x, param("w1", features, 5), param("b1", 5))
	y := b.Op(op.Gemm{Alpha: 1, Beta: 1}, "scores", b.Op(op.Tanh{}, "tanh", h), param("w2", 5, classes), param("b2", classes))
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	g.Outputs = []*ir.Value{y}
	return g
}

// set returns n samples whose classes depend on their features.
func set(t testing.TB, n int) data.Dataset {
	t.Helper()
	rng := rand.New(rand.NewPCG(9, 10))
	x, y := tensor.New(tensor.Float32, n, features), tensor.New(tensor.Int64, n)
	for i := range n {
		row := x.F32()[i*features:][:features]
		for j := range row {
			row[j] = float32(rng.NormFloat64())
		}
		for j := 1; j < classes; j++ {
			if row[j] > row[y.I64()[i]] {
				y.I64()[i] = int64(j)
			}
		}
	}
	ds, err := data.FromTensors(x, y, data.Auto, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func batch(t testing.TB, ds data.Dataset, n int) (x, y *tensor.Tensor) {
	t.Helper()
	l := &data.Loader{Dataset: ds, Batch: n, Normalize: data.Normalize{Raw: true}}
	for b, err := range l.Batches(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		return b.Images.Clone(), b.Labels.Clone()
	}
	panic("no batch")
}

func newTrainer(t testing.TB, g *ir.Graph, o train.Options, hook train.Hook) *train.Trainer {
	t.Helper()
	if o.Schedule.LR == 0 {
		o.Schedule.LR = 0.125
	}
	tr, err := train.New(g, native.Backend{}, o, hook)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return tr
}

// weights returns all parameters of a graph, one after another.
func weights(g *ir.Graph) (w []float32) {
	for v := range g.Parameters() {
		w = append(w, v.Data.F32()...)
	}
	return w
}

// change is what a function does to the parameters.
func change(g *ir.Graph, f func()) []float64 {
	before := slices.Clone(weights(g))
	f()
	d := make([]float64, len(before))
	for i, v := range weights(g) {
		d[i] = float64(v) - float64(before[i])
	}
	return d
}

func norm(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v * v
	}
	return math.Sqrt(s)
}

// TestTrainer_StepGraph compares the compiled step of every loss with the
// reference evaluators.
func TestTrainer_StepGraph(t *testing.T) {
	x, y := batch(t, set(t, 8), 8)
	soft := tensor.New(tensor.Float32, 8, classes)
	for i := range soft.F32() {
		soft.F32()[i] = float32(i%5) / 5
	}
	for _, l := range []train.LossOptions{{}, {LabelSmoothing: 0.1}, {Type: "bce"}, {Type: "mse"}, {Type: "l1"}, {Type: "kl"}, {Type: "kl", Temperature: 3}} {
		t.Run(fmt.Sprintf("%+v", l), func(t *testing.T) {
			target := soft
			if l.Type == "" {
				target = y
			}
			g := network(t)
			tr := newTrainer(t, g, train.Options{Loss: l}, nil)
			step, err := tr.StepGraph(x.Shape())
			if err != nil {
				t.Fatal(err)
			}
			want, err := ir.Eval(t.Context(), step, []*tensor.Tensor{x, target})
			if err != nil {
				t.Fatal(err)
			}
			p, err := native.Backend{}.Compile(t.Context(), step, engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			p.Input(0).CopyFrom(x)
			p.Input(1).CopyFrom(target)
			if err := p.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(want) != 2+4 {
				t.Fatalf("got %d outputs, want loss, scores and four gradients", len(want))
			}
			for i, w := range want {
				for k, v := range w.F32() {
					// Sums of some 50 products of size 1, most divided by 8.
					if got := p.Output(i).F32()[k]; math.Abs(float64(got-v)) > 200*eps*max(1, math.Abs(float64(v))) {
						t.Errorf("output %d, element %d: got %g, want %g", i, k, got, v)
					}
				}
			}
			// The step takes the same loss.
			r, err := tr.StepTensors(t.Context(), x, target, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := float32(r.Loss); got != p.Output(0).F32()[0] {
				t.Errorf("loss: got %g, want %g", got, p.Output(0).F32()[0])
			}
		})
	}
}

// TestTrainer_Learns trains to a far lower loss with each optimizer.
func TestTrainer_Learns(t *testing.T) {
	l := &data.Loader{Dataset: set(t, 64), Batch: 16, Shuffle: true, Normalize: data.Normalize{Raw: true}}
	for _, o := range []struct {
		opt train.OptimizerOptions
		lr  float64
	}{{train.OptimizerOptions{Momentum: 0.9}, 0.1}, {train.OptimizerOptions{Type: "adam"}, 0.02}, {train.OptimizerOptions{Type: "adamw"}, 0.02}, {train.OptimizerOptions{Type: "rmsprop"}, 0.01}} {
		tr := newTrainer(t, network(t), train.Options{Optimizer: o.opt, Schedule: train.ScheduleOptions{LR: o.lr}}, nil)
		before, err := tr.Evaluate(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		for epoch := range 15 {
			if _, err := tr.Epoch(t.Context(), l, epoch); err != nil {
				t.Fatal(err)
			}
		}
		after, err := tr.Evaluate(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		if after.Loss > before.Loss/2 || after.Top1 < 85 {
			t.Errorf("%+v: loss from %.3f to %.3f, top-1 from %.1f to %.1f", o.opt, before.Loss, after.Loss, before.Top1, after.Top1)
		}
	}
}

// TestTrainer_Accumulate holds the mean of four small batches against one big
// batch, with everything that works on gradients.
func TestTrainer_Accumulate(t *testing.T) {
	x, y := batch(t, set(t, 16), 16)
	for _, o := range []train.Options{
		{},
		{Optimizer: train.OptimizerOptions{Momentum: 0.9, WeightDecay: 0.01}},
		{Optimizer: train.OptimizerOptions{Momentum: 0.9}, ClipNorm: 0.25},
		{ClipValue: 0.0625},
	} {
		big, small := network(t), network(t)
		one := newTrainer(t, big, o, nil)
		o.Accumulate = 4
		many := newTrainer(t, small, o, nil)
		for step := range 3 {
			if _, err := one.StepTensors(t.Context(), x, y, 0); err != nil {
				t.Fatal(err)
			}
			for k := range 4 {
				before := slices.Clone(weights(small))
				part := tensor.From(x.F32()[k*4*features:][:4*features], 4, features)
				if _, err := many.StepTensors(t.Context(), part, tensor.From(y.I64()[k*4:][:4], 4), 0); err != nil {
					t.Fatal(err)
				}
				if same := slices.Equal(before, weights(small)); same != (k < 3) {
					t.Fatalf("step %d, batch %d: parameters stayed as they were: %t", step, k, same)
				}
			}
		}
		a, b := weights(big), weights(small)
		for i := range a {
			// Three steps of rate 1/8 on gradients below 2, summed in another order.
			if d := math.Abs(float64(a[i] - b[i])); d > 3*64*eps {
				t.Errorf("%+v: parameter %d: got %.9g, want %.9g", o, i, b[i], a[i])
			}
		}
	}
}

// TestTrainer_Clip reads gradients off steps of plain descent.
func TestTrainer_Clip(t *testing.T) {
	x, y := batch(t, set(t, 8), 8)
	step := func(o train.Options) []float64 {
		g := network(t)
		o.Schedule.LR = 1
		tr := newTrainer(t, g, o, nil)
		return change(g, func() {
			if _, err := tr.StepTensors(t.Context(), x, y, 0); err != nil {
				t.Fatal(err)
			}
		})
	}
	free := step(train.Options{})
	length := norm(free)
	for _, limit := range []float64{length / 2, length / 100, length * 1.01} {
		got := step(train.Options{ClipNorm: limit})
		factor := min(1, limit/length)
		for i := range got {
			if d := math.Abs(got[i] - factor*free[i]); d > 8*eps { // parameters are below 2
				t.Errorf("norm %g, element %d: got %g, want %g", limit, i, got[i], factor*free[i])
			}
		}
	}
	for _, limit := range []float64{0.01, 1e6} {
		got := step(train.Options{ClipValue: limit})
		for i := range got {
			if want := min(max(free[i], -limit), limit); math.Abs(got[i]-want) > 8*eps {
				t.Errorf("value %g, element %d: got %g, want %g", limit, i, got[i], want)
			}
		}
	}
}

func TestTrainer_LabelErrors(t *testing.T) {
	x, _ := batch(t, set(t, 4), 4)
	for _, c := range []struct {
		loss  string
		label int64
		want  string
	}{
		{"", -1, "label -1 of sample 2 is outside 0..3"},
		{"", classes, "label 4 of sample 2 is outside 0..3"},
		{"mse", -1, "label -1 of sample 2 is outside 0..3"},
		{"bce", math.MaxInt64, "outside 0..3"},
		{"kl", 0, "want a teacher's scores"},
	} {
		g := network(t)
		tr := newTrainer(t, g, train.Options{Loss: train.LossOptions{Type: c.loss}}, nil)
		labels := tensor.From([]int64{0, 1, c.label, 3}, 4)
		moved := change(g, func() {
			_, err := tr.Step(t.Context(), &data.Batch{Images: x, Labels: labels, Indices: make([]int, 4)}, 0)
			wantError(t, err, c.want)
		})
		if norm(moved) != 0 {
			t.Errorf("%q: parameters changed all the same", c.loss)
		}
	}
}

// TestTrainer_OneHot trains with labels and a loss that compares with the
// output's shape.
func TestTrainer_OneHot(t *testing.T) {
	x, y := batch(t, set(t, 4), 4)
	hot := tensor.New(tensor.Float32, 4, classes)
	for i, l := range y.I64() {
		hot.F32()[i*classes+int(l)] = 1
	}
	for _, loss := range []string{"bce", "mse", "l1"} {
		a, b := network(t), network(t)
		o := train.Options{Loss: train.LossOptions{Type: loss}}
		r, err := newTrainer(t, a, o, nil).Step(t.Context(), &data.Batch{Images: x, Labels: y, Indices: make([]int, 4)}, 0)
		if err != nil {
			t.Fatal(err)
		}
		want, err := newTrainer(t, b, o, nil).StepTensors(t.Context(), x, hot, 0)
		if err != nil {
			t.Fatal(err)
		}
		if r.Loss != want.Loss || !slices.Equal(weights(a), weights(b)) {
			t.Errorf("%s: labels give loss %g, one-hot rows %g", loss, r.Loss, want.Loss)
		}
	}
}

func TestTrainer_Diverged(t *testing.T) {
	x, y := batch(t, set(t, 4), 4)
	for _, v := range []float32{nan, float32(math.Inf(1))} {
		g := network(t)
		tr := newTrainer(t, g, train.Options{}, nil)
		g.Value("b2").Data.F32()[1] = v
		before := slices.Clone(weights(g))
		_, err := tr.StepTensors(t.Context(), x, y, 0)
		if !errors.Is(err, train.ErrDiverged) {
			t.Errorf("%g in a bias: got error %v, want ErrDiverged", v, err)
		}
		wantError(t, err, "lower the learning rate")
		for i, w := range weights(g) {
			if math.Float32bits(w) != math.Float32bits(before[i]) {
				t.Errorf("parameter %d changed from %g to %g", i, before[i], w)
			}
		}
	}
}

func TestTrainer_InputErrors(t *testing.T) {
	x, y := batch(t, set(t, 4), 4)
	fixed, column := network(t), network(t)
	fixed.Inputs[0].Type.Dims[0] = ir.Len(1)
	column.Inputs[0].Type.DType = tensor.Uint8
	wide := tensor.New(tensor.Float32, 4, features+1)
	for _, c := range []struct {
		name   string
		g      *ir.Graph
		images *tensor.Tensor
		want   string
	}{
		{"fixed batch", fixed, x, `input "x" has a fixed batch of 1, got a batch of 4: set the batch size to 1`},
		{"element type", column, x, `input "x" takes uint8[N 6], got float32[4 6]`},
		{"features", network(t), wide, `input "x": got shape [4 7], want float32[N 6]`},
		{"scalar", network(t), tensor.Scalar(float32(1)), "batch axis"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := newTrainer(t, c.g, train.Options{}, nil).StepTensors(t.Context(), c.images, y, 0)
			wantError(t, err, c.want)
		})
	}
	tr := newTrainer(t, network(t), train.Options{}, nil)
	_, err := tr.StepTensors(t.Context(), x, tensor.New(tensor.Float32, 4), 0)
	wantError(t, err, "got target float32[4], the loss takes int64[4]")
	if _, err = tr.StepTensors(t.Context(), x, y, 0); err != nil {
		t.Errorf("after the errors: %v", err)
	}
	_, err = tr.StepTensors(t.Context(), wide, y, 0)
	wantError(t, err, "earlier batches of 4")
}

// TestTrainer_Column trains and evaluates scores of shape [N classes 1 1].
func TestTrainer_Column(t *testing.T) {
	ds := set(t, 8)
	x, y := batch(t, ds, 8)
	flat, column := network(t), network(t)
	b := ir.NewBuilder(column, "")
	column.Outputs[0] = b.Op(op.Reshape{}, "column", column.Outputs[0], b.ConstInts("shape", -1, classes, 1, 1))
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	var losses []float64
	var metrics []train.Metrics
	for _, g := range []*ir.Graph{flat, column} {
		tr := newTrainer(t, g, train.Options{}, nil)
		r, err := tr.StepTensors(t.Context(), x, y, 0)
		if err != nil {
			t.Fatal(err)
		}
		m, err := tr.Evaluate(t.Context(), &data.Loader{Dataset: ds, Normalize: data.Normalize{Raw: true}})
		if err != nil {
			t.Fatal(err)
		}
		losses, metrics = append(losses, r.Loss, float64(r.Correct)), append(metrics, m)
	}
	if losses[0] != losses[2] || losses[1] != losses[3] || !slices.Equal(weights(flat), weights(column)) {
		t.Errorf("flat and column scores differ: %v", losses)
	}
	if d := cmp.Diff(metrics[0], metrics[1]); d != "" {
		t.Error(d)
	}
}

func TestNew_Errors(t *testing.T) {
	frozen, none := network(t), network(t)
	for v := range frozen.Parameters() {
		frozen.SetKind(v, ir.Constant)
	}
	none.Inputs = nil
	ok := train.Options{Schedule: train.ScheduleOptions{LR: 1}}
	for _, c := range []struct {
		name string
		g    *ir.Graph
		o    train.Options
		want string
	}{
		{"nothing to train", frozen, ok, "no trainable parameters"},
		{"no inputs", none, ok, "no inputs"},
		{"rate", network(t), train.Options{}, "base_lr"},
		{"several", network(t), train.Options{Accumulate: -1, ClipNorm: -1}, "gradient clipping: got norm -1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := train.New(c.g, native.Backend{}, c.o, nil)
			wantError(t, err, c.want)
		})
	}
	// A loss that leaves parameters out.
	o := ok
	o.LossFunc = func(b *ir.Builder, out []*ir.Value, _ *ir.Value) (*ir.Value, error) {
		return b.Op(op.ReduceMean{}, "loss", b.G.Value("w2")), nil
	}
	x, y := batch(t, set(t, 4), 4)
	_, err := newTrainer(t, network(t), o, nil).StepTensors(t.Context(), x, y, 0)
	wantError(t, err, `does not depend on parameter "w1"`)
}
