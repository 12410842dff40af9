// Command pooling writes the assembly kernels of package pooling.
package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/go-nncf/nncf/internal/kernel/_gen/vec"
)

func main() { vec.Main(write) }

func write(g *vec.Gen) {
	window(g, "max", "finds the largest of a window per channel.", "", "", 4, func(w *win) {
		w.walk(nil, func(v int) {
			x := w.load(v)
			m := g.MaxOr(x, w.acc[v])
			g.Move(w.acc[v], g.Select(g.Cmp(x, vec.NaN, x), x, m))
		}, nil)
	})
	window(g, "average", "is the sum of a window, row by row, times scale.", ", scale float32", "scale", 2, func(w *win) {
		row := make([]vec.Reg, w.vectors)
		for v := range row {
			row[v] = g.New()
			g.Move(w.acc[v], g.Zero())
		}
		w.walk(func() {
			for v := range row {
				g.Move(row[v], g.Zero())
			}
		}, func(v int) {
			g.VADDPS(w.load(v), row[v], row[v])
		}, func() {
			for v := range row {
				g.VADDPS(row[v], w.acc[v], w.acc[v])
			}
		})
		for v := range row {
			g.VMULPS(g.S("scale"), w.acc[v], w.acc[v])
		}
	})
	maxIndex(g)
	maxScatter(g)
	addWhere(g)
	g.Map(vec.Map{Name: "addScaled", Doc: "is dx += g·scale.", Signature: "func(dx, g []float32, scale float32)", In: "g", Out: "dx", Scalars: "scale",
		Body: func(g *vec.Gen) { g.Out("dx", g.Add(g.In("dx"), g.Mul(g.In("g"), g.S("scale")))) }})
}

// win is a kernel over the pixels of a window for a few vectors of channels.
type win struct {
	g                                  *vec.Gen
	rows, cols, rowStep, colStep, base reg.GPVirtual // steps in bytes
	at, nRows, nCols                   reg.GPVirtual
	vectors                            int
	acc                                []vec.Reg
	index                              reg.Register
}

// load returns vector v of the current pixel.
func (w *win) load(v int) vec.Reg { return w.g.LoadAt(Mem{Base: w.at, Disp: 4 * v * w.g.Lanes}) }

// walk visits the pixels row by row.
func (w *win) walk(startRow func(), pixel func(v int), endRow func()) {
	g := w.g
	rowAt := g.GP64()
	g.LEAQ(Mem{Base: w.base, Index: w.index, Scale: 4}, rowAt)
	g.MOVQ(w.rows, w.nRows)
	row, col := g.NewLabel("row"), g.NewLabel("col")
	g.Label(row)
	if startRow != nil {
		startRow()
	}
	g.MOVQ(rowAt, w.at)
	g.MOVQ(w.cols, w.nCols)
	g.Label(col)
	for v := range w.vectors {
		pixel(v)
	}
	g.ADDQ(w.colStep, w.at)
	g.DECQ(w.nCols)
	g.JNZ(LabelRef(col))
	if endRow != nil {
		endRow()
	}
	g.ADDQ(w.rowStep, rowAt)
	g.DECQ(w.nRows)
	g.JNZ(LabelRef(row))
}

func newWin(g *vec.Gen) *win {
	w := &win{g: g, base: g.GP64(), at: g.GP64(), nRows: g.GP64(), nCols: g.GP64(),
		rows: g.GP64(), cols: g.GP64(), rowStep: g.GP64(), colStep: g.GP64()}
	g.Load(g.Param("x").Base(), w.base)
	g.Load(g.Param("rows"), w.rows)
	g.Load(g.Param("cols"), w.cols)
	g.Load(g.Param("rowStep"), w.rowStep)
	g.Load(g.Param("colStep"), w.colStep)
	g.SHLQ(U8(2), w.rowStep)
	g.SHLQ(U8(2), w.colStep)
	return w
}

// window emits a kernel with one accumulator per vector, which starts as the
// first pixel.
func window(g *vec.Gen, name, doc, params, scalars string, block int, body func(w *win)) {
	g.Begin(name, "func(y, x []float32, rows, cols, rowStep, colStep int"+params+")", name+g.Suffix+" "+doc)
	if scalars != "" {
		g.Scalar(scalars)
	}
	w := newWin(g)
	g.Stream("y")
	n := g.Load(g.Param("y").Len(), g.GP64())
	emit := func(vectors int) func() {
		return func() {
			w.vectors, w.index = vectors, g.Index()
			w.acc = nil
			first := g.GP64()
			g.LEAQ(Mem{Base: w.base, Index: w.index, Scale: 4}, first)
			for v := range vectors {
				w.acc = append(w.acc, g.LoadAt(Mem{Base: first, Disp: 4 * v * g.Lanes}))
			}
			body(w)
			for v := range vectors {
				g.OutAt("y", v, w.acc[v])
			}
		}
	}
	g.Blocks(n, block, emit(block), emit(1))
	g.End()
}

// maxIndex handles whole vectors of channels only.
func maxIndex(g *vec.Gen) {
	g.Begin("maxIndex", "func(y []float32, idx []uint8, x []float32, rows, cols, rowStep, colStep, tap, tapRow int)",
		"maxIndex"+g.Suffix+" finds the largest of a window per channel and its position, for whole vectors of channels.")
	w := newWin(g)
	w.vectors = 1
	g.Stream("y")
	idx := g.Load(g.Param("idx").Base(), g.GP64())
	n := g.Load(g.Param("y").Len(), g.GP64())
	broadcast := func(name string) vec.Reg {
		t := g.Load(g.Param(name), g.GP64())
		return g.Broadcast(t.(reg.GPVirtual).As32())
	}
	next := g.GP64() // added to the position at the end of a row
	g.Load(g.Param("tapRow"), next)
	g.SUBQ(w.cols, next)
	step := g.Broadcast(next.As32())
	one := g.Reg(g.Bits(1))
	first := broadcast("tap")
	i := g.GP64()
	g.XORQ(i, i)
	g.Label("channels")
	g.SetIndex(i)
	w.index = i
	tap, best := g.New(), g.New()
	g.Move(tap, first)
	g.Move(best, first)
	acc := g.LoadAt(Mem{Base: w.base, Index: i, Scale: 4})
	w.walk(nil, func(int) {
		x := w.load(0)
		take := g.Both(g.Cmp(x, vec.NaN, x), g.Cmp(acc, vec.EQ, acc))
		take = g.Either(take, g.Cmp(x, vec.GT, acc))
		g.Move(acc, g.Select(take, x, acc))
		g.Move(best, g.Select(take, tap, best))
		g.VPADDD(one, tap, tap)
	}, func() { g.VPADDD(step, tap, tap) })
	g.OutAt("y", 0, acc)
	if g.Wide() {
		g.VPMOVDB(best, Mem{Base: idx, Index: i, Scale: 1})
	} else {
		hi := g.XMM()
		g.VEXTRACTI128(U8(1), best, hi)
		lo := g.XMM()
		g.VPACKUSDW(hi, best.AsX(), lo)
		g.VPACKUSWB(lo, lo, lo)
		g.VMOVQ(lo, Mem{Base: idx, Index: i, Scale: 1})
	}
	g.ADDQ(U32(g.Lanes), i)
	g.CMPQ(i, n)
	g.JL(LabelRef("channels"))
	g.End()
}

// maxScatter finds the largest of a window, then visits the window again to add
// the gradient where it was found.
func maxScatter(g *vec.Gen) {
	g.Begin("maxScatter", "func(dx, g, x []float32, rows, cols, rowStep, colStep int)",
		"maxScatter"+g.Suffix+" adds g per channel where x, and dx alike, has the largest of a window.")
	w := newWin(g)
	w.vectors = 1
	g.Stream("g")
	toDX := g.GP64() // from a pixel of x to that of dx, in bytes
	g.Load(g.Param("dx").Base(), toDX)
	g.SUBQ(w.base, toDX)
	n := g.Load(g.Param("g").Len(), g.GP64())
	one := g.Reg(g.Bits(1))
	g.Blocks(n, 1, nil, func() {
		w.index = g.Index()
		first := g.GP64()
		g.LEAQ(Mem{Base: w.base, Index: w.index, Scale: 4}, first)
		acc := g.LoadAt(Mem{Base: first})
		tap, best := g.Zero(), g.Zero()
		w.walk(nil, func(int) {
			x := w.load(0)
			take := g.Both(g.Cmp(x, vec.NaN, x), g.Cmp(acc, vec.EQ, acc))
			take = g.Either(take, g.Cmp(x, vec.GT, acc))
			g.Move(acc, g.Select(take, x, acc))
			g.Move(best, g.Select(take, tap, best))
			g.VPADDD(one, tap, tap)
		}, nil)
		u := g.In("g")
		g.Move(tap, g.Zero())
		w.walk(nil, func(int) {
			at := Mem{Base: w.at, Index: toDX, Scale: 1}
			dx := g.LoadAt(at)
			g.StoreAt(at, g.Select(g.EqualI(best, tap), g.Add(dx, u), dx))
			g.VPADDD(one, tap, tap)
		}, nil)
	})
	g.End()
}

// addWhere handles whole vectors of channels only.
func addWhere(g *vec.Gen) {
	g.Begin("addWhere", "func(dx, g []float32, idx []uint8, tap uint8)", "addWhere"+g.Suffix+" is dx += idx == tap ? g : 0, for whole vectors of channels.")
	g.Stream("dx")
	g.Stream("g")
	idx := g.Load(g.Param("idx").Base(), g.GP64())
	n := g.Load(g.Param("dx").Len(), g.GP64())
	t := g.GP32()
	g.Load(g.Param("tap"), t)
	tap := g.Broadcast(t)
	i := g.GP64()
	g.XORQ(i, i)
	g.Label("channels")
	g.SetIndex(i)
	p := g.New()
	g.VPMOVZXBD(Mem{Base: idx, Index: i, Scale: 1}, p)
	dx := g.In("dx")
	g.Out("dx", g.Select(g.EqualI(p, tap), g.Add(dx, g.In("g")), dx))
	g.ADDQ(U32(g.Lanes), i)
	g.CMPQ(i, n)
	g.JL(LabelRef("channels"))
	g.End()
}
