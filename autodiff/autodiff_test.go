package autodiff_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/autodiff"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/zoo"
)

func f32(shape ...int) ir.Type { return ir.MakeType(tensor.Float32, shape...) }

// eval returns the outputs of g for inputs of the given elements.
func eval(t *testing.T, g *ir.Graph, in ...[]float32) [][]float32 {
	t.Helper()
	var ts []*tensor.Tensor
	for i, v := range g.Inputs {
		ts = append(ts, tensor.From(in[i], v.Type.MustShape()...))
	}
	out, err := ir.Eval(t.Context(), g, ts)
	if err != nil {
		t.Fatal(err)
	}
	var vals [][]float32
	for _, o := range out {
		vals = append(vals, o.F32())
	}
	return vals
}

func TestGrad_ConsumersAddUp(t *testing.T) {
	g := ir.New("g")
	x := g.AddInput("x", f32(3))
	b := ir.NewBuilder(g, "")
	// Σ (x·x + 3x + x)  has gradient 2x + 4
	loss := b.Op(op.ReduceSum{}, "loss", b.Op(op.Add{}, "s",
		b.Op(op.Mul{}, "square", x, x),
		b.Op(op.Add{}, "four", b.Op(op.Mul{}, "three", x, b.ConstF32("c", 3)), x)))
	grads, err := autodiff.Grad(g, loss, []*ir.Value{x})
	if err != nil {
		t.Fatal(err)
	}
	g.Outputs = grads
	if err := ir.Verify(g); err != nil {
		t.Fatal(err)
	}
	got := eval(t, g, []float32{-1, 0, 2.5})[0]
	for i, want := range []float32{2, 4, 9} {
		if got[i] != want {
			t.Errorf("element %d: got %v, want %v", i, got[i], want)
		}
	}
}

func TestGrad_Independent(t *testing.T) {
	g := ir.New("g")
	x, y := g.AddInput("x", f32(2)), g.AddInput("y", f32(2))
	b := ir.NewBuilder(g, "")
	loss := b.Op(op.ReduceSum{}, "loss", x)
	grads, err := autodiff.Grad(g, loss, []*ir.Value{y, x})
	if err != nil {
		t.Fatal(err)
	}
	if grads[0] != nil || grads[1] == nil {
		t.Errorf("got gradients %v, want none for y and one for x", grads)
	}
}

func TestGrad_ReportsAllOperatorsWithoutGradient(t *testing.T) {
	g := ir.New("g")
	x := g.AddInput("x", f32(4, 3))
	b := ir.NewBuilder(g, "")
	a := b.Op(op.Hardmax{Axis: -1}, "first", x)
	c := b.Op(op.Hardmax{Axis: -1}, "second", x)
	loss := b.Op(op.ReduceSum{}, "loss", b.Op(op.Add{}, "sum", a, c))
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	_, err := autodiff.Grad(g, loss, []*ir.Value{x})
	for _, want := range []string{`"first" (Hardmax)`, `"second" (Hardmax)`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want it to name %s", err, want)
		}
	}
}

func TestGrad_WantsScalarLoss(t *testing.T) {
	g := ir.New("g")
	x := g.AddInput("x", f32(2))
	if _, err := autodiff.Grad(g, x, []*ir.Value{x}); err == nil || !strings.Contains(err.Error(), "want one float32 element") {
		t.Errorf("got error %v for a loss of two elements", err)
	}
}

// A whole network along one random direction in the space of all parameters,
// against central differences.
func TestGrad_NetworkAlongDirection(t *testing.T) {
	m, err := zoo.Build("resnet8_cifar", zoo.Options{Size: 8, Width: 4})
	if err != nil {
		t.Fatal(err)
	}
	g, err := m.Specialize(map[string][]int{"input": {2, 3, 8, 8}})
	if err != nil {
		t.Fatal(err)
	}
	b := ir.NewBuilder(g, "loss")
	y := g.Outputs[0]
	loss := b.Op(op.ReduceMean{}, "loss", b.Op(op.Tanh{}, "bounded", b.Op(op.Mul{}, "square", y, y)))
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	var params []*ir.Value
	for p := range g.Parameters() {
		params = append(params, p)
	}
	grads, err := autodiff.Grad(g, loss, params)
	if err != nil {
		t.Fatal(err)
	}
	g.Outputs = append([]*ir.Value{loss}, grads...)
	r := rand.New(rand.NewPCG(7, 8))
	x := make([]float32, 2*3*8*8)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	base := eval(t, g, x)
	direction := make([][]float64, len(params))
	slope := 0.0
	for i, p := range params {
		direction[i] = make([]float64, p.Data.Len())
		for k := range direction[i] {
			direction[i][k] = r.NormFloat64()
			slope += direction[i][k] * float64(base[1+i][k])
		}
	}
	at := func(h float64) float64 {
		var saved []*tensor.Tensor
		for i, p := range params {
			saved = append(saved, p.Data.Clone())
			for k := range p.Data.F32() {
				p.Data.F32()[k] += float32(h * direction[i][k])
			}
		}
		v := float64(eval(t, g, x)[0][0])
		for i, p := range params {
			p.Data.CopyFrom(saved[i])
		}
		return v
	}
	const h = 1e-4 // small against the weights' 0.1, large against float32 steps
	got := (at(h) - at(-h)) / (2 * h)
	if math.Abs(got-slope) > 0.01*math.Abs(slope)+1e-3 {
		t.Errorf("slope along the direction: gradients say %g, differences say %g", slope, got)
	}
}
