package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The fields of tile.CopyArgs.
const (
	copySrc = 8 * iota
	copySS
	copyDst
	copyDS
	copyN
	copyVecs
)

// copyRows writes the kernel that copies rows of a few vectors.
func (g *generator) copyRows() {
	name := "f32_copy_" + g.Name
	a := g.Begin(name, "CopyArgs", name+" is copyGeneric for vectors of "+fmt.Sprint(g.Lanes)+" lanes.")
	arg := func(off int) Mem { return Mem{Base: a, Disp: off} }
	src, ss, dst, ds, n, vecs := g.GP64(), g.GP64(), g.GP64(), g.GP64(), g.GP64(), g.GP64()
	g.MOVQ(arg(copySrc), src)
	g.MOVQ(arg(copySS), ss)
	g.MOVQ(arg(copyDst), dst)
	g.MOVQ(arg(copyDS), ds)
	g.MOVQ(arg(copyN), n)
	g.MOVQ(arg(copyVecs), vecs)
	s, d, k := g.GP64(), g.GP64(), g.GP64()
	v := g.Vecs(4)
	row, four, rest, single, next := g.NewLabel("row"), g.NewLabel("four"), g.NewLabel("rest"), g.NewLabel("single"), g.NewLabel("next")
	g.Label(row)
	g.MOVQ(src, s)
	g.MOVQ(dst, d)
	g.MOVQ(vecs, k)
	g.SUBQ(Imm(4), k)
	g.JLT(LabelRef(rest))
	g.Label(four)
	for i := range v {
		g.VMOVUPS(Mem{Base: s, Disp: i * g.Bytes()}, v[i])
	}
	for i := range v {
		g.VMOVUPS(v[i], Mem{Base: d, Disp: i * g.Bytes()})
	}
	g.ADDQ(U32(uint32(4*g.Bytes())), s)
	g.ADDQ(U32(uint32(4*g.Bytes())), d)
	g.SUBQ(Imm(4), k)
	g.JGE(LabelRef(four))
	g.Label(rest)
	g.ADDQ(Imm(4), k)
	g.JEQ(LabelRef(next))
	g.Label(single)
	g.VMOVUPS(Mem{Base: s}, v[0])
	g.VMOVUPS(v[0], Mem{Base: d})
	g.ADDQ(Imm(uint64(g.Bytes())), s)
	g.ADDQ(Imm(uint64(g.Bytes())), d)
	g.DECQ(k)
	g.JNE(LabelRef(single))
	g.Label(next)
	g.ADDQ(ss, src)
	g.ADDQ(ds, dst)
	g.DECQ(n)
	g.JNE(LabelRef(row))
	g.VZEROUPPER()
	g.RET()
}

// The fields of tile.TransposeArgs.
const (
	transposeSrc = 8 * iota
	transposeSS
	transposeDst
	transposeDS
	transposeN
)

// transpose writes the kernel that turns eight rows of a matrix into columns,
// eight columns at a time.
func (g *generator) transpose() {
	name := "f32_transpose_8_" + g.Name
	a := g.Begin(name, "TransposeArgs", name+" is transposeGeneric.")
	arg := func(off int) Mem { return Mem{Base: a, Disp: off} }
	src, dst, n := g.GP64(), g.GP64(), g.GP64()
	g.MOVQ(arg(transposeSrc), src)
	g.MOVQ(arg(transposeDst), dst)
	g.MOVQ(arg(transposeN), n)
	row := func(base, s, s3, s5, s7 reg.Register, r int) Mem {
		switch r {
		case 0:
			return Mem{Base: base}
		case 3:
			return Mem{Base: base, Index: s3, Scale: 1}
		case 5:
			return Mem{Base: base, Index: s5, Scale: 1}
		case 6:
			return Mem{Base: base, Index: s3, Scale: 2}
		case 7:
			return Mem{Base: base, Index: s7, Scale: 1}
		}
		return Mem{Base: base, Index: s, Scale: uint8(r)}
	}
	strides := func(m Mem) [4]reg.Register {
		s, s3, s5, s7 := g.GP64(), g.GP64(), g.GP64(), g.GP64()
		g.MOVQ(m, s)
		g.LEAQ(Mem{Base: s, Index: s, Scale: 2}, s3)
		g.LEAQ(Mem{Base: s, Index: s, Scale: 4}, s5)
		g.LEAQ(Mem{Base: s3, Index: s, Scale: 4}, s7)
		return [4]reg.Register{s, s3, s5, s7}
	}
	ss, ds := strides(arg(transposeSS)), strides(arg(transposeDS))
	loop := g.NewLabel("loop")
	g.Label(loop)
	in, mid, out := g.Vecs(8), g.Vecs(8), g.Vecs(8)
	for r := range 8 {
		g.VMOVUPS(row(src, ss[0], ss[1], ss[2], ss[3], r), in[r])
	}
	// pairs of rows, then fours, within each half; then the halves
	for r := 0; r < 8; r += 2 {
		g.VUNPCKLPS(in[r+1], in[r], mid[r])
		g.VUNPCKHPS(in[r+1], in[r], mid[r+1])
	}
	four := g.Vecs(8)
	for r := 0; r < 8; r += 4 {
		g.VSHUFPS(Imm(0x44), mid[r+2], mid[r], four[r])
		g.VSHUFPS(Imm(0xee), mid[r+2], mid[r], four[r+1])
		g.VSHUFPS(Imm(0x44), mid[r+3], mid[r+1], four[r+2])
		g.VSHUFPS(Imm(0xee), mid[r+3], mid[r+1], four[r+3])
	}
	for r := range 4 {
		g.VPERM2F128(Imm(0x20), four[r+4], four[r], out[r])
		g.VPERM2F128(Imm(0x31), four[r+4], four[r], out[r+4])
	}
	for r := range 8 {
		g.VMOVUPS(out[r], row(dst, ds[0], ds[1], ds[2], ds[3], r))
	}
	g.ADDQ(Imm(32), src)
	g.LEAQ(Mem{Base: dst, Index: ds[0], Scale: 8}, dst)
	g.SUBQ(Imm(8), n)
	g.JNE(LabelRef(loop))
	g.VZEROUPPER()
	g.RET()
}

// peakChains is the number of independent sums of the peak probe: enough for
// a latency of five cycles on two units.
const peakChains = 12

// peak writes a loop of nothing but multiply-adds on registers.
func (g *generator) peak() {
	g.Function("f32_peak_" + g.Name)
	g.Attributes(attr.NOSPLIT)
	g.SignatureExpr("func(n int)")
	g.Doc(fmt.Sprintf("f32_peak_%s runs n times %d multiply-adds of %d lanes on registers.", g.Name, peakChains, g.Lanes))
	n := g.Load(g.Param("n"), g.GP64())
	acc, x := g.Vecs(peakChains), g.Vec()
	for _, v := range append(acc, x) {
		g.VXORPS(v, v, v)
	}
	loop := g.NewLabel("loop")
	g.Align()
	g.Label(loop)
	for _, v := range acc {
		g.VFMADD231PS(x, x, v)
	}
	g.DECQ(n)
	g.JNE(LabelRef(loop))
	g.VZEROUPPER()
	g.RET()
}
