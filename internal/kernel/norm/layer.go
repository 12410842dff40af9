package norm

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/internal/kernel/reduce"
)

// LayerNorm normalizes rows of the length of gamma:
//
//	y = (x − mean)·invStd·gamma + beta, invStd = 1/√(var+eps), var biased
//
// and stores mean and invStd, one per row, for [LayerNormGrad]. y may be x.
func LayerNorm(y, x, gamma, beta, mean, invStd []float32, eps float32) {
	c := len(gamma)
	checkRows(len(y), c)
	for r := range len(y) / c {
		xr := x[r*c : (r+1)*c]
		m := float32(reduce.Sum(xr) / float64(c))
		s := float32(1 / math.Sqrt(reduce.SumSquaresAbout(xr, m)/float64(c)+float64(eps)))
		mean[r], invStd[r] = m, s
		active.layerApply(y[r*c:(r+1)*c], xr, gamma, beta, s, -m*s)
	}
}

// LayerNormGrad computes the gradients of [LayerNorm] for some rows: dx, and
// the sums over these rows of dgamma and dbeta, which it adds to. Cut the rows
// into blocks with sums of their own, folded in order. dx may be g, not x.
//
//	t = g·gamma   x̂ = (x−mean)·invStd
//	dx = invStd·(t − mean(t) − x̂·mean(t·x̂))   dgamma += Σ g·x̂   dbeta += Σ g
func LayerNormGrad(dx, dgamma, dbeta, g, x, gamma, mean, invStd []float32) {
	c := len(gamma)
	checkRows(len(dx), c)
	for r := range len(dx) / c {
		xr, gr, d := x[r*c:(r+1)*c], g[r*c:(r+1)*c], dx[r*c:(r+1)*c]
		m, s := mean[r], invStd[r]
		active.layerAcc(dgamma[:c], dbeta[:c], gr, xr, s, -m*s)
		elementwise.Mul.Run(d, gr, gamma)
		mt := reduce.Sum(d) / float64(c)
		// mean(t·x̂) = invStd·mean(t·(x−m)); dx = s·t + kx·x + k1
		mtx := float64(s) * reduce.DotAbout(d, xr, m) / float64(c)
		kx := -float64(s) * float64(s) * mtx
		k1 := -float64(s)*mt - kx*float64(m)
		active.layerGrad(d, xr, s, float32(kx), float32(k1))
	}
}

func checkRows(n, c int) {
	if c == 0 || n%c != 0 {
		panic(fmt.Sprintf("norm: %d elements are not rows of %d", n, c))
	}
}

func layerApplyGeneric(dst, x, gamma, beta []float32, mul, add float32) {
	for i, v := range x[:len(dst)] {
		dst[i] = float32((float32(v*mul)+add)*gamma[i]) + beta[i]
	}
}

func layerAccGeneric(dgamma, dbeta, g, x []float32, mul, add float32) {
	for i, v := range x[:len(dgamma)] {
		dgamma[i] += float32(g[i] * (float32(v*mul) + add))
		dbeta[i] += g[i]
	}
}

func layerGradGeneric(dx, x []float32, kt, kx, k1 float32) {
	for i, v := range x[:len(dx)] {
		dx[i] = float32(dx[i]*kt) + (float32(v*kx) + k1)
	}
}
