package elementwise

import "math"

// Products that feed a sum are converted to float32 so that no compiler fuses
// them: all variants must round alike.

// sel returns c ? a : b. On integers the compiler makes it a conditional move,
// which random data cannot mispredict.
func sel(c bool, a, b float32) float32 {
	x, y := math.Float32bits(a), math.Float32bits(b)
	if c {
		y = x
	}
	return math.Float32frombits(y)
}

func add32(a, b float32) float32 { return a + b }
func sub32(a, b float32) float32 { return a - b }
func mul32(a, b float32) float32 { return a * b }
func div32(a, b float32) float32 { return a / b }

func min32(a, b float32) float32 { return sel(a != a, a, sel(a < b, a, b)) }

func max32(a, b float32) float32 { return sel(a != a, a, sel(a > b, a, b)) }

func abs32(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

func sqrt32(x float32) float32 { return float32(math.Sqrt(float64(x))) }

func relu32(x float32) float32 { return sel(x < 0, 0, x) }

func clip32(x, lo, hi float32) float32 {
	x = sel(x < lo, lo, x)
	return sel(x > hi, hi, x)
}

func leakyRelu32(x, a float32) float32 { return sel(x < 0, a*x, x) }

func elu32(x, a float32) float32 {
	if x < 0 {
		return a * expm132(x)
	}
	return x
}

func hardSigmoid32(x, a, b float32) float32 { return clip32(float32(a*x)+b, 0, 1) }

func hardSwish32(x float32) float32 { return x * clip32(float32(x*(1.0/6))+0.5, 0, 1) }

func silu32(x float32) float32 { return x * sigmoid32(x) }

func gelu32(x float32) float32 { return float32(0.5*x) * (1 + erf32(x*float32(math.Sqrt2/2))) }

const (
	geluA = 0.044715
	// 2·√(2/π) and 2·√(2/π)·3·geluA
	gelu2U  = 1.5957691216057308
	gelu6UA = gelu2U * 3 * geluA
)

func geluArg32(x float32) float32 { return float32(gelu2U*x) * (1 + float32(geluA*float32(x*x))) }

func geluTanh32(x float32) float32 { return x * sigmoid32(geluArg32(x)) }

func absGrad32(g, x float32) float32 {
	return sel(x > 0, g, sel(x < 0, -g, x)) // x is 0 or NaN
}

func reluGrad32(g, x float32) float32 { return sel(x > 0, g, 0) }

func leakyReluGrad32(g, x, a float32) float32 { return sel(x < 0, a*g, g) }

func eluGrad32(g, x, a float32) float32 {
	if x < 0 {
		return float32(a*exp32(x)) * g
	}
	return g
}

func clipGrad32(g, x, lo, hi float32) float32 {
	return sel(x >= lo, sel(x <= hi, g, 0), 0)
}

func hardSigmoidGrad32(g, x, a, b float32) float32 {
	y := float32(a*x) + b
	return sel(y > 0, sel(y < 1, a*g, 0), 0)
}

func hardSwishGrad32(g, x float32) float32 {
	d := float32(x*(1.0/3)) + 0.5
	d = sel(x <= -3, 0, d)
	return g * sel(x >= 3, 1, d)
}

func siluGrad32(g, x float32) float32 {
	s := sigmoid32(x)
	return g * (s + float32(x*float32(s*(1-s))))
}

func geluTanhGrad32(g, x float32) float32 {
	s := sigmoid32(geluArg32(x))
	du := gelu2U + float32(gelu6UA*float32(x*x))
	return g * (s + float32(x*float32(float32(s*(1-s))*du)))
}

const (
	twoOverSqrtPi = 1.1283791670955126
	invSqrt2Pi    = 0.3989422804014327
)

func erfGrad32(g, x float32) float32 {
	return g * float32(twoOverSqrtPi*exp32(-float32(x*x)))
}

func geluGrad32(g, x float32) float32 {
	cdf := 0.5 * (1 + erf32(x*float32(math.Sqrt2/2)))
	pdf := float32(invSqrt2Pi * exp32(-0.5*float32(x*x)))
	return g * (cdf + float32(x*pdf))
}
