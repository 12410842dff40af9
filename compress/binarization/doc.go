// Package binarization trains convolutions of one bit: weights ±m, activations 0
// or s (Kozlov et al. 2020, section 3.2).
//
//	Options ──New──▶ Algorithm ──Setup──▶ *Setup ──Apply──▶ *Controller
//
// Every 2-D convolution with stored weights is binarized unless a scope says
// otherwise; the first and the last layer of a network should be left out, for
// they cost the most accuracy and hold little of the work. What is left out may
// be quantized by stacking algorithm quantization, which leaves binarized
// convolutions alone. Transposed convolutions and matrix products stay.
//
// Weights become their signs times a mean size, of each filter (XNOR) or of the
// whole tensor (DoReFa). Activations are compared with a trained threshold per
// input channel, a share of a trained scale. The graph computes
//
//	y = Conv(BinarizeActivation(x), BinarizeWeight(w)) · (mean · scale) + bias
//
// in which the convolution adds up integers, exactly. So the bits of the result
// do not depend on the order of summation, and what package engine/native
// computes by population counts is what was trained.
//
// Training runs in stages, see [compress.Stages]: the float network, then
// binarized activations, then weights too. Scales start from data when
// activations are switched on: the smallest of the largest thousandth of a
// batch's values, layer after layer, on what the layers before have been
// binarized to. Batch normalization is adapted at each switch.
//
// The exported forms are in package pass.
package binarization
