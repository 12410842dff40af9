package norm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit"
)

func TestResponse_AgainstFloat64(t *testing.T) {
	eachVariant(t, func(t *testing.T, _ *variant) {
		for _, r := range []Response{
			{Alpha: 1e-4, Beta: 0.75, Bias: 1, Size: 5}, {Alpha: 2, Beta: 0.75, Bias: 0.5, Size: 4}, {Alpha: 1, Beta: 0.5, Bias: 2, Size: 1},
			{Alpha: 0.3, Beta: 1.5, Bias: 1, Size: 9},
		} {
			for _, c := range []int{1, 3, 64, 1500} {
				t.Run(fmt.Sprintf("%+v/c=%d", r, c), func(t *testing.T) {
					rows := 2*r.tileRows(c) + 1
					rng := rand.New(rand.NewPCG(7, 2))
					x, g := make([]float32, rows*c), make([]float32, rows*c)
					testkit.Fill(rng, x, 2, false)
					testkit.Fill(rng, g, 1, false)
					y, dx, scratch := make([]float32, len(x)), make([]float32, len(x)), make([]float32, r.Scratch(c))
					for i := range scratch { // what other tasks left
						scratch[i] = float32(math.NaN())
					}
					copy(y, x)
					r.Apply(y, y, c, scratch)
					copy(dx, g)
					r.Grad(dx, dx, x, c, scratch)

					wy, wdx, s := make([]float64, len(x)), make([]float64, len(x)), make([]float64, len(x))
					each := func(i int, f func(k int)) {
						for k := max(0, i%c-(r.Size-1)/2); k <= min(c-1, i%c+r.Size/2); k++ {
							f(i - i%c + k)
						}
					}
					f := float64(r.Alpha) / float64(r.Size)
					for i := range x {
						s[i] = float64(r.Bias)
						each(i, func(k int) { s[i] += f * float64(x[k]) * float64(x[k]) })
						wy[i] = float64(x[i]) * math.Pow(s[i], -float64(r.Beta))
					}
					for i := range x {
						wdx[i] += float64(g[i]) * math.Pow(s[i], -float64(r.Beta))
						each(i, func(k int) {
							wdx[k] -= 2 * f * float64(r.Beta) * float64(x[k]) * float64(g[i]) * float64(x[i]) * math.Pow(s[i], -float64(r.Beta)-1)
						})
					}
					near(t, "y", y, wy, 1e-6)
					near(t, "dx", dx, wdx, 1e-6)
				})
			}
		}
	})
}
