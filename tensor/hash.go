package tensor

import (
	"encoding/binary"
	"fmt"
	"hash"
)

// Hash writes type, shape and every element to h: equal tensors write the same,
// on every machine.
func (t *Tensor) Hash(h hash.Hash) {
	fmt.Fprintln(h, t.DType(), t.Shape())
	if t.DType() == String {
		fmt.Fprintf(h, "%q", Data[string](t))
		return
	}
	if err := binary.Write(h, binary.LittleEndian, numbers(t)); err != nil {
		panic("tensor: " + err.Error()) // a hash takes all numbers
	}
}

// numbers returns the slice of numbers that a tensor holds.
func numbers(t *Tensor) any {
	switch t.DType() {
	case Float32:
		return t.F32()
	case Float64:
		return Data[float64](t)
	case Int4, Int8:
		return Data[int8](t)
	case Int16:
		return Data[int16](t)
	case Int32:
		return Data[int32](t)
	case Int64:
		return t.I64()
	case Uint4, Uint8:
		return Data[uint8](t)
	case Float16, BFloat16, Uint16:
		return Data[uint16](t)
	case Uint32:
		return Data[uint32](t)
	case Uint64:
		return Data[uint64](t)
	case Bool:
		return Data[bool](t)
	}
	panic("tensor: hash of type " + t.DType().String())
}
