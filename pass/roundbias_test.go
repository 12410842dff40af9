package pass_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// With rounded biases a graph computes what its file computes, to the rounding of
// float32 sums; without, it does not.
func TestRoundBiases(t *testing.T) {
	scalar := func(v float32) []*tensor.Tensor { return []*tensor.Tensor{tensor.Scalar(v)} }
	coarse := op.FakeQuantizeSymmetric{Low: -7, High: 7, Axis: -1} // large steps, so that rounding shows
	axis := func(k int) op.FakeQuantizeSymmetric {
		return op.FakeQuantizeSymmetric{Low: -7, High: 7, Axis: k}
	}
	per := []*tensor.Tensor{vector(0.8, 1, 0.5, 0.9)}
	for _, c := range []struct {
		name string
		layered
	}{
		{"bias of a conv", layered{kind: "Conv", bias: true, noBN: true, weight: axis(0), weightParams: per}},
		{"batch normalization", layered{kind: "Conv", weight: coarse, weightParams: scalar(0.8)}},
		{"bias and batch normalization", layered{kind: "Conv", bias: true, weight: axis(0), weightParams: per}},
		{"conv transpose", layered{kind: "ConvTranspose", bias: true, weight: axis(1), weightParams: per}},
		{"gemm", layered{kind: "GemmT", bias: true, noBN: true, weight: axis(0), weightParams: per}},
		{"matmul", layered{kind: "MatMul", weight: axis(1), weightParams: per}},
		{"asymmetric weight", layered{kind: "Conv", weight: op.FakeQuantizeAsymmetric{Levels: 16, Axis: -1}, weightParams: []*tensor.Tensor{tensor.Scalar(float32(-0.6)), tensor.Scalar(float32(1.5))}}},
		{"a channel without factor", layered{kind: "Conv", weight: coarse, weightParams: scalar(0.8), gamma: []float32{0, -1, 1e-30, 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.quantizeInput = true
			g := c.build(t)
			x := input(g, 7)
			for i, v := range x.F32() { // away from ties of the input's quantizer
				s := float32(0.9 / 127)
				x.F32()[i] = min(max(float32(math.Round(float64(v/s))), -120), 120)*s + 0.3*s
			}
			file := g.Clone()
			if err := pass.FoldBatchNorm(file, nil); err != nil {
				t.Fatal(err)
			}
			if err := pass.ToQDQ(file, nil); err != nil {
				t.Fatal(err)
			}
			written := eval(t, file, x)[0]
			bound := 0.9 / 127 / 7 / 2 // half a step of the accumulator, over factors up to 3
			d, _ := worst(t, written, eval(t, g, x)[0])
			if d < bound/20 || d > 4*bound {
				t.Errorf("before: differs by %g, want about %g", d, bound)
			}
			if err := pass.RoundBiases(g, nil); err != nil {
				t.Fatal(err)
			}
			rounded := eval(t, g, x)[0]
			if d, size := worst(t, written, rounded); d > 3e-6*max(1, size) {
				t.Errorf("after: differs by %g, values up to %g", d, size)
			}
			if err := pass.RoundBiases(g, nil); err != nil {
				t.Fatal(err)
			}
			if d, size := worst(t, eval(t, g, x)[0], rounded); d > 1e-6*max(1, size) {
				t.Errorf("a second time moves values by %g", d)
			}
		})
	}
}

// A module that is used twice has one bias, which the file rounds for each use,
// with and without normalization behind it.
func TestRoundBiases_Shared(t *testing.T) {
	for _, kind := range []string{"bias", "normalization"} {
		t.Run(kind, func(t *testing.T) {
			g := layered{kind: "GemmT", bias: true, noBN: true, quantizeInput: true, weight: op.FakeQuantizeSymmetric{Low: -7, High: 7, Axis: -1},
				weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.8))}}.build(t)
			b := ir.NewBuilder(g, "")
			norm := func(name string, y *ir.Value) *ir.Value {
				if kind == "bias" {
					return y
				}
				for _, v := range []struct {
					name string
					x    []float32
				}{{"gamma", []float32{0.7, -1.3, 0.2, 2}}, {"beta", []float32{0.1, -0.2, 0.3, 0}}, {"mean", []float32{0.5, -0.4, 0, 1}}, {"var", []float32{1.5, 0.3, 2, 1}}} {
					if g.Value(v.name) == nil {
						b.Const(v.name, vector(v.x...))
					}
				}
				return b.Op(op.BatchNormalization{Epsilon: 1e-5, Momentum: 0.9}, name, y, g.Value("gamma"), g.Value("beta"), g.Value("mean"), g.Value("var"))
			}
			first := g.Outputs[0]
			other := b.Op(op.FakeQuantizeSymmetric{Low: -128, High: 127, Axis: -1}, "other_q", g.Inputs[0], b.Const("other_scale", tensor.Scalar(float32(2.3))))
			second := b.Op(op.Gemm{TransB: true}, "again", other, first.Def.In[1], g.Value("b"))
			g.Outputs = []*ir.Value{norm("bn1", first), norm("bn2", second)}

			file := g.Clone()
			for _, convert := range []func(*ir.Graph, *rewrite.Trace) error{pass.FoldBatchNorm, pass.ToQDQ} {
				if err := convert(file, nil); err != nil {
					t.Fatal(err)
				}
			}
			x := input(g, 7)
			for i, v := range x.F32() { // away from ties of both quantizers
				s := float32(0.9 / 127)
				x.F32()[i] = min(max(float32(math.Round(float64(v/s))), -120), 120)*s + 0.3*s
			}
			written := eval(t, file, x)
			before := eval(t, g, x)
			if err := pass.RoundBiases(g, nil); err != nil {
				t.Fatal(err)
			}
			after := eval(t, g, x)
			for i := range written {
				if d, _ := worst(t, written[i], before[i]); d < 1e-5 {
					t.Errorf("output %d: before, it differs by %g only", i, d)
				}
				if d, size := worst(t, written[i], after[i]); d > 3e-6*max(1, size) {
					t.Errorf("output %d: differs by %g, values up to %g", i, d, size)
				}
			}
		})
	}
}

// What ToQDQ refuses stays, and so does what other nodes read of a bias.
func TestRoundBiases_Stays(t *testing.T) {
	per := []*tensor.Tensor{vector(0.8, 1, 0.5, 0.9)}
	refused := layered{kind: "Conv", bias: true, noBN: true, weight: symmetric8(0), weightParams: per}.build(t)
	b := ir.NewBuilder(refused, "")
	n := refused.Nodes()[len(refused.Nodes())-1]
	wide := b.Op(op.FakeQuantizeSymmetric{Low: -65536, High: 65535, Axis: -1}, "wide", n.Out[0], b.Const("wide_scale", tensor.Scalar(float32(1))))
	refused.Outputs = []*ir.Value{wide}

	sharing := layered{kind: "Conv", bias: true, noBN: true, quantizeInput: true, weight: symmetric8(0), weightParams: per}.build(t)
	b = ir.NewBuilder(sharing, "")
	sharing.Outputs = append(sharing.Outputs, b.Op(op.Neg{}, "reader", sharing.Value("b")))

	for _, c := range []struct {
		name string
		g    *ir.Graph
		note string
	}{{"refused", refused, "at most 65536"}, {"shared", sharing, "a copy of b"}} {
		before := slices.Clone(c.g.Value("b").Data.F32())
		trace := &rewrite.Trace{}
		if err := pass.RoundBiases(c.g, trace); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(before, c.g.Value("b").Data.F32()) {
			t.Errorf("%s: the bias moved", c.name)
		}
		if !slices.ContainsFunc(trace.Changes, func(x rewrite.Change) bool { return strings.Contains(x.What, c.note) }) {
			t.Errorf("%s: got trace %v, want a note with %q", c.name, trace.Changes, c.note)
		}
	}
}
