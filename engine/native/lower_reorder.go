package native

import (
	"fmt"

	"github.com/go-nncf/nncf/tensor"
)

// lowerReorder emits the conversion of src to dst, the same value in another
// order.
func (c *compiler) lowerReorder(src, dst *slot) {
	c.emit(nil, "reorder "+dst.order.String(), []*slot{src}, []*slot{dst}, func() func() error {
		if src.dtype == tensor.Float32 {
			p, s, d := newReorder(src.shape, dst.order), src.f32(), dst.f32()
			return runTasks(c.pool, p.tasks(), func(t, _ int) { p.run(d, s, t) })
		}
		return func() error {
			reorder(dst.data, src.data, src.shape, dst.order)
			return nil
		}
	})
}

// newReorder is the permutation of the logical shape to order o.
func newReorder(shape tensor.Shape, o order) permute {
	n, ch, sp := shape[0], shape[1], shape[2:].Numel()
	if o == channelsLast {
		return newPermute([]int{n, ch, sp}, []int{0, 2, 1})
	}
	return newPermute([]int{n, sp, ch}, []int{0, 2, 1})
}

// reorder writes src, a tensor of the logical shape in the order other than o,
// to dst in order o.
func reorder(dst, src *tensor.Tensor, shape tensor.Shape, o order) {
	n, ch := shape[0], shape[1]
	sp := shape[2:].Numel()
	switch src.DType() {
	case tensor.Float32:
		p := newReorder(shape, o)
		for t := range p.tasks() {
			p.run(dst.F32(), src.F32(), t)
		}
	case tensor.Float64:
		reorderElems(tensor.Data[float64](dst), tensor.Data[float64](src), n, ch, sp, o)
	case tensor.Int64:
		reorderElems(dst.I64(), src.I64(), n, ch, sp, o)
	case tensor.Uint64:
		reorderElems(tensor.Data[uint64](dst), tensor.Data[uint64](src), n, ch, sp, o)
	case tensor.Int32:
		reorderElems(tensor.Data[int32](dst), tensor.Data[int32](src), n, ch, sp, o)
	case tensor.Uint32:
		reorderElems(tensor.Data[uint32](dst), tensor.Data[uint32](src), n, ch, sp, o)
	case tensor.Int16:
		reorderElems(tensor.Data[int16](dst), tensor.Data[int16](src), n, ch, sp, o)
	case tensor.Uint16, tensor.Float16, tensor.BFloat16:
		reorderElems(tensor.Data[uint16](dst), tensor.Data[uint16](src), n, ch, sp, o)
	case tensor.Int4, tensor.Int8:
		reorderElems(tensor.Data[int8](dst), tensor.Data[int8](src), n, ch, sp, o)
	case tensor.Uint4, tensor.Uint8:
		reorderElems(tensor.Data[uint8](dst), tensor.Data[uint8](src), n, ch, sp, o)
	case tensor.Bool:
		reorderElems(tensor.Data[bool](dst), tensor.Data[bool](src), n, ch, sp, o)
	default:
		panic(fmt.Sprintf("native: reorder of %v", src.DType()))
	}
}

func reorderElems[T any](dst, src []T, n, ch, sp int, o order) {
	for b := range n {
		d, s := dst[b*ch*sp:][:ch*sp], src[b*ch*sp:][:ch*sp]
		for c := range ch {
			for p := range sp {
				if o == channelsLast {
					d[p*ch+c] = s[c*sp+p]
				} else {
					d[c*sp+p] = s[p*ch+c]
				}
			}
		}
	}
}
