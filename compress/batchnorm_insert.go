package compress

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// insertedEpsilon and insertedMomentum are those of frameworks' layers.
const (
	insertedEpsilon  = 1e-5
	insertedMomentum = 0.9
)

// InsertBatchNorm puts a BatchNormalization behind every Conv and ConvTranspose
// of g that has none, and returns how many. Models whose normalization was folded
// before they were exported get back what training needs: statistics of batches,
// and a factor per channel apart from the weights. At the start the new nodes
// compute nothing: with mean μ and variance σ² of each channel, measured over
// samples from c,
//
//	scale = √(σ² + ε)   bias = μ   mean = μ - b   var = σ²
//
// where b is the bias of the layer, which goes. [pass.FoldBatchNorm] folds all of
// it again at export.
func InsertBatchNorm(ctx context.Context, r Runner, g *ir.Graph, c Calibration, samples int, t *rewrite.Trace) (int, error) {
	before := countBatchNorms(g)
	var layers []*ir.Node
	for _, n := range g.Nodes() {
		if lacksBatchNorm(g, n) {
			layers = append(layers, n)
		}
	}
	if len(layers) > 0 {
		stats, err := channelStatistics(ctx, r, g, layers, c.Batches(samples))
		if err != nil {
			return 0, fmt.Errorf("inserting batch normalization: %w", err)
		}
		p := rewrite.New(g, "insert-batchnorm", t)
		for i, n := range layers {
			if err := insertBatchNorm(p, n, stats[i]); err != nil {
				return 0, n.Wrap("insert batch normalization", err)
			}
		}
		if err := p.Commit(); err != nil {
			return 0, err
		}
	}
	if err := pass.MarkTrainable(g, t); err != nil {
		return 0, fmt.Errorf("inserting batch normalization: %w", err)
	}
	return countBatchNorms(g) - before, nil
}

func countBatchNorms(g *ir.Graph) (n int) {
	for _, x := range g.Nodes() {
		if _, ok := x.Op.(op.BatchNormalization); ok {
			n++
		}
	}
	return n
}

// lacksBatchNorm reports whether n is a layer that could have normalization: a
// convolution with stored weights and a stored bias or none, whose result goes
// neither to a normalization nor out of the graph.
func lacksBatchNorm(g *ir.Graph, n *ir.Node) bool {
	switch n.Op.(type) {
	case op.Conv, op.ConvTranspose:
	default:
		return false
	}
	if b := n.Input(2); !n.In[1].IsStored() || b != nil && !b.IsStored() || slices.Contains(g.Outputs, n.Out[0]) {
		return false
	}
	if _, known := n.Out[0].Type.Dims[1].Known(); !known {
		return false
	}
	return !slices.ContainsFunc(n.Out[0].Uses(), func(u ir.Use) bool {
		_, bn := u.Node.Op.(op.BatchNormalization)
		return bn
	})
}

// moments are the mean and variance of channels.
type moments struct{ mean, variance []float64 }

// channelStatistics runs g over the data and returns the moments of each
// layer's result. It keeps sums only, of values less the first batch's mean.
func channelStatistics(ctx context.Context, r Runner, g *ir.Graph, layers []*ir.Node, data Batches) ([]moments, error) {
	want := make([]*ir.Value, len(layers))
	type sums struct {
		n                  float64
		shift, sum, square []float64
	}
	all := make([]sums, len(layers))
	for i, n := range layers {
		want[i] = n.Out[0]
	}
	err := r.Run(ctx, g, want, data, func(got []*tensor.Tensor) error {
		for i, t := range got {
			s, shape, x := &all[i], t.Shape(), t.F32()
			channels, inner := shape[1], max(1, shape[2:].Numel())
			each := func(f func(c int, v float64)) {
				for j, v := range x {
					f(j/inner%channels, float64(v))
				}
			}
			per := float64(len(x) / max(1, channels))
			if per == 0 {
				continue
			}
			if s.shift == nil {
				s.shift, s.sum, s.square = make([]float64, channels), make([]float64, channels), make([]float64, channels)
				each(func(c int, v float64) { s.shift[c] += v / per })
			}
			s.n += per
			each(func(c int, v float64) {
				d := v - s.shift[c]
				s.sum[c] += d
				s.square[c] += d * d
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]moments, len(layers))
	for i, s := range all {
		if s.n == 0 {
			return nil, fmt.Errorf("statistics of %q: there were no data", want[i].Name)
		}
		m := moments{make([]float64, len(s.sum)), make([]float64, len(s.sum))}
		for c := range m.mean {
			d := s.sum[c] / s.n
			m.mean[c], m.variance[c] = s.shift[c]+d, max(0, s.square[c]/s.n-d*d)
			if math.IsNaN(m.mean[c]) || math.IsInf(m.mean[c], 0) || math.IsInf(m.variance[c], 0) {
				return nil, fmt.Errorf("statistics of %q: got a mean of %g in channel %d, want finite values; check the inputs", want[i].Name, m.mean[c], c)
			}
		}
		out[i] = m
	}
	return out, nil
}

func insertBatchNorm(p *rewrite.Patch, n *ir.Node, m moments) error {
	g, y, channels := p.Graph(), n.Out[0], len(m.mean)
	scale, bias := make([]float32, channels), make([]float32, channels)
	mean, variance := make([]float32, channels), make([]float32, channels)
	var b []float32
	if v := n.Input(2); v != nil {
		if b = v.Data.F32(); len(b) != channels {
			return fmt.Errorf("bias %q has %d values, want %d", v.Name, len(b), channels)
		}
	}
	for c := range channels {
		variance[c] = float32(m.variance[c])
		scale[c] = float32(math.Sqrt(float64(variance[c]) + insertedEpsilon))
		bias[c] = float32(m.mean[c])
		mean[c] = float32(m.mean[c])
		if b != nil {
			mean[c] = float32(m.mean[c] - float64(b[c]))
		}
	}
	name := n.Name + "/bn"
	stored := func(kind ir.ValueKind, suffix string, x []float32) *ir.Value {
		return g.AddStored(kind, g.UniqueName(name+"."+suffix), tensor.From(x, channels))
	}
	conv := p.B.Op(n.Op, n.Name, n.In[0], n.In[1])
	bn := p.B.Op(op.BatchNormalization{Epsilon: insertedEpsilon, Momentum: insertedMomentum}, name, conv,
		stored(ir.Parameter, "weight", scale), stored(ir.Parameter, "bias", bias), stored(ir.State, "running_mean", mean), stored(ir.State, "running_var", variance))
	if err := p.B.Err(); err != nil {
		return err
	}
	last := y.Name
	p.Replace(y, bn)
	g.Rename(y, g.UniqueName(last+"/replaced"))
	g.Rename(bn, last)
	p.Note("%s", last)
	return nil
}
