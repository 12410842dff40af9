package ptq

import (
	"context"
	"fmt"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// channelSums is the running mean of a value by channel.
type channelSums struct {
	axis int
	sum  []float64
	n    float64
}

func (s *channelSums) add(t *tensor.Tensor) {
	weight := float64(t.Shape()[0])
	m := channelMeans(t, s.axis)
	if s.sum == nil {
		s.sum = make([]float64, len(m))
	}
	for c, v := range m {
		s.sum[c] += weight * v
	}
	s.n += weight
}

// fullBias corrects one layer after the other: the quantized model runs up to
// the layer, all corrections before it in place, and the difference of the
// channels' means is taken from the bias. So it sees what the rounding and the
// clipping of activations does, and what the layers before have left. (Nagel et
// al. 2019, section 4.2.1; NNCF's full bias correction.)
func fullBias(ctx context.Context, r compress.Runner, float, quantized *ir.Graph, samples int, cal compress.Calibration, t *rewrite.Trace) error {
	note := rewrite.New(quantized, "correct-bias", t)
	var list []layer // of the quantized graph
	var targets []bias
	var want []*ir.Value
	for _, l := range layers(float) {
		q, ok := findLayer(quantized, l.name())
		if !ok || !q.quantizedWeight() {
			continue
		}
		target, ok := biasOf(quantized, q)
		if !ok || q.node.Out[0].Type.Rank() == 0 {
			note.Note("%s: the bias stays, it is shared or computed", l.label())
			continue
		}
		list, targets, want = append(list, q), append(targets, target), append(want, l.node.Out[0])
	}
	if len(list) == 0 {
		return note.Commit()
	}
	refs := make([]channelSums, len(list))
	for i, l := range list {
		refs[i].axis = l.channelAxis
	}
	err := r.Run(ctx, float, want, cal.Batches(samples), func(got []*tensor.Tensor) error {
		for i, y := range got {
			refs[i].add(y)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("bias correction: %w", err)
	}
	for i, l := range list {
		s := channelSums{axis: l.channelAxis}
		err := r.Run(ctx, quantized, []*ir.Value{l.node.Out[0]}, cal.Batches(samples), func(got []*tensor.Tensor) error {
			s.add(got[0])
			return nil
		})
		if err != nil {
			return fmt.Errorf("bias correction: %w", err)
		}
		if len(s.sum) != len(refs[i].sum) || s.n == 0 {
			continue
		}
		d := make([]float64, len(s.sum))
		for c := range d {
			d[c] = (refs[i].sum[c] - s.sum[c]) / s.n
		}
		targets[i].add(d)
	}
	note.Note("%d layers, one after the other, on %d samples", len(list), samples)
	return note.Commit()
}
