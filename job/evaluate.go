package job

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/internal/runtimes"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
)

// EvaluateIn measures an ONNX file that a foreign runtime has loaded, on a data
// set. The first output has the scores.
func EvaluateIn(ctx context.Context, s *runtimes.Session, model string, l *data.Loader, opt Options) (_ *Result, err error) {
	start := time.Now()
	defer func() { err = cancelled(ctx, err) }()
	// Runtimes take files that the library cannot read; these are fed as they come.
	if g, err := onnx.Load(model); err == nil {
		if err := serve(g, opt.note, l); err != nil {
			return nil, err
		}
	}
	out := s.Outputs()[0].Name
	var c train.Classification
	done := 0
	for b, err := range l.Batches(ctx, 0) {
		if err != nil {
			return nil, err
		}
		in := b.Inputs()
		if len(in) != len(s.Inputs()) {
			return nil, fmt.Errorf("the model has %d inputs, the data set gives %d", len(s.Inputs()), len(in))
		}
		feed := map[string]*tensor.Tensor{}
		for i, v := range s.Inputs() {
			feed[v.Name] = in[i]
		}
		got, err := s.Run(feed)
		if err != nil {
			return nil, err
		}
		n, scores := b.Len(), got[out]
		if scores.DType() != tensor.Float32 || scores.Rank() == 0 || scores.Shape()[0] != n {
			return nil, fmt.Errorf("output %q: got %v for %d samples, want scores of type float32", out, scores, n)
		}
		scores = scores.Reshape(n, scores.Len()/n)
		loss, err := crossEntropy(scores, b)
		if err != nil {
			return nil, err
		}
		if err := c.Add(scores, b.Labels, n, loss); err != nil {
			return nil, err
		}
		done += n
		if opt.Progress != nil {
			elapsed := time.Since(start)
			m := c.Metrics()
			opt.Progress(train.Progress{Phase: "eval", Step: b.Index + 1, Steps: l.Len(), Loss: m.Loss, Top1: m.Top1,
				ImagesPerSecond: float64(done) / elapsed.Seconds(), Remaining: elapsed / time.Duration(b.Index+1) * time.Duration(l.Len()-b.Index-1)})
		}
	}
	if done == 0 {
		return nil, errors.New("the data set is empty")
	}
	m := c.Metrics()
	return &Result{Model: model, Samples: m.Samples, Metrics: m, Runtime: s.Runtime() + " " + s.Version(), Seconds: time.Since(start).Seconds()}, nil
}

// crossEntropy is the mean of -log softmax(scores)[label].
func crossEntropy(scores *tensor.Tensor, b *data.Batch) (float64, error) {
	k, sum := scores.Shape()[1], 0.0
	for i, label := range b.Labels.I64() {
		if label < 0 || label >= int64(k) {
			return 0, fmt.Errorf("sample %d has label %d, the model's output has %d classes", b.Indices[i], label, k)
		}
		row := scores.F32()[i*k:][:k]
		top := math.Inf(-1)
		for _, v := range row {
			top = max(top, float64(v))
		}
		z := 0.0
		for _, v := range row {
			z += math.Exp(float64(v) - top)
		}
		sum += top + math.Log(z) - float64(row[label])
	}
	return sum / float64(scores.Shape()[0]), nil
}
