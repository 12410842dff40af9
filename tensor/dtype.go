package tensor

import "fmt"

// DType is the element type of a tensor.
type DType uint8

// The element types. Invalid is the zero value and belongs to no tensor.
//
// Int4 and Uint4 hold one element per byte in memory ([]int8 and []uint8),
// Float16 and BFloat16 hold bit patterns ([]uint16).
const (
	Invalid DType = iota
	Float32
	Float64
	Float16
	BFloat16
	Int4
	Int8
	Int16
	Int32
	Int64
	Uint4
	Uint8
	Uint16
	Uint32
	Uint64
	Bool
	String
)

var dtypeInfo = [...]struct {
	name string
	bits int // in a file; String has none
}{
	Invalid:  {"invalid", 0},
	Float32:  {"float32", 32},
	Float64:  {"float64", 64},
	Float16:  {"float16", 16},
	BFloat16: {"bfloat16", 16},
	Int4:     {"int4", 4},
	Int8:     {"int8", 8},
	Int16:    {"int16", 16},
	Int32:    {"int32", 32},
	Int64:    {"int64", 64},
	Uint4:    {"uint4", 4},
	Uint8:    {"uint8", 8},
	Uint16:   {"uint16", 16},
	Uint32:   {"uint32", 32},
	Uint64:   {"uint64", 64},
	Bool:     {"bool", 8},
	String:   {"string", 0},
}

// String returns the lower-case name, such as "float32".
func (d DType) String() string {
	if int(d) < len(dtypeInfo) {
		return dtypeInfo[d].name
	}
	return fmt.Sprintf("dtype(%d)", uint8(d))
}

// ParseDType is the inverse of [DType.String].
func ParseDType(s string) (DType, error) {
	for d, info := range dtypeInfo {
		if info.name == s && d != int(Invalid) {
			return DType(d), nil
		}
	}
	return Invalid, fmt.Errorf("unknown element type %q", s)
}

// MarshalText returns the name, for JSON.
func (d DType) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is the inverse of [DType.MarshalText].
func (d *DType) UnmarshalText(text []byte) (err error) {
	if string(text) == Invalid.String() {
		*d = Invalid
		return nil
	}
	*d, err = ParseDType(string(text))
	return err
}

// Bits returns the width of one element in a file: 4 for Int4, 32 for
// Float32, 0 for String.
func (d DType) Bits() int {
	if int(d) < len(dtypeInfo) {
		return dtypeInfo[d].bits
	}
	return 0
}

// Bytes returns the size of n elements in a file; 4-bit elements are packed
// two to a byte.
func (d DType) Bytes(n int) int { return (d.Bits()*n + 7) / 8 }

// IsFloat reports whether d is one of the floating-point types.
func (d DType) IsFloat() bool {
	switch d {
	case Float32, Float64, Float16, BFloat16:
		return true
	}
	return false
}

// IsInteger reports whether d is a signed or unsigned integer type; Bool is not.
func (d DType) IsInteger() bool { return d.IsSigned() || d.IsUnsigned() }

// IsSigned reports whether d is a signed integer type.
func (d DType) IsSigned() bool {
	switch d {
	case Int4, Int8, Int16, Int32, Int64:
		return true
	}
	return false
}

// IsUnsigned reports whether d is an unsigned integer type.
func (d DType) IsUnsigned() bool {
	switch d {
	case Uint4, Uint8, Uint16, Uint32, Uint64:
		return true
	}
	return false
}
