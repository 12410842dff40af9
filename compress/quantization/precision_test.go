package quantization_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/precision"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/internal/testkit/calibrate"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
)

// residual is a → Relu → b → +, → Relu → c → pool → fc: the first Relu is read by
// b and by the sum.
func residual(t *testing.T) *ir.Graph {
	n := newNet()
	r := n.Op(op.Relu{}, "r", n.conv("a", n.input("x", 2, 4, 4), 4))
	s := n.Op(op.Add{}, "s", n.conv("b", r, 4), r)
	h := n.conv("c", n.Op(op.Relu{}, "q", s), 6)
	h = n.Op(op.Flatten{Axis: 1}, "flat", n.Op(op.GlobalAveragePool{}, "pool", n.Op(op.Relu{}, "u", h)))
	return n.done(t, n.Op(op.Gemm{TransB: true}, "fc", h, n.param("fc.weight", 3, 6)))
}

func hawq(ratio float64, change func(*quantization.Precision)) quantization.Options {
	o := quantization.Options{}
	o.Initializer.Precision = quantization.Precision{Type: quantization.HAWQ, Bits: []int{4, 8}, Ratio: &ratio, Points: 8, Iterations: 8}
	if change != nil {
		change(&o.Initializer.Precision)
	}
	return o
}

// residualSamples are inputs of residual.
func residualSamples() compress.Calibration {
	m := newNet()
	return calibrate.Samples(m.param("x", 8, 2, 4, 4).Data, 4)
}

// bitsOf lists the bits of the quantizers: weights by value, activations by value
// and reader.
func bitsOf(c *quantization.Controller) map[string]int {
	m := map[string]int{}
	for _, q := range c.Setup().Quantizers {
		if q.Kind == quantization.Weight {
			m[q.Value] = q.Bits
			continue
		}
		for _, u := range q.Consumers {
			m[q.Value+">"+u.Node] = q.Bits
		}
	}
	return m
}

// The report's numbers follow from its own definitions: perturbations by plain
// arithmetic, complexities by multiply-accumulates, metric and ratio of each
// configuration from these.
func TestHAWQ_Numbers(t *testing.T) {
	g := residual(t)
	weights := map[string][]float32{}
	for v := range g.Parameters() {
		weights[v.Name] = slices.Clone(v.Data.F32())
	}
	c := apply(t, g, hawq(1.4, nil), residualSamples())
	r := c.Precision()
	macs := map[string]int64{"a.weight": 2 * 4 * 16, "b.weight": 4 * 4 * 16, "c.weight": 4 * 6 * 16, "fc.weight": 18}
	base := 0.0
	for _, l := range r.Layers {
		if l.FLOPs != 2*macs[l.Weight] {
			t.Errorf("%s: got %d FLOPs, want %d", l.Weight, l.FLOPs, 2*macs[l.Weight])
		}
		base += 8 * float64(l.FLOPs)
		w := weights[l.Weight]
		channels := map[string]int{"a.weight": 4, "b.weight": 4, "c.weight": 6, "fc.weight": 3}[l.Weight]
		per := len(w) / channels
		for _, bits := range []int{4, 8} {
			top := math.Exp2(float64(bits-1)) - 1
			want, bound := 0.0, 0.0
			for ch := range channels {
				row := w[ch*per : (ch+1)*per]
				scale := 0.0
				for _, v := range row {
					scale = max(scale, math.Abs(float64(v)))
				}
				for _, v := range row {
					d := math.RoundToEven(float64(v)*top/scale)*scale/top - float64(v)
					want += d * d
					e := 4 * 0x1p-24 * math.Abs(float64(v)) // four roundings of float32
					bound += 2*math.Abs(d)*e + e*e
				}
			}
			if got := l.Perturbation[bits]; math.Abs(got-want) > bound {
				t.Errorf("%s at %d bits: got perturbation %.9g, want %.9g", l.Weight, bits, got, want)
			}
		}
		if l.Trace <= 0 || l.StdErr <= 0 {
			t.Errorf("%s: got trace %g ± %g", l.Weight, l.Trace, l.StdErr)
		}
	}
	if len(r.Configurations) < 5 {
		t.Errorf("got %d configurations, want the 5 of the ordered search at least", len(r.Configurations))
	}
	for _, x := range append(slices.Clone(r.Configurations), r.Chosen) {
		metric, cost := 0.0, 0.0
		for i, b := range x.Bits {
			l := r.Layers[i]
			metric += l.Trace * l.Perturbation[b]
			cost += float64(l.FLOPs) * float64(b)
		}
		if math.Abs(metric-x.Metric) > 1e-9*metric || math.Abs(base/cost-x.Ratio) > 1e-9 {
			t.Errorf("%v: got metric %g and ratio %g, want %g and %g", x.Bits, x.Metric, x.Ratio, metric, base/cost)
		}
		if x.Ratio >= 1.4 && x.Metric < r.Chosen.Metric {
			t.Errorf("%v has metric %g, the chosen one %g", x.Bits, x.Metric, r.Chosen.Metric)
		}
	}
	if r.Chosen.Ratio < 1.4 || r.Chosen.Search != precision.OverAll {
		t.Errorf("got %+v", r.Chosen)
	}
}

// Liberal assignment: a layer reads at the bits of its weight, arithmetic beside
// it at 8; who restores the setup gets the same model.
func TestHAWQ_LiberalSplitsAndRestores(t *testing.T) {
	file := filepath.Join(t.TempDir(), "traces.json")
	if err := os.WriteFile(file, []byte(`[9, 1e-9, 9, 9]`), 0o644); err != nil {
		t.Fatal(err)
	}
	float := residual(t)
	g := deepClone(float)
	// b alone makes up 256 of 786 MACs at half the bits: ratio 1.19.
	c := apply(t, g, hawq(1.15, func(p *quantization.Precision) { p.TracesFile = file }), residualSamples())
	got := bitsOf(c)
	for k, want := range map[string]int{"a.weight": 8, "b.weight": 4, "c.weight": 8, "fc.weight": 8, "x>a": 8, "r>b": 4, "r>s": 8, "q>c": 8} {
		if got[k] != want {
			t.Errorf("%s: got %d bits, want %d (all: %v)", k, got[k], want, got)
		}
	}
	if err := ir.Verify(g); err != nil {
		t.Fatal(err)
	}
	if want := []quantization.ScopeBits{{Bits: 4, Scope: "b.weight"}}; !slices.Equal(c.Precision().BitsPerScope, want) {
		t.Errorf("got bitwidth_per_scope %v, want %v", c.Precision().BitsPerScope, want)
	}
	x := newNet().param("x", 8, 2, 4, 4).Data
	want := slices.Clone(output(t, g, x))
	raw, err := json.Marshal(c.Setup())
	if err != nil {
		t.Fatal(err)
	}
	s, err := quantization.Restore(raw)
	if err != nil {
		t.Fatal(err)
	}
	h := deepClone(float)
	k, err := s.Apply(h, &rewrite.Trace{})
	if err != nil {
		t.Fatal(err)
	}
	state, err := c.State()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.LoadState(state); err != nil {
		t.Fatal(err)
	}
	for _, v := range h.Stored() {
		p := g.Value(v.Name)
		if p == nil {
			t.Fatalf("the trained graph has no %q", v.Name)
		}
		v.Data.CopyFrom(p.Data)
	}
	if got := output(t, h, x); !slices.Equal(got, want) {
		t.Errorf("restored model: got %v, want %v", got[:3], want[:3])
	}
	// The same choice by hand.
	manual := quantization.Options{}
	manual.Initializer.Precision.BitsPerScope = c.Precision().BitsPerScope
	m := deepClone(float)
	byHand := bitsOf(apply(t, m, manual, residualSamples()))
	for k, b := range got {
		if byHand[k] != b {
			t.Errorf("manual precision: %s has %d bits, want %d", k, byHand[k], b)
		}
	}
	if got := output(t, m, x); !slices.Equal(got, want) {
		t.Errorf("manual precision computes %v, want %v", got[:3], want[:3])
	}
}

// Strict assignment ties b with both inputs of the sum.
func TestHAWQ_Strict(t *testing.T) {
	c := apply(t, residual(t), hawq(2, func(p *quantization.Precision) { p.Assignment = "strict" }), residualSamples())
	for k, b := range bitsOf(c) {
		if b != 4 && k != "u>pool" { // no layer is beside that one
			t.Errorf("%s: got %d bits, want 4", k, b)
		}
	}
}

func TestHAWQ_Errors(t *testing.T) {
	for _, c := range []struct {
		o    quantization.Options
		want string
	}{
		{hawq(2.5, nil), "compression_ratio: got 2.5, want 1 to 2, which is what the allowed bits can reach"},
		{hawq(1.2, func(p *quantization.Precision) { p.Bits = []int{8} }), "the allowed bits leave no choice: the ratio is 1 to 1"},
		{hawq(1.2, func(p *quantization.Precision) { p.Cost = "latency" }), "cost latency: there is nothing to measure with here"},
		{hawq(1.2, func(p *quantization.Precision) { p.TracesFile = "nowhere.json" }), "traces_per_layer_path"},
	} {
		g := residual(t)
		s, err := quantization.New(c.o).Setup(g)
		if err != nil {
			t.Fatal(err)
		}
		k, err := s.Apply(g, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Initialize(t.Context(), calibrate.Runner{}, residualSamples()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got error %v, want %q", err, c.want)
		}
	}
	if err := hawq(0.5, nil).Validate(); err == nil || !strings.Contains(err.Error(), "compression_ratio: got 0.5, want 1") {
		t.Errorf("ratio below 1: got error %v", err)
	}
	var e *precision.RatioError
	if errors.As(hawq(1, nil).Validate(), &e) {
		t.Error("ratio 1 is an error")
	}
}

// The report tells for narrow layers what runtimes do, and what bits mean for
// size and complexity; 8 bits throughout have no such table.
func TestStatistics_LowBits(t *testing.T) {
	o := quantization.Options{Weights: quantization.Group{Bits: 4}}
	o.Initializer.Precision.BitsPerScope = []quantization.ScopeBits{{Bits: 8, Scope: "a"}, {Bits: 4, Scope: "b"}}
	s := apply(t, residual(t), o, residualSamples()).Statistics()
	numbers := map[string]float64{}
	for _, n := range s.Numbers {
		numbers[n.Name] = n.Value
	}
	macs := map[string]float64{"a": 128, "b": 256, "c": 384, "fc": 18}
	all := macs["a"] + macs["b"] + macs["c"] + macs["fc"]
	if got, want := numbers["complexity of 8 bits / complexity"], 8*all/(8*all-4*macs["b"]); math.Abs(got-want) > 1e-12 {
		t.Errorf("complexity ratio: got %g, want %g", got, want) // c and fc read at 8 bits
	}
	sizes := map[string]float64{"a": 8, "b": 16, "c": 24, "fc": 18}
	if got, want := numbers["bytes of weights at 8 bits / bytes at their bits"], 66/(66-(sizes["b"]+sizes["c"]+sizes["fc"])/2); math.Abs(got-want) > 1e-12 {
		t.Errorf("bytes: got %g, want %g", got, want)
	}
	rows := map[string][]string{}
	for _, table := range s.Tables {
		if table.Title == "Layers in runtimes" {
			for _, r := range table.Rows {
				rows[r[0]] = r
			}
		}
	}
	if len(rows) != 3 || rows["b"][2] != "4" || rows["c"][4] != "int8" || !strings.Contains(rows["fc"][3], "int4 with opset 21") || !strings.Contains(rows["b"][4], "Clip") {
		t.Errorf("got rows %v", rows)
	}
	for _, table := range apply(t, residual(t), quantization.Options{}, residualSamples()).Statistics().Tables {
		if table.Title == "Layers in runtimes" {
			t.Error("8 bits throughout have a table of narrow layers")
		}
	}
}

// Costs in bytes are those of the weights.
func TestHAWQ_Bytes(t *testing.T) {
	c := apply(t, residual(t), hawq(1.3, func(p *quantization.Precision) { p.Cost = "bytes" }), residualSamples())
	for _, l := range c.Precision().Layers {
		if got, want := l.CostAt[4], float64(l.Elements)/2; got != want {
			t.Errorf("%s: got %g bytes at 4 bits, want %g", l.Weight, got, want)
		}
	}
}

func TestHAWQ_Picture(t *testing.T) {
	c := apply(t, residual(t), hawq(1.4, nil), residualSamples())
	var b bytes.Buffer
	c.Precision().WriteSVG(&b)
	circles, marked := 0, 0
	for d := xml.NewDecoder(bytes.NewReader(b.Bytes())); ; {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "circle" {
			circles++
			for _, a := range e.Attr {
				if a.Name.Local == "fill" && a.Value == "#c00" {
					marked++
				}
			}
		}
	}
	if marked != 1 || circles < 6 || strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "%!") {
		t.Errorf("got %d points, %d marked:\n%s", circles, marked, b.String())
	}
}

func TestManual_Scopes(t *testing.T) {
	entries := func(list ...quantization.ScopeBits) quantization.Options {
		o := quantization.Options{}
		o.Initializer.Precision = quantization.Precision{Type: quantization.Manual, BitsPerScope: list}
		return o
	}
	c := apply(t, residual(t), entries(
		quantization.ScopeBits{Bits: 4, Scope: "{re}^[abc]$"},
		quantization.ScopeBits{Bits: 6, Scope: "c", Group: "activations"},
		quantization.ScopeBits{Bits: 3, Scope: "TargetType.OPERATOR_POST_HOOK u"},
	), residualSamples())
	got := bitsOf(c)
	for k, want := range map[string]int{"a.weight": 4, "b.weight": 4, "c.weight": 4, "x>a": 4, "r>b": 4, "r>s": 8, "q>c": 6, "fc.weight": 8, "u>pool": 3} {
		if got[k] != want {
			t.Errorf("%s: got %d bits, want %d (all: %v)", k, got[k], want, got)
		}
	}
	for _, c := range []struct {
		o    quantization.Options
		want string
	}{
		{entries(quantization.ScopeBits{Bits: 4, Scope: "d"}), `bitwidth_per_scope[0]: target_scopes: entry "d" matches no operator; nearest:`},
		{entries(quantization.ScopeBits{Bits: 4, Scope: "s"}), `bitwidth_per_scope[0]: no quantizer belongs to "s"`},
		{func() quantization.Options {
			o := entries(quantization.ScopeBits{Bits: 5, Scope: "b"})
			o.TargetDevice = "NPU"
			return o
		}(), "bitwidth_per_scope[0]: got 5 bits for the weight of b (Conv), target_device NPU runs [2 4 8]"},
	} {
		if _, err := quantization.New(c.o).Setup(residual(t)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got error %v, want %q", err, c.want)
		}
	}
	var p quantization.Precision
	if err := json.Unmarshal([]byte(`{"type":"manual","bitwidth_per_scope":[[4,"a"],[8,"b","weights"]]}`), &p); err != nil || p.BitsPerScope[1].Group != "weights" {
		t.Errorf("got %+v, error %v", p, err)
	}
	if err := json.Unmarshal([]byte(`{"bitwidth_per_scope":[[4]]}`), &p); err == nil {
		t.Error("an entry without scope is no error")
	}
}

// Stages switch quantizers on at their epochs, with ranges of that moment; who
// restores a state in the middle computes the same.
func TestStages(t *testing.T) {
	one, two := 1, 2
	o := quantization.Options{Params: &compress.Stages{Activations: &one, Weights: &two}}
	float := residual(t)
	g := deepClone(float)
	c := apply(t, g, o, residualSamples())
	x := newNet().param("x", 8, 2, 4, 4).Data
	if got, want := output(t, g, x), output(t, float, x); !slices.Equal(got, want) {
		t.Errorf("before the first stage: got %v, want the float model's %v", got[:3], want[:3])
	}
	epoch := func(wantChange bool, want compress.Stage) {
		t.Helper()
		c.EpochStep()
		changed, err := c.BeginEpoch(t.Context(), calibrate.Runner{}, residualSamples())
		if err != nil {
			t.Fatal(err)
		}
		if changed != wantChange || c.Stage() != want {
			t.Errorf("got changed %v, stage %v, want %v, %v", changed, c.Stage(), wantChange, want)
		}
		if err := ir.Verify(g); err != nil {
			t.Fatal(err)
		}
	}
	epoch(false, compress.Uncompressed)
	g.Value("x/quantizer/scale").Data.F32()[0] = 77 // stale; the switch takes the data's
	for i := range g.Value("a.weight").Data.F32() {
		g.Value("a.weight").Data.F32()[i] *= 3
	}
	epoch(true, compress.PartiallyCompressed)
	if s := g.Value("x/quantizer/scale").Data.F32()[0]; s > 10 {
		t.Errorf("scale of x: got %g, want that of the data", s)
	}
	if k := g.Value("a.weight/quantizer").Def.Op.Kind(); k != "FakeQuantizeOff" {
		t.Errorf("weights before their epoch: got %s", k)
	}
	if !c.ParameterRule("a.weight/quantizer/scale").Frozen || c.ParameterRule("x/quantizer/scale").Frozen {
		t.Error("ranges of quantizers that are off are to be frozen, others not")
	}
	state, err := c.State()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(c.Setup())
	if err != nil {
		t.Fatal(err)
	}
	middle := slices.Clone(output(t, g, x))
	s, err := quantization.Restore(raw)
	if err != nil {
		t.Fatal(err)
	}
	h := deepClone(float)
	k, err := s.Apply(h, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.LoadState(state); err != nil {
		t.Fatal(err)
	}
	for _, v := range h.Stored() {
		v.Data.CopyFrom(g.Value(v.Name).Data)
	}
	if got := output(t, h, x); !slices.Equal(got, middle) {
		t.Errorf("restored in the middle: got %v, want %v", got[:3], middle[:3])
	}
	trained := g.Value("x/quantizer/scale").Data.F32()
	trained[0] *= 1.01
	kept := trained[0]
	epoch(true, compress.FullyCompressed)
	if trained[0] != kept {
		t.Errorf("a trained range changed from %g to %g when weights were switched on", kept, trained[0])
	}
	epoch(false, compress.FullyCompressed)
}
