package nncf

import (
	"context"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/sensitivity"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
)

// Sensitivity measures the layers of a model quantized without training, as
// [Quantize] returned it with its float model; see [sensitivity.Analyze].
func Sensitivity(ctx context.Context, float *Model, c *Compressed, data func() compress.Batches, threads int, o sensitivity.Options) (*sensitivity.Analysis, error) {
	return sensitivity.Analyze(ctx, runner{engine.Options{Threads: threads}}, float.Graph, c.Graph, data, o)
}

// Compare runs two models on the same samples and compares all values that both
// have under one name; see [sensitivity.Compare]. data starts over at each call.
func Compare(ctx context.Context, a, b *ir.Graph, data func() compress.Batches, threads int) (*sensitivity.Comparison, error) {
	return sensitivity.Compare(ctx, runner{engine.Options{Threads: threads}}, a, b, data)
}

// CompareStepwise compares two quantized models between one quantizer and the
// next, see [sensitivity.CompareStepwise].
func CompareStepwise(ctx context.Context, a, b *ir.Graph, data compress.Batches, threads int) (*sensitivity.Stepwise, error) {
	return sensitivity.CompareStepwise(ctx, runner{engine.Options{Threads: threads}}, a, b, data)
}

// NewReference runs a float model over samples, to compare the outputs of models
// made from it; see [sensitivity.Reference]. data starts over at each call.
func NewReference(ctx context.Context, float *ir.Graph, data func() compress.Batches, threads int) (*sensitivity.Reference, error) {
	return sensitivity.NewReference(ctx, runner{engine.Options{Threads: threads}}, float, data)
}
