package sensitivity

import (
	"context"
	"fmt"
	"math"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// Stepwise is how far two quantized models differ between one quantizer and the
// next: behind each quantizer both go on with what the first one computed there.
// Rounding of float32 then moves, now and then, a value that lies on a tie to the
// neighbouring point. Through a whole model such moves multiply, so that the
// outputs of two correct models differ; here nothing multiplies, and anything
// but a rare neighbour is a fault.
type Stepwise struct {
	Samples    int   `json:"samples"`
	Quantizers int   `json:"quantizers"` // of activations, that both models have
	Elements   int64 `json:"elements"`   // of their results
	Moved      int64 `json:"moved"`      // elements that lie on another point
	// Farthest is the largest distance in steps of the quantizer: 1 is the
	// neighbour. Value names the quantizer that has it, or, without any move, is
	// empty.
	Farthest float64 `json:"farthest_steps"`
	Value    string  `json:"value,omitempty"`
	// OutputError is the largest relative error of the model's outputs.
	OutputError float64 `json:"output_error"`
}

// CompareStepwise runs a on data and b on data and the results of a's quantizers
// of activations, which b has under the same names as DequantizeLinear,
// FakeQuantize or a trainable quantizer, and in the same shape: a file without
// pruned channels is compared where none are missing. Neither graph changes. The result has 0
// quantizers, and nothing was run, if they have none in common.
func CompareStepwise(ctx context.Context, r compress.Runner, a, b *ir.Graph, data compress.Batches) (*Stepwise, error) {
	b = b.Clone()
	list, _, _ := pairs(a, b)
	var wantA, wantB []*ir.Value
	var steps []float64
	for _, p := range list {
		if step := stepOf(p.b); op.IsFakeQuantizer(p.a.Def) && step > 0 && sameLengths(p.a.Type, p.b.Type) {
			wantA, wantB, steps = append(wantA, p.a), append(wantB, p.b), append(steps, step)
		}
	}
	s := &Stepwise{Quantizers: len(steps)}
	if s.Quantizers == 0 || len(a.Inputs) != len(b.Inputs) || len(a.Outputs) != len(b.Outputs) {
		return s, nil
	}
	outputs := append([]*ir.Value(nil), b.Outputs...)
	for _, v := range wantB {
		in := b.AddInput(b.UniqueName(v.Name+"/given"), v.Type)
		b.ReplaceUses(v, in)
	}
	wantA, wantB = append(wantA, a.Outputs...), append(wantB, outputs...)
	runA, atA := unique(wantA)
	runB, atB := unique(wantB)

	// The values of a are copied: b is a batch behind.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type batch struct{ in, values []*tensor.Tensor }
	next := make(chan batch)
	var errA error
	go func() {
		defer close(next)
		var in []*tensor.Tensor
		seen := func(yield func([]*tensor.Tensor, error) bool) {
			for x, err := range data {
				in = in[:0:0]
				for _, t := range x {
					in = append(in, t.Clone())
				}
				if !yield(x, err) {
					return
				}
			}
		}
		errA = r.Run(ctx, a, runA, seen, func(got []*tensor.Tensor) error {
			c := batch{in: in}
			for _, t := range spread(got, atA) {
				c.values = append(c.values, t.Clone())
			}
			select {
			case next <- c:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	var now batch
	given := func(yield func([]*tensor.Tensor, error) bool) {
		for now = range next {
			if !yield(append(append([]*tensor.Tensor(nil), now.in...), now.values[:len(steps)]...), nil) {
				return
			}
		}
	}
	sums := make([]Difference, len(outputs))
	errB := r.Run(ctx, b, runB, given, func(got []*tensor.Tensor) error {
		if x := now.in[0]; x.Rank() > 0 {
			s.Samples += x.Shape()[0]
		}
		for i, y := range spread(got, atB) {
			x := now.values[i]
			if !x.Shape().Equal(y.Shape()) || x.DType() != tensor.Float32 || y.DType() != tensor.Float32 {
				return fmt.Errorf("%s: got %v %v, want %v %v", wantB[i].Name, y.DType(), y.Shape(), x.DType(), x.Shape())
			}
			if i < len(steps) {
				s.add(wantA[i].Name, x.F32(), y.F32(), steps[i])
				continue
			}
			sums[i-len(steps)].Add(x.F32(), y.F32())
		}
		return nil
	})
	cancel()
	for range next { // the goroutine has ended when the channel is closed
	}
	if errB == nil {
		errB = errA
	}
	if errB != nil {
		return nil, fmt.Errorf("compare: %w", errB)
	}
	for i := range sums {
		s.OutputError = max(s.OutputError, sums[i].RelativeError())
	}
	return s, nil
}

// sameLengths reports whether no axis has one known length in a and another in b.
func sameLengths(a, b ir.Type) bool {
	for i, d := range a.Dims {
		m, known := d.Known()
		n, both := b.Dims[i].Known()
		if known && both && m != n {
			return false
		}
	}
	return true
}

func (s *Stepwise) add(name string, x, y []float32, step float64) {
	s.Elements += int64(len(x))
	for i, v := range x {
		d := math.Abs(float64(y[i]) - float64(v))
		if d <= step/2 {
			continue
		}
		s.Moved++
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		if d /= step; d > s.Farthest {
			s.Farthest, s.Value = d, name
		}
	}
}

// Rounding reports whether what differs is what rounding explains: only
// neighbours, at most one element in a hundred (means of grid points are often
// ties).
func (s *Stepwise) Rounding() bool {
	return s.Farthest < 1.5 && s.Moved*100 <= s.Elements
}

// stepOf is the distance of two points of the whole-tensor quantizer that
// computes v, 0 if there is none.
func stepOf(v *ir.Value) float64 {
	first := func(i int) (float64, bool) {
		t := v.Def.Input(i)
		if t == nil || t.Data == nil || t.Data.DType() != tensor.Float32 || t.Data.Len() != 1 {
			return 0, false
		}
		return float64(t.Data.F32()[0]), true
	}
	switch o := v.Def.Op.(type) {
	case op.DequantizeLinear:
		s, _ := first(1)
		return s
	case op.FakeQuantize:
		low, ok1 := first(3)
		high, ok2 := first(4)
		if ok1 && ok2 && o.Levels > 1 {
			return (high - low) / float64(o.Levels-1)
		}
	case op.FakeQuantizeSymmetric, op.FakeQuantizeAsymmetric:
		if e := newExtent(v.Def); len(e.low) == 1 {
			return (e.high[0] - e.low[0]) / float64(int(1)<<bits(v.Def)-1)
		}
	}
	return 0
}
