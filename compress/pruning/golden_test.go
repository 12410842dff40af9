package pruning_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress/pruning"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/ir"
)

type chosen struct {
	First  string
	Pruned []int
	Kept   int
}

type golden struct {
	Runs map[string]struct {
		Params pruning.Params
		Chosen []chosen
		Flops  struct {
			FullFlops  int64 `json:"full_flops"`
			Flops      int64
			FullParams int64 `json:"full_params"`
			Params     int64
			Full       int64 `json:"full_filters"`
			Filters    int64
		} `json:"flops_params"`
		Shrunk struct {
			Shapes map[string][]int
		}
	}
	Clusters map[string][]struct {
		Members []struct {
			Parameter string
			Filters   int
			Dim       int `json:"weight_dim"`
		}
	}
	Importance map[string]map[string][]float64
}

func readGolden(t *testing.T, name string) (golden, *nncf.Model) {
	t.Helper()
	b, err := os.ReadFile(testkit.Shared(t, "data", "nncf-goldens", "pruning", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	m, err := nncf.Load(testkit.Shared(t, "data", "nncf-goldens", "models", name+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return g, m
}

// prune applies the algorithm to a copy of the model.
func prune(t *testing.T, m *nncf.Model, o pruning.Options) (*ir.Graph, *pruning.Controller) {
	t.Helper()
	s, err := pruning.New(o).Setup(m.Graph)
	if err != nil {
		t.Fatal(err)
	}
	g := m.Graph.Clone()
	for _, v := range g.Stored() {
		v.Data = v.Data.Clone()
	}
	c, err := s.Apply(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g, c.(*pruning.Controller)
}

// TestGolden_Clusters: the same clusters as NNCF 2.14 for every combination of
// the flags.
func TestGolden_Clusters(t *testing.T) {
	for _, name := range []string{"resnet_basic", "unet"} {
		gold, m := readGolden(t, name)
		for flags, want := range gold.Clusters {
			p := pruning.Params{PruneFirst: new(bool), PruneDownsample: new(bool)}
			*p.PruneFirst, *p.PruneDownsample = strings.Contains(flags, "first"), strings.Contains(flags, "downsample")
			s, err := pruning.New(pruning.Options{Params: p}).Setup(m.Graph)
			if err != nil {
				t.Fatal(err)
			}
			var got, expect []string
			for _, c := range s.(*pruning.Setup).Clusters {
				var l []string
				for _, x := range c.Members {
					l = append(l, fmt.Sprint(x.Weight, " ", x.Axis, " ", c.Channels))
				}
				slices.Sort(l)
				got = append(got, strings.Join(l, ", "))
			}
			for _, c := range want {
				var l []string
				for _, x := range c.Members {
					l = append(l, fmt.Sprint(x.Parameter, " ", x.Dim, " ", x.Filters))
				}
				slices.Sort(l)
				expect = append(expect, strings.Join(l, ", "))
			}
			slices.Sort(got)
			slices.Sort(expect)
			if !slices.Equal(got, expect) {
				t.Errorf("%s, %s: got clusters\n%s\nwant\n%s", name, flags, strings.Join(got, "\n"), strings.Join(expect, "\n"))
			}
		}
	}
}

// TestGolden_Importance compares with NNCF's numbers, to the accuracy of its
// float32.
func TestGolden_Importance(t *testing.T) {
	for _, name := range []string{"resnet_basic", "unet"} {
		gold, m := readGolden(t, name)
		for _, im := range []pruning.Importance{pruning.L1, pruning.L2, pruning.GeometricMedian} {
			for weight, want := range gold.Importance[string(im)] {
				axis := 0
				if strings.HasPrefix(weight, "up") {
					axis = 1
				}
				got := im.Of(m.Graph.Value(weight).Data, axis, 1)
				tolerance := 1e-6 * slices.Max(want)
				if im == pruning.GeometricMedian {
					tolerance = 2e-5 * slices.Max(want)
				}
				for i, w := range want {
					if math.Abs(got[i]-w) > tolerance {
						t.Errorf("%s, %s of %s, filter %d: got %.9g, want %.9g", name, im, weight, i, got[i], w)
						break
					}
				}
			}
		}
	}
}

// TestGolden_Chosen: the filters, FLOPs and weights of NNCF's runs. Its global
// ranking rounds nothing, its local one rounds up.
func TestGolden_Chosen(t *testing.T) {
	for _, name := range []string{"resnet_basic", "unet"} {
		gold, m := readGolden(t, name)
		for run, want := range gold.Runs {
			o := pruning.Options{Params: want.Params}
			o.Params.Rounding = pruning.Up
			if o.Params.AllWeights != nil && *o.Params.AllWeights {
				o.Params.Multiple = 1
			}
			g, c := prune(t, m, o)
			level := 0.5
			for _, v := range []*float64{o.Params.Target, o.Params.FLOPsTarget} {
				if v != nil {
					level = *v
				}
			}
			if err := c.Set(level); err != nil {
				t.Fatalf("%s, %s: %v", name, run, err)
			}
			r := c.Report()
			pruned := map[string][]int{}
			for _, k := range r.Clusters {
				for _, x := range k.Members {
					pruned[x.Weight] = k.Pruned
				}
			}
			if slices.ContainsFunc(want.Chosen, func(k chosen) bool { return k.Kept == 0 }) {
				continue // NNCF empties a layer, which leaves no network
			}
			// NNCF counts transposed convolutions at each place of their output,
			// although a kernel of 2 with stride 2 reaches every place once.
			overcount := name == "unet"
			if overcount && o.Params.FLOPsTarget != nil && o.Params.AllWeights != nil && *o.Params.AllWeights {
				continue
			}
			for _, k := range want.Chosen {
				if got := pruned[k.First]; !slices.Equal(got, k.Pruned) && len(got)+len(k.Pruned) > 0 {
					t.Errorf("%s, %s, %s: pruned %v, want %v", name, run, k.First, got, k.Pruned)
				}
			}
			f := want.Flops
			if overcount {
				f.FullFlops, f.Flops = r.Full.FLOPs, r.Now.FLOPs
			}
			if r.Full.FLOPs != f.FullFlops || r.Full.Params != f.FullParams || r.Full.Filters != f.Full {
				t.Errorf("%s: full: got %+v, want %+v", name, r.Full, f)
			}
			if r.Now.FLOPs != f.Flops || r.Now.Params != f.Params {
				t.Errorf("%s, %s: got %+v, want %+v", name, run, r.Now, f)
			}
			if want.Shrunk.Shapes == nil {
				continue
			}
			if err := c.Strip(g, nil); err != nil {
				t.Fatal(err)
			}
			for v, shape := range want.Shrunk.Shapes {
				if x := g.Value(v); x != nil && !slices.Equal([]int(x.Data.Shape()), shape) {
					t.Errorf("%s, %s, %s: shape %v, want %v", name, run, v, x.Data.Shape(), shape)
				}
			}
		}
	}
}
