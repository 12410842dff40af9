package testkit

import (
	"math"
	"math/rand/v2"
	"testing"
)

const (
	guard     = 64
	guardBits = 0x7fedcba9 // a NaN that no arithmetic produces
)

// Guard returns n zeros that start offset floats after a vector boundary of
// their block, surrounded by NaN. check fails the test if anything outside the
// slice was written. Reads outside show up as NaN in results.
func Guard(n, offset int) (x []float32, check func(t testing.TB, what string)) {
	block := make([]float32, n+offset+2*guard)
	for i := range block {
		block[i] = math.Float32frombits(guardBits)
	}
	x = block[guard+offset : guard+offset+n : guard+offset+n]
	clear(x)
	return x, func(t testing.TB, what string) {
		t.Helper()
		for i, v := range block {
			if i >= guard+offset && i < guard+offset+n {
				continue
			}
			if math.Float32bits(v) != guardBits {
				t.Fatalf("%s: element %d outside the %d was overwritten with %v", what, i-guard-offset, n, v)
			}
		}
	}
}

// Special are float32 values at which functions misbehave.
func Special() []float32 {
	inf := float32(math.Inf(1))
	return []float32{0, float32(math.Copysign(0, -1)), 1, -1, 0.5, -0.5, inf, -inf, float32(math.NaN()),
		math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, 0x1p-126, -0x1p-126,
		88.5, -88.5, 89, -89, 104, -104, 3, -3, 6, 0x1p23 + 1, -0x1p23 - 1, 2.5, 3.5, -2.5}
}

// Fill fills x with normal numbers times scale; if special is true every third
// one, on average, is a special value instead.
func Fill(rng *rand.Rand, x []float32, scale float64, special bool) {
	values := Special()
	for i := range x {
		x[i] = float32(rng.NormFloat64() * scale)
		if special && rng.IntN(3) == 0 {
			x[i] = values[rng.IntN(len(values))]
		}
	}
}

// SameBits fails the test if got differs from want anywhere in any bit, except
// that any NaN equals any other.
func SameBits(t testing.TB, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		if g := got[i]; math.Float32bits(g) != math.Float32bits(w) && !(g != g && w != w) {
			t.Fatalf("%s: element %d of %d is %v (%#08x), want %v (%#08x)", what, i, len(want), g, math.Float32bits(g), w, math.Float32bits(w))
		}
	}
}

// ULP returns the distance of got from want in units of the last place of
// want's float32 neighbourhood. Equal infinities and two NaN are at distance 0.
func ULP(got float32, want float64) float64 {
	w := float32(want)
	switch {
	case math.IsNaN(want) && got != got, float64(got) == want, got == w && math.IsInf(float64(w), 0):
		return 0
	case got != got || math.IsNaN(want) || math.IsInf(float64(got), 0) && !math.IsInf(float64(w), 0):
		return math.Inf(1)
	}
	a := math.Abs(want)
	exp := math.Floor(math.Log2(max(a, 0x1p-126)))
	if exp > 127 {
		exp = 127
	}
	return math.Abs(float64(got)-want) / math.Pow(2, exp-23)
}

// SameKernel runs two versions of a kernel on the same random slices of the
// given lengths and fails the test unless every slice, outputs and inputs, ends
// with the same bits and nothing was written outside them. The slices start at
// random offsets from a vector boundary.
func SameKernel(t testing.TB, rng *rand.Rand, what string, lens []int, special bool, want, got func(b [][]float32)) {
	t.Helper()
	a, b := make([][]float32, len(lens)), make([][]float32, len(lens))
	checks := make([]func(testing.TB, string), len(lens))
	for i, n := range lens {
		a[i] = make([]float32, n)
		Fill(rng, a[i], 2, special)
		b[i], checks[i] = Guard(n, rng.IntN(16))
		copy(b[i], a[i])
	}
	want(a)
	got(b)
	for i := range lens {
		name := what + ", slice " + string(rune('0'+i))
		SameBits(t, name, b[i], a[i])
		checks[i](t, name)
	}
}
