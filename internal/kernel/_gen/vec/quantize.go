package vec

import . "github.com/mmcloughlin/avo/operand"

// Grid are a quantizer's parameters, fetched at each use: a kernel short of
// registers reads them from memory every time, another returns a register.
type Grid struct {
	Low, High, Scale, Zero func() Op
}

// ScalarGrid is the grid of the numbers low, high, scale and zero.
func (g *Gen) ScalarGrid() Grid {
	s := func(name string) func() Op { return func() Op { return g.S(name) } }
	return Grid{s("low"), s("high"), s("scale"), s("zero")}
}

// ChannelGrid is the grid in four streams.
func (g *Gen) ChannelGrid(low, high, scale, zero string) Grid {
	p := func(name string) func() Op { return func() Op { return g.P(name) } }
	return Grid{p(low), p(high), p(scale), p(zero)}
}

// Held returns the grid with Low and Scale, used twice, held in registers.
func (g *Gen) Held(q Grid) Grid {
	l, s := g.Reg(q.Low()), g.Reg(q.Scale())
	q.Low = func() Op { return l }
	q.Scale = func() Op { return s }
	return q
}

// Quantize emits y = rne((clip(x, low, high)−low)·scale − zero)/scale.
func (g *Gen) Quantize(x Op, q Grid) Reg {
	return g.gridPoint(g.Clip(x, q.Low(), q.High()), q)
}

// gridPoint emits Quantize of what is within the grid's ends.
func (g *Gen) gridPoint(c Reg, q Grid) Reg {
	c = g.Mul(g.Sub(c, q.Low()), q.Scale())
	return g.Div(g.Round(g.Sub(c, q.Zero())), q.Scale())
}

// Inside returns the lanes where low ≤ z ≤ high.
func (g *Gen) Inside(z Reg, q Grid) Mask {
	m := g.Cmp(z, GE, q.Low())
	return g.Both(m, g.Cmp(z, LE, q.High()))
}

// QuantizeGrad emits the gradient of Quantize at z: it adds u·(y−z) inside the
// grid, u above and u below to acc[0], acc[1] and acc[2], and returns the lanes
// inside.
func (g *Gen) QuantizeGrad(u, z Reg, q Grid, acc []Reg) Mask {
	g.AddTo(acc[1], g.Keep(g.Cmp(z, GT, q.High()), u))
	g.AddTo(acc[2], g.Keep(g.Cmp(z, LT, q.Low()), u))
	c := g.Clip(z, q.Low(), q.High())
	in := g.Cmp(c, EQ, z)
	g.AddTo(acc[0], g.Keep(in, g.Mul(u, g.Sub(g.gridPoint(c, q), z))))
	return in
}
