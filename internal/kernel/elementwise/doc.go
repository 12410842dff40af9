// Package elementwise computes functions of one, two or three float32 vectors,
// element by element: arithmetic, activations and their gradients.
//
// It knows flat slices only. Broadcasting of general shapes, choice of tasks
// and memory belong to the caller: split a tensor into ranges and call a
// function per range; results do not depend on the ranges.
//
// # Channels
//
// Methods named Channels take a parameter per channel of a channels-last
// tensor. The parameter slice p is walked with the data and starts again at
// its end: element i uses p[i mod len(p)]. With len(p) = C it is the plain
// per-channel form; a caller who repeats the C values up to a longer length
// (package period) lets the vectors run across rows when C is small or odd:
//
//	x  c0 c1 c2 | c0 c1 c2 | c0 c1 c2 | …      rows of C = 3
//	p  p0 p1 p2   p0 p1 p2   p0 p1 p2   …      one period of 96 floats
//
// # Rules
//
//   - Destinations may be the same slice as a source, or not overlap it.
//   - A slice shorter than dst panics; longer ones are read up to len(dst).
//   - Every operation is rounded on its own; nothing is fused. All variants of
//     a function (plain Go, AVX2, AVX-512) give the same bits, except that a
//     NaN may be another NaN.
//   - NaN in gives NaN out, in Min, Max, Relu and Clip too.
//
// Start at [Unary], [Binary] and [Grad].
package elementwise
