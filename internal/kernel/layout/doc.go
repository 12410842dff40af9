// Package layout moves float32 values without changing them: transposes between
// NCHW and NHWC, strided rows for concatenation, slices and padding, fills.
//
// It computes nothing, so all variants agree exactly, NaN payloads included.
// Destinations must not overlap sources. Strides count floats, from the start
// of one row to the start of the next.
//
//	Transpose   src [rows][cols] ──▶ dst [cols][rows]
//	NCHW→NHWC   batch N of rows C, cols H·W        NHWC→NCHW   rows H·W, cols C
//	concat      CopyRows(dst[offset:], sum of C, src, C, rows, C)
//	slice       CopyRows(dst, c, src[offset:], C, rows, c)
//
// Start at [Transpose] and [CopyRows].
package layout
