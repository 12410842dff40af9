// Package depthwise computes 2-D depthwise convolutions of float32 tensors, one
// kernel per channel, and their gradients. Like package conv it cuts the work
// into tasks that the caller runs in any order on any number of threads, each
// with the same bits as result, and allocates nothing after [New]. Depthwise convolutions with several outputs per channel are grouped
// convolutions and belong to package conv.
//
// Activations are NHWC; weights are [C, 1, KH, KW], as in ONNX. A vector is L
// neighbouring channels of one pixel, so everything is lane-wise:
//
//	packed weights   [vector][kh][kw][L]   lanes without a channel are zero
//	x row h          [px 0: C][px 1: C][px 2: C] …
//	x row h+1        …
//	y row            TW neighbouring pixels at once, for all vectors in turn
//
// Rows and columns of the kernel that leave the input are skipped, not padded;
// only weight gradients copy short rows to scratch, with a border of zeros.
// There are three kernel families: row (TW pixels, all taps inside the columns
// of the input; KW of 1, 2, 3 and 5 at step 1, 3 and 5 at step 2), pixel (one
// pixel, any taps) and grad (sums over pixels for one vector of weights). Their
// semantics are the plain Go functions rowGeneric, pixelGeneric and gradGeneric.
//
// Start at [New].
package depthwise
