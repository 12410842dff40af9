package op

import (
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// wantInputs checks that inputs 0..required-1 are present and that there are
// at most total.
func wantInputs(in []*ir.Value, required, total int) error {
	if len(in) > total {
		return fmt.Errorf("got %d inputs, want at most %d", len(in), total)
	}
	for i := range required {
		if i >= len(in) || in[i] == nil {
			return fmt.Errorf("input %d is missing", i)
		}
	}
	return nil
}

// wantRank checks the rank of a value.
func wantRank(v *ir.Value, what string, lo, hi int) error {
	if r := v.Type.Rank(); r < lo || r > hi {
		return fmt.Errorf("%s: got rank %d (%v), want %d to %d", what, r, v.Type, lo, hi)
	}
	return nil
}

// wantSameDType checks that all present inputs have one element type.
func wantSameDType(in ...*ir.Value) error {
	var first *ir.Value
	for _, v := range in {
		switch {
		case v == nil:
		case first == nil:
			first = v
		case v.Type.DType != first.Type.DType:
			return fmt.Errorf("got element types %v and %v, want the same", first.Type.DType, v.Type.DType)
		}
	}
	return nil
}

// wantDType checks the element type of a value.
func wantDType(v *ir.Value, what string, allowed ...tensor.DType) error {
	if slices.Contains(allowed, v.Type.DType) {
		return nil
	}
	return fmt.Errorf("%s: got %v elements, want %v", what, v.Type.DType, allowed)
}

// present returns in[i], or nil if it is omitted.
func present[T any](in []*T, i int) *T {
	if i < len(in) {
		return in[i]
	}
	return nil
}

// decodeWith is the Decode of an operator without attributes.
func decodeWith(o ir.Op) func(*Decoder) ir.Op {
	return func(*Decoder) ir.Op { return o }
}
