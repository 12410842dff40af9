package sparsity_test

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress/sparsity"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/internal/testkit/npz"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
)

// model loads a network of the goldens as the facade does.
func model(t testing.TB, name string) *ir.Graph {
	t.Helper()
	g, err := onnx.Load(testkit.Shared(t, "data", "nncf-goldens", "models", name+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if err := pass.Canonicalize(g, nil); err != nil {
		t.Fatal(err)
	}
	if err := pass.MarkTrainable(g, nil); err != nil {
		t.Fatal(err)
	}
	return g
}

func apply(t testing.TB, g *ir.Graph, o sparsity.MagnitudeOptions) *sparsity.MagnitudeController {
	t.Helper()
	s, err := sparsity.NewMagnitude(o).Setup(g)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Apply(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*sparsity.MagnitudeController)
}

// Masks, thresholds and levels are those of NNCF 2.14.1, but for level 0, which
// keeps all here and drops the least weight there.
func TestMagnitude_Golden(t *testing.T) {
	raw, err := os.ReadFile(testkit.Shared(t, "data/nncf-goldens/sparsity/magnitude_resnet_basic.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Runs map[string]struct {
			Level  float64
			Layers []struct {
				Parameter string
				Threshold float64
				Numel     int
				Zeros     int
			}
			Model float64 `json:"stat_sparsity_level"`
			Layer float64 `json:"stat_sparsity_level_for_layers"`
		}
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	masks := npz.Read(t, testkit.Shared(t, "data/nncf-goldens/sparsity/magnitude_resnet_basic.masks.npz"))
	for key, run := range golden.Runs {
		t.Run(key, func(t *testing.T) {
			part := strings.Split(key, "|")
			g := model(t, "resnet_basic")
			c := apply(t, g, sparsity.MagnitudeOptions{Params: sparsity.MagnitudeParams{
				Params: sparsity.Params{Mode: part[1]}, Importance: sparsity.Importance(part[0])}})
			if err := c.SetLevel(run.Level); err != nil {
				t.Fatal(err)
			}
			reports := c.Report()
			if len(reports) != len(run.Layers) {
				t.Fatalf("got %d layers, want %d", len(reports), len(run.Layers))
			}
			if run.Level == 0 {
				if c.Reached() != 0 {
					t.Errorf("level 0: got %g zeros", c.Reached())
				}
				return
			}
			differ := 0
			for _, want := range run.Layers {
				var got *sparsity.LayerReport
				for i := range reports {
					if reports[i].Weight == want.Parameter {
						got = &reports[i]
					}
				}
				if got == nil {
					t.Fatalf("no layer %q", want.Parameter)
				}
				if got.Threshold == nil || math.Abs(*got.Threshold-want.Threshold) > 2e-7*max(1, want.Threshold) {
					t.Errorf("%s: got threshold %v, want %g", want.Parameter, got.Threshold, want.Threshold)
				}
				if got.Elements != want.Numel {
					t.Errorf("%s: got %d elements, want %d", want.Parameter, got.Elements, want.Numel)
				}
				bits := tensor.Data[uint8](masks[key+"|"+want.Parameter])
				w := g.Value(want.Parameter).Data.F32()
				norm := 0.0
				for _, v := range w {
					norm += float64(v) * float64(v)
				}
				if norm = math.Sqrt(norm); part[0] == "abs" {
					norm = 1
				}
				for i, k := range tensor.Data[uint8](g.Value(want.Parameter + "/mask").Data) {
					if k != bits[i/8]>>(7-i%8)&1 {
						differ++
						if f := math.Abs(float64(w[i])) / norm; math.Abs(f-want.Threshold) > 2e-7 {
							t.Errorf("%s: element %d: got %d, its importance is %g and the threshold %g", want.Parameter, i, k, f, want.Threshold)
						}
					}
				}
			}
			if differ > 3 {
				t.Errorf("%d elements differ", differ)
			}
			if got := c.Reached(); math.Abs(got-run.Layer) > 1e-4 {
				t.Errorf("got level %g of the layers, want %g", got, run.Layer)
			}
			if got := c.Statistics().Numbers[0].Value / 100; math.Abs(got-run.Model) > 1e-4 {
				t.Errorf("got level %g of the model, want %g", got, run.Model)
			}
		})
	}
}

// The reference's own example: two convolutions with few different weights, where
// all that are equal to the threshold go together.
func TestMagnitude_Ties(t *testing.T) {
	g := ir.New("ties")
	b := ir.NewBuilder(g, "")
	x := g.AddInput("x", ir.MakeType(tensor.Float32, 1, 1, 4, 4))
	w1 := tensor.From([]float32{10, 9, 9, 10, 10, 9, 9, 10}, 2, 1, 2, 2)
	w2 := tensor.New(tensor.Float32, 1, 2, 3, 3)
	for i := range w2.F32() {
		w2.F32()[i] = -10
		if i%9%4 == 0 {
			w2.F32()[i] = -9
		}
	}
	conv := func(name string, x *ir.Value, w *tensor.Tensor) *ir.Value {
		return b.Op(op.Conv{}, name, x, g.AddStored(ir.Parameter, name+".weight", w))
	}
	g.Outputs = []*ir.Value{conv("conv2", conv("conv1", x, w1), w2)}
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	for _, c := range []struct {
		importance sparsity.Importance
		level      float64
		threshold  float64
		zeros      int
	}{{"normed_abs", 0.1, 0.2192, 6}, {"normed_abs", 0.5, 0.2435, 18}, {"abs", 0.1, 9, 10}, {"abs", 0.5, 10, 26}} {
		g := g.Clone()
		m := apply(t, g, sparsity.MagnitudeOptions{Params: sparsity.MagnitudeParams{Importance: c.importance}})
		if err := m.SetLevel(c.level); err != nil {
			t.Fatal(err)
		}
		zeros := 0
		for _, r := range m.Report() {
			zeros += r.Zeros
			if math.Abs(*r.Threshold-c.threshold) > 5e-5 {
				t.Errorf("%s %g: got threshold %g, want %g", c.importance, c.level, *r.Threshold, c.threshold)
			}
		}
		if zeros != c.zeros {
			t.Errorf("%s %g: got %d zeros, want %d", c.importance, c.level, zeros, c.zeros)
		}
	}
}
