// Package period repeats per-channel values so that vectors can run across the
// rows of a channels-last tensor.
//
// Kernels that take a parameter per channel walk the parameter slice with the
// data and start again at its end. With C values the walk breaks at every row,
// which wastes most of a vector when C is 3 or 10. Repeating the values up to a
// multiple of the vector width removes the breaks:
//
//	C = 3:  c0 c1 c2 c0 c1 c2 … c2      96 floats = 32 rows = 6 AVX-512 vectors
//
// The length depends on C only, never on the processor, because sums per
// channel are accumulated in the same period and must not change with it.
// Start at [Len] and [Expand].
package period

const (
	lanes   = 16   // float32 lanes of the widest vectors
	least   = 64   // four of them: what the inner loops unroll
	longest = 1024 // beyond this the repeated parameters crowd the first-level cache
)

// Len returns the length of the period for c channels: the smallest multiple
// of c and of 16 that is at least 64, or c itself if that would pass 1024 and
// the rows are long enough to run vectors along them.
func Len(c int) int {
	if c <= 0 {
		return 0
	}
	n := c / gcd(c, lanes) * lanes
	if n > longest {
		return c
	}
	return (least + n - 1) / n * n
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Expand fills dst with src repeated. The length of dst is a multiple of the
// length of src.
func Expand(dst, src []float32) {
	if len(src) == 0 || len(dst)%len(src) != 0 {
		panic("period: destination is not a multiple of the source")
	}
	for n := copy(dst, src); n < len(dst); n *= 2 {
		copy(dst[n:], dst[:n])
	}
}

// Fold adds up the repetitions: dst[c] = Σ src[c + k·len(dst)], in float64, in
// the order of k.
func Fold(dst []float64, src []float32) {
	if len(dst) == 0 || len(src)%len(dst) != 0 {
		panic("period: source is not a multiple of the destination")
	}
	for c := range dst {
		var s float64
		for i := c; i < len(src); i += len(dst) {
			s += float64(src[i])
		}
		dst[c] = s
	}
}
