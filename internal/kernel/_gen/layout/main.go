// Command layout writes the assembly kernels of package layout.
package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/go-nncf/nncf/internal/kernel/_gen/vec"
)

func main() {
	vec.Main(func(g *vec.Gen) {
		g.Map(vec.Map{Name: "add", Doc: "is dst += src.", Signature: "func(dst, src []float32)", In: "src", Out: "dst",
			Body: func(g *vec.Gen) { g.Out("dst", g.Add(g.In("dst"), g.P("src"))) }})
		stream(g)
		if !g.Wide() {
			transpose(g)
		}
	})
}

// streamBlock is the number of floats per iteration: four cache lines.
const streamBlock = 64

func stream(g *vec.Gen) {
	g.Begin("stream", "func(dst, src []float32)",
		"stream"+g.Suffix+" copies past the caches: a multiple of 64 floats, at least one, to an address that is a multiple of 64.")
	g.Stream("dst")
	g.Stream("src")
	n := g.Load(g.Param("dst").Len(), g.GP64())
	i := g.GP64()
	g.XORQ(i, i)
	g.SetIndex(i)
	g.Label("lines")
	var r []vec.Reg
	for v := range streamBlock / g.Lanes {
		r = append(r, g.InAt("src", v))
	}
	for v := range r {
		g.StreamAt("dst", v, r[v])
	}
	g.ADDQ(U32(streamBlock), i)
	g.CMPQ(i, n)
	g.JL(LabelRef("lines"))
	g.SFENCE()
	g.End()
}

// transpose moves 8×8 blocks, down the rows first: they are contiguous in dst.
func transpose(g *vec.Gen) {
	g.Begin("transpose", "func(dst []float32, dstStride int, src []float32, srcStride, rowBlocks, colBlocks int)",
		"transposeAVX2 transposes blocks of 8 rows and 8 columns, at least one each way.")
	dst := g.Load(g.Param("dst").Base(), g.GP64())
	src := g.Load(g.Param("src").Base(), g.GP64())
	ds := g.Load(g.Param("dstStride"), g.GP64())
	ss := g.Load(g.Param("srcStride"), g.GP64())
	cols := g.Load(g.Param("colBlocks"), g.GP64())
	g.SHLQ(U8(2), ds)
	g.SHLQ(U8(2), ss)
	ds3, ss3 := g.GP64(), g.GP64()
	g.LEAQ(Mem{Base: ds, Index: ds, Scale: 2}, ds3)
	g.LEAQ(Mem{Base: ss, Index: ss, Scale: 2}, ss3)
	d, s, rows := g.GP64(), g.GP64(), g.GP64()
	d4, s4 := g.GP64(), g.GP64()
	g.Label("column")
	g.MOVQ(dst, d)
	g.MOVQ(src, s)
	g.Load(g.Param("rowBlocks"), rows)
	g.Label("row")
	g.LEAQ(Mem{Base: s, Index: ss, Scale: 4}, s4)
	g.LEAQ(Mem{Base: d, Index: ds, Scale: 4}, d4)
	at := func(base, stride, stride3 reg.Register, i int) Mem {
		switch i {
		case 1:
			return Mem{Base: base, Index: stride, Scale: 1}
		case 2:
			return Mem{Base: base, Index: stride, Scale: 2}
		case 3:
			return Mem{Base: base, Index: stride3, Scale: 1}
		}
		return Mem{Base: base}
	}
	for half := range 2 {
		// Lane halves hold rows i and i+4, so that no shuffle crosses them.
		var r [4]reg.VecVirtual
		for i := range r {
			x := g.XMM()
			g.VMOVUPS(at(s, ss, ss3, i).Offset(16*half), x)
			r[i] = g.YMM()
			g.VINSERTF128(U8(1), at(s4, ss, ss3, i).Offset(16*half), x.AsY(), r[i])
		}
		t := [4]reg.VecVirtual{g.YMM(), g.YMM(), g.YMM(), g.YMM()}
		g.VUNPCKLPS(r[1], r[0], t[0])
		g.VUNPCKHPS(r[1], r[0], t[1])
		g.VUNPCKLPS(r[3], r[2], t[2])
		g.VUNPCKHPS(r[3], r[2], t[3])
		base := d
		if half == 1 {
			base = d4
		}
		for i := range 4 {
			y := g.YMM()
			g.VSHUFPS(U8([]uint8{0x44, 0xee}[i%2]), t[2+i/2], t[i/2], y)
			g.VMOVUPS(y, at(base, ds, ds3, i))
		}
	}
	g.LEAQ(Mem{Base: s, Index: ss, Scale: 8}, s)
	g.ADDQ(U32(32), d)
	g.DECQ(rows)
	g.JNZ(LabelRef("row"))
	g.ADDQ(U32(32), src)
	g.LEAQ(Mem{Base: dst, Index: ds, Scale: 8}, dst)
	g.DECQ(cols)
	g.JNZ(LabelRef("column"))
	g.End()
}
