// Package conv computes convolutions of float32 tensors over one, two or three
// axes, and their gradients, for any kernel size, stride, padding, dilation and
// number of groups. It cuts the work into tasks, reads strided views of the tensors and
// leaves the arithmetic to the kernels of package tile. It starts no
// goroutines and allocates nothing after [New]; the caller owns all memory and
// runs the tasks in any order, on any number of threads, with one scratch
// buffer per thread. Results have the same bits for every such choice.
//
// Depthwise convolutions work here but belong to package depthwise. A 1-D
// convolution has H = KH = 1. A depth makes each depth of the output an image
// that reads several planes of input.
//
// Start at [New] and [Plan.Sizes]. One training step is
//
//	PackForward, PackBackward      the weights changed
//	Forward                        y from x
//	BackwardData                   dx from dy
//	BackwardWeights                partial sums of dw, then
//	ReduceWeights                  dw from the partial sums
//
// each as a loop over its number of tasks in [Sizes]; all tasks of one line
// must end before those of the next that needs their result begin.
//
// # Memory
//
// Activations are NHWC (NDHWC with a depth), channels innermost; weights are
// OIHW (OIDHW), as in ONNX.
// Packed weights are written for one plan and read by it only:
//
//	block 0 (NR output channels)       block 1 …
//	┌ tap (0,0)  ic 0: NR floats       the last block of a group has only as
//	│            ic 1: NR floats       many vectors as it needs; lanes without
//	│ tap (0,1)  ic 0: NR floats       a channel are zero
//	└ …
//
// For each output pixel the taps of one kernel row and all their channels are
// one contiguous run of x, so the inner loop is a dot product of a run of x
// with packed rows, for MR pixels and NR channels at once:
//
//	x   row h    [..|w,ic…|w+1,ic…|w+2,ic…|..]    segment kh=0: KW·IC floats
//	    row h+1  [..|w,ic…|w+1,ic…|w+2,ic…|..]    segment kh=1
//
// With dilation or groups each tap is a segment of its own. Padding is made by
// copying the window of input that a task needs to its scratch, with a border
// of zeros; a pass whose taps never leave the input reads it in place.
//
// # Gradients
//
// The gradient of the data is a convolution too. With a stride, the positions
// of dx fall into StrideH·StrideW phases (times StrideD), each with its own subset of the taps;
// a phase without taps is zero. The gradient of the weights is summed into a
// fixed number of slots, each for a fixed range of images and rows, with the
// layout of packed weights (and a row of sums for the bias); ReduceWeights
// adds the slots in order.
//
// # Transposed convolution
//
// A ConvTranspose from h×w×ic to H×W×oc is BackwardData of the [Geometry] with
// H, W, IC: oc, OC: ic: its kernel, strides, dilations, pads and groups stay
// the same, and its weights [ic, oc/groups, KH, KW] are that geometry's OIHW.
// H and W are the output sizes, output padding included. Bias and clip work
// through [Fusion]. Its data gradient is Forward, and its weight gradient is
// BackwardWeights with x the gradient of the output and dy the input.
package conv
