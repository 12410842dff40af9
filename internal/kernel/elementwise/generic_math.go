package elementwise

import "math"

func exp32(x float32) float32     { return float32(math.Exp(float64(x))) }
func expm132(x float32) float32   { return float32(math.Expm1(float64(x))) }
func log32(x float32) float32     { return float32(math.Log(float64(x))) }
func tanh32(x float32) float32    { return float32(math.Tanh(float64(x))) }
func erf32(x float32) float32     { return float32(math.Erf(float64(x))) }
func sigmoid32(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }
func softplus32(x float32) float32 {
	return float32(math.Max(float64(x), 0) + math.Log1p(math.Exp(-math.Abs(float64(x)))))
}
