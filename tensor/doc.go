// Package tensor holds dense arrays: an element type, a shape and the values
// in row-major order (the last axis is contiguous).
//
// It has no operators and knows no graph; start at [Tensor] and [New].
// Shapes here are always concrete; package ir adds symbolic axes.
package tensor
