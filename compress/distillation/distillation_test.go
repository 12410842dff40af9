package distillation_test

import (
	"context"
	"math"
	"testing"

	"github.com/go-nncf/nncf/compress/distillation"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/engine/native"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
	"github.com/go-nncf/nncf/zoo"
)

func net(t testing.TB, depth ...string) *ir.Graph {
	t.Helper()
	name := "resnet8_cifar"
	if len(depth) > 0 {
		name = depth[0]
	}
	g, err := zoo.Build(name, zoo.Options{Width: 4, Size: 8, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// losses evaluates the loss of a training step on a batch with and without
// distillation, and returns the scores.
func losses(t testing.TB, o distillation.Options, change func(g *ir.Graph)) (plain, with float64, student, teacher []float32) {
	t.Helper()
	g := net(t)
	s, err := distillation.New(o).Setup(g)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Apply(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	x, labels := tensor.New(tensor.Float32, 16, 3, 8, 8), tensor.New(tensor.Int64, 16)
	for i := range x.F32() {
		x.F32()[i] = float32(math.Sin(float64(i) * 0.7))
	}
	for i := range labels.I64() {
		labels.I64()[i] = int64(i % 10)
	}
	teacher = scores(t, g, x)
	change(g)
	plain, _ = step(t, g, nil, x, labels)
	with, student = step(t, g, c, x, labels)
	return plain, with, student, teacher
}

// step returns the loss of a training step and the scores.
func step(t testing.TB, g *ir.Graph, hook train.Hook, x, labels *tensor.Tensor) (loss float64, student []float32) {
	t.Helper()
	o := train.Options{Schedule: train.ScheduleOptions{LR: 1}, Threads: 1}
	o.BatchNorm.FreezeBatchNorm = true
	tr, err := train.New(g, native.Backend{}, o, hook)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	joint, err := tr.StepGraph(x.Shape())
	if err != nil {
		t.Fatal(err)
	}
	p, err := native.Backend{}.Compile(context.Background(), joint, engine.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Input(0).CopyFrom(x)
	p.Input(1).CopyFrom(labels)
	if err := p.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	return float64(p.Output(0).F32()[0]), append([]float32(nil), p.Output(1).F32()...)
}

func scores(t testing.TB, g *ir.Graph, x *tensor.Tensor) []float32 {
	t.Helper()
	out, err := ir.Eval(context.Background(), g, []*tensor.Tensor{x})
	if err != nil {
		t.Fatal(err)
	}
	return out[0].F32()
}

// disturb moves every parameter, so that the model differs from its teacher.
func disturb(g *ir.Graph) {
	k := 0
	for v := range g.Parameters() {
		for i := range v.Data.F32() {
			v.Data.F32()[i] *= 1 + 0.2*float32(math.Cos(float64(i+k)))
			k++
		}
	}
}

// The loss is the formula of the original, on scores of the model and of a
// teacher that stays as the model was.
func TestLoss(t *testing.T) {
	const temperature, scale = 4.0, 0.5
	softmax := func(x []float32) []float64 {
		p, sum := make([]float64, len(x)), 0.0
		for i, v := range x {
			p[i] = math.Exp(float64(v) / temperature)
			sum += p[i]
		}
		for i := range p {
			p[i] /= sum
		}
		return p
	}
	plain, with, s, te := losses(t, distillation.Options{Type: "softmax", Temperature: new(temperature), Scale: new(scale)}, disturb)
	want, mse := 0.0, 0.0
	for n := range 16 {
		p, q := softmax(te[n*10:][:10]), softmax(s[n*10:][:10])
		for i := range p {
			want -= scale * temperature * temperature / 16 * p[i] * math.Log(q[i])
		}
	}
	for i := range s {
		mse += float64(s[i]-te[i]) * float64(s[i]-te[i]) / float64(len(s))
	}
	if got := with - plain; math.Abs(got-want) > 1e-4*want {
		t.Errorf("softmax: got %g, want %g", got, want)
	}
	if mse < 1e-3 {
		t.Fatalf("model and teacher differ by %g only", mse)
	}
	plain, with, _, _ = losses(t, distillation.Options{Type: "mse"}, disturb)
	if got := with - plain; math.Abs(got-mse) > 1e-4*max(1, mse) {
		t.Errorf("mse: got %g, want %g", got, mse)
	}
	relative := 0.0
	for n := range 16 {
		d, size := 0.0, 0.0
		for i := range 10 {
			x, y := float64(s[n*10+i]), float64(te[n*10+i])
			d, size = d+(x-y)*(x-y), size+y*y
		}
		relative += d / size / 16
	}
	plain, with, _, _ = losses(t, distillation.Options{Type: "relative_mse", Scale: new(3.0)}, disturb)
	if got := with - plain; math.Abs(got-3*relative) > 1e-4*max(1, relative) {
		t.Errorf("relative_mse: got %g, want %g", got, 3*relative)
	}
	// Chosen layers count when they differ, and only then.
	layers := distillation.Options{Type: "mse", Scale: new(0.0), Layers: []string{"{re}conv1"}}
	if plain, with, _, _ := losses(t, layers, disturb); with-plain < 1e-4 {
		t.Errorf("layers: got %g", with-plain)
	}
	if plain, with, _, _ := losses(t, layers, func(*ir.Graph) {}); math.Abs(with-plain) > 1e-6 {
		t.Errorf("layers of equal models: got %g", with-plain)
	}
}

// A sample needs little more memory with a teacher, in a deep network: a second
// set of activations would nearly double it, the teacher in passing needs a few
// layers. (The weights of the teacher are apart from that.)
func TestMemory(t *testing.T) {
	g := net(t, "resnet56")
	s, err := distillation.New(distillation.Options{Type: "softmax"}).Setup(g)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Apply(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	perSample := func(hook train.Hook) float64 {
		var bytes [2]int64
		for i, n := range []int{16, 48} {
			tr, err := train.New(g, native.Backend{}, train.Options{Schedule: train.ScheduleOptions{LR: 1}, Threads: 1}, hook)
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			step, err := tr.StepGraph(tensor.Shape{n, 3, 8, 8})
			if err != nil {
				t.Fatal(err)
			}
			p, err := native.Backend{}.Compile(context.Background(), step, engine.Options{Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			bytes[i] = p.Info().ArenaBytes
			p.Close()
		}
		return float64(bytes[1]-bytes[0]) / 32
	}
	if a, b := perSample(nil), perSample(c); b > 1.25*a {
		t.Errorf("got %.0f bytes a sample with a teacher, %.0f without", b, a)
	}
}

func TestValidate(t *testing.T) {
	for _, o := range []distillation.Options{{}, {Type: "kl"}, {Type: "mse", Temperature: new(2.0)}, {Type: "relative_mse", Temperature: new(2.0)}, {Type: "softmax", Temperature: new(0.0)}, {Type: "softmax", Scale: new(-1.0)}} {
		if o.Validate() == nil {
			t.Errorf("%+v: got no error", o)
		}
	}
	if _, err := distillation.New(distillation.Options{Type: "mse", Layers: []string{"nosuch"}}).Setup(net(t)); err == nil {
		t.Error("got no error for a layer that is not there")
	}
}
