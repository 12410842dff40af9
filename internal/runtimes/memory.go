package runtimes

import (
	"fmt"
	"unsafe"

	"github.com/go-nncf/nncf/tensor"
)

// CopyTo writes the elements of t to a library's memory, in the machine's byte
// order, 4-bit elements two to a byte. It panics if the sizes differ, and
// errors for strings.
func CopyTo(dst []byte, t *tensor.Tensor) error {
	src, err := view(t)
	if err != nil {
		return err
	}
	if want := t.DType().Bytes(t.Len()); len(dst) != want {
		panic(fmt.Sprintf("runtimes: %d bytes for %v%v, which has %d", len(dst), t.DType(), t.Shape(), want))
	}
	if t.DType().Bits() != 4 {
		copy(dst, src)
		return nil
	}
	clear(dst)
	for i, v := range src {
		dst[i/2] |= v & 15 << (4 * (i % 2)) // the first element is in the low half
	}
	return nil
}

// CopyFrom is the inverse of [CopyTo].
func CopyFrom(t *tensor.Tensor, src []byte) error {
	dst, err := view(t)
	if err != nil {
		return err
	}
	if want := t.DType().Bytes(t.Len()); len(src) != want {
		panic(fmt.Sprintf("runtimes: %d bytes for %v%v, which has %d", len(src), t.DType(), t.Shape(), want))
	}
	if t.DType().Bits() != 4 {
		copy(dst, src)
		return nil
	}
	for i := range dst {
		v := src[i/2] >> (4 * (i % 2)) & 15
		if t.DType() == tensor.Int4 && v > 7 {
			v |= 0xf0
		}
		dst[i] = v
	}
	return nil
}

// view returns the memory of t as bytes, one byte per 4-bit element.
func view(t *tensor.Tensor) ([]byte, error) {
	switch t.DType() {
	case tensor.Float32:
		return viewOf[float32](t), nil
	case tensor.Float64:
		return viewOf[float64](t), nil
	case tensor.Int4, tensor.Int8:
		return viewOf[int8](t), nil
	case tensor.Int16:
		return viewOf[int16](t), nil
	case tensor.Int32:
		return viewOf[int32](t), nil
	case tensor.Int64:
		return viewOf[int64](t), nil
	case tensor.Uint4, tensor.Uint8:
		return viewOf[uint8](t), nil
	case tensor.Uint16, tensor.Float16, tensor.BFloat16:
		return viewOf[uint16](t), nil
	case tensor.Uint32:
		return viewOf[uint32](t), nil
	case tensor.Uint64:
		return viewOf[uint64](t), nil
	case tensor.Bool:
		return viewOf[bool](t), nil
	}
	return nil, fmt.Errorf("got %v elements, want numbers: strings cannot be handed to a runtime", t.DType())
}

func viewOf[T tensor.Element](t *tensor.Tensor) []byte {
	d := tensor.Data[T](t)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(d))), len(d)*int(unsafe.Sizeof(*new(T))))
}
