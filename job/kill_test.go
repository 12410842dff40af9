package job_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/job"
	"github.com/go-nncf/nncf/train"
)

// killedRun, set to a folder with a config.json, makes the test binary train as
// it says, resuming, and write result.json there.
const killedRun = "NNCF_TEST_KILLED_RUN"

func trainAndExit(dir string) int {
	c, err := config.Load(filepath.Join(dir, "config.json"))
	if err == nil {
		var r *job.Result
		if r, err = job.Train(context.Background(), c, job.Options{Resume: true}); err == nil {
			var b []byte
			if b, err = json.Marshal(r); err == nil {
				err = os.WriteFile(filepath.Join(dir, "result.json"), b, 0o644)
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestTrain_Killed kills runs at random moments, resumes them until they end,
// and compares what they leave with that of an undisturbed process.
func TestTrain_Killed(t *testing.T) {
	kills := 6
	if testing.Short() {
		kills = 2
	}
	killed(t, small, kills, 0, 1)
}

// The same in the middle of schedules: two sparsity algorithms, one of which
// draws random masks, on top of each other and of INT8.
func TestTrain_KilledInSchedules(t *testing.T) {
	killed(t, with(schedules["polynomial by step"], schedules["rb"], int8Section), 3, 1)
}

func killed(t *testing.T, text string, kills int, everies ...int) {
	t.Helper()
	start := func(dir string) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killedRun+"="+dir)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	prepare := func(every int) (string, *config.Config) {
		dir := t.TempDir()
		c := parse(t, dir, text)
		c.Checkpoint.EverySteps = every
		if err := c.Save(filepath.Join(dir, "config.json")); err != nil {
			t.Fatal(err)
		}
		return dir, c
	}
	outcomeIn := func(dir string, c *config.Config) outcome {
		b, err := os.ReadFile(filepath.Join(dir, "result.json"))
		if err != nil {
			t.Fatal(err)
		}
		var r job.Result
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		return outcomeOf(t, c, &r)
	}

	dir, c := prepare(0)
	began := time.Now()
	if err := start(dir).Wait(); err != nil {
		t.Fatal(err)
	}
	whole, want := time.Since(began), outcomeIn(dir, c)

	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0)) // another moment each time
	for _, every := range everies {
		dir, c := prepare(every)
		for range kills {
			cmd := start(dir)
			delay := time.Duration(rng.Float64() * float64(whole))
			time.Sleep(delay)
			cmd.Process.Kill()
			err := cmd.Wait()
			t.Logf("checkpoints every %d steps: killed after %v of %v: %v; %s", every, delay.Round(time.Millisecond), whole.Round(time.Millisecond), err, position(t, dir))
		}
		plantPartials(t, filepath.Join(dir, "runs"))
		if err := start(dir).Wait(); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, outcomeIn(dir, c)); d != "" {
			t.Errorf("checkpoints every %d steps: -undisturbed +killed:\n%s", every, d)
		}
		var names []string
		list, err := os.ReadDir(filepath.Join(dir, "runs"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			names = append(names, e.Name())
		}
		want := []string{"best.ckpt", "last.ckpt", "model.onnx"}
		if strings.Contains(text, "sparsity") {
			want = []string{"best.ckpt", "last.ckpt", "levels.svg", "model.onnx", "sparsity.svg"}
		}
		if strings.Contains(text, "pruning") {
			want = []string{"best.ckpt", "filters.svg", "last.ckpt", "levels.svg", "model.onnx"}
		}
		if !slices.Equal(names, want) {
			t.Errorf("the run's folder has %v, want %v", names, want)
		}
	}
}

// plantPartials leaves what a process that is killed while it writes leaves, of
// every file of a run.
func plantPartials(t *testing.T, runs string) {
	t.Helper()
	if err := os.MkdirAll(runs, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"best.ckpt", "last.ckpt", "model.onnx", "levels.svg", "sparsity.svg", "filters.svg", "precision.json", "precision.svg"} {
		if err := os.WriteFile(filepath.Join(runs, "."+name+".partial-1"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// position says where a killed run stands. Its files must be whole.
func position(t *testing.T, dir string) string {
	t.Helper()
	if _, err := train.LoadCheckpoint(filepath.Join(dir, "runs", "best.ckpt")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	ck, err := train.LoadCheckpoint(filepath.Join(dir, "runs", "last.ckpt"))
	if errors.Is(err, fs.ErrNotExist) {
		return "no checkpoint yet"
	}
	if err != nil {
		t.Error(err)
		return "damaged"
	}
	var meta struct {
		At train.Position `json:"at"`
	}
	if err := json.Unmarshal(ck.Meta, &meta); err != nil {
		t.Error(err)
	}
	return fmt.Sprintf("epoch %d, step %d", meta.At.Epoch, meta.At.Step)
}

// The same while filters go and are cut out of the model under training.
func TestTrain_KilledWhilePruning(t *testing.T) {
	killed(t, strings.Replace(with(schedules["cutting later"], int8Section), `"epochs": 2`, `"epochs": 3`, 1), 3, 2)
}
