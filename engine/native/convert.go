package native

import (
	"fmt"

	"github.com/go-nncf/nncf/tensor"
)

// chainable reports whether tiles of the element type can be float32 without
// loss, so that a value may be an operand or a result of a chain.
func chainable(d tensor.DType) bool {
	switch d {
	case tensor.Float32, tensor.Bool, tensor.Int8, tensor.Uint8, tensor.Int16, tensor.Uint16:
		return true
	}
	return false
}

type number interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64
}

// loader returns a function that converts elements lo, lo+1, … of t to float32.
func loader(t *tensor.Tensor) func(dst []float32, lo int) {
	switch t.DType() {
	case tensor.Float32:
		src := t.F32()
		return func(dst []float32, lo int) { copy(dst, src[lo:]) }
	case tensor.Bool:
		src := tensor.Data[bool](t)
		return func(dst []float32, lo int) {
			for i, v := range src[lo:][:len(dst)] {
				x := uint8(0)
				if v {
					x = 1
				}
				dst[i] = float32(x)
			}
		}
	case tensor.Float64:
		return loadNumbers(tensor.Data[float64](t))
	case tensor.Int4, tensor.Int8:
		return loadNumbers(tensor.Data[int8](t))
	case tensor.Uint4, tensor.Uint8:
		return loadNumbers(tensor.Data[uint8](t))
	case tensor.Int16:
		return loadNumbers(tensor.Data[int16](t))
	case tensor.Uint16:
		return loadNumbers(tensor.Data[uint16](t))
	case tensor.Int32:
		return loadNumbers(tensor.Data[int32](t))
	case tensor.Uint32:
		return loadNumbers(tensor.Data[uint32](t))
	case tensor.Int64:
		return loadNumbers(tensor.Data[int64](t))
	case tensor.Uint64:
		return loadNumbers(tensor.Data[uint64](t))
	}
	panic(fmt.Sprintf("native: a chain reads %v", t.DType()))
}

func loadNumbers[T number](src []T) func(dst []float32, lo int) {
	return func(dst []float32, lo int) {
		for i, v := range src[lo:][:len(dst)] {
			dst[i] = float32(v)
		}
	}
}

// storer returns a function that converts a tile to elements lo, lo+1, … of t.
// Fractions are cut off.
func storer(t *tensor.Tensor) func(src []float32, lo int) {
	switch t.DType() {
	case tensor.Bool:
		dst := tensor.Data[bool](t)
		return func(src []float32, lo int) {
			for i, v := range src {
				dst[lo+i] = v != 0
			}
		}
	case tensor.Float64:
		return storeNumbers(tensor.Data[float64](t))
	case tensor.Int8:
		return storeNumbers(tensor.Data[int8](t))
	case tensor.Uint8:
		return storeNumbers(tensor.Data[uint8](t))
	case tensor.Int16:
		return storeNumbers(tensor.Data[int16](t))
	case tensor.Uint16:
		return storeNumbers(tensor.Data[uint16](t))
	case tensor.Int32:
		return storeNumbers(tensor.Data[int32](t))
	case tensor.Uint32:
		return storeNumbers(tensor.Data[uint32](t))
	case tensor.Int64:
		return storeNumbers(tensor.Data[int64](t))
	}
	panic(fmt.Sprintf("native: a chain stores %v", t.DType()))
}

func storeNumbers[T number](dst []T) func(src []float32, lo int) {
	return func(src []float32, lo int) {
		for i, v := range src {
			dst[lo+i] = T(int64(v))
		}
	}
}
