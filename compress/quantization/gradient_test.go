package quantization_test

import (
	"math"
	"testing"

	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/op"
)

// One step of SGD changes the scale by as large a part of itself as LSQ would
// change the step size: LSQ's parameter is s = S/H, its gradient H·dL/dS, its factor
// g = 1/√(N·H).
func TestGradient_LSQ(t *testing.T) {
	n := newNet()
	x := n.Op(op.Relu{}, "relu", n.conv("a", n.input("x", 3, 4, 4), 5))
	g := n.done(t, n.conv("b", x, 2))
	four := quantization.Group{Bits: 4, Gradient: quantization.GradientLSQ}
	activations := four
	activations.Mode = quantization.Asymmetric
	s := setup(t, g, quantization.Options{Weights: four, Activations: activations})
	if _, err := s.Apply(g, nil); err != nil {
		t.Fatal(err)
	}
	for _, q := range s.Quantizers {
		n := map[string]int{"x": 3 * 16, "a.weight": 3, "relu": 5 * 16, "b.weight": 5, "b": 2 * 16}[q.Value]
		if q.Elements != n {
			t.Errorf("%s: %d elements share a range, want %d", q.Value, q.Elements, n)
		}
		if q.Output {
			continue // its node has taken the name of the output
		}
		const dLdS, rate = 0.3, 0.01
		var high, factor float64
		switch o := g.Value(q.Value + "/quantizer").Def.Op.(type) {
		case op.FakeQuantizeSymmetric:
			high, factor = 7, float64(o.GradScale)
			if !o.ExactSTE {
				t.Errorf("%s: LSQ's gradient is the exact one", q.Value)
			}
		case op.FakeQuantizeAsymmetric:
			high, factor = 15, float64(o.GradScale)
			if got, want := float64(o.LowGradScale), 1/math.Sqrt(float64(n)*high); math.Abs(got-want) > 1e-6*want {
				t.Errorf("%s: factor of low is %g, want %g", q.Value, got, want)
			}
		}
		size := 1.3
		ours := rate * factor * dLdS / size
		lsq := rate * (1 / math.Sqrt(float64(n)*high)) * (high * dLdS) / (size / high)
		if math.Abs(ours-lsq) > 1e-6*lsq {
			t.Errorf("%s: the scale changes by %g of itself, LSQ changes the step by %g", q.Value, ours, lsq)
		}
	}
}

// Groups choose their gradients, overrides change them, the older key means both.
func TestGradient_Options(t *testing.T) {
	n := newNet()
	g := n.done(t, n.conv("b", n.Op(op.Relu{}, "relu", n.conv("a", n.input("x", 3, 4, 4), 5)), 2))
	s := setup(t, g, quantization.Options{ExactGradient: true, Activations: quantization.Group{Gradient: quantization.GradientPACT},
		ScopeOverrides: quantization.Overrides{Weights: []quantization.Override{{Scope: "b", Gradient: quantization.GradientNNCF}}}})
	want := map[string]quantization.Gradient{"x": "pact", "relu": "pact", "b": "pact", "a.weight": "exact", "b.weight": ""}
	for _, q := range s.Quantizers {
		if q.Gradient != want[q.Value] {
			t.Errorf("%s: got gradient %q, want %q", q.Value, q.Gradient, want[q.Value])
		}
	}
	if _, err := s.Apply(g, nil); err != nil {
		t.Fatal(err)
	}
	if o := g.Value("relu/quantizer").Def.Op.(op.FakeQuantizeSymmetric); !o.ClipGrad || o.ExactSTE {
		t.Errorf("relu: got %+v, want the gradient of clipped values", o)
	}
}
