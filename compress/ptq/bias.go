package ptq

import (
	"context"
	"fmt"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// fastBias takes from the biases what the rounding of weights adds to the mean
// of each channel. A layer is linear, so over samples x and positions p
//
//	E[y_q - y] = E_p[L(E_x[x]; W_q - W)]
//
// exactly, borders included: every layer runs once, on one sample, its mean
// input. (The empirical correction of Nagel et al. 2019, section 4.2.1, without
// running the quantized model; what the rounding of activations adds has mean
// zero but for clipping, and is left to the full correction.)
func fastBias(ctx context.Context, r compress.Runner, float, quantized *ir.Graph, s *Statistics, t *rewrite.Trace) error {
	note := rewrite.New(quantized, "correct-bias", t)
	probe := ir.New("mean responses")
	b := ir.NewBuilder(probe, "correct-bias")
	var targets []bias
	var list []layer
	var feed []*tensor.Tensor
	var want []*ir.Value
	for _, l := range layers(float) {
		q, ok := findLayer(quantized, l.name())
		if !ok || !q.quantizedWeight() {
			continue
		}
		target, ok := biasOf(quantized, q)
		if !ok {
			note.Note("%s: the bias stays, it is shared or computed", l.label())
			continue
		}
		x := s.means[l.name()].tensor()
		d, err := difference(q, l)
		if x == nil || err != nil {
			note.Note("%s: the bias stays, its input has no mean over samples", l.label())
			continue
		}
		in := probe.AddInput(l.name()+"/mean", ir.TypeOf(x))
		w := b.Const(l.name()+"/difference", d)
		o := l.node.Op
		if g, ok := o.(op.Gemm); ok {
			g.Beta = 0
			o = g
		}
		want = append(want, b.Op(o, l.name(), in, w))
		targets, list, feed = append(targets, target), append(list, l), append(feed, x)
	}
	if len(want) == 0 {
		return note.Commit()
	}
	if err := b.Err(); err != nil {
		return fmt.Errorf("bias correction: %w", err)
	}
	probe.Outputs = want
	one := func(yield func([]*tensor.Tensor, error) bool) { yield(feed, nil) }
	err := r.Run(ctx, probe, want, one, func(got []*tensor.Tensor) error {
		for i, y := range got {
			shift := channelMeans(y, list[i].channelAxis)
			for c := range shift {
				shift[c] = -shift[c]
			}
			targets[i].add(shift)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("bias correction: %w", err)
	}
	note.Note("%d layers, by the mean inputs of the float model", len(want))
	return note.Commit()
}

// difference returns the quantized layer's weight minus the float one's.
func difference(q, l layer) (*tensor.Tensor, error) {
	a, ok1 := pass.StoredTensor(q.weight())
	b, ok2 := pass.StoredTensor(l.weight())
	if !ok1 || !ok2 || !a.Shape().Equal(b.Shape()) {
		return nil, fmt.Errorf("%s: the weight cannot be computed", l.label())
	}
	d := tensor.New(tensor.Float32, a.Shape()...)
	for i, v := range a.F32() {
		d.F32()[i] = v - b.F32()[i]
	}
	return d, nil
}

// channelMeans averages over all axes but one.
func channelMeans(t *tensor.Tensor, axis int) []float64 {
	s := t.Shape()
	channels, inner := s[axis], tensor.Shape(s[axis+1:]).Numel()
	out := make([]float64, channels)
	x := t.F32()
	for i := 0; i < len(x); i += inner {
		sum := 0.0
		for _, v := range x[i : i+inner] {
			sum += float64(v)
		}
		out[i/inner%channels] += sum
	}
	if n := float64(len(x) / channels); n > 0 {
		for c := range out {
			out[c] /= n
		}
	}
	return out
}
