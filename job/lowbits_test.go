package job_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/job"
)

// sectionOf is the small configuration with another compression section.
func sectionOf(section string, epochs string) string {
	before, _, _ := strings.Cut(small, `"compression"`)
	j := strings.LastIndex(small, "}")
	return strings.Replace(before+`"compression": `+section+small[j:], `"epochs": 2`, `"epochs": `+epochs, 1)
}

const (
	hawqSection = `{"algorithm": "quantization", "initializer": {
		"precision": {"type": "hawq", "bits": [4, 8], "num_data_points": 48, "iter_number": 8, "compression_ratio": 1.3},
		"range": {"num_init_samples": 32}, "batchnorm_adaptation": {"num_bn_adaptation_samples": 32}}}`
	stagedSection = `{"algorithm": "quantization", "weights": {"bits": 4}, "activations": {"bits": 4},
		"params": {"activations_quant_start_epoch": 1, "weights_quant_start_epoch": 2, "lr_poly_drop_start_epoch": 2, "lr_poly_drop_duration_epochs": 2, "disable_wd_start_epoch": 2},
		"initializer": {"range": {"num_init_samples": 32}, "batchnorm_adaptation": {"num_bn_adaptation_samples": 32}}}`
)

// Bits are chosen, told, exported, and the same with any number of threads and
// from the cache.
func TestTrain_HAWQ(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	var want outcome
	for i, threads := range []int{1, 2} { // the second finds the traces of the first
		c := parse(t, t.TempDir(), sectionOf(hawqSection, "1"))
		c.Threads = threads
		r := mustTrain(t, c, job.Options{})
		got := outcomeOf(t, c, r)
		if i == 0 {
			want = got
			if r.Export.Bits != "4, 8" || r.Export.MaxRelativeDifference > 0.05 {
				t.Errorf("got export %+v", r.Export)
			}
			continue
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%d threads, cached: -want +got:\n%s", threads, d)
		}
		raw, err := os.ReadFile(filepath.Join(c.Dir, "runs", "precision.json"))
		if err != nil {
			t.Fatal(err)
		}
		var p struct {
			Layers []struct {
				Trace, StdErr float64
				Perturbation  map[int]float64
				Bits          int
			}
			Chosen struct{ Ratio float64 }
		}
		if err := json.Unmarshal(raw, &p); err != nil {
			t.Fatal(err)
		}
		if len(p.Layers) != 8 || p.Chosen.Ratio < 1.3 || p.Layers[0].Perturbation[4] <= p.Layers[0].Perturbation[8] {
			t.Errorf("got %+v", p)
		}
		if _, err := os.Stat(filepath.Join(c.Dir, "runs", "precision.svg")); err != nil {
			t.Error(err)
		}
	}
}

// A training in stages ends fully compressed, and interrupted before, at and
// after its switches it resumes to the same bits.
func TestTrain_StagedQuantization(t *testing.T) {
	config := sectionOf(stagedSection, "4")
	whole := parse(t, t.TempDir(), config)
	r := mustTrain(t, whole, job.Options{})
	want := outcomeOf(t, whole, r)
	if r.Stage != compress.FullyCompressed {
		t.Errorf("got stage %v, want full", r.Stage)
	}
	for _, after := range []int{11, 13, 24, 30, 44} { // 12 steps per epoch
		cfg := parse(t, t.TempDir(), config)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := job.Train(ctx, cfg, job.Options{Progress: stopper(cancel, "train", after)})
		cancel()
		if !errors.Is(err, job.ErrInterrupted) {
			t.Fatalf("after %d steps: got error %v, want ErrInterrupted", after, err)
		}
		got := outcomeOf(t, cfg, mustTrain(t, cfg, job.Options{Resume: true}))
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("after %d steps: -uninterrupted +resumed:\n%s", after, d)
		}
	}
}

func TestTrain_HAWQRatioOutOfReach(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	c := parse(t, t.TempDir(), sectionOf(strings.Replace(hawqSection, "1.3", "3", 1), "0"))
	_, err := job.Train(t.Context(), c, job.Options{})
	if err == nil || !strings.Contains(err.Error(), "compression_ratio: got 3, want 1 to 2") {
		t.Errorf("got error %v, want one that says 1 to 2", err)
	}
}

// Stacked on sparsity, traces and perturbations are those of the masked weights.
func TestTrain_HAWQOnSparseWeights(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	sparse := `{"algorithm": "magnitude_sparsity", "sparsity_init": 0.5, "params": {"schedule": "multistep", "multistep_steps": [1], "multistep_sparsity_levels": [0.5, 0.5]}}`
	c := parse(t, t.TempDir(), sectionOf("["+hawqSection+", "+sparse+"]", "1"))
	r := mustTrain(t, c, job.Options{})
	if r.Export.Bits != "4, 8" {
		t.Errorf("got bits %s, want 4 and 8", r.Export.Bits)
	}
	mustTrain(t, c, job.Options{Resume: true}) // the setup in the checkpoint rebuilds it
}
