package norm

import "fmt"

// GradStatsLen is the length of the partial sums of one block: two slices of a
// period's length, five with a quantizer.
func GradStatsLen(p int, quantized bool) int {
	if quantized {
		return 5 * p
	}
	return 2 * p
}

// GradStats writes the sums of a block to part:
//
//	v = x·scale + shift      z = clip(v)      y = Q(z) if grid is not nil
//	g' = g where the clip (and the quantizer) lets it pass, else 0
//	part = Σg', Σg'·(x−mean) [, Σg₁·(y−z) inside the grid, Σg₁ above, Σg₁ below]
//
// where g₁ = g: the last three are the sums of quant.Sums, of the quantizer's
// own input gradient. act and grid are those of Apply.
func GradStats(part, g, x, mean, scale, shift []float32, act Act, grid *Grid) {
	_ = g[:len(x)]
	p := len(scale)
	checkPart(len(part), GradStatsLen(p, grid != nil), p, len(x))
	checkPart(len(mean), p, p, len(x))
	checkPart(len(shift), p, p, len(x))
	lo, hi := act.bounds()
	clear(part)
	if grid != nil {
		grid.check(p)
	}
	for at := 0; at < len(x); {
		n, w := step(p, len(x)-at)
		gs, xs := g[at:at+n], x[at:at+n]
		if grid == nil {
			active.gradStats(part[:w], part[p:p+w], gs, xs, mean, scale, shift, lo, hi)
		} else {
			active.gradStatsQ(part[:w], part[p:p+w], part[2*p:2*p+w], part[3*p:3*p+w], part[4*p:4*p+w], gs, xs, mean, scale, shift, lo, hi, grid.Low, grid.High, grid.Scale, grid.Zero)
		}
		at += n
	}
}

// GradStatsJoin is [GradStats] where the mask comes from z, the stored result of
// Apply with a residual (before its quantizer): g' passes where Lo < z < Hi. It
// also stores g' in dz, the gradient of the residual and what GradApply needs
// afterwards (without act and grid). dz may be g.
func GradStatsJoin(part, dz, g, z, x, mean []float32, act Act, grid *Grid) {
	_, _, _ = g[:len(x)], z[:len(x)], dz[:len(x)]
	p := len(mean)
	checkPart(len(part), GradStatsLen(p, grid != nil), p, len(x))
	lo, hi := act.bounds()
	clear(part)
	if grid != nil {
		grid.check(p)
	}
	for at := 0; at < len(x); {
		n, w := step(p, len(x)-at)
		ds, gs, zs, xs := dz[at:at+n], g[at:at+n], z[at:at+n], x[at:at+n]
		if grid == nil {
			active.gradStatsJoin(part[:w], part[p:p+w], ds, gs, zs, xs, mean, lo, hi)
		} else {
			active.gradStatsJoinQ(part[:w], part[p:p+w], part[2*p:2*p+w], part[3*p:3*p+w], part[4*p:4*p+w], ds, gs, zs, xs, mean, lo, hi, grid.Low, grid.High, grid.Scale, grid.Zero)
		}
		at += n
	}
}

// GradCoef folds the partial sums of blocks in float64, in order, to the
// gradients of γ and β and the coefficients of [GradApply], which have a
// period's length:
//
//	dβ = Σg'    dγ = r·Σg'(x−mean), r = invStd
//	A = γ·r     B = −A·r²·Σg'(x−mean)/rows    C = −A·Σg'/rows − B·mean
//
// A nil gamma counts as 1; dgamma and dbeta may be nil. quantized tells the
// length of a block's sums.
func GradCoef(a, b, c, dgamma, dbeta, part, gamma, mean, invStd []float32, rows int, quantized bool) {
	ch, p := len(mean), len(a)
	block := GradStatsLen(p, quantized)
	checkFold(len(part), block, p, ch)
	b, c = b[:p], c[:p]
	m := float64(rows)
	for i := range mean {
		var sg, sx float64
		for o := 0; o < len(part); o += block {
			for k := o + i; k < o+p; k += ch {
				sg += float64(part[k])
				sx += float64(part[k+p])
			}
		}
		r := float64(invStd[i])
		ca := r
		if gamma != nil {
			ca *= float64(gamma[i])
		}
		cb := -ca * r * r * sx / m
		a[i], b[i], c[i] = float32(ca), float32(cb), float32(-ca*sg/m-cb*float64(mean[i]))
		if dgamma != nil {
			dgamma[i] = float32(r * sx)
		}
		if dbeta != nil {
			dbeta[i] = float32(sg)
		}
	}
	for n := ch; n < p; n *= 2 {
		copy(a[n:], a[:n])
		copy(b[n:], b[:n])
		copy(c[n:], c[:n])
	}
}

// QuantSums folds the quantizer's part of quantized partial sums per channel:
// Inside, Above and Below of quant.Sums. The slices have one entry per channel.
func QuantSums(inside, above, below []float64, part []float32, p int) {
	ch := len(inside)
	checkFold(len(part), 5*p, p, ch)
	for i := range inside {
		var s [3]float64
		for o := 0; o < len(part); o += 5 * p {
			for k := o + i; k < o+p; k += ch {
				s[0] += float64(part[k+2*p])
				s[1] += float64(part[k+3*p])
				s[2] += float64(part[k+4*p])
			}
		}
		inside[i], above[i], below[i] = s[0], s[1], s[2]
	}
}

// Affine3 are the per-channel coefficients of GradApply and of the forward map
// it recomputes the mask from, all of a period's length.
type Affine3 struct {
	A, B, C      []float32 // from GradCoef
	Scale, Shift []float32 // of the forward pass; may be nil without act and grid
}

// GradApply sets dx[i] = A·g' + B·x + C, with g' as in [GradStats]. dx may be g
// or x.
func GradApply(dx, g, x []float32, k Affine3, act Act, grid *Grid) {
	_, _ = g[:len(dx)], x[:len(dx)]
	p := len(k.A)
	if len(k.B) != p || len(k.C) != p {
		panic(fmt.Sprintf("norm: coefficients of %d, %d, %d entries", p, len(k.B), len(k.C)))
	}
	checkPart(p, p, p, len(dx))
	if !act.On && grid == nil {
		active.gradApplyPlain(dx, g, x, k.A, k.B, k.C)
		return
	}
	checkPart(len(k.Scale), p, p, len(dx))
	checkPart(len(k.Shift), p, p, len(dx))
	lo, hi := act.bounds()
	if grid == nil {
		active.gradApply(dx, g, x, k.A, k.B, k.C, k.Scale, k.Shift, lo, hi)
		return
	}
	grid.check(p)
	active.gradApplyQ(dx, g, x, k.A, k.B, k.C, k.Scale, k.Shift, lo, hi, grid.Low, grid.High, grid.Scale, grid.Zero)
}
