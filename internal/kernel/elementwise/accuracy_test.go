package elementwise

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit"
)

func phi(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }

func logistic(x float64) float64 {
	if x < 0 {
		return math.Exp(x) / (1 + math.Exp(x))
	}
	return 1 / (1 + math.Exp(-x))
}

// The documented errors, against float64, on values spread over the exponents
// and densely over the interesting range.
func TestAccuracy(t *testing.T) {
	cases := []struct {
		op     Unary
		f      func(x float64) float64
		lo, hi float64
		ulp    float64
		// relative to |x| instead of the result, for functions that cancel
		toInput bool
	}{
		{op: Exp, f: math.Exp, lo: -104, hi: 88.7, ulp: 1},
		{op: Log, f: math.Log, lo: 0, hi: 10, ulp: 1},
		{op: Sigmoid, f: logistic, lo: -103, hi: 30, ulp: 2.5},
		{op: Tanh, f: math.Tanh, lo: -10, hi: 10, ulp: 1.5},
		{op: Erf, f: math.Erf, lo: -5, hi: 5, ulp: 2},
		{op: Softplus, f: func(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }, lo: -80, hi: 30, ulp: 2.5},
		{op: Silu, f: func(x float64) float64 { return x * logistic(x) }, lo: -80, hi: 30, ulp: 4},
		{op: Gelu, f: func(x float64) float64 { return x * phi(x) }, lo: -8, hi: 8, ulp: 2, toInput: true},
		{op: GeluTanh, f: func(x float64) float64 {
			return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
		}, lo: -8, hi: 8, ulp: 3, toInput: true},
		{op: Sqrt, f: math.Sqrt, lo: 0, hi: 100, ulp: 0.5},
		{op: Reciprocal, f: func(x float64) float64 { return 1 / x }, lo: 1e-3, hi: 100, ulp: 0.5},
		{op: HardSwish, f: func(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) }, lo: -5, hi: 5, ulp: 2, toInput: true},
	}
	defer func(v *variant) { active = v }(active)
	for _, v := range variants() {
		if !v.supported() {
			continue
		}
		active = v
		for _, c := range cases {
			t.Run(fmt.Sprintf("%s/%v", v.name, c.op), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(2, 9))
				x := make([]float32, 20000)
				for i := range x {
					x[i] = float32(c.lo + rng.Float64()*(c.hi-c.lo))
					if i%4 == 0 { // all magnitudes
						x[i] = float32(math.Exp2(-60 + rng.Float64()*math.Log2(c.hi*0x1p60)))
						if c.lo < 0 && rng.IntN(2) == 0 {
							x[i] = max(-x[i], float32(c.lo))
						}
					}
				}
				y := make([]float32, len(x))
				c.op.Run(y, x)
				for i, v := range x {
					want := c.f(float64(v))
					got := testkit.ULP(y[i], want)
					if c.toInput {
						got = math.Abs(float64(y[i])-want) / (math.Abs(float64(v)) * 0x1p-23)
					}
					if got > c.ulp {
						t.Fatalf("%v(%v) = %v, want %v: %.2f ulp, limit %v", c.op, v, y[i], want, got, c.ulp)
					}
				}
			})
		}
	}
}

func TestSpecialValues(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	x := []float32{0, float32(math.Copysign(0, -1)), inf, -inf, nan, 200, -200, math.MaxFloat32}
	for _, c := range []struct {
		op   Unary
		want []float32
	}{
		{Exp, []float32{1, 1, inf, 0, nan, inf, 0, inf}},
		{Log, []float32{-inf, -inf, inf, nan, nan, 5.2983174, nan, 88.72284}},
		{Sigmoid, []float32{0.5, 0.5, 1, 0, nan, 1, 0, 1}},
		{Tanh, []float32{0, x[1], 1, -1, nan, 1, -1, 1}},
		{Erf, []float32{0, x[1], 1, -1, nan, 1, -1, 1}},
		{Softplus, []float32{0.6931472, 0.6931472, inf, 0, nan, 200, 0, math.MaxFloat32}},
		{Relu, []float32{0, x[1], inf, 0, nan, 200, 0, math.MaxFloat32}},
	} {
		y := make([]float32, len(x))
		c.op.Run(y, x)
		testkit.SameBits(t, c.op.String(), y, c.want)
	}
}

// Every gradient against a central difference of its function in float64, away
// from kinks.
func TestGradients(t *testing.T) {
	run := func(f func(dst, x []float32)) func(x float64) float64 {
		return func(x float64) float64 {
			y := make([]float32, 1)
			f(y, []float32{float32(x)})
			return float64(y[0])
		}
	}
	unary := func(o Unary) func(x float64) float64 { return run(func(d, x []float32) { o.Run(d, x) }) }
	for _, c := range []struct {
		name  string
		f     func(x float64) float64
		grad  func(dx, g, xy []float32)
		fromY bool
	}{
		{"Abs", unary(Abs), AbsGrad.Run, false},
		{"Sqrt", unary(Sqrt), SqrtGrad.Run, true},
		{"Square", unary(Square), SquareGrad.Run, false},
		{"Reciprocal", unary(Reciprocal), ReciprocalGrad.Run, true},
		{"Sigmoid", unary(Sigmoid), SigmoidGrad.Run, true},
		{"Tanh", unary(Tanh), TanhGrad.Run, true},
		{"Erf", unary(Erf), ErfGrad.Run, false},
		{"Relu", unary(Relu), ReluGrad.Run, false},
		{"Gelu", unary(Gelu), GeluGrad.Run, false},
		{"GeluTanh", unary(GeluTanh), GeluTanhGrad.Run, false},
		{"Silu", unary(Silu), SiluGrad.Run, false},
		{"HardSwish", unary(HardSwish), HardSwishGrad.Run, false},
		{"Softplus", unary(Softplus), SoftplusGrad.Run, false},
		{"LeakyRelu", run(func(d, x []float32) { LeakyRelu.Run(d, x, 0.1) }), func(dx, g, x []float32) { LeakyReluGrad.Run(dx, g, x, 0.1) }, false},
		{"Elu", run(func(d, x []float32) { Elu.Run(d, x, 0.7) }), func(dx, g, x []float32) { EluGrad.Run(dx, g, x, 0.7) }, false},
		{"Clip", run(func(d, x []float32) { Clip.Run(d, x, -1, 2) }), func(dx, g, x []float32) { ClipGrad.Run(dx, g, x, -1, 2) }, false},
		{"HardSigmoid", run(func(d, x []float32) { HardSigmoid.Run(d, x, 0.2, 0.5) }), func(dx, g, x []float32) { HardSigmoidGrad.Run(dx, g, x, 0.2, 0.5) }, false},
		{"PRelu", run(func(d, x []float32) { PRelu(d, x, []float32{0.3}) }), func(dx, g, x []float32) { PReluGrad(dx, g, x, []float32{0.3}) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, x := range []float64{-3.4, -1.7, -0.9, 0.9, 1.2, 2.4, 4.1} {
				if x < 0 && c.name == "Sqrt" {
					continue
				}
				const h = 1.0 / 128 // float32 noise is ε/h, the method's error h²
				want := (c.f(x+h) - c.f(x-h)) / (2 * h)
				at := float32(x)
				if c.fromY {
					at = float32(c.f(x))
				}
				dx := make([]float32, 1)
				c.grad(dx, []float32{2}, []float32{at})
				if d := math.Abs(float64(dx[0])/2 - want); d > 2e-4*max(1, math.Abs(want)) {
					t.Errorf("at %v: %v, want %v", x, dx[0]/2, want)
				}
			}
		})
	}
}
