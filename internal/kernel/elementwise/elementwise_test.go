package elementwise

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit"
)

// call is one kernel under a uniform signature: sources in, destination out;
// p are the period parameters, a and b the numbers.
type call struct {
	name    string
	sources int
	params  int
	run     func(v *variant, dst []float32, src, p [][]float32, a, b float32)
}

// calls lists every kernel of the table.
func calls() []call {
	var cs []call
	add := func(name string, sources, params int, run func(v *variant, dst []float32, src, p [][]float32, a, b float32)) {
		cs = append(cs, call{name, sources, params, run})
	}
	for o := range numUnary {
		add(o.String(), 1, 0, func(v *variant, dst []float32, src, p [][]float32, a, b float32) { v.unary[o](dst, src[0]) })
	}
	for o := range numUnary1 {
		add(o.String(), 1, 0, func(v *variant, dst []float32, src, p [][]float32, a, b float32) { v.unary1[o](dst, src[0], a) })
	}
	for o := range numUnary2 {
		add(o.String(), 1, 0, func(v *variant, dst []float32, src, p [][]float32, a, b float32) { v.unary2[o](dst, src[0], a, b) })
	}
	for o := range numBinary {
		add(o.String(), 2, 0, func(v *variant, dst []float32, src, p [][]float32, a, b float32) { v.binary[o](dst, src[0], src[1]) })
		add(o.String()+"/Scalar", 1, 0, func(v *variant, dst []float32, src, p [][]float32, a, b float32) { v.scalar[o](dst, src[0], a) })
		add(o.String()+"/ScalarLeft", 1, 0, func(v *variant, dst []float32, src, p [][]float32, a, b float32) {
			v.scalarLeft[o](dst, src[0], a)
		})
		add(o.String()+"/Channels", 1, 1, func(v *variant, dst []float32, src, p [][]float32, a, b float32) {
			v.channels[o](dst, src[0], p[0])
		})
		add(o.String()+"/ChannelsLeft", 1, 1, func(v *variant, dst []float32, src, p [][]float32, a, b float32) {
			v.channelsLeft[o](dst, src[0], p[0])
		})
	}
	for o := range numGrad {
		add(o.String(), 2, 0, func(v *variant, dst []float32, src, p [][]float32, a, b float32) { v.grad[o](dst, src[0], src[1]) })
	}
	for o := range numGrad1 {
		add(o.String(), 2, 0, func(v *variant, dst []float32, src, p [][]float32, a, b float32) { v.grad1[o](dst, src[0], src[1], a) })
	}
	for o := range numGrad2 {
		add(o.String(), 2, 0, func(v *variant, dst []float32, src, p [][]float32, a, b float32) {
			v.grad2[o](dst, src[0], src[1], a, b)
		})
	}
	add("AddRelu", 2, 0, func(v *variant, dst []float32, src, p [][]float32, a, b float32) { v.addRelu(dst, src[0], src[1]) })
	add("ScaleShiftChannels", 1, 2, func(v *variant, dst []float32, src, p [][]float32, a, b float32) {
		v.scaleShift(dst, src[0], p[0], p[1])
	})
	add("PRelu", 1, 1, func(v *variant, dst []float32, src, p [][]float32, a, b float32) { v.prelu(dst, src[0], p[0]) })
	add("PReluGrad", 2, 1, func(v *variant, dst []float32, src, p [][]float32, a, b float32) {
		v.preluGrad(dst, src[0], src[1], p[0])
	})
	return cs
}

// Every variant gives the bits of the plain Go one: all sizes up to four
// 16-float vectors and one, offsets from a vector boundary, special values,
// each source as the destination, nothing written outside.
func TestVariants_SameBits(t *testing.T) {
	scalars := [][2]float32{{0.25, 1.5}, {-1, 6}, {0, 0}}
	for _, v := range variants() {
		if !v.supported() {
			t.Logf("%s: not supported by this machine", v.name)
			continue
		}
		for _, c := range calls() {
			t.Run(v.name+"/"+c.name, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(1, 7))
				for n := range 4*16 + 2 {
					for _, special := range []bool{false, true} {
						offset := rng.IntN(16)
						s := scalars[rng.IntN(len(scalars))]
						src, p := make([][]float32, c.sources), make([][]float32, c.params)
						for i := range src {
							src[i], _ = testkit.Guard(n, rng.IntN(16))
							testkit.Fill(rng, src[i], 3, special)
						}
						period := 1 + rng.IntN(40)
						for i := range p {
							p[i], _ = testkit.Guard(period, rng.IntN(16))
							testkit.Fill(rng, p[i], 1, special)
						}
						want := make([]float32, n)
						c.run(&generic, want, src, p, s[0], s[1])
						got, check := testkit.Guard(n, offset)
						c.run(v, got, src, p, s[0], s[1])
						what := fmt.Sprintf("n=%d offset=%d period=%d a,b=%v special=%v", n, offset, period, s, special)
						testkit.SameBits(t, what, got, want)
						check(t, what)
						for i := range src {
							keep := append([]float32(nil), src[i]...)
							c.run(v, src[i], src, p, s[0], s[1])
							testkit.SameBits(t, fmt.Sprintf("%s in place of source %d", what, i), src[i], want)
							copy(src[i], keep)
						}
					}
				}
			})
		}
	}
}

// A table row without a function would panic at the first use.
func TestVariants_Complete(t *testing.T) {
	for _, v := range variants() {
		for _, c := range calls() {
			src := [][]float32{{1}, {1}}
			if v.supported() {
				c.run(v, make([]float32, 1), src, [][]float32{{1}, {1}}, 1, 1)
			}
		}
	}
}

func BenchmarkElementwise(b *testing.B) {
	n := 16 * 1024 // 64 KB per vector: second-level cache
	rng := rand.New(rand.NewPCG(1, 7))
	src := [][]float32{make([]float32, n), make([]float32, n)}
	p := [][]float32{make([]float32, 64), make([]float32, 64)}
	for _, x := range append(append([][]float32{}, src...), p...) {
		testkit.Fill(rng, x, 1, false)
	}
	dst := make([]float32, n)
	for _, c := range calls() {
		for _, v := range variants() {
			if !v.supported() {
				continue
			}
			b.Run(fmt.Sprintf("%s/impl=%s", c.name, v.name), func(b *testing.B) {
				b.SetBytes(int64(4 * n * (c.sources + 1)))
				for b.Loop() {
					c.run(v, dst, src, p, 0.5, 2)
				}
			})
		}
	}
}

func FuzzVariants(f *testing.F) {
	for i := range calls() {
		f.Add(uint64(i), uint8(i), uint16(37+i), uint8(i+1))
	}
	all := calls()
	f.Fuzz(func(t *testing.T, seed uint64, kernel uint8, n uint16, period uint8) {
		c := all[int(kernel)%len(all)]
		rng := rand.New(rand.NewPCG(seed, 8))
		lens := []int{int(n % 300)}
		for range c.sources {
			lens = append(lens, lens[0])
		}
		for range c.params {
			lens = append(lens, 1+int(period))
		}
		run := func(v *variant) func(b [][]float32) {
			return func(b [][]float32) { c.run(v, b[0], b[1:1+c.sources], b[1+c.sources:], 0.7, 3) }
		}
		for _, v := range variants() {
			if v.supported() {
				testkit.SameKernel(t, rng, v.name+" "+c.name, lens, seed%2 == 0, run(&generic), run(v))
			}
		}
	})
}
