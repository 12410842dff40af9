package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// The gradient of a recurrent cell has two parts. One operator of the cell's own,
// such as [LSTMGrad], goes back through time and gives the gradients of the
// gates' arguments, a. Everything else is products over all times together, which
// are ordinary nodes:
//
//	dx = Σ_d da_d·W_d   dW_d = da_dᵀ·x   dR_d = da_dᵀ·(h before)   db = Σ da

// backward writes the nodes of a cell's gradient.
type backward struct {
	calc
	n    *ir.Node
	r    Recurrent
	size recurrentSize
	in   []*ir.Value // the cell's inputs, time first
	dOut []*ir.Value // of y and the states, time first
}

func (r Recurrent) newBackward(b *ir.Builder, n *ir.Node, dOut []*ir.Value, k cell) (*backward, error) {
	_, _, s, err := r.infer(n.In, k)
	if err != nil {
		return nil, err
	}
	funcs, err := r.functions(k)
	if err != nil {
		return nil, err
	}
	for _, f := range funcs {
		if err := f.differentiable(); err != nil {
			return nil, err
		}
	}
	c := &backward{calc: gradCalc(b, n), n: n, r: r, size: s, dOut: make([]*ir.Value, 3)}
	for i, v := range n.In {
		if r.BatchFirst && v != nil && (i == 0 || i == 5 || i == 6) {
			v = c.op(Transpose{Perm: []int{1, 0, 2}}, v)
		}
		c.in = append(c.in, v)
	}
	for i := range min(3, len(dOut)) {
		v := dOut[i]
		if r.BatchFirst && v != nil {
			perm := []int{1, 0, 2}
			if i == 0 {
				perm = []int{1, 2, 0, 3}
			}
			v = c.op(Transpose{Perm: perm}, v)
		}
		c.dOut[i] = v
	}
	x := c.in[0].Type.MustShape()
	c.size.t, c.size.n = x[0], x[1]
	return c, nil
}

// forward returns the first k outputs of the cell in training form, which the
// node has or is computed again for.
func (c *backward) forward(o ir.Op, k int) []*ir.Value {
	if c.r.Training && !c.r.BatchFirst && len(c.n.Out) >= k {
		whole := true
		for _, v := range c.n.Out[:k] {
			whole = whole && v != nil
		}
		if whole {
			return c.n.Out
		}
	}
	return c.b.Multi(o, c.n.Name+"/again", k, c.in...)
}

// rows takes the numbers of direction d out of [D, T, N, k], as [T·N, k].
func (c *backward) rows(v *ir.Value, d int) *ir.Value {
	if c.b.Err() != nil {
		return v
	}
	k := v.Type.MustShape()[3]
	if c.size.d > 1 {
		v = c.slice(v, 0, d, d+1)
	}
	return reshapeTo(c.b, c.name, v, ir.MakeType(v.Type.DType, c.size.t*c.size.n, k))
}

// slice takes the entries from lo to hi along an axis.
func (c *backward) slice(v *ir.Value, axis, lo, hi int) *ir.Value {
	return c.op(Slice{}, v, c.b.ConstInts(c.name+"/starts", lo), c.b.ConstInts(c.name+"/ends", hi), c.b.ConstInts(c.name+"/axes", axis))
}

// join puts what each direction has along a new axis 0.
func (c *backward) join(list []*ir.Value) *ir.Value {
	for i, v := range list {
		if c.b.Err() != nil {
			return v
		}
		list[i] = reshapeTo(c.b, c.name, v, ir.MakeType(v.Type.DType, append([]int{1}, v.Type.MustShape()...)...))
	}
	if len(list) == 1 {
		return list[0]
	}
	return c.op(Concat{Axis: 0}, list...)
}

// direction takes direction d out of w or r, as a matrix.
func (c *backward) direction(v *ir.Value, d int) *ir.Value {
	if c.b.Err() != nil {
		return v
	}
	s := v.Type.MustShape()
	if c.size.d > 1 {
		v = c.slice(v, 0, d, d+1)
	}
	return reshapeTo(c.b, c.name, v, ir.MakeType(v.Type.DType, s[1:]...))
}

// weights returns the gradients of the inputs up to b. da are those of the
// arguments as w sees them, dr as r sees them, before is h before each step;
// split, of a GRU, replaces before for the gate behind the first two.
func (c *backward) weights(need []bool, da, dr, before, split *ir.Value) []*ir.Value {
	grads := make([]*ir.Value, len(c.n.In))
	s := c.size
	if need[0] {
		var dx *ir.Value
		for d := range s.d {
			part := c.op(Gemm{}, c.rows(da, d), c.direction(c.in[1], d))
			if dx == nil {
				dx = part
			} else {
				dx = c.add(dx, part)
			}
		}
		dx = reshapeTo(c.b, c.name, dx, c.in[0].Type)
		if c.r.BatchFirst {
			dx = c.op(Transpose{Perm: []int{1, 0, 2}}, dx)
		}
		grads[0] = dx
	}
	if need[1] {
		x := reshapeTo(c.b, c.name, c.in[0], ir.MakeType(c.in[0].Type.DType, s.t*s.n, s.i))
		var list []*ir.Value
		for d := range s.d {
			list = append(list, c.op(Gemm{TransA: true}, c.rows(da, d), x))
		}
		grads[1] = c.join(list)
	}
	if need[2] {
		var list []*ir.Value
		for d := range s.d {
			rows, h := c.rows(dr, d), c.rows(before, d)
			if split == nil {
				list = append(list, c.op(Gemm{TransA: true}, rows, h))
				continue
			}
			list = append(list, c.op(Concat{Axis: 0},
				c.op(Gemm{TransA: true}, c.slice(rows, 1, 0, 2*s.h), h),
				c.op(Gemm{TransA: true}, c.slice(rows, 1, 2*s.h, 3*s.h), c.rows(split, d))))
		}
		grads[2] = c.join(list)
	}
	if present(c.n.In, 3) != nil && need[3] {
		sum := func(v *ir.Value) *ir.Value { return c.op(ReduceSum{}, v, c.b.ConstInts(c.name+"/axes", 1, 2)) }
		db := sum(da)
		dbr := db
		if dr != da {
			dbr = sum(dr)
		}
		grads[3] = c.op(Concat{Axis: 1}, db, dbr)
	}
	return grads
}

// state stores the gradient of an initial state.
func (c *backward) state(grads []*ir.Value, need []bool, port int, g *ir.Value) {
	if present(c.n.In, port) == nil || !need[port] {
		return
	}
	if c.r.BatchFirst {
		g = c.op(Transpose{Perm: []int{1, 0, 2}}, g)
	}
	grads[port] = g
}

// A cell's gradient operator goes back through time. Its first operands and
// results are the same for all cells:
//
//	in  0 y [T, D, N, H]   1 r [D, G·H, H]   2 sequence lengths, optional   3 initial h, optional
//	    4 dy, optional     5 dh of the last state, optional
//	out 0 da [D, T, N, G·H]   1 dh of the initial state [D, N, H]   2 h before each step [D, T, N, H]
//
// all with the time first, whatever BatchFirst says.

// inferBack returns the first three results; more are the lengths of the last
// axes of the inputs from 6 on, in units of H: below 0 those of states.
func (r Recurrent) inferBack(in []*ir.Value, c cell, more ...int) ([]ir.Type, recurrentSize, error) {
	var s recurrentSize
	if err := wantInputs(in, 2, 6+len(more)); err != nil {
		return nil, s, err
	}
	r.BatchFirst = false
	if err := r.check(c); err != nil {
		return nil, s, err
	}
	if err := wantFloat(in[0], in[1]); err != nil {
		return nil, s, err
	}
	y, rec := in[0].Type, in[1].Type
	rs, ok := rec.Shape()
	if !ok || len(rs) != 3 || rs[0] != r.Directions() || rs[1] != c.gates*rs[2] {
		return nil, s, fmt.Errorf("r: got %v, want known axes [%d %d·H H]", rec, r.Directions(), c.gates)
	}
	s = recurrentSize{d: rs[0], h: rs[2], g: c.gates}
	if y.Rank() != 4 || !y.Dims[1].MayEqual(ir.Len(s.d)) || !y.Dims[3].MayEqual(ir.Len(s.h)) {
		return nil, s, fmt.Errorf("y: got %v for r %v, want [T %d N %d]", y, rec, s.d, s.h)
	}
	state := ir.Type{DType: y.DType, Dims: []ir.Dim{ir.Len(s.d), y.Dims[2], ir.Len(s.h)}}
	want := []ir.Type{y, rec, {DType: tensor.Int32, Dims: []ir.Dim{y.Dims[2]}}, state, y, state}
	for _, k := range more {
		switch {
		case k > 0:
			want = append(want, r.steps(y, k*s.h))
		case k == 0:
			want = append(want, state)
		default: // of each direction
			want = append(want, ir.MakeType(y.DType, s.d, -k*s.h))
		}
	}
	for i, v := range in {
		if v == nil {
			continue
		}
		t := want[i]
		if i == 2 {
			if err := wantDType(v, "sequence_lens", tensor.Int32, tensor.Int64); err != nil {
				return nil, s, err
			}
			t.DType = v.Type.DType
		}
		same := v.Type.DType == t.DType && v.Type.Rank() == len(t.Dims)
		for k := range min(len(t.Dims), v.Type.Rank()) {
			same = same && v.Type.Dims[k].MayEqual(t.Dims[k])
		}
		if !same {
			return nil, s, fmt.Errorf("input %d: got %v, want %v", i, v.Type, t)
		}
	}
	return []ir.Type{r.steps(y, s.g*s.h), state, r.steps(y, s.h)}, s, nil
}

// newBack reads the operands of a gradient operator, by port.
func (r Recurrent) newBack(in []*tensor.Tensor, c cell, more ...int) (*sequence, error) {
	vals := make([]*ir.Value, len(in))
	for i, t := range in {
		if t != nil {
			vals[i] = &ir.Value{Type: ir.TypeOf(t)}
		}
	}
	_, size, err := r.inferBack(vals, c, more...)
	if err != nil {
		return nil, err
	}
	r.BatchFirst = false
	s := &sequence{Recurrent: r, recurrentSize: size, dtype: in[1].DType(), v: make([][]float64, 6+len(more))}
	s.t, s.n = in[0].Shape()[0], in[0].Shape()[2]
	if err := checkSize(tensor.Shape{s.d, s.t, s.n, s.g, s.h}); err != nil {
		return nil, err
	}
	if s.f, err = r.functions(c); err != nil {
		return nil, err
	}
	for i, t := range in {
		if t == nil {
			continue
		}
		if i == 2 {
			s.lens = make([]int, t.Len())
			err = SequenceLengths(s.lens, t, s.t)
		} else {
			s.v[i], err = reals(t)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// goBack calls f for all samples and times, backward. f gets the gradient of h
// behind the step, adds the arguments' gradient to da and replaces dh by the
// part of h's gradient that does not go through r; it returns what r multiplies:
// the gradients of the arguments of gates as r sees them.
func (s *sequence) goBack(begin func(d, n int), f func(d, n, t, before int, h, dh, da []float64) []float64, end func(d, n int)) []*tensor.Tensor {
	k := s.g * s.h
	da, dh0, hs := make([]float64, s.stepCount()*k), s.newStates(), make([]float64, s.stepCount()*s.h)
	for d := range s.d {
		for n := range s.n {
			dh := s.state(dh0, d, n)
			copy(dh, s.state(s.v[5], d, n))
			begin(d, n)
			s.back(d, n, func(t, before int) {
				h := s.row(hs, d, t, n, s.h)
				if before < 0 {
					copy(h, s.state(s.v[3], d, n))
				} else {
					copy(h, s.yRow(s.v[0], d, before, n))
				}
				if s.v[4] != nil {
					for j, v := range s.yRow(s.v[4], d, t, n) {
						dh[j] += v
					}
				}
				through := f(d, n, t, before, h, dh, s.row(da, d, t, n, k))
				for i, v := range through {
					for j, w := range s.v[1][(d*k+i)*s.h:][:s.h] {
						dh[j] += v * w
					}
				}
			})
			end(d, n)
		}
	}
	return []*tensor.Tensor{s.perStep(da, k), fromFloats(s.dtype, dh0, s.d, s.n, s.h), s.perStep(hs, s.h)}
}

const noSecondGradient = "the gradient of a recurrent cell has no gradient of its own, so second derivatives are not available; leave the cell out of what asks for them"
