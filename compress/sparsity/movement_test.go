package sparsity_test

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/go-nncf/nncf/autodiff"
	"github.com/go-nncf/nncf/compress/sparsity"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// feedForward is the block of an encoder without its rest: 6 → 8 → 4, the
// weight of the second matrix product stored transposed.
func feedForward(t testing.TB) *ir.Graph {
	t.Helper()
	g := ir.New("ffn")
	b := ir.NewBuilder(g, "")
	x := g.AddInput("x", ir.MakeType(tensor.Float32, 5, 6))
	param := func(name string, shape ...int) *ir.Value {
		w := tensor.New(tensor.Float32, shape...)
		for i := range w.F32() {
			w.F32()[i] = float32(math.Cos(float64(i*7+len(name)))) + 0.01
		}
		return g.AddStored(ir.Parameter, name, w)
	}
	h := b.Op(op.Gemm{TransB: true}, "up", x, param("up.weight", 8, 6), param("up.bias", 8))
	h = b.Op(op.Gelu{}, "act", h)
	y := b.Op(op.Gemm{}, "down", h, param("down.weight", 8, 4), param("down.bias", 4))
	g.Outputs = []*ir.Value{y}
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	return g
}

func movementOptions() sparsity.MovementOptions {
	return sparsity.MovementOptions{
		Params: sparsity.MovementParams{WarmupStart: new(1), WarmupEnd: new(3), Regularization: new(0.5), StepsPerEpoch: 2},
		Structure: []sparsity.StructureRule{
			{Mode: "per_dim", Axis: new(0), Targets: []string{"up"}},
			{Mode: "per_dim", Axis: new(1), Targets: []string{"down"}},
		},
	}
}

func applyMovement(t testing.TB, g *ir.Graph, o sparsity.MovementOptions) *sparsity.MovementController {
	t.Helper()
	s, err := sparsity.NewMovement(o).Setup(g)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := sparsity.RestoreMovement(raw)
	if err != nil {
		t.Fatal(err)
	}
	c, err := again.Apply(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*sparsity.MovementController)
}

// Threshold and regularization follow 1-(1-p)³ over the warm-up; then masks are
// fixed, neurons are dropped only if both of their weights are, and the exported
// model is smaller by them and computes the same.
func TestMovement_Phases(t *testing.T) {
	g := feedForward(t)
	c := applyMovement(t, g, movementOptions())
	up, down := g.Value("up.weight/score"), g.Value("down.weight/score")
	if s := up.Data.Shape(); !s.Equal(tensor.Shape{8, 1}) {
		t.Fatalf("up has scores %v, want one for each neuron", s)
	}
	if s := down.Data.Shape(); !s.Equal(tensor.Shape{8, 1}) { // stored [in out]
		t.Fatalf("down has scores %v, want one for each neuron", s)
	}
	copy(up.Data.F32(), []float32{-1, 1, -2, 1, -0.5, 1, 1, 1})
	copy(down.Data.F32(), []float32{-1, 1, -2, -3, 1, 1, 1, 1})
	threshold := g.Value("movement_sparsity/threshold").Data.F32()
	var factors []float64
	for epoch := range 3 {
		c.EpochStep()
		for range 2 {
			c.Step()
			h := g.Clone()
			loss, err := c.Loss(ir.NewBuilder(h, ""))
			if err != nil {
				t.Fatal(err)
			}
			mean := 0.0
			for _, s := range [][]float32{up.Data.F32(), down.Data.F32()} {
				for _, v := range s {
					mean += 1 / (1 + math.Exp(-float64(v))) / 8
				}
			}
			factors = append(factors, float64(evalOut(t, h, loss)[0].F32()[0])/mean)
		}
		if epoch == 0 && !math.IsInf(float64(threshold[0]), -1) {
			t.Errorf("before the warm-up: got threshold %g", threshold[0])
		}
	}
	want := []float64{0, 0, 0, 0.5 * (1 - math.Pow(0.75, 3)), 0.5 * (1 - math.Pow(0.5, 3)), 0.5 * (1 - math.Pow(0.25, 3))}
	for i := range want {
		if math.Abs(factors[i]-want[i]) > 1e-6 {
			t.Errorf("step %d: got factor %g, want %g", i, factors[i], want[i])
		}
	}
	// From -3, the least score, to 0.
	if w := -3 * math.Pow(0.25, 3); math.Abs(float64(threshold[0])-w) > 1e-6 {
		t.Errorf("got threshold %g, want %g", threshold[0], w)
	}
	if c.ParameterRule("up.weight/score").Frozen {
		t.Error("scores are frozen in the warm-up")
	}
	c.EpochStep()
	if !c.ParameterRule("up.weight/score").Frozen || c.Stage().String() != "full" {
		t.Errorf("after the warm-up: got stage %v", c.Stage())
	}
	// Neurons 0 and 2 lose both weights; 3 and 4 only one, which comes back.
	for _, name := range []string{"up.weight/keep", "down.weight/keep"} {
		if got := tensor.Data[uint8](g.Value(name).Data); !slices.Equal(got, []uint8{0, 1, 0, 1, 1, 1, 1, 1}) {
			t.Errorf("%s: got %v", name, got)
		}
	}
	x := tensor.New(tensor.Float32, 5, 6)
	for i := range x.F32() {
		x.F32()[i] = float32(math.Sin(float64(i)))
	}
	masked, err := ir.Eval(context.Background(), g, []*tensor.Tensor{x})
	if err != nil {
		t.Fatal(err)
	}
	small := g.Clone()
	for _, v := range small.Stored() {
		v.Data = v.Data.Clone()
	}
	if err := c.Strip(small, nil); err != nil {
		t.Fatal(err)
	}
	if s := small.Value("up.weight").Data.Shape(); !s.Equal(tensor.Shape{6, 6}) {
		t.Errorf("up.weight is %v, want 6 of 8 neurons", s)
	}
	cut, err := ir.Eval(context.Background(), small, []*tensor.Tensor{x})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "cut", cut[0].F32(), masked[0].F32(), 1e-6)
}

// The gradient of a score is Σ dy·w over its block, of kept and dropped blocks;
// that of a weight is dy where it is kept.
func TestMovement_Gradient(t *testing.T) {
	g := ir.New("g")
	b := ir.NewBuilder(g, "")
	stored := func(name string, n, m int, f func(i int) float32) *ir.Value {
		x := tensor.New(tensor.Float32, n, m)
		for i := range x.F32() {
			x.F32()[i] = f(i)
		}
		return g.AddStored(ir.Parameter, name, x)
	}
	w := stored("w", 3, 5, func(i int) float32 { return float32(i) - 7 })
	dy := stored("dy", 3, 5, func(i int) float32 { return float32(i%4) - 1 })
	s := stored("s", 2, 3, func(i int) float32 { return float32(i%2) - 0.5 }) // 2×2 blocks
	keep := g.AddStored(ir.State, "keep", tensor.From([]uint8{1, 1, 1, 1, 1, 1}, 2, 3))
	y := b.Op(op.MovementMask{Rows: 2, Cols: 2}, "y", w, s, keep, b.ConstF32("t", 0))
	loss := b.Op(op.ReduceSum{}, "loss", b.Op(op.Mul{}, "p", y, dy))
	grads, err := autodiff.Grad(g, loss, []*ir.Value{w, s})
	if err != nil {
		t.Fatal(err)
	}
	out := evalOut(t, g, grads...)
	wantS := make([]float32, 6)
	for i := range 15 {
		block := i/5/2*3 + i%5/2
		wantS[block] += w.Data.F32()[i] * dy.Data.F32()[i]
		want := float32(0)
		if block%2 == 1 {
			want = dy.Data.F32()[i]
		}
		if got := out[0].F32()[i]; got != want {
			t.Errorf("weight %d: got gradient %g, want %g", i, got, want)
		}
	}
	same(t, "scores", out[1].F32(), wantS, 1e-6)
}

func TestMovement_Validate(t *testing.T) {
	for name, change := range map[string]func(*sparsity.MovementOptions){
		"no warm-up":        func(o *sparsity.MovementOptions) { o.Params.WarmupEnd = nil },
		"end before start":  func(o *sparsity.MovementOptions) { o.Params.WarmupEnd = new(1) },
		"no regularization": func(o *sparsity.MovementOptions) { o.Params.Regularization = nil },
		"thresholds":        func(o *sparsity.MovementOptions) { o.Params.InitThreshold = new(1.0) },
		"mode":              func(o *sparsity.MovementOptions) { o.Structure[0].Mode = "diagonal" },
		"axis":              func(o *sparsity.MovementOptions) { o.Structure[0].Axis = new(2) },
	} {
		o := movementOptions()
		change(&o)
		if o.Validate() == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if err := movementOptions().Validate(); err != nil {
		t.Error(err)
	}
}
