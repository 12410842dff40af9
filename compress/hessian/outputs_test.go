package hessian_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/compress/hessian"
	"github.com/go-nncf/nncf/internal/testkit/calibrate"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// TestTraces_Outputs compares with sums written out: of two heads, xA and
// relu(xB)C, each counts by its relative error, whatever its size.
func TestTraces_Outputs(t *testing.T) {
	const n, in, hidden, first, second = 10, 5, 7, 3, 4
	rng := rand.New(rand.NewPCG(4, 2))
	random := func(scale float64, shape ...int) *tensor.Tensor {
		x := tensor.New(tensor.Float32, shape...)
		for i := range x.F32() {
			x.F32()[i] = float32(scale * rng.NormFloat64())
		}
		return x
	}
	a, bw, c, x := random(30, in, first), random(1, in, hidden), random(0.01, hidden, second), random(1, n, in)
	g := ir.New("heads")
	b := ir.NewBuilder(g, "")
	v := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{ir.Symbol("N"), ir.Len(in)}})
	y := b.Op(op.MatMul{}, "first", v, g.AddStored(ir.Parameter, "a", a))
	h := b.Op(op.Relu{}, "relu", b.Op(op.MatMul{}, "hidden", v, g.AddStored(ir.Parameter, "b", bw)))
	z := b.Op(op.MatMul{}, "second", h, g.AddStored(ir.Parameter, "c", c))
	g.Outputs = []*ir.Value{b.Op(op.Unsqueeze{}, "map", y, b.ConstInts("axis", 1)), z}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	want := make([]float64, 3)
	for s := range n {
		row := x.F32()[s*in:][:in]
		var xx, yy, hh, zz float64
		for _, e := range row {
			xx += float64(e) * float64(e)
		}
		times := func(row []float32, w *tensor.Tensor, k, of int) (sum float64) {
			for i, e := range row {
				sum += float64(e) * float64(w.F32()[i*of+k])
			}
			return sum
		}
		for k := range first {
			yy += math.Pow(times(row, a, k, first), 2)
		}
		act, active := make([]float32, hidden), 0.0
		for j := range hidden {
			act[j] = float32(max(0, times(row, bw, j, hidden)))
			hh += float64(act[j]) * float64(act[j])
			if act[j] > 0 {
				for k := range second {
					active += math.Pow(float64(c.F32()[j*second+k]), 2)
				}
			}
		}
		for k := range second {
			zz += math.Pow(times(act, c, k, second), 2)
		}
		want[0] += first * xx / yy / n / (in * first)
		want[1] += active * xx / zz / n / (in * hidden)
		want[2] += second * hh / zz / n / (hidden * second)
	}
	r, err := hessian.Traces(t.Context(), calibrate.Runner{Threads: 1}, g, []string{"a", "b", "c"},
		hessian.Data{Batches: calibrate.Samples(x, 4).Batches}, hessian.Options{Points: n, Iterations: 400, Tolerance: -1, Error: -1, Chunk: 5})
	if err != nil {
		t.Fatal(err)
	}
	if r.Form != "outputs" || r.OwnLabels {
		t.Errorf("got form %s, own labels %t", r.Form, r.OwnLabels)
	}
	for i, x := range r.Traces {
		if math.Abs(x.Mean-want[i]) > 3*x.StdErr || x.StdErr == 0 || x.StdErr > 0.1*want[i] {
			t.Errorf("trace of %s: got %.6g ± %.2g, want %.6g", x.Weight, x.Mean, x.StdErr, want[i])
		}
	}
}
