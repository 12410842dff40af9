package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// sequence is a recurrent cell at work: operands with the batch behind the time.
type sequence struct {
	Recurrent
	recurrentSize
	f     []CellFunction // of all directions
	lens  []int          // nil: all are t
	dtype tensor.DType
	v     [][]float64 // by input; nil if omitted
}

// newSequence reads the operands of a forward pass.
func (r Recurrent) newSequence(in []*tensor.Tensor, c cell) (*sequence, error) {
	if err := wantTensors(in, 3); err != nil {
		return nil, err
	}
	vals := make([]*ir.Value, len(in))
	for i, t := range in {
		if t != nil {
			vals[i] = &ir.Value{Type: ir.TypeOf(t)}
		}
	}
	y, _, size, err := r.infer(vals, c)
	if err != nil {
		return nil, err
	}
	s := &sequence{Recurrent: r, recurrentSize: size, dtype: in[0].DType()}
	if s.f, err = r.functions(c); err != nil {
		return nil, err
	}
	if err := checkSize(y.MustShape()); err != nil {
		return nil, err
	}
	s.t, s.n = in[0].Shape()[0], in[0].Shape()[1]
	if r.BatchFirst {
		s.t, s.n = s.n, s.t
	}
	if err := checkSize(tensor.Shape{s.d, s.t, s.n, s.g, s.h}); err != nil {
		return nil, err
	}
	s.v = make([][]float64, 8)
	for i, t := range in {
		if t == nil {
			continue
		}
		if i == 4 {
			s.lens = make([]int, t.Len())
			if err := SequenceLengths(s.lens, t, s.t); err != nil {
				return nil, err
			}
			continue
		}
		if r.BatchFirst && (i == 0 || i == 5 || i == 6) {
			if t, err = permuted(t, 1, 0, 2); err != nil {
				return nil, err
			}
		}
		if s.v[i], err = reals(t); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// SequenceLengths writes how long each of the sequences is, as t says, which has
// int32 or int64 elements, as many as dst.
func SequenceLengths(dst []int, t *tensor.Tensor, most int) error {
	if t.Len() != len(dst) {
		return fmt.Errorf("sequence_lens: got %d lengths, want %d", t.Len(), len(dst))
	}
	for i := range dst {
		switch t.DType() {
		case tensor.Int32:
			dst[i] = int(tensor.Data[int32](t)[i])
		case tensor.Int64:
			dst[i] = int(t.I64()[i])
		default:
			return fmt.Errorf("sequence_lens: got %v, want int32 or int64", t.DType())
		}
		if dst[i] < 0 || dst[i] > most {
			return fmt.Errorf("sequence_lens: sample %d has length %d, want 0 to %d", i, dst[i], most)
		}
	}
	return nil
}

func permuted(t *tensor.Tensor, perm ...int) (*tensor.Tensor, error) {
	out, err := Transpose{Perm: perm}.Eval([]*tensor.Tensor{t})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// walk calls f for the times of sample n that direction d visits, in order.
func (s *sequence) walk(d, n int, f func(t int)) {
	length := s.t
	if s.lens != nil {
		length = s.lens[n]
	}
	for k := range length {
		if s.Reversed(d) {
			f(length - 1 - k)
		} else {
			f(k)
		}
	}
}

// back is walk in the opposite order; before is the time visited before t, or
// -1 for none.
func (s *sequence) back(d, n int, f func(t, before int)) {
	var list []int
	s.walk(d, n, func(t int) { list = append(list, t) })
	for k := len(list) - 1; k >= 0; k-- {
		if k == 0 {
			f(list[0], -1)
		} else {
			f(list[k], list[k-1])
		}
	}
}

// row returns the k numbers of x that belong to direction, time and sample.
func (s *sequence) row(x []float64, d, t, n, k int) []float64 { return x[((d*s.t+t)*s.n+n)*k:][:k] }

// state returns the numbers of x that belong to direction and sample; zeros if
// x is omitted.
func (s *sequence) state(x []float64, d, n int) []float64 {
	if x == nil {
		return make([]float64, s.h)
	}
	return x[(d*s.n+n)*s.h:][:s.h]
}

// yRow returns the part of y or its gradient that belongs to direction, time and
// sample.
func (s *sequence) yRow(y []float64, d, t, n int) []float64 {
	return y[((t*s.d+d)*s.n+n)*s.h:][:s.h]
}

// input adds w·x and the biases to the arguments of the gates; recurrent biases
// only up to gate g.
func (s *sequence) input(pre []float64, d, t, n, g int) {
	x := s.v[0][(t*s.n+n)*s.i:][:s.i]
	rows := s.g * s.h
	for j := range rows {
		pre[j] = dot(s.v[1][(d*rows+j)*s.i:][:s.i], x)
		if b := s.v[3]; b != nil {
			pre[j] += b[d*2*rows+j]
			if j < g*s.h {
				pre[j] += b[d*2*rows+rows+j]
			}
		}
	}
}

// recurrent returns r·h of gate g's row j.
func (s *sequence) recurrent(h []float64, d, g, j int) float64 {
	return dot(s.v[2][(d*s.g*s.h+g*s.h+j)*s.h:][:s.h], h)
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

// act is function k of direction d at the clipped x.
func (s *sequence) act(d, k int, x float64) float64 {
	if c := float64(s.Clip); c > 0 {
		x = max(-c, min(c, x))
	}
	return s.f[d*len(s.f)/s.d+k].Value(x)
}

// slope is the derivative of act, where it has the value y.
func (s *sequence) slope(d, k int, y float64) float64 {
	f := s.f[d*len(s.f)/s.d+k]
	if lo, hi := f.Limits(float64(s.Clip)); y <= lo || y >= hi {
		return 0
	}
	return f.Slope(y)
}

// results makes y and the last states.
func (s *sequence) results(y []float64, states ...[]float64) ([]*tensor.Tensor, error) {
	out := []*tensor.Tensor{fromFloats(s.dtype, y, s.t, s.d, s.n, s.h)}
	for _, v := range states {
		out = append(out, fromFloats(s.dtype, v, s.d, s.n, s.h))
	}
	if !s.BatchFirst {
		return out, nil
	}
	for i, t := range out {
		perm := []int{1, 0, 2}
		if i == 0 {
			perm = []int{2, 0, 1, 3}
		}
		var err error
		if out[i], err = permuted(t, perm...); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// perStep makes a tensor with k numbers for each direction, time and sample.
func (s *sequence) perStep(v []float64, k int) *tensor.Tensor {
	return fromFloats(s.dtype, v, s.d, s.t, s.n, k)
}

func (s *sequence) stepCount() int { return s.d * s.t * s.n }

func (s *sequence) newStates() []float64 { return make([]float64, s.d*s.n*s.h) }
