// Package quant computes fake quantization: rounding float32 values to a grid
// and back, with its straight-through gradients.
//
// A grid has n+1 points from Low to High. With Scale = n/(High−Low), points per
// unit, and Zero = rne(−Low·Scale), the index of zero, both in float32:
//
//	c = clip(x, Low, High)
//	y = rne((c − Low)·Scale − Zero) / Scale
//
// rne rounds half to even. Subtracting the rounded Zero before rounding makes
// y = 0 exact even where Low is not a multiple of the step. Each operation is
// rounded to float32 on its own and the division is a true one, so all
// variants, and the reference, agree bit by bit. NaN stays NaN.
//
// Gradient of the inputs: dx = g where Low ≤ x ≤ High, else 0. The gradients of
// the parameters are combinations of three sums (see [Sums]):
//
//	Inside = Σ g·(y−x) over Low ≤ x ≤ High
//	Above  = Σ g over x > High      Below = Σ g over x < Low
//
// # Layouts
//
// Channels-last activations, and weights packed with output channels innermost:
// [Forward] and [Backward]; the grid's slices are walked with the data and
// start again at their end (see package period). Per tensor is one entry. Tensors
// whose channel is not innermost, such as OIHW weights: [ForwardRows] and
// [BackwardRows], one grid entry per row.
//
// The package does not choose grids: [Symmetric] and [Asymmetric] only compute
// what trained parameters mean. Observers of ranges are in package reduce.
package quant
