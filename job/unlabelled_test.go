package job_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/compress/sensitivity"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/job"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// twoHeads is a network with a large map and a small row as outputs, as detectors
// have them, and images for it that have no labels.
func twoHeads(t *testing.T, dir string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(scale float64, shape ...int) *tensor.Tensor {
		x := tensor.New(tensor.Float32, shape...)
		for i := range x.F32() {
			x.F32()[i] = float32(scale * rng.NormFloat64())
		}
		return x
	}
	g := ir.New("heads")
	b := ir.NewBuilder(g, "")
	conv := func(name string, x *ir.Value, scale float64, in, out int) *ir.Value {
		o := op.Conv{Group: 1, Window: op.Window{Strides: []int{1, 1}, Dilations: []int{1, 1}, Pads: []int{1, 1, 1, 1}}}
		return b.Op(o, name, x, g.AddStored(ir.Constant, name+"/w", random(scale, out, in, 3, 3)))
	}
	x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{ir.Symbol("N"), ir.Len(1), ir.Len(8), ir.Len(8)}})
	y := b.Op(op.Relu{}, "relu1", conv("conv1", x, 0.3, 1, 8))
	y = b.Op(op.Relu{}, "relu2", conv("conv2", y, 0.2, 8, 8))
	row := b.Op(op.ReduceMean{}, "pool", y, b.ConstInts("axes", 2, 3))
	row = b.Op(op.Gemm{Alpha: 1, Beta: 1}, "row", row, g.AddStored(ir.Constant, "row/w", random(0.05, 8, 3)))
	g.Outputs = []*ir.Value{conv("map", y, 20, 8, 4), row}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	if err := onnx.Save(filepath.Join(dir, "heads.onnx"), g, onnx.Options{}); err != nil {
		t.Fatal(err)
	}
	images := data.Array{Name: "x", Tensor: random(1, 96, 1, 8, 8)}
	writeNPZ(t, filepath.Join(dir, "images.npz"), images)
	writeNPZ(t, filepath.Join(dir, "labelled.npz"), images, data.Array{Name: "y", Tensor: tensor.New(tensor.Int64, 96)})
}

func writeNPZ(t *testing.T, path string, arrays ...data.Array) {
	t.Helper()
	f, err := os.Create(path)
	if err == nil {
		err = errors.Join(data.WriteNPZ(f, arrays...), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

const withoutLabels = `{
	"model": "heads.onnx", "dataset": "npz:images.npz", "preprocessing": {"raw": true}, "validation_split": 0.25,
	"batch_size": 12, "epochs": 12, "seed": 3, "loss": {"type": "none"},
	"optimizer": {"type": "adam", "base_lr": 0.002, "schedule_type": "cosine"},
	"compression": [
		{"algorithm": "quantization", "weights": {"bits": 4}, "activations": {"bits": 4}, "initializer": {"range": {"num_init_samples": 64}}},
		{"algorithm": "knowledge_distillation", "type": "relative_mse"}
	]
}`

// TestTrain_WithoutLabels brings the outputs of a quantized model back to those of
// the float one, interrupted or not.
func TestTrain_WithoutLabels(t *testing.T) {
	whole := parse(t, t.TempDir(), withoutLabels)
	twoHeads(t, whole.Dir)
	r := mustTrain(t, whole, job.Options{})
	before, after := r.Initialized.Outputs, r.Compressed.Outputs
	if len(before) != 2 || len(after) != 2 {
		t.Fatalf("got errors %v before and %v after, want two each", before, after)
	}
	for i := range after {
		t.Logf("%s: %.3f, trained %.3f", after[i].Output, before[i].Median, after[i].Median)
		if !(after[i].Median < 0.95*before[i].Median) {
			t.Errorf("output %s is off by %.3g after training, by %.3g before", after[i].Output, after[i].Median, before[i].Median)
		}
	}
	text := resultText(t, r)
	if strings.Contains(text, "top1") || !strings.Contains(text, `"median_error"`) || r.Samples != 24 {
		t.Errorf("of data without labels the result has\n%s", text)
	}
	least := r.Epochs[0].Eval
	for _, e := range r.Epochs {
		if e.Eval.Score() > least.Score() {
			least = e.Eval
		}
	}
	if d := cmp.Diff(sensitivity.WorstOutput(least.Outputs), sensitivity.WorstOutput(after)); d != "" {
		t.Errorf("the model is not the best one: -best +exported:\n%s", d)
	}
	var table strings.Builder
	if err := r.WriteTable(&table); err != nil || !strings.Contains(table.String(), "output map") || strings.Contains(table.String(), "top-1") {
		t.Errorf("got error %v and table\n%s", err, table.String())
	}

	broken := parse(t, t.TempDir(), withoutLabels)
	twoHeads(t, broken.Dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := job.Train(ctx, broken, job.Options{Progress: stopper(cancel, "train", 20)}); !errors.Is(err, job.ErrInterrupted) {
		t.Fatalf("got %v, want an interruption", err)
	}
	resumed := mustTrain(t, broken, job.Options{Resume: true})
	if d := cmp.Diff(outcomeOf(t, whole, r), outcomeOf(t, broken, resumed)); d != "" {
		t.Errorf("interrupted and resumed: -want +got:\n%s", d)
	}
}

func TestTrain_WithoutLabelsMistakes(t *testing.T) {
	for _, c := range []struct {
		name string
		edit []string
		want []string
	}{
		{"no teacher", []string{"knowledge_distillation", "magnitude_sparsity", `, "type": "relative_mse"`, ""}, []string{`"loss" is none`, "knowledge_distillation"}},
		{"accuracy", []string{`"epochs": 12`, `"accuracy_aware_training": {"mode": "early_exit", "params": {"maximal_total_epochs": 3}}`}, []string{"accuracy needs labels"}},
		{"no classes", []string{`"loss": {"type": "none"},`, "", "npz:images.npz", "npz:labelled.npz"}, []string{`output "map"`, "no scores of classes", `"loss": {"type": "none"}`}},
		{"labels wanted", []string{`"loss": {"type": "none"},`, ""}, []string{"training data has no labels", `"loss": {"type": "none"}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := parse(t, t.TempDir(), edit(t, withoutLabels, c.edit...))
			twoHeads(t, cfg.Dir)
			_, err := job.Train(t.Context(), cfg, job.Options{})
			wantError(t, err, c.want...)
		})
	}
}

// A run does not change from labels to none, or back: its best model is known by
// one measure.
func TestTrain_LabelsTakenAway(t *testing.T) {
	labelled := edit(t, small, `"compression": {`, `"compression": [{"algorithm": "knowledge_distillation", "type": "mse"}, {`, `"num_bn_adaptation_samples": 64}}}`, `"num_bn_adaptation_samples": 64}}}]`)
	none := edit(t, labelled, `"seed": 5,`, `"seed": 5, "loss": {"type": "none"},`)
	for _, texts := range [][2]string{{labelled, none}, {none, labelled}} {
		dir := t.TempDir()
		mustStop(t, parse(t, dir, texts[0]), 1, job.Options{})
		_, err := job.Train(t.Context(), parse(t, dir, texts[1]), job.Options{Resume: true})
		wantError(t, err, `"loss" was`, "log_dir")
	}
}

// TestQuantize_WithoutLabels measures outputs where there is no accuracy.
func TestQuantize_WithoutLabels(t *testing.T) {
	dir := t.TempDir()
	twoHeads(t, dir)
	loader := func() *data.Loader {
		ds, err := data.Open("npz:"+filepath.Join(dir, "images.npz"), data.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return &data.Loader{Dataset: ds, Normalize: data.Normalize{Raw: true}}
	}
	o := job.QuantizeOptions{Model: filepath.Join(dir, "heads.onnx"), Output: filepath.Join(dir, "int8.onnx"), Samples: 64,
		Algorithms: []compress.Algorithm{quantization.New(quantization.Options{})}, Data: loader(), Eval: loader()}
	r, err := job.Quantize(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Float != nil || r.Samples != 96 || len(r.Compressed.Outputs) != 2 {
		t.Fatalf("got float %v, %d samples and %v, want two outputs measured on 96", r.Float, r.Samples, r.Compressed)
	}
	for _, e := range r.Compressed.Outputs {
		if !(e.Median > 1e-4 && e.Median < 0.1) {
			t.Errorf("output %s is off by %g, want about a hundredth", e.Output, e.Median)
		}
	}
	o.Control, o.Eval = &job.AccuracyControl{MaxDrop: 1}, loader()
	_, err = job.Quantize(t.Context(), o)
	wantError(t, err, "needs labels", "max_error")
}
