// Command elementwise writes the assembly kernels of package elementwise.
package main

import (
	. "github.com/mmcloughlin/avo/operand"

	"github.com/go-nncf/nncf/internal/kernel/_gen/vec"
)

func main() { vec.Main(write) }

type (
	gen  = vec.Gen
	vreg = vec.Reg
)

// one is a function of one vector with optional numbers a and b.
func one(g *gen, name, doc, scalars string, unroll int, f func(x vreg) vreg) {
	sig := "func(dst, x []float32)"
	switch scalars {
	case "a":
		sig = "func(dst, x []float32, a float32)"
	case "a b":
		sig = "func(dst, x []float32, a, b float32)"
	}
	g.Map(vec.Map{Name: name, Doc: doc, Signature: sig, In: "x", Out: "dst", Scalars: scalars, Unroll: unroll,
		Body: func(g *gen) { g.Out("dst", f(g.In("x"))) }})
}

// two is a gradient: a function of two vectors with optional numbers.
func two(g *gen, name, doc, scalars string, unroll int, f func(u, x vreg) vreg) {
	sig := "func(dx, g, x []float32)"
	switch scalars {
	case "a":
		sig = "func(dx, g, x []float32, a float32)"
	case "a b":
		sig = "func(dx, g, x []float32, a, b float32)"
	}
	g.Map(vec.Map{Name: name, Doc: doc, Signature: sig, In: "g x", Out: "dx", Scalars: scalars, Unroll: unroll,
		Body: func(g *gen) { g.Out("dx", f(g.In("g"), g.In("x"))) }})
}

func write(g *gen) {
	binary(g)
	simple(g)
	gradients(g)
	transcendental(g)
}

func binary(g *gen) {
	for _, o := range []struct {
		name string
		f    func(a, b Op) vreg
		same bool // f(a, b) has the bits of f(b, a)
	}{
		{"add", g.Add, true},
		{"sub", g.Sub, false},
		{"mul", g.Mul, true},
		{"div", g.Div, false},
		{"min", func(a, b Op) vreg { a = g.Reg(a); return g.Select(g.Cmp(a, vec.NaN, a), a, g.MinOr(a, b)) }, false},
		{"max", func(a, b Op) vreg { a = g.Reg(a); return g.Select(g.Cmp(a, vec.NaN, a), a, g.MaxOr(a, b)) }, false},
	} {
		g.Map(vec.Map{Name: o.name, Doc: "computes a and b element by element.", Signature: "func(dst, a, b []float32)", In: "a b", Out: "dst",
			Body: func(g *gen) { g.Out("dst", o.f(g.In("a"), g.P("b"))) }})
		one(g, o.name+"Scalar", "has a number on the right.", "a", 4, func(x vreg) vreg { return o.f(x, g.S("a")) })
		channels := func(name string, f func(x vreg, p Op) vreg) {
			g.Map(vec.Map{Name: o.name + name, Doc: "has a parameter per channel.", Signature: "func(dst, x, p []float32)", In: "x", Out: "dst", Period: "p",
				Body: func(g *gen) { g.Out("dst", f(g.In("x"), g.P("p"))) }})
		}
		channels("Channels", func(x vreg, p Op) vreg { return o.f(x, p) })
		if o.same {
			continue
		}
		one(g, o.name+"ScalarLeft", "has a number on the left.", "a", 4, func(x vreg) vreg { return o.f(g.S("a"), x) })
		channels("ChannelsLeft", func(x vreg, p Op) vreg { return o.f(p, x) })
	}
	g.Map(vec.Map{Name: "addRelu", Doc: "is relu(a+b).", Signature: "func(dst, a, b []float32)", In: "a b", Out: "dst",
		Body: func(g *gen) { g.Out("dst", g.MaxOr(g.Zero(), g.Add(g.In("a"), g.P("b")))) }})
	g.Map(vec.Map{Name: "scaleShiftChannels", Doc: "is x·scale + shift per channel.", Signature: "func(dst, x, scale, shift []float32)",
		In: "x", Out: "dst", Period: "scale shift",
		Body: func(g *gen) { g.Out("dst", g.MulAdd(g.In("x"), g.P("scale"), g.P("shift"))) }})
	g.Map(vec.Map{Name: "prelu", Doc: "is x < 0 ? slope·x : x per channel.", Signature: "func(dst, x, slope []float32)",
		In: "x", Out: "dst", Period: "slope",
		Body: func(g *gen) {
			x := g.In("x")
			g.Out("dst", g.Select(g.Cmp(x, vec.LT, g.Zero()), g.Mul(x, g.P("slope")), x))
		}})
	g.Map(vec.Map{Name: "preluGrad", Doc: "is x < 0 ? slope·g : g per channel.", Signature: "func(dx, g, x, slope []float32)",
		In: "g x", Out: "dx", Period: "slope",
		Body: func(g *gen) {
			x, u := g.In("x"), g.In("g")
			g.Out("dx", g.Select(g.Cmp(x, vec.LT, g.Zero()), g.Mul(u, g.P("slope")), u))
		}})
}

func simple(g *gen) {
	one(g, "abs", "is |x|.", "", 4, func(x vreg) vreg { return g.Abs(x) })
	one(g, "neg", "is -x.", "", 4, func(x vreg) vreg { return g.Neg(x) })
	one(g, "sqrt", "is the square root.", "", 4, func(x vreg) vreg { return g.Sqrt(x) })
	one(g, "square", "is x².", "", 4, func(x vreg) vreg { return g.Mul(x, x) })
	one(g, "reciprocal", "is 1/x.", "", 4, func(x vreg) vreg { return g.Div(g.Const(1), x) })
	one(g, "relu", "is x < 0 ? 0 : x.", "", 4, func(x vreg) vreg { return g.MaxOr(g.Zero(), x) })
	one(g, "hardSwish", "is x·clip(x/6+1/2, 0, 1).", "", 4, func(x vreg) vreg {
		return g.Mul(x, g.Clip(g.MulAdd(x, g.Const(1.0/6), g.Const(0.5)), g.Zero(), g.Const(1)))
	})
	one(g, "leakyRelu", "is x < 0 ? a·x : x.", "a", 4, func(x vreg) vreg {
		return g.Select(g.Cmp(x, vec.LT, g.Zero()), g.Mul(x, g.S("a")), x)
	})
	one(g, "clip", "bounds x to [a, b].", "a b", 4, func(x vreg) vreg { return g.Clip(x, g.S("a"), g.S("b")) })
	one(g, "hardSigmoid", "is clip(a·x+b, 0, 1).", "a b", 4, func(x vreg) vreg {
		return g.Clip(g.MulAdd(x, g.S("a"), g.S("b")), g.Zero(), g.Const(1))
	})
	one(g, "scaleShift", "is a·x+b.", "a b", 4, func(x vreg) vreg { return g.MulAdd(x, g.S("a"), g.S("b")) })
}

func gradients(g *gen) {
	two(g, "absGrad", "is g·sign(x).", "", 4, func(u, x vreg) vreg {
		z := g.Zero()
		return g.Select(g.Cmp(x, vec.GT, z), u, g.Select(g.Cmp(x, vec.LT, z), g.Neg(u), x))
	})
	two(g, "sqrtGrad", "is g·0.5/y.", "", 4, func(u, y vreg) vreg { return g.Mul(u, g.Div(g.Const(0.5), y)) })
	two(g, "squareGrad", "is g·2x.", "", 4, func(u, x vreg) vreg { return g.Mul(u, g.Add(x, x)) })
	two(g, "reciprocalGrad", "is -g·y².", "", 4, func(u, y vreg) vreg { return g.Mul(g.Neg(u), g.Mul(y, y)) })
	two(g, "sigmoidGrad", "is g·y·(1-y).", "", 4, func(u, y vreg) vreg { return g.Mul(u, g.Mul(y, g.Sub(g.Const(1), y))) })
	two(g, "tanhGrad", "is g·(1-y²).", "", 4, func(u, y vreg) vreg { return g.Mul(u, g.Sub(g.Const(1), g.Mul(y, y))) })
	two(g, "reluGrad", "is x > 0 ? g : 0.", "", 4, func(u, x vreg) vreg { return g.Keep(g.Cmp(x, vec.GT, g.Zero()), u) })
	two(g, "leakyReluGrad", "is x < 0 ? a·g : g.", "a", 4, func(u, x vreg) vreg {
		return g.Select(g.Cmp(x, vec.LT, g.Zero()), g.Mul(u, g.S("a")), u)
	})
	two(g, "clipGrad", "is a <= x <= b ? g : 0.", "a b", 4, func(u, x vreg) vreg {
		return g.Keep(g.Both(g.Cmp(x, vec.GE, g.S("a")), g.Cmp(x, vec.LE, g.S("b"))), u)
	})
	two(g, "hardSigmoidGrad", "is 0 < a·x+b < 1 ? a·g : 0.", "a b", 4, func(u, x vreg) vreg {
		y := g.MulAdd(x, g.S("a"), g.S("b"))
		return g.Keep(g.Both(g.Cmp(y, vec.GT, g.Zero()), g.Cmp(y, vec.LT, g.Const(1))), g.Mul(u, g.S("a")))
	})
	two(g, "hardSwishGrad", "is g·(x <= -3 ? 0 : x >= 3 ? 1 : x/3+1/2).", "", 4, func(u, x vreg) vreg {
		d := g.MulAdd(x, g.Const(1.0/3), g.Const(0.5))
		d = g.Select(g.Cmp(x, vec.LE, g.Const(-3)), g.Zero(), d)
		d = g.Select(g.Cmp(x, vec.GE, g.Const(3)), g.Const(1), d)
		return g.Mul(u, d)
	})
}
