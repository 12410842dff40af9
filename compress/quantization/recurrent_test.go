package quantization_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

// Both weights of a recurrent cell are quantized along the gates. Its inputs are
// where a device runs it on integers: with the original's placement and on TRIAL.
func TestPlace_Recurrent(t *testing.T) {
	build := func() *ir.Graph {
		n := newNet()
		x := n.input("x", 4, 3)
		seq := n.Op(op.Transpose{Perm: []int{1, 0, 2}}, "seq", x)
		y := n.Multi(op.LSTM{Recurrent: op.Recurrent{Direction: "bidirectional"}}, "lstm", 3, seq,
			n.param("w", 2, 8, 3), n.param("r", 2, 8, 2), n.param("b", 2, 16))
		h := n.Multi(op.GRU{}, "gru", 2, n.Op(op.Reshape{}, "flat", y[0], n.ConstInts("dims", 4, -1, 4)), n.param("w2", 1, 6, 4), n.param("r2", 1, 6, 2))
		s := n.Op(op.Gemm{TransB: true}, "fc", n.Op(op.Squeeze{}, "last", h[1], n.ConstInts("axes", 0)), n.param("fc.weight", 5, 2))
		return n.done(t, s)
	}
	weights := []string{
		"w weight axis 1 ← lstm:1", "r weight axis 1 ← lstm:2",
		"w2 weight axis 1 ← gru:1", "r2 weight axis 1 ← gru:2"}
	head := []string{"gru_1 ← last:0", "fc.weight weight axis 0 ← fc:1"}
	s := setup(t, build(), quantization.Options{TargetDevice: "CPU"})
	if d := cmp.Diff(append(append([]string(nil), weights...), head...), list(s)); d != "" {
		t.Errorf("CPU: -want +got:\n%s", d)
	}
	found := false
	for _, f := range s.Float {
		found = found || f.Node == "lstm" && strings.Contains(f.Why, "compute in float with the quantized weights")
	}
	if !found {
		t.Errorf("lstm is not listed with its reason: %v", s.Float)
	}
	s = setup(t, build(), quantization.Options{TargetDevice: "CPU", Placement: quantization.PlacementNNCF})
	want := []string{"x ← seq:0", weights[0], weights[1], "lstm ← flat:0", weights[2], weights[3], head[0], head[1]}
	if d := cmp.Diff(want, list(s)); d != "" {
		t.Errorf("placement of the original: -want +got:\n%s", d)
	}
	for _, q := range s.Quantizers {
		if q.Value == "r" && q.Rule != "recurrent weight of lstm (LSTM)" {
			t.Errorf("rule: got %q", q.Rule)
		}
	}
}
