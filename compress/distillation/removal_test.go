package distillation_test

import (
	"math"
	"testing"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/distillation"
	"github.com/go-nncf/nncf/compress/pruning"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/zoo"
)

// When filters are cut out of a chosen layer during training, the layer is
// compared by the channels that are left.
func TestLayersOfRemovedFilters(t *testing.T) {
	g, err := zoo.Build("resnet8_cifar", zoo.Options{Width: 8, Size: 8, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	teacher := g.Clone()
	for _, v := range teacher.Stored() {
		v.Data = v.Data.Clone()
	}
	half := 0.5
	_, c, err := compress.SetupAll(g, []compress.Algorithm{
		distillation.New(distillation.Options{Type: "mse", Scale: new(0.0), Layers: []string{"{re}conv1"}}),
		pruning.New(pruning.Options{Params: pruning.Params{Schedule: "baseline", Target: &half, Multiple: 2, Removal: pruning.AtTraining}}),
	}, &rewrite.Trace{})
	if err != nil {
		t.Fatal(err)
	}
	c.EpochStep()
	// Filters that are gone are those that are zero now.
	var layers []string
	kept := map[string][]int{}
	for _, n := range g.Nodes() {
		if !compress.MatchAny([]string{"{re}conv1"}, n) {
			continue
		}
		name := n.Out[0].Name
		layers = append(layers, name)
		w := n.In[1].Data
		size := w.Len() / w.Shape()[0]
		for o := range w.Shape()[0] {
			sum := 0.0
			for _, x := range w.F32()[o*size:][:size] {
				sum += math.Abs(float64(x))
			}
			if sum > 0 {
				kept[name] = append(kept[name], o)
			}
		}
	}
	for _, x := range compress.All(c) {
		if p, ok := x.(*pruning.Controller); ok {
			if _, err := p.Shrink(&rewrite.Trace{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	disturb(g)
	x, labels := tensor.New(tensor.Float32, 4, 3, 8, 8), tensor.New(tensor.Int64, 4)
	for i := range x.F32() {
		x.F32()[i] = float32(math.Sin(float64(i) * 0.7))
	}
	values := func(g *ir.Graph) []*tensor.Tensor {
		t.Helper()
		g = g.Clone()
		g.Outputs = nil
		for _, name := range layers {
			g.Outputs = append(g.Outputs, g.Value(name))
		}
		g.Prune()
		out, err := ir.Eval(t.Context(), g, []*tensor.Tensor{x})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	s, te := values(g), values(teacher)
	want, shrunk := 0.0, 0
	for l, name := range layers {
		shape, full := s[l].Shape(), te[l].Shape()
		if shape[1] != len(kept[name]) {
			t.Fatalf("%s has %d channels left, %d filters are not zero", name, shape[1], len(kept[name]))
		}
		shrunk += full[1] - shape[1]
		area, sum := shape[2]*shape[3], 0.0
		for n := range shape[0] {
			for k, ch := range kept[name] {
				for i := range area {
					d := float64(s[l].F32()[(n*shape[1]+k)*area+i]) - float64(te[l].F32()[(n*full[1]+ch)*area+i])
					sum += d * d
				}
			}
		}
		want += sum / float64(s[l].Len())
	}
	if shrunk == 0 || want == 0 {
		t.Fatalf("%d channels are gone, and the difference is %g", shrunk, want)
	}
	plain, _ := step(t, g, nil, x, labels)
	with, _ := step(t, g, c, x, labels)
	if got := with - plain; math.Abs(got-want) > 1e-4*max(1, want) {
		t.Errorf("got %g, want %g", got, want)
	}
}
