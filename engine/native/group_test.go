package native

import (
	"slices"
	"testing"
	"time"

	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/zoo"
)

// TestGroup_SameBits: steps that take turns image by image give the bits that
// they give one after the other, for any number of workers.
func TestGroup_SameBits(t *testing.T) {
	graphs := map[string]func() *ir.Graph{
		"resnet": func() *ir.Graph { return trainingStep(t, "resnet20", zoo.Options{Classes: 10, Width: 8}, 16, false) },
		"quantized resnet": func() *ir.Graph {
			return trainingStep(t, "resnet20", zoo.Options{Classes: 10, Width: 8}, 16, true)
		},
		"mobilenet": func() *ir.Graph {
			return trainingStep(t, "mobilenet_v2", zoo.Options{Size: 32, Classes: 10}, 8, true)
		},
	}
	for name, build := range graphs {
		t.Run(name, func(t *testing.T) {
			run := func(threads int, grouped bool) (all [][]float32, groups map[*group]bool) {
				g := build()
				p, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: threads})
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				groups = map[*group]bool{}
				for _, s := range p.(*program).steps {
					if s.group != nil {
						groups[s.group] = true
					}
				}
				fillAny(p, g)
				for range 2 { // the second run finds the first one's values in memory
					if grouped {
						err = p.Run(t.Context())
					} else {
						err = p.(*program).RunTimed(t.Context(), make([]time.Duration, len(p.Info().Steps)))
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				for i := range g.Outputs {
					all = append(all, slices.Clone(p.Output(i).F32()))
				}
				return all, groups
			}
			want, groups := run(1, false)
			backward := 0
			for g := range groups {
				if len(g.members) >= 3 && slices.ContainsFunc(g.members, (*step).isWeightGradient) {
					backward++
				}
			}
			if backward == 0 {
				t.Errorf("none of %d groups has a convolution's gradients and what is before them", len(groups))
			}
			for _, threads := range []int{1, 2, 3} {
				got, _ := run(threads, true)
				for i := range want {
					if !slices.Equal(got[i], want[i]) {
						t.Fatalf("output %d with %d threads differs from that of steps one after the other", i, threads)
					}
				}
			}
		})
	}
}
