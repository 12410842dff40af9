package op

import (
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// The graph keeps the known elements of integer vectors (ir.Value.Content).
// Exporters also pass them through matrices: torch reverses the pads of a Pad
// as Reshape, Slice, Transpose and Reshape. This file follows elements through
// such detours, by moving their numbers with the reference evaluator.

const (
	maxDetour    = 8  // nodes between two vectors
	maxDetourLen = 64 // elements of a matrix on the way
)

// knownElements returns the elements of an integer tensor of any rank as far
// as they are known, and its shape.
func knownElements(v *ir.Value, depth int) ([]ir.Dim, tensor.Shape, bool) {
	if v == nil || depth > maxDetour {
		return nil, nil, false
	}
	shape, ok := v.Type.Shape()
	if !ok || checkSize(shape) != nil || shape.Numel() > maxDetourLen {
		return nil, nil, false
	}
	if v.Kind == ir.Constant {
		list, err := v.Data.Ints()
		return lens(list), shape, err == nil
	}
	if d, ok := v.ConstDims(); ok && v.Type.Rank() <= 1 {
		return d, shape, len(d) == shape.Numel()
	}
	if v.Def == nil || v.Index != 0 {
		return nil, nil, false
	}
	d, ok := movedElements(v.Def.Op, v.Def.In, depth+1)
	return d, shape, ok && len(d) == shape.Numel()
}

// movedElements applies an operator that only moves elements to the known
// elements of its first input; the other inputs are constant.
func movedElements(o ir.Op, in []*ir.Value, depth int) ([]ir.Dim, bool) {
	switch o := o.(type) {
	case Identity, Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Slice, Gather:
	case Cast:
		if !calculable(o.To) {
			return nil, false
		}
	default:
		return nil, false
	}
	elems, shape, ok := knownElements(in[0], depth)
	if !ok {
		return nil, false
	}
	numbers := make([]int64, len(elems))
	for i := range numbers {
		numbers[i] = int64(i)
	}
	args := []*tensor.Tensor{tensor.From(numbers, shape...)}
	for _, v := range in[1:] {
		if v == nil {
			args = append(args, nil)
			continue
		}
		list, ok := v.ConstInts()
		s, known := v.Type.Shape()
		if !ok || !known || s.Check() != nil || s.Numel() != len(list) {
			return nil, false
		}
		args = append(args, fromInts(tensor.Int64, list, s...))
	}
	out, err := o.(ir.Evaluator).Eval(args)
	if err != nil {
		return nil, false
	}
	moved, err := out[0].Ints()
	if err != nil || len(moved) > maxDetourLen {
		return nil, false
	}
	d := make([]ir.Dim, len(moved))
	for i, k := range moved {
		d[i] = elems[k]
	}
	return d, true
}

// dimsOf returns the known elements of a vector, else what o makes of a matrix
// on a detour.
func dimsOf(o ir.Op, in []*ir.Value) ([]ir.Dim, bool) {
	if d, ok := in[0].ConstDims(); ok {
		return d, true
	}
	return movedElements(o, in, 0)
}
