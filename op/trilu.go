package op

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Trilu keeps the upper (with Lower: lower) triangle of the last two axes, the
// diagonal k included, and zeroes the rest.
//
//	in  0 x […, M, N]   1 k int64, scalar, optional: 0
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Trilu.html
type Trilu struct{ Lower bool }

var (
	_ ir.Evaluator      = Trilu{}
	_ ir.Differentiable = Trilu{}
)

func (Trilu) Kind() string { return "Trilu" }

func (Trilu) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 2); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type}, wantRank(in[0], "input", 2, maxRank)
}

func (o Trilu) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	s := in[0].Shape()
	if len(s) < 2 {
		return nil, fmt.Errorf("got shape %v, want at least two axes", s)
	}
	k := 0
	if t := present(in, 1); t != nil {
		var err error
		if k, err = intOf(t, "k"); err != nil {
			return nil, err
		}
	}
	// Diagonals beyond the matrix are all alike; this avoids overflow.
	m, n := s[len(s)-2], s[len(s)-1]
	k = min(max(k, -m-1), n+1)
	pos := make([]int, s.Numel())
	for p := range pos {
		i, j := p/n%m, p%n
		if pos[p] = -1; !o.Lower && j >= i+k || o.Lower && j <= i+k {
			pos[p] = p
		}
	}
	return one(pick(in[0], s, pos)), nil
}

func (o Trilu) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	in := append([]*ir.Value{dOut[0]}, n.In[1:]...)
	return first(b.Op(o, n.Name+"/grad", in...), n)
}

func decodeTrilu(d *Decoder) ir.Op { return Trilu{Lower: !d.Bool("upper", true)} }

func encodeTrilu(e *Encoder) {
	e.MinOpset(14)
	e.Set("upper", !e.Node.Op.(Trilu).Lower)
}

// ReverseSequence reverses the first lens[b] elements along TimeAxis, for each
// position b of BatchAxis. One of the axes is 0, the other 1.
//
//	in  0 x   1 lens int64 [batch]
//	out 0 y
//
// Files default to TimeAxis 0 and BatchAxis 1.
// https://onnx.ai/onnx/operators/onnx__ReverseSequence.html
type ReverseSequence struct{ TimeAxis, BatchAxis int }

var (
	_ ir.Evaluator      = ReverseSequence{}
	_ ir.Differentiable = ReverseSequence{}
)

func (ReverseSequence) Kind() string { return "ReverseSequence" }

func (o ReverseSequence) check() error {
	if min(o.TimeAxis, o.BatchAxis) != 0 || max(o.TimeAxis, o.BatchAxis) != 1 {
		return fmt.Errorf("got time_axis %d and batch_axis %d, want 0 and 1", o.TimeAxis, o.BatchAxis)
	}
	return nil
}

func (o ReverseSequence) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type}, wantRank(in[0], "input", 2, maxRank)
}

func (o ReverseSequence) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	s := in[0].Shape()
	if err := o.check(); err != nil {
		return nil, err
	}
	n, err := in[1].Ints()
	if err != nil {
		return nil, err
	}
	if len(s) < 2 || len(n) != s[o.BatchAxis] {
		return nil, fmt.Errorf("got shape %v and %d lengths, want one for each batch", s, len(n))
	}
	st := s.Strides()
	pos := stridedPos(s, st, 0)
	for p := range pos {
		t, b := p/st[o.TimeAxis]%s[o.TimeAxis], p/st[o.BatchAxis]%s[o.BatchAxis]
		l := n[b]
		if l < 0 || l > s[o.TimeAxis] {
			return nil, fmt.Errorf("got length %d for an axis of %d", l, s[o.TimeAxis])
		}
		if t < l {
			pos[p] += (l - 1 - 2*t) * st[o.TimeAxis]
		}
	}
	return one(pick(in[0], s, pos)), nil
}

func (o ReverseSequence) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(b.Op(o, n.Name+"/grad", dOut[0], n.In[1]), n)
}

func decodeReverseSequence(d *Decoder) ir.Op {
	return ReverseSequence{TimeAxis: d.Int("time_axis", 0), BatchAxis: d.Int("batch_axis", 1)}
}

func encodeReverseSequence(e *Encoder) {
	e.MinOpset(10)
	o := e.Node.Op.(ReverseSequence)
	e.Set("time_axis", o.TimeAxis)
	e.Set("batch_axis", o.BatchAxis)
}

// Compress keeps the slices along Axis for which the condition is true; the
// condition may be shorter than the axis. Axis nil treats x as flat.
//
//	in  0 x   1 condition bool [k]
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Compress.html
type Compress struct{ Axis *int }

var (
	_ ir.Evaluator         = Compress{}
	_ ir.NonDifferentiable = Compress{}
)

func (Compress) Kind() string { return "Compress" }

func (o Compress) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := wantDType(in[1], "condition", tensor.Bool); err != nil {
		return nil, err
	}
	if o.Axis == nil {
		return []ir.Type{{DType: in[0].Type.DType, Dims: []ir.Dim{ir.Unknown()}}}, nil
	}
	a, err := tensor.Axis(*o.Axis, in[0].Type.Rank())
	if err != nil {
		return nil, err
	}
	dims := slices.Clone(in[0].Type.Dims)
	dims[a] = ir.Unknown()
	return []ir.Type{{DType: in[0].Type.DType, Dims: dims}}, nil
}

func (o Compress) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x := in[0]
	if in[1].DType() != tensor.Bool {
		return nil, errors.New("condition: want booleans")
	}
	a := 0
	if o.Axis == nil {
		x = x.Reshape(x.Len())
	} else {
		var err error
		if a, err = tensor.Axis(*o.Axis, x.Rank()); err != nil {
			return nil, err
		}
	}
	cond := tensor.Data[bool](in[1])
	if len(cond) > x.Shape()[a] {
		return nil, fmt.Errorf("condition: got %d elements for an axis of %d", len(cond), x.Shape()[a])
	}
	var idx []int64
	for i, c := range cond {
		if c {
			idx = append(idx, int64(i))
		}
	}
	return Gather{Axis: a}.Eval([]*tensor.Tensor{x, tensor.From(idx, len(idx))})
}

func (Compress) NoGrad() string { return "the number of elements depends on the condition" }

func decodeCompress(d *Decoder) ir.Op {
	if !d.Has("axis") {
		return Compress{}
	}
	a := d.Int("axis", 0)
	return Compress{Axis: &a}
}

func encodeCompress(e *Encoder) {
	e.MinOpset(9)
	if a := e.Node.Op.(Compress).Axis; a != nil {
		e.Set("axis", encodedAxis(e, *a))
	}
}
