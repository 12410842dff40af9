package elementwise

import "math"

// Transcendental functions in float32, without fused operations, so that
// assembly can follow them bit by bit. The polynomials are minimax fits
// (weighted for relative error) made for this package; the largest errors found
// in scans of the float32 range stand at the functions, in units of the last
// place of the result.

const (
	log2E = math.Log2E
	// ln 2 in two parts: the first has nine bits, so n·ln2Hi is exact.
	ln2Hi = 0.693359375
	ln2Lo = -2.12194440e-4

	// Beyond these e^x is 0 or +Inf in float32.
	expLow, expHigh = -104, 89
)

// Coefficients, constant term first.
var (
	// (e^r − 1 − r)/r² for |r| ≤ ln2/2
	expPoly = [5]float32{0.49999994, 0.16666521, 0.04166839, 0.008368717, 0.0013814599}
	// (ln(1+f) − f + f²/2)/f³ for √½ ≤ 1+f ≤ √2
	logPoly = [8]float32{0.3333333, -0.25000823, 0.20001234, -0.16623299, 0.14201553, -0.13160582, 0.12763327, -0.07635656}
	// (tanh x − x)/x³ in x², |x| ≤ 0.625
	tanhPoly = [5]float32{-0.3333328, 0.13331442, -0.053739715, 0.020639088, -0.005704987}
	// erf(x)/x − 1 in x², |x| ≤ 1
	erfPoly = [7]float32{0.12837917, -0.37612626, 0.112835854, -0.026853813, 0.0051883277, -0.00080101937, 7.8538615e-05}
	// ln(1 − erf x), 1 ≤ x ≤ 4
	erfcPoly = [7]float32{-0.00033939115, -1.1270976, -0.63813144, -0.103118, 0.021843258, -0.002948910, 0.00018650207}
)

func horner(c []float32, x float32) float32 {
	y := c[len(c)-1]
	for i := len(c) - 2; i >= 0; i-- {
		y = float32(y*x) + c[i]
	}
	return y
}

// pow2 returns 2^n for −126 ≤ n ≤ 127.
func pow2(n int32) float32 { return math.Float32frombits(uint32(n+127) << 23) }

// expParts splits e^x = 2^n·(1+p).
func expParts(x float32) (n int32, p float32) {
	k := float32(math.RoundToEven(float64(float32(x * log2E))))
	r := x - float32(k*ln2Hi)
	r -= float32(k * ln2Lo)
	return int32(k), r + float32(float32(r*r)*horner(expPoly[:], r))
}

// exp32 has an error below 1 ulp, denormal results included.
func exp32(x float32) float32 {
	if x != x {
		return x
	}
	n, p := expParts(clip32(x, expLow, expHigh))
	h := n >> 1 // two factors, as 2^n itself may be out of range
	return (p + 1) * pow2(h) * pow2(n-h)
}

// expm132 is e^x − 1 for x ≤ 0, with an error below 1 ulp.
func expm132(x float32) float32 {
	if x != x {
		return x
	}
	if x < -87 {
		x = -87
	}
	n, p := expParts(x)
	s := pow2(n)
	return float32(s*p) + (s - 1)
}

// log32 has an error below 1 ulp.
func log32(x float32) float32 {
	switch {
	case !(x >= 0):
		return float32(math.NaN())
	case x == 0:
		return float32(math.Inf(-1))
	case x > math.MaxFloat32:
		return x
	}
	var down float32
	if x < 0x1p-126 { // denormal
		x *= 0x1p24
		down = 24
	}
	b := int32(math.Float32bits(x))
	e := (b - 0x3f3504f3) >> 23 // bits of √½
	f := math.Float32frombits(uint32(b-e<<23)) - 1
	n := float32(e) - down
	z := f * f
	y := float32(float32(z*f) * horner(logPoly[:], f))
	y += float32(n * ln2Lo)
	y -= float32(z * 0.5)
	return (f + y) + float32(n*ln2Hi)
}

// sigmoid32 has an error below 2.5 ulp.
func sigmoid32(x float32) float32 {
	e := exp32(-abs32(x))
	num := float32(1)
	if x < 0 {
		num = e
	}
	return num / (1 + e)
}

// tanh32 has an error below 1.5 ulp.
func tanh32(x float32) float32 {
	a := abs32(x)
	var y float32
	if a < 0.625 {
		z := a * a
		y = a + float32(float32(a*z)*horner(tanhPoly[:], z))
	} else {
		y = 1 - 2/(exp32(a+a)+1)
	}
	return copySign(y, x)
}

// erf32 has an error below 2 ulp.
func erf32(x float32) float32 {
	a := abs32(x)
	var y float32
	if a < 1 {
		y = a + float32(a*horner(erfPoly[:], float32(a*a)))
	} else {
		if a > 4 {
			a = 4
		}
		y = 1 - exp32(horner(erfcPoly[:], a))
	}
	return copySign(y, x)
}

// softplus32 has an error below 2 ulp.
func softplus32(x float32) float32 {
	t := exp32(-abs32(x))
	u := 1 + t
	return relu32(x) + (log32(u) + (t-(u-1))/u)
}

// copySign gives y ≥ 0 the sign of x.
func copySign(y, x float32) float32 {
	return math.Float32frombits(math.Float32bits(y) | math.Float32bits(x)&(1<<31))
}
