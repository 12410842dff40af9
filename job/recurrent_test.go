package job_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/job"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// sequences trains the recurrent network that package train has from PyTorch,
// with weights of 8 bits, on sequences whose class is where they peak.
const sequences = `{
	"model": "MODEL", "dataset": "npz:SEQUENCES",
	"preprocessing": {"raw": true}, "batch_size": 16, "eval_batch_size": 50,
	"epochs": 5, "seed": 5,
	"optimizer": {"type": "Adam", "base_lr": 0.02},
	"compression": {"algorithm": "quantization", "initializer": {"range": {"num_init_samples": 64}}}
}`

// withSequences writes the data and returns the configuration.
func withSequences(t *testing.T, dir string) string {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	var arrays []data.Array
	for _, part := range []struct {
		name string
		n    int
	}{{"train", 320}, {"test", 100}} {
		x, y := tensor.New(tensor.Float32, part.n, 7, 5), tensor.New(tensor.Int64, part.n)
		for i := range part.n {
			y.I64()[i] = int64(rng.IntN(3))
			seq := x.F32()[i*35:][:35]
			for k := range seq {
				seq[k] = float32(rng.NormFloat64())
			}
			at := 2 * int(y.I64()[i])
			for k := range 5 {
				seq[at*5+k] += 2
			}
		}
		arrays = append(arrays, data.Array{Name: "x_" + part.name, Tensor: x}, data.Array{Name: "y_" + part.name, Tensor: y})
	}
	path := filepath.Join(dir, "sequences.npz")
	writeNPZ(t, path, arrays...)
	model := filepath.Join(testkit.RepoRoot(), "train", "testdata", "recurrent.onnx")
	return strings.NewReplacer("MODEL", filepath.ToSlash(model), "SEQUENCES", filepath.ToSlash(path)).Replace(sequences)
}

// TestTrain_Recurrent fine-tunes LSTM, GRU and RNN from a file with quantized
// weights: the loss falls, all that a run leaves is the same with 1 and 4 threads
// and after an interruption, and the exported file has cells with weights that are
// stored as integers.
func TestTrain_Recurrent(t *testing.T) {
	text := withSequences(t, t.TempDir())
	c := parse(t, t.TempDir(), text)
	c.Threads = 1
	r := mustTrain(t, c, job.Options{})
	want := outcomeOf(t, c, r)
	if first, last := r.Epochs[0].Train.Loss, r.Epochs[4].Train.Loss; last > 0.6*first || r.Metrics.Top1 < 75 {
		t.Errorf("loss from %.3f to %.3f, top-1 %.1f, want half of the loss and 75", first, last, r.Metrics.Top1)
	}

	c = parse(t, t.TempDir(), text)
	c.Threads, c.Workers = 4, 2
	if d := cmp.Diff(want, outcomeOf(t, c, mustTrain(t, c, job.Options{}))); d != "" {
		t.Errorf("4 threads: -want +got:\n%s", d)
	}

	c = parse(t, t.TempDir(), text)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := job.Train(ctx, c, job.Options{Progress: stopper(cancel, "train", 27)})
	cancel()
	if !errors.Is(err, job.ErrInterrupted) {
		t.Fatalf("got error %v, want ErrInterrupted", err)
	}
	if d := cmp.Diff(want, outcomeOf(t, c, mustTrain(t, c, job.Options{Resume: true}))); d != "" {
		t.Errorf("-uninterrupted +resumed:\n%s", d)
	}

	g, err := onnx.Load(filepath.Join(c.Dir, "runs", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	cells := 0
	for _, n := range g.Nodes() {
		if !op.IsRecurrent(n.Op) {
			continue
		}
		cells++
		for _, w := range n.In[1:3] {
			src := w
			for src.Def != nil {
				src = src.Def.In[0]
			}
			if src.Type.DType != tensor.Int8 || src.Kind != ir.Constant || w.Def.Op.Kind() != "Mul" {
				t.Errorf("%s: weight %q is %v, want int8, cast and multiplied", n.Label(), src.Name, src.Type)
			}
		}
	}
	if cells != 3 {
		t.Errorf("the file has %d recurrent cells, want 3", cells)
	}
}
