package job_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/job"
	"github.com/go-nncf/nncf/train"
	"github.com/go-nncf/nncf/zoo"
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

// mustStop interrupts a run after the given number of training steps.
func mustStop(t testing.TB, c *config.Config, steps int, o job.Options) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Progress = stopper(cancel, "train", steps)
	if _, err := job.Train(ctx, c, o); !errors.Is(err, job.ErrInterrupted) {
		t.Fatalf("got error %v, want ErrInterrupted", err)
	}
}

// notes collects what a run says.
type notes struct{ lines []string }

func (n *notes) note(format string, args ...any) {
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *notes) want(t testing.TB, text string) {
	t.Helper()
	if !strings.Contains(strings.Join(n.lines, "\n"), text) {
		t.Errorf("got notes %q, want one with %q", n.lines, text)
	}
}

// TestTrain_Plateau resumes with the schedule's memory of the metric: nothing is
// ever better by 99 points, so the rate falls every second epoch.
func TestTrain_Plateau(t *testing.T) {
	text := edit(t, small, `"schedule_type": "cosine", "warmup_epochs": 0.5`,
		`"schedule_type": "plateau", "gamma": 0.5, "scheduler_params": {"patience": 1, "threshold": 99}`, `"epochs": 2`, `"epochs": 6`)
	whole := parse(t, t.TempDir(), text)
	r := mustTrain(t, whole, job.Options{})
	want := outcomeOf(t, whole, r)
	var rates []float64
	for _, e := range r.Epochs {
		rates = append(rates, e.LR)
	}
	// The first metric is better than none; then two bad ones before each fall.
	if d := cmp.Diff([]float64{0.05, 0.05, 0.05, 0.025, 0.025, 0.0125}, rates); d != "" {
		t.Errorf("rates: -want +got:\n%s", d)
	}
	c := parse(t, t.TempDir(), text)
	mustStop(t, c, 30, job.Options{})
	mustStop(t, c, 12, job.Options{Resume: true})
	if d := cmp.Diff(want, outcomeOf(t, c, mustTrain(t, c, job.Options{Resume: true}))); d != "" {
		t.Errorf("-uninterrupted +resumed:\n%s", d)
	}
}

// TestTrain_Finished resumes a run that is done: it must only export again.
func TestTrain_Finished(t *testing.T) {
	c := parse(t, t.TempDir(), small)
	want := outcomeOf(t, c, mustTrain(t, c, job.Options{}))
	if err := os.Remove(filepath.Join(c.Dir, "runs", "model.onnx")); err != nil {
		t.Fatal(err)
	}
	var n notes
	r := mustTrain(t, c, job.Options{Resume: true, Note: n.note, Progress: func(p train.Progress) {
		if p.Phase == "train" {
			t.Fatal("it trains again")
		}
	}})
	n.want(t, "all 2 epochs are done")
	if d := cmp.Diff(want, outcomeOf(t, c, r)); d != "" {
		t.Errorf("-first +second:\n%s", d)
	}
}

// TestTrain_EpochsRaised goes on after the last epoch when there are more now.
func TestTrain_EpochsRaised(t *testing.T) {
	text := edit(t, small, `"cosine"`, `"exp", "gamma": 0.5`)
	whole := parse(t, t.TempDir(), text)
	want := outcomeOf(t, whole, mustTrain(t, whole, job.Options{}))
	c := parse(t, t.TempDir(), text)
	c.Epochs, c.Threads = 1, 1
	mustTrain(t, c, job.Options{})
	c.Epochs, c.Threads = 2, 2
	if d := cmp.Diff(want, outcomeOf(t, c, mustTrain(t, c, job.Options{Resume: true}))); d != "" {
		t.Errorf("-at once +raised:\n%s", d)
	}
}

// TestTrain_OtherRun refuses checkpoints of other runs and says what differs.
func TestTrain_OtherRun(t *testing.T) {
	dir := t.TempDir()
	mustStop(t, parse(t, dir, small), 1, job.Options{})
	for _, c := range []struct {
		name string
		text string
		want []string
	}{
		{"model", edit(t, small, `"resnet8_cifar"`, `"resnet20"`), []string{`"model" was "resnet8_cifar", now it is "resnet20"`, "log_dir", "last.ckpt"}},
		{"width", edit(t, small, `"width": 4`, `"width": 8`), []string{`"model_params" was`}},
		{"compression", edit(t, small, `"per_channel": true`, `"per_channel": false`), []string{`"compression" was`}},
		{"no compression", float(t), []string{`"compression" was`, "now it is not set"}},
		{"two", edit(t, small, `"seed": 5`, `"seed": 6`, `"batch_size": 16`, `"batch_size": 8`), []string{`"seed" was 5, now it is 6`, `"batch_size" was 16, now it is 8`}},
		{"optimizer", edit(t, small, `"type": "SGD"`, `"type": "adam"`, `"optimizer_params": {"momentum": 0.9}, `, ""), []string{`"optimizer/exp_avg/`, "is missing"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := job.Train(t.Context(), parse(t, dir, c.text), job.Options{Resume: true})
			wantError(t, err, c.want...)
		})
	}
	// The checkpoint is as good as before, and a new rate is only noted.
	var n notes
	c := parse(t, dir, edit(t, small, "0.05", "0.04"))
	mustTrain(t, c, job.Options{Resume: true, Note: n.note})
	n.want(t, `"optimizer" has changed`)
	n.want(t, "resuming in epoch 1 after step 1")
}

// TestTrain_OtherModelFile tells models by content, not by path.
func TestTrain_OtherModelFile(t *testing.T) {
	dir := t.TempDir()
	build := func(name string, seed uint64) {
		m, err := nncf.Build("resnet8_cifar", zoo.Options{Width: 4, Size: 8, Channels: 1, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Export(filepath.Join(dir, name), nncf.ExportOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	build("a.onnx", 1)
	file := func(name string) string {
		return edit(t, small, `"resnet8_cifar"`, `"`+name+`"`, `"model_params": {"width": 4, "size": 8, "channels": 1},`, "")
	}
	mustStop(t, parse(t, dir, file("a.onnx")), 3, job.Options{})
	build("a.onnx", 2)
	_, err := job.Train(t.Context(), parse(t, dir, file("a.onnx")), job.Options{Resume: true})
	wantError(t, err, "a.onnx is not the one that the run began with")
	build("b.onnx", 1) // the same under another name
	mustStop(t, parse(t, dir, file("b.onnx")), 3, job.Options{Resume: true})
}

// TestTrain_Anew starts over in a folder with an older run.
func TestTrain_Anew(t *testing.T) {
	dir := t.TempDir()
	var n notes
	c := parse(t, dir, small)
	want := outcomeOf(t, c, mustTrain(t, c, job.Options{Resume: true, Note: n.note}))
	n.want(t, "starting anew")
	c = parse(t, dir, edit(t, small, `"seed": 5`, `"seed": 6`))
	mustStop(t, c, 1, job.Options{})
	c = parse(t, dir, small)
	if d := cmp.Diff(want, outcomeOf(t, c, mustTrain(t, c, job.Options{}))); d != "" {
		t.Errorf("-first +again:\n%s", d)
	}
}

// TestTrain_Damaged refuses a damaged checkpoint and does without the best.
func TestTrain_Damaged(t *testing.T) {
	c := parse(t, t.TempDir(), small)
	mustStop(t, c, 14, job.Options{})
	last, best := filepath.Join(c.Dir, "runs", "last.ckpt"), filepath.Join(c.Dir, "runs", "best.ckpt")
	b, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(last, b[:len(b)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = job.Train(t.Context(), c, job.Options{Resume: true})
	wantError(t, err, last, "damaged or cut short")
	if err := errors.Join(os.WriteFile(last, b, 0o644), os.Remove(best)); err != nil {
		t.Fatal(err)
	}
	var n notes
	mustTrain(t, c, job.Options{Resume: true, Note: n.note})
	n.want(t, "best.ckpt is gone")
}

// TestTrain_BestFromTheStart interrupts before anything is learnt: the model
// can be exported all the same.
func TestTrain_BestFromTheStart(t *testing.T) {
	for name, text := range map[string]string{"compressed": small, "float": float(t)} {
		t.Run(name, func(t *testing.T) {
			c := parse(t, t.TempDir(), text)
			mustStop(t, c, 1, job.Options{})
			out := filepath.Join(c.Dir, "new folder", "first.onnx")
			r, err := job.Export(t.Context(), filepath.Join(c.Dir, "runs", "best.ckpt"), out, job.ExportOptions{}, nil, 1)
			if err != nil {
				t.Fatal(err)
			}
			if bits := map[string]string{"compressed": "8", "float": "32"}[name]; r.Bits != bits || r.Bytes == 0 {
				t.Errorf("got %+v, want %s bits", r, bits)
			}
			if _, err := nncf.Load(out); err != nil {
				t.Error(err)
			}
		})
	}
}
