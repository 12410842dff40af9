package job_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/job"
	"github.com/go-nncf/nncf/train"
)

// TestTrain_Threads compares all that a run leaves with 1, 2 and 4 threads.
func TestTrain_Threads(t *testing.T) {
	var want outcome
	for _, threads := range []int{1, 2, 4} {
		c := parse(t, t.TempDir(), small)
		c.Threads, c.Workers = threads, threads
		got := outcomeOf(t, c, mustTrain(t, c, job.Options{}))
		if threads == 1 {
			want = got
			continue
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%d threads: -want +got:\n%s", threads, d)
		}
	}
}

// stopper cancels a context after a number of reports of a phase.
func stopper(cancel func(), phase string, after int) func(train.Progress) {
	return func(p train.Progress) {
		if p.Phase == phase {
			if after--; after == 0 {
				cancel()
			}
		}
	}
}

// TestTrain_Interrupted stops a run in many places, once or several times, and
// compares what the resumed run leaves with that of an uninterrupted one.
func TestTrain_Interrupted(t *testing.T) {
	whole := parse(t, t.TempDir(), small)
	want := outcomeOf(t, whole, mustTrain(t, whole, job.Options{}))
	// 12 steps per epoch; 3 batches per evaluation, the first two of which are
	// before training.
	for _, c := range []struct {
		name  string
		phase string
		after []int // counted from the start of each execution
		every int
	}{
		{"first step", "train", []int{1}, 0},
		{"middle of the first epoch", "train", []int{5}, 0},
		{"last step of the first epoch", "train", []int{12}, 0},
		{"second epoch", "train", []int{17}, 0},
		{"again and again", "train", []int{3, 4, 5, 6}, 0},
		{"in an evaluation", "eval", []int{8}, 0},
		{"after an evaluation", "eval", []int{9, 3}, 0},
		{"in the last evaluation", "eval", []int{11}, 0},
		{"while exporting", "eval", []int{14}, 0},
		{"with checkpoints between", "train", []int{7, 9}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := parse(t, t.TempDir(), small)
			cfg.Checkpoint.EverySteps = c.every
			for i, after := range c.after {
				ctx, cancel := context.WithCancel(t.Context())
				_, err := job.Train(ctx, cfg, job.Options{Resume: i > 0, Progress: stopper(cancel, c.phase, after)})
				cancel()
				if !errors.Is(err, job.ErrInterrupted) {
					t.Fatalf("execution %d: got error %v, want ErrInterrupted", i, err)
				}
				t.Log(err)
			}
			r := mustTrain(t, cfg, job.Options{Resume: true})
			if d := cmp.Diff(want, outcomeOf(t, cfg, r)); d != "" {
				t.Errorf("-uninterrupted +resumed:\n%s", d)
			}
		})
	}
}
