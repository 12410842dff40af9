package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// maxElements caps what a reference evaluator allocates for one result: a
// hostile shape must not take the machine down.
const maxElements = 1 << 28

// checkSize reports a shape that is invalid or too large to evaluate. Axes of
// length 0 do not make it smaller: loops run over the others.
func checkSize(shape tensor.Shape) error {
	n := 1
	for _, d := range shape {
		if d < 0 {
			return fmt.Errorf("negative axis in shape %v", shape)
		}
		if d > maxElements/n {
			return fmt.Errorf("got a result of shape %v, want at most %d elements", shape, maxElements)
		}
		n *= max(1, d)
	}
	return nil
}

// one wraps the result of an operator with one output.
func one(t *tensor.Tensor) []*tensor.Tensor { return []*tensor.Tensor{t} }

// oneErr is one for calls that may fail.
func oneErr(t *tensor.Tensor, err error) ([]*tensor.Tensor, error) {
	if err != nil {
		return nil, err
	}
	return one(t), nil
}

// fromFloats rounds vals to the element type d; integers truncate.
func fromFloats(d tensor.DType, vals []float64, shape ...int) *tensor.Tensor {
	switch d {
	case tensor.Float32:
		return tensor.From(convertSlice[float32](vals), shape...)
	case tensor.Float64:
		return tensor.From(vals, shape...)
	case tensor.Float16, tensor.BFloat16:
		out := make([]uint16, len(vals))
		for i, v := range vals {
			if d == tensor.Float16 {
				out[i] = tensor.Float32ToFloat16(float32(v))
			} else {
				out[i] = tensor.Float32ToBFloat16(float32(v))
			}
		}
		return tensor.Wrap(d, out, shape...)
	case tensor.Bool:
		out := make([]bool, len(vals))
		for i, v := range vals {
			out[i] = v != 0
		}
		return tensor.From(out, shape...)
	}
	ints := make([]int, len(vals))
	for i, v := range vals {
		if d == tensor.Uint64 && v >= 1<<63 {
			ints[i] = int(uint64(v))
		} else {
			ints[i] = int(v)
		}
	}
	return fromInts(d, ints, shape...)
}

// fromInts converts vals to the integer type d (or Bool), modulo its range.
func fromInts(d tensor.DType, vals []int, shape ...int) *tensor.Tensor {
	switch d {
	case tensor.Int4:
		out := make([]int8, len(vals))
		for i, v := range vals {
			out[i] = int8(v<<4) >> 4
		}
		return tensor.Wrap(d, out, shape...)
	case tensor.Uint4:
		out := make([]uint8, len(vals))
		for i, v := range vals {
			out[i] = uint8(v) & 15
		}
		return tensor.Wrap(d, out, shape...)
	case tensor.Int8:
		return tensor.From(convertSlice[int8](vals), shape...)
	case tensor.Int16:
		return tensor.From(convertSlice[int16](vals), shape...)
	case tensor.Int32:
		return tensor.From(convertSlice[int32](vals), shape...)
	case tensor.Int64:
		return tensor.From(convertSlice[int64](vals), shape...)
	case tensor.Uint8:
		return tensor.From(convertSlice[uint8](vals), shape...)
	case tensor.Uint16:
		return tensor.From(convertSlice[uint16](vals), shape...)
	case tensor.Uint32:
		return tensor.From(convertSlice[uint32](vals), shape...)
	case tensor.Uint64:
		return tensor.From(convertSlice[uint64](vals), shape...)
	case tensor.Bool:
		out := make([]bool, len(vals))
		for i, v := range vals {
			out[i] = v != 0
		}
		return tensor.From(out, shape...)
	}
	panic(fmt.Sprintf("op: integers as %v", d))
}

func convertSlice[D, S int | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64](s []S) []D {
	out := make([]D, len(s))
	for i, v := range s {
		out[i] = D(v)
	}
	return out
}

// scalarTensor returns a tensor of element type d and rank 0.
func scalarTensor(d tensor.DType, v float64) *tensor.Tensor { return fromFloats(d, []float64{v}) }

// constLike adds a scalar constant of v's element type.
func constLike(b *ir.Builder, name string, v *ir.Value, x float64) *ir.Value {
	return b.Const(name, scalarTensor(v.Type.DType, x))
}

// mapFloats applies f to every element of a floating-point tensor.
func mapFloats(x *tensor.Tensor, f func(float64) float64) (*tensor.Tensor, error) {
	if !x.DType().IsFloat() {
		return nil, fmt.Errorf("got %v elements, want floating point", x.DType())
	}
	v, err := x.Float64s()
	if err != nil {
		return nil, err
	}
	for i, e := range v {
		v[i] = f(e)
	}
	return fromFloats(x.DType(), v, x.Shape()...), nil
}

// mapNumbers is mapFloats that takes integers too.
func mapNumbers(x *tensor.Tensor, f func(float64) float64, i func(int) int) (*tensor.Tensor, error) {
	if !x.DType().IsInteger() {
		return mapFloats(x, f)
	}
	v, err := x.Ints()
	if err != nil {
		return nil, err
	}
	for k, e := range v {
		v[k] = i(e)
	}
	return fromInts(x.DType(), v, x.Shape()...), nil
}

// stridedPos lists, in row-major order of shape, the positions offset + Σ i·stride.
func stridedPos(shape tensor.Shape, strides []int, offset int) []int {
	pos := make([]int, shape.Numel())
	if len(pos) == 0 {
		return pos
	}
	idx := make([]int, len(shape))
	p := offset
	for i := range pos {
		pos[i] = p
		for a := len(shape) - 1; a >= 0; a-- {
			idx[a]++
			p += strides[a]
			if idx[a] < shape[a] {
				break
			}
			p -= idx[a] * strides[a]
			idx[a] = 0
		}
	}
	return pos
}

// broadcastPos lists, for each element of out, the position of its operand in
// a tensor of shape in.
func broadcastPos(out, in tensor.Shape) []int {
	st := make([]int, len(out))
	off := len(out) - len(in)
	for i, s := range in.Strides() {
		if in[i] != 1 {
			st[off+i] = s
		}
	}
	return stridedPos(out, st, 0)
}

// pick returns the elements of src at the given positions; -1 gives zero.
func pick(src *tensor.Tensor, shape tensor.Shape, pos []int) *tensor.Tensor {
	switch src.DType() {
	case tensor.Float32:
		return pickOf[float32](src, shape, pos)
	case tensor.Float64:
		return pickOf[float64](src, shape, pos)
	case tensor.Int4, tensor.Int8:
		return pickOf[int8](src, shape, pos)
	case tensor.Int16:
		return pickOf[int16](src, shape, pos)
	case tensor.Int32:
		return pickOf[int32](src, shape, pos)
	case tensor.Int64:
		return pickOf[int64](src, shape, pos)
	case tensor.Uint4, tensor.Uint8:
		return pickOf[uint8](src, shape, pos)
	case tensor.Uint16, tensor.Float16, tensor.BFloat16:
		return pickOf[uint16](src, shape, pos)
	case tensor.Uint32:
		return pickOf[uint32](src, shape, pos)
	case tensor.Uint64:
		return pickOf[uint64](src, shape, pos)
	case tensor.Bool:
		return pickOf[bool](src, shape, pos)
	case tensor.String:
		return pickOf[string](src, shape, pos)
	}
	panic(fmt.Sprintf("op: pick of %v", src.DType()))
}

func pickOf[T tensor.Element](src *tensor.Tensor, shape tensor.Shape, pos []int) *tensor.Tensor {
	s := tensor.Data[T](src)
	out := make([]T, len(pos))
	for i, p := range pos {
		if p >= 0 {
			out[i] = s[p]
		}
	}
	return tensor.Wrap(src.DType(), out, shape...)
}

// place writes the elements of src to the given positions of dst; -1 drops one.
func place(dst, src *tensor.Tensor, pos []int) {
	switch src.DType() {
	case tensor.Float32:
		placeOf[float32](dst, src, pos)
	case tensor.Float64:
		placeOf[float64](dst, src, pos)
	case tensor.Int4, tensor.Int8:
		placeOf[int8](dst, src, pos)
	case tensor.Int16:
		placeOf[int16](dst, src, pos)
	case tensor.Int32:
		placeOf[int32](dst, src, pos)
	case tensor.Int64:
		placeOf[int64](dst, src, pos)
	case tensor.Uint4, tensor.Uint8:
		placeOf[uint8](dst, src, pos)
	case tensor.Uint16, tensor.Float16, tensor.BFloat16:
		placeOf[uint16](dst, src, pos)
	case tensor.Uint32:
		placeOf[uint32](dst, src, pos)
	case tensor.Uint64:
		placeOf[uint64](dst, src, pos)
	case tensor.Bool:
		placeOf[bool](dst, src, pos)
	case tensor.String:
		placeOf[string](dst, src, pos)
	default:
		panic(fmt.Sprintf("op: place of %v", src.DType()))
	}
}

func placeOf[T tensor.Element](dst, src *tensor.Tensor, pos []int) {
	d, s := tensor.Data[T](dst), tensor.Data[T](src)
	for i, p := range pos {
		if p >= 0 {
			d[p] = s[i]
		}
	}
}

// zip applies a binary function with broadcasting: f to floating-point
// elements, i to integers; u, if set, to uint64, whose upper half i would see
// as negative.
func zip(a, b *tensor.Tensor, f func(x, y float64) float64, i func(x, y int) int, u func(x, y uint64) uint64) (*tensor.Tensor, error) {
	if a.DType() != b.DType() {
		return nil, fmt.Errorf("got %v and %v elements, want the same", a.DType(), b.DType())
	}
	shape, err := tensor.Broadcast(a.Shape(), b.Shape())
	if err != nil {
		return nil, err
	}
	if err := checkSize(shape); err != nil {
		return nil, err
	}
	pa, pb := broadcastPos(shape, a.Shape()), broadcastPos(shape, b.Shape())
	switch d := a.DType(); {
	case d.IsFloat():
		x, _ := a.Float64s()
		y, _ := b.Float64s()
		out := make([]float64, len(pa))
		for k := range out {
			out[k] = f(x[pa[k]], y[pb[k]])
		}
		return fromFloats(d, out, shape...), nil
	case d.IsInteger() && i != nil:
		x, _ := a.Ints()
		y, _ := b.Ints()
		out := make([]int, len(pa))
		for k := range out {
			if d == tensor.Uint64 && u != nil {
				out[k] = int(u(uint64(x[pa[k]]), uint64(y[pb[k]])))
			} else {
				out[k] = i(x[pa[k]], y[pb[k]])
			}
		}
		return fromInts(d, out, shape...), nil
	}
	return nil, fmt.Errorf("got %v elements, want numbers", a.DType())
}

// wantNumbers checks that all present inputs have numeric elements.
func wantNumbers(in ...*ir.Value) error {
	for i, v := range in {
		if v != nil && !v.Type.DType.IsFloat() && !v.Type.DType.IsInteger() {
			return fmt.Errorf("input %d: got %v elements, want numbers", i, v.Type.DType)
		}
	}
	return nil
}

// wantFloat checks that all present inputs have floating-point elements.
func wantFloat(in ...*ir.Value) error {
	for i, v := range in {
		if v != nil && !v.Type.DType.IsFloat() {
			return fmt.Errorf("input %d: got %v elements, want floating point", i, v.Type.DType)
		}
	}
	return nil
}

// wantTensors checks what an evaluator relies on: inputs 0..required-1 are present.
func wantTensors(in []*tensor.Tensor, required int) error {
	for i := range required {
		if present(in, i) == nil {
			return fmt.Errorf("input %d is missing", i)
		}
	}
	return nil
}

// scalarOf returns the only element of a tensor as a float.
func scalarOf(t *tensor.Tensor, what string) (float64, error) {
	if t.Len() != 1 {
		return 0, fmt.Errorf("%s: got shape %v, want one element", what, t.Shape())
	}
	v, err := t.Float64s()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	return v[0], nil
}

// intOf returns the only element of an integer tensor.
func intOf(t *tensor.Tensor, what string) (int, error) {
	v, err := t.Ints()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	if len(v) != 1 {
		return 0, fmt.Errorf("%s: got shape %v, want one element", what, t.Shape())
	}
	return v[0], nil
}

// axesOf resolves axes for the given rank, sorted; nil stands for all.
func axesOf(axes []int, rank int) ([]int, error) {
	out := make([]int, 0, max(len(axes), rank))
	if axes == nil {
		for i := range rank {
			out = append(out, i)
		}
		return out, nil
	}
	for _, a := range axes {
		r, err := tensor.Axis(a, rank)
		if err != nil {
			return nil, err
		}
		if slices.Contains(out, r) {
			return nil, fmt.Errorf("axes %v name axis %d twice", axes, r)
		}
		out = append(out, r)
	}
	slices.Sort(out)
	return out, nil
}

// elementOps is the cost of k elementary operations per output element.
func elementOps(n *ir.Node, k int64) ir.Cost {
	s, ok := n.Out[0].Type.Shape()
	if !ok {
		return ir.Cost{}
	}
	return ir.Cost{Ops: k * int64(s.Numel())}
}

func isNaN(v float64) bool { return math.IsNaN(v) }
