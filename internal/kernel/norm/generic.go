package norm

import "math"

// The plain Go variant: the definition of the batch normalization kernels.
// Products are converted to float32 so that no compiler fuses them with a sum.

func clip32(x, lo, hi float32) float32 {
	if x < lo {
		x = lo
	}
	if x > hi {
		x = hi
	}
	return x
}

func rne32(x float32) float32 { return float32(math.RoundToEven(float64(x))) }

// round32 is the rounding of package quant.
func round32(x, low, high, scale, zero float32) float32 {
	return rne32(float32((clip32(x, low, high)-low)*scale)-zero) / scale
}

func statsGeneric(part, x, shift []float32) {
	p := len(shift)
	clear(part)
	s, q := part[:p], part[p:2*p]
	for len(x) > 0 {
		n := min(p, len(x))
		for i, v := range x[:n] {
			d := v - shift[i]
			s[i] += d
			q[i] += float32(d * d)
		}
		x = x[n:]
	}
}

// applyRow handles one period; res, resScale and grid may be nil.
func applyRow(dst, x, res, scale, shift, resScale, resShift []float32, lo, hi float32, q *Grid) {
	for i, v := range x[:len(dst)] {
		y := float32(v*scale[i]) + shift[i]
		switch {
		case res == nil:
		case resScale == nil:
			y += res[i]
		default:
			y += float32(res[i]*resScale[i]) + resShift[i]
		}
		y = clip32(y, lo, hi)
		if q != nil {
			y = round32(y, q.Low[i], q.High[i], q.Scale[i], q.Zero[i])
		}
		dst[i] = y
	}
}

func applyTwoQGeneric(dst, x, res, scale, shift, resScale, resShift []float32, lo, hi float32, q *Grid) {
	for len(dst) > 0 {
		n := min(len(dst), len(scale))
		var r []float32
		if res != nil {
			r, res = res[:n], res[n:]
		}
		applyRow(dst[:n], x[:n], r, scale, shift, resScale, resShift, lo, hi, q)
		dst, x = dst[n:], x[n:]
	}
}

// maskQ is the gradient behind the quantizer and the clip, of an input v before
// the clip, and the quantizer's three terms.
func maskQ(g, v, lo, hi float32, q *Grid, i int) (gm, inside, above, below float32) {
	z := clip32(v, lo, hi)
	switch {
	case z < q.Low[i]:
		below = g
	case z > q.High[i]:
		above = g
	case z >= q.Low[i] && z <= q.High[i]: // not NaN
		inside = g * (round32(z, q.Low[i], q.High[i], q.Scale[i], q.Zero[i]) - z)
		if v > lo && v < hi {
			gm = g
		}
	}
	return
}

func gradStatsQGeneric(part, g, x, mean, scale, shift []float32, lo, hi float32, q *Grid) {
	p := len(scale)
	clear(part)
	for len(x) > 0 {
		n := min(p, len(x))
		for i, v := range x[:n] {
			y := float32(v*scale[i]) + shift[i]
			var gm float32
			if q != nil {
				var in, above, below float32
				gm, in, above, below = maskQ(g[i], y, lo, hi, q, i)
				part[2*p+i] += in
				part[3*p+i] += above
				part[4*p+i] += below
			} else if y > lo && y < hi {
				gm = g[i]
			}
			part[i] += gm
			part[p+i] += float32(gm * (v - mean[i]))
		}
		g, x = g[n:], x[n:]
	}
}

func gradStatsJoinQGeneric(part, dz, g, z, x, mean []float32, lo, hi float32, q *Grid) {
	p := len(mean)
	clear(part)
	for len(x) > 0 {
		n := min(p, len(x))
		for i, v := range x[:n] {
			var gm float32
			if q != nil {
				var in, above, below float32
				gm, in, above, below = maskQ(g[i], z[i], lo, hi, q, i)
				part[2*p+i] += in
				part[3*p+i] += above
				part[4*p+i] += below
			} else if z[i] > lo && z[i] < hi {
				gm = g[i]
			}
			dz[i] = gm
			part[i] += gm
			part[p+i] += float32(gm * (v - mean[i]))
		}
		dz, g, z, x = dz[n:], g[n:], z[n:], x[n:]
	}
}

func gradApplyPlainGeneric(dx, g, x, a, b, c []float32) {
	for len(dx) > 0 {
		n := min(len(dx), len(a))
		for i, v := range x[:n] {
			dx[i] = float32(g[i]*a[i]) + (float32(v*b[i]) + c[i])
		}
		dx, g, x = dx[n:], g[n:], x[n:]
	}
}

func gradApplyQGeneric(dx, g, x, a, b, c, scale, shift []float32, lo, hi float32, q *Grid) {
	for len(dx) > 0 {
		n := min(len(dx), len(a))
		for i, v := range x[:n] {
			y := float32(v*scale[i]) + shift[i]
			var gm float32
			if q != nil {
				gm, _, _, _ = maskQ(g[i], y, lo, hi, q, i)
			} else if y > lo && y < hi {
				gm = g[i]
			}
			dx[i] = float32(gm*a[i]) + (float32(v*b[i]) + c[i])
		}
		dx, g, x = dx[n:], g[n:], x[n:]
	}
}

var generic = variant{
	name:  "generic",
	stats: statsGeneric,
	apply: func(dst, x, scale, shift []float32, lo, hi float32) {
		applyTwoQGeneric(dst, x, nil, scale, shift, nil, nil, lo, hi, nil)
	},
	applyAdd: func(dst, x, res, scale, shift []float32, lo, hi float32) {
		applyTwoQGeneric(dst, x, res, scale, shift, nil, nil, lo, hi, nil)
	},
	applyTwo: func(dst, x, res, scale, shift, resScale, resShift []float32, lo, hi float32) {
		applyTwoQGeneric(dst, x, res, scale, shift, resScale, resShift, lo, hi, nil)
	},
	applyQ: func(dst, x, scale, shift []float32, lo, hi float32, q *Grid) {
		applyTwoQGeneric(dst, x, nil, scale, shift, nil, nil, lo, hi, q)
	},
	applyAddQ: func(dst, x, res, scale, shift []float32, lo, hi float32, q *Grid) {
		applyTwoQGeneric(dst, x, res, scale, shift, nil, nil, lo, hi, q)
	},
	applyTwoQ: applyTwoQGeneric,

	gradStats: func(part, g, x, mean, scale, shift []float32, lo, hi float32) {
		gradStatsQGeneric(part, g, x, mean, scale, shift, lo, hi, nil)
	},
	gradStatsQ: gradStatsQGeneric,
	gradStatsJoin: func(part, dz, g, z, x, mean []float32, lo, hi float32) {
		gradStatsJoinQGeneric(part, dz, g, z, x, mean, lo, hi, nil)
	},
	gradStatsJoinQ: gradStatsJoinQGeneric,
	gradApplyPlain: gradApplyPlainGeneric,
	gradApply: func(dx, g, x, a, b, c, scale, shift []float32, lo, hi float32) {
		gradApplyQGeneric(dx, g, x, a, b, c, scale, shift, lo, hi, nil)
	},
	gradApplyQ: gradApplyQGeneric,

	layerApply: layerApplyGeneric,
	layerAcc:   layerAccGeneric,
	layerGrad:  layerGradGeneric,
	mulSub:     mulSubGeneric,
}
