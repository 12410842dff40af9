package norm

import "github.com/go-nncf/nncf/internal/cpu"

// variant is one row of the family's table.
type variant struct {
	name string
	need cpu.Feature

	stats     func(sum, square, x, shift []float32)
	apply     func(dst, x, scale, shift []float32, lo, hi float32)
	applyAdd  func(dst, x, res, scale, shift []float32, lo, hi float32)
	applyTwo  func(dst, x, res, scale, shift, resScale, resShift []float32, lo, hi float32)
	applyQ    func(dst, x, scale, shift []float32, lo, hi float32, ql, qh, qs, qz []float32)
	applyAddQ func(dst, x, res, scale, shift []float32, lo, hi float32, ql, qh, qs, qz []float32)
	applyTwoQ func(dst, x, res, scale, shift, resScale, resShift []float32, lo, hi float32, ql, qh, qs, qz []float32)

	// The sums take whole rows and add to the accumulators.
	gradStats      func(sumG, sumGX, g, x, mean, scale, shift []float32, lo, hi float32)
	gradStatsQ     func(sumG, sumGX, inside, above, below, g, x, mean, scale, shift []float32, lo, hi float32, ql, qh, qs, qz []float32)
	gradStatsJoin  func(sumG, sumGX, dz, g, z, x, mean []float32, lo, hi float32)
	gradStatsJoinQ func(sumG, sumGX, inside, above, below, dz, g, z, x, mean []float32, lo, hi float32, ql, qh, qs, qz []float32)
	gradApplyPlain func(dx, g, x, a, b, c []float32)
	gradApply      func(dx, g, x, a, b, c, scale, shift []float32, lo, hi float32)
	gradApplyQ     func(dx, g, x, a, b, c, scale, shift []float32, lo, hi float32, ql, qh, qs, qz []float32)

	// Rows.
	layerApply func(dst, x, gamma, beta []float32, mul, add float32)
	layerAcc   func(dgamma, dbeta, g, x []float32, mul, add float32)
	layerGrad  func(dx, x []float32, kt, kx, k1 float32)
	mulSub     func(dst, g, y []float32, s float32)
}

func (v *variant) supported() bool { return cpu.Has(v.need) }

// active is the first row this machine supports.
var active = pick()

var _ = cpu.Follow(&active, pick)

func pick() *variant {
	for _, v := range variants() {
		if v.supported() {
			return v
		}
	}
	panic("norm: no generic variant")
}
