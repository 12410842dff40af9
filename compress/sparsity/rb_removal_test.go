package sparsity_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/pruning"
	"github.com/go-nncf/nncf/compress/sparsity"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// Scores of pruned filters count neither as kept nor at all: the density loss and
// its gradient are those of the model without the filters. Filters that come back
// begin with the first score.
func TestRB_PrunedChannels(t *testing.T) {
	for _, mode := range []string{"global", "local"} {
		g := resnetOf16(t)
		_, c, err := compress.SetupAll(g, []compress.Algorithm{
			sparsity.NewRB(sparsity.RBOptions{Params: sparsity.RBParams{Params: sparsity.Params{Mode: mode}}}),
			pruning.New(pruning.Options{PruningInit: 0.5, Params: pruning.Params{Schedule: "baseline"}}),
		}, &rewrite.Trace{})
		if err != nil {
			t.Fatal(err)
		}
		var scores []*ir.Value
		for v := range g.Parameters() {
			if strings.HasSuffix(v.Name, "/score") {
				scores = append(scores, v)
				for i := range v.Data.F32() { // a third dropped
					v.Data.F32()[i] = []float32{1, -0.5, 2}[i%3]
				}
			}
		}
		c.EpochStep() // prunes
		loss := func(values []*tensor.Tensor) (float32, []*tensor.Tensor) {
			t.Helper()
			n := 1
			if mode == "local" {
				n = len(values)
			}
			target := tensor.New(tensor.Float32, n)
			for i := range target.F32() {
				target.F32()[i] = 0.4
			}
			in := append([]*tensor.Tensor{target, tensor.Scalar(int64(3))}, values...)
			o := op.RBLoss{P: 0.05, Local: mode == "local"}
			y, err := o.Eval(in)
			if err != nil {
				t.Fatal(err)
			}
			d, err := op.RBLossGrad(o).Eval(append([]*tensor.Tensor{tensor.Scalar(float32(1))}, in...))
			if err != nil {
				t.Fatal(err)
			}
			return y[0].F32()[0], d
		}
		var whole, cut []*tensor.Tensor
		var at [][]int
		for _, v := range scores {
			whole = append(whole, v.Data)
			left := []float32{}
			where := []int{}
			for i, s := range v.Data.F32() {
				if !math.IsInf(float64(s), -1) {
					left, where = append(left, s), append(where, i)
				}
			}
			cut, at = append(cut, tensor.From(left, len(left))), append(at, where)
		}
		shrunk := g.Clone()
		if err := c.Strip(shrunk, &rewrite.Trace{}); err != nil {
			t.Fatal(err)
		}
		removed := 0
		for i, v := range scores {
			name, _ := strings.CutSuffix(v.Name, "/score")
			if got, want := cut[i].Len(), shrunk.Value(name).Data.Len(); got != want {
				t.Errorf("%s: %d scores count, the file has %d weights", name, got, want)
			}
			removed += whole[i].Len() - cut[i].Len()
		}
		if removed == 0 {
			t.Fatal("no score is of a removed filter")
		}
		got, grad := loss(whole)
		want, wantGrad := loss(cut)
		if got != want || got == 0 {
			t.Errorf("%s: got loss %g, without the filters %g", mode, got, want)
		}
		for i, d := range grad {
			var left []float32
			for _, j := range at[i] {
				left = append(left, d.F32()[j])
			}
			if !slices.Equal(left, wantGrad[i].F32()) {
				t.Errorf("%s, %s: gradients differ from those without the filters", mode, scores[i].Name)
			}
			for j, x := range d.F32() {
				if math.IsInf(float64(whole[i].F32()[j]), -1) && x != 0 {
					t.Fatalf("%s: the score of a removed weight has gradient %g", scores[i].Name, x)
				}
			}
		}
	}
}

// Scores of filters that come back begin as all scores do; the others go on from
// where they are.
func TestRB_FiltersComeBack(t *testing.T) {
	g := resnetOf16(t)
	_, c, err := compress.SetupAll(g, []compress.Algorithm{
		sparsity.NewRB(sparsity.RBOptions{}),
		pruning.New(pruning.Options{Params: pruning.Params{Multiple: 1, KeepWeights: true}}),
	}, &rewrite.Trace{})
	if err != nil {
		t.Fatal(err)
	}
	pruner := compress.LeveledOf(c)[0]
	count := func() (removed, first, moved int) {
		for v := range g.Parameters() {
			if !strings.HasSuffix(v.Name, "/score") {
				continue
			}
			for i, s := range v.Data.F32() {
				switch {
				case math.IsInf(float64(s), -1):
					removed++
				case s == -1:
					moved++
				default:
					first++
					v.Data.F32()[i] = -1 // training has moved it
				}
			}
		}
		return removed, first, moved
	}
	if err := pruner.SetLevel(0.5); err != nil {
		t.Fatal(err)
	}
	c.EpochStep()
	many, _, _ := count()
	if err := pruner.SetLevel(0.25); err != nil {
		t.Fatal(err)
	}
	c.EpochStep()
	few, first, moved := count()
	if !(few < many) || few == 0 || first < many-few || moved == 0 {
		t.Errorf("got %d scores of removed weights after %d, %d new ones and %d as before", few, many, first, moved)
	}
}
