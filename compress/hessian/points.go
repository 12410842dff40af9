package hessian

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// Batches is a sequence of tensors along whose first axis samples lie.
type Batches = iter.Seq2[[]*tensor.Tensor, error]

// Runner runs graphs; what package compress asks of engines satisfies it.
type Runner interface {
	// Run feeds every batch to g and hands the wanted values to f, which does not
	// keep them.
	Run(ctx context.Context, g *ir.Graph, want []*ir.Value, data Batches, f func(got []*tensor.Tensor) error) error
}

// Loss builds the scalar loss of a model's outputs and a target.
type Loss func(b *ir.Builder, outputs []*ir.Value, target *ir.Value) (*ir.Value, error)

// Data are where the samples come from.
type Data struct {
	// Batches starts over from the first sample at each call and yields inputs of
	// the model, at least n samples or all there are. Labelled has the target of
	// the loss behind them; nil where there is none.
	Batches, Labelled func(n int) Batches
	// Loss is that of training; nil is the cross-entropy of the scores, or, of models
	// that do not classify, the relative errors of all float outputs.
	Loss Loss
	// Cache is a folder that keeps results; empty keeps none, and so does a Loss,
	// on which results depend.
	Cache string
	// Note, if set, receives a line after each round of probes.
	Note func(format string, args ...any)
}

// points are samples in chunks of equal size: the model's inputs and the target.
type points struct {
	chunks    [][]*tensor.Tensor
	samples   int
	ownLabels bool
}

// bigSample is the number of elements from which a sample is an image of the
// size of ImageNet's, where 8 of them fill a product.
const bigSample = 50_000

// gather takes samples and cuts them into chunks.
func gather(ctx context.Context, r Runner, g *ir.Graph, data Data, opt Options) (*points, error) {
	all, own, err := samples(ctx, r, g, data, opt.Points)
	if err != nil {
		return nil, err
	}
	n := all[0].Shape()[0]
	size := opt.Chunk
	if size == 0 {
		size = 32
		if all[0].Len()/n >= bigSample {
			size = 8
		}
	}
	if fixed, ok := g.FixedBatch(); ok {
		if size = fixed; n < size {
			return nil, fmt.Errorf("got %d data points, the model has a fixed batch of %d", n, size)
		}
	} else {
		size = n / ((n + size - 1) / size) // equal chunks that leave out as few as may be
	}
	d := &points{ownLabels: own}
	for lo := 0; lo+size <= n; lo += size {
		var chunk []*tensor.Tensor
		for _, t := range all {
			chunk = append(chunk, t.Rows(lo, lo+size).Clone())
		}
		d.chunks = append(d.chunks, chunk)
	}
	d.samples = len(d.chunks) * size
	return d, nil
}

// samples returns the first n data points as one tensor per input, with the
// target behind them, if the loss has one. Where labels are missing, the model's own answers stand
// for them: the Hessian is then that of the model's certainty.
func samples(ctx context.Context, r Runner, g *ir.Graph, data Data, n int) (all []*tensor.Tensor, own bool, err error) {
	if len(g.Inputs) == 0 || g.Inputs[0].Type.Rank() == 0 || len(g.Outputs) == 0 {
		return nil, false, errors.New("the model has no input with a batch axis, or no output")
	}
	var parts [][]*tensor.Tensor
	collect := func(batches Batches) error {
		left := n
		for b, err := range batches {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			var copied []*tensor.Tensor
			for _, t := range b {
				if t.DType() != tensor.Float32 && t.DType() != tensor.Int64 {
					return fmt.Errorf("got a batch with %v, want float32 or int64", t)
				}
				copied = append(copied, t.Rows(0, min(left, t.Shape()[0])).Clone())
			}
			parts = append(parts, copied)
			if left -= copied[0].Shape()[0]; left <= 0 {
				return nil
			}
		}
		return nil
	}
	if data.Loss == nil && !classifies(g) { // labels play no part
		if err := collect(data.Batches(n)); err != nil {
			return nil, false, err
		}
		all, err = stacked(parts)
		return all, false, err
	}
	if data.Labelled != nil {
		if err := collect(data.Labelled(n)); err != nil {
			return nil, false, err
		}
	}
	if data.Labelled == nil || unlabelled(parts) {
		own, parts = true, nil
		if err := collect(data.Batches(n)); err != nil {
			return nil, false, err
		}
		if parts, err = answers(ctx, r, g, parts); err != nil {
			return nil, false, err
		}
	}
	all, err = stacked(parts)
	return all, own, err
}

// stacked joins batches to one tensor for each of what they hold.
func stacked(parts [][]*tensor.Tensor) (all []*tensor.Tensor, err error) {
	if len(parts) == 0 {
		return nil, errors.New("there were no data")
	}
	for i := range parts[0] {
		var list []*tensor.Tensor
		for _, p := range parts {
			list = append(list, p[i])
		}
		all = append(all, stack(list))
	}
	return all, nil
}

// unlabelled reports whether an integer target is negative, as data sets without
// labels give it.
func unlabelled(parts [][]*tensor.Tensor) bool {
	for _, p := range parts {
		t := p[len(p)-1]
		if t.DType() != tensor.Int64 {
			return false
		}
		for _, v := range t.I64() {
			if v < 0 {
				return true
			}
		}
	}
	return false
}

// answers appends the classes that the model finds.
func answers(ctx context.Context, r Runner, g *ir.Graph, parts [][]*tensor.Tensor) ([][]*tensor.Tensor, error) {
	var out [][]*tensor.Tensor
	feed := func(yield func([]*tensor.Tensor, error) bool) {
		for _, p := range parts {
			if !yield(p, nil) {
				return
			}
		}
	}
	err := r.Run(ctx, g, []*ir.Value{scores(g)}, feed, func(got []*tensor.Tensor) error {
		p := parts[len(out)]
		n := p[0].Shape()[0]
		labels := tensor.New(tensor.Int64, n)
		k := got[0].Len() / n
		for i := range n {
			row := got[0].F32()[i*k:][:k]
			for j, v := range row {
				if v > row[labels.I64()[i]] {
					labels.I64()[i] = int64(j)
				}
			}
		}
		out = append(out, append(p, labels))
		return nil
	})
	return out, err
}

// stack joins tensors along axis 0.
func stack(list []*tensor.Tensor) *tensor.Tensor {
	s := list[0].Shape().Clone()
	s[0] = 0
	for _, t := range list {
		s[0] += t.Shape()[0]
	}
	out := tensor.New(list[0].DType(), s...)
	at := 0
	for _, t := range list {
		if t.DType() == tensor.Int64 {
			copy(out.I64()[at:], t.I64())
		} else {
			copy(out.F32()[at:], t.F32())
		}
		at += t.Len()
	}
	return out
}

// scores is the first output, before a softmax that ends it.
func scores(g *ir.Graph) *ir.Value { return op.Scores(g.Outputs[0]) }

// crossEntropy is the mean cross-entropy of the first output.
func crossEntropy(b *ir.Builder, _ []*ir.Value, target *ir.Value) (*ir.Value, error) {
	return b.Multi(op.SoftmaxCrossEntropyLoss{}, "loss", 2, flat(b, scores(b.G)), target)[0], b.Err()
}

// flat makes scores [N classes 1 …] a matrix.
func flat(b *ir.Builder, x *ir.Value) *ir.Value {
	if x.Type.Rank() > 2 {
		return b.Op(op.Flatten{Axis: 1}, "hessian/scores", x)
	}
	return x
}
