package enginetest

import (
	"fmt"
	"math/rand/v2"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// operand is an input of a case: drawn anew for each run, or a constant.
type operand struct {
	dtype tensor.DType
	shape []int
	draw  func(r *rand.Rand) float64
	data  *tensor.Tensor // nil unless constant
	none  bool           // omitted
}

func normal(r *rand.Rand) float64 { return r.NormFloat64() }

// x is a float32 input of normal numbers.
func x(shape ...int) operand { return operand{dtype: tensor.Float32, shape: shape, draw: normal} }

// between is a float32 input of numbers from lo to hi.
func between(lo, hi float64, shape ...int) operand {
	return operand{dtype: tensor.Float32, shape: shape, draw: func(r *rand.Rand) float64 { return lo + (hi-lo)*r.Float64() }}
}

// ints is an input of integers (or truth values) from lo up to, not including, hi.
func ints(d tensor.DType, lo, hi int, shape ...int) operand {
	return operand{dtype: d, shape: shape, draw: func(r *rand.Rand) float64 { return float64(lo + r.IntN(hi-lo)) }}
}

// index is an int64 input below n.
func index(n int, shape ...int) operand { return ints(tensor.Int64, 0, n, shape...) }

// truth is an input of truth values.
func truth(shape ...int) operand { return ints(tensor.Bool, 0, 2, shape...) }

// constant is a constant of rank 1 or, with one element, 0.
func constant[T tensor.Element](v ...T) operand { return operand{data: tensor.From(v, len(v))} }

// scalar is a constant of rank 0.
func scalar[T tensor.Element](v T) operand { return operand{data: tensor.Scalar(v)} }

// omitted is an optional input that is not given.
var omitted = operand{none: true}

// add makes the operand a value of the graph.
func (o operand) add(g *ir.Graph, b *ir.Builder, i int) *ir.Value {
	switch {
	case o.none:
		return nil
	case o.data != nil:
		return b.Const(fmt.Sprint("c", i), o.data)
	}
	return g.AddInput(fmt.Sprint("x", i), ir.MakeType(o.dtype, o.shape...))
}

// fill draws the elements of t.
func (o operand) fill(t *tensor.Tensor, r *rand.Rand) {
	switch t.DType() {
	case tensor.Bool:
		for i := range t.Len() {
			tensor.Data[bool](t)[i] = o.draw(r) != 0
		}
	case tensor.Float32:
		fillNumbers(tensor.Data[float32](t), o, r)
	case tensor.Float64:
		fillNumbers(tensor.Data[float64](t), o, r)
	case tensor.Int8:
		fillNumbers(tensor.Data[int8](t), o, r)
	case tensor.Uint8:
		fillNumbers(tensor.Data[uint8](t), o, r)
	case tensor.Int32:
		fillNumbers(tensor.Data[int32](t), o, r)
	case tensor.Uint32:
		fillNumbers(tensor.Data[uint32](t), o, r)
	case tensor.Int64:
		fillNumbers(tensor.Data[int64](t), o, r)
	default:
		panic(fmt.Sprintf("enginetest: no numbers for %v", t.DType()))
	}
}

func fillNumbers[T float32 | float64 | int8 | uint8 | int32 | uint32 | int64](dst []T, o operand, r *rand.Rand) {
	for i := range dst {
		dst[i] = T(o.draw(r))
	}
}
