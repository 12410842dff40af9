package sparsity_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress/sparsity"
	"github.com/go-nncf/nncf/ir"
)

// drop sets scores so that the given share of all weights is dropped, about.
func drop(g *ir.Graph, share float64) {
	for v := range g.Parameters() {
		if !strings.HasSuffix(v.Name, "/score") {
			continue
		}
		s := v.Data.F32()
		for i := range s {
			s[i] = 1
			if float64(i) < share*float64(len(s)) {
				s[i] = -1
			}
		}
	}
}

// frozenIn returns the epoch, counted from 0, in which the masks are frozen.
func frozenIn(c *sparsity.RBController, g *ir.Graph, epochs int, reached func(epoch int) float64) int {
	for e := range epochs {
		drop(g, reached(e))
		c.EpochStep()
		if c.Frozen {
			return e
		}
	}
	return -1
}

// Unless told when, masks freeze after an epoch at the target at least: in the
// original's schedule of 90 epochs when the original freezes them, and never at a
// level that is not the target, nor at one that was set by hand.
func TestRB_FreezeByDefault(t *testing.T) {
	at := func(level float64) func(int) float64 { return func(int) float64 { return level } }
	late := func(e int) float64 { return 0.1 * float64(e) }
	for _, c := range []struct {
		p       sparsity.Params
		reached func(int) float64
		want    int
	}{
		{sparsity.Params{Schedule: "polynomial"}, at(0.5), 100},
		{sparsity.Params{Schedule: "polynomial", TargetEpoch: new(2)}, at(0.5), 3},
		{sparsity.Params{Schedule: "exponential", TargetEpoch: new(18)}, at(0.5), 20},
		{sparsity.Params{Schedule: "polynomial", TargetEpoch: new(2)}, late, 5},
		{sparsity.Params{Schedule: "polynomial", TargetEpoch: new(2)}, at(0.4), -1},
		{sparsity.Params{Schedule: "polynomial", TargetEpoch: new(2), FreezeEpoch: new(1)}, at(0), 1},
		{sparsity.Params{Schedule: "multistep", Steps: []int{1, 4}, Levels: []float64{0.1, 0.3, 0.5}}, at(0.5), 5},
		{sparsity.Params{Schedule: "adaptive"}, at(0.5), 100},
	} {
		t.Run(fmt.Sprintf("%s %v", c.p.Schedule, c.want), func(t *testing.T) {
			g := resnet(t)
			if got := frozenIn(applyRB(t, g, sparsity.RBOptions{Params: sparsity.RBParams{Params: c.p}}), g, 102, c.reached); got != c.want {
				t.Errorf("frozen in epoch %d, want %d", got, c.want)
			}
		})
	}
	g := resnet(t)
	c := applyRB(t, g, sparsity.RBOptions{Params: sparsity.RBParams{Params: sparsity.Params{Schedule: "polynomial", TargetEpoch: new(2)}}})
	if err := c.SetLevel(0.5); err != nil {
		t.Fatal(err)
	}
	if got := frozenIn(c, g, 6, at(0.5)); got != -1 {
		t.Errorf("level set by hand: frozen in epoch %d", got)
	}
}
