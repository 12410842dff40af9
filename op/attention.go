package op

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Attention is y = softmax(q·kᵀ·Scale + mask)·v per head, with Softcap·tanh(s/Softcap)
// of the scores before the softmax.
//
//	in  0 q [N, L, QHeads·E] or [N, Hq, L, E]   1 k [N, S, KVHeads·E] or [N, Hk, S, E]   2 v as k, with heads of F
//	    3 mask, optional: added, or where bool true lets pass; broadcast to [N, Hq, L, P+S], and padded with what masks
//	    4 past k [N, Hk, P, E], optional   5 past v [N, Hk, P, F], optional
//	out 0 y [N, L, QHeads·F] or [N, Hq, L, F]   1 k with the past before it   2 v with the past before it
//	    3 scores [N, Hq, L, P+S] by OutputMode: 0 of the product, 1 with the mask, 2 behind the softcap, 3 behind the softmax
//
// Hq is a multiple of Hk: as many heads of q share one of k and v. Causal lets
// position i of q see positions up to P+i. Scale 0 stands for 1/√E. A row that
// sees nothing is 0.
// https://onnx.ai/onnx/operators/onnx__Attention.html
type Attention struct {
	QHeads, KVHeads  int // of operands with 3 axes; 0 with 4
	Scale, Softcap   float32
	Causal           bool
	OutputMode       int
	SoftmaxPrecision int // an ONNX element type, 0 for none; the softmax is no less precise here
}

var (
	_ ir.Evaluator         = Attention{}
	_ ir.NonDifferentiable = Attention{}
	_ ir.Costed            = Attention{}
	_ ir.QuantTraited      = Attention{}
)

func (Attention) Kind() string { return "Attention" }

func (Attention) NoGrad() string {
	return "it is trained in the form of products and softmax, which canonicalization makes of it unless it keeps a past or gives its scores"
}

// attentionSize are the axes; n, l, s and p may be symbolic.
type attentionSize struct {
	n, l, s, p, total ir.Dim
	hq, hk, e, f      int
}

func (a Attention) size(in []*ir.Value) (z attentionSize, err error) {
	q, k, v := in[0].Type, in[1].Type, in[2].Type
	if q.Rank() != k.Rank() || q.Rank() != v.Rank() || q.Rank() != 3 && q.Rank() != 4 {
		return z, fmt.Errorf("got q %v, k %v and v %v, want 3 or 4 axes each", q, k, v)
	}
	last := func(t ir.Type, heads int) (h, width int, err error) {
		if t.Rank() == 4 {
			h, ok1 := t.Dims[1].Known()
			w, ok2 := t.Dims[3].Known()
			if !ok1 || !ok2 || h < 1 || w < 1 {
				return 0, 0, fmt.Errorf("got %v, want known heads", t)
			}
			return h, w, nil
		}
		w, ok := t.Dims[2].Known()
		if heads < 1 {
			return 0, 0, fmt.Errorf("q_num_heads and kv_num_heads: got %d and %d, want the heads of operands with 3 axes", a.QHeads, a.KVHeads)
		}
		if !ok || w < 1 || w%heads != 0 {
			return 0, 0, fmt.Errorf("got %v, want a last axis that is a multiple of %d heads", t, heads)
		}
		return heads, w / heads, nil
	}
	var ek, hv int
	if z.hq, z.e, err = last(q, a.QHeads); err != nil {
		return z, fmt.Errorf("q: %w", err)
	}
	if z.hk, ek, err = last(k, a.KVHeads); err != nil {
		return z, fmt.Errorf("k: %w", err)
	}
	if hv, z.f, err = last(v, a.KVHeads); err != nil {
		return z, fmt.Errorf("v: %w", err)
	}
	if z.hk != hv || z.e != ek || z.hq%z.hk != 0 {
		return z, fmt.Errorf("got q %v, k %v and v %v, want equal heads of k and v, a multiple of them of q, and equal sizes of q and k", q, k, v)
	}
	pos := q.Rank() - 2
	z.n, z.l, z.s, z.p = q.Dims[0], q.Dims[pos], k.Dims[pos], ir.Len(0)
	if !k.Dims[0].MayEqual(z.n) || !v.Dims[0].MayEqual(z.n) || !v.Dims[pos].MayEqual(z.s) {
		return z, fmt.Errorf("got q %v, k %v and v %v, want equal batches and positions", q, k, v)
	}
	z.total = z.s
	pk, pv := present(in, 4), present(in, 5)
	if (pk == nil) != (pv == nil) {
		return z, fmt.Errorf("got one of past key and past value, want both or neither")
	}
	if pk != nil {
		if pk.Type.Rank() != 4 || pv.Type.Rank() != 4 || !pk.Type.Dims[1].MayEqual(ir.Len(z.hk)) || !pk.Type.Dims[3].MayEqual(ir.Len(z.e)) ||
			!pv.Type.Dims[1].MayEqual(ir.Len(z.hk)) || !pv.Type.Dims[3].MayEqual(ir.Len(z.f)) || !pk.Type.Dims[2].MayEqual(pv.Type.Dims[2]) ||
			!pk.Type.Dims[0].MayEqual(z.n) || !pv.Type.Dims[0].MayEqual(z.n) {
			return z, fmt.Errorf("got past key %v and value %v, want [N %d P %d] and [N %d P %d]", pk.Type, pv.Type, z.hk, z.e, z.hk, z.f)
		}
		z.p = pk.Type.Dims[2]
		p, ok1 := z.p.Known()
		s, ok2 := z.s.Known()
		if z.total = ir.Unknown(); ok1 && ok2 {
			z.total = ir.Len(p + s)
		}
	}
	return z, nil
}

func (a Attention) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 3, 6); err != nil {
		return nil, err
	}
	if a.OutputMode < 0 || a.OutputMode > 3 {
		return nil, fmt.Errorf("qk_matmul_output_mode: got %d, want 0 to 3", a.OutputMode)
	}
	for i, v := range in {
		if v == nil {
			continue
		}
		if i == 3 && v.Type.DType == tensor.Bool {
			continue
		}
		if err := wantSameDType(in[0], v); err != nil {
			return nil, err
		}
	}
	if err := wantFloat(in[0]); err != nil {
		return nil, err
	}
	z, err := a.size(in)
	if err != nil {
		return nil, err
	}
	if m := present(in, 3); m != nil && (m.Type.Rank() < 2 || m.Type.Rank() > 4) {
		return nil, fmt.Errorf("mask: got %v, want 2 to 4 axes", m.Type)
	}
	t := func(d ...ir.Dim) ir.Type { return ir.Type{DType: in[0].Type.DType, Dims: d} }
	y := t(z.n, z.l, ir.Len(z.hq*z.f))
	if in[0].Type.Rank() == 4 {
		y = t(z.n, ir.Len(z.hq), z.l, ir.Len(z.f))
	}
	return []ir.Type{y, t(z.n, ir.Len(z.hk), z.total, ir.Len(z.e)), t(z.n, ir.Len(z.hk), z.total, ir.Len(z.f)), t(z.n, ir.Len(z.hq), z.l, z.total)}, nil
}

// heads brings an operand to [N, heads, positions, width] behind a past.
func heads(t, past *tensor.Tensor, h int) (data []float64, err error) {
	if t.Rank() == 3 {
		s := t.Shape()
		if t, err = permuted(t.Reshape(s[0], s[1], h, s[2]/h), 0, 2, 1, 3); err != nil {
			return nil, err
		}
	}
	x, err := reals(t)
	if err != nil || past == nil {
		return x, err
	}
	before, err := reals(past)
	if err != nil {
		return nil, err
	}
	s := t.Shape()
	own, old := s[2]*s[3], past.Shape()[2]*s[3]
	for i := range s[0] * s[1] {
		data = append(append(data, before[i*old:][:old]...), x[i*own:][:own]...)
	}
	return data, nil
}

func (a Attention) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 3); err != nil {
		return nil, err
	}
	vals := make([]*ir.Value, len(in))
	for i, t := range in {
		if t != nil {
			vals[i] = &ir.Value{Type: ir.TypeOf(t)}
		}
	}
	types, err := a.Infer(vals)
	if err != nil {
		return nil, err
	}
	z, err := a.size(vals)
	if err != nil {
		return nil, err
	}
	for _, t := range types {
		if err := checkSize(t.MustShape()); err != nil {
			return nil, err
		}
	}
	n, l, total, past := z.n.N, z.l.N, z.total.N, z.p.N
	q, err1 := heads(in[0], nil, z.hq)
	k, err2 := heads(in[1], present(in, 4), z.hk)
	v, err3 := heads(in[2], present(in, 5), z.hk)
	if err1 != nil || err2 != nil || err3 != nil {
		return nil, fmt.Errorf("got operands that are no real numbers")
	}
	mask, err := a.mask(present(in, 3), tensor.Shape{n, z.hq, l, total})
	if err != nil {
		return nil, err
	}
	scale := float64(a.Scale)
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(z.e))
	}
	y, scores := make([]float64, n*z.hq*l*z.f), make([]float64, n*z.hq*l*total)
	row := make([]float64, total)
	for i := range n * z.hq * l {
		b, h, at := i/l/z.hq, i/l%z.hq, i%l
		kv := b*z.hk + h/(z.hq/z.hk)
		out := scores[i*total:][:total]
		keep := func(mode int) {
			if a.OutputMode == mode {
				copy(out, row)
			}
		}
		for j := range row {
			row[j] = scale * dot(q[i*z.e:][:z.e], k[(kv*total+j)*z.e:][:z.e])
		}
		keep(0)
		for j := range row {
			if mask != nil {
				row[j] += mask[i*total+j]
			}
			if a.Causal && j > at+past {
				row[j] = math.Inf(-1)
			}
		}
		keep(1)
		if c := float64(a.Softcap); c > 0 {
			for j, x := range row {
				if !math.IsInf(x, -1) {
					row[j] = c * math.Tanh(x/c)
				}
			}
		}
		keep(2)
		attend(row)
		keep(3)
		for j, p := range row {
			for f, x := range v[(kv*total+j)*z.f:][:z.f] {
				y[i*z.f+f] += p * x
			}
		}
	}
	d := in[0].DType()
	yt := fromFloats(d, y, n, z.hq, l, z.f)
	if in[0].Rank() == 3 {
		if yt, err = permuted(yt, 0, 2, 1, 3); err != nil {
			return nil, err
		}
		yt = yt.Reshape(n, l, z.hq*z.f)
	}
	return []*tensor.Tensor{yt, fromFloats(d, k, n, z.hk, total, z.e), fromFloats(d, v, n, z.hk, total, z.f), fromFloats(d, scores, n, z.hq, l, total)}, nil
}

// attend is softmax, of a row that sees nothing 0.
func attend(row []float64) {
	most, sum := math.Inf(-1), 0.0
	for _, x := range row {
		most = max(most, x)
	}
	if math.IsInf(most, -1) {
		clear(row)
		return
	}
	for j, x := range row {
		row[j] = math.Exp(x - most)
		sum += row[j]
	}
	for j := range row {
		row[j] /= sum
	}
}

// mask returns what is added to scores of the given shape, nil for nothing.
func (a Attention) mask(m *tensor.Tensor, shape tensor.Shape) ([]float64, error) {
	if m == nil {
		return nil, nil
	}
	own := m.Shape()
	width := own[len(own)-1]
	if width > shape[3] {
		return nil, fmt.Errorf("mask: got %v, want at most %d positions", own, shape[3])
	}
	part := tensor.Shape{shape[0], shape[1], shape[2], width}
	if full, err := tensor.Broadcast(part, own); err != nil || !full.Equal(part) {
		return nil, fmt.Errorf("mask: got %v, want a shape that broadcasts to %v", own, part)
	}
	var x []float64
	if m.DType() == tensor.Bool {
		x = make([]float64, m.Len())
		for i, on := range tensor.Data[bool](m) {
			if !on {
				x[i] = math.Inf(-1)
			}
		}
	} else {
		var err error
		if x, err = reals(m); err != nil {
			return nil, err
		}
	}
	out := make([]float64, shape.Numel())
	for i := range out {
		out[i] = math.Inf(-1)
	}
	for i, p := range broadcastPos(part, own) {
		if width > 0 {
			out[i/width*shape[3]+i%width] = x[p]
		}
	}
	return out, nil
}

func (a Attention) Cost(n *ir.Node) ir.Cost {
	z, err := a.size(n.In)
	if err != nil {
		return ir.Cost{}
	}
	rows := int64(z.n.N) * int64(z.hq) * int64(z.l.N) * int64(z.total.N)
	return ir.Cost{MACs: rows * int64(z.e+z.f), Ops: 4 * rows}
}

// QuantTrait: what canonicalization leaves whole is computed in float.
func (Attention) QuantTrait() ir.QuantTrait { return ir.QuantFloat }

func decodeAttention(d *Decoder) ir.Op {
	a := Attention{QHeads: d.Int("q_num_heads", 0), KVHeads: d.Int("kv_num_heads", 0), Scale: d.Float("scale", 0), Softcap: d.Float("softcap", 0),
		Causal: d.Bool("is_causal", false), OutputMode: d.Int("qk_matmul_output_mode", 0), SoftmaxPrecision: d.Int("softmax_precision", 0)}
	if len(d.In) > 6 {
		d.Errorf("input 6 (nonpad_kv_seqlen) is not supported: give the lengths as a mask")
		d.In = d.In[:6]
	}
	if !(a.Softcap >= 0) || !(a.Scale >= 0) {
		d.Errorf("softcap and scale: got %g and %g, want positive numbers", a.Softcap, a.Scale)
	}
	return a
}

func encodeAttention(e *Encoder) {
	e.MinOpset(23)
	a := e.Node.Op.(Attention)
	if e.Node.In[0].Type.Rank() == 3 {
		e.Set("q_num_heads", a.QHeads)
		e.Set("kv_num_heads", a.KVHeads)
	}
	if a.Scale != 0 {
		e.Set("scale", a.Scale)
	}
	if a.Softcap != 0 {
		e.Set("softcap", a.Softcap)
	}
	if a.Causal {
		e.Set("is_causal", 1)
	}
	if a.OutputMode != 0 {
		e.Set("qk_matmul_output_mode", a.OutputMode)
	}
	if a.SoftmaxPrecision != 0 {
		e.Set("softmax_precision", a.SoftmaxPrecision)
	}
}
