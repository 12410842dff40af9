package job_test

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/ptq"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/job"
	"github.com/go-nncf/nncf/tensor"
)

// errorOptions are those of a budget of output errors, without labels.
func errorOptions(model, output string, open func(data.Split) *data.Loader, budget float64, to string) job.QuantizeOptions {
	perChannel := true
	held := open(data.Test)
	held.Dataset = data.First(held.Dataset, 20)
	return job.QuantizeOptions{Model: model, Output: output, Samples: 20, Data: open(data.Train), Held: held,
		Algorithms: []compress.Algorithm{quantization.New(quantization.Options{Weights: quantization.Group{PerChannel: &perChannel}})},
		Control:    &job.AccuracyControl{MaxError: budget, Return: to, Probe: 10}}
}

// medianError computes the median relative error of the first output of a file.
func medianError(t *testing.T, model, file string, l *data.Loader) float64 {
	t.Helper()
	run := func(path string) (rows [][]float32) {
		m, err := nncf.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		err = nncf.Run(t.Context(), m.Graph, []*ir.Value{m.Graph.Outputs[0]}, nncf.Calibration(t.Context(), l).Batches(l.Dataset.Len()), engine.Options{}, func(got []*tensor.Tensor) error {
			n := got[0].Shape()[0]
			for i := range n {
				rows = append(rows, slices.Clone(got[0].F32()[i*got[0].Len()/n:][:got[0].Len()/n]))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	var errs []float64
	y := run(file)
	for i, x := range run(model) {
		noise, signal := 0.0, 0.0
		for j, v := range x {
			noise += math.Pow(float64(y[i][j]-v), 2)
			signal += float64(v) * float64(v)
		}
		errs = append(errs, math.Sqrt(noise/signal))
	}
	slices.Sort(errs)
	return (errs[len(errs)/2-1] + errs[len(errs)/2]) / 2
}

// A budget of output errors is met by giving layers back, some stay on integers,
// and the report says what each costs; an interrupted search goes on to the same
// bytes.
func TestQuantize_OutputError(t *testing.T) {
	dir := t.TempDir()
	model, open := taught(t, dir)
	o := func(name, to string) job.QuantizeOptions {
		return errorOptions(model, filepath.Join(dir, name), open, 0.004, to)
	}
	whole, err := job.Quantize(t.Context(), o("whole.onnx", ""))
	if err != nil {
		t.Fatal(err)
	}
	s := whole.Search
	if !s.Reached || len(s.Reverts) == 0 || s.Outputs.Before[0].Median <= 0.004 || s.Outputs.After[0].Bound > 0.004 || s.Outputs.After[0].Median > s.Outputs.After[0].Bound {
		t.Fatalf("got %+v, errors %+v; want the budget reached by giving layers back", s, s.Outputs)
	}
	if got, want := float64(s.Outputs.After[0].Median), medianError(t, model, whole.Output, o("", "").Held); math.Abs(got-want) > 1e-5 {
		t.Errorf("the report says %g for the file, which has %g", got, want)
	}
	if s.Integer.After <= 0 || s.Integer.After >= s.Integer.Before || s.Integer.Before != 1 {
		t.Errorf("got %+v on integers, want all before and some after", s.Integer)
	}
	for _, x := range s.Reverts {
		if x.Rule != ptq.RuleFloat || !strings.Contains(x.Why, "alone") {
			t.Errorf("%s: got rule %q, why %q", x.Scope, x.Rule, x.Why)
		}
	}
	if len(s.IgnoredScopes) != len(s.Reverts) {
		t.Errorf("got ignored scopes %q for %d layers in float", s.IgnoredScopes, len(s.Reverts))
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	x := o("parts.onnx", "")
	tried := 0
	x.Note = func(format string, _ ...any) {
		if strings.HasPrefix(format, "output %s is off") {
			if tried++; tried == 3 {
				cancel()
			}
		}
	}
	if _, err := job.Quantize(ctx, x); !errors.Is(err, job.ErrInterrupted) {
		t.Fatalf("got %v, want an interruption", err)
	}
	rest, err := job.Quantize(t.Context(), o("parts.onnx", ""))
	if err != nil {
		t.Fatal(err)
	}
	if fileHash(t, rest.Output) != fileHash(t, whole.Output) || len(rest.Search.Steps) != len(s.Steps) {
		t.Errorf("interrupted and resumed: got reverts %+v, want %+v and the same file", rest.Search.Reverts, s.Reverts)
	}

	wide, err := job.Quantize(t.Context(), o("wide.onnx", ptq.ReturnTo16))
	if err != nil {
		t.Fatal(err)
	}
	w := wide.Search
	if !w.Reached || !slices.ContainsFunc(w.Reverts, func(x job.Returned) bool { return x.Rule == ptq.RuleActivations && x.Bits == 16 }) {
		t.Errorf("16 bits: got %+v", w)
	}
	if wide.Export.Bits != "8, 16" {
		t.Errorf("16 bits: got widths %s, want weights of 8 bits", wide.Export.Bits)
	}
}

func TestQuantize_OutputErrorMistakes(t *testing.T) {
	dir := t.TempDir()
	model, open := taught(t, dir)
	for _, c := range []struct {
		name   string
		change func(*job.QuantizeOptions)
		want   string
	}{
		{"no samples", func(o *job.QuantizeOptions) { o.Held = nil }, "needs data"},
		{"two budgets", func(o *job.QuantizeOptions) { o.Control.MaxDrop = 1 }, "one budget"},
		{"destination", func(o *job.QuantizeOptions) { o.Control.Return = "bfloat16" }, "return_to"},
		{"16 bits in a form that has 8", func(o *job.QuantizeOptions) {
			o.Control.Return, o.Export.Format = ptq.ReturnTo16, nncf.FakeQuantize
		}, "at most 8 bits"},
	} {
		o := errorOptions(model, filepath.Join(dir, "x.onnx"), open, 0.01, "")
		c.change(&o)
		if _, err := job.Quantize(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}
