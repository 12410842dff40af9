package job_test

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/job"
	"github.com/go-nncf/nncf/train"
)

// accurate is a stack with accuracy-aware training.
func accurate(section string, sections ...string) string {
	text := with(sections...)
	return text[:len(text)-2] + `, "accuracy_aware_training": ` + section + "\n}"
}

const halfSparse = `{"algorithm": "magnitude_sparsity", "params": {"schedule": "multistep", "multistep_steps": [1], "multistep_sparsity_levels": [0.3, 0.5]}}`

// Training ends at the first epoch whose model is fully compressed and accurate
// enough, or without any if the initialised one is.
func TestTrain_EarlyExit(t *testing.T) {
	enough := `{"mode": "early_exit", "params": {"maximal_absolute_accuracy_degradation": 100, "maximal_total_epochs": 7}}`
	c := parse(t, t.TempDir(), accurate(enough, halfSparse, int8Section))
	r := mustTrain(t, c, job.Options{})
	if len(r.Epochs) != 2 || r.Stage != compress.FullyCompressed || !r.Accuracy.Enough {
		t.Errorf("got %d epochs, stage %v and %+v, want the second epoch, which is the first at the full level", len(r.Epochs), r.Stage, r.Accuracy)
	}
	c = parse(t, t.TempDir(), accurate(enough, int8Section))
	if r := mustTrain(t, c, job.Options{}); len(r.Epochs) != 0 || !r.Accuracy.Enough {
		t.Errorf("INT8: got %d epochs and %+v, want none", len(r.Epochs), r.Accuracy)
	}
	never := `{"mode": "early_exit", "params": {"maximal_absolute_accuracy_degradation": 0, "maximal_total_epochs": 1}}`
	c = parse(t, t.TempDir(), accurate(never, halfSparse))
	if r := mustTrain(t, c, job.Options{}); len(r.Epochs) != 1 || r.Accuracy.Enough {
		t.Errorf("got %d epochs and %+v, want one that is not enough", len(r.Epochs), r.Accuracy)
	}
}

// The level rises while the accuracy holds and falls when it does not; the best
// model is always on disk; a search that is interrupted ends the same.
func TestTrain_AdaptiveLevel(t *testing.T) {
	const rises = `{"mode": "adaptive_compression_level", "params": {"maximal_absolute_accuracy_degradation": 100, "initial_training_phase_epochs": 1,
		"initial_compression_rate_step": 0.3, "minimal_compression_rate_step": 0.1, "patience_epochs": 1, "maximal_total_epochs": 6}}`
	c := parse(t, t.TempDir(), accurate(rises, halfSparse, int8Section))
	r := mustTrain(t, c, job.Options{})
	// 0.3 in the first phase, then 0.6 and 0.9; 1.2 is too much.
	var levels []float64
	for _, e := range r.Epochs {
		levels = append(levels, e.Compression[0].Level)
	}
	if d := cmp.Diff([]float64{0.3, 0.6, 0.9}, levels, cmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })); d != "" {
		t.Errorf("levels: -want +got:\n%s", d)
	}
	if got := zeros(t, r.Output); got < 0.89 || r.Accuracy.Level < 0.89 || !r.Accuracy.Enough {
		t.Errorf("got %.3f zeros in the file and %+v", got, r.Accuracy)
	}

	const falls = `{"mode": "adaptive_compression_level", "params": {"maximal_absolute_accuracy_degradation": 0, "initial_training_phase_epochs": 1,
		"initial_compression_rate_step": 0.2, "minimal_compression_rate_step": 0.1, "patience_epochs": 1, "maximal_total_epochs": 5}}`
	text := accurate(falls, halfSparse, int8Section)
	whole := parse(t, t.TempDir(), text)
	want := outcomeOf(t, whole, mustTrain(t, whole, job.Options{}))
	again := parse(t, t.TempDir(), text)
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := job.Train(ctx, again, job.Options{Resume: i > 0, Progress: stopper(cancel, "train", 8)})
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, job.ErrInterrupted) {
			t.Fatal(err)
		}
		if _, err := train.LoadCheckpoint(filepath.Join(again.Dir, "runs", "best.ckpt")); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(want, outcomeOf(t, again, mustTrain(t, again, job.Options{Resume: true}))); d != "" {
		t.Errorf("-uninterrupted +resumed:\n%s", d)
	}

	c = parse(t, t.TempDir(), accurate(rises, int8Section))
	_, err := job.Train(t.Context(), c, job.Options{})
	wantError(t, err, "adaptive_compression_level", "early_exit")

	c = parse(t, t.TempDir(), accurate(rises))
	_, err = job.Train(t.Context(), c, job.Options{})
	wantError(t, err, "compresses nothing")
}

// The search lowers a level of filter pruning, whose filters come back, and
// resumes; with filters cut out during training it is refused at the start.
func TestTrain_AdaptiveLevelOfPruning(t *testing.T) {
	const falls = `{"mode": "adaptive_compression_level", "params": {"maximal_absolute_accuracy_degradation": 0, "initial_training_phase_epochs": 1,
		"initial_compression_rate_step": 0.2, "minimal_compression_rate_step": 0.1, "patience_epochs": 1, "maximal_total_epochs": 2}}`
	float := parse(t, t.TempDir(), strings.Replace(with(), `"epochs": 2`, `"epochs": 8`, 1))
	model := mustTrain(t, float, job.Options{}).Output
	text := strings.NewReplacer(`"resnet8_cifar"`, strconv.Quote(model), `"model_params": {"width": 4, "size": 8, "channels": 1},`, "", `"base_lr": 0.05`, `"base_lr": 0.001`).
		Replace(accurate(falls, pruneHalf("export")))
	whole := parse(t, t.TempDir(), text)
	r := mustTrain(t, whole, job.Options{})
	var levels, reached []float64
	for _, e := range r.Epochs {
		levels, reached = append(levels, e.Compression[0].Level), append(reached, e.Compression[0].Reached)
	}
	if d := cmp.Diff([]float64{0.5, 0.3}, levels, cmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })); d != "" {
		t.Errorf("levels: -want +got:\n%s", d)
	}
	if len(reached) < 2 || !(reached[1] < reached[0]) || reached[1] == 0 {
		t.Errorf("got levels %v, reached %v, want the second lower", levels, reached)
	}
	want := outcomeOf(t, whole, r)
	again := parse(t, t.TempDir(), text)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := job.Train(ctx, again, job.Options{Progress: func(p train.Progress) { // in the middle of the second epoch
		if p.Phase == "train" && p.Epoch == 1 && p.Step == 3 {
			cancel()
		}
	}})
	if !errors.Is(err, job.ErrInterrupted) {
		t.Fatalf("got error %v", err)
	}
	if d := cmp.Diff(want, outcomeOf(t, again, mustTrain(t, again, job.Options{Resume: true}))); d != "" {
		t.Errorf("-uninterrupted +resumed:\n%s", d)
	}
	c := parse(t, t.TempDir(), accurate(falls, pruneHalf("training")))
	_, err = job.Train(t.Context(), c, job.Options{})
	wantError(t, err, "adaptive_compression_level", `"removal" to "export"`, "early_exit")
}
