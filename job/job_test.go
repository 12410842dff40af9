package job_test

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/job"
)

// small is a residual network on 200 images of Fashion-MNIST, scaled down, with
// everything that could make runs differ: random weights, shuffling, random
// crops and flips, momentum, quantizers that train, batch normalization.
const small = `{
	"model": "resnet8_cifar",
	"model_params": {"width": 4, "size": 8, "channels": 1},
	"dataset": "idx:DATA",
	"preprocessing": {"mean": [0.3], "std": [0.27]},
	"train_transforms": [{"resize": {"height": 8, "width": 8}}, {"random_crop": {"height": 8, "width": 8, "padding": 1}}, {"horizontal_flip": {}}],
	"eval_transforms": [{"resize": {"height": 8, "width": 8}}],
	"batch_size": 16, "eval_batch_size": 40,
	"epochs": 2, "seed": 5,
	"optimizer": {"type": "SGD", "base_lr": 0.05, "optimizer_params": {"momentum": 0.9}, "schedule_type": "cosine", "warmup_epochs": 0.5},
	"compression": {"algorithm": "quantization", "weights": {"per_channel": true},
		"initializer": {"range": {"num_init_samples": 64}, "batchnorm_adaptation": {"num_bn_adaptation_samples": 64}}}
}`

// TestMain removes what tests share. As the process that is to be killed it
// runs no tests.
func TestMain(m *testing.M) {
	if dir := os.Getenv(killedRun); dir != "" {
		os.Exit(trainAndExit(dir))
	}
	shared, err := os.MkdirTemp("", "nncf-job-test-")
	if err != nil {
		panic(err)
	}
	images = sync.OnceValues(func() (string, error) { return shared, firstImages(shared, 200, 120) })
	code := m.Run()
	os.RemoveAll(shared)
	os.Exit(code)
}

// images returns the folder of the first images of the quickstart's data,
// uncompressed, which open at once.
var images func() (string, error)

func firstImages(dir string, train, test int) error {
	for _, f := range []struct {
		name            string
		n, header, each int
	}{{"train-images-idx3-ubyte", train, 16, 28 * 28}, {"train-labels-idx1-ubyte", train, 8, 1}, {"t10k-images-idx3-ubyte", test, 16, 28 * 28}, {"t10k-labels-idx1-ubyte", test, 8, 1}} {
		in, err := os.Open(filepath.Join(testkit.RepoRoot(), "examples", "quickstart", "data", f.name+".gz"))
		if err != nil {
			return err
		}
		defer in.Close()
		z, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		b := make([]byte, f.header+f.n*f.each)
		if _, err := io.ReadFull(z, b); err != nil {
			return err
		}
		binary.BigEndian.PutUint32(b[4:], uint32(f.n))
		if err := os.WriteFile(filepath.Join(dir, f.name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// parse reads a configuration whose files go to dir.
func parse(t testing.TB, dir, text string) *config.Config {
	t.Helper()
	data, err := images()
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("test.json", []byte(strings.ReplaceAll(text, "DATA", filepath.ToSlash(data))))
	if err != nil {
		t.Fatal(err)
	}
	c.Dir = dir
	return c
}

// edit replaces one piece of a configuration, which must be there.
func edit(t testing.TB, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the configuration has no %q", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// float is small without compression.
func float(t testing.TB) string {
	t.Helper()
	head, _, ok := strings.Cut(small, ",\n\t\"compression\"")
	if !ok {
		t.Fatal("the configuration has no compression")
	}
	return head + "}"
}

// outcome is all that a run leaves.
type outcome struct {
	Last, Best, Model string // hashes
	Result            string // without times
}

// outcomeOf reads the files of a finished run.
func outcomeOf(t testing.TB, c *config.Config, r *job.Result) outcome {
	t.Helper()
	dir := filepath.Join(c.Dir, "runs")
	return outcome{fileHash(t, filepath.Join(dir, "last.ckpt")), fileHash(t, filepath.Join(dir, "best.ckpt")),
		fileHash(t, filepath.Join(dir, "model.onnx")), resultText(t, r)}
}

func fileHash(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

// resultText is a result as JSON without times and paths.
func resultText(t testing.TB, r *job.Result) string {
	t.Helper()
	c := *r
	c.Seconds, c.Output, c.Checkpoint = 0, "", ""
	c.Epochs = nil
	for _, e := range r.Epochs {
		e.Seconds = 0
		c.Epochs = append(c.Epochs, e)
	}
	if r.Export != nil {
		e := *r.Export
		e.Path = ""
		if e.Removal != nil {
			x := *e.Removal
			x.Before.Milliseconds, x.After.Milliseconds = 0, 0
			e.Removal = &x
		}
		c.Export = &e
	}
	b, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// mustTrain runs a configuration to its end.
func mustTrain(t testing.TB, c *config.Config, o job.Options) *job.Result {
	t.Helper()
	if o.Note == nil {
		o.Note = t.Logf
	}
	r, err := job.Train(context.Background(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantError checks that err has all the texts.
func wantError(t testing.TB, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("got no error, want one with %q", texts)
		return
	}
	for _, s := range texts {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("got error %q, want one with %q", err, s)
		}
	}
}
