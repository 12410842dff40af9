package job_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/job"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/zoo"
)

// writeMixing writes a network whose samples see each other, so that its batch
// cannot be freed.
func writeMixing(t testing.TB, path string, batch int) {
	t.Helper()
	m, err := nncf.Build("resnet8_cifar", zoo.Options{Width: 4, Size: 8, Channels: 1})
	if err != nil {
		t.Fatal(err)
	}
	b := ir.NewBuilder(m.Graph, "")
	y := m.Graph.Outputs[0]
	m.Graph.Outputs[0] = b.Op(op.Softmax{Axis: 0}, "mixed", y)
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	if m.Graph, err = m.Graph.Specialize(map[string][]int{m.Graph.Inputs[0].Name: {batch, 1, 8, 8}}); err != nil {
		t.Fatal(err)
	}
	if err := m.Export(path, nncf.ExportOptions{}); err != nil {
		t.Fatal(err)
	}
}

// loaderOf loads a part of the data of c in batches of 40.
func loaderOf(t testing.TB, c *config.Config, split data.Split) *data.Loader {
	t.Helper()
	ds, err := data.Open(c.Dataset.Train, data.Options{Split: split})
	if err != nil {
		t.Fatal(err)
	}
	return &data.Loader{Dataset: ds, Transforms: c.EvalTransforms, Normalize: c.Preprocessing, Batch: 40}
}

// batchOf returns the batch of an ONNX file, as its input's first axis says it.
func batchOf(t testing.TB, path string) string {
	t.Helper()
	g, err := onnx.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return g.Inputs[0].Type.Dims[0].String()
}

// A model that a file fixes the batch of is evaluated on all samples, as the same
// model without.
func TestEvaluate_FixedBatch(t *testing.T) {
	dir := t.TempDir()
	c := parse(t, dir, small)
	free := filepath.Join(dir, "free.onnx")
	writeModel(t, free, 0, zoo.Options{})
	want, err := job.Evaluate(t.Context(), free, loaderOf(t, c, data.Test), 0, job.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, batch := range []int{1, 40, 50, 500} {
		path := filepath.Join(dir, "fixed.onnx")
		writeModel(t, path, batch, zoo.Options{})
		var n notes
		got, err := job.Evaluate(t.Context(), path, loaderOf(t, c, data.Test), 0, job.Options{Note: n.note})
		if err != nil {
			t.Fatal(err)
		}
		if batch == 40 && n.lines != nil || batch != 40 && len(n.lines) != 1 {
			t.Errorf("batch %d: got notes %q", batch, n.lines)
		}
		if got.Samples != 120 || math.Abs(got.Metrics.Loss-want.Metrics.Loss) > 1e-6 || got.Metrics.Top1 != want.Metrics.Top1 {
			t.Errorf("batch %d: got %+v, want %+v", batch, got.Metrics, want.Metrics)
		}
		if d := cmp.Diff(want.Metrics.Confusion, got.Metrics.Confusion); d != "" {
			t.Errorf("batch %d: -want +got:\n%s", batch, d)
		}
	}
}

// Where the batch cannot be freed, data come in such batches.
func TestEvaluate_KeptBatch(t *testing.T) {
	dir := t.TempDir()
	c := parse(t, dir, small)
	path := filepath.Join(dir, "mixing.onnx")
	for _, batch := range []int{1, 50} {
		writeMixing(t, path, batch)
		var n notes
		got, err := job.Evaluate(t.Context(), path, loaderOf(t, c, data.Test), 0, job.Options{Note: n.note})
		if err != nil {
			t.Fatal(err)
		}
		n.want(t, `output "mixed": it depends on the other samples of the batch`)
		if samples := 120 / batch * batch; got.Samples != samples {
			t.Errorf("batch %d: got %d samples, want %d", batch, got.Samples, samples)
		}
		if batch == 50 {
			n.want(t, "leaving out the last 20 of 120 samples")
		}
	}
	writeMixing(t, path, 500)
	_, err := job.Evaluate(t.Context(), path, loaderOf(t, c, data.Test), 0, job.Options{})
	wantError(t, err, "fixed batch of 500", "only 120 samples")
}

func TestQuantize_FixedBatch(t *testing.T) {
	dir := t.TempDir()
	c := parse(t, dir, small)
	algorithms, err := c.Algorithms()
	if err != nil {
		t.Fatal(err)
	}
	fixed, free := filepath.Join(dir, "fixed.onnx"), filepath.Join(dir, "free.onnx")
	writeModel(t, fixed, 1, zoo.Options{})
	writeModel(t, free, 0, zoo.Options{})
	run := func(model, name string) *job.Result {
		r, err := job.Quantize(t.Context(), job.QuantizeOptions{Model: model, Output: filepath.Join(dir, name, "int8.onnx"),
			Algorithms: algorithms, Samples: 20, Data: loaderOf(t, c, data.Train), Eval: loaderOf(t, c, data.Test)})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	got, want := run(fixed, "a"), run(free, "b")
	if got.Samples != 120 || got.Export.Compared != want.Export.Compared || got.Metrics.Loss != want.Metrics.Loss {
		t.Errorf("got %+v, export %+v, want %+v, %+v", got.Metrics, got.Export, want.Metrics, want.Export)
	}
	if b := batchOf(t, got.Output); b != "1" {
		t.Errorf("exported: got a batch of %s, want 1", b)
	}
	again := filepath.Join(dir, "again.onnx")
	if _, err := job.Export(t.Context(), got.Checkpoint, again, job.ExportOptions{}, nil, 0); err != nil {
		t.Fatal(err)
	}
	if fileHash(t, again) != fileHash(t, got.Output) {
		t.Errorf("the checkpoint %s exports another file", got.Checkpoint)
	}
}

// A model with a fixed batch trains in batches as one without, and has it again in
// the file, also after a resume.
func TestTrain_FixedBatch(t *testing.T) {
	dir := t.TempDir()
	writeModel(t, filepath.Join(dir, "fixed.onnx"), 1, zoo.Options{})
	writeModel(t, filepath.Join(dir, "free.onnx"), 0, zoo.Options{})
	text := edit(t, small, `"resnet8_cifar"`, `"NAME.onnx"`, `"model_params": {"width": 4, "size": 8, "channels": 1},`, "", `"epochs": 2`, `"epochs": 1, "train_samples": 48`)
	run := func(name, log string, o job.Options) *job.Result {
		c := parse(t, dir, strings.ReplaceAll(text, "NAME", name))
		c.LogDir = log
		return mustTrain(t, c, o)
	}
	got, want := run("fixed", "a", job.Options{}), run("free", "b", job.Options{})
	if got.Epochs[0].Train.Loss != want.Epochs[0].Train.Loss || got.Metrics.Loss != want.Metrics.Loss {
		t.Errorf("got losses %g and %g, want those of the model with a free batch, %g and %g",
			got.Epochs[0].Train.Loss, got.Metrics.Loss, want.Epochs[0].Train.Loss, want.Metrics.Loss)
	}
	if a, b := batchOf(t, got.Output), batchOf(t, want.Output); a != "1" || b == "1" {
		t.Errorf("exported: got batches of %s and %s, want 1 and a symbol", a, b)
	}
	if got.Export.Compared != want.Export.Compared || got.Export.Disagreements > 0 {
		t.Errorf("got export %+v, want %+v", got.Export, want.Export)
	}
	before := fileHash(t, got.Output)
	if r := run("fixed", "a", job.Options{Resume: true}); fileHash(t, r.Output) != before {
		t.Error("resumed, the run exports another file")
	}

	// With the file's own batch nothing changes.
	c := parse(t, dir, edit(t, fileModel(t, "fixed.onnx"), `"batch_size": 16`, `"batch_size": 1`, `"eval_batch_size": 40`, `"eval_batch_size": 1`, `"epochs": 2`, `"epochs": 1, "train_samples": 20`))
	var n notes
	if r := mustTrain(t, c, job.Options{Note: n.note}); len(r.Epochs) != 1 || r.Epochs[0].Train.Samples != 20 || strings.Contains(strings.Join(n.lines, "\n"), "fixed batch") {
		t.Errorf("trained with batch 1: got %+v, notes %q", r.Epochs, n.lines)
	}
}
