package native

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/zoo"
)

// TestMaxMemory_SameBits plans training steps in less and less memory: they stay
// within it, compute more, and give the same bits.
func TestMaxMemory_SameBits(t *testing.T) {
	all := nets(t, 48)
	graphs := map[string]func() *ir.Graph{
		"resnet":           func() *ir.Graph { return trainingStep(t, "resnet20", zoo.Options{Classes: 10}, 3, false) },
		"quantized resnet": func() *ir.Graph { return trainingStep(t, "resnet20", zoo.Options{Classes: 10}, 2, true) },
		"squeezed":         all["squeezed"],
		"transformer": func() *ir.Graph {
			g, err := encoder(24, 7, 24, 3, 6)
			if err != nil {
				t.Fatal(err)
			}
			return withLoss(t, g, 24)
		},
	}
	for name, build := range graphs {
		t.Run(name, func(t *testing.T) {
			run := func(limit int64) (engine.Info, []float32, error) {
				g := build()
				p, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: 2, MaxMemory: limit})
				if err != nil {
					return engine.Info{}, nil, err
				}
				defer p.Close()
				fillAny(p, g)
				var all []float32
				if err := p.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				for i := range g.Outputs {
					all = append(all, p.Output(i).F32()...)
				}
				return p.Info(), all, nil
			}
			free, want, err := run(0)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = run(1)
			if err == nil || !strings.Contains(err.Error(), "smaller batches") {
				t.Fatalf("a limit of one byte: error %v", err)
			}
			saved := 0
			for _, share := range []float64{1, 0.8, 0.65} {
				limit := int64(share * float64(free.ArenaBytes))
				info, got, err := run(limit)
				if err != nil {
					t.Logf("%.0f %%: %v", 100*share, err)
					break
				}
				if info.ArenaBytes > limit {
					t.Errorf("an arena of %d bytes, the limit is %d", info.ArenaBytes, limit)
				}
				if (info.Recomputed.Nodes > 0) != (share < 1) {
					t.Errorf("%d nodes computed again for %.0f %% of the memory", info.Recomputed.Nodes, 100*share)
				}
				if info.MACs != free.MACs+info.Recomputed.MACs {
					t.Errorf("%d MACs, %d of them again, %d without a limit", info.MACs, info.Recomputed.MACs, free.MACs)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%.0f %% of the memory gives other bits", 100*share)
				}
				if share < 1 {
					saved++
				}
				t.Logf("%.0f %%: %d nodes, %d MACs again (%.1f %% more)", 100*share, info.Recomputed.Nodes, info.Recomputed.MACs, 100*float64(info.Recomputed.MACs)/float64(free.MACs))
			}
			if saved == 0 {
				t.Error("no memory could be saved")
			}
		})
	}
}
