package quantization_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/internal/testkit/calibrate"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// images reads calib_images.npy, float32 in C order.
func images(t testing.TB) *tensor.Tensor {
	t.Helper()
	b, err := os.ReadFile(testkit.Shared(t, "data", "nncf-goldens", "models", "calib_images.npy"))
	if err != nil {
		t.Fatal(err)
	}
	if string(b[:6]) != "\x93NUMPY" {
		t.Fatal("not a npy file")
	}
	n := int(b[8]) | int(b[9])<<8
	head := string(b[10 : 10+n])
	if !strings.Contains(head, "'<f4'") || strings.Contains(head, "True") {
		t.Fatalf("header %q", head)
	}
	var shape []int
	for s := range strings.SplitSeq(head[strings.Index(head, "(")+1:strings.Index(head, ")")], ",") {
		k := 0
		if _, err := fmt.Sscan(s, &k); err == nil {
			shape = append(shape, k)
		}
	}
	x := tensor.New(tensor.Float32, shape...)
	for i := range x.F32() {
		o := b[10+n+4*i:]
		x.F32()[i] = math.Float32frombits(uint32(o[0]) | uint32(o[1])<<8 | uint32(o[2])<<16 | uint32(o[3])<<24)
	}
	return x
}

func model(t testing.TB, name string) *ir.Graph {
	t.Helper()
	g, err := onnx.Load(testkit.Shared(t, "data", "nncf-goldens", "models", name+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(pass.Canonicalize(g, nil), pass.MarkTrainable(g, nil)); err != nil {
		t.Fatal(err)
	}
	return g
}

// quantizerRecord is a quantizer in the golden files.
type quantizerRecord struct {
	ID         string     `json:"id"`
	Group      string     `json:"group"`
	Parameter  string     `json:"parameter"`
	Values     [][]string `json:"onnx_value_candidates_per_call"`
	Kind       string     `json:"kind"`
	Bits       int        `json:"bits"`
	PerChannel bool       `json:"per_channel"`
	Signed     bool       `json:"signed"`
	Levels     int        `json:"levels"`
	Scale      []float64  `json:"scale"`
	Low        []float64  `json:"input_low"`
	Range      []float64  `json:"input_range"`
}

func (r quantizerRecord) values() []string {
	if r.Group == "weight" {
		return []string{r.Parameter}
	}
	var v []string
	for _, c := range r.Values {
		v = append(v, c[0])
	}
	return v
}

type goldenConfig struct {
	Compression json.RawMessage      `json:"compression"`
	Root        json.RawMessage      `json:"root"`
	Batch       int                  `json:"batch"`
	Quantizers  []json.RawMessage    `json:"quantizers"`
	Absent      []string             `json:"absent_from_this_config"`
	Output      map[string][]float64 `json:"quantized_output_sample0"`
}

// records merges the deltas of a configuration into those of the default one.
func (c goldenConfig) records(t *testing.T, base goldenConfig) []quantizerRecord {
	t.Helper()
	order := []string{}
	byID := map[string]quantizerRecord{}
	for i, list := range [][]json.RawMessage{base.Quantizers, c.Quantizers} {
		for _, raw := range list {
			var id struct{ ID string }
			if err := json.Unmarshal(raw, &id); err != nil {
				t.Fatal(err)
			}
			r, ok := byID[id.ID]
			if !ok {
				order = append(order, id.ID)
			}
			if i == 1 {
				var gone struct {
					Fields []string `json:"fields_gone"`
				}
				if err := json.Unmarshal(raw, &gone); err != nil {
					t.Fatal(err)
				}
				if slices.Contains(gone.Fields, "scale") {
					r.Scale = nil
				}
			}
			r.Values = slices.Clone(r.Values)
			if err := json.Unmarshal(raw, &r); err != nil {
				t.Fatal(err)
			}
			byID[id.ID] = r
		}
	}
	var out []quantizerRecord
	for _, id := range order {
		if !slices.Contains(c.Absent, id) {
			out = append(out, byID[id])
		}
	}
	return out
}

// options decodes an algorithm section, with the root keys that concern it, as
// the reference implementation understands it.
func (c goldenConfig) options(t *testing.T) quantization.Options {
	t.Helper()
	o := quantization.Options{OverflowFix: "enable", DepthwisePerChannel: true, Placement: quantization.PlacementNNCF, ScaleFloor: 0.1}
	for _, raw := range []json.RawMessage{c.Root, c.Compression} {
		if err := json.Unmarshal(raw, &o); err != nil {
			t.Fatal(err)
		}
	}
	switch o.TargetDevice {
	case "GPU", "NPU", "TRIAL": // need no fix
		o.OverflowFix, o.DepthwisePerChannel = "", o.TargetDevice != "TRIAL"
	}
	return o
}

// apply sets up, applies and initialises quantization.
func apply(t *testing.T, g *ir.Graph, o quantization.Options, cal compress.Calibration) *quantization.Controller {
	t.Helper()
	s, err := quantization.New(o).Setup(g)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Apply(g, &rewrite.Trace{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ir.Verify(g); err != nil {
		t.Fatal(err)
	}
	if err := c.Initialize(t.Context(), calibrate.Runner{}, cal); err != nil {
		t.Fatal(err)
	}
	return c.(*quantization.Controller)
}

var goldenModels = []string{"resnet_basic", "mobilenet_v2", "unet"}

func goldenFile[T any](t *testing.T, name string) (v T) {
	t.Helper()
	b, err := os.ReadFile(testkit.Shared(t, "data", "nncf-goldens", "placement", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestPlacement_Golden compares which values have quantizers, and what kind,
// with the reference implementation.
func TestPlacement_Golden(t *testing.T) {
	x := images(t)
	for _, name := range goldenModels {
		file := goldenFile[struct {
			Configs map[string]goldenConfig `json:"configs"`
		}](t, name+".json")
		var names []string
		for k := range file.Configs {
			names = append(names, k)
		}
		slices.Sort(names)
		for _, k := range names {
			t.Run(name+"/"+k, func(t *testing.T) {
				c := file.Configs[k]
				base := file.Configs["default"]
				if k == "default" {
					base = goldenConfig{}
				}
				var want, got []string
				for _, r := range c.records(t, base) {
					signed := r.Signed
					if r.Kind == "asymmetric" {
						signed = false
					}
					for _, v := range r.values() {
						want = append(want, fmt.Sprint(v, " ", r.Kind, " per_channel=", r.PerChannel, " signed=", signed, " bits=", r.Bits, " levels=", r.Levels))
					}
				}
				g := model(t, name)
				ctrl := apply(t, g, c.options(t), calibrate.Samples(x, 4))
				for _, q := range ctrl.Setup().Quantizers {
					_, _, levels := q.Grid()
					signed := q.Signed != nil && *q.Signed
					got = append(got, fmt.Sprint(q.Value, " ", q.Mode, " per_channel=", q.PerChannel(), " signed=", signed, " bits=", q.Bits, " levels=", levels))
				}
				slices.Sort(want)
				slices.Sort(got)
				for _, w := range want {
					if !slices.Contains(got, w) {
						t.Errorf("missing: %s", w)
					}
				}
				for _, v := range got {
					if !slices.Contains(want, v) {
						t.Errorf("extra:   %s", v)
					}
				}
				compareOutput(t, g, ctrl, x, c.Output)
			})
		}
	}
}

// compareOutput runs the quantized model on the first sample. Its outputs are
// the reference implementation's to float rounding, unless an activation lies
// so near to a rounding tie that it may have rounded to the other side there;
// then they differ by what a step or two of one value can do.
func compareOutput(t *testing.T, g *ir.Graph, ctrl *quantization.Controller, x *tensor.Tensor, want map[string][]float64) {
	t.Helper()
	intervals := ctrl.Intervals()
	for name, w := range want {
		list := []*ir.Value{g.Value(name)}
		var steps []float64
		for i, q := range ctrl.Setup().Quantizers {
			if v := g.Value(q.Value); q.Kind == quantization.Activation && !q.PerChannel() && v != nil && v.Kind == ir.Result {
				list, steps = append(list, v), append(steps, float64(intervals[i][0].Step))
			}
		}
		err := calibrate.Runner{}.Run(t.Context(), g, list, calibrate.Samples(x, 1).Take(1, 0), func(got []*tensor.Tensor) error {
			sum, size := 0.0, 0.0
			for i, v := range w {
				sum += math.Abs(float64(got[0].F32()[i]) - v)
				size += math.Abs(v)
			}
			ties := 0
			for i, step := range steps {
				for _, v := range got[1+i].F32() {
					k := float64(v) / step
					if math.Abs(math.Abs(k-math.Round(k))-0.5) < 2e-6*math.Abs(k)+1e-6 {
						ties++
					}
				}
			}
			switch d := sum / size; {
			case d > 1e-2, d > 1e-6 && ties == 0:
				t.Errorf("output: mean difference %.2g of the mean magnitude, %d values near a tie", d, ties)
			default:
				t.Logf("output: mean difference %.2g of the mean magnitude, %d values near a tie", d, ties)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
