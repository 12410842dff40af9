package tensor

import (
	"fmt"
	"slices"
)

// Element is the set of Go types that hold tensor elements.
type Element interface {
	float32 | float64 | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | bool | string
}

// Tensor is a dense row-major array. Its element type and shape do not change
// after creation; its elements may.
//
// Tensors are shared by pointer: a graph, its clones and the programs compiled
// from them all see the same weights.
type Tensor struct {
	dtype DType
	shape Shape
	data  any // slice of the Go type that stores dtype, length shape.Numel()
}

// New returns a tensor of zeros. It panics on an invalid element type or a
// negative axis; check untrusted shapes with [Shape.Check] first.
func New(d DType, shape ...int) *Tensor {
	n := Shape(shape).Numel()
	t := &Tensor{dtype: d, shape: slices.Clone(Shape(shape))}
	switch d {
	case Float32:
		t.data = make([]float32, n)
	case Float64:
		t.data = make([]float64, n)
	case Int4, Int8:
		t.data = make([]int8, n)
	case Int16:
		t.data = make([]int16, n)
	case Int32:
		t.data = make([]int32, n)
	case Int64:
		t.data = make([]int64, n)
	case Uint4, Uint8:
		t.data = make([]uint8, n)
	case Uint16, Float16, BFloat16:
		t.data = make([]uint16, n)
	case Uint32:
		t.data = make([]uint32, n)
	case Uint64:
		t.data = make([]uint64, n)
	case Bool:
		t.data = make([]bool, n)
	case String:
		t.data = make([]string, n)
	default:
		panic(fmt.Sprintf("tensor: New with element type %v", d))
	}
	return t
}

// From wraps data, without copying, as a tensor whose element type follows
// from T. It panics if the length does not fit the shape.
func From[T Element](data []T, shape ...int) *Tensor {
	return Wrap(DTypeOf[T](), data, shape...)
}

// Wrap is [From] for element types that share a Go type, such as Int4 in
// []int8 or Float16 in []uint16.
func Wrap[T Element](d DType, data []T, shape ...int) *Tensor {
	if n := Shape(shape).Numel(); n != len(data) {
		panic(fmt.Sprintf("tensor: %d elements for shape %v", len(data), shape))
	}
	if !storedAs[T](d) {
		panic(fmt.Sprintf("tensor: element type %v is not stored as %T", d, data))
	}
	return &Tensor{dtype: d, shape: slices.Clone(Shape(shape)), data: data}
}

// Scalar returns a tensor of rank 0.
func Scalar[T Element](v T) *Tensor { return From([]T{v}) }

// DTypeOf returns the element type whose values are plain T: Int8 for int8,
// Uint16 for uint16.
func DTypeOf[T Element]() DType {
	switch any(*new(T)).(type) {
	case float32:
		return Float32
	case float64:
		return Float64
	case int8:
		return Int8
	case int16:
		return Int16
	case int32:
		return Int32
	case int64:
		return Int64
	case uint8:
		return Uint8
	case uint16:
		return Uint16
	case uint32:
		return Uint32
	case uint64:
		return Uint64
	case bool:
		return Bool
	default:
		return String
	}
}

func storedAs[T Element](d DType) bool {
	e := DTypeOf[T]()
	switch d {
	case Int4:
		return e == Int8
	case Uint4:
		return e == Uint8
	case Float16, BFloat16:
		return e == Uint16
	}
	return d == e
}

// DType returns the element type.
func (t *Tensor) DType() DType { return t.dtype }

// Shape returns the axes; the caller must not change them.
func (t *Tensor) Shape() Shape { return t.shape }

// Shapes returns the shape of each tensor.
func Shapes(list []*Tensor) []Shape {
	shapes := make([]Shape, len(list))
	for i, t := range list {
		shapes[i] = t.shape
	}
	return shapes
}

// Rank returns the number of axes.
func (t *Tensor) Rank() int { return len(t.shape) }

// Len returns the number of elements.
func (t *Tensor) Len() int { return t.shape.Numel() }

// Data returns the elements as []T, sharing memory with t.
// It panics if t does not store its elements as T.
func Data[T Element](t *Tensor) []T {
	d, ok := t.data.([]T)
	if !ok {
		panic(fmt.Sprintf("tensor: %v elements asked for as %T", t.dtype, d))
	}
	return d
}

// F32 is Data[float32].
func (t *Tensor) F32() []float32 { return Data[float32](t) }

// I64 is Data[int64].
func (t *Tensor) I64() []int64 { return Data[int64](t) }

// Reshape returns a tensor with the same elements, sharing memory, in another
// shape. It panics if the number of elements differs.
func (t *Tensor) Reshape(shape ...int) *Tensor {
	if Shape(shape).Numel() != t.Len() {
		panic(fmt.Sprintf("tensor: shape %v for %d elements", shape, t.Len()))
	}
	return &Tensor{dtype: t.dtype, shape: slices.Clone(Shape(shape)), data: t.data}
}

// Rows returns entries lo to hi-1 along the first axis, sharing memory. It panics
// on a rank of 0, and if they do not exist.
func (t *Tensor) Rows(lo, hi int) *Tensor {
	shape := t.shape.Clone()
	shape[0] = hi - lo
	n := shape[1:].Numel()
	lo, hi = lo*n, hi*n
	u := &Tensor{dtype: t.dtype, shape: shape}
	switch d := t.data.(type) {
	case []float32:
		u.data = d[lo:hi]
	case []float64:
		u.data = d[lo:hi]
	case []int8:
		u.data = d[lo:hi]
	case []int16:
		u.data = d[lo:hi]
	case []int32:
		u.data = d[lo:hi]
	case []int64:
		u.data = d[lo:hi]
	case []uint8:
		u.data = d[lo:hi]
	case []uint16:
		u.data = d[lo:hi]
	case []uint32:
		u.data = d[lo:hi]
	case []uint64:
		u.data = d[lo:hi]
	case []bool:
		u.data = d[lo:hi]
	case []string:
		u.data = d[lo:hi]
	}
	return u
}

// Clone returns a deep copy.
func (t *Tensor) Clone() *Tensor {
	u := New(t.dtype, t.shape...)
	u.CopyFrom(t)
	return u
}

// CopyFrom copies the elements of s, which must have the same element type and
// number of elements.
func (t *Tensor) CopyFrom(s *Tensor) {
	if t.dtype != s.dtype || t.Len() != s.Len() {
		panic(fmt.Sprintf("tensor: copy of %v %v to %v %v", s.dtype, s.shape, t.dtype, t.shape))
	}
	switch d := t.data.(type) {
	case []float32:
		copy(d, s.data.([]float32))
	case []float64:
		copy(d, s.data.([]float64))
	case []int8:
		copy(d, s.data.([]int8))
	case []int16:
		copy(d, s.data.([]int16))
	case []int32:
		copy(d, s.data.([]int32))
	case []int64:
		copy(d, s.data.([]int64))
	case []uint8:
		copy(d, s.data.([]uint8))
	case []uint16:
		copy(d, s.data.([]uint16))
	case []uint32:
		copy(d, s.data.([]uint32))
	case []uint64:
		copy(d, s.data.([]uint64))
	case []bool:
		copy(d, s.data.([]bool))
	case []string:
		copy(d, s.data.([]string))
	}
}

// Equal reports whether both tensors have the same element type, shape and
// elements, bit for bit except that NaN equals NaN.
func (t *Tensor) Equal(s *Tensor) bool {
	if t.dtype != s.dtype || !t.shape.Equal(s.shape) {
		return false
	}
	switch d := t.data.(type) {
	case []float32:
		return equalFloats(d, s.data.([]float32))
	case []float64:
		return equalFloats(d, s.data.([]float64))
	case []int8:
		return slices.Equal(d, s.data.([]int8))
	case []int16:
		return slices.Equal(d, s.data.([]int16))
	case []int32:
		return slices.Equal(d, s.data.([]int32))
	case []int64:
		return slices.Equal(d, s.data.([]int64))
	case []uint8:
		return slices.Equal(d, s.data.([]uint8))
	case []uint16:
		return slices.Equal(d, s.data.([]uint16))
	case []uint32:
		return slices.Equal(d, s.data.([]uint32))
	case []uint64:
		return slices.Equal(d, s.data.([]uint64))
	case []bool:
		return slices.Equal(d, s.data.([]bool))
	case []string:
		return slices.Equal(d, s.data.([]string))
	}
	return false
}

func equalFloats[F float32 | float64](a, b []F) bool {
	return slices.EqualFunc(a, b, func(x, y F) bool { return x == y || x != x && y != y })
}

// String describes the tensor without its elements: float32[2 3].
func (t *Tensor) String() string { return t.dtype.String() + t.shape.String() }
