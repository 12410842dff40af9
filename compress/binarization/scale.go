package binarization

import "math"

// scaleOf returns the scale that values start with.
func (c *Controller) scaleOf(x []float32) float64 {
	if c.setup.Scale == MSE {
		return leastError(x)
	}
	return topThousandth(x)
}

// leastError returns the s at which s is the mean of the values above s/2, from
// the mean of the positive ones on.
func leastError(x []float32) float64 {
	const rounds, close = 30, 1e-4
	s := 0.0
	for range rounds {
		sum, n := 0.0, 0
		for _, v := range x {
			if float64(v) > s/2 {
				sum += float64(v)
				n++
			}
		}
		if n == 0 {
			break
		}
		old := s
		s = sum / float64(n)
		if math.Abs(s-old) <= close*s || math.IsInf(s, 0) || math.IsNaN(s) {
			break
		}
	}
	return max(smallestScale, s)
}

// smallestScale stands for the scale of inputs that are nowhere above it; the
// original implementation takes the logarithm of 0 or less then.
const smallestScale = 1e-3

// topThousandth returns the k-th largest value of x, with k a thousandth of its
// length, rounded half to even, at least 1; at least smallestScale.
func topThousandth(x []float32) float64 {
	k := max(1, int(math.RoundToEven(0.001*float64(len(x)))))
	return max(smallestScale, float64(kthLargest(x, k)))
}

// kthLargest selects by the bits of the numbers, eleven at a time from the top.
func kthLargest(x []float32, k int) float32 {
	key := func(v float32) uint32 { // ascending with v; NaN comes last
		b := math.Float32bits(v)
		if b>>31 != 0 {
			return ^b
		}
		return b | 1<<31
	}
	var prefix, mask uint32
	for _, d := range [...]struct{ shift, bits int }{{21, 11}, {10, 11}, {0, 10}} {
		count := make([]int, 1<<d.bits)
		for _, v := range x {
			if b := key(v); b&mask == prefix {
				count[b>>d.shift&(1<<d.bits-1)]++
			}
		}
		digit := len(count) - 1
		for ; digit > 0 && k > count[digit]; digit-- {
			k -= count[digit]
		}
		prefix |= uint32(digit) << d.shift
		mask |= (1<<d.bits - 1) << d.shift
	}
	if prefix>>31 != 0 {
		return math.Float32frombits(prefix &^ (1 << 31))
	}
	return math.Float32frombits(^prefix)
}
