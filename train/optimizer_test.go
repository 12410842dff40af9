package train_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/internal/par"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
)

// filled returns a tensor of n random elements.
func filled(rng *rand.Rand, n int) *tensor.Tensor {
	t := tensor.New(tensor.Float32, n)
	for i := range t.F32() {
		t.F32()[i] = float32(rng.NormFloat64())
	}
	return t
}

func newOptimizer(t *testing.T, o train.OptimizerOptions, threads int, params ...train.Param) *train.Optimizer {
	t.Helper()
	pool := par.New(threads)
	t.Cleanup(pool.Close)
	opt, err := train.NewOptimizer(o, params, pool)
	if err != nil {
		t.Fatal(err)
	}
	return opt
}

// TestOptimizer_Groups reads the settings of a parameter off one step without
// gradient (decay) and one with (rate): w -= lr·scale·(g + decay·w).
func TestOptimizer_Groups(t *testing.T) {
	o := train.OptimizerOptions{WeightDecay: 0.5, Groups: []train.ParameterGroup{
		{Pattern: `^stem\.`, LRScale: new(0.25), WeightDecay: new(0.0)},
		{Pattern: `bias$`, WeightDecay: new(0.0)},
		{Pattern: `^stem`, LRScale: new(100.0)}, // the first that matches counts
		{Pattern: `scale`, WeightDecay: new(0.125)},
	}}
	for _, c := range []struct {
		name    string
		noDecay bool
		want    float32 // of 1 after a step with gradient 1 and rate 1
	}{
		{"fc.weight", false, -0.5},
		{"fc.bias", false, 0},
		{"stem.weight", false, 0.75},
		{"stem2", false, -149}, // 1 - 100·(1 + 0.5)
		{"fq.range", true, 0},
		{"fq.scale", true, -0.125}, // a group that names it overrides
	} {
		w, g := tensor.From([]float32{1}, 1), tensor.From([]float32{1}, 1)
		newOptimizer(t, o, 1, train.Param{Name: c.name, Value: w, Grad: g, NoDecay: c.noDecay}).Step(1, 1)
		if got := w.F32()[0]; got != c.want {
			t.Errorf("%s: got %g, want %g", c.name, got, c.want)
		}
	}
}

// TestOptimizer_Threads updates a parameter that several tasks share.
func TestOptimizer_Threads(t *testing.T) {
	for _, o := range []train.OptimizerOptions{{Momentum: 0.9, WeightDecay: 1e-4}, {Type: "adam"}, {Type: "adamw", WeightDecay: 0.01}, {Type: "rmsprop", Momentum: 0.5}} {
		var want *tensor.Tensor
		for _, threads := range []int{1, 2, 4} {
			rng := rand.New(rand.NewPCG(3, 4))
			const n = 100_003
			w, g := filled(rng, n), filled(rng, n)
			opt := newOptimizer(t, o, threads, train.Param{Name: "w", Value: w, Grad: g})
			for range 3 {
				opt.Step(0.01, 0.5)
			}
			if want == nil {
				want = w
			} else if !w.Equal(want) {
				t.Errorf("%+v: %d threads give other weights than 1", o, threads)
			}
		}
	}
}

// TestOptimizer_State goes on from a saved state in the middle.
func TestOptimizer_State(t *testing.T) {
	for _, o := range []train.OptimizerOptions{{}, {Momentum: 0.9, Nesterov: true}, {Type: "adam"}, {Type: "adamw"}, {Type: "rmsprop"}, {Type: "rmsprop", Momentum: 0.5}} {
		run := func(split int) []float32 {
			rng := rand.New(rand.NewPCG(5, 6))
			w, g := filled(rng, 50), filled(rng, 50)
			p := []train.Param{{Name: "a", Value: tensor.From(w.F32()[:20], 20), Grad: tensor.From(g.F32()[:20], 20)},
				{Name: "b", Value: tensor.From(w.F32()[20:], 30), Grad: tensor.From(g.F32()[20:], 30)}}
			opt := newOptimizer(t, o, 1, p...)
			for i := range 6 {
				if i == split {
					step, state := opt.State()
					var saved []train.NamedTensor
					for _, s := range state {
						saved = append(saved, train.NamedTensor{Name: s.Name, Tensor: s.Tensor.Clone()})
					}
					saved = append(saved, train.NamedTensor{Name: "a", Tensor: w})
					opt = newOptimizer(t, o, 1, p...)
					if err := opt.LoadState(step, saved); err != nil {
						t.Fatal(err)
					}
				}
				opt.Step(0.01, 1)
			}
			return w.F32()
		}
		want := run(-1)
		for i, got := range run(3) {
			if got != want[i] {
				t.Errorf("%+v: element %d: got %g, want %g", o, i, got, want[i])
			}
		}
	}
}

func TestOptimizer_LoadState_Errors(t *testing.T) {
	param := train.Param{Name: "w", Value: tensor.New(tensor.Float32, 3), Grad: tensor.New(tensor.Float32, 3)}
	state := func(o train.OptimizerOptions) []train.NamedTensor {
		_, s := newOptimizer(t, o, 1, param).State()
		return s
	}
	adam := train.OptimizerOptions{Type: "adam"}
	for _, c := range []struct {
		name  string
		o     train.OptimizerOptions
		step  int
		state []train.NamedTensor
		want  string
	}{
		{"same", adam, 3, state(adam), ""},
		{"adamw goes on where adam was", train.OptimizerOptions{Type: "adamw"}, 3, state(adam), ""},
		{"none", adam, 3, nil, `"optimizer/exp_avg/w" is missing`},
		{"another optimizer", adam, 3, state(train.OptimizerOptions{Momentum: 0.9}), `"optimizer/momentum_buffer/w" is not state of this adam`},
		{"stateless optimizer", train.OptimizerOptions{}, 3, state(adam), `is not state of this sgd`},
		{"another length", adam, 3, []train.NamedTensor{{Name: "optimizer/exp_avg/w", Tensor: tensor.New(tensor.Float32, 4)}}, "got float32[4], want float32[3]"},
		{"another type", adam, 3, []train.NamedTensor{{Name: "optimizer/exp_avg/w", Tensor: tensor.New(tensor.Int64, 3)}}, "got int64[3]"},
		{"negative step", adam, -1, state(adam), "got -1 steps"},
	} {
		t.Run(c.name, func(t *testing.T) {
			opt := newOptimizer(t, c.o, 1, param)
			wantError(t, opt.LoadState(c.step, c.state), c.want)
			if step, _ := opt.State(); c.want == "" && step != c.step {
				t.Errorf("got step %d, want %d", step, c.step)
			}
		})
	}
}

func TestOptimizerOptions_Validate(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name string
		o    train.OptimizerOptions
		want string
	}{
		{"zero", train.OptimizerOptions{}, ""},
		{"any case", train.OptimizerOptions{Type: "AdamW"}, ""},
		{"type", train.OptimizerOptions{Type: "lion"}, `got "lion", want sgd, adam, adamw or rmsprop`},
		{"decay", train.OptimizerOptions{WeightDecay: -1}, "weight_decay: got -1"},
		{"decay NaN", train.OptimizerOptions{WeightDecay: nan}, "weight_decay: got NaN"},
		{"momentum", train.OptimizerOptions{Momentum: 1}, "momentum: got 1, want 0 to below 1"},
		{"nesterov", train.OptimizerOptions{Nesterov: true}, "nesterov needs"},
		{"betas", train.OptimizerOptions{Betas: [2]float64{0.9, 1}}, "betas: got [0.9 1]"},
		{"alpha", train.OptimizerOptions{Alpha: 1}, "alpha: got 1"},
		{"eps", train.OptimizerOptions{Epsilon: -1}, "eps: got -1"},
		{"pattern", train.OptimizerOptions{Groups: []train.ParameterGroup{{}, {Pattern: "("}}}, "parameter_groups[1]"},
		{"group rate", train.OptimizerOptions{Groups: []train.ParameterGroup{{LRScale: new(-1.0)}}}, "lr_scale: got -1"},
		{"all of them", train.OptimizerOptions{Type: "x", WeightDecay: -1, Groups: []train.ParameterGroup{{WeightDecay: new(-2.0)}}}, "weight_decay: got -2"},
	} {
		t.Run(c.name, func(t *testing.T) { wantError(t, c.o.Validate(), c.want) })
	}
}

func TestOptimizer_NoAllocation(t *testing.T) {
	w, g := tensor.New(tensor.Float32, 40_000), tensor.New(tensor.Float32, 40_000)
	opt := newOptimizer(t, train.OptimizerOptions{Type: "adam"}, 1, train.Param{Name: "w", Value: w, Grad: g})
	if n := testing.AllocsPerRun(10, func() { opt.Step(0.1, 1) }); n != 0 {
		t.Errorf("a step allocates %g times", n)
	}
}
