package elementwise

// The plain Go variant: the definition of every function of the package. The
// scalar functions are in generic_scalar.go and generic_math.go.

func map1(dst, x []float32, f func(x float32) float32) {
	x = x[:len(dst)]
	for i, v := range x {
		dst[i] = f(v)
	}
}

func map1s(dst, x []float32, a float32, f func(x, a float32) float32) {
	x = x[:len(dst)]
	for i, v := range x {
		dst[i] = f(v, a)
	}
}

func map1ss(dst, x []float32, a, b float32, f func(x, a, b float32) float32) {
	x = x[:len(dst)]
	for i, v := range x {
		dst[i] = f(v, a, b)
	}
}

func map2(dst, a, b []float32, f func(a, b float32) float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i, v := range a {
		dst[i] = f(v, b[i])
	}
}

func map2s(dst, g, x []float32, a float32, f func(g, x, a float32) float32) {
	g, x = g[:len(dst)], x[:len(dst)]
	for i, v := range g {
		dst[i] = f(v, x[i], a)
	}
}

func map2ss(dst, g, x []float32, a, b float32, f func(g, x, a, b float32) float32) {
	g, x = g[:len(dst)], x[:len(dst)]
	for i, v := range g {
		dst[i] = f(v, x[i], a, b)
	}
}

func map1p(dst, x, p []float32, f func(x, p float32) float32) {
	for lo := 0; lo < len(dst); lo += len(p) {
		hi := min(len(dst), lo+len(p))
		map2(dst[lo:hi], x[lo:hi], p, f)
	}
}

func flip(f func(a, b float32) float32) func(a, b float32) float32 {
	return func(a, b float32) float32 { return f(b, a) }
}

var binaryGeneric = [numBinary]func(dst, a, b []float32){
	Add: func(dst, a, b []float32) { map2(dst, a, b, add32) },
	Sub: func(dst, a, b []float32) { map2(dst, a, b, sub32) },
	Mul: func(dst, a, b []float32) { map2(dst, a, b, mul32) },
	Div: func(dst, a, b []float32) { map2(dst, a, b, div32) },
	Min: func(dst, a, b []float32) { map2(dst, a, b, min32) },
	Max: func(dst, a, b []float32) { map2(dst, a, b, max32) },
}

// byRow returns the channel forms: f for each period of the parameters.
func byRow(f func(o Binary, dst, x, p []float32)) (fs [numBinary]func(dst, x, p []float32)) {
	for o := range numBinary {
		fs[o] = func(dst, x, p []float32) {
			for lo := 0; lo < len(dst); lo += len(p) {
				hi := min(len(dst), lo+len(p))
				f(o, dst[lo:hi], x[lo:hi], p[:hi-lo])
			}
		}
	}
	return fs
}

var generic = variant{
	name: "generic",

	unary: [numUnary]func(dst, x []float32){
		Abs:        func(dst, x []float32) { map1(dst, x, abs32) },
		Neg:        func(dst, x []float32) { map1(dst, x, func(x float32) float32 { return -x }) },
		Sqrt:       func(dst, x []float32) { map1(dst, x, sqrt32) },
		Square:     func(dst, x []float32) { map1(dst, x, func(x float32) float32 { return x * x }) },
		Reciprocal: func(dst, x []float32) { map1(dst, x, func(x float32) float32 { return 1 / x }) },
		Exp:        func(dst, x []float32) { map1(dst, x, exp32) },
		Log:        func(dst, x []float32) { map1(dst, x, log32) },
		Sigmoid:    func(dst, x []float32) { map1(dst, x, sigmoid32) },
		Tanh:       func(dst, x []float32) { map1(dst, x, tanh32) },
		Erf:        func(dst, x []float32) { map1(dst, x, erf32) },
		Relu:       func(dst, x []float32) { map1(dst, x, relu32) },
		Gelu:       func(dst, x []float32) { map1(dst, x, gelu32) },
		GeluTanh:   func(dst, x []float32) { map1(dst, x, geluTanh32) },
		Silu:       func(dst, x []float32) { map1(dst, x, silu32) },
		HardSwish:  func(dst, x []float32) { map1(dst, x, hardSwish32) },
		Softplus:   func(dst, x []float32) { map1(dst, x, softplus32) },
	},
	unary1: [numUnary1]func(dst, x []float32, a float32){
		LeakyRelu: func(dst, x []float32, a float32) { map1s(dst, x, a, leakyRelu32) },
		Elu:       func(dst, x []float32, a float32) { map1s(dst, x, a, elu32) },
		ExpMinus: func(dst, x []float32, a float32) {
			map1s(dst, x, a, func(x, a float32) float32 { return exp32(x - a) })
		},
	},
	unary2: [numUnary2]func(dst, x []float32, a, b float32){
		Clip:        func(dst, x []float32, a, b float32) { map1ss(dst, x, a, b, clip32) },
		HardSigmoid: func(dst, x []float32, a, b float32) { map1ss(dst, x, a, b, hardSigmoid32) },
		ScaleShift: func(dst, x []float32, a, b float32) {
			map1ss(dst, x, a, b, func(x, a, b float32) float32 { return float32(x*a) + b })
		},
	},

	binary: binaryGeneric,
	scalar: [numBinary]func(dst, x []float32, s float32){
		Add: func(dst, x []float32, s float32) { map1s(dst, x, s, add32) },
		Sub: func(dst, x []float32, s float32) { map1s(dst, x, s, sub32) },
		Mul: func(dst, x []float32, s float32) { map1s(dst, x, s, mul32) },
		Div: func(dst, x []float32, s float32) { map1s(dst, x, s, div32) },
		Min: func(dst, x []float32, s float32) { map1s(dst, x, s, min32) },
		Max: func(dst, x []float32, s float32) { map1s(dst, x, s, max32) },
	},
	scalarLeft: [numBinary]func(dst, x []float32, s float32){
		Add: func(dst, x []float32, s float32) { map1s(dst, x, s, flip(add32)) },
		Sub: func(dst, x []float32, s float32) { map1s(dst, x, s, flip(sub32)) },
		Mul: func(dst, x []float32, s float32) { map1s(dst, x, s, flip(mul32)) },
		Div: func(dst, x []float32, s float32) { map1s(dst, x, s, flip(div32)) },
		Min: func(dst, x []float32, s float32) { map1s(dst, x, s, flip(min32)) },
		Max: func(dst, x []float32, s float32) { map1s(dst, x, s, flip(max32)) },
	},
	channels:     byRow(func(o Binary, dst, x, p []float32) { binaryGeneric[o](dst, x, p) }),
	channelsLeft: byRow(func(o Binary, dst, x, p []float32) { binaryGeneric[o](dst, p, x) }),
	addRelu: func(dst, a, b []float32) {
		map2(dst, a, b, func(a, b float32) float32 { return relu32(a + b) })
	},

	grad: [numGrad]func(dx, g, xy []float32){
		AbsGrad:  func(dx, g, x []float32) { map2(dx, g, x, absGrad32) },
		SqrtGrad: func(dx, g, y []float32) { map2(dx, g, y, func(g, y float32) float32 { return g * (0.5 / y) }) },
		SquareGrad: func(dx, g, x []float32) {
			map2(dx, g, x, func(g, x float32) float32 { return g * (2 * x) })
		},
		ReciprocalGrad: func(dx, g, y []float32) {
			map2(dx, g, y, func(g, y float32) float32 { return -g * (y * y) })
		},
		SigmoidGrad: func(dx, g, y []float32) {
			map2(dx, g, y, func(g, y float32) float32 { return g * (y * (1 - y)) })
		},
		TanhGrad: func(dx, g, y []float32) {
			map2(dx, g, y, func(g, y float32) float32 { return g * (1 - float32(y*y)) })
		},
		ErfGrad:       func(dx, g, x []float32) { map2(dx, g, x, erfGrad32) },
		ReluGrad:      func(dx, g, x []float32) { map2(dx, g, x, reluGrad32) },
		GeluGrad:      func(dx, g, x []float32) { map2(dx, g, x, geluGrad32) },
		GeluTanhGrad:  func(dx, g, x []float32) { map2(dx, g, x, geluTanhGrad32) },
		SiluGrad:      func(dx, g, x []float32) { map2(dx, g, x, siluGrad32) },
		HardSwishGrad: func(dx, g, x []float32) { map2(dx, g, x, hardSwishGrad32) },
		SoftplusGrad: func(dx, g, x []float32) {
			map2(dx, g, x, func(g, x float32) float32 { return g * sigmoid32(x) })
		},
	},
	grad1: [numGrad1]func(dx, g, x []float32, a float32){
		LeakyReluGrad: func(dx, g, x []float32, a float32) { map2s(dx, g, x, a, leakyReluGrad32) },
		EluGrad:       func(dx, g, x []float32, a float32) { map2s(dx, g, x, a, eluGrad32) },
	},
	grad2: [numGrad2]func(dx, g, x []float32, a, b float32){
		ClipGrad:        func(dx, g, x []float32, a, b float32) { map2ss(dx, g, x, a, b, clipGrad32) },
		HardSigmoidGrad: func(dx, g, x []float32, a, b float32) { map2ss(dx, g, x, a, b, hardSigmoidGrad32) },
	},

	scaleShift: func(dst, x, scale, shift []float32) {
		for lo := 0; lo < len(dst); lo += len(scale) {
			hi := min(len(dst), lo+len(scale))
			d, xs, a, b := dst[lo:hi], x[lo:hi], scale[:hi-lo], shift[:hi-lo]
			for i, v := range xs {
				d[i] = float32(v*a[i]) + b[i]
			}
		}
	},
	prelu: func(dst, x, slope []float32) { map1p(dst, x, slope, leakyRelu32) },
	preluGrad: func(dx, g, x, slope []float32) {
		for lo := 0; lo < len(dx); lo += len(slope) {
			hi := min(len(dx), lo+len(slope))
			d, gs, xs, a := dx[lo:hi], g[lo:hi], x[lo:hi], slope[:hi-lo]
			for i, v := range gs {
				d[i] = leakyReluGrad32(v, xs[i], a[i])
			}
		}
	},
}
