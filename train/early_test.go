package train_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
)

// wide is a network whose hidden weights are large enough to be updated while
// the backward pass goes on.
func wide(t testing.TB) *ir.Graph {
	t.Helper()
	const width = 300
	g := ir.New("wide")
	b := ir.NewBuilder(g, "")
	param := func(name string, shape ...int) *ir.Value {
		p := tensor.New(tensor.Float32, shape...)
		for i := range p.F32() {
			p.F32()[i] = float32(math.Sin(float64(3*i+len(name)))) / 16
		}
		return g.AddStored(ir.Parameter, name, p)
	}
	x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{ir.Symbol("N"), ir.Len(features)}})
	h := b.Op(op.Tanh{}, "t1", b.Op(op.MatMul{}, "m1", x, param("w1", features, width)))
	h = b.Op(op.Tanh{}, "t2", b.Op(op.MatMul{}, "m2", h, param("w22", width, width)))
	h = b.Op(op.Tanh{}, "t3", b.Op(op.MatMul{}, "m3", h, param("w4444", width, width)))
	y := b.Op(op.Gemm{Alpha: 1, Beta: 1}, "scores", h, param("w333", width, classes), param("b", classes))
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	g.Outputs = []*ir.Value{y}
	return g
}

// TestTrainer_EarlyUpdates: parameters that runs update themselves get the bits
// that they get at the end of the step, where a limit that never holds puts them.
func TestTrainer_EarlyUpdates(t *testing.T) {
	for _, kind := range []string{"sgd", "adamw", "rmsprop"} {
		t.Run(kind, func(t *testing.T) {
			var all [][]float32
			var arenas []int64
			for _, limit := range []float64{0, 1e30} {
				g := wide(t)
				tr := newTrainer(t, g, train.Options{ClipNorm: limit, Optimizer: train.OptimizerOptions{Type: kind, Momentum: 0.9, WeightDecay: 0.01},
					Schedule: train.ScheduleOptions{LR: 0.01}}, nil)
				x, y := batch(t, set(t, 8), 8)
				for step := range 3 {
					if _, err := tr.StepTensors(t.Context(), x, y, float64(step)); err != nil {
						t.Fatal(err)
					}
				}
				_, state := tr.OptimizerState()
				w := weights(g)
				for _, s := range state {
					w = append(w, s.Tensor.F32()...)
				}
				all = append(all, w)
				p, err := tr.Program(t.Context(), x)
				if err != nil {
					t.Fatal(err)
				}
				arenas = append(arenas, p.Info().ArenaBytes)
			}
			if !slices.Equal(all[0], all[1]) {
				t.Error("weights or moments differ")
			}
			if arenas[0] >= arenas[1] {
				t.Errorf("arena of %d bytes with early updates, %d without", arenas[0], arenas[1])
			}
		})
	}
}

// TestTrainer_EarlyDiverged: a step without a finite loss changes nothing.
func TestTrainer_EarlyDiverged(t *testing.T) {
	g := wide(t)
	tr := newTrainer(t, g, train.Options{Schedule: train.ScheduleOptions{LR: 0.01}}, nil)
	x, y := batch(t, set(t, 8), 8)
	x.F32()[0] = float32(math.Inf(1))
	x.F32()[1] = float32(math.Inf(-1)) // the hidden sums have both
	before := weights(g)
	r, err := tr.StepTensors(t.Context(), x, y, 0)
	if !errors.Is(err, train.ErrDiverged) || !math.IsNaN(r.Loss) {
		t.Errorf("got loss %g, error %v", r.Loss, err)
	}
	if !slices.Equal(weights(g), before) {
		t.Error("the weights changed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tr.StepTensors(ctx, x, y, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got error %v", err)
	}
	if step, _ := tr.OptimizerState(); step != 0 || !slices.Equal(weights(g), before) {
		t.Errorf("cancelled: got step %d", step)
	}
}
