package sparsity_test

import (
	"math"
	"testing"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/pruning"
	"github.com/go-nncf/nncf/compress/sparsity"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/zoo"
)

// prunedAndSparse applies pruning and sparsity of a half each, in the order
// given, without data, and returns the controller and the graph as exported.
func prunedAndSparse(t *testing.T, o sparsity.MagnitudeOptions, reversed bool) (compress.Controller, *ir.Graph) {
	t.Helper()
	g, err := zoo.Build("resnet8_cifar", zoo.Options{Width: 16, Size: 8, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	o.Init = new(0.5)
	if o.Params.Pattern != "" {
		o.Init, o.Params.Schedule, o.Params.Steps, o.Params.Levels = nil, "multistep", []int{}, []float64{0.5}
	}
	list := []compress.Algorithm{
		pruning.New(pruning.Options{PruningInit: 0.5, Params: pruning.Params{Schedule: "baseline"},
			Initializer: pruning.Initializer{BatchNorm: compress.BatchNormAdaptation{Samples: new(0)}}}),
		sparsity.NewMagnitude(o),
	}
	if reversed {
		list[0], list[1] = list[1], list[0]
	}
	_, c, err := compress.SetupAll(g, list, &rewrite.Trace{})
	if err != nil {
		t.Fatal(err)
	}
	if err := compress.LeveledOf(c)[0].SetLevel(0.5); err != nil {
		t.Fatal(err)
	}
	c.EpochStep()
	out := g.Clone()
	if err := c.Strip(out, &rewrite.Trace{}); err != nil {
		t.Fatal(err)
	}
	return c, out
}

// What pruning removes does not count: half of the weights of the file are
// zeros, in any order of the configuration.
func TestMagnitude_PrunedChannels(t *testing.T) {
	var first []sparsity.LayerReport
	for _, reversed := range []bool{false, true} {
		c, g := prunedAndSparse(t, sparsity.MagnitudeOptions{}, reversed)
		zeros, all, full := 0, 0, 0
		list := sparsity.Zeros(g)
		for _, r := range list {
			zeros, all = zeros+r.Zeros, all+r.Elements
		}
		for _, r := range sparsity.Zeros(resnetOf16(t)) {
			full += r.Elements
		}
		if all > full*3/4 {
			t.Fatalf("got %d of %d weights in the file, want channels cut out", all, full)
		}
		if got := float64(zeros) / float64(all); math.Abs(got-0.5) > 1/float64(all) {
			t.Errorf("reversed %v: got %.4f zeros in the file, want 0.5", reversed, got)
		}
		if got := compress.LeveledOf(c)[1].Reached(); got != float64(zeros)/float64(all) {
			t.Errorf("reversed %v: got level %g, the file has %g", reversed, got, float64(zeros)/float64(all))
		}
		if first == nil {
			first = list
		}
		for i, r := range list {
			if r.Zeros != first[i].Zeros || r.Elements != first[i].Elements {
				t.Errorf("%s: got %d of %d, in the other order %d of %d", r.Weight, r.Zeros, r.Elements, first[i].Zeros, first[i].Elements)
			}
		}
	}
}

// Groups and blocks are those of the channels that stay.
func TestPattern_PrunedChannels(t *testing.T) {
	_, g := prunedAndSparse(t, sparsity.MagnitudeOptions{Params: sparsity.MagnitudeParams{Pattern: "2:4"}}, false)
	groups := 0
	for _, r := range sparsity.Zeros(g) {
		w := g.Value(r.Weight).Data
		s := w.Shape()
		if len(s) != 4 || s[1]%4 != 0 {
			continue
		}
		inner := s[2:].Numel()
		for o := range s[0] {
			for first := 0; first < s[1]; first += 4 {
				for i := range inner {
					zeros := 0
					for k := range 4 {
						if w.F32()[(o*s[1]+first+k)*inner+i] == 0 {
							zeros++
						}
					}
					groups++
					if zeros != 2 {
						t.Fatalf("%s: got %d zeros in a group, want 2", r.Weight, zeros)
					}
				}
			}
		}
	}
	if groups == 0 {
		t.Error("got no groups")
	}
}

// A target of 0 with levels of some layers is fully compressed.
func TestMagnitude_StageOfOverrides(t *testing.T) {
	g := resnet(t)
	c := apply(t, g, sparsity.MagnitudeOptions{Params: sparsity.MagnitudeParams{Params: sparsity.Params{Target: new(0.0)}},
		ScopeOverrides: sparsity.Overrides{{Scope: "{re}conv1", Target: new(0.5)}}})
	c.EpochStep()
	if c.Stage() != compress.FullyCompressed || c.Reached() == 0 {
		t.Errorf("got stage %v and level %g", c.Stage(), c.Reached())
	}
}

func resnetOf16(t *testing.T) *ir.Graph {
	t.Helper()
	g, err := zoo.Build("resnet8_cifar", zoo.Options{Width: 16, Size: 8, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	return g
}
