// Command reduce writes the assembly kernels of package reduce.
package main

import (
	"math"

	"github.com/go-nncf/nncf/internal/kernel/_gen/vec"
)

func main() { vec.Main(write) }

func write(g *vec.Gen) {
	lanes := func(name, doc, sig, in, scalars string, start func(g *vec.Gen) vec.Reg, f func(acc vec.Reg)) {
		g.LanesKernel(vec.Lanes{Name: name, Doc: doc, Signature: sig, In: in, Scalars: scalars, Acc: "acc", Width: 64, Start: start,
			Body: func(g *vec.Gen, acc []vec.Reg) { f(acc[0]) }})
	}
	const one, two = "func(acc *[64]float32, x []float32)", "func(acc *[64]float32, x, y []float32)"
	constant := func(v float64) func(g *vec.Gen) vec.Reg {
		return func(g *vec.Gen) vec.Reg { return g.Reg(g.Const(v)) }
	}
	lanes("sum", "adds x.", one, "x", "", nil, func(acc vec.Reg) { g.AddTo(acc, g.In("x")) })
	lanes("sumAbs", "adds |x|.", one, "x", "", nil, func(acc vec.Reg) { g.AddTo(acc, g.Abs(g.In("x"))) })
	lanes("sumSquares", "adds x².", one, "x", "", nil, func(acc vec.Reg) {
		x := g.In("x")
		g.AddTo(acc, g.Mul(x, x))
	})
	lanes("sumSquaresAbout", "adds (x-m)².", "func(acc *[64]float32, x []float32, m float32)", "x", "m", nil, func(acc vec.Reg) {
		d := g.Sub(g.In("x"), g.S("m"))
		g.AddTo(acc, g.Mul(d, d))
	})
	lanes("dot", "adds x·y.", two, "x y", "", nil, func(acc vec.Reg) { g.AddTo(acc, g.Mul(g.In("x"), g.P("y"))) })
	lanes("dotAbout", "adds x·(y-m).", "func(acc *[64]float32, x, y []float32, m float32)", "x y", "m", nil, func(acc vec.Reg) {
		g.AddTo(acc, g.Mul(g.Sub(g.In("y"), g.S("m")), g.In("x")))
	})
	lanes("max", "finds the largest.", one, "x", "", constant(math.Inf(-1)), func(acc vec.Reg) { g.Set(acc, g.MaxOr(g.In("x"), acc)) })
	lanes("min", "finds the smallest.", one, "x", "", constant(math.Inf(1)), func(acc vec.Reg) { g.Set(acc, g.MinOr(g.In("x"), acc)) })
	lanes("maxAbs", "finds the largest |x|.", one, "x", "", nil, func(acc vec.Reg) { g.Set(acc, g.MaxOr(g.Abs(g.In("x")), acc)) })

	columns := func(name, doc, sig, in string, f func(acc vec.Reg)) {
		g.ColumnsKernel(vec.Columns{Name: name, Doc: doc, Signature: sig, In: in, Acc: "acc",
			Body: func(g *vec.Gen, acc []vec.Reg) { f(acc[0]) }})
	}
	columns("sumChannels", "adds x.", "func(acc, x []float32)", "x", func(acc vec.Reg) { g.AddTo(acc, g.In("x")) })
	columns("dotChannels", "adds x·y.", "func(acc, x, y []float32)", "x y", func(acc vec.Reg) {
		g.AddTo(acc, g.Mul(g.In("x"), g.P("y")))
	})
	columns("slopeChannels", "adds g·min(x, 0).", "func(acc, g, x []float32)", "g x", func(acc vec.Reg) {
		g.AddTo(acc, g.Mul(g.MinOr(g.In("x"), g.Zero()), g.P("g")))
	})
	columns("maxChannels", "raises acc to x.", "func(acc, x []float32)", "x", func(acc vec.Reg) { g.Set(acc, g.MaxOr(g.In("x"), acc)) })
	g.ColumnsKernel(vec.Columns{Name: "minMaxChannels", Doc: "widens lo and hi to x.", Signature: "func(lo, hi, x []float32)", In: "x", Acc: "lo hi",
		Body: func(g *vec.Gen, acc []vec.Reg) {
			x := g.In("x")
			g.Set(acc[0], g.MinOr(x, acc[0]))
			g.Set(acc[1], g.MaxOr(x, acc[1]))
		}})
}
