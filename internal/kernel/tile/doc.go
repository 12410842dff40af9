// Package tile holds the register-tile kernels that convolutions and matrix
// products are built from. It knows rows, runs and byte distances; blocking,
// padding and threads belong to its callers (packages conv and gemm). It
// computes in float32 only.
//
// There are three families. MR is the number of rows of the tile, NV its number
// of vectors, L the lanes of a vector and NR = NV·L the width of the tile.
//
//	dot    y[m, v] = act(c[m, v] + Σ_s Σ_k x[m·XS + seg(s) + k] · w[s·Run+k, v])
//
//	         x: rows of a strided view           w: packed panel       y: rows
//	        m=0  ──seg0 run──  ──seg1 run──      [k=0] NR floats       m=0  NR
//	        m=1  ──seg0 run──  ──seg1 run──      [k=1] NR floats       m=1  NR
//	        …                                    …                     …
//
//	reuse  y[m, v] = act(c[m, v] + Σ_s Σ_k Σ_j x[(m+j)·XS + seg(s) + k] · w[(s·Run+k)·3+j, v]), j < 3
//
//	         the dot product of a 3-wide convolution, with each x loaded once
//	         for its three taps; only where registers allow
//
//	outer  d[m, v] += Σ_b Σ_r Σ_p x[b, r, p][m] · y[b, r, p][v]
//
//	         x: pixels, MR neighbouring floats of each    y: pixels, NR floats of each
//
// The semantics are those of the plain Go functions dotGeneric, reuseGeneric
// and outerGeneric. Sums run in the order of the loops above, one accumulator per
// element of the tile, so a result does not depend on the tile that computed
// it, nor on the vector width; fused multiply-add makes assembly differ from
// plain Go by rounding only.
//
// Start at [Best], which returns the [Set] of kernels for this machine.
package tile
