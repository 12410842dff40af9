package quant

import "math"

// The plain Go variant: the definition of the kernels.

// sel returns c ? a : b. On integers the compiler makes it a conditional move,
// which random data cannot mispredict.
func sel(c bool, a, b float32) float32 {
	x, y := math.Float32bits(a), math.Float32bits(b)
	if c {
		y = x
	}
	return math.Float32frombits(y)
}

func round(x, low, high, scale, zero float32) float32 {
	x = sel(x < low, low, x)
	x = sel(x > high, high, x)
	return rne32(float32((x-low)*scale)-zero) / scale
}

// grad returns the gradient of the input and the terms of the three sums. A
// NaN counts as inside in none of them and has no gradient.
func grad(dy, x, low, high, scale, zero float32) (dx, inside, above, below float32) {
	below, above = sel(x < low, dy, 0), sel(x > high, dy, 0)
	dx = sel(x >= low, sel(x <= high, dy, 0), 0)
	d := dy * (round(x, low, high, scale, zero) - x)
	inside = sel(x >= low, sel(x <= high, d, 0), 0)
	return
}

func forwardGeneric(dst, x, low, high, scale, zero []float32) {
	for len(dst) > 0 {
		n := min(len(dst), len(low))
		lo, hi, sc, z, d := low[:n], high[:n], scale[:n], zero[:n], dst[:n]
		for i, v := range x[:n] {
			d[i] = round(v, lo[i], hi[i], sc[i], z[i])
		}
		dst, x = dst[n:], x[n:]
	}
}

func backwardGeneric(dx, dy, x, low, high, scale, zero, inside, above, below []float32) {
	for p := len(inside); len(dx) > 0; dx, dy, x = dx[p:], dy[p:], x[p:] {
		for i, v := range x[:p] {
			d, in, up, down := grad(dy[i], v, low[i], high[i], scale[i], zero[i])
			dx[i] = d
			inside[i] += in
			above[i] += up
			below[i] += down
		}
	}
}

func forwardRowGeneric(dst, x []float32, low, high, scale, zero float32) {
	for i, v := range x[:len(dst)] {
		dst[i] = round(v, low, high, scale, zero)
	}
}

func backwardRowGeneric(dx, dy, x []float32, low, high, scale, zero float32, inside, above, below *[rowLanes]float32) {
	clear(inside[:])
	clear(above[:])
	clear(below[:])
	for i, v := range x[:len(dx)] {
		d, in, up, down := grad(dy[i], v, low, high, scale, zero)
		dx[i] = d
		l := i % rowLanes
		inside[l] += in
		above[l] += up
		below[l] += down
	}
}

var generic = variant{
	name:        "generic",
	forward:     forwardGeneric,
	backward:    backwardGeneric,
	forwardRow:  forwardRowGeneric,
	backwardRow: backwardRowGeneric,
}
