package vec

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Map is a kernel that computes outputs element by element. Names in In, Out,
// Period and Scalars are parameters of Signature, separated by spaces.
type Map struct {
	Name, Doc, Signature string
	In, Out              string // slices walked with the data; Out[0] has the length
	Period               string // slices that start again at their end, all of one length
	Far                  string // more of them, for kernels short of registers
	Scalars              string
	Unroll               int // vectors per iteration; default 4
	Body                 func(g *Gen)
}

// Map emits a Map kernel.
func (g *Gen) Map(k Map) {
	if k.Unroll == 0 {
		k.Unroll = 4
	}
	g.Begin(k.Name, k.Signature, k.Name+g.Suffix+" "+k.Doc)
	out, period := fields(k.Out), fields(k.Period)
	var data []string
	for _, s := range append(fields(k.In), out...) {
		if g.streams[s] == nil {
			g.Stream(s)
			data = append(data, s)
		}
	}
	for _, s := range period {
		g.Stream(s)
	}
	for _, s := range fields(k.Far) {
		g.Far(s)
	}
	n := g.Load(g.Param(out[0]).Len(), g.GP64())
	for _, s := range fields(k.Scalars) {
		g.Scalar(s)
	}
	if len(period) == 0 {
		g.walk(n, k.Unroll, k.Body)
		g.End()
		return
	}
	p := g.Load(g.Param(period[0]).Len(), g.GP64())
	rows, done := g.NewLabel("rows"), g.NewLabel("done")
	g.Label(rows)
	g.TESTQ(n, n)
	g.JZ(LabelRef(done))
	rem := g.GP64()
	g.MOVQ(p, rem)
	g.CMPQ(n, p)
	g.CMOVQLT(n, rem)
	g.SUBQ(rem, n)
	g.walk(rem, k.Unroll, k.Body)
	for _, s := range data {
		g.LEAQ(Mem{Base: g.streams[s], Index: g.index, Scale: 4}, g.streams[s])
	}
	g.JMP(LabelRef(rows))
	g.Label(done)
	g.End()
}

// walk emits the loop over rem elements from index 0; it consumes rem and
// leaves index at the number of elements.
func (g *Gen) walk(rem reg.Register, unroll int, body func(g *Gen)) {
	one := func() { body(g) }
	g.Blocks(rem, unroll, func() {
		for u := range unroll {
			g.disp = u * g.Lanes
			body(g)
		}
		g.disp = 0
	}, one)
}

// Blocks emits the loop over rem elements from index 0: many handles unroll
// vectors, one a single vector, the last time perhaps a masked one. It consumes
// rem and leaves the index at the number of elements.
func (g *Gen) Blocks(rem reg.Register, unroll int, many, one func()) {
	i := g.GP64()
	g.XORQ(i, i)
	g.index, g.mask = i, nil
	single, tail, end := g.NewLabel("vector"), g.NewLabel("tail"), g.NewLabel("end")
	if unroll > 1 {
		several := g.NewLabel("vectors")
		g.Label(several)
		g.CMPQ(rem, U32(unroll*g.Lanes))
		g.JL(LabelRef(single))
		many()
		g.ADDQ(U32(unroll*g.Lanes), i)
		g.SUBQ(U32(unroll*g.Lanes), rem)
		g.JMP(LabelRef(several))
	}
	g.Label(single)
	g.CMPQ(rem, U32(g.Lanes))
	g.JL(LabelRef(tail))
	one()
	g.ADDQ(U32(g.Lanes), i)
	g.SUBQ(U32(g.Lanes), rem)
	g.JMP(LabelRef(single))
	g.Label(tail)
	g.TESTQ(rem, rem)
	g.JZ(LabelRef(end))
	g.setMask(rem)
	one()
	g.mask = nil
	g.ADDQ(rem, i)
	g.Label(end)
}

// Lanes is a reduction of slices to a fixed number of partial results per
// accumulator: element i belongs to lane i mod Width. Acc names pointers to
// arrays of Width floats, overwritten.
type Lanes struct {
	Name, Doc, Signature string
	In, Out, Scalars     string // slices and numbers; the first of In has the length
	Acc                  string
	Width                int
	// Start gives the accumulators' first value, zero if nil.
	Start func(g *Gen) Reg
	// Body brings the accumulators up to date with AddTo and Set.
	Body func(g *Gen, acc []Reg)
}

// LanesKernel emits a Lanes kernel.
func (g *Gen) LanesKernel(k Lanes) {
	g.Begin(k.Name, k.Signature, k.Name+g.Suffix+" "+k.Doc)
	in := fields(k.In)
	for _, s := range append(in, fields(k.Out)...) {
		if g.streams[s] == nil {
			g.Stream(s)
		}
	}
	names := fields(k.Acc)
	for _, s := range names {
		g.Pointer(s)
	}
	rem := g.Load(g.Param(in[0]).Len(), g.GP64())
	for _, s := range fields(k.Scalars) {
		g.Scalar(s)
	}
	groups := k.Width / g.Lanes
	acc := make([][]Reg, groups)
	for u := range acc {
		for range names {
			if k.Start != nil {
				acc[u] = append(acc[u], k.Start(g))
			} else {
				acc[u] = append(acc[u], g.Zero())
			}
		}
	}
	i := g.GP64()
	g.XORQ(i, i)
	g.index, g.mask = i, nil
	loop, rest, done := g.NewLabel("loop"), g.NewLabel("rest"), g.NewLabel("done")
	g.Label(loop)
	g.CMPQ(rem, U32(k.Width))
	g.JL(LabelRef(rest))
	for u := range groups {
		g.disp = u * g.Lanes
		k.Body(g, acc[u])
	}
	g.disp = 0
	g.ADDQ(U32(k.Width), i)
	g.SUBQ(U32(k.Width), rem)
	g.JMP(LabelRef(loop))
	g.Label(rest)
	for u := range groups {
		tail := g.NewLabel("tail")
		next := g.NewLabel("next")
		g.CMPQ(rem, U32(g.Lanes))
		g.JL(LabelRef(tail))
		k.Body(g, acc[u])
		g.ADDQ(U32(g.Lanes), i)
		g.SUBQ(U32(g.Lanes), rem)
		g.JMP(LabelRef(next))
		g.Label(tail)
		g.TESTQ(rem, rem)
		g.JZ(LabelRef(done))
		g.setMask(rem)
		k.Body(g, acc[u])
		g.mask = nil
		g.JMP(LabelRef(done))
		g.Label(next)
	}
	g.Label(done)
	for u := range groups {
		for a, s := range names {
			g.VMOVUPS(acc[u][a], Mem{Base: g.streams[s], Disp: 4 * u * g.Lanes})
		}
	}
	g.End()
}

// Columns is a reduction of whole rows of channels-last data to an accumulator
// per channel, added to what Acc holds. The first of Acc has the length of a
// row, the first of In the length of the data, a multiple of it.
type Columns struct {
	Name, Doc, Signature string
	In, Out, Scalars     string
	Period, Far          string // parameters per channel
	Acc                  string
	Block                int                     // vectors of a row whose accumulators stay in registers; default 4
	Body                 func(g *Gen, acc []Reg) // as in Lanes
}

// ColumnsKernel emits a Columns kernel.
func (g *Gen) ColumnsKernel(k Columns) {
	if k.Block == 0 {
		k.Block = 4
	}
	g.Begin(k.Name, k.Signature, k.Name+g.Suffix+" "+k.Doc)
	in, names, period := fields(k.In), fields(k.Acc), fields(k.Period)
	var data []string
	for _, s := range append(in, fields(k.Out)...) {
		if g.streams[s] == nil {
			g.Stream(s)
			data = append(data, s)
		}
	}
	for _, s := range period {
		g.Stream(s)
	}
	for _, s := range append(names, fields(k.Far)...) {
		g.Far(s)
	}
	for _, s := range fields(k.Scalars) {
		g.Scalar(s)
	}
	width := g.Load(g.Param(names[0]).Len(), g.GP64())
	n := g.Load(g.Param(in[0]).Len(), g.GP64())
	col, row := g.GP64(), g.GP64()
	g.XORQ(col, col)
	left := g.GP64() // columns left
	g.MOVQ(width, left)
	done := g.NewLabel("done")
	g.TESTQ(n, n)
	g.JZ(LabelRef(done))

	// isData tells the row-indexed streams from those indexed by column.
	isData := map[string]bool{}
	for _, s := range data {
		isData[s] = true
	}
	block := func(vectors int) {
		g.index = col
		acc := make([][]Reg, vectors)
		for v := range vectors {
			g.disp = v * g.Lanes
			for _, s := range names {
				acc[v] = append(acc[v], g.In(s))
			}
		}
		// row runs over the element index of this block's first column.
		g.MOVQ(col, row)
		loop := g.NewLabel("row")
		g.Label(loop)
		g.rowIndex, g.isData = row, isData
		for v := range vectors {
			g.disp = v * g.Lanes
			k.Body(g, acc[v])
		}
		g.rowIndex, g.isData = nil, nil
		g.ADDQ(width, row)
		g.CMPQ(row, n)
		g.JL(LabelRef(loop))
		g.index = col
		for v := range vectors {
			g.disp = v * g.Lanes
			for a, s := range names {
				g.Out(s, acc[v][a])
			}
		}
		g.disp = 0
	}
	one, tail := g.NewLabel("vector"), g.NewLabel("tail")
	many := g.NewLabel("vectors")
	g.Label(many)
	g.CMPQ(left, U32(k.Block*g.Lanes))
	g.JL(LabelRef(one))
	block(k.Block)
	g.ADDQ(U32(k.Block*g.Lanes), col)
	g.SUBQ(U32(k.Block*g.Lanes), left)
	g.JMP(LabelRef(many))
	g.Label(one)
	g.CMPQ(left, U32(g.Lanes))
	g.JL(LabelRef(tail))
	block(1)
	g.ADDQ(U32(g.Lanes), col)
	g.SUBQ(U32(g.Lanes), left)
	g.JMP(LabelRef(one))
	g.Label(tail)
	g.TESTQ(left, left)
	g.JZ(LabelRef(done))
	g.setMask(left)
	block(1)
	g.mask = nil
	g.Label(done)
	g.End()
}
