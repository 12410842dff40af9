package quantization_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/internal/testkit/calibrate"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// twoConvs is x → Conv → Relu → Conv.
func twoConvs(t *testing.T) *ir.Graph {
	n := newNet()
	return n.done(t, n.conv("b", n.Op(op.Relu{}, "relu", n.conv("a", n.input("x", 2, 3, 3), 4)), 3))
}

func samples(n int) *tensor.Tensor {
	m := newNet()
	return m.param("x", n, 2, 3, 3).Data
}

// clones have stored data of their own.
func deepClone(g *ir.Graph) *ir.Graph {
	c := g.Clone()
	for _, v := range c.Stored() {
		v.Data = v.Data.Clone()
	}
	return c
}

func output(t *testing.T, g *ir.Graph, x *tensor.Tensor) []float32 {
	t.Helper()
	y, err := ir.Eval(t.Context(), g, []*tensor.Tensor{x})
	if err != nil {
		t.Fatal(err)
	}
	return y[0].F32()
}

func TestController_SignsComeFromData(t *testing.T) {
	g := twoConvs(t)
	c := apply(t, g, quantization.Options{}, calibrate.Samples(samples(8), 4))
	for _, want := range []struct {
		value     string
		low, high int
	}{{"x", -128, 127}, {"relu", 0, 255}, {"a.weight", -127, 127}} {
		q := g.Value(want.value + "/quantizer").Def.Op.(op.FakeQuantizeSymmetric)
		if q.Low != want.low || q.High != want.high {
			t.Errorf("grid of %s: got %d…%d, want %d…%d", want.value, q.Low, q.High, want.low, want.high)
		}
	}
	p := g.Value("a.weight/quantizer/scale")
	if p.Kind != ir.Parameter || p.Data.Len() != 4 {
		t.Errorf("scale of a.weight: got %v %v, want a trained parameter of 4 channels", p.Kind, p.Type)
	}
	if c.Stage() != compress.FullyCompressed {
		t.Errorf("stage: got %v, want full", c.Stage())
	}
	// The grid is where the state says: low, high and zero are multiples of the step.
	for i, q := range c.Setup().Quantizers {
		for _, v := range c.Intervals()[i] {
			low, high, _ := q.Grid()
			if got := int(math.Round(float64((v.High - v.Low) / v.Step))); got != high-low {
				t.Errorf("%s: got %d steps, want %d", q.Value, got, high-low)
			}
			if v.ZeroPoint != -low {
				t.Errorf("%s: zero is point %d, want %d", q.Value, v.ZeroPoint, -low)
			}
		}
	}
}

func TestController_StateRebuildsTheModel(t *testing.T) {
	for _, o := range []quantization.Options{
		{},
		{Preset: "mixed"},
		{Weights: quantization.Group{Mode: quantization.Asymmetric, LogScale: true}, Activations: quantization.Group{LogScale: true, Bits: 5}},
	} {
		x := samples(8)
		float := twoConvs(t)
		g := deepClone(float)
		c := apply(t, g, o, calibrate.Samples(x, 4))
		setup, err := json.Marshal(c.Setup())
		if err != nil {
			t.Fatal(err)
		}
		state, err := c.State()
		if err != nil {
			t.Fatal(err)
		}
		s, err := quantization.Restore(setup)
		if err != nil {
			t.Fatal(err)
		}
		h := deepClone(float)
		d, err := s.Apply(h, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range h.Stored() {
			v.Data.CopyFrom(g.Value(v.Name).Data)
		}
		if err := d.LoadState(state); err != nil {
			t.Fatal(err)
		}
		want, got := output(t, g, x), output(t, h, x)
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("output %d: got %g, want %g", i, got[i], want[i])
			}
		}
		// Initialised is initialised: no data are asked for.
		if err := d.Initialize(t.Context(), nil, compress.Calibration{}); err != nil {
			t.Error(err)
		}
	}
}

// TestController_LogScaleIsTheSameModel: how a scale is stored does not change
// what is computed at first.
func TestController_LogScaleIsTheSameModel(t *testing.T) {
	x := samples(8)
	for _, mode := range []quantization.Mode{quantization.Symmetric, quantization.Asymmetric} {
		var out [2][]float32
		for i, log := range []bool{false, true} {
			g := twoConvs(t)
			apply(t, g, quantization.Options{Activations: quantization.Group{Mode: mode, LogScale: log}}, calibrate.Samples(x, 4))
			out[i] = output(t, g, x)
		}
		for i, want := range out[0] {
			if math.Abs(float64(out[1][i]-want)) > 0.05*math.Abs(float64(want))+0.05 {
				t.Errorf("%s output %d: got %g, want %g", mode, i, out[1][i], want)
			}
		}
	}
}

func TestController_ErrorIsSmallAndFallsWithBits(t *testing.T) {
	x := samples(8)
	want := output(t, twoConvs(t), x)
	last := math.Inf(1)
	for _, bits := range []int{2, 4, 8} {
		g := twoConvs(t)
		o := quantization.Options{Initializer: quantization.Initializer{Range: quantization.Ranges{{Type: "min_max"}}}}
		o.Weights.Bits, o.Activations.Bits = bits, bits
		apply(t, g, o, calibrate.Samples(x, 4))
		e, m := 0.0, 0.0
		for i, y := range output(t, g, x) {
			e += math.Abs(float64(y - want[i]))
			m += math.Abs(float64(want[i]))
		}
		if e /= m; e >= last {
			t.Errorf("%d bits: error %.3g of the output, want less than with fewer bits, %.3g", bits, e, last)
		}
		last = e
	}
	if last > 0.02 {
		t.Errorf("8 bits: error %.3g of the output, want at most 0.02", last)
	}
}

func TestController_AdaptsBatchNorm(t *testing.T) {
	n := newNet()
	one := func(kind ir.ValueKind, name string, v float32) *ir.Value {
		return n.G.AddStored(kind, name, tensor.From([]float32{v, v}, 2))
	}
	y := n.Op(op.BatchNormalization{Epsilon: 1e-5, Momentum: 0.9}, "bn", n.conv("a", n.input("x", 2, 3, 3), 2),
		one(ir.Parameter, "s", 1), one(ir.Parameter, "b", 0), one(ir.State, "mean", 50), one(ir.State, "var", 1))
	g := n.done(t, y)
	zero := 0
	o := quantization.Options{Initializer: quantization.Initializer{BatchNorm: compress.BatchNormAdaptation{Samples: &zero}}}
	apply(t, deepClone(g), o, calibrate.Samples(samples(8), 4))
	h := deepClone(g)
	apply(t, h, quantization.Options{}, calibrate.Samples(samples(8), 4))
	if got := h.Value("mean").Data.F32()[0]; !(got < 41) || got < 39 {
		t.Errorf("mean after two batches of momentum 0.9: got %g, want about 50·0.81", got)
	}
	if len(h.Assigns) != 0 {
		t.Error("the compressed graph itself updates statistics")
	}
}

func TestController_NothingToInitialize(t *testing.T) {
	zero := 0
	g := twoConvs(t)
	o := quantization.Options{Initializer: quantization.Initializer{Range: quantization.Ranges{{Samples: &zero}}}}
	apply(t, g, o, compress.Calibration{Batches: func(int) compress.Batches {
		return func(func([]*tensor.Tensor, error) bool) { t.Error("data were read") }
	}})
	if got := g.Value("x/quantizer/scale").Data.F32()[0]; got != 1 {
		t.Errorf("scale: got %g, want 1", got)
	}
}

func TestController_ReportsUnusableData(t *testing.T) {
	bad := samples(4)
	for i := range bad.F32() {
		bad.F32()[i] = float32(math.Inf(1))
	}
	stop := errors.New("disk on fire")
	for _, c := range []struct {
		name string
		cal  compress.Calibration
		want string
	}{
		{"infinite", calibrate.Samples(bad, 4), `range of "x"`},
		{"none", compress.Calibration{Batches: func(int) compress.Batches { return func(func([]*tensor.Tensor, error) bool) {} }}, "no data"},
		{"broken", compress.Calibration{Batches: func(int) compress.Batches {
			return func(yield func([]*tensor.Tensor, error) bool) { yield(nil, stop) }
		}}, "disk on fire"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := twoConvs(t)
			s, err := quantization.New(quantization.Options{}).Setup(g)
			if err != nil {
				t.Fatal(err)
			}
			ctrl, err := s.Apply(g, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := ctrl.Initialize(t.Context(), calibrate.Runner{}, c.cal); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to contain %s", err, c.want)
			}
		})
	}
}

func TestApply_RefusesAnotherGraph(t *testing.T) {
	s := setup(t, twoConvs(t), quantization.Options{})
	n := newNet()
	g := n.done(t, n.conv("other", n.input("x", 2, 3, 3), 4))
	_, err := s.Apply(g, nil)
	for _, want := range []string{`"a.weight"`, `"relu"`, "no such value"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to contain %s", err, want)
		}
	}
}

func TestStatistics(t *testing.T) {
	g := twoConvs(t)
	c := apply(t, g, quantization.Options{Weights: quantization.Group{Scopes: compress.Scopes{Ignored: compress.Entries{"b"}}}}, calibrate.Samples(samples(8), 4))
	s := c.Statistics()
	want := map[string]float64{"weight quantizers": 1, "activation quantizers": 2, "quantized weights": 100 * 8. / 20, "layers on quantized inputs and weights": 50}
	for _, n := range s.Numbers {
		if w, ok := want[n.Name]; !ok || math.Abs(w-n.Value) > 1e-9 {
			t.Errorf("%s: got %g, want %g", n.Name, n.Value, w)
		}
	}
	if len(s.Numbers) != len(want) {
		t.Errorf("got %d numbers, want %d", len(s.Numbers), len(want))
	}
	for _, tab := range s.Tables {
		for _, r := range tab.Rows {
			if len(r) != len(tab.Columns) {
				t.Errorf("table %q: row %q has not %d cells", tab.Title, r, len(tab.Columns))
			}
		}
	}
	if got := s.Tables[1].Rows[0]; got[0] != "x" || got[4] != "true" || !strings.Contains(got[9], "input of a (Conv)") {
		t.Errorf("first quantizer: got %q", got)
	}
}
