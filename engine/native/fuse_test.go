package native

import (
	"slices"
	"testing"

	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/internal/cpu"
	"github.com/go-nncf/nncf/zoo"
)

// TestFusions_EachApplies compiles a training step of a quantized residual
// network: every rule must find something to do, and say so.
func TestFusions_EachApplies(t *testing.T) {
	g := trainingStep(t, "resnet8_cifar", zoo.Options{Classes: 10}, 16, true)
	p, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	applied, declined := map[string]int{}, 0
	for _, s := range p.Info().Steps {
		for _, f := range s.Fusions {
			if f.What == "" {
				t.Errorf("step %s: rule %s says nothing", s.Node, f.Rule)
			}
			if f.Applied {
				applied[f.Rule]++
			} else {
				declined++
			}
		}
	}
	for _, f := range fusions {
		if f.name == "drop" || f.name == "obey" { // one removes steps, and their notes; the other is for memory limits
			continue
		}
		if applied[f.name] == 0 {
			t.Errorf("fusion %s (%s) applied nowhere; applied: %v", f.name, f.what, applied)
		}
	}
	if declined == 0 {
		t.Error("no rule says why it did nothing")
	}
}

// TestPlan_Arena: spans that live together do not overlap, and all lie inside.
func TestPlan_Arena(t *testing.T) {
	g := trainingStep(t, "resnet8_cifar", zoo.Options{Classes: 10}, 4, true)
	p, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	info := p.Info()
	named := 0
	for i, a := range info.Arena {
		if a.Offset < 0 || a.Offset+a.Bytes > info.ArenaBytes || a.First > a.Last || a.Last > len(info.Steps) {
			t.Errorf("span %+v outside an arena of %d bytes or %d steps", a, info.ArenaBytes, len(info.Steps))
		}
		if len(a.Values) > 0 {
			named++
		}
		for _, b := range info.Arena[:i] {
			if a.First < b.Last && b.First < a.Last && a.Offset < b.Offset+b.Bytes && b.Offset < a.Offset+a.Bytes {
				t.Errorf("spans %+v and %+v overlap", a, b)
			}
		}
	}
	if named == 0 {
		t.Error("no span has a name")
	}
	var macs int64
	for _, s := range info.Steps {
		macs += s.MACs
	}
	// Forward, data and weight gradients of 12.5 million each, but for the
	// first layer, which has no data gradient.
	if macs != info.MACs || macs < 3*4*12e6 || macs > 3*4*12.6e6 {
		t.Errorf("got %d MACs, the steps have %d", info.MACs, macs)
	}
}

// TestLevels_SameBitsForAnyThreads runs a quantized training step with each
// level of kernels and 1 to 4 threads. Within a level the bits are the same;
// between levels, results agree as rounding allows.
func TestLevels_SameBitsForAnyThreads(t *testing.T) {
	defer cpu.Uncap()
	var across []float32
	for level := cpu.Generic; level <= cpu.LevelAVX512; level++ {
		if err := cpu.Cap(level); err != nil {
			t.Logf("%v: not run: %v", level, err)
			continue
		}
		var first []float32
		for threads := 1; threads <= 4; threads++ {
			g := trainingStep(t, "resnet8_cifar", zoo.Options{Classes: 10}, 3, true)
			p, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: threads})
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Info().CPU; got != level.String() {
				t.Errorf("kernels %s, want %s", got, level)
			}
			fillAny(p, g)
			if err := p.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			var all []float32
			for i := range g.Outputs {
				all = append(all, p.Output(i).F32()...)
			}
			p.Close()
			if first == nil {
				first = all
			}
			if !slices.Equal(all, first) {
				t.Errorf("%v: %d threads give other bits than one", level, threads)
			}
		}
		if across == nil {
			across = first
		}
		// The loss, before which no mask of a single element can flip much.
		if d := first[0] - across[0]; d > 1e-3 || d < -1e-3 {
			t.Errorf("%v: loss %v, with %v %v", level, first[0], cpu.Generic, across[0])
		}
	}
}
