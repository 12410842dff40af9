package nncf

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
)

// FreeBatch lets a model that was exported with a fixed batch take any number of
// samples, so that it can be trained in batches; see [pass.FreeBatch]. Two
// batches of random samples, together and one after the other, must give the same
// results up to rounding. Files that are exported from the model have its former
// batch again. If the model's batch is free, nothing happens.
func FreeBatch(ctx context.Context, m *Model, opts engine.Options) error {
	free := true
	for _, v := range m.Graph.Inputs {
		if v.Type.Rank() > 0 {
			_, known := v.Type.Dims[0].Known()
			free = free && !known
		}
	}
	if free {
		return nil
	}
	g, err := pass.FreeBatch(m.Graph, m.Trace)
	if err == nil {
		err = sameApart(ctx, m.Graph, g, opts)
	}
	if err != nil {
		return err
	}
	m.Graph = g
	return nil
}

// sameApart compares fixed on two batches with free on both at once.
func sameApart(ctx context.Context, fixed, free *ir.Graph, opts engine.Options) error {
	r := rand.New(rand.NewPCG(1, 2))
	var first, second, both []*tensor.Tensor
	for _, v := range fixed.Inputs {
		s, ok := v.Type.Shape()
		if !ok {
			return fmt.Errorf("input %q is %v: only the batch may be open", v.Name, v.Type)
		}
		a, b, ab, err := probe(v.Type.DType, s, r)
		if err != nil {
			return fmt.Errorf("input %q: %w", v.Name, err)
		}
		first, second, both = append(first, a), append(second, b), append(both, ab)
	}
	want := make([][]float64, len(fixed.Outputs))
	apart := func(yield func([]*tensor.Tensor, error) bool) { _ = yield(first, nil) && yield(second, nil) }
	err := Run(ctx, fixed, fixed.Outputs, apart, opts, func(got []*tensor.Tensor) error {
		for i, t := range got {
			x, err := t.Float64s()
			if err != nil {
				return err
			}
			want[i] = append(want[i], x...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	together := func(yield func([]*tensor.Tensor, error) bool) { yield(both, nil) }
	return Run(ctx, free, free.Outputs, together, opts, func(got []*tensor.Tensor) error {
		for i, t := range got {
			x, err := t.Float64s()
			if err != nil {
				return err
			}
			if err := alike(x, want[i]); err != nil {
				return fmt.Errorf("output %q: %w", fixed.Outputs[i].Name, err)
			}
		}
		return nil
	})
}

// alike compares results for samples in one batch with those for the same
// samples in two, which round differently.
func alike(together, apart []float64) error {
	if len(together) != len(apart) {
		return fmt.Errorf("got %d elements for two batches together, %d apart", len(together), len(apart))
	}
	peak, largest := 0.0, 0.0
	for j, v := range together {
		peak = max(peak, math.Abs(apart[j]))
		largest = max(largest, math.Abs(v-apart[j]))
	}
	if !(largest <= 1e-4*peak) {
		return fmt.Errorf("it depends on the other samples of the batch, by %.2g where its largest element is %.2g", largest, peak)
	}
	return nil
}

// probe returns two tensors and the one that has the rows of both. Their
// elements are what any model takes: reals in 0..1, and of the integers 0 and 1,
// which are tokens or masks.
func probe(d tensor.DType, s tensor.Shape, r *rand.Rand) (a, b, both *tensor.Tensor, err error) {
	double := s.Clone()
	double[0] *= 2
	switch d {
	case tensor.Float32:
		x := make([]float32, double.Numel())
		for i := range x {
			x[i] = r.Float32()
		}
		a, b, both = halves(x, s, double)
	case tensor.Int64:
		x := make([]int64, double.Numel())
		for i := range x {
			x[i] = r.Int64N(2)
		}
		a, b, both = halves(x, s, double)
	default:
		err = fmt.Errorf("got elements of type %v, want float32 or int64", d)
	}
	return a, b, both, err
}

func halves[T tensor.Element](x []T, s, double tensor.Shape) (a, b, both *tensor.Tensor) {
	n := len(x) / 2
	return tensor.From(x[:n], s...), tensor.From(x[n:], s...), tensor.From(x, double...)
}
