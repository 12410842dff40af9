package norm

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit"
)

func TestLayerNorm_AgainstFloat64(t *testing.T) {
	eachVariant(t, func(t *testing.T, _ *variant) {
		for _, c := range []int{1, 5, 64, 768} {
			const rows = 7
			rng := rand.New(rand.NewPCG(7, 1))
			x, g, gamma, beta := make([]float32, rows*c), make([]float32, rows*c), make([]float32, c), make([]float32, c)
			for _, s := range [][]float32{x, g, gamma, beta} {
				testkit.Fill(rng, s, 1, false)
			}
			for i := range x {
				x[i] += 2
			}
			y, dx, mean, inv := make([]float32, rows*c), make([]float32, rows*c), make([]float32, rows), make([]float32, rows)
			dgamma, dbeta := make([]float32, c), make([]float32, c)
			LayerNorm(y, x, gamma, beta, mean, inv, 1e-5)
			copy(dx, g)
			LayerNormGrad(dx, dgamma, dbeta, dx, x, gamma, mean, inv)
			wy, wdx, wdg, wdb := make([]float64, rows*c), make([]float64, rows*c), make([]float64, c), make([]float64, c)
			for r := range rows {
				var m, q float64
				for i := range c {
					m += float64(x[r*c+i]) / float64(c)
				}
				for i := range c {
					d := float64(x[r*c+i]) - m
					q += d * d / float64(c)
				}
				s := 1 / math.Sqrt(q+1e-5)
				var mt, mtx float64
				for i := range c {
					h := (float64(x[r*c+i]) - m) * s
					gi := float64(g[r*c+i])
					wy[r*c+i] = h*float64(gamma[i]) + float64(beta[i])
					wdg[i] += gi * h
					wdb[i] += gi
					mt += gi * float64(gamma[i]) / float64(c)
					mtx += gi * float64(gamma[i]) * h / float64(c)
				}
				for i := range c {
					h := (float64(x[r*c+i]) - m) * s
					wdx[r*c+i] = s * (float64(g[r*c+i])*float64(gamma[i]) - mt - h*mtx)
				}
			}
			near(t, "y", y, wy, 1e-6)
			if c > 1 { // with one element the deviation is 0 and dx is noise times 1/√ε
				near(t, "dx", dx, wdx, 1e-6)
			}
			near(t, "dgamma", dgamma, wdg, 2e-6)
			near(t, "dbeta", dbeta, wdb, 1e-6)
		}
	})
}

func softmax64(x []float32) (p []float64, lse float64) {
	m := math.Inf(-1)
	for _, v := range x {
		m = max(m, float64(v))
	}
	var s float64
	for _, v := range x {
		p = append(p, math.Exp(float64(v)-m))
		s += p[len(p)-1]
	}
	for i := range p {
		p[i] /= s
	}
	return p, m + math.Log(s)
}

func TestSoftmax_AgainstFloat64(t *testing.T) {
	eachVariant(t, func(t *testing.T, _ *variant) {
		for _, c := range []int{1, 2, 10, 100, 1000} {
			const rows = 5
			rng := rand.New(rand.NewPCG(7, 2))
			x, g := make([]float32, rows*c), make([]float32, rows*c)
			testkit.Fill(rng, x, 4, false)
			testkit.Fill(rng, g, 1, false)
			for i := range x {
				x[i] += 500 // must not overflow
			}
			y, ly := make([]float32, rows*c), make([]float32, rows*c)
			dx, ldx := make([]float32, rows*c), make([]float32, rows*c)
			Softmax(y, x, c)
			LogSoftmax(ly, x, c)
			SoftmaxGrad(dx, g, y, c)
			LogSoftmaxGrad(ldx, g, ly, c)
			var wy, wly, wdx, wldx []float64
			for r := range rows {
				p, lse := softmax64(x[r*c : (r+1)*c])
				var gy, sg float64
				for i := range c {
					gy += float64(g[r*c+i]) * p[i]
					sg += float64(g[r*c+i])
				}
				for i := range c {
					wy = append(wy, p[i])
					wly = append(wly, float64(x[r*c+i])-lse)
					wdx = append(wdx, p[i]*(float64(g[r*c+i])-gy))
					wldx = append(wldx, float64(g[r*c+i])-p[i]*sg)
				}
			}
			near(t, "softmax", y, wy, 1e-6)
			near(t, "logsoftmax", ly, wly, 1e-6)
			near(t, "softmax gradient", dx, wdx, 2e-6)
			near(t, "logsoftmax gradient", ldx, wldx, 2e-6)
		}
	})
}

func TestSoftmax_MaskedAndBad(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	y := make([]float32, 3)
	Softmax(y, []float32{0, -inf, 0}, 3)
	testkit.SameBits(t, "masked", y, []float32{0.5, 0, 0.5})
	Softmax(y, []float32{0, nan, 0}, 3)
	testkit.SameBits(t, "NaN", y, []float32{nan, nan, nan})
}

func TestCrossEntropy_AgainstFloat64(t *testing.T) {
	eachVariant(t, func(t *testing.T, _ *variant) {
		for _, smoothing := range []float32{0, 0.1} {
			const c, rows = 10, 6
			rng := rand.New(rand.NewPCG(7, 3))
			x := make([]float32, rows*c)
			testkit.Fill(rng, x, 3, false)
			labels := []int32{0, 9, 3, -1, 5, 5}
			loss, dx := make([]float32, rows), make([]float32, rows*c)
			CrossEntropy(loss, dx, x, labels, c, 0.25, smoothing, nil)
			alone := make([]float32, rows)
			CrossEntropy(alone, nil, x, labels, c, 0.25, smoothing, make([]float32, c))
			testkit.SameBits(t, "loss without gradient", alone, loss)
			var wl, wd []float64
			target := make([]float32, rows*c)
			for r, label := range labels {
				p, lse := softmax64(x[r*c : (r+1)*c])
				l := 0.0
				for i := range c {
					tt := float64(smoothing) / c
					if int32(i) == label {
						tt += 1 - float64(smoothing)
					}
					if label < 0 {
						wd = append(wd, 0)
						continue
					}
					target[r*c+i] = float32(tt)
					l += tt * (lse - float64(x[r*c+i]))
					wd = append(wd, 0.25*(p[i]-tt))
				}
				wl = append(wl, l)
			}
			near(t, "loss", loss, wl, 1e-6)
			near(t, "gradient", dx, wd, 1e-6)
			CrossEntropyTarget(loss, dx, x, target, c, 0.25, nil)
			near(t, "loss for targets", loss, wl, 1e-6)
			near(t, "gradient for targets", dx, wd, 1e-6)
		}
	})
}
