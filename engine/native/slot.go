package native

import (
	"github.com/go-nncf/nncf/engine/plan"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// order is the physical order of a value's axes.
type order uint8

const (
	rowMajor order = iota
	channelsLast
)

// String returns the name used in printed plans.
func (o order) String() string {
	if o == channelsLast {
		return "channels-last"
	}
	return "row-major"
}

// physical returns the axes of a logical shape in order o.
func (o order) physical(shape tensor.Shape) tensor.Shape {
	if o == rowMajor || len(shape) < 3 {
		return shape
	}
	p := append(tensor.Shape{shape[0]}, shape[2:]...)
	return append(p, shape[1])
}

// sameMemory reports whether both orders of the shape are the same bytes: with
// one channel, or with one position.
func sameMemory(shape tensor.Shape) bool {
	return len(shape) < 3 || shape[1] == 1 || shape[2:].Numel() == 1
}

// slot is a value in one physical order: where kernels find it. data is set
// from the start for stored values and the border, and when memory is placed
// for spans of the arena; its shape is the physical one.
type slot struct {
	value *ir.Value
	order order
	shape tensor.Shape // logical
	dtype tensor.DType
	buf   *plan.Buffer // nil if data is fixed
	data  *tensor.Tensor
}

// f32 returns the elements; for use in bind.
func (s *slot) f32() []float32 { return s.data.F32() }

// channels returns the length of the channel axis, 1 below rank 2.
func (s *slot) channels() int {
	if len(s.shape) < 2 {
		return 1
	}
	return s.shape[1]
}

// rows returns the number of positions: elements per channel.
func (s *slot) rows() int {
	if c := s.channels(); c > 0 {
		return s.shape.Numel() / c
	}
	return 0
}

// elemSize is the size of an element in memory, which packs nothing.
func elemSize(d tensor.DType) int { return max(1, d.Bits()/8) }

// bindArena points the slot at its span.
func (s *slot) bindArena(a *plan.Arena) {
	if s.buf == nil || s.data != nil {
		return
	}
	phys := s.order.physical(s.shape)
	n, off := phys.Numel(), s.buf.Offset
	switch s.dtype {
	case tensor.Float32:
		s.data = tensor.From(plan.Slice[float32](a, off, n), phys...)
	case tensor.Float64:
		s.data = tensor.From(plan.Slice[float64](a, off, n), phys...)
	case tensor.Int4, tensor.Int8:
		s.data = tensor.Wrap(s.dtype, plan.Slice[int8](a, off, n), phys...)
	case tensor.Int16:
		s.data = tensor.From(plan.Slice[int16](a, off, n), phys...)
	case tensor.Int32:
		s.data = tensor.From(plan.Slice[int32](a, off, n), phys...)
	case tensor.Int64:
		s.data = tensor.From(plan.Slice[int64](a, off, n), phys...)
	case tensor.Uint4, tensor.Uint8:
		s.data = tensor.Wrap(s.dtype, plan.Slice[uint8](a, off, n), phys...)
	case tensor.Uint16, tensor.Float16, tensor.BFloat16:
		s.data = tensor.Wrap(s.dtype, plan.Slice[uint16](a, off, n), phys...)
	case tensor.Uint32:
		s.data = tensor.From(plan.Slice[uint32](a, off, n), phys...)
	case tensor.Uint64:
		s.data = tensor.From(plan.Slice[uint64](a, off, n), phys...)
	case tensor.Bool:
		s.data = tensor.From(plan.Slice[bool](a, off, n), phys...)
	}
}
