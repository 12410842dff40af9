package sparsity_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/go-nncf/nncf/autodiff"
	"github.com/go-nncf/nncf/compress/sparsity"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/internal/testkit/npz"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

type rbGolden struct {
	Loss    float64            `json:"sparsity_loss"`
	Density float64            `json:"target_density"`
	Reached float64            `json:"current_sparsity"`
	Prob    float64            `json:"mean_sparse_prob"`
	ByLevel map[string]float64 `json:"loss_by_level"`
	Layers  []struct {
		Parameter string
		Numel     int
		Zeros     int
	}
}

func applyRB(t testing.TB, g *ir.Graph, o sparsity.RBOptions) *sparsity.RBController {
	t.Helper()
	s, err := sparsity.NewRB(o).Setup(g)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Apply(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*sparsity.RBController)
}

// rbModel is the golden network with the golden scores.
func rbModel(t testing.TB) (*ir.Graph, *sparsity.RBController, rbGolden, map[string]*tensor.Tensor) {
	t.Helper()
	raw, err := os.ReadFile(testkit.Shared(t, "data/nncf-goldens/sparsity/rb_resnet_basic.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden rbGolden
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	arrays := npz.Read(t, testkit.Shared(t, "data/nncf-goldens/sparsity/rb_resnet_basic.npz"))
	g := model(t, "resnet_basic")
	c := applyRB(t, g, sparsity.RBOptions{})
	for _, l := range golden.Layers {
		copy(g.Value(l.Parameter+"/score").Data.F32(), arrays["score|"+l.Parameter].F32())
	}
	return g, c, golden, arrays
}

func bit(b []byte, i int) bool { return b[i/8]>>(7-i%8)&1 == 1 }

// Masks, density, loss and the loss's gradients are those of NNCF 2.14.1.
func TestRB_Golden(t *testing.T) {
	g, c, golden, arrays := rbModel(t)
	if math.Abs(c.Reached()-golden.Reached) > 1e-7 {
		t.Errorf("got %g zeros, want %g", c.Reached(), golden.Reached)
	}
	reports := c.Report()
	if len(reports) != len(golden.Layers) {
		t.Fatalf("got %d layers, want %d", len(reports), len(golden.Layers))
	}
	for _, l := range golden.Layers {
		for _, r := range reports {
			if r.Weight == l.Parameter && (r.Zeros != l.Zeros || r.Elements != l.Numel) {
				t.Errorf("%s: got %d zeros of %d, want %d of %d", l.Parameter, r.Zeros, r.Elements, l.Zeros, l.Numel)
			}
		}
		w := g.Value(l.Parameter).Data.F32()
		got := eval(t, g, l.Parameter+"/masked").F32()
		for i := range w {
			want := float32(0)
			if bit(tensor.Data[uint8](arrays["mask_eval|"+l.Parameter]), i) {
				want = w[i]
			}
			if got[i] != want {
				t.Fatalf("%s: element %d: got %g, want %g", l.Parameter, i, got[i], want)
			}
		}
	}
	numbers := c.Statistics().Numbers
	if got := numbers[len(numbers)-1].Value / 100; math.Abs(got-(1-golden.Prob)) > 1e-6 && math.Abs(got-golden.Prob) > 1e-6 {
		t.Errorf("got probability %g, want %g", got, golden.Prob)
	}
	for level, want := range map[float64]float64{1 - golden.Density: golden.Loss, 0: golden.ByLevel["0.0"], 0.4: golden.ByLevel["0.4"], 0.6: golden.ByLevel["0.6"]} {
		if err := c.SetLevel(level); err != nil {
			t.Fatal(err)
		}
		h, loss := lossGraph(t, g, c)
		if got := float64(evalOut(t, h, loss)[0].F32()[0]); math.Abs(got-want) > 1e-5*want {
			t.Errorf("level %g: got loss %g, want %g", level, got, want)
		}
	}
	if err := c.SetLevel(1 - golden.Density); err != nil {
		t.Fatal(err)
	}
	h, loss := lossGraph(t, g, c)
	var wrt []*ir.Value
	for _, l := range golden.Layers {
		wrt = append(wrt, h.Value(l.Parameter+"/score"))
	}
	grads, err := autodiff.Grad(h, loss, wrt)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range evalOut(t, h, grads...) {
		same(t, golden.Layers[i].Parameter, d.F32(), arrays["dloss|"+golden.Layers[i].Parameter].F32(), 1e-5)
	}
	c.Freeze()
	h, loss = lossGraph(t, g, c)
	if got := evalOut(t, h, loss)[0].F32()[0]; got != 0 {
		t.Errorf("frozen: got loss %g", got)
	}
}

// same compares with a tolerance relative to the largest of want.
func same(t testing.TB, what string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d elements, want %d", what, len(got), len(want))
	}
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(float64(v)))
	}
	for i := range want {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= tol*largest) {
			t.Fatalf("%s: element %d: got %g, want %g", what, i, got[i], want[i])
		}
	}
}

func lossGraph(t testing.TB, g *ir.Graph, c *sparsity.RBController) (*ir.Graph, *ir.Value) {
	t.Helper()
	h := g.Clone()
	loss, err := c.Loss(ir.NewBuilder(h, "loss"))
	if err != nil {
		t.Fatal(err)
	}
	return h, loss
}

// evalOut evaluates values that depend on stored tensors only.
func evalOut(t testing.TB, g *ir.Graph, want ...*ir.Value) []*tensor.Tensor {
	t.Helper()
	h := g.Clone()
	h.Outputs = nil
	for _, v := range want {
		h.Outputs = append(h.Outputs, h.Value(v.Name))
	}
	h.Prune()
	h.Inputs = nil
	out, err := ir.Eval(context.Background(), h, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func eval(t testing.TB, g *ir.Graph, name string) *tensor.Tensor {
	t.Helper()
	return evalOut(t, g, g.Value(name))[0]
}

// With the noise of the golden run, masks and straight-through gradients are
// those of the original: dw = g·m, ds = g·w·σ'(s + ln(u/(1-u))). The noise comes
// from us, so the formulas are compared for it, element by element.
func TestRBMask_Gradient(t *testing.T) {
	const n = 4096
	w, s, dy := tensor.New(tensor.Float32, n), tensor.New(tensor.Float32, n), tensor.New(tensor.Float32, n)
	for i := range n {
		w.F32()[i], s.F32()[i], dy.F32()[i] = float32(i%13)-6, float32(i%17)/2-4, float32(i%7)-3
	}
	o := op.RBMask{Seed: 11, Training: true}
	step := tensor.Scalar(int64(3))
	y, err := o.Eval([]*tensor.Tensor{w, s, step})
	if err != nil {
		t.Fatal(err)
	}
	d, err := op.RBMaskGrad(o).Eval([]*tensor.Tensor{w, s, step, dy})
	if err != nil {
		t.Fatal(err)
	}
	kept := map[float32][2]int{}
	for i := range n {
		z := float64(s.F32()[i]) + math.Log(op.RBNoise(11, 3, i))
		p := 1 / (1 + math.Exp(-z))
		m := float32(0)
		if p > 0.5 {
			m = 1
		}
		if math.Abs(z) > 1e-9 && (y[0].F32()[i] != w.F32()[i]*m || d[0].F32()[i] != dy.F32()[i]*m) {
			t.Fatalf("element %d: got %g and gradient %g for mask %g", i, y[0].F32()[i], d[0].F32()[i], m)
		}
		if want := float64(dy.F32()[i]) * float64(w.F32()[i]) * p * (1 - p); math.Abs(float64(d[1].F32()[i])-want) > 1e-6*(1+math.Abs(want)) {
			t.Fatalf("element %d: got score gradient %g, want %g", i, d[1].F32()[i], want)
		}
		k := kept[s.F32()[i]]
		k[0] += int(m)
		k[1]++
		kept[s.F32()[i]] = k
	}
	for score, k := range kept { // 241 draws or so for each score
		p := 1 / (1 + math.Exp(-float64(score)))
		if got := float64(k[0]) / float64(k[1]); math.Abs(got-p) > 4*math.Sqrt(p*(1-p)/float64(k[1]))+0.01 {
			t.Errorf("score %g: kept %.3f, want about %.3f", score, got, p)
		}
	}
	frozen, err := op.RBMaskGrad(o).Eval([]*tensor.Tensor{w, s, tensor.Scalar(int64(-1)), dy})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range frozen[1].F32() {
		if v != 0 {
			t.Fatalf("frozen: element %d has score gradient %g", i, v)
		}
	}
}

// With the noise of the original's training step, the masks drawn and the
// gradients of scores are its own.
func TestRB_GoldenTraining(t *testing.T) {
	g, _, golden, arrays := rbModel(t)
	for _, l := range golden.Layers {
		name := l.Parameter
		w, s, u := g.Value(name).Data.F32(), arrays["score|"+name].F32(), arrays["noise|"+name].F32()
		dw, dloss, dtotal := arrays["dweight|"+name].F32(), arrays["dloss|"+name].F32(), arrays["dtotal|"+name].F32()
		kept := 0
		got, want := []float32{}, []float32{}
		for i := range w {
			x := min(max(float64(u[i]), 1e-6), 1-1e-6)
			keep := op.RBKeep(x, s[i])
			if keep != bit(tensor.Data[uint8](arrays["mask_train|"+name]), i) {
				t.Fatalf("%s: element %d with score %g and noise %g: got mask %v", name, i, s[i], u[i], keep)
			}
			if !keep {
				if dw[i] != 0 {
					t.Fatalf("%s: element %d is dropped and has gradient %g", name, i, dw[i])
				}
				continue
			}
			kept++
			got = append(got, float32(float64(dw[i])*float64(w[i])*op.RBSlope(x, s[i])+float64(dloss[i])))
			want = append(want, dtotal[i])
		}
		if kept == 0 || kept == len(w) {
			t.Errorf("%s: kept %d of %d", name, kept, len(w))
		}
		same(t, name, got, want, 1e-4)
	}
}
