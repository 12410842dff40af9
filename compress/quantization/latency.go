package quantization

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

type latencyKey struct {
	layer           *layer
	bits, inputBits int
}

// latency measures one layer at the given bits of weight and input: a model of
// that layer alone, with its quantizers, of one sample.
func (s *selection) latency(ctx context.Context, cal compress.Calibration, l *layer, bits, inputBits int) (float64, error) {
	if cal.Latency == nil {
		return 0, errors.New("cost latency: there is nothing to measure with here; nncf inspect --precision --cost latency does it")
	}
	key := latencyKey{l, bits, inputBits}
	if t, ok := s.seconds[key]; ok {
		return t, nil
	}
	total := 0.0
	for _, n := range l.nodes {
		g, err := s.single(l, n, bits, inputBits)
		if err != nil {
			return 0, fmt.Errorf("latency of %s: %w", n.Label(), err)
		}
		t, err := cal.Latency(ctx, g)
		if err != nil {
			return 0, fmt.Errorf("latency of %s at %d bits: %w", n.Label(), bits, err)
		}
		total += t
	}
	s.seconds[key] = total
	return total, nil
}

// single returns a graph of one layer between quantizers.
func (s *selection) single(l *layer, n *ir.Node, bits, inputBits int) (*ir.Graph, error) {
	sp, err := s.c.float.Specialize(s.shapes)
	if err != nil {
		return nil, err
	}
	orig := sp.Value(n.ResultName())
	if orig == nil || orig.Def == nil {
		return nil, errors.New("the float graph has no such layer")
	}
	g := ir.New(n.Label())
	b := ir.NewBuilder(g, Name+"-latency")
	port := weightPort(n)
	in := make([]*ir.Value, len(orig.Def.In))
	quantized := func(v *ir.Value, q Quantizer, scale float32) *ir.Value {
		q.Axis, q.Mode, q.LogScale, q.Gradient = -1, Symmetric, false, ""
		return b.Op(q.operator(s.c.setup), v.Name+"/quantizer", v, g.AddStored(ir.Parameter, v.Name+"/scale", filled(scale, 1)))
	}
	for i, v := range orig.Def.In {
		switch {
		case v == nil:
		case i == port:
			w := tensor.New(tensor.Float32, v.Type.MustShape()...)
			for k := range w.F32() {
				w.F32()[k] = float32(k%15-7) / 7
			}
			q := *l.weight.Quantizer
			in[i] = quantized(g.AddStored(ir.Parameter, v.Name, w), q.withBits(bits), 1)
		case v.IsStored():
			in[i] = g.AddStored(ir.Parameter, v.Name, v.Data)
		default:
			x := g.AddInput(v.Name, v.Type)
			signed := true
			q := Quantizer{Kind: Activation, Bits: 8, Signed: &signed}
			in[i] = quantized(x, q.withBits(inputBits), 1)
		}
	}
	y := b.Op(orig.Def.Op, n.Name, in...)
	if err := b.Err(); err != nil {
		return nil, err
	}
	signed := true
	y = quantized(y, Quantizer{Kind: Activation, Bits: 8, Signed: &signed}, 8)
	g.Outputs = []*ir.Value{y}
	return g, b.Err()
}
