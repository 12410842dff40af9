package main

import (
	"math"

	. "github.com/mmcloughlin/avo/operand"

	"github.com/go-nncf/nncf/internal/kernel/_gen/vec"
)

// The functions follow package elementwise's generic_math.go operation by
// operation; coefficients and ranges are explained there.

const (
	ln2Hi = 0.693359375
	ln2Lo = -2.12194440e-4
)

var (
	expPoly  = []float64{0.49999994, 0.16666521, 0.04166839, 0.008368717, 0.0013814599}
	logPoly  = []float64{0.3333333, -0.25000823, 0.20001234, -0.16623299, 0.14201553, -0.13160582, 0.12763327, -0.07635656}
	tanhPoly = []float64{-0.3333328, 0.13331442, -0.053739715, 0.020639088, -0.005704987}
	erfPoly  = []float64{0.12837917, -0.37612626, 0.112835854, -0.026853813, 0.0051883277, -0.00080101937, 7.8538615e-05}
	erfcPoly = []float64{-0.00033939115, -1.1270976, -0.63813144, -0.103118, 0.021843258, -0.002948910, 0.00018650207}
)

func horner(g *gen, c []float64, x vreg) vreg {
	y := g.MulAdd(x, g.Const(c[len(c)-1]), g.Const(c[len(c)-2]))
	for i := len(c) - 3; i >= 0; i-- {
		y = g.MulAdd(y, x, g.Const(c[i]))
	}
	return y
}

func pow2(g *gen, n Op) vreg { return g.ShlI(g.AddI(n, g.Bits(127)), 23) }

func expParts(g *gen, x vreg) (n, p vreg) {
	n = g.ToInt(g.Mul(x, g.Const(math.Log2E)))
	k := g.ToFloat(n)
	r := g.Sub(x, g.Mul(k, g.Const(ln2Hi)))
	r = g.Sub(r, g.Mul(k, g.Const(ln2Lo)))
	return n, g.Add(g.Mul(g.Mul(r, r), horner(g, expPoly, r)), r)
}

func exp(g *gen, x vreg) vreg {
	n, p := expParts(g, g.Clip(x, g.Reg(g.Const(-104)), g.Reg(g.Const(89))))
	h := g.SarI(n, 1)
	y := g.Mul(g.Add(p, g.Const(1)), pow2(g, h))
	return g.Mul(y, pow2(g, g.SubI(n, h)))
}

func expm1(g *gen, x vreg) vreg {
	n, p := expParts(g, g.MaxOr(g.Const(-87), x))
	s := pow2(g, n)
	return g.Add(g.Mul(s, p), g.Sub(s, g.Const(1)))
}

func log(g *gen, x vreg) vreg {
	small := g.Cmp(x, vec.LT, g.Const(0x1p-126))
	b := g.Select(small, g.Mul(x, g.Const(0x1p24)), x)
	e := g.SarI(g.SubI(b, g.Bits(0x3f3504f3)), 23)
	f := g.Sub(g.SubI(b, g.ShlI(e, 23)), g.Const(1))
	n := g.Sub(g.ToFloat(e), g.Keep(small, g.Reg(g.Const(24))))
	z := g.Mul(f, f)
	y := g.Mul(g.Mul(z, f), horner(g, logPoly, f))
	y = g.Add(y, g.Mul(n, g.Const(ln2Lo)))
	y = g.Sub(y, g.Mul(z, g.Const(0.5)))
	y = g.Add(g.Add(f, y), g.Mul(n, g.Const(ln2Hi)))
	y = g.Select(g.Cmp(x, vec.GT, g.Const(math.MaxFloat32)), x, y)
	y = g.Select(g.Cmp(x, vec.EQ, g.Zero()), g.Bits(0xff800000), y)
	return g.Select(g.Cmp(x, vec.GE, g.Zero()), y, g.Reg(g.Bits(0x7fc00000)))
}

func sigmoid(g *gen, x vreg) vreg {
	e := exp(g, g.Or(x, g.Bits(0x80000000)))
	one := g.Reg(g.Const(1))
	return g.Div(g.Select(g.Cmp(x, vec.LT, g.Zero()), e, one), g.Add(e, one))
}

func copySign(g *gen, y, x vreg) vreg { return g.Or(y, g.And(x, g.Bits(0x80000000))) }

func tanh(g *gen, x vreg) vreg {
	a := g.Abs(x)
	one := g.Const(1)
	big := g.Sub(one, g.Div(g.Const(2), g.Add(exp(g, g.Add(a, a)), one)))
	z := g.Mul(a, a)
	small := g.Add(a, g.Mul(g.Mul(a, z), horner(g, tanhPoly, z)))
	return copySign(g, g.Select(g.Cmp(a, vec.LT, g.Const(0.625)), small, big), x)
}

func erf(g *gen, x vreg) vreg {
	a := g.Abs(x)
	b := g.MinOr(g.Const(4), a)
	big := g.Sub(g.Const(1), exp(g, horner(g, erfcPoly, b)))
	small := g.Add(a, g.Mul(a, horner(g, erfPoly, g.Mul(a, a))))
	return copySign(g, g.Select(g.Cmp(a, vec.LT, g.Const(1)), small, big), x)
}

func softplus(g *gen, x vreg) vreg {
	t := exp(g, g.Or(x, g.Bits(0x80000000)))
	u := g.Add(t, g.Const(1))
	rest := g.Div(g.Sub(t, g.Sub(u, g.Const(1))), u)
	return g.Add(g.MaxOr(g.Zero(), x), g.Add(log(g, u), rest))
}

const (
	geluA     = 0.044715
	gelu2U    = 1.5957691216057308
	gelu6UA   = gelu2U * 3 * geluA
	invSqrt2  = math.Sqrt2 / 2
	twoSqrtPi = 1.1283791670955126
	invSqrt2P = 0.3989422804014327
)

func geluArg(g *gen, x vreg) vreg {
	return g.Mul(g.Mul(x, g.Const(gelu2U)), g.Add(g.Mul(g.Mul(x, x), g.Const(geluA)), g.Const(1)))
}

func transcendental(g *gen) {
	one(g, "exp", "is e^x.", "", 1, func(x vreg) vreg { return exp(g, x) })
	one(g, "expMinus", "is e^(x-a).", "a", 1, func(x vreg) vreg { return exp(g, g.Sub(x, g.S("a"))) })
	one(g, "log", "is ln x.", "", 1, func(x vreg) vreg { return log(g, x) })
	one(g, "sigmoid", "is 1/(1+e^-x).", "", 1, func(x vreg) vreg { return sigmoid(g, x) })
	one(g, "tanh", "is tanh x.", "", 1, func(x vreg) vreg { return tanh(g, x) })
	one(g, "erf", "is erf x.", "", 1, func(x vreg) vreg { return erf(g, x) })
	one(g, "softplus", "is ln(1+e^x).", "", 1, func(x vreg) vreg { return softplus(g, x) })
	one(g, "silu", "is x/(1+e^-x).", "", 1, func(x vreg) vreg { return g.Mul(x, sigmoid(g, x)) })
	one(g, "gelu", "is x/2·(1+erf(x/√2)).", "", 1, func(x vreg) vreg {
		return g.Mul(g.Mul(x, g.Const(0.5)), g.Add(erf(g, g.Mul(x, g.Const(invSqrt2))), g.Const(1)))
	})
	one(g, "geluTanh", "is the tanh form of gelu.", "", 1, func(x vreg) vreg { return g.Mul(x, sigmoid(g, geluArg(g, x))) })
	one(g, "elu", "is x < 0 ? a·(e^x-1) : x.", "a", 1, func(x vreg) vreg {
		return g.Select(g.Cmp(x, vec.LT, g.Zero()), g.Mul(expm1(g, x), g.S("a")), x)
	})

	two(g, "eluGrad", "is x < 0 ? a·e^x·g : g.", "a", 1, func(u, x vreg) vreg {
		return g.Select(g.Cmp(x, vec.LT, g.Zero()), g.Mul(g.Mul(exp(g, x), g.S("a")), u), u)
	})
	two(g, "softplusGrad", "is g·sigmoid(x).", "", 1, func(u, x vreg) vreg { return g.Mul(u, sigmoid(g, x)) })
	two(g, "erfGrad", "is g·(2/√π)·e^(-x²).", "", 1, func(u, x vreg) vreg {
		return g.Mul(u, g.Mul(exp(g, g.Neg(g.Mul(x, x))), g.Const(twoSqrtPi)))
	})
	two(g, "siluGrad", "is g·(s + x·s·(1-s)).", "", 1, func(u, x vreg) vreg {
		s := sigmoid(g, x)
		return g.Mul(u, g.Add(s, g.Mul(x, g.Mul(s, g.Sub(g.Const(1), s)))))
	})
	two(g, "geluGrad", "is g·(Φ(x) + x·φ(x)).", "", 1, func(u, x vreg) vreg {
		cdf := g.Mul(g.Add(erf(g, g.Mul(x, g.Const(invSqrt2))), g.Const(1)), g.Const(0.5))
		pdf := g.Mul(exp(g, g.Mul(g.Mul(x, x), g.Const(-0.5))), g.Const(invSqrt2P))
		return g.Mul(u, g.Add(cdf, g.Mul(x, pdf)))
	})
	two(g, "geluTanhGrad", "is the gradient of geluTanh.", "", 1, func(u, x vreg) vreg {
		s := sigmoid(g, geluArg(g, x))
		du := g.Add(g.Mul(g.Mul(x, x), g.Const(gelu6UA)), g.Const(gelu2U))
		return g.Mul(u, g.Add(s, g.Mul(x, g.Mul(g.Mul(s, g.Sub(g.Const(1), s)), du))))
	})
}
