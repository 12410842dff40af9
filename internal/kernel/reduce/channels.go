package reduce

import "fmt"

// BlockLen is the largest number of elements to add up in one accumulator of
// the given length: a thousand terms per lane, a multiple of accLen. It depends
// on accLen only.
func BlockLen(accLen int) int { return max(32, min(1024, 65536/max(1, accLen))) * accLen }

// SumChannels adds x[i] to acc[i mod len(acc)].
func SumChannels(acc, x []float32) {
	check(len(acc), len(x))
	if len(acc) == 1 {
		acc[0] += float32(Sum(x))
		return
	}
	for at := 0; at < len(x); {
		n, w := step(len(acc), len(x)-at)
		end := at + n
		active.sumChannels(acc[:w], x[at:end])
		at = end
	}
}

// SumSquaresChannels adds x[i]² to acc[i mod len(acc)].
func SumSquaresChannels(acc, x []float32) {
	DotChannels(acc, x, x)
}

// DotChannels adds x[i]·y[i] to acc[i mod len(acc)].
func DotChannels(acc, x, y []float32) {
	check(len(acc), len(x))
	_ = y[:len(x)]
	if len(acc) == 1 {
		acc[0] += float32(Dot(x, y))
		return
	}
	for at := 0; at < len(x); {
		n, w := step(len(acc), len(x)-at)
		end := at + n
		active.dotChannels(acc[:w], x[at:end], y[at:end])
		at = end
	}
}

// SlopeGradChannels adds g[i]·min(x[i], 0) to acc[i mod len(acc)]: the gradient
// of the slopes of a PRelu.
func SlopeGradChannels(acc, g, x []float32) {
	check(len(acc), len(x))
	_ = g[:len(x)]
	for at := 0; at < len(g); {
		n, w := step(len(acc), len(g)-at)
		end := at + n
		active.slopeChannels(acc[:w], g[at:end], x[at:end])
		at = end
	}
}

// MaxChannels raises acc[i mod len(acc)] to x[i] where that is larger.
func MaxChannels(acc, x []float32) {
	check(len(acc), len(x))
	for at := 0; at < len(x); {
		n, w := step(len(acc), len(x)-at)
		end := at + n
		active.maxChannels(acc[:w], x[at:end])
		at = end
	}
}

// MinMaxChannels lowers lo[i mod len(lo)] and raises hi to include x[i]. Start
// with lo full of +Inf and hi of −Inf.
func MinMaxChannels(lo, hi, x []float32) {
	check(len(lo), len(x))
	_ = hi[:len(lo)]
	if len(lo) == 1 {
		l, h := MinMax(x)
		lo[0], hi[0] = min(lo[0], l), max(hi[0], h)
		return
	}
	for at := 0; at < len(x); {
		n, w := step(len(lo), len(x)-at)
		end := at + n
		active.minMaxChannels(lo[:w], hi[:w], x[at:end])
		at = end
	}
}

func check(acc, n int) {
	if acc == 0 && n > 0 {
		panic(fmt.Sprintf("reduce: no accumulators for %d elements", n))
	}
}

// step returns how many of the elements left a kernel that sums per channel
// should take at once, and the width of its rows. The kernel walks a few
// columns down all rows of a call, then the next few: so the rows are whole
// periods that fit the first-level cache, or eight long ones, which are read as
// parallel streams. The order of summation is the same for any step.
func step(p, left int) (n, width int) {
	if left < p {
		return left, left
	}
	return min(left/p, max(8, 2048/p)) * p, p
}
