package nncf

import (
	"context"
	"log/slog"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/ptq"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/rewrite"
)

// QuantizeOptions say how a model is quantized without training.
type QuantizeOptions struct {
	ptq.Options
	// Algorithms are what is applied; nil stands for 8-bit quantization with one
	// range per channel of weights.
	Algorithms []compress.Algorithm
	// Calibration is where ranges and means come from.
	Calibration compress.Calibration
	Threads     int
	Logger      *slog.Logger
}

// Quantize quantizes m without training. m stays as it is; what is returned
// besides the compressed model is the float one that it was made from, which
// computes what m computes. The biases are those that Export writes.
func Quantize(ctx context.Context, m *Model, o QuantizeOptions) (float *Model, c *Compressed, err error) {
	if err := o.Validate(); err != nil {
		return nil, nil, err
	}
	r := runner{engine.Options{Threads: o.Threads, Logger: o.Logger}}
	float = &Model{Graph: deepClone(m.Graph), Trace: &rewrite.Trace{}}
	if m.Trace != nil {
		float.Trace.Changes = append(float.Trace.Changes, m.Trace.Changes...)
	}
	if err := ptq.Prepare(ctx, r, float.Graph, o.Options, o.Calibration, float.Trace); err != nil {
		return nil, nil, err
	}
	algorithms := o.Algorithms
	if algorithms == nil {
		perChannel := true
		algorithms = []compress.Algorithm{quantization.New(quantization.Options{Weights: quantization.Group{PerChannel: &perChannel}})}
	}
	if err := checkRemoval(algorithms); err != nil {
		return nil, nil, err
	}
	c = &Compressed{Graph: deepClone(float.Graph), Trace: &rewrite.Trace{}}
	if c.setups, c.Controller, err = compress.SetupAll(c.Graph, o.Options.Algorithms(algorithms), c.Trace); err != nil {
		return nil, nil, err
	}
	s := ptq.NewStatistics(float.Graph, r)
	if err := c.Initialize(ctx, s, o.Calibration); err != nil {
		return nil, nil, err
	}
	if err := ptq.Recover(ctx, r, float.Graph, c.Graph, s, o.Options, o.Calibration, c.Trace); err != nil {
		return nil, nil, err
	}
	return float, c, c.RoundBiases()
}
