package native

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/zoo"
)

// updated compiles g such that every parameter's gradient, which are the last
// outputs, is taken: kept in grads, and the parameter destroyed. A step that
// reads the parameter later makes the other gradients NaN.
func updated(t *testing.T, g *ir.Graph, o engine.Options) (p engine.Program, grads [][]float32) {
	t.Helper()
	params := slices.Collect(g.Parameters())
	first := len(g.Outputs) - len(params)
	o.Updates = &engine.Updates{Needs: []int{0}}
	for i, v := range params {
		w, kept := v.Data.F32(), make([]float32, v.Data.Len())
		grads = append(grads, kept)
		o.Updates.Take = append(o.Updates.Take, engine.Update{Output: first + i, Stored: v.Name, Apply: func(lo int, part []float32) {
			copy(kept[lo:], part)
			for k := range part {
				w[lo+k] = float32(math.NaN())
			}
		}})
	}
	p, err := Backend{}.Compile(t.Context(), g, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, grads
}

func TestUpdates_AfterTheLastReader(t *testing.T) {
	graphs := nets(t, 4)
	graphs["resnet"] = func() *ir.Graph { return trainingStep(t, "resnet8_cifar", zoo.Options{Size: 16}, 16, false) }
	graphs["quantized resnet"] = func() *ir.Graph { return trainingStep(t, "resnet8_cifar", zoo.Options{Size: 16}, 16, true) }
	graphs["quantized mobilenet"] = func() *ir.Graph { return trainingStep(t, "mobilenet_v2", zoo.Options{Size: 32, Classes: 10}, 4, true) }
	for name, build := range graphs {
		t.Run(name, func(t *testing.T) {
			g := build()
			plain, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer plain.Close()
			fillAny(plain, g)
			if err := plain.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			all := plain.Info().ArenaBytes
			for _, limit := range []int64{0, all * 7 / 8} {
				h := build()
				p, grads := updated(t, h, engine.Options{Threads: 2, MaxMemory: limit})
				fillAny(p, h)
				if err := p.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				first := len(g.Outputs) - len(grads)
				if !slices.Equal(p.Output(0).F32(), plain.Output(0).F32()) {
					t.Errorf("limit %d: the loss differs", limit)
				}
				for i, got := range grads {
					if p.Output(first+i) != nil {
						t.Errorf("output %d is still there", first+i)
					}
					if !slices.Equal(got, plain.Output(first+i).F32()) {
						t.Errorf("limit %d: %s differs from a run without updates", limit, g.Outputs[first+i].Name)
					}
				}
				if got := p.Info().ArenaBytes; got > all {
					t.Errorf("limit %d: the arena has %d bytes, %d without updates", limit, got, all)
				}
			}
		})
	}
}

// TestUpdates_Begin: an error at the beginning changes nothing, and once updates
// have begun the run comes to its end.
func TestUpdates_Begin(t *testing.T) {
	g := trainingStep(t, "resnet8_cifar", zoo.Options{Size: 8}, 2, false)
	v := slices.Collect(g.Parameters())[0]
	applied, refuse := 0, errors.New("refused")
	ctx, cancel := context.WithCancel(t.Context())
	var begin error
	p, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: 1, Updates: &engine.Updates{
		Begin: func() error { return begin },
		Needs: []int{0, 1},
		Take:  []engine.Update{{Output: 2, Stored: v.Name, Apply: func(int, []float32) { applied++; cancel() }}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	fill(p, 10)
	states := func() (all []float32) {
		for _, a := range g.Assigns {
			all = append(all, a.Dst.Data.F32()...)
		}
		return all
	}
	before := states()
	begin = refuse
	if err := p.Run(ctx); !errors.Is(err, refuse) || applied > 0 || !slices.Equal(before, states()) {
		t.Errorf("got error %v, %d updates, states changed: %v", err, applied, !slices.Equal(before, states()))
	}
	begin = nil
	if err := p.Run(ctx); err != nil || applied == 0 || slices.Equal(before, states()) {
		t.Errorf("cancelled while it updates: got error %v, %d updates, states changed: %v", err, applied, !slices.Equal(before, states()))
	}
	if err := p.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: got error %v", err)
	}
}

func TestUpdates_Errors(t *testing.T) {
	g := trainingStep(t, "resnet8_cifar", zoo.Options{Size: 8}, 2, false)
	w := slices.Collect(g.Parameters())[0].Name
	for _, c := range []struct {
		u    engine.Updates
		want string
	}{
		{engine.Updates{Take: []engine.Update{{Output: len(g.Outputs), Stored: w}}}, "want one of"},
		{engine.Updates{Take: []engine.Update{{Output: 2, Stored: w}, {Output: 2, Stored: w}}}, "each once"},
		{engine.Updates{Take: []engine.Update{{Output: 2, Stored: "nothing"}}}, "want a stored value"},
		{engine.Updates{Take: []engine.Update{{Output: 2, Stored: w}}, Needs: []int{2}}, "that no update takes"},
	} {
		_, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: 1, Updates: &c.u})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got error %v, want %q", err, c.want)
		}
	}
}
