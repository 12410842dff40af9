// Command norm writes the assembly kernels of package norm.
package main

import "github.com/go-nncf/nncf/internal/kernel/_gen/vec"

func main() { vec.Main(write) }

const gridParams = ", ql, qh, qs, qz []float32"

func grid(g *vec.Gen) vec.Grid { return g.ChannelGrid("ql", "qh", "qs", "qz") }

func write(g *vec.Gen) {
	g.ColumnsKernel(vec.Columns{Name: "stats", Doc: "adds x-shift and its square.", Signature: "func(sum, square, x, shift []float32)",
		In: "x", Period: "shift", Acc: "sum square",
		Body: func(g *vec.Gen, acc []vec.Reg) {
			d := g.Sub(g.In("x"), g.P("shift"))
			g.AddTo(acc[0], d)
			g.AddTo(acc[1], g.Mul(d, d))
		}})
	for _, q := range []bool{false, true} {
		suffix, far, params := "", "", ""
		if q {
			suffix, far, params = "Q", "qh qz", gridParams
		}
		near := func(s string) string {
			if q {
				return s + " ql qs"
			}
			return s
		}
		finish := func(g *vec.Gen, y vec.Reg) {
			y = g.Clip(y, g.S("lo"), g.S("hi"))
			if q {
				y = g.Quantize(y, g.Held(grid(g)))
			}
			g.Out("dst", y)
		}
		unroll := 4
		if q {
			unroll = 2
		}
		g.Map(vec.Map{Name: "apply" + suffix, Doc: "is clip(x·scale+shift).",
			Signature: "func(dst, x, scale, shift []float32" + ", lo, hi float32" + params + ")",
			In:        "x", Out: "dst", Period: near("scale shift"), Far: far, Scalars: "lo hi", Unroll: unroll,
			Body: func(g *vec.Gen) { finish(g, g.MulAdd(g.In("x"), g.P("scale"), g.P("shift"))) }})
		g.Map(vec.Map{Name: "applyAdd" + suffix, Doc: "is clip(x·scale+shift+res).",
			Signature: "func(dst, x, res, scale, shift []float32" + ", lo, hi float32" + params + ")",
			In:        "x res", Out: "dst", Period: near("scale shift"), Far: far, Scalars: "lo hi", Unroll: unroll,
			Body: func(g *vec.Gen) {
				finish(g, g.Add(g.MulAdd(g.In("x"), g.P("scale"), g.P("shift")), g.In("res")))
			}})
		g.Map(vec.Map{Name: "applyTwo" + suffix, Doc: "is clip(x·scale+shift + res·resScale+resShift).",
			Signature: "func(dst, x, res, scale, shift, resScale, resShift []float32" + ", lo, hi float32" + params + ")",
			In:        "x res", Out: "dst", Period: near("scale shift resScale resShift"), Far: far, Scalars: "lo hi", Unroll: 2,
			Body: func(g *vec.Gen) {
				y := g.MulAdd(g.In("x"), g.P("scale"), g.P("shift"))
				finish(g, g.Add(y, g.MulAdd(g.In("res"), g.P("resScale"), g.P("resShift"))))
			}})

		// pass returns the masked gradient of input v of the clip, and adds the
		// quantizer's terms to acc[2:].
		pass := func(g *vec.Gen, u, v vec.Reg, acc []vec.Reg) vec.Reg {
			if !q {
				m := g.Cmp(v, vec.GT, g.S("lo"))
				return g.Keep(g.Both(m, g.Cmp(v, vec.LT, g.S("hi"))), u)
			}
			z := g.Clip(v, g.S("lo"), g.S("hi"))
			var through vec.Mask
			if acc == nil {
				through = g.Inside(z, grid(g))
			} else {
				through = g.QuantizeGrad(u, z, grid(g), acc[2:])
			}
			through = g.Both(through, g.Cmp(v, vec.GT, g.S("lo")))
			through = g.Both(through, g.Cmp(v, vec.LT, g.S("hi")))
			return g.Keep(through, u)
		}
		// sums adds g' and g'·(x−mean).
		sums := func(g *vec.Gen, acc []vec.Reg, gm, x vec.Reg) {
			g.AddTo(acc[0], gm)
			g.AddTo(acc[1], g.Mul(g.Sub(x, g.P("mean")), gm))
		}
		acc, accParams := "sumG, sumGX", "sumG sumGX"
		block := 4
		if q {
			acc, accParams, block = "sumG, sumGX, inside, above, below", "sumG sumGX inside above below", 1
			if g.Wide() {
				block = 2
			}
		}
		farAll := "scale shift mean"
		if q {
			farAll += " ql qh qs qz"
		}
		g.ColumnsKernel(vec.Columns{Name: "gradStats" + suffix, Doc: "adds g' and g'·(x-mean), the mask recomputed from x.",
			Signature: "func(" + acc + ", g, x, mean, scale, shift []float32, lo, hi float32" + params + ")",
			In:        "x g", Far: farAll, Acc: accParams, Scalars: "lo hi", Block: block,
			Body: func(g *vec.Gen, acc []vec.Reg) {
				gm := pass(g, g.In("g"), g.MulAdd(g.In("x"), g.P("scale"), g.P("shift")), acc)
				sums(g, acc, gm, g.In("x"))
			}})
		farJoin := "mean"
		if q {
			farJoin += " ql qh qs qz"
		}
		g.ColumnsKernel(vec.Columns{Name: "gradStatsJoin" + suffix, Doc: "adds g' and g'·(x-mean), the mask from z, and stores g'.",
			Signature: "func(" + acc + ", dz, g, z, x, mean []float32, lo, hi float32" + params + ")",
			In:        "x g z", Out: "dz", Far: farJoin, Acc: accParams, Scalars: "lo hi", Block: block,
			Body: func(g *vec.Gen, acc []vec.Reg) {
				gm := pass(g, g.In("g"), g.In("z"), acc)
				x := g.In("x") // before dz is stored: it may be x
				g.Out("dz", gm)
				sums(g, acc, gm, x)
			}})
		g.Map(vec.Map{Name: "gradApply" + suffix, Doc: "is a·g' + b·x + c.",
			Signature: "func(dx, g, x, a, b, c, scale, shift []float32, lo, hi float32" + params + ")",
			In:        "g x", Out: "dx", Period: "a b c", Far: "scale shift" + map[bool]string{true: " ql qh qs qz"}[q], Scalars: "lo hi", Unroll: 2,
			Body: func(g *vec.Gen) {
				x := g.In("x")
				gm := pass(g, g.In("g"), g.MulAdd(x, g.P("scale"), g.P("shift")), nil)
				g.Out("dx", g.Add(g.Mul(gm, g.P("a")), g.MulAdd(x, g.P("b"), g.P("c"))))
			}})
	}
	g.Map(vec.Map{Name: "gradApplyPlain", Doc: "is a·g + b·x + c.", Signature: "func(dx, g, x, a, b, c []float32)",
		In: "g x", Out: "dx", Period: "a b c",
		Body: func(g *vec.Gen) {
			u := g.Mul(g.In("g"), g.P("a"))
			g.Out("dx", g.Add(u, g.MulAdd(g.In("x"), g.P("b"), g.P("c"))))
		}})
	rows(g)
}

func rows(g *vec.Gen) {
	g.Map(vec.Map{Name: "layerApply", Doc: "is (x·mul+add)·gamma + beta.", Signature: "func(dst, x, gamma, beta []float32, mul, add float32)",
		In: "x gamma beta", Out: "dst", Scalars: "mul add",
		Body: func(g *vec.Gen) {
			g.Out("dst", g.MulAdd(g.MulAdd(g.In("x"), g.S("mul"), g.S("add")), g.P("gamma"), g.P("beta")))
		}})
	g.Map(vec.Map{Name: "layerAcc", Doc: "is dgamma += g·(x·mul+add), dbeta += g.", Signature: "func(dgamma, dbeta, g, x []float32, mul, add float32)",
		In: "g x", Out: "dgamma dbeta", Scalars: "mul add", Unroll: 2,
		Body: func(g *vec.Gen) {
			u := g.In("g")
			g.Out("dgamma", g.Add(g.In("dgamma"), g.Mul(g.MulAdd(g.In("x"), g.S("mul"), g.S("add")), u)))
			g.Out("dbeta", g.Add(g.In("dbeta"), u))
		}})
	g.Map(vec.Map{Name: "layerGrad", Doc: "is dx = dx·kt + (x·kx + k1).", Signature: "func(dx, x []float32, kt, kx, k1 float32)",
		In: "x", Out: "dx", Scalars: "kt kx k1",
		Body: func(g *vec.Gen) {
			t := g.Mul(g.In("dx"), g.S("kt"))
			g.Out("dx", g.Add(t, g.MulAdd(g.In("x"), g.S("kx"), g.S("k1"))))
		}})
	g.Map(vec.Map{Name: "mulSub", Doc: "is y·(g-s).", Signature: "func(dst, g, y []float32, s float32)",
		In: "g y", Out: "dst", Scalars: "s",
		Body: func(g *vec.Gen) { g.Out("dst", g.Mul(g.Sub(g.In("g"), g.S("s")), g.P("y"))) }})
}
