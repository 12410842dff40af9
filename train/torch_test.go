package train_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/autodiff"
	"github.com/go-nncf/nncf/internal/par"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
)

// testdata/torch.json holds what PyTorch 2.15 computes in float64:
//
//   - optimizer: five steps of torch.optim.SGD, Adam, AdamW and RMSprop on one
//     parameter of six elements, with the gradients and rates given (the rate is
//     set in param_groups before each step); the weights after each step.
//   - schedule: param_groups[0]["lr"] before each epoch's step() of StepLR,
//     MultiStepLR, ExponentialLR, CosineAnnealingLR(T_max=10), PolynomialLR(10)
//     and ReduceLROnPlateau(mode="max", threshold_mode="abs", eps=0).
//   - loss: cross_entropy, binary_cross_entropy_with_logits, mse_loss, l1_loss and
//     T²·kl_div(log_softmax(x/T), softmax(t/T), reduction="batchmean"), with the
//     gradient of x by backward().
//
// Options are those of this package, by their JSON names.
type torchData struct {
	Optimizer struct {
		Start     []float32
		Gradients [][]float32
		Rates     []float64
		Cases     []struct {
			Name    string
			Options train.OptimizerOptions
			Weights [][]float64
		}
	}
	Schedule []struct {
		Name           string
		Options        train.ScheduleOptions
		Rates, Metrics []float64
	}
	Loss struct {
		Shape                    []int
		X, Scores, Probabilities []float32
		Labels                   []int64
		Cases                    []struct {
			Name     string
			Options  train.LossOptions
			Shape    []int // of x instead of that above: a map, whose places have labels
			Target   string
			Loss     float64
			Gradient []float64
		}
	}
}

func readTorch(t *testing.T) (d torchData) {
	t.Helper()
	b, err := os.ReadFile("testdata/torch.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// eps is the relative rounding error of float32.
const eps = 1.0 / (1 << 24)

func TestOptimizer_Torch(t *testing.T) {
	d := readTorch(t).Optimizer
	for _, c := range d.Cases {
		t.Run(c.Name, func(t *testing.T) {
			pool := par.New(1)
			defer pool.Close()
			w, g := tensor.New(tensor.Float32, len(d.Start)), tensor.New(tensor.Float32, len(d.Start))
			copy(w.F32(), d.Start)
			o, err := train.NewOptimizer(c.Options, []train.Param{{Name: "w", Value: w, Grad: g}}, pool)
			if err != nil {
				t.Fatal(err)
			}
			before := make([]float64, len(d.Start))
			for i, v := range d.Start {
				before[i] = float64(v)
			}
			bound := make([]float64, len(d.Start))
			for k, lr := range d.Rates {
				copy(g.F32(), d.Gradients[k])
				o.Step(lr, 1)
				for i, want := range c.Weights[k] {
					// A dozen roundings per step, of terms no larger than the
					// weight and its change; errors of the moments stay in.
					bound[i] += 12 * eps * (math.Abs(want) + math.Abs(before[i]) + math.Abs(want-before[i]))
					if got := float64(w.F32()[i]); math.Abs(got-want) > bound[i] {
						t.Errorf("step %d, element %d: got %.9g, want %.9g ± %.2g", k+1, i, got, want, bound[i])
					}
				}
				before = c.Weights[k]
			}
		})
	}
}

// TestOptimizer_GradScale holds the factor on gradients against gradients
// scaled beforehand, by a power of two so that both round alike.
func TestOptimizer_GradScale(t *testing.T) {
	d := readTorch(t).Optimizer
	for _, c := range d.Cases {
		run := func(scale, factor float32) []float32 {
			pool := par.New(1)
			defer pool.Close()
			w, g := tensor.New(tensor.Float32, len(d.Start)), tensor.New(tensor.Float32, len(d.Start))
			copy(w.F32(), d.Start)
			o, err := train.NewOptimizer(c.Options, []train.Param{{Name: "w", Value: w, Grad: g}}, pool)
			if err != nil {
				t.Fatal(err)
			}
			for k, lr := range d.Rates {
				for i, v := range d.Gradients[k] {
					g.F32()[i] = v * factor
				}
				o.Step(lr, scale)
			}
			return w.F32()
		}
		got, want := run(0.25, 4), run(1, 1)
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: element %d: got %g, want %g", c.Name, i, got[i], want[i])
			}
		}
	}
}

func TestSchedule_Torch(t *testing.T) {
	for _, c := range readTorch(t).Schedule {
		t.Run(c.Name, func(t *testing.T) {
			c.Options.Epochs = 10
			s, err := train.NewSchedule(c.Options)
			if err != nil {
				t.Fatal(err)
			}
			for e, want := range c.Rates {
				if got := s.LR(float64(e)); math.Abs(got-want) > 1e-12 {
					t.Errorf("epoch %d: got %.15g, want %.15g", e, got, want)
				}
				if c.Metrics != nil {
					s.Report(c.Metrics[e])
				}
				s = reload(t, c.Options, s)
			}
		})
	}
}

// reload passes a schedule's state through a checkpoint's JSON.
func reload(t *testing.T, o train.ScheduleOptions, s *train.Schedule) *train.Schedule {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	n, err := train.NewSchedule(o)
	if err == nil {
		err = json.Unmarshal(b, n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestLoss_Torch(t *testing.T) {
	d := readTorch(t).Loss
	targets := map[string]*tensor.Tensor{
		"labels":        tensor.From(d.Labels, len(d.Labels)),
		"scores":        tensor.From(d.Scores, d.Shape...),
		"probabilities": tensor.From(d.Probabilities, d.Shape...),
	}
	for _, c := range d.Cases {
		t.Run(c.Name, func(t *testing.T) {
			x, target := tensor.From(d.X, d.Shape...), targets[c.Target]
			if s := c.Shape; s != nil {
				x, target = tensor.From(d.X, s...), tensor.From(d.Labels, append([]int{s[0]}, s[2:]...)...)
			}
			g := ir.New("loss")
			xv := g.AddInput("x", ir.TypeOf(x))
			if got, want := c.Options.TargetType(xv.Type), ir.TypeOf(target); !got.Equal(want) {
				t.Fatalf("target type: got %v, want %v", got, want)
			}
			tv := g.AddInput("target", ir.TypeOf(target))
			b := ir.NewBuilder(g, "test")
			loss, err := c.Options.Func()(b, []*ir.Value{xv}, tv)
			if err != nil {
				t.Fatal(err)
			}
			grads, err := autodiff.Grad(g, loss, []*ir.Value{xv})
			if err != nil {
				t.Fatal(err)
			}
			if err := ir.Verify(g); err != nil {
				t.Fatal(err)
			}
			out, err := ir.Eval(context.Background(), g, []*tensor.Tensor{x, target}, loss, grads[0])
			if err != nil {
				t.Fatal(err)
			}
			// Some 20 terms, each rounded a few times, of size up to 10.
			if got := float64(out[0].F32()[0]); math.Abs(got-c.Loss) > 200*eps*max(1, c.Loss) {
				t.Errorf("loss: got %.9g, want %.9g", got, c.Loss)
			}
			for i, want := range c.Gradient {
				if got := float64(out[1].F32()[i]); math.Abs(got-want) > 50*eps {
					t.Errorf("gradient %d: got %.9g, want %.9g", i, got, want)
				}
			}
		})
	}
}

func TestLossOptions_Validate(t *testing.T) {
	for _, c := range []struct {
		name string
		o    train.LossOptions
		want string
	}{
		{"zero", train.LossOptions{}, ""},
		{"type", train.LossOptions{Type: "hinge"}, `got "hinge"`},
		{"smoothing", train.LossOptions{LabelSmoothing: 1}, "label_smoothing: got 1"},
		{"temperature", train.LossOptions{Type: "kl", Temperature: -1}, "temperature: got -1"},
		{"two mistakes", train.LossOptions{Type: "x", Temperature: -1}, "temperature"},
	} {
		t.Run(c.name, func(t *testing.T) { wantError(t, c.o.Validate(), c.want) })
	}
}

// wantError checks that err is nil for an empty text, and has the text otherwise.
func wantError(t *testing.T, err error, text string) {
	t.Helper()
	switch {
	case text == "" && err != nil:
		t.Errorf("got error %v, want none", err)
	case text != "" && err == nil:
		t.Errorf("got no error, want one with %q", text)
	case text != "" && !strings.Contains(err.Error(), text):
		t.Errorf("got error %q, want one with %q", err, text)
	}
}
