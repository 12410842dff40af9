package ptq_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/ptq"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/internal/testkit/calibrate"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
)

func random(r *rand.Rand, scale float32, shape ...int) *tensor.Tensor {
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.F32() {
		t.F32()[i] = scale * float32(r.NormFloat64())
	}
	return t
}

func positive(r *rand.Rand, shape ...int) *tensor.Tensor {
	t := random(r, 1, shape...)
	for i, v := range t.F32() {
		t.F32()[i] = 0.5 + v*v
	}
	return t
}

// network has every place where a bias can be: a convolution with batch
// normalization, one with a bias, one without either, a depthwise one with a
// stride and uneven padding, a transposed one, and a Gemm.
func network(t *testing.T, seed uint64) *nncf.Model {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	g := ir.New("network")
	b := ir.NewBuilder(g, "")
	n := ir.Dim{N: 1, Sym: "N"}
	x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{n, ir.Len(3), ir.Len(9), ir.Len(9)}})
	param := func(name string, v *tensor.Tensor) *ir.Value { return g.AddStored(ir.Parameter, name, v) }
	same := op.Window{Pads: []int{1, 1, 1, 1}}
	v := b.Op(op.Conv{Window: same}, "conv1", x, param("conv1.weight", random(r, 0.3, 8, 3, 3, 3)))
	v = b.Op(op.BatchNormalization{Epsilon: 1e-5}, "bn1", v, param("gamma", random(r, 1, 8)), param("beta", random(r, 1, 8)),
		g.AddStored(ir.State, "mean", random(r, 0.3, 8)), g.AddStored(ir.State, "var", positive(r, 8)))
	v = b.Op(op.Relu{}, "relu1", v)
	v = b.Op(op.Conv{Group: 8, Window: op.Window{Strides: []int{2, 2}, Pads: []int{0, 0, 1, 1}}}, "depthwise", v, param("depthwise.weight", random(r, 0.3, 8, 1, 3, 3)), param("depthwise.bias", random(r, 0.2, 8)))
	v = b.Op(op.Relu{}, "relu2", v)
	v = b.Op(op.Conv{Window: same}, "bare", v, param("bare.weight", random(r, 0.3, 6, 8, 3, 3)))
	v = b.Op(op.Relu{}, "relu3", v)
	v = b.Op(op.ConvTranspose{Window: op.Window{Strides: []int{2, 2}}}, "up", v, param("up.weight", random(r, 0.3, 6, 4, 2, 2)), param("up.bias", random(r, 0.2, 4)))
	v = b.Op(op.Relu{}, "relu4", v)
	v = b.Op(op.Flatten{Axis: 1}, "flat", v)
	v = b.Op(op.Gemm{TransB: true}, "fc", v, param("fc.weight", random(r, 0.1, 5, 4*8*8)), param("fc.bias", random(r, 0.2, 5)))
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	g.Outputs = []*ir.Value{v}
	m := &nncf.Model{Graph: g}
	if err := pass.Canonicalize(g, nil); err != nil {
		t.Fatal(err)
	}
	return m
}

func samples(seed uint64, n int, shape ...int) compress.Calibration {
	r := rand.New(rand.NewPCG(seed, 1))
	var list []*tensor.Tensor
	for range n {
		x := random(r, 1, append([]int{4}, shape...)...)
		for i := range x.F32() {
			x.F32()[i] += 0.5 // a mean, without which there is nothing to correct
		}
		list = append(list, x)
	}
	return compress.Calibration{Batches: func(int) compress.Batches {
		return func(yield func([]*tensor.Tensor, error) bool) {
			for _, x := range list {
				if !yield([]*tensor.Tensor{x}, nil) {
					return
				}
			}
		}
	}}
}

// lowBits makes the rounding of weights visible.
func lowBits(bits int) []compress.Algorithm {
	perChannel := true
	return []compress.Algorithm{quantization.New(quantization.Options{Weights: quantization.Group{Bits: bits, PerChannel: &perChannel}})}
}

// quantized is what [nncf.Quantize] does, without the rounding of biases at the
// end.
func quantized(t *testing.T, m *nncf.Model, algorithms []compress.Algorithm, o ptq.Options, cal compress.Calibration) (float, c *nncf.Model) {
	t.Helper()
	copied := func(g *ir.Graph) *ir.Graph {
		g = g.Clone()
		for _, v := range g.Stored() {
			v.Data = v.Data.Clone()
		}
		return g
	}
	float = &nncf.Model{Graph: copied(m.Graph)}
	if err := ptq.Prepare(t.Context(), calibrate.Runner{}, float.Graph, o, cal, nil); err != nil {
		t.Fatal(err)
	}
	c = &nncf.Model{Graph: copied(float.Graph)}
	_, ctrl, err := compress.SetupAll(c.Graph, o.Algorithms(algorithms), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := ptq.NewStatistics(float.Graph, calibrate.Runner{})
	if err := ctrl.Initialize(t.Context(), s, cal); err != nil {
		t.Fatal(err)
	}
	if err := ptq.Recover(t.Context(), calibrate.Runner{}, float.Graph, c.Graph, s, o, cal, nil); err != nil {
		t.Fatal(err)
	}
	return float, c
}

// means returns the channel means of a value over the samples.
func means(t *testing.T, g *ir.Graph, name string, cal compress.Calibration) []float64 {
	t.Helper()
	var sum []float64
	n := 0
	err := nncf.Run(t.Context(), g, []*ir.Value{g.Value(name)}, cal.Batches(1<<20), engine.Options{}, func(got []*tensor.Tensor) error {
		s := got[0].Shape()
		inner := tensor.Shape(s[2:]).Numel()
		if sum == nil {
			sum = make([]float64, s[1])
		}
		for i, v := range got[0].F32() {
			sum[i/inner%s[1]] += float64(v)
		}
		n += s[0] * inner
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for c := range sum {
		sum[c] /= float64(n)
	}
	return sum
}

// The fast correction makes the mean of every channel right where only the
// weights of that layer are quantized, borders, groups, strides and batch
// normalization included.
func TestQuantize_FastBias(t *testing.T) {
	for _, layer := range []struct{ weight, result string }{
		{"conv1.weight", "bn1"}, {"depthwise.weight", "depthwise"}, {"bare.weight", "bare"}, {"up.weight", "up"}, {"fc.weight", "fc"},
	} {
		m, cal := network(t, 1), samples(2, 5, 3, 9, 9)
		float, c := quantized(t, m, lowBits(3), ptq.Options{AlignChannels: ptq.AlignNone}, cal)
		// In float but for this layer's weight: the corrected bias with the float model's input.
		for _, n := range c.Graph.Nodes() {
			switch n.Op.(type) {
			case op.FakeQuantizeSymmetric, op.FakeQuantizeAsymmetric:
				if n.In[0].Name != layer.weight {
					c.Graph.ReplaceUses(n.Out[0], n.In[0])
				}
			}
		}
		for _, v := range c.Graph.Stored() { // biases of the other layers as they were
			if f := float.Graph.Value(v.Name); f != nil && !downstream(c.Graph, v, layer.result) {
				v.Data.CopyFrom(f.Data)
			}
		}
		c.Graph.Prune()
		want, got := means(t, float.Graph, layer.result, cal), means(t, c.Graph, layer.result, cal)
		plain := uncorrected(t, float.Graph, c.Graph, layer.result, cal)
		worst := 0.0
		for ch := range want {
			if e := math.Abs(got[ch] - want[ch]); e > 1e-5*(1+math.Abs(want[ch])) {
				t.Errorf("%s, channel %d: mean %g, want %g", layer.result, ch, got[ch], want[ch])
			}
			worst = max(worst, math.Abs(plain[ch]-want[ch]))
		}
		if worst < 1e-2 {
			t.Errorf("%s: without correction the means are off by at most %g: the test shows nothing", layer.result, worst)
		}
	}
}

// downstream reports whether v is read by the layer that computes the result.
func downstream(g *ir.Graph, v *ir.Value, result string) bool {
	n := g.Value(result).Def
	for _, in := range n.In {
		if in == v {
			return true
		}
		if in != nil && in.Def != nil {
			if slices.Contains(in.Def.In, v) {
				return true
			}
		}
	}
	return false
}

// uncorrected is means with the float model's biases.
func uncorrected(t *testing.T, float, g *ir.Graph, name string, cal compress.Calibration) []float64 {
	t.Helper()
	c := g.Clone()
	for _, v := range c.Stored() {
		if f := float.Value(v.Name); f != nil {
			v.Data = f.Data
		}
	}
	return means(t, c, name, cal)
}

// One pass over the samples serves ranges and means; channels are compared on a
// few samples before.
func TestStatistics_OnePass(t *testing.T) {
	m := network(t, 1)
	cal := samples(2, 5, 3, 9, 9)
	for _, c := range []struct {
		o    ptq.Options
		want []int
	}{{ptq.Options{}, []int{32, 300}}, {ptq.Options{AlignChannels: ptq.AlignNone}, []int{300}}} {
		var passes []int
		counted := compress.Calibration{Batches: func(n int) compress.Batches { passes = append(passes, n); return cal.Batches(n) }}
		if _, _, err := nncf.Quantize(t.Context(), m, nncf.QuantizeOptions{Options: c.o, Calibration: counted}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(passes, c.want) {
			t.Errorf("%+v: got passes over %v samples, want %v", c.o, passes, c.want)
		}
	}
}

func TestOptions_Validate(t *testing.T) {
	err := ptq.Options{Subset: -1, Preset: "fast", BiasCorrection: "slow", SmoothQuant: 2}.Validate()
	for _, want := range []string{"subset_size", "preset", "bias_correction", "smooth_quant_alpha"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a word about %s", err, want)
		}
	}
	if err := (ptq.Options{}).Validate(); err != nil {
		t.Error(err)
	}
}
