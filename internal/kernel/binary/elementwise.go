package binary

import "fmt"

// Above sets dst[i] to 1 where x[i] is above at[i mod len(at)], else to 0. dst
// may be x.
func Above(dst, x, at []float32) {
	_ = x[:len(dst)]
	if len(at) == 0 {
		panic("binary: no thresholds")
	}
	active.above(dst, x, at)
}

// Signs sets dst[i] to 1 where x[i] is above 0, else to -1. dst may be x.
func Signs(dst, x []float32) {
	_ = x[:len(dst)]
	active.signs(dst, x)
}

// Backward is the gradient of a binarized activation, see
// op.BinarizeActivationGrad. With s = scale and t = at[i mod len(at)]:
//
//	dx = du·(1/s) where 0 ≤ x ≤ s, else 0
//	scaleSums[c]     = Σ du·{ (x > t) - x·(1/s) where x ≤ s; 1 above }
//	thresholdSums[c] = Σ du where 0 < x < s
//
// The sums, of the length of at, are replaced. dx may be du. Call it for blocks of
// some thousand elements: a sum is in float32.
func Backward(dx, du, x, at []float32, scale float32, scaleSums, thresholdSums []float32) {
	_, _ = du[:len(dx)], x[:len(dx)]
	if len(at) == 0 || len(scaleSums) != len(at) || len(thresholdSums) != len(at) {
		panic(fmt.Sprintf("binary: got %d thresholds and sums of length %d and %d", len(at), len(scaleSums), len(thresholdSums)))
	}
	clear(scaleSums)
	clear(thresholdSums)
	for lo := 0; lo < len(dx); {
		n, w := len(dx)-lo, len(at)
		if n < w {
			w = n
		}
		hi := lo + n/w*w
		active.backward(dx[lo:hi], du[lo:hi], x[lo:hi], at[:w], scale, 1/scale, scaleSums[:w], thresholdSums[:w])
		lo = hi
	}
}
