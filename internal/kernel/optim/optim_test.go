package optim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit"
)

// kernels lists the table's functions under one signature.
var kernels = []struct {
	name   string
	slices int
	run    func(v *variant, b [][]float32)
}{
	{"sgdPlain", 2, func(v *variant, b [][]float32) { v.sgdPlain(b[0], b[1], 0.1, 1e-4, 0.5) }},
	{"sgdMomentum", 3, func(v *variant, b [][]float32) { v.sgdMomentum(b[0], b[1], b[2], 0.1, 1e-4, 0.5, 0.9) }},
	{"sgdNesterov", 3, func(v *variant, b [][]float32) { v.sgdNesterov(b[0], b[1], b[2], 0.1, 1e-4, 0.5, 0.9) }},
	{"adam", 4, func(v *variant, b [][]float32) {
		v.adam(b[0], b[1], b[2], b[3], 0.9, 0.1, 0.999, 0.001, 1e-8, 0.5, 0.99, 0.01, 1e-3, 1.5)
	}},
	{"rmspropPlain", 3, func(v *variant, b [][]float32) { v.rmspropPlain(b[0], b[1], b[2], 0.1, 0.99, 0.01, 1e-8, 1e-4, 0.5) }},
	{"rmspropMomentum", 4, func(v *variant, b [][]float32) {
		v.rmspropMomentum(b[0], b[1], b[2], b[3], 0.1, 0.99, 0.01, 1e-8, 1e-4, 0.5, 0.9)
	}},
	{"axpy", 2, func(v *variant, b [][]float32) { v.axpy(b[0], b[1], -0.3) }},
	{"lerp", 2, func(v *variant, b [][]float32) { v.lerp(b[0], b[1], 0.1) }},
}

func TestVariants(t *testing.T) {
	for _, v := range variants() {
		for _, k := range kernels {
			t.Run(v.name+"/"+k.name, func(t *testing.T) {
				if !v.supported() {
					t.Skipf("this machine lacks %v", v.need)
				}
				rng := rand.New(rand.NewPCG(4, 1))
				for n := range 4*16 + 2 {
					lens := make([]int, k.slices)
					for i := range lens {
						lens[i] = n
					}
					for _, special := range []bool{false, true} {
						testkit.SameKernel(t, rng, fmt.Sprintf("n=%d special=%v", n, special), lens, special,
							func(b [][]float32) { k.run(&generic, b) }, func(b [][]float32) { k.run(v, b) })
					}
				}
			})
		}
	}
}

// Three steps from w = 1 with g = 0.5, 0.25, −1; the values follow from the
// formulas by hand in float64.
func TestSteps(t *testing.T) {
	grads := []float64{0.5, 0.25, -1}
	run := func(step func(w, g []float32, n int)) float64 {
		w := []float32{1}
		for i, g := range grads {
			step(w, []float32{float32(g)}, i+1)
		}
		return float64(w[0])
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"sgd", run(func(w, g []float32, n int) { SGD{LR: 0.1}.Step(w, g, nil) }), 1 - 0.1*(0.5+0.25-1)},
		{"sgd grad scale", run(func(w, g []float32, n int) { SGD{LR: 0.1, GradScale: 2}.Step(w, g, nil) }), 1 - 0.2*(0.5+0.25-1)},
		{"sgd weight decay", run(func(w, g []float32, n int) { SGD{LR: 0.1, WeightDecay: 0.5}.Step(w, g, nil) }), func() float64 {
			w := 1.0
			for _, g := range grads {
				w -= 0.1 * (g + 0.5*w)
			}
			return w
		}()},
		{"momentum", func() float64 {
			v := []float32{0}
			return run(func(w, g []float32, n int) { SGD{LR: 0.1, Momentum: 0.9}.Step(w, g, v) })
		}(), func() float64 {
			w, v := 1.0, 0.0
			for _, g := range grads {
				v = 0.9*v + g
				w -= 0.1 * v
			}
			return w
		}()},
		{"nesterov", func() float64 {
			v := []float32{0}
			return run(func(w, g []float32, n int) { SGD{LR: 0.1, Momentum: 0.9, Nesterov: true}.Step(w, g, v) })
		}(), func() float64 {
			w, v := 1.0, 0.0
			for _, g := range grads {
				v = 0.9*v + g
				w -= 0.1 * (g + 0.9*v)
			}
			return w
		}()},
		{"adam", func() float64 {
			m, v := []float32{0}, []float32{0}
			return run(func(w, g []float32, n int) { Adam{LR: 0.1}.WithDefaults().Step(w, g, m, v, n) })
		}(), adamReference(grads, 0, 0)},
		{"adam weight decay", func() float64 {
			m, v := []float32{0}, []float32{0}
			return run(func(w, g []float32, n int) { Adam{LR: 0.1, WeightDecay: 0.2}.WithDefaults().Step(w, g, m, v, n) })
		}(), adamReference(grads, 0.2, 0)},
		{"adamw", func() float64 {
			m, v := []float32{0}, []float32{0}
			return run(func(w, g []float32, n int) {
				Adam{LR: 0.1, WeightDecay: 0.2, Decoupled: true}.WithDefaults().Step(w, g, m, v, n)
			})
		}(), adamReference(grads, 0, 0.2)},
		{"rmsprop", func() float64 {
			s := []float32{0}
			return run(func(w, g []float32, n int) { RMSProp{LR: 0.1, Alpha: 0.99, Epsilon: 1e-8}.Step(w, g, s, nil) })
		}(), func() float64 {
			w, s := 1.0, 0.0
			for _, g := range grads {
				s = 0.99*s + 0.01*g*g
				w -= 0.1 * g / (math.Sqrt(s) + 1e-8)
			}
			return w
		}()},
		{"rmsprop momentum", func() float64 {
			s, v := []float32{0}, []float32{0}
			return run(func(w, g []float32, n int) {
				RMSProp{LR: 0.1, Alpha: 0.99, Epsilon: 1e-8, Momentum: 0.9}.Step(w, g, s, v)
			})
		}(), func() float64 {
			w, s, v := 1.0, 0.0, 0.0
			for _, g := range grads {
				s = 0.99*s + 0.01*g*g
				v = 0.9*v + g/(math.Sqrt(s)+1e-8)
				w -= 0.1 * v
			}
			return w
		}()},
	} {
		if math.Abs(c.got-c.want) > 2e-6 {
			t.Errorf("%s: w = %v after three steps, want %v", c.name, c.got, c.want)
		}
	}
}

func adamReference(grads []float64, l2, decoupled float64) float64 {
	w, m, v := 1.0, 0.0, 0.0
	for i, g := range grads {
		g += l2 * w
		w -= 0.1 * decoupled * w
		m = 0.9*m + 0.1*g
		v = 0.999*v + 0.001*g*g
		n := float64(i + 1)
		w -= 0.1 * (m / (1 - math.Pow(0.9, n))) / (math.Sqrt(v/(1-math.Pow(0.999, n))) + 1e-8)
	}
	return w
}

func TestClipScale(t *testing.T) {
	for _, c := range []struct {
		square float64
		limit  float32
		want   float32
	}{{25, 10, 1}, {25, 5, 1}, {25, 2.5, 0.5}, {0, 1, 1}, {0, 0, 1}} {
		if got := ClipScale(c.square, c.limit); got != c.want {
			t.Errorf("ClipScale(%v, %v) = %v, want %v", c.square, c.limit, got, c.want)
		}
	}
}

func BenchmarkOptim(b *testing.B) {
	const n = 16 * 1024
	bufs := make([][]float32, 4)
	for i := range bufs {
		bufs[i] = make([]float32, n)
		for j := range bufs[i] {
			bufs[i][j] = 1
		}
	}
	for _, k := range kernels {
		for _, v := range variants() {
			if !v.supported() {
				continue
			}
			b.Run(fmt.Sprintf("%s/impl=%s", k.name, v.name), func(b *testing.B) {
				b.SetBytes(int64(4 * n * (2*k.slices - 1)))
				for b.Loop() {
					k.run(v, bufs)
				}
			})
		}
	}
}
