package pass_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// random returns values from -size to size.
func random(seed uint64, size float64, shape ...int) *tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 1))
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.F32() {
		t.F32()[i] = float32(size * (2*r.Float64() - 1))
	}
	return t
}

func vector(v ...float32) *tensor.Tensor { return tensor.From(v, len(v)) }

// layered builds input → quantizer → layer(weight → quantizer) → BatchNormalization.
type layered struct {
	kind          string // Conv, ConvTranspose, Gemm, GemmT, MatMul
	weight        ir.Op  // quantizer, nil for none
	weightParams  []*tensor.Tensor
	bias          bool
	gamma         []float32
	quantizeInput bool
	noBN          bool
	biasScale     float32
}

const channels = 4

func (c layered) build(t *testing.T) *ir.Graph {
	t.Helper()
	g := ir.New(c.kind)
	b := ir.NewBuilder(g, "")
	inShape := []int{2, 3, 5, 5}
	var w *tensor.Tensor
	var layer ir.Op
	switch c.kind {
	case "Conv":
		w, layer = random(1, 1, channels, 3, 3, 3), op.Conv{}
	case "ConvTranspose":
		w, layer = random(1, 1, 3, channels, 3, 3), op.ConvTranspose{}
	case "Gemm":
		inShape, w, layer = []int{5, 7}, random(1, 1, 7, channels), op.Gemm{Alpha: 0.5, Beta: 2}
	case "GemmT":
		inShape, w, layer = []int{5, 7}, random(1, 1, channels, 7), op.Gemm{TransB: true}
	case "MatMul":
		inShape, w, layer = []int{5, 7}, random(1, 1, 7, channels), op.MatMul{}
	}
	x := g.AddInput("x", ir.MakeType(tensor.Float32, inShape...))
	if c.quantizeInput {
		x = b.Op(op.FakeQuantizeSymmetric{Low: -128, High: 127, Axis: -1}, "x_q", x, b.Const("x_scale", tensor.Scalar(float32(0.9))))
	}
	wv := g.AddStored(ir.Parameter, "w", w)
	if c.weight != nil {
		in := []*ir.Value{wv}
		for i, p := range c.weightParams {
			in = append(in, g.AddStored(ir.Parameter, []string{"w_p0", "w_p1", "w_p2", "w_p3"}[i], p))
		}
		wv = b.Op(c.weight, "w_q", in...)
	}
	in := []*ir.Value{x, wv}
	if c.bias {
		scale := c.biasScale
		if scale == 0 {
			scale = 1
		}
		in = append(in, g.AddStored(ir.Parameter, "b", random(2, float64(scale), channels)))
	}
	y := b.Op(layer, "layer", in...)
	if !c.noBN {
		gamma := c.gamma
		if gamma == nil {
			gamma = []float32{0.7, -1.3, 0.2, 2}
		}
		y = b.Op(op.BatchNormalization{Epsilon: 1e-5, Momentum: 0.9}, "bn", y,
			b.Const("gamma", vector(gamma...)), b.Const("beta", vector(0.1, -0.2, 0.3, 0)),
			b.Const("mean", vector(0.5, -0.4, 0, 1)), b.Const("var", vector(1.5, 0.3, 2, 1)))
	}
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	g.Outputs = []*ir.Value{y}
	return g
}

func count(g *ir.Graph, kind string) int {
	n := 0
	for _, m := range g.Nodes() {
		if m.Op.Kind() == kind {
			n++
		}
	}
	return n
}

func input(g *ir.Graph, seed uint64) *tensor.Tensor {
	return random(seed, 1, g.Inputs[0].Type.MustShape()...)
}

// symmetric8 is the usual weight quantizer: 255 levels.
func symmetric8(axis int) op.FakeQuantizeSymmetric {
	return op.FakeQuantizeSymmetric{Low: -127, High: 127, Axis: axis}
}

var foldCases = []struct {
	name string
	layered
	trace string // a note that must be there
}{
	{name: "float conv", layered: layered{kind: "Conv"}},
	{name: "float conv with bias", layered: layered{kind: "Conv", bias: true}},
	{name: "float gemm with factors", layered: layered{kind: "Gemm", bias: true}},
	{name: "float gemm transposed", layered: layered{kind: "GemmT"}},
	{name: "float matmul", layered: layered{kind: "MatMul"}},
	{name: "float conv transpose", layered: layered{kind: "ConvTranspose", bias: true}},
	{name: "per tensor becomes per channel", layered: layered{kind: "Conv", bias: true, weight: symmetric8(-1), weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.8))}}},
	{name: "per channel", layered: layered{kind: "Conv", weight: symmetric8(0), weightParams: []*tensor.Tensor{vector(0.8, 1, 0.5, -0.9)}}},
	{name: "log scale", layered: layered{kind: "Conv", weight: op.FakeQuantizeSymmetric{Low: -127, High: 127, Axis: -1, LogScale: true}, weightParams: []*tensor.Tensor{tensor.Scalar(float32(-0.2))}}},
	{name: "four bits", layered: layered{kind: "Conv", weight: op.FakeQuantizeSymmetric{Low: -7, High: 7, Axis: -1}, weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.8))}}},
	{name: "four bits, one point more below", layered: layered{kind: "Conv", weight: op.FakeQuantizeSymmetric{Low: -8, High: 7, Axis: -1}, weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.5))}}},
	{name: "seven bits, one point more below", layered: layered{kind: "Conv", weight: op.FakeQuantizeSymmetric{Low: -64, High: 63, Axis: 0}, weightParams: []*tensor.Tensor{vector(0.5, 0.4, 0.3, 0.8)}}},
	{name: "conv transpose axis 1", layered: layered{kind: "ConvTranspose", weight: symmetric8(1), weightParams: []*tensor.Tensor{vector(0.8, 1, 0.5, 0.9)}}},
	{name: "gemm axis 1", layered: layered{kind: "Gemm", bias: true, weight: symmetric8(1), weightParams: []*tensor.Tensor{vector(0.8, 1, 0.5, 0.9)}}},
	{name: "gemm transposed axis 0", layered: layered{kind: "GemmT", weight: symmetric8(0), weightParams: []*tensor.Tensor{vector(0.8, 1, 0.5, 0.9)}}},
	{name: "asymmetric", layered: layered{kind: "Conv", weight: op.FakeQuantizeAsymmetric{Levels: 256, Axis: -1}, weightParams: []*tensor.Tensor{tensor.Scalar(float32(-0.6)), tensor.Scalar(float32(1.5))}}},
	{name: "g is zero", layered: layered{kind: "Conv", weight: symmetric8(-1), weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.8))}, gamma: []float32{0, -1, 0, 1}}},
	{name: "g is tiny", layered: layered{kind: "Conv", weight: symmetric8(-1), weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.8))}, gamma: []float32{1e-18, -1e-30, 1e-12, 1}}},
	{name: "grids of the file", layered: layered{kind: "Conv", weight: op.FakeQuantize{Levels: 255}, weightParams: []*tensor.Tensor{tensor.Scalar(float32(-0.8)), tensor.Scalar(float32(0.8)), tensor.Scalar(float32(-0.8)), tensor.Scalar(float32(0.8))}, gamma: []float32{0, -1, 2, 1}}},
}

// TestFoldBatchNorm: the folded graph computes the same, without a
// BatchNormalization, and the weight still goes through its quantizer.
func TestFoldBatchNorm(t *testing.T) {
	for _, c := range foldCases {
		t.Run(c.name, func(t *testing.T) {
			g := c.build(t)
			before := g.Clone()
			if err := pass.FoldBatchNorm(g, nil); err != nil {
				t.Fatal(err)
			}
			if err := ir.Verify(g); err != nil {
				t.Fatal(err)
			}
			if n := count(g, "BatchNormalization"); n != 0 {
				t.Fatalf("%d BatchNormalization left", n)
			}
			if c.weight != nil && count(g, c.weight.Kind()) != 1 {
				t.Errorf("the weight's quantizer is gone")
			}
			if g.Outputs[0].Name != before.Outputs[0].Name {
				t.Errorf("output is named %q", g.Outputs[0].Name)
			}
			if v := g.Value("w"); v == nil || v.Kind != ir.Parameter {
				t.Errorf("the weight lost its name or kind")
			}
			x := input(g, 7)
			got, want := eval(t, g, x)[0], eval(t, before, x)[0]
			// The folded weights, bias and the sums of at most 27 products each round
			// a few times in float32.
			if d, size := worst(t, got, want); !(d <= 2e-6*max(1, size)) {
				t.Errorf("differs by %g, values up to %g", d, size)
			}
		})
	}
}

// TestFoldBatchNorm_Points: folding keeps the integers, mirrored where the
// factor is negative.
func TestFoldBatchNorm_Points(t *testing.T) {
	c := layered{kind: "Conv", weight: symmetric8(-1), weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.8))}}
	g := c.build(t)
	direct := g.Clone()
	if err := pass.FoldBatchNorm(g, nil); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*ir.Graph{direct, g} {
		if err := pass.ToQDQ(h, nil); err != nil {
			t.Fatal(err)
		}
	}
	a, b := tensor.Data[int8](direct.Value("w").Data), tensor.Data[int8](g.Value("w").Data)
	per := len(a) / channels
	for i := range a {
		want := a[i]
		if i/per == 1 { // the channel with the negative factor
			want = -want
		}
		if b[i] != want {
			t.Fatalf("weight %d is %d, want %d", i, b[i], want)
		}
	}
}

// TestFoldBatchNorm_Mirror: -128 has no mirror image; it moves by one step and
// the trace says so.
func TestFoldBatchNorm_Mirror(t *testing.T) {
	c := layered{kind: "Conv", weight: op.FakeQuantizeSymmetric{Low: -128, High: 127, Axis: -1}, weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.5))}}
	g := c.build(t)
	before := g.Clone()
	var trace rewrite.Trace
	if err := pass.FoldBatchNorm(g, &trace); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(trace.Changes, func(c rewrite.Change) bool { return c.Rule == "fold-batchnorm" && len(c.What) > 10 }) {
		t.Errorf("no note in %v", trace.Changes)
	}
	x := input(g, 7)
	d, _ := worst(t, eval(t, g, x)[0], eval(t, before, x)[0])
	// At most 27 weights of the channel with g = -1.3/√0.3 move by a step of
	// 0.5/127, inputs are at most 1.
	if bound := 27 * 1.3 / math.Sqrt(0.3) * 0.5 / 127; !(d > 0 && d <= bound) {
		t.Errorf("differs by %g, want more than 0 and at most %g", d, bound)
	}
}

// TestFoldBatchNorm_Stays: what cannot be folded stays, with a reason.
func TestFoldBatchNorm_Stays(t *testing.T) {
	g := layered{kind: "Conv"}.build(t)
	g.Outputs = append(g.Outputs, g.Nodes()[0].Out[0])
	var trace rewrite.Trace
	if err := pass.FoldBatchNorm(g, &trace); err != nil {
		t.Fatal(err)
	}
	if count(g, "BatchNormalization") != 1 || len(trace.Changes) != 1 {
		t.Errorf("got %d BatchNormalization and notes %v", count(g, "BatchNormalization"), trace.Changes)
	}
	if err := pass.TrainingMode(g, pass.TrainingOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	if err := pass.FoldBatchNorm(g, nil); err == nil {
		t.Error("the training form was accepted")
	}
}

// TestToQDQ_Layer: one layer between a quantized input and a float output
// differs from the simulation by the rounding of its bias.
func TestToQDQ_Layer(t *testing.T) {
	for _, c := range []struct {
		name string
		layered
		step float64 // of the weight, after folding
		int8 bool
	}{
		{"conv per tensor", layered{kind: "Conv", bias: true, noBN: true, weight: symmetric8(-1), weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.8))}}, 0.8 / 127, true},
		{"conv per channel", layered{kind: "Conv", bias: true, noBN: true, weight: symmetric8(0), weightParams: []*tensor.Tensor{vector(0.8, 1, 0.5, 0.9)}}, 1. / 127, true},
		{"conv folded", layered{kind: "Conv", bias: true, weight: symmetric8(-1), weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.8))}}, 0.8 / 127 * 1.3 / 0.5477, true},
		{"conv transpose", layered{kind: "ConvTranspose", bias: true, weight: symmetric8(1), weightParams: []*tensor.Tensor{vector(0.8, 1, 0.5, 0.9)}}, 1. / 127 * 1.3 / 0.5477, true},
		{"gemm transposed", layered{kind: "GemmT", bias: true, noBN: true, weight: symmetric8(0), weightParams: []*tensor.Tensor{vector(0.8, 1, 0.5, 0.9)}}, 1. / 127, true},
		{"gemm with factors keeps its bias", layered{kind: "Gemm", bias: true, noBN: true, weight: symmetric8(1), weightParams: []*tensor.Tensor{vector(0.8, 1, 0.5, 0.9)}}, 0, true},
		{"matmul", layered{kind: "MatMul", noBN: true, weight: symmetric8(1), weightParams: []*tensor.Tensor{vector(0.8, 1, 0.5, 0.9)}}, 0, true},
		{"four bits", layered{kind: "Conv", bias: true, noBN: true, weight: op.FakeQuantizeSymmetric{Low: -8, High: 7, Axis: -1}, weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.8))}}, 0.8 / 7, true},
		{"asymmetric", layered{kind: "Conv", bias: true, noBN: true, weight: op.FakeQuantizeAsymmetric{Levels: 256, Axis: 0}, weightParams: []*tensor.Tensor{vector(-0.6, -1, 0, -0.8), vector(1.5, 1, 1, 0.9)}}, 1.5 / 255, false},
		{"g is zero", layered{kind: "Conv", bias: true, weight: symmetric8(-1), weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.8))}, gamma: []float32{0, -1, 0, 1}}, 0.8 / 127 / 0.5477, true},
		{"g is tiny", layered{kind: "Conv", bias: true, weight: symmetric8(-1), weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.8))}, gamma: []float32{1e-9, -1e-30, 1e-12, 1}}, 0.8 / 127, true},
		{"bias is huge", layered{kind: "Conv", bias: true, biasScale: 1e6, noBN: true, weight: symmetric8(-1), weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.8))}}, 0.8 / 127, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.quantizeInput = true
			g := c.build(t)
			before := g.Clone()
			if err := pass.FoldBatchNorm(g, nil); err != nil {
				t.Fatal(err)
			}
			if err := pass.ToQDQ(g, nil); err != nil {
				t.Fatal(err)
			}
			if err := ir.Verify(g); err != nil {
				t.Fatal(err)
			}
			if got, want := count(g, "QuantizeLinear"), 1; got != want {
				t.Errorf("%d QuantizeLinear, want %d", got, want)
			}
			dq := 2
			if c.step != 0 {
				dq = 3
			}
			if got := count(g, "DequantizeLinear"); got != dq {
				t.Errorf("%d DequantizeLinear, want %d", got, dq)
			}
			if v := g.Value("w"); v == nil || (v.Type.DType == tensor.Int8) != c.int8 {
				t.Errorf("weight is %v", v.Type)
			}
			x := input(g, 7)
			for i, v := range x.F32() { // away from ties of the input's quantizer
				s := float32(0.9 / 127)
				k := float32(math.Round(float64(v / s)))
				x.F32()[i] = min(max(k, -120), 120)*s + 0.3*s
			}
			got, want := eval(t, g, x)[0], eval(t, before, x)[0]
			bound := 0.9 / 127 * c.step / 2
			if d, size := worst(t, got, want); !(d <= bound+3e-6*max(1, size)) {
				t.Errorf("differs by %g, want at most %g, values up to %g", d, bound, size)
			}
		})
	}
}

// TestToFakeQuantize: the file's operator computes what the trainable ones do.
func TestToFakeQuantize(t *testing.T) {
	for _, c := range []struct {
		name string
		layered
		levels int
	}{
		{"conv per tensor", layered{kind: "Conv", bias: true, weight: symmetric8(-1), weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.8))}}, 255},
		{"conv per channel", layered{kind: "Conv", bias: true, weight: symmetric8(0), weightParams: []*tensor.Tensor{vector(0.8, 1, 0.5, 0.9)}}, 255},
		{"256 levels", layered{kind: "Conv", weight: op.FakeQuantizeSymmetric{Low: -128, High: 127, Axis: -1}, weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.8))}, gamma: []float32{1, 2, 3, 0.5}}, 256},
		{"four bits", layered{kind: "Conv", weight: op.FakeQuantizeSymmetric{Low: -7, High: 7, Axis: -1}, weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.8))}}, 255},
		{"asymmetric", layered{kind: "Conv", weight: op.FakeQuantizeAsymmetric{Levels: 256, Axis: 0}, weightParams: []*tensor.Tensor{vector(-0.6, -1, 0, -0.8), vector(1.5, 1, 1, 0.9)}}, 256},
		{"a channel of zeros", layered{kind: "Conv", weight: symmetric8(-1), weightParams: []*tensor.Tensor{tensor.Scalar(float32(0.8))}, gamma: []float32{0, 1, 1e-20, 1}}, 255},
	} {
		for _, fold := range []bool{false, true} {
			name := c.name
			if fold {
				name += " folded"
			}
			t.Run(name, func(t *testing.T) {
				c.quantizeInput = true
				g := c.build(t)
				before := g.Clone()
				if fold {
					if err := pass.FoldBatchNorm(g, nil); err != nil {
						t.Fatal(err)
					}
				}
				if err := pass.ToFakeQuantize(g, nil); err != nil {
					t.Fatal(err)
				}
				if err := ir.Verify(g); err != nil {
					t.Fatal(err)
				}
				if n := count(g, "FakeQuantize"); n != 2 {
					t.Errorf("got %d FakeQuantize, want 2", n)
				}
				for _, n := range g.Nodes() {
					if q, ok := n.Op.(op.FakeQuantize); ok && n.In[0].Name == "w" && q.Levels != c.levels {
						t.Errorf("weight: got %d levels, want %d", q.Levels, c.levels)
					}
				}
				x := input(g, 7)
				got, want := eval(t, g, x)[0], eval(t, before, x)[0]
				if d, size := worst(t, got, want); !(d <= 3e-6*max(1, size)) {
					t.Errorf("differs by %g, values up to %g", d, size)
				}
			})
		}
	}
}
