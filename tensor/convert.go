package tensor

import (
	"fmt"
	"math"
)

// Ints returns the elements of an integer or Bool tensor as []int.
func (t *Tensor) Ints() ([]int, error) {
	switch d := t.data.(type) {
	case []int8:
		return toInts(d), nil
	case []int16:
		return toInts(d), nil
	case []int32:
		return toInts(d), nil
	case []int64:
		return toInts(d), nil
	case []uint8:
		return toInts(d), nil
	case []uint16:
		if t.dtype == Uint16 {
			return toInts(d), nil
		}
	case []uint32:
		return toInts(d), nil
	case []uint64:
		return toInts(d), nil
	case []bool:
		out := make([]int, len(d))
		for i, v := range d {
			if v {
				out[i] = 1
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("got %v elements, want integers", t.dtype)
}

func toInts[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64](d []T) []int {
	out := make([]int, len(d))
	for i, v := range d {
		out[i] = int(v)
	}
	return out
}

// Float64s returns the elements of any numeric or Bool tensor as []float64.
func (t *Tensor) Float64s() ([]float64, error) {
	switch d := t.data.(type) {
	case []float32:
		out := make([]float64, len(d))
		for i, v := range d {
			out[i] = float64(v)
		}
		return out, nil
	case []float64:
		return append([]float64(nil), d...), nil
	case []uint16:
		if t.dtype != Uint16 {
			out := make([]float64, len(d))
			for i, v := range d {
				if t.dtype == Float16 {
					out[i] = float64(Float16ToFloat32(v))
				} else {
					out[i] = float64(BFloat16ToFloat32(v))
				}
			}
			return out, nil
		}
	}
	ints, err := t.Ints()
	if err != nil {
		return nil, fmt.Errorf("got %v elements, want numbers", t.dtype)
	}
	out := make([]float64, len(ints))
	for i, v := range ints {
		out[i] = float64(v)
	}
	return out, nil
}

// Float16ToFloat32 widens an IEEE 754 binary16 bit pattern.
func Float16ToFloat32(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exp := uint32(h>>10) & 31
	man := uint32(h) & 0x3ff
	switch {
	case exp == 31:
		return math.Float32frombits(sign | 0x7f800000 | man<<13)
	case exp != 0:
		return math.Float32frombits(sign | (exp+112)<<23 | man<<13)
	}
	f := float32(man) * 0x1p-24 // subnormal or zero: exact
	if sign != 0 {
		f = -f
		if man == 0 {
			return math.Float32frombits(sign)
		}
	}
	return f
}

// Float32ToFloat16 rounds to the nearest binary16, ties to even; values beyond
// the range become infinite.
func Float32ToFloat16(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b>>16) & 0x8000
	abs := b & 0x7fffffff
	switch {
	case abs > 0x7f800000:
		return sign | 0x7e00
	case abs >= 0x47800000: // 65536
		return sign | 0x7c00
	case abs < 0x38800000: // below the smallest normal: round f·2²⁴ to an integer
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(abs))*0x1p24))
	}
	abs += 0xfff + (abs>>13)&1
	return sign | uint16((abs-(112<<23))>>13)
}

// BFloat16ToFloat32 widens a bfloat16 bit pattern.
func BFloat16ToFloat32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// Float32ToBFloat16 rounds to the nearest bfloat16, ties to even; NaN stays a quiet NaN.
func Float32ToBFloat16(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + (b>>16)&1) >> 16)
}
