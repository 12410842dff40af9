package binarization_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/go-nncf/nncf/compress/binarization"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/internal/testkit/calibrate"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// load reads a canonical, trainable model.
func load(t *testing.T, path string) *ir.Graph {
	t.Helper()
	g, err := onnx.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []func(*ir.Graph, *rewrite.Trace) error{pass.Canonicalize, pass.MarkTrainable} {
		if err := p(g, nil); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func apply(t *testing.T, g *ir.Graph, o binarization.Options) *binarization.Controller {
	t.Helper()
	s, err := binarization.New(o).Setup(g)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Apply(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ir.Verify(g); err != nil {
		t.Fatal(err)
	}
	return c.(*binarization.Controller)
}

func images(t *testing.T) *tensor.Tensor {
	t.Helper()
	f, err := os.Open(testkit.Shared(t, "data", "nncf-goldens", "models", "calib_images.npy"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x, err := data.ReadNPY(f)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

type goldenFile struct {
	Networks map[string]struct {
		Config    json.RawMessage
		Binarized []struct {
			Module, Parameter string
			LogScale          []float64 `json:"log_scale"`
			ThresholdShape    []int     `json:"threshold_shape"`
		}
	}
	Staged map[string][]struct {
		Weights     int `json:"weights_enabled"`
		Activations int `json:"activations_enabled"`
		Stage, When string
	}
}

func golden(t *testing.T) (f goldenFile) {
	t.Helper()
	b, err := os.ReadFile(testkit.Shared(t, "data", "nncf-goldens", "binarization", "binarization.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// The original implementation's choice of layers, and the scales that the first
// batch gives them, which depend on everything binarized before.
func TestGolden_Networks(t *testing.T) {
	x := images(t)
	for name, want := range golden(t).Networks {
		t.Run(name, func(t *testing.T) {
			var o binarization.Options
			if err := json.Unmarshal(want.Config, &o); err != nil {
				t.Fatal(err)
			}
			g := load(t, testkit.Shared(t, "data", "nncf-goldens", "models", "resnet_basic.onnx"))
			c := apply(t, g, o)
			var got, parameters []string
			for _, l := range c.Setup().Layers {
				got = append(got, l.Weight)
			}
			for _, l := range want.Binarized {
				parameters = append(parameters, l.Parameter)
			}
			if !slices.Equal(got, parameters) {
				t.Fatalf("got layers %v, want %v", got, parameters)
			}
			if err := c.Initialize(t.Context(), calibrate.Runner{}, calibrate.Samples(x, 4)); err != nil {
				t.Fatal(err)
			}
			for i, l := range c.Setup().Layers {
				v := g.Value(l.Value + "/binarizer/log_scale").Data.F32()[0]
				if d := math.Abs(float64(v) - want.Binarized[i].LogScale[0]); !(d <= 1e-5) {
					t.Errorf("%s: got log scale %v, want %v", l.Weight, v, want.Binarized[i].LogScale[0])
				}
				if n := g.Value(l.Value + "/binarizer/logit_threshold").Data.Len(); n != want.Binarized[i].ThresholdShape[1] {
					t.Errorf("%s: got %d thresholds, want %d", l.Weight, n, want.Binarized[i].ThresholdShape[1])
				}
			}
		})
	}
}
