package norm

import "math"

// The plain Go variant: the definition of the batch normalization kernels.
// Products are converted to float32 so that no compiler fuses them with a sum.

// sel returns c ? a : b. On integers the compiler makes it a conditional move,
// which random data cannot mispredict.
func sel(c bool, a, b float32) float32 {
	x, y := math.Float32bits(a), math.Float32bits(b)
	if c {
		y = x
	}
	return math.Float32frombits(y)
}

func clip32(x, lo, hi float32) float32 {
	x = sel(x < lo, lo, x)
	return sel(x > hi, hi, x)
}

func rne32(x float32) float32 { return float32(math.RoundToEven(float64(x))) }

// round32 is the rounding of package quant.
func round32(x, low, high, scale, zero float32) float32 {
	return rne32(float32((clip32(x, low, high)-low)*scale)-zero) / scale
}

func statsGeneric(sum, square, x, shift []float32) {
	for p := len(sum); len(x) > 0; x = x[p:] {
		for i, v := range x[:p] {
			d := v - shift[i]
			sum[i] += d
			square[i] += float32(d * d)
		}
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

func applyGeneric(dst, x, res, scale, shift, resScale, resShift []float32, lo, hi float32, q *Grid) {
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
	low, high := q.Low[i], q.High[i]
	below, above = sel(z < low, g, 0), sel(z > high, g, 0)
	d := g * (round32(z, low, high, q.Scale[i], q.Zero[i]) - z)
	inside = sel(z >= low, sel(z <= high, d, 0), 0)
	gm = sel(z >= low, sel(z <= high, maskPlain(g, v, lo, hi), 0), 0)
	return
}

// maskPlain is maskQ without a quantizer.
func maskPlain(g, v, lo, hi float32) float32 {
	return sel(v > lo, sel(v < hi, g, 0), 0)
}

func gradStatsGeneric(sumG, sumGX, g, x, mean, scale, shift []float32, lo, hi float32) {
	for p := len(sumG); len(x) > 0; g, x = g[p:], x[p:] {
		for i, v := range x[:p] {
			gm := maskPlain(g[i], float32(v*scale[i])+shift[i], lo, hi)
			sumG[i] += gm
			sumGX[i] += float32(gm * (v - mean[i]))
		}
	}
}

func gradStatsQGeneric(sumG, sumGX, inside, above, below, g, x, mean, scale, shift []float32, lo, hi float32, ql, qh, qs, qz []float32) {
	q := &Grid{ql, qh, qs, qz}
	for p := len(sumG); len(x) > 0; g, x = g[p:], x[p:] {
		for i, v := range x[:p] {
			gm, in, up, down := maskQ(g[i], float32(v*scale[i])+shift[i], lo, hi, q, i)
			inside[i] += in
			above[i] += up
			below[i] += down
			sumG[i] += gm
			sumGX[i] += float32(gm * (v - mean[i]))
		}
	}
}

func gradStatsJoinGeneric(sumG, sumGX, dz, g, z, x, mean []float32, lo, hi float32) {
	for p := len(sumG); len(x) > 0; dz, g, z, x = dz[p:], g[p:], z[p:], x[p:] {
		for i, v := range x[:p] {
			gm := maskPlain(g[i], z[i], lo, hi)
			dz[i] = gm
			sumG[i] += gm
			sumGX[i] += float32(gm * (v - mean[i]))
		}
	}
}

func gradStatsJoinQGeneric(sumG, sumGX, inside, above, below, dz, g, z, x, mean []float32, lo, hi float32, ql, qh, qs, qz []float32) {
	q := &Grid{ql, qh, qs, qz}
	for p := len(sumG); len(x) > 0; dz, g, z, x = dz[p:], g[p:], z[p:], x[p:] {
		for i, v := range x[:p] {
			gm, in, up, down := maskQ(g[i], z[i], lo, hi, q, i)
			inside[i] += in
			above[i] += up
			below[i] += down
			dz[i] = gm
			sumG[i] += gm
			sumGX[i] += float32(gm * (v - mean[i]))
		}
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

func gradApplyGeneric(dx, g, x, a, b, c, scale, shift []float32, lo, hi float32, q *Grid) {
	for len(dx) > 0 {
		n := min(len(dx), len(a))
		for i, v := range x[:n] {
			y := float32(v*scale[i]) + shift[i]
			var gm float32
			if q != nil {
				gm, _, _, _ = maskQ(g[i], y, lo, hi, q, i)
			} else {
				gm = maskPlain(g[i], y, lo, hi)
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
		applyGeneric(dst, x, nil, scale, shift, nil, nil, lo, hi, nil)
	},
	applyAdd: func(dst, x, res, scale, shift []float32, lo, hi float32) {
		applyGeneric(dst, x, res, scale, shift, nil, nil, lo, hi, nil)
	},
	applyTwo: func(dst, x, res, scale, shift, resScale, resShift []float32, lo, hi float32) {
		applyGeneric(dst, x, res, scale, shift, resScale, resShift, lo, hi, nil)
	},
	applyQ: func(dst, x, scale, shift []float32, lo, hi float32, ql, qh, qs, qz []float32) {
		applyGeneric(dst, x, nil, scale, shift, nil, nil, lo, hi, &Grid{ql, qh, qs, qz})
	},
	applyAddQ: func(dst, x, res, scale, shift []float32, lo, hi float32, ql, qh, qs, qz []float32) {
		applyGeneric(dst, x, res, scale, shift, nil, nil, lo, hi, &Grid{ql, qh, qs, qz})
	},
	applyTwoQ: func(dst, x, res, scale, shift, resScale, resShift []float32, lo, hi float32, ql, qh, qs, qz []float32) {
		applyGeneric(dst, x, res, scale, shift, resScale, resShift, lo, hi, &Grid{ql, qh, qs, qz})
	},

	gradStats:      gradStatsGeneric,
	gradStatsQ:     gradStatsQGeneric,
	gradStatsJoin:  gradStatsJoinGeneric,
	gradStatsJoinQ: gradStatsJoinQGeneric,
	gradApplyPlain: gradApplyPlainGeneric,
	gradApply: func(dx, g, x, a, b, c, scale, shift []float32, lo, hi float32) {
		gradApplyGeneric(dx, g, x, a, b, c, scale, shift, lo, hi, nil)
	},
	gradApplyQ: func(dx, g, x, a, b, c, scale, shift []float32, lo, hi float32, ql, qh, qs, qz []float32) {
		gradApplyGeneric(dx, g, x, a, b, c, scale, shift, lo, hi, &Grid{ql, qh, qs, qz})
	},

	layerApply: layerApplyGeneric,
	layerAcc:   layerAccGeneric,
	layerGrad:  layerGradGeneric,
	mulSub:     mulSubGeneric,
}
