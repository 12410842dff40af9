package reduce

import "fmt"

// BlockLen is the largest number of elements to add up in one accumulator of
// the given length: a thousand terms per lane, a multiple of accLen. It depends
// on accLen only.
func BlockLen(accLen int) int { return max(32, min(1024, 65536/max(1, accLen))) * accLen }

// SumChannels adds x[i] to acc[i mod len(acc)].
func SumChannels(acc, x []float32) {
	check(len(acc), len(x))
	active.sumChannels(acc, x)
}

// SumSquaresChannels adds x[i]² to acc[i mod len(acc)].
func SumSquaresChannels(acc, x []float32) {
	check(len(acc), len(x))
	active.dotChannels(acc, x, x)
}

// DotChannels adds x[i]·y[i] to acc[i mod len(acc)].
func DotChannels(acc, x, y []float32) {
	check(len(acc), len(x))
	active.dotChannels(acc, x, y[:len(x)])
}

// SlopeGradChannels adds g[i]·min(x[i], 0) to acc[i mod len(acc)]: the gradient
// of the slopes of a PRelu.
func SlopeGradChannels(acc, g, x []float32) {
	check(len(acc), len(x))
	active.slopeChannels(acc, g[:len(x)], x)
}

// MaxChannels raises acc[i mod len(acc)] to x[i] where that is larger.
func MaxChannels(acc, x []float32) {
	check(len(acc), len(x))
	active.maxChannels(acc, x)
}

// MinMaxChannels lowers lo[i mod len(lo)] and raises hi to include x[i]. Start
// with lo full of +Inf and hi of −Inf.
func MinMaxChannels(lo, hi, x []float32) {
	check(len(lo), len(x))
	active.minMaxChannels(lo, hi[:len(lo)], x)
}

func check(acc, n int) {
	if acc == 0 && n > 0 {
		panic(fmt.Sprintf("reduce: no accumulators for %d elements", n))
	}
}
