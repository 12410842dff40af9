// Package norm computes batch normalization, layer normalization, softmax and
// its losses, forward and backward, on channels-last float32 data.
//
// # Batch normalization
//
// Training reads the data twice forward and twice backward, everything else is
// per channel. Slices per channel have a period's length (package period), all
// of the same length; the data start at channel 0.
//
//	Stats      per block of rows: Σ(x−shift), Σ(x−shift)²          parallel
//	Moments    fold the blocks in float64, in order                 once
//	Affine     scale = γ/√(var+ε), shift = β − mean·scale           once
//	Apply      y = Q(clip(x·scale + shift + residual))              parallel
//
//	GradStats  per block: Σg', Σg'·(x−mean), sums for a quantizer   parallel
//	GradCoef   dγ, dβ and the coefficients A, B, C                  once
//	GradApply  dx = A·g' + B·x + C                                  parallel
//
// g' is the gradient behind the activation; the mask is recomputed from x, so
// nothing is stored. Blocks depend on shapes only ([BlockRows]), so results do
// not depend on the number of workers. The inference form is Affine from the
// running statistics, then Apply.
//
// The sums are shifted by a value near the mean, because float32 sums of
// squares lose everything when the mean is large against the deviation. The
// first row of x is a good shift; the last running mean is another.
//
// Rows: [LayerNorm], [Softmax], [LogSoftmax], [CrossEntropy].
//
// Each operation is rounded on its own: all variants agree bit by bit.
package norm
