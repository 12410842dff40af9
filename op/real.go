package op

import (
	"fmt"

	"github.com/go-nncf/nncf/tensor"
)

// reals returns the elements of a floating-point tensor. Reference evaluation
// of the neural operators computes in float64 and rounds once, at the end.
func reals(t *tensor.Tensor) ([]float64, error) {
	if !t.DType().IsFloat() {
		return nil, fmt.Errorf("got %v elements, want floating-point numbers", t.DType())
	}
	return t.Float64s()
}

// realsOf is reals of several tensors; omitted ones give nil.
func realsOf(ts ...*tensor.Tensor) ([][]float64, error) {
	out := make([][]float64, len(ts))
	for i, t := range ts {
		if t == nil {
			continue
		}
		v, err := reals(t)
		if err != nil {
			return nil, fmt.Errorf("operand %d: %w", i, err)
		}
		out[i] = v
	}
	return out, nil
}

// product returns Π s.
func product(s []int) int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// splitAt returns the products of the axes before axis, of axis itself and
// after it: the three loops of an operator along one axis.
func splitAt(s tensor.Shape, axis int) (outer, n, inner int) {
	return product(s[:axis]), s[axis], product(s[axis+1:])
}
