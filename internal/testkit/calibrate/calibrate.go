// Package calibrate gives tests of compression what it initialises from: an
// engine and samples.
package calibrate

import (
	"context"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Runner runs graphs on the native engine, by one thread unless told otherwise.
type Runner struct{ Threads int }

// Run implements [compress.Runner].
func (r Runner) Run(ctx context.Context, g *ir.Graph, want []*ir.Value, data compress.Batches, f func([]*tensor.Tensor) error) error {
	return nncf.Run(ctx, g, want, data, engine.Options{Threads: max(1, r.Threads)}, f)
}

// Samples cuts samples, all of one tensor, into batches.
func Samples(x *tensor.Tensor, batch int) compress.Calibration {
	return compress.Calibration{Batches: func(n int) compress.Batches {
		return func(yield func([]*tensor.Tensor, error) bool) {
			size := x.Len() / x.Shape()[0]
			for i := 0; i < min(n, x.Shape()[0]); i += batch {
				s := x.Shape().Clone()
				s[0] = min(batch, x.Shape()[0]-i)
				if !yield([]*tensor.Tensor{tensor.From(x.F32()[i*size:(i+s[0])*size], s...)}, nil) {
					return
				}
			}
		}
	}}
}
