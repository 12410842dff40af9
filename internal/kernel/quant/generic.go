package quant

// The plain Go variant: the definition of the kernels.

func round(x, low, high, scale, zero float32) float32 {
	if x < low {
		x = low
	}
	if x > high {
		x = high
	}
	return rne32(float32((x-low)*scale)-zero) / scale
}

// grad returns the gradient of the input and the terms of the three sums. A
// NaN counts as inside in none of them and has no gradient.
func grad(dy, x, low, high, scale, zero float32) (dx, inside, above, below float32) {
	switch {
	case x < low:
		below = dy
	case x > high:
		above = dy
	case x >= low && x <= high: // not NaN
		dx = dy
		inside = dy * (round(x, low, high, scale, zero) - x)
	}
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

func backwardGeneric(dx, dy, x, low, high, scale, zero, sums []float32) {
	p := len(low)
	clear(sums)
	sIn, sAbove, sBelow := sums[:p], sums[p:2*p], sums[2*p:3*p]
	for len(dx) > 0 {
		n := min(len(dx), p)
		for i, v := range x[:n] {
			d, in, above, below := grad(dy[i], v, low[i], high[i], scale[i], zero[i])
			dx[i] = d
			sIn[i] += in
			sAbove[i] += above
			sBelow[i] += below
		}
		dx, dy, x = dx[n:], dy[n:], x[n:]
	}
}

func forwardRowGeneric(dst, x []float32, low, high, scale, zero float32) {
	for i, v := range x[:len(dst)] {
		dst[i] = round(v, low, high, scale, zero)
	}
}

func backwardRowGeneric(dx, dy, x []float32, low, high, scale, zero float32, acc *[3 * rowLanes]float32) {
	clear(acc[:])
	for i, v := range x[:len(dx)] {
		d, in, above, below := grad(dy[i], v, low, high, scale, zero)
		dx[i] = d
		l := i % rowLanes
		acc[l] += in
		acc[rowLanes+l] += above
		acc[2*rowLanes+l] += below
	}
}

var generic = variant{
	name:        "generic",
	forward:     forwardGeneric,
	backward:    backwardGeneric,
	forwardRow:  forwardRowGeneric,
	backwardRow: backwardRowGeneric,
}
