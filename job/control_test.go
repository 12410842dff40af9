package job_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/job"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/zoo"
)

// taught writes a random network and images that are labelled as it sees them,
// so that in float it is always right.
func taught(t *testing.T, dir string) (model string, open func(data.Split) *data.Loader) {
	t.Helper()
	model = filepath.Join(dir, "teacher.onnx")
	writeModel(t, model, 0, zoo.Options{Classes: 10, Seed: 3})
	m, err := nncf.Load(model)
	if err != nil {
		t.Fatal(err)
	}
	const n = 60
	r := rand.New(rand.NewPCG(7, 0))
	x := tensor.New(tensor.Float32, n, 1, 8, 8)
	for i := range x.F32() {
		x.F32()[i] = float32(r.NormFloat64())
	}
	labels := make([]int64, n)
	one := func(yield func([]*tensor.Tensor, error) bool) { yield([]*tensor.Tensor{x}, nil) }
	err = nncf.Run(t.Context(), m.Graph, m.Graph.Outputs[:1], one, engine.Options{}, func(got []*tensor.Tensor) error {
		for i := range labels {
			row := got[0].F32()[i*10:][:10]
			labels[i] = int64(slices.Index(row, slices.Max(row)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "taught.npz")
	writeNPZ(t, path, data.Array{Name: "x", Tensor: x}, data.Array{Name: "y", Tensor: tensor.From(labels, n)})
	return model, func(s data.Split) *data.Loader {
		ds, err := data.Open("npz:"+path, data.Options{Split: s})
		if err != nil {
			t.Fatal(err)
		}
		return &data.Loader{Dataset: ds, Normalize: data.Normalize{Raw: true}, Batch: 20}
	}
}

// Accuracy control returns layers until the budget is met; interrupted, it goes
// on to the same bytes.
func TestQuantize_Control(t *testing.T) {
	dir := t.TempDir()
	model, open := taught(t, dir)
	perChannel := true
	o := func(name string) job.QuantizeOptions {
		return job.QuantizeOptions{Model: model, Output: filepath.Join(dir, name), Samples: 20, Data: open(data.Train), Eval: open(data.Test),
			Algorithms: []compress.Algorithm{quantization.New(quantization.Options{Weights: quantization.Group{Bits: 2, PerChannel: &perChannel}, Activations: quantization.Group{Bits: 2}})},
			Control:    &job.AccuracyControl{MaxDrop: 3, Probe: 20}}
	}
	whole, err := job.Quantize(t.Context(), o("whole.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	s := whole.Search
	if whole.Float.Top1 != 100 || !s.Reached || whole.Compressed.Top1 < 97 || len(s.Steps) < 3 || len(s.Reverts) == 0 {
		t.Fatalf("got float %g, compressed %g, %+v; want the budget reached after several steps", whole.Float.Top1, whole.Compressed.Top1, s)
	}
	if s.Reverts[0].Bits != 8 {
		t.Errorf("first revert: got %+v, want 8 bits before float", s.Reverts[0])
	}
	// The file on disk has the accuracy that the report says.
	again, err := job.Evaluate(t.Context(), whole.Output, open(data.Test), 0, job.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if again.Metrics.Top1 < 97-100./60 {
		t.Errorf("the file has top-1 %g, the report says %g", again.Metrics.Top1, whole.Compressed.Top1)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	x := o("parts.onnx")
	tried := 0
	x.Note = func(format string, _ ...any) {
		if strings.HasPrefix(format, "top-1") {
			if tried++; tried == 2 {
				cancel()
			}
		}
	}
	if _, err := job.Quantize(ctx, x); !errors.Is(err, job.ErrInterrupted) {
		t.Fatalf("got %v, want an interruption", err)
	}
	if _, err := os.Stat(x.Output); err != nil {
		t.Errorf("the best model so far is not on disk: %v", err)
	}
	rest, err := job.Quantize(t.Context(), o("parts.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if fileHash(t, rest.Output) != fileHash(t, whole.Output) {
		t.Errorf("interrupted and resumed: got reverts %+v, want %+v and the same file", rest.Search.Reverts, s.Reverts)
	}
}
