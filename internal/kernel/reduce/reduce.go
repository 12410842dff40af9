package reduce

import (
	"fmt"
	"math"
)

const (
	lanes = 64
	block = 1024 * lanes
)

// Sum returns Σ x[i].
func Sum(x []float32) float64 { return each(active.sum, x) }

// Mean returns Σ x[i] / len(x), NaN for an empty slice.
func Mean(x []float32) float64 { return Sum(x) / float64(len(x)) }

// SumAbs returns Σ |x[i]|.
func SumAbs(x []float32) float64 { return each(active.sumAbs, x) }

// SumSquares returns Σ x[i]².
func SumSquares(x []float32) float64 { return each(active.sumSquares, x) }

// SumSquaresAbout returns Σ (x[i]−m)².
func SumSquaresAbout(x []float32, m float32) float64 {
	var acc [lanes]float32
	var s float64
	for len(x) > 0 {
		n := min(block, len(x))
		active.sumSquaresAbout(noescape(&acc), x[:n], m)
		s += fold(&acc, n)
		x = x[n:]
	}
	return s
}

// Dot returns Σ x[i]·y[i], i < len(x).
func Dot(x, y []float32) float64 {
	y = y[:len(x)]
	var acc [lanes]float32
	var s float64
	for len(x) > 0 {
		n := min(block, len(x))
		active.dot(noescape(&acc), x[:n], y[:n])
		s += fold(&acc, n)
		x, y = x[n:], y[n:]
	}
	return s
}

// DotAbout returns Σ x[i]·(y[i]−m).
func DotAbout(x, y []float32, m float32) float64 {
	y = y[:len(x)]
	var acc [lanes]float32
	var s float64
	for len(x) > 0 {
		n := min(block, len(x))
		active.dotAbout(noescape(&acc), x[:n], y[:n], m)
		s += fold(&acc, n)
		x, y = x[n:], y[n:]
	}
	return s
}

// Max returns the largest element.
func Max(x []float32) float32 {
	var acc [lanes]float32
	active.max(noescape(&acc), x)
	return extreme(&acc, func(a, b float32) bool { return a > b })
}

// Min returns the smallest element.
func Min(x []float32) float32 {
	var acc [lanes]float32
	active.min(noescape(&acc), x)
	return extreme(&acc, func(a, b float32) bool { return a < b })
}

// MinMax returns the smallest and the largest element.
func MinMax(x []float32) (lo, hi float32) {
	lo, hi = float32(math.Inf(1)), float32(math.Inf(-1))
	for len(x) > 0 {
		n := min(len(x), 4096) // the second look is at the first-level cache
		lo, hi = min(lo, Min(x[:n])), max(hi, Max(x[:n]))
		x = x[n:]
	}
	return lo, hi
}

// MaxAbs returns the largest |x[i]|, 0 for nothing.
func MaxAbs(x []float32) float32 {
	var acc [lanes]float32
	active.maxAbs(noescape(&acc), x)
	return extreme(&acc, func(a, b float32) bool { return a > b })
}

func each(f func(acc *[lanes]float32, x []float32), x []float32) float64 {
	var acc [lanes]float32
	var s float64
	for len(x) > 0 {
		n := min(block, len(x))
		f(noescape(&acc), x[:n])
		s += fold(&acc, n)
		x = x[n:]
	}
	return s
}

// fold adds the lanes that n elements can have reached, by halves.
func fold(acc *[lanes]float32, n int) float64 {
	var d [lanes / 2]float64
	m := lanes / 2
	switch {
	case n <= 8:
		m = 4
	case n <= 16:
		m = 8
	case n <= 32:
		m = 16
	}
	for l := range m {
		d[l] = float64(acc[l]) + float64(acc[l+m])
	}
	for m /= 2; m > 0; m /= 2 {
		for l := range m {
			d[l] += d[l+m]
		}
	}
	return d[0]
}

func extreme(acc *[lanes]float32, better func(a, b float32) bool) float32 {
	e := acc[0]
	for _, v := range acc[1:] {
		if better(v, e) {
			e = v
		}
	}
	return e
}

// Rows calls f for each row of x and stores the result: dst[r] = f(row r).
// Useful with Sum, Mean, SumSquares, SumAbs.
func Rows(dst, x []float32, row int, f func([]float32) float64) {
	checkRows(len(dst), len(x), row)
	for r := range dst {
		dst[r] = float32(f(x[r*row : (r+1)*row]))
	}
}

// ExtremeRows is [Rows] for Max, Min and MaxAbs.
func ExtremeRows(dst, x []float32, row int, f func([]float32) float32) {
	checkRows(len(dst), len(x), row)
	for r := range dst {
		dst[r] = f(x[r*row : (r+1)*row])
	}
}

// MinMaxRows stores the extremes of each row of x: observations per sample.
func MinMaxRows(lo, hi, x []float32, row int) {
	checkRows(len(lo), len(x), row)
	for r := range lo {
		lo[r], hi[r] = MinMax(x[r*row : (r+1)*row])
	}
}

func checkRows(rows, n, row int) {
	if row < 0 || rows*row > n {
		panic(fmt.Sprintf("reduce: %d rows of %d in %d elements", rows, row, n))
	}
}

// ArgMax returns the index of the first largest element; NaN counts as larger
// than any number. It returns −1 for nothing.
func ArgMax(x []float32) int {
	if len(x) == 0 {
		return -1
	}
	best := 0
	for i, v := range x {
		if v != v {
			return i
		}
		if v > x[best] {
			best = i
		}
	}
	return best
}
