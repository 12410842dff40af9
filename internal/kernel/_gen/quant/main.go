// Command quant writes the assembly kernels of package quant.
package main

import "github.com/go-nncf/nncf/internal/kernel/_gen/vec"

func main() { vec.Main(write) }

func write(g *vec.Gen) {
	g.Map(vec.Map{Name: "forward", Doc: "rounds to a grid per channel.",
		Signature: "func(dst, x, low, high, scale, zero []float32)",
		In:        "x", Out: "dst", Period: "low high scale zero", Unroll: 2,
		Body: func(g *vec.Gen) {
			g.Out("dst", g.Quantize(g.In("x"), g.Held(g.ChannelGrid("low", "high", "scale", "zero"))))
		}})
	g.Map(vec.Map{Name: "forwardRow", Doc: "rounds to one grid.",
		Signature: "func(dst, x []float32, low, high, scale, zero float32)",
		In:        "x", Out: "dst", Scalars: "low high scale zero",
		Body: func(g *vec.Gen) {
			g.Out("dst", g.Quantize(g.In("x"), g.ScalarGrid()))
		}})
	g.ColumnsKernel(vec.Columns{Name: "backward", Doc: "is the gradient of forward; it adds to the three sums.",
		Signature: "func(dx, dy, x, low, high, scale, zero, inside, above, below []float32)",
		In:        "x dy", Out: "dx", Period: "low high", Far: "scale zero", Acc: "inside above below", Block: 2,
		Body: func(g *vec.Gen, acc []vec.Reg) {
			u := g.In("dy")
			in := g.QuantizeGrad(u, g.In("x"), g.ChannelGrid("low", "high", "scale", "zero"), acc)
			g.Out("dx", g.Keep(in, u))
		}})
	g.LanesKernel(vec.Lanes{Name: "backwardRow", Doc: "is the gradient of forwardRow; it writes the lanes of the three sums.",
		Signature: "func(dx, dy, x []float32, low, high, scale, zero float32, inside, above, below *[16]float32)",
		In:        "x dy", Out: "dx", Scalars: "low high scale zero", Acc: "inside above below", Width: 16,
		Body: func(g *vec.Gen, acc []vec.Reg) {
			u := g.In("dy")
			in := g.QuantizeGrad(u, g.In("x"), g.ScalarGrid(), acc)
			g.Out("dx", g.Keep(in, u))
		}})
}
