package ptq_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/ptq"
	"github.com/go-nncf/nncf/internal/testkit/calibrate"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// outputError is the relative error of g's outputs.
func outputError(t *testing.T, float, g *ir.Graph, cal compress.Calibration) float64 {
	t.Helper()
	c, err := nncf.Compare(t.Context(), float, g, func() compress.Batches { return cal.Batches(1 << 20) }, 1)
	if err != nil {
		t.Fatal(err)
	}
	return c.Outputs()[0].RelativeError
}

// uneven gives the channels of activations very different sizes, as folding and
// pruning leave them.
func uneven(m *nncf.Model, names ...string) {
	for _, name := range names {
		x := m.Graph.Value(name).Data.F32()
		for c := range x {
			x[c] *= float32(math.Pow(4, float64(c%4)-1.5))
		}
	}
}

// transformer is LayerNorm → MatMul → Add → Relu → MatMul with one input
// channel far larger than the others.
func transformer(t *testing.T) *nncf.Model {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 0))
	g := ir.New("transformer")
	b := ir.NewBuilder(g, "")
	x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{{N: 1, Sym: "N"}, ir.Len(6), ir.Len(8)}})
	param := func(name string, v *tensor.Tensor) *ir.Value { return g.AddStored(ir.Parameter, name, v) }
	gamma := random(r, 1, 8)
	gamma.F32()[3] = 40
	v := b.Op(op.LayerNormalization{Axis: -1, Epsilon: 1e-5}, "norm", x, param("gamma", gamma), param("beta", random(r, 0.2, 8)))
	v = b.Op(op.MatMul{}, "up", v, param("up.weight", random(r, 0.3, 8, 16)))
	v = b.Op(op.Add{}, "up_bias", v, param("up.bias", random(r, 0.2, 16)))
	v = b.Op(op.Relu{}, "relu", v)
	v = b.Op(op.MatMul{}, "down", v, param("down.weight", random(r, 0.3, 16, 8)))
	g.Outputs = []*ir.Value{v}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return &nncf.Model{Graph: g}
}

// Moving scales changes nothing that the float model computes, and makes the
// quantized one better.
func TestPrepare_MovesScales(t *testing.T) {
	convs := network(t, 1)
	uneven(convs, "gamma", "beta", "depthwise.bias")
	for _, c := range []struct {
		name  string
		m     *nncf.Model
		cal   compress.Calibration
		o     ptq.Options
		rules []string // values that are scaled
	}{
		{"align-channels", convs, samples(2, 5, 3, 9, 9), ptq.Options{AlignChannels: ptq.AlignAll}, []string{"relu1", "relu2", "relu3"}},
		{"align-channels", convs, samples(2, 5, 3, 9, 9), ptq.Options{}, []string{"relu1"}},
		{"smooth-quant", transformer(t), samples(2, 5, 6, 8), ptq.Options{SmoothQuant: 0.5}, []string{"norm"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := c.m.Graph.Clone()
			for _, v := range g.Stored() {
				v.Data = v.Data.Clone()
			}
			trace := &rewrite.Trace{}
			if err := ptq.Prepare(t.Context(), calibrate.Runner{}, g, c.o, c.cal, trace); err != nil {
				t.Fatal(err)
			}
			if e := outputError(t, c.m.Graph, g, c.cal); e > 1e-5 {
				t.Errorf("the float model changed by %g", e)
			}
			for _, name := range c.rules {
				found := false
				for _, x := range trace.Changes {
					found = found || x.Rule == c.name && strings.HasPrefix(x.What, name+":")
				}
				if !found {
					t.Errorf("%s: its scale did not move; trace %v", name, trace.Changes)
				}
			}
			_, plain := quantized(t, c.m, lowBits(8), ptq.Options{AlignChannels: ptq.AlignNone}, c.cal)
			_, moved := quantized(t, c.m, lowBits(8), c.o, c.cal)
			before, after := outputError(t, c.m.Graph, plain.Graph, c.cal), outputError(t, c.m.Graph, moved.Graph, c.cal)
			t.Logf("relative error of the output: %.3g, with scales moved %.3g", before, after)
			if after > 0.9*before {
				t.Errorf("relative error of the output: got %.3g, without moving scales %.3g", after, before)
			}
		})
	}
}

// Every step of recovery pays on samples that it has not seen.
func TestRecover(t *testing.T) {
	m := network(t, 1)
	cal, unseen := samples(2, 20, 3, 9, 9), samples(3, 20, 3, 9, 9)
	errorOf := func(o ptq.Options) float64 {
		float, c := quantized(t, m, lowBits(4), o, cal)
		return outputError(t, float.Graph, c.Graph, unseen)
	}
	none := errorOf(ptq.Options{BiasCorrection: ptq.NoBias})
	fast := errorOf(ptq.Options{})
	full := errorOf(ptq.Options{BiasCorrection: ptq.FullBias, BiasSamples: 80})
	learned := errorOf(ptq.Options{LearnRounding: true, Subset: 80})
	t.Logf("relative error of the output: none %.4f, fast %.4f, full %.4f, learned rounding %.4f", none, fast, full, learned)
	if fast > none {
		t.Errorf("fast bias correction: got %.4f, without %.4f", fast, none)
	}
	if full > none {
		t.Errorf("full bias correction: got %.4f, without %.4f", full, none)
	}
	if learned > 0.95*fast { // inputs of noise leave little to gain
		t.Errorf("learned rounding: got %.4f, to nearest %.4f", learned, fast)
	}
}

// The full correction makes the means right in the quantized model itself.
func TestQuantize_FullBias(t *testing.T) {
	m, cal := network(t, 1), samples(2, 5, 3, 9, 9)
	float, c := quantized(t, m, lowBits(3), ptq.Options{AlignChannels: ptq.AlignNone, BiasCorrection: ptq.FullBias, BiasSamples: 20}, cal)
	for _, name := range []string{"bn1", "depthwise", "bare", "up", "fc"} {
		want, got := means(t, float.Graph, name, cal), means(t, c.Graph, name, cal)
		for ch := range want {
			if e := math.Abs(got[ch] - want[ch]); e > 1e-4*(1+math.Abs(want[ch])) {
				t.Errorf("%s, channel %d: mean %g, want %g", name, ch, got[ch], want[ch])
			}
		}
	}
}

// Learned rounding leaves points of the grid, each the float value rounded up or
// down.
func TestLearnRounding_Grid(t *testing.T) {
	m, cal := network(t, 1), samples(2, 5, 3, 9, 9)
	float, c := quantized(t, m, lowBits(4), ptq.Options{AlignChannels: ptq.AlignNone, LearnRounding: true, BiasCorrection: ptq.NoBias}, cal)
	moved := 0
	for _, n := range c.Graph.Nodes() {
		q, ok := n.Op.(op.FakeQuantizeSymmetric)
		if !ok || !n.In[0].IsStored() {
			continue
		}
		out, err := q.Eval([]*tensor.Tensor{n.In[0].Data, n.In[1].Data})
		if err != nil {
			t.Fatal(err)
		}
		inner := tensor.Shape(n.In[0].Data.Shape()[q.Axis+1:]).Numel()
		w := float.Graph.Value(n.In[0].Name).Data.F32()
		for i, v := range out[0].F32() {
			scales := n.In[1].Data.F32()
			step := math.Abs(float64(scales[i/inner%len(scales)])) / float64(q.High)
			e := math.Abs(float64(v) - float64(w[i]))
			if e > 1.0001*step {
				t.Fatalf("%s[%d]: %g became %g, more than a step of %g away", n.In[0].Name, i, w[i], v, step)
			}
			if e > 0.5001*step {
				moved++
			}
		}
	}
	if moved == 0 {
		t.Error("every weight is rounded to nearest")
	}
}
