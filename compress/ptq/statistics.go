package ptq

import (
	"context"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// Statistics are the mean inputs of the layers of a float model over the
// samples. It is a [compress.Runner] that stands before another one: what
// quantizers collect their ranges from is what it watches, so that both need one
// pass together.
type Statistics struct {
	next  compress.Runner
	means map[string]*mean // by the layer's result
	order []string
	done  bool
}

var _ compress.Runner = (*Statistics)(nil)

// mean is a sum over the first axis.
type mean struct {
	input string // value
	shape tensor.Shape
	sum   []float64
	n     int
	mixed bool // shapes differ
}

func (m *mean) add(t *tensor.Tensor) {
	s := t.Shape()
	if len(s) == 0 || t.DType() != tensor.Float32 {
		m.mixed = true
		return
	}
	if m.sum == nil {
		m.shape = s.Clone()
		m.shape[0] = 1
		m.sum = make([]float64, m.shape.Numel())
	}
	if !tensor.Shape(s[1:]).Equal(m.shape[1:]) {
		m.mixed = true
	}
	if m.mixed {
		return
	}
	x := t.F32()
	for i := 0; i < len(x); i += len(m.sum) {
		for j, v := range x[i : i+len(m.sum)] {
			m.sum[j] += float64(v)
		}
	}
	m.n += s[0]
}

// tensor returns the mean, with a first axis of 1; nil if there is none.
func (m *mean) tensor() *tensor.Tensor {
	if m == nil || m.mixed || m.n == 0 {
		return nil
	}
	t := tensor.New(tensor.Float32, m.shape...)
	for i, v := range m.sum {
		t.F32()[i] = float32(v / float64(m.n))
	}
	return t
}

// NewStatistics watches the layers of g when r runs it, or a graph with the
// same values.
func NewStatistics(g *ir.Graph, r compress.Runner) *Statistics {
	s := &Statistics{next: r, means: map[string]*mean{}}
	for _, l := range layers(g) {
		s.order = append(s.order, l.name())
		s.means[l.name()] = &mean{input: l.input().Name}
	}
	return s
}

// Run implements [compress.Runner].
func (s *Statistics) Run(ctx context.Context, g *ir.Graph, want []*ir.Value, data compress.Batches, f func(got []*tensor.Tensor) error) error {
	if s.done || !s.suits(g) {
		return s.next.Run(ctx, g, want, data, f)
	}
	s.done = true
	all := append([]*ir.Value(nil), want...)
	at := map[string]int{}
	for i, v := range want {
		at[v.Name] = i
	}
	sums := map[string]*mean{} // layers that read one value share its sum
	var inputs []string
	for _, name := range s.order {
		m := s.means[name]
		if shared := sums[m.input]; shared != nil {
			s.means[name] = shared
			continue
		}
		sums[m.input] = m
		inputs = append(inputs, m.input)
		v := g.Value(m.input)
		if _, ok := at[m.input]; !ok && v.Kind != ir.Input {
			at[m.input] = len(all)
			all = append(all, v)
		}
	}
	var fed []*tensor.Tensor
	batches := func(yield func([]*tensor.Tensor, error) bool) {
		for b, err := range data {
			fed = b
			if !yield(b, err) {
				return
			}
		}
	}
	return s.next.Run(ctx, g, all, batches, func(got []*tensor.Tensor) error {
		for _, name := range inputs {
			if i, ok := at[name]; ok {
				sums[name].add(got[i])
				continue
			}
			for i, v := range g.Inputs {
				if v.Name == name {
					sums[name].add(fed[i])
				}
			}
		}
		return f(got[:len(want)])
	})
}

// suits reports whether g computes what is watched: not quantized, not in
// training form.
func (s *Statistics) suits(g *ir.Graph) bool {
	for _, n := range g.Nodes() {
		if bn, ok := n.Op.(op.BatchNormalization); ok && bn.Training || op.IsFakeQuantizer(n) {
			return false
		}
	}
	for _, m := range s.means {
		if g.Value(m.input) == nil {
			return false
		}
	}
	return true
}

// collect runs g over the samples if nobody else did.
func (s *Statistics) collect(ctx context.Context, g *ir.Graph, samples int, cal compress.Calibration) error {
	if s.done {
		return nil
	}
	return s.Run(ctx, g, nil, cal.Batches(samples), func([]*tensor.Tensor) error { return nil })
}
