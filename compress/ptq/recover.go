package ptq

import (
	"context"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/rewrite"
)

// Recover changes the numbers of a quantized model so that it comes closer to
// the float one, of which s has the statistics. Both graphs have the same layers,
// found by the names of their results.
func Recover(ctx context.Context, r compress.Runner, float, quantized *ir.Graph, s *Statistics, o Options, cal compress.Calibration, t *rewrite.Trace) error {
	if err := o.Validate(); err != nil {
		return err
	}
	if o.LearnRounding {
		if err := learnRounding(ctx, r, float, quantized, o.subset(), cal, t); err != nil {
			return err
		}
	}
	switch o.BiasCorrection {
	case NoBias:
		return nil
	case FullBias:
		return fullBias(ctx, r, float, quantized, o.biasSamples(), cal, t)
	}
	if err := s.collect(ctx, float, o.subset(), cal); err != nil {
		return err
	}
	return fastBias(ctx, r, float, quantized, s, t)
}
