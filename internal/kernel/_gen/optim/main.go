// Command optim writes the assembly kernels of package optim.
package main

import "github.com/go-nncf/nncf/internal/kernel/_gen/vec"

func main() { vec.Main(write) }

func write(g *vec.Gen) {
	// d = scale·g + decay·w
	d := func(w vec.Reg) vec.Reg { return g.Add(g.Mul(g.In("g"), g.S("scale")), g.Mul(w, g.S("decay"))) }
	g.Map(vec.Map{Name: "sgdPlain", Doc: "is w -= lr·d.", Signature: "func(w, g []float32, lr, decay, scale float32)",
		In: "g", Out: "w", Scalars: "lr decay scale",
		Body: func(g *vec.Gen) {
			w := g.In("w")
			g.Out("w", g.Sub(w, g.Mul(d(w), g.S("lr"))))
		}})
	g.Map(vec.Map{Name: "sgdMomentum", Doc: "is v = momentum·v + d, w -= lr·v.", Signature: "func(w, g, v []float32, lr, decay, scale, momentum float32)",
		In: "g", Out: "w v", Scalars: "lr decay scale momentum", Unroll: 2,
		Body: func(g *vec.Gen) {
			w := g.In("w")
			v := g.Add(g.Mul(g.In("v"), g.S("momentum")), d(w))
			g.Out("v", v)
			g.Out("w", g.Sub(w, g.Mul(v, g.S("lr"))))
		}})
	g.Map(vec.Map{Name: "sgdNesterov", Doc: "is v = momentum·v + d, w -= lr·(d + momentum·v).", Signature: "func(w, g, v []float32, lr, decay, scale, momentum float32)",
		In: "g", Out: "w v", Scalars: "lr decay scale momentum", Unroll: 2,
		Body: func(g *vec.Gen) {
			w := g.In("w")
			d := d(w)
			v := g.Add(g.Mul(g.In("v"), g.S("momentum")), d)
			g.Out("v", v)
			g.Out("w", g.Sub(w, g.Mul(g.Add(d, g.Mul(v, g.S("momentum"))), g.S("lr"))))
		}})
	g.Map(vec.Map{Name: "adam", Doc: "is one step of Adam or AdamW.",
		Signature: "func(w, g, m, v []float32, beta1, rest1, beta2, rest2, eps, scale, keep, decay, a, b float32)",
		In:        "g", Out: "w m v", Scalars: "beta1 rest1 beta2 rest2 eps scale keep decay a b", Unroll: 1,
		Body: func(g *vec.Gen) {
			w := g.In("w")
			d := d(w)
			m := g.Add(g.Mul(g.In("m"), g.S("beta1")), g.Mul(d, g.S("rest1")))
			g.Out("m", m)
			v := g.Add(g.Mul(g.In("v"), g.S("beta2")), g.Mul(g.Mul(d, d), g.S("rest2")))
			g.Out("v", v)
			u := g.Div(g.Mul(m, g.S("a")), g.Add(g.Mul(g.Sqrt(v), g.S("b")), g.S("eps")))
			g.Out("w", g.Sub(g.Mul(w, g.S("keep")), u))
		}})
	square := func(d vec.Reg) vec.Reg {
		s := g.Add(g.Mul(g.In("s"), g.S("alpha")), g.Mul(g.Mul(d, d), g.S("rest")))
		g.Out("s", s)
		return g.Div(d, g.Add(g.Sqrt(s), g.S("eps")))
	}
	g.Map(vec.Map{Name: "rmspropPlain", Doc: "is one step of RMSProp without momentum.",
		Signature: "func(w, g, s []float32, lr, alpha, rest, eps, decay, scale float32)",
		In:        "g", Out: "w s", Scalars: "lr alpha rest eps decay scale", Unroll: 1,
		Body: func(g *vec.Gen) {
			w := g.In("w")
			g.Out("w", g.Sub(w, g.Mul(square(d(w)), g.S("lr"))))
		}})
	g.Map(vec.Map{Name: "rmspropMomentum", Doc: "is one step of RMSProp.",
		Signature: "func(w, g, s, v []float32, lr, alpha, rest, eps, decay, scale, momentum float32)",
		In:        "g", Out: "w s v", Scalars: "lr alpha rest eps decay scale momentum", Unroll: 1,
		Body: func(g *vec.Gen) {
			w := g.In("w")
			u := g.Add(g.Mul(g.In("v"), g.S("momentum")), square(d(w)))
			g.Out("v", u)
			g.Out("w", g.Sub(w, g.Mul(u, g.S("lr"))))
		}})
	g.Map(vec.Map{Name: "axpy", Doc: "is y += a·x.", Signature: "func(y, x []float32, a float32)", In: "x", Out: "y", Scalars: "a",
		Body: func(g *vec.Gen) { g.Out("y", g.Add(g.In("y"), g.Mul(g.In("x"), g.S("a")))) }})
	g.Map(vec.Map{Name: "lerp", Doc: "is y += a·(x-y).", Signature: "func(y, x []float32, a float32)", In: "x", Out: "y", Scalars: "a",
		Body: func(g *vec.Gen) {
			y := g.In("y")
			g.Out("y", g.Add(y, g.Mul(g.Sub(g.In("x"), y), g.S("a"))))
		}})
}
