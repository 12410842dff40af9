package native

import (
	"fmt"

	"github.com/go-nncf/nncf/tensor"
)

// lowerReorder emits the conversion of src to dst, the same value in another order.
func (c *compiler) lowerReorder(src, dst *slot) {
	c.emit(nil, "reorder "+dst.order.String(), []*slot{src}, []*slot{dst}, func() func() error {
		return func() error {
			reorder(dst.data, src.data, src.shape, dst.order)
			return nil
		}
	})
}

// reorder writes src, a tensor of the logical shape in the order other than o,
// to dst in order o.
func reorder(dst, src *tensor.Tensor, shape tensor.Shape, o order) {
	n, ch := shape[0], shape[1]
	sp := shape[2:].Numel()
	switch src.DType() {
	case tensor.Float32:
		reorderElems(dst.F32(), src.F32(), n, ch, sp, o)
	case tensor.Int64:
		reorderElems(dst.I64(), src.I64(), n, ch, sp, o)
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
