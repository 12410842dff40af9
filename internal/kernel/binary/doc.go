// Package binary computes convolutions of bits: activations 0 or 1, weights ±1.
//
// With the bits p of a filter, 1 for +1, and the bits u of a window,
//
//	Σ u·v = 2·|u ∧ p| - |u|
//
// which no padding disturbs, for its bits are 0. Sums are exact integers, so
// every variant gives the same; they are stored as float32 times a factor per
// output channel. Beside that, the package holds the elementwise part of
// binarized networks: comparison with thresholds, signs, and the gradient of
// activations.
//
// It starts no goroutines and allocates nothing after [New]; the caller runs
// the tasks in any order, with scratch memory per worker. Start at [New].
//
// # Memory
//
// Activations are NHWC float32. Their bits are one run of ⌈C/8⌉ bytes a pixel,
// channel c in bit c%8 of byte c/8. A task copies the rows that its windows see
// to scratch, with a border of zeros; the taps of one kernel row are then one
// run of bytes (with a dilation along the row, each tap is a run).
//
// Two ways to count, by what the processor has:
//
//	words     runs are read as words of 64 bits; weights lie as
//	          [block of channels][run][word][channel]; a population count each
//	nibbles   scratch holds four bits a byte; weights lie as indices
//	          [block][run][nibble][channel], four bits a byte too. The nibble of
//	          the window chooses one of 16 tables of 16 sums, -4 to 4, and a
//	          shuffle looks up the sums of 32 channels at once, to be added as bytes
//
// The second needs no population count: a shuffle and an addition do 128
// products on AVX2.
package binary
