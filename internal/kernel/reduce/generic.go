package reduce

import "math"

// The plain Go variant: the definition of the kernels.

var (
	posInf = float32(math.Inf(1))
	negInf = float32(math.Inf(-1))
)

func abs32(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// eachLane calls f with each element and its lane's accumulator.
func eachLane(acc *[lanes]float32, start float32, x []float32, f func(a, v float32) float32) {
	for l := range acc {
		acc[l] = start
	}
	for i, v := range x {
		l := i % lanes
		acc[l] = f(acc[l], v)
	}
}

func eachLane2(acc *[lanes]float32, x, y []float32, f func(a, v, w float32) float32) {
	clear(acc[:])
	y = y[:len(x)]
	for i, v := range x {
		l := i % lanes
		acc[l] = f(acc[l], v, y[i])
	}
}

// sel returns c ? a : b. On integers the compiler makes it a conditional move,
// which random data cannot mispredict.
func sel(c bool, a, b float32) float32 {
	x, y := math.Float32bits(a), math.Float32bits(b)
	if c {
		y = x
	}
	return math.Float32frombits(y)
}

func raise(a, v float32) float32 { return sel(v > a, v, a) }

func lower(a, v float32) float32 { return sel(v < a, v, a) }

func eachChannel(acc, x []float32, f func(a, v float32) float32) {
	for len(x) > 0 {
		n := min(len(x), len(acc))
		a := acc[:n]
		for i, v := range x[:n] {
			a[i] = f(a[i], v)
		}
		x = x[n:]
	}
}

func eachChannel2(acc, x, y []float32, f func(a, v, w float32) float32) {
	for len(x) > 0 {
		n := min(len(x), len(acc))
		a, w := acc[:n], y[:n]
		for i, v := range x[:n] {
			a[i] = f(a[i], v, w[i])
		}
		x, y = x[n:], y[n:]
	}
}

var generic = variant{
	name: "generic",
	sum: func(acc *[lanes]float32, x []float32) {
		eachLane(acc, 0, x, func(a, v float32) float32 { return a + v })
	},
	sumAbs: func(acc *[lanes]float32, x []float32) {
		eachLane(acc, 0, x, func(a, v float32) float32 { return a + abs32(v) })
	},
	sumSquares: func(acc *[lanes]float32, x []float32) {
		eachLane(acc, 0, x, func(a, v float32) float32 { return a + float32(v*v) })
	},
	sumSquaresAbout: func(acc *[lanes]float32, x []float32, m float32) {
		clear(acc[:])
		for i, v := range x {
			d := v - m
			acc[i%lanes] += float32(d * d)
		}
	},
	dot: func(acc *[lanes]float32, x, y []float32) {
		eachLane2(acc, x, y, func(a, v, w float32) float32 { return a + float32(v*w) })
	},
	dotAbout: func(acc *[lanes]float32, x, y []float32, m float32) {
		clear(acc[:])
		y = y[:len(x)]
		for i, v := range x {
			acc[i%lanes] += float32(v * (y[i] - m))
		}
	},
	max: func(acc *[lanes]float32, x []float32) { eachLane(acc, negInf, x, raise) },
	min: func(acc *[lanes]float32, x []float32) { eachLane(acc, posInf, x, lower) },
	maxAbs: func(acc *[lanes]float32, x []float32) {
		eachLane(acc, 0, x, func(a, v float32) float32 { return raise(a, abs32(v)) })
	},

	sumChannels: func(acc, x []float32) {
		eachChannel(acc, x, func(a, v float32) float32 { return a + v })
	},
	dotChannels: func(acc, x, y []float32) {
		eachChannel2(acc, x, y, func(a, v, w float32) float32 { return a + float32(v*w) })
	},
	slopeChannels: func(acc, g, x []float32) {
		eachChannel2(acc, g, x, func(a, g, x float32) float32 { return a + float32(g*lower(0, x)) })
	},
	maxChannels: func(acc, x []float32) { eachChannel(acc, x, raise) },
	minMaxChannels: func(lo, hi, x []float32) {
		eachChannel(lo, x, lower)
		eachChannel(hi, x, raise)
	},
}
