package quantization_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/internal/cpu"
	"github.com/go-nncf/nncf/internal/testkit/calibrate"
	"github.com/go-nncf/nncf/ir"
)

type rangeRecord struct {
	Compression json.RawMessage   `json:"compression"`
	Root        json.RawMessage   `json:"root"`
	Batch       int               `json:"batch"`
	Quantizers  []json.RawMessage `json:"quantizers"`
	WeightsAs   string            `json:"weights_as"`
}

// TestRange_Golden compares initialised ranges with the reference
// implementation's, for all range types, 16 samples in batches of 4 and 1.
func TestRange_Golden(t *testing.T) {
	if cpu.Best() == cpu.Generic {
		t.Skip("plain Go kernels take a minute for it, and round without fused multiply-add: a median of MobileNet then moves by 1e-5, the goldens hold 6e-6")
	}
	x := images(t)
	for _, name := range goldenModels {
		placement := goldenFile[struct {
			Configs map[string]goldenConfig `json:"configs"`
		}](t, name+".json")
		value := map[string]string{}
		for _, r := range (goldenConfig{Quantizers: placement.Configs["default"].Quantizers}).records(t, goldenConfig{}) {
			value[r.ID] = r.values()[0]
		}
		file := goldenFile[struct {
			Ranges map[string]rangeRecord `json:"ranges"`
		}](t, name+".ranges.json")
		var names []string
		for k := range file.Ranges {
			names = append(names, k)
		}
		slices.Sort(names)
		for _, k := range names {
			t.Run(name+"/"+k, func(t *testing.T) {
				if testing.Short() && strings.Contains(k, "batch1") {
					t.Skip("batches of 4 only in short mode")
				}
				rec := file.Ranges[k]
				o := goldenConfig{Compression: rec.Compression, Root: rec.Root}.options(t)
				if strings.HasPrefix(k, "mean_") {
					o.Initializer.Range[0].Params.PerBatch = true
				}
				tolerance := 3e-6
				if strings.HasPrefix(k, "threesigma") {
					o.Initializer.Range[0].Params.ZerosInDeviation = true
					tolerance = 6e-6
				}
				g := model(t, name)
				c := apply(t, g, o, calibrate.Samples(x, rec.Batch))
				list := rec.Quantizers
				if rec.WeightsAs != "" {
					for _, raw := range file.Ranges[rec.WeightsAs].Quantizers {
						if strings.Contains(string(raw), "|WEIGHT\"") {
							list = append(list, raw)
						}
					}
				}
				n, worst := 0, 0.0
				for _, raw := range list {
					var r quantizerRecord
					if err := json.Unmarshal(raw, &r); err != nil {
						t.Fatal(err)
					}
					v := value[r.ID]
					// The low end is a number on the scale of the range that begins there.
					check := func(suffix string, want, unit []float64) {
						p := g.Value(v + "/quantizer/" + suffix)
						if p == nil {
							p = groupParam(g, c, v, suffix)
						}
						if p == nil {
							t.Fatalf("%s of %s: no such parameter", suffix, v)
						}
						got := p.Data.F32()
						if len(got) != len(want) {
							t.Fatalf("%s of %s: got %d values, want %d", suffix, v, len(got), len(want))
						}
						for i, w := range want {
							n++
							d := math.Abs(float64(got[i])-w) / max(math.Abs(w), unit[i])
							worst = max(worst, d)
							if d > tolerance {
								t.Errorf("%s of %s [%d]: got %.9g, want %.9g (%.2g relative)", suffix, v, i, got[i], w, d)
								return
							}
						}
					}
					if r.Kind == "asymmetric" {
						check("low", r.Low, r.Range)
						check("range", r.Range, r.Range)
					} else {
						check("scale", r.Scale, r.Scale)
					}
				}
				t.Logf("%d numbers, largest relative difference %.2g", n, worst)
			})
		}
	}
}

// groupParam finds the parameter that v's quantizer shares.
func groupParam(g *ir.Graph, c *quantization.Controller, v, suffix string) *ir.Value {
	for _, q := range c.Setup().Quantizers {
		if q.Value == v {
			node := g.Value(v + "/quantizer").Def
			i := slices.Index([]string{"", "low", "range"}, suffix)
			return node.In[max(1, i)]
		}
	}
	return nil
}
