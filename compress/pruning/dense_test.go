package pruning_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress/pruning"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/zoo"
)

// TestSetLevel_Lower: with keep_weights a level goes down. The masks are those
// that the weights without masks would get, and filters come back as they were
// when they were pruned, with what training did to the others, also from a saved
// state.
func TestSetLevel_Lower(t *testing.T) {
	build := func(keep bool) (*ir.Graph, *pruning.Controller) {
		t.Helper()
		g, err := zoo.Build("resnet8_cifar", zoo.Options{Width: 8, Size: 8, Seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		s, err := pruning.New(pruning.Options{Params: pruning.Params{Multiple: 1, KeepWeights: keep}}).Setup(g)
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.Apply(g, &rewrite.Trace{})
		if err != nil {
			t.Fatal(err)
		}
		return g, c.(*pruning.Controller)
	}
	train := func(g *ir.Graph) {
		for _, v := range g.Stored() {
			if v.Kind != ir.Constant && v.Data.DType() == tensor.Float32 {
				for i := range v.Data.F32() {
					v.Data.F32()[i] *= 1 + 0.05*float32(math.Sin(float64(i)))
				}
			}
		}
	}
	set := func(c *pruning.Controller, level float64) {
		t.Helper()
		if err := c.SetLevel(level); err != nil {
			t.Fatal(err)
		}
	}
	same := func(what string, a, b *ir.Graph) {
		t.Helper()
		for _, v := range a.Stored() {
			if w := b.Value(v.Name); !v.Data.Equal(w.Data) {
				t.Errorf("%s: %s differs", what, v.Name)
			}
		}
	}

	g, c := build(true)
	set(c, 0.5)
	set(c, 0.25)
	want, direct := build(true)
	set(direct, 0.25)
	same("down to a level and set to it", g, want)
	if c.Level() != 0.25 || math.Abs(c.Reached()-0.25) > 0.05 {
		t.Errorf("got level %g, reached %g", c.Level(), c.Reached())
	}
	set(c, 0)
	whole, _ := build(true)
	same("down to nothing", g, whole)

	set(c, 0.5)
	train(g)
	c.AfterStep()
	raw, err := c.State()
	if err != nil {
		t.Fatal(err)
	}
	h, d := build(true)
	for _, v := range h.Stored() {
		v.Data.CopyFrom(g.Value(v.Name).Data)
	}
	if err := d.LoadState(raw); err != nil {
		t.Fatal(err)
	}
	set(c, 0.25)
	set(d, 0.25)
	same("with and without a saved state", g, h)
	back, moved := 0, 0
	for _, v := range whole.Stored() {
		if v.Kind == ir.Constant || v.Data.DType() != tensor.Float32 {
			continue
		}
		now := g.Value(v.Name).Data.F32()
		for i, x := range v.Data.F32() {
			switch factor := float64(now[i]) / float64(x); {
			case x == 0 || now[i] == 0:
			case factor == 1:
				back++
			case math.Abs(factor-1-0.05*math.Sin(float64(i))) < 1e-5:
				moved++
			default:
				t.Fatalf("%s: element %d is %g, was %g", v.Name, i, now[i], x)
			}
		}
	}
	if back == 0 || moved == 0 {
		t.Errorf("%d elements came back, %d were trained", back, moved)
	}
	if err := d.LoadState([]byte(strings.Replace(string(raw), `"dense":"`, `"dense":"AAAA`, 1))); err == nil || !strings.Contains(fmt.Sprint(err), "bytes of weights") {
		t.Errorf("too many weights: got error %v", err)
	}

	_, c = build(false)
	set(c, 0.5)
	if err := c.SetLevel(0.25); err == nil || !strings.Contains(err.Error(), "keep_weights") {
		t.Errorf("without keep_weights: got error %v", err)
	}
}
