// Package reduce adds up float32 vectors and finds their extremes, over whole
// slices, rows, or channels of channels-last tensors.
//
// Order of summation is part of the contract, so that results do not depend on
// the processor or on the number of workers:
//
//	slices    element i goes to lane i mod 64, a float32 sum; every 65536 elements
//	          the lanes are added in float64 by halves (lane l += lane l+32, …),
//	          and blocks are added in order
//	channels  element i is added to acc[i mod len(acc)] in order of i; acc is a
//	          period of the channels (package period), folded by the caller. An
//	          accumulator of length 1 gets the sum of the slice
//
// A middle axis of [outer][n][inner] is a channel sum of the n·inner elements of
// each outer index with inner accumulators.
//
// A channel sum over more than about a thousand periods should be cut into
// blocks with an accumulator each, folded in float64 in order: [BlockLen].
//
// Products are rounded before they are added. Extremes ignore NaN; of nothing
// the maximum is −Inf and the minimum +Inf. Start at [Sum] and [SumChannels].
package reduce
