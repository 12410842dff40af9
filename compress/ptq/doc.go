// Package ptq quantizes without training: what package quantization places is
// given better numbers, so that fewer points of accuracy are lost.
//
//	Prepare     exact changes of the float model: scales move from activations
//	            into weights (rules align-channels, smooth-quant), layers get the
//	            bias that is corrected later (rule add-bias)
//	Statistics  one pass over the samples, shared with the ranges of quantizers
//	Recover     changes of the quantized model's numbers: learned rounding (rule
//	            learn-rounding), fast or full bias correction (rule correct-bias)
//
// What can be decided on one pass is decided on one: with default options the
// float model runs on 32 samples to compare channels, then once over all samples,
// and nothing else runs.
//
// Batch normalization stays a node. Its scale takes what is moved, its bias what
// is corrected, and export folds it exactly; so the simulated model is the one
// that is shipped.
//
// [Search] returns layers to more bits or to float until a metric is within its
// budget; it drives the whole procedure through a function of the caller's.
//
// The package refuses to guess: a layer whose statistics cannot be had (a
// changing shape, a computed weight) stays as it was, and the trace says so.
package ptq
