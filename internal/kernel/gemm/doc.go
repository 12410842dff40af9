// Package gemm multiplies float32 matrices: C = A·B, with either operand
// transposed, a bias, a clip, or added to C. Like package conv it cuts the work
// into tasks that the caller runs in any order on any number of threads; the
// caller owns all memory, and results have the same bits for every partition.
// Batches are loops of the caller over one plan.
//
// All matrices are row-major and dense:
//
//	A [M, K], or [K, M] with TransA
//	B [K, N], or [N, K] with TransB
//	C [M, N]
//
// B is packed first, into panels of NR columns, cut along K so that a panel
// stays in the second-level cache:
//
//	k block 0: [panel 0: KC rows of NR floats][panel 1 …]   k block 1: …
//
// A is read in place: rows by the dot kernels of package tile, columns
// (TransA) by the outer kernels. Nothing else needs scratch memory.
//
// Start at [New].
package gemm
