package op_test

import (
	"math"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit/gradcheck"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// Asymmetric rows computed by hand with the rule zp = rne(-lo·n/(hi-lo)): tuned
// ends, and values and gradients of the first.
func TestFakeQuantizeAsymmetric_Values(t *testing.T) {
	for _, c := range []struct {
		low, width         float32
		levels             int
		wantLow, wantWidth float64
		zero               int
	}{
		{-.5, 2, 256, -.50261780, 2.00261780, 64},
		{.3, 1, 256, 0, 1.3, 0},
		{-1, 3, 16, -1, 3, 5},
		{-.37, 1.11, 256, -.37, 1.11, 85},
		{-1, 2, 4, -2, 3, 2},
	} {
		low, width := op.TuneRange(c.low, c.width, c.levels, false)
		if math.Abs(float64(low)-c.wantLow) > 1e-6 || math.Abs(float64(width)-c.wantWidth) > 1e-6 {
			t.Errorf("TuneRange(%v, %v, %d) = %v, %v, want %v, %v", c.low, c.width, c.levels, low, width, c.wantLow, c.wantWidth)
		}
		if zero := math.RoundToEven(-float64(low) / float64(width) * float64(c.levels-1)); zero != float64(c.zero) {
			t.Errorf("TuneRange(%v, %v, %d): zero is point %v, want %d", c.low, c.width, c.levels, zero, c.zero)
		}
	}
	x := tensor.From([]float32{-2, -1, -.6, -.26, 0, .13, .5, .99, 1, 3}, 10)
	g := tensor.From([]float32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 10)
	low, width := tensor.From([]float32{-.5}, 1), tensor.From([]float32{2}, 1)
	q := op.FakeQuantizeAsymmetric{Levels: 256, Axis: -1}
	want := []float64{-.502618, -.502618, -.502618, -.259162, 0, .133508, .502618, .989529, .997382, 1.5}
	for i, v := range eval(t, q, x, low, width)[0].F32() {
		if math.Abs(float64(v)-want[i]) > 2e-6 {
			t.Errorf("q(%v) = %v, want %v", x.F32()[i], v, want[i])
		}
	}
	d := eval(t, op.FakeQuantizeAsymmetricGrad(q), x, low, width, g)
	if l, w := d[1].F32()[0], d[2].F32()[0]; l != 4 || math.Abs(float64(w)-1.001935) > 2e-6 {
		t.Errorf("gradients of low and range: got %v and %v, want 4 and 1.001935", l, w)
	}
}

// ClipGrad counts clipped elements alone, as PACT's derivative of clip(x, 0, α)
// with respect to α; factors multiply.
func TestFakeQuantizeGrad_ClipAndFactors(t *testing.T) {
	x, g := gradcheck.Uniform(1, -1, 3, 200), gradcheck.Rand(2, 200)
	scale := tensor.From([]float32{1.7}, 1)
	above, outside := 0.0, 0.0
	for i, v := range x.F32() {
		if v > 1.7 {
			above += float64(g.F32()[i])
		}
		if v > 1.7 || v < 0 {
			outside += float64(g.F32()[i])
		}
	}
	near := func(what string, got float32, want float64) {
		t.Helper()
		if math.Abs(float64(got)-want) > 1e-5*math.Max(1, math.Abs(want)) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	near("scale", eval(t, op.FakeQuantizeSymmetricGrad{Low: 0, High: 15, Axis: -1, ClipGrad: true}, x, scale, g)[1].F32()[0], above)
	near("scale times 3", eval(t, op.FakeQuantizeSymmetricGrad{Low: 0, High: 15, Axis: -1, ClipGrad: true, GradScale: 3}, x, scale, g)[1].F32()[0], 3*above)
	d := eval(t, op.FakeQuantizeAsymmetricGrad{Levels: 16, Axis: -1, ClipGrad: true, GradScale: 3, LowGradScale: 0.5}, x, tensor.From([]float32{0}, 1), scale, g)
	near("low times a half", d[1].F32()[0], 0.5*outside)
	near("range times 3", d[2].F32()[0], 3*above)
	plain := eval(t, op.FakeQuantizeSymmetricGrad{Low: 0, High: 15, Axis: -1, ExactSTE: true}, x, scale, g)[1].F32()[0]
	near("exact times 3", eval(t, op.FakeQuantizeSymmetricGrad{Low: 0, High: 15, Axis: -1, ExactSTE: true, GradScale: 3}, x, scale, g)[1].F32()[0], 3*float64(plain))
	if _, err := (op.FakeQuantizeSymmetric{Low: 0, High: 15, Axis: -1, GradScale: -1}).Infer(nil); err == nil {
		t.Error("a negative factor is accepted")
	}
}
