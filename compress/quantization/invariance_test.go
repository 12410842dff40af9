package quantization_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/internal/testkit/calibrate"
	"github.com/go-nncf/nncf/ir"
)

// Initialisation gives the same bits whatever the batch size and the number of
// threads, and takes just the samples that it was asked for.
func TestInitialize_SameForAllBatchesAndThreads(t *testing.T) {
	x := images(t)
	ten := 10
	for _, name := range []string{"mixed_min_max", "min_max", "mean_min_max", "median_min_max", "percentile", "mean_percentile", "threesigma", "mse", "kl"} {
		for _, mode := range []quantization.Mode{quantization.Symmetric, quantization.Asymmetric} {
			if mode == quantization.Asymmetric && !slices.Contains([]string{"mixed_min_max", "mse", "kl"}, name) {
				continue // these do not tell the modes apart
			}
			t.Run(fmt.Sprint(name, " ", mode), func(t *testing.T) {
				var want []string
				for _, run := range []struct{ batch, threads int }{{16, 1}, {1, 1}, {3, 3}} {
					g := model(t, "qnet")
					s := setup(t, g, quantization.Options{Activations: quantization.Group{Mode: mode}, DepthwisePerChannel: true,
						Initializer: quantization.Initializer{Range: quantization.Ranges{{Type: name, Samples: &ten}}}})
					c, err := s.Apply(g, nil)
					if err != nil {
						t.Fatal(err)
					}
					s.BatchNorm.Samples = new(int)
					if err := c.Initialize(t.Context(), calibrate.Runner{Threads: run.threads}, calibrate.Samples(crop(x, 16, 10, 22), run.batch)); err != nil {
						t.Fatal(err)
					}
					var got []string
					for _, v := range g.Stored() {
						if v.Kind == ir.Parameter && strings.Contains(v.Name, "/quantizer/") {
							got = append(got, fmt.Sprintf("%s %x", v.Name, v.Data.F32()))
						}
					}
					if want == nil {
						want = got
					}
					for i, line := range got {
						if !slices.Contains(want, line) {
							t.Errorf("batches of %d, %d threads: got %s, want %s", run.batch, run.threads, line, want[i])
						}
					}
				}
			})
		}
	}
}
