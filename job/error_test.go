package job_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/job"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
	"github.com/go-nncf/nncf/zoo"
)

// writeModel writes a small network; batch 0 leaves the axis free.
func writeModel(t testing.TB, path string, batch int, o zoo.Options) {
	t.Helper()
	o.Width, o.Size, o.Channels = 4, 8, 1
	m, err := nncf.Build("resnet8_cifar", o)
	if err != nil {
		t.Fatal(err)
	}
	if batch > 0 {
		if m.Graph, err = m.Graph.Specialize(map[string][]int{m.Graph.Inputs[0].Name: {batch, 1, 8, 8}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Export(path, nncf.ExportOptions{}); err != nil {
		t.Fatal(err)
	}
}

// fileModel names a model file in a configuration without compression.
func fileModel(t testing.TB, name string) string {
	return edit(t, float(t), `"resnet8_cifar"`, `"`+name+`"`, `"model_params": {"width": 4, "size": 8, "channels": 1},`, "")
}

// TestTrain_Mistakes wants every error to name the place, the reason and a way
// out, before any file is written.
func TestTrain_Mistakes(t *testing.T) {
	dir := t.TempDir()
	writeMixing(t, filepath.Join(dir, "fixed.onnx"), 1)
	writeModel(t, filepath.Join(dir, "three.onnx"), 0, zoo.Options{Classes: 3})
	if err := os.WriteFile(filepath.Join(dir, "text.onnx"), []byte("not a model"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text string
		want       []string
		made       bool // the folder of the run, since the model is loaded after
	}{
		{"no data set", edit(t, small, `"dataset": "idx:DATA",`, ""), []string{"no training data", `set "dataset" to kind:path`}, false},
		{"data not there", edit(t, small, "idx:DATA", "idx:nowhere"), []string{"test.json:4", "dataset", filepath.Join(dir, "nowhere"), "no such file"}, false},
		{"no model", edit(t, float(t), `"model": "resnet8_cifar",`, ""), []string{`set "model" to the path of an .onnx file or to one of resnet8_cifar`}, true},
		{"model not there", fileModel(t, "nowhere.onnx"), []string{"test.json:2", "model", filepath.Join(dir, "nowhere.onnx"), "no such file"}, false},
		{"not a model", fileModel(t, "text.onnx"), []string{filepath.Join(dir, "text.onnx")}, true},
		{"unknown network", edit(t, small, "resnet8_cifar", "resnet9"), []string{`"resnet9"`, "resnet8_cifar"}, false},
		{"fixed batch", fileModel(t, "fixed.onnx"), []string{"fixed batch of 1", "batches of 16", `set "batch_size" to 1`, "free batch axis"}, true},
		{"too many classes", fileModel(t, "three.onnx"), []string{"data set has 10 classes", "of the model has 3", "a model with 10 outputs"}, true},
		{"everything held back", edit(t, small, `"seed": 5`, `"seed": 5, "validation_split": 0.999`), []string{`"validation_split" of 0.999 leaves 0 samples for training and 200 for evaluation`}, false},
		{"several", edit(t, small, "idx:DATA", "idx:nowhere", "resnet8_cifar", "resnet9"), []string{"test.json:2", "test.json:4", "nowhere", `"resnet9"`}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := parse(t, dir, c.text)
			cfg.LogDir = filepath.Join("runs", strings.ReplaceAll(c.name, " ", "-"))
			_, err := job.Train(t.Context(), cfg, job.Options{})
			wantError(t, err, c.want...)
			list, err := os.ReadDir(cfg.Path(cfg.LogDir))
			if (err == nil) != c.made || len(list) > 0 {
				t.Errorf("the folder of the run was made: %t (want %t), with %v", err == nil, c.made, list)
			}
		})
	}
	// Options made in Go do not pass through the configuration's checks.
	cfg := parse(t, dir, small)
	cfg.Output.Format = "tflite"
	cfg.GradientClip = -1
	_, err := job.Train(t.Context(), cfg, job.Options{})
	wantError(t, err, `export format: got "tflite", want qdq or fakequantize`, "gradient clipping: got norm -1")
}

func TestTrain_LogDir(t *testing.T) {
	dir := t.TempDir()
	cfg := parse(t, dir, small)
	cfg.Epochs, cfg.LogDir = 0, "a/b c/d"
	r := mustTrain(t, cfg, job.Options{})
	for _, name := range []string{"best.ckpt", "last.ckpt", "model.onnx"} {
		if _, err := os.Stat(filepath.Join(dir, "a", "b c", "d", name)); err != nil {
			t.Error(err)
		}
	}
	if r.Compressed == nil || r.Compressed.Top1 != r.Initialized.Top1 || len(r.Epochs) != 0 {
		t.Errorf("without epochs: got %+v, want the initialised model", r)
	}
	cfg.LogDir, cfg.Output.Path = "e", "out/put.onnx"
	if r := mustTrain(t, cfg, job.Options{}); r.Output != filepath.Join(dir, "out", "put.onnx") || r.Checkpoint != filepath.Join(dir, "e", "best.ckpt") {
		t.Errorf("got output %s and checkpoint %s", r.Output, r.Checkpoint)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cfg.LogDir = "file"
	_, err := job.Train(t.Context(), cfg, job.Options{})
	wantError(t, err, "log_dir", filepath.Join(dir, "file"))
}

// TestTrain_Diverged leaves the best model so far.
func TestTrain_Diverged(t *testing.T) {
	cfg := parse(t, t.TempDir(), edit(t, small, "0.05", "1e20", `"warmup_epochs": 0.5`, `"warmup_epochs": 0`))
	_, err := job.Train(t.Context(), cfg, job.Options{})
	if !errors.Is(err, train.ErrDiverged) {
		t.Errorf("got error %v, want ErrDiverged", err)
	}
	best := filepath.Join(cfg.Dir, "runs", "best.ckpt")
	wantError(t, err, "epoch 1, step", "lower the learning rate", best)
	if _, err := job.Export(t.Context(), best, "", job.ExportOptions{}, nil, 0); err != nil {
		t.Error(err)
	}
}

// TestTrain_Cancelled interrupts before there is anything to resume.
func TestTrain_Cancelled(t *testing.T) {
	cfg := parse(t, t.TempDir(), small)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := job.Train(ctx, cfg, job.Options{Progress: stopper(cancel, "eval", 2)})
	if !errors.Is(err, job.ErrInterrupted) || !errors.Is(err, job.ErrNotBegun) {
		t.Errorf("got error %v, want ErrInterrupted and ErrNotBegun", err)
	}
	wantError(t, err, "before training began; the same command begins again")
	if _, err := os.Stat(filepath.Join(cfg.Dir, "runs", "last.ckpt")); err == nil {
		t.Error("there is a checkpoint all the same")
	}
}

// TestEvaluate_Detector evaluates models that are no classifiers and take one
// image at a time.
func TestEvaluate_Detector(t *testing.T) {
	ds, err := data.FromTensors(tensor.New(tensor.Uint8, 2, 240, 320, 3), tensor.New(tensor.Int64, 2), data.NHWC, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rfb320_bn.onnx", "rfb320_folded.onnx"} {
		_, err := job.Evaluate(t.Context(), testkit.Shared(t, "models", "ultraface", name), &data.Loader{Dataset: ds}, 0, job.Options{})
		wantError(t, err, "accuracy needs scores")
	}
}

func TestQuantize_Mistakes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	writeModel(t, path, 0, zoo.Options{})
	c := parse(t, dir, small)
	algorithms, err := c.Algorithms()
	if err != nil {
		t.Fatal(err)
	}
	ds, err := data.Open(c.Dataset.Train, data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := job.QuantizeOptions{Model: path, Output: path, Algorithms: algorithms, Samples: 20,
		Data: &data.Loader{Dataset: ds, Transforms: c.EvalTransforms, Normalize: c.Preprocessing, Batch: 40}}
	_, err = job.Quantize(t.Context(), o)
	wantError(t, err, "would replace the model")
	o.Output, o.Export.Format = filepath.Join(dir, "int8.onnx"), "tflite"
	_, err = job.Quantize(t.Context(), o)
	wantError(t, err, `got "tflite"`)
	o.Export.Format = ""
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = job.Quantize(ctx, o); !errors.Is(err, job.ErrInterrupted) {
		t.Errorf("cancelled: got error %v, want ErrInterrupted", err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("got %v (%v) in the folder, want the model alone", list, err)
	}
}

func TestEvaluate_Mistakes(t *testing.T) {
	dir := t.TempDir()
	writeModel(t, filepath.Join(dir, "m.onnx"), 0, zoo.Options{})
	two := ir.New("two")
	a := two.AddInput("a", ir.MakeType(tensor.Float32, 1, 2))
	two.AddInput("b", ir.MakeType(tensor.Float32, 1, 2))
	two.Outputs = []*ir.Value{a}
	if err := (&nncf.Model{Graph: two}).Export(filepath.Join(dir, "two.onnx"), nncf.ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	set := func(labels *tensor.Tensor, shape ...int) *data.Loader {
		ds, err := data.FromTensors(tensor.New(tensor.Uint8, shape...), labels, data.NHWC, nil)
		if err != nil {
			t.Fatal(err)
		}
		return &data.Loader{Dataset: ds}
	}
	for _, c := range []struct {
		name, model string
		l           *data.Loader
		want        []string
	}{
		{"no file", "nowhere.onnx", set(nil, 2, 8, 8, 1), []string{"nowhere.onnx", "no such file"}},
		{"no labels", "m.onnx", set(nil, 2, 8, 8, 1), []string{"sample 0 has no label", "a data set with labels"}},
		{"label outside", "m.onnx", set(tensor.From([]int64{0, 10}, 2), 2, 8, 8, 1), []string{"data set has 11 classes", "of the model has 10"}},
		{"channels", "m.onnx", set(tensor.From([]int64{0, 1}, 2), 2, 8, 8, 3), []string{`input "input"`, "got shape [2 3 8 8]", "want float32[N 1 8 8]"}},
		{"two inputs", "two.onnx", set(nil, 2, 2), []string{"2 inputs"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := job.Evaluate(t.Context(), filepath.Join(dir, c.model), c.l, 0, job.Options{})
			wantError(t, err, c.want...)
		})
	}
}

func TestExport_Mistakes(t *testing.T) {
	c := parse(t, t.TempDir(), small)
	c.Epochs = 0
	mustTrain(t, c, job.Options{})
	best := filepath.Join(c.Dir, "runs", "best.ckpt")
	_, err := job.Export(t.Context(), best, best, job.ExportOptions{}, nil, 0)
	wantError(t, err, "would replace the checkpoint")
	_, err = job.Export(t.Context(), filepath.Join(c.Dir, "runs", "model.onnx"), "", job.ExportOptions{}, nil, 0)
	wantError(t, err, "model.onnx", "not a checkpoint")
	_, err = job.Export(t.Context(), filepath.Join(c.Dir, "none.ckpt"), "", job.ExportOptions{}, nil, 0)
	wantError(t, err, "none.ckpt")
	_, err = job.Export(t.Context(), best, "", job.ExportOptions{Format: "coreml"}, nil, 0)
	wantError(t, err, `got "coreml", want qdq or fakequantize`)
	for _, f := range []string{"qdq", "fakequantize"} {
		r, err := job.Export(t.Context(), best, filepath.Join(c.Dir, f+".onnx"), job.ExportOptions{Format: f}, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if r.Format != f || r.Bits != "8" || r.Bytes == 0 || r.FloatBytes == 0 {
			t.Errorf("%s: got %+v", f, r)
		}
	}
	// A checkpoint of something else.
	other := filepath.Join(c.Dir, "other.ckpt")
	if err := (&train.Checkpoint{Meta: []byte(`{}`)}).Save(other); err != nil {
		t.Fatal(err)
	}
	_, err = job.Export(t.Context(), other, "", job.ExportOptions{}, nil, 0)
	wantError(t, err, "other.ckpt", "holds no model")
}
