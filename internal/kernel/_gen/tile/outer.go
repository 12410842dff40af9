package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The fields of tile.OuterArgs.
const (
	outerX = 8 * iota
	outerXS
	outerXRow
	outerXImg
	outerY
	outerYS
	outerYRow
	outerYImg
	outerP
	outerR
	outerB
	outerD
	outerDS
	outerTail
	outerZero
)

// outer writes the kernel for a tile of mr rows and nv vectors.
func (g *generator) outer(mr, nv int) {
	a := g.Begin(g.kernel("outer", mr, nv), "OuterArgs", fmt.Sprintf("%s is outerGeneric for %d rows and %d vectors of %d lanes.", g.kernel("outer", mr, nv), mr, nv, g.Lanes))
	arg := func(off int) Mem { return Mem{Base: a, Disp: off} }
	acc := g.Vecs(mr * nv)
	vb := g.Bytes()

	// The rows below are those of the next tile, as a rule, and may be far away.
	next, rowBytes := g.GP64(), g.GP64()
	g.MOVQ(arg(outerDS), rowBytes)
	g.IMUL3Q(U32(uint32(mr)), rowBytes, next)
	g.ADDQ(arg(outerD), next)
	for m := range mr {
		for off := 0; off < nv*vb; off += 64 {
			g.PREFETCHT0(Mem{Base: next, Disp: off})
		}
		if m < mr-1 {
			g.ADDQ(rowBytes, next)
		}
	}

	load, start := g.NewLabel("load"), g.NewLabel("start")
	flag := g.GP64()
	g.MOVQ(arg(outerZero), flag)
	g.TESTQ(flag, flag)
	g.JEQ(LabelRef(load))
	for _, v := range acc {
		g.VXORPS(v, v, v)
	}
	g.JMP(LabelRef(start))
	g.Label(load)
	{
		mask := g.Tail(arg(outerTail))
		d, ds := g.GP64(), g.GP64()
		g.MOVQ(arg(outerD), d)
		g.MOVQ(arg(outerDS), ds)
		for m := range mr {
			for v := range nv {
				at := Mem{Base: d, Disp: v * vb}
				if v == nv-1 {
					g.LoadMasked(at, mask, acc[m*nv+v])
				} else {
					g.VMOVUPS(at, acc[m*nv+v])
				}
			}
			if m < mr-1 {
				g.ADDQ(ds, d)
			}
		}
	}
	g.Label(start)

	x, y, xs, ys, p, r, b := g.GP64(), g.GP64(), g.GP64(), g.GP64(), g.GP64(), g.GP64(), g.GP64()
	g.MOVQ(arg(outerX), x)
	g.MOVQ(arg(outerY), y)
	g.MOVQ(arg(outerXS), xs)
	g.MOVQ(arg(outerYS), ys)
	g.MOVQ(arg(outerB), b)
	yv := g.Vecs(nv)
	bc := g.Vecs(min(2, g.Registers()-len(acc)-nv))
	loop := func(masked bool, mask reg.Register) {
		img, row, pixel := g.NewLabel("image"), g.NewLabel("row"), g.NewLabel("pixel")
		g.Label(img)
		g.MOVQ(arg(outerR), r)
		g.Label(row)
		g.MOVQ(arg(outerP), p)
		g.Align()
		g.Label(pixel)
		for v := range nv {
			at := Mem{Base: y, Disp: v * vb}
			if masked && v == nv-1 {
				g.LoadMasked(at, mask, yv[v])
			} else {
				g.VMOVUPS(at, yv[v])
			}
		}
		for m := range mr {
			at := Mem{Base: x, Disp: 4 * m}
			if nv == 1 && g.Lanes == 16 {
				g.VFMADD231PS_BCST(at, yv[0], acc[m])
				continue
			}
			t := bc[m%len(bc)]
			g.VBROADCASTSS(at, t)
			for v := range nv {
				g.VFMADD231PS(t, yv[v], acc[m*nv+v])
			}
		}
		g.ADDQ(xs, x)
		g.ADDQ(ys, y)
		g.DECQ(p)
		g.JNE(LabelRef(pixel))
		g.ADDQ(arg(outerXRow), x)
		g.ADDQ(arg(outerYRow), y)
		g.DECQ(r)
		g.JNE(LabelRef(row))
		g.ADDQ(arg(outerXImg), x)
		g.ADDQ(arg(outerYImg), y)
		g.DECQ(b)
		g.JNE(LabelRef(img))
	}
	d, ds := g.GP64(), g.GP64()
	store := func(masked bool, mask reg.Register) {
		for m := range mr {
			for v := range nv {
				at := Mem{Base: d, Disp: v * vb}
				if masked && v == nv-1 {
					g.StoreMasked(acc[m*nv+v], mask, at)
				} else {
					g.VMOVUPS(acc[m*nv+v], at)
				}
			}
			if m < mr-1 {
				g.ADDQ(ds, d)
			}
		}
	}
	if g.Lanes == 16 {
		mask := g.Tail(arg(outerTail))
		loop(true, mask)
		g.MOVQ(arg(outerD), d)
		g.MOVQ(arg(outerDS), ds)
		store(true, mask)
	} else {
		// A register for the mask would cost a row of the tile, so partialLoop
		// reads it again for each pixel, into the register of the broadcast.
		partial, sum, end := g.NewLabel("partial"), g.NewLabel("sum"), g.NewLabel("end")
		g.CMPQ(arg(outerTail), Imm(uint64(g.Lanes)))
		g.JNE(LabelRef(partial))
		loop(false, nil)
		g.JMP(LabelRef(sum))
		g.Label(partial)
		g.partialLoop(mr, nv, arg, acc, yv, bc, x, y, xs, ys, p, r, b)
		g.Label(sum)
		g.MOVQ(arg(outerD), d)
		g.MOVQ(arg(outerDS), ds)
		g.CMPQ(arg(outerTail), Imm(uint64(g.Lanes)))
		masked := g.NewLabel("masked")
		g.JNE(LabelRef(masked))
		store(false, nil)
		g.JMP(LabelRef(end))
		g.Label(masked)
		store(true, g.Tail(arg(outerTail)))
		g.Label(end)
	}
	g.VZEROUPPER()
	g.RET()
}

// partialLoop is the loop of an AVX2 outer kernel whose last vector has unused
// lanes. The mask is read again for each pixel.
func (g *generator) partialLoop(mr, nv int, arg func(int) Mem, acc, yv, bc []reg.VecVirtual, x, y, xs, ys, p, r, b reg.Register) {
	vb := g.Bytes()
	img, row, pixel := g.NewLabel("image"), g.NewLabel("row"), g.NewLabel("pixel")
	at, left := g.GP64(), g.GP64()
	g.LEAQ(g.Masks(), at)
	g.MOVQ(U32(8), left)
	g.SUBQ(arg(outerTail), left)
	g.LEAQ(Mem{Base: at, Index: left, Scale: 4}, at)
	g.Label(img)
	g.MOVQ(arg(outerR), r)
	g.Label(row)
	g.MOVQ(arg(outerP), p)
	g.Label(pixel)
	for v := range nv - 1 {
		g.VMOVUPS(Mem{Base: y, Disp: v * vb}, yv[v])
	}
	g.VMOVUPS(Mem{Base: at}, bc[0])
	g.VMASKMOVPS(Mem{Base: y, Disp: (nv - 1) * vb}, bc[0], yv[nv-1])
	for m := range mr {
		t := bc[m%len(bc)]
		g.VBROADCASTSS(Mem{Base: x, Disp: 4 * m}, t)
		for v := range nv {
			g.VFMADD231PS(t, yv[v], acc[m*nv+v])
		}
	}
	g.ADDQ(xs, x)
	g.ADDQ(ys, y)
	g.DECQ(p)
	g.JNE(LabelRef(pixel))
	g.ADDQ(arg(outerXRow), x)
	g.ADDQ(arg(outerYRow), y)
	g.DECQ(r)
	g.JNE(LabelRef(row))
	g.ADDQ(arg(outerXImg), x)
	g.ADDQ(arg(outerYImg), y)
	g.DECQ(b)
	g.JNE(LabelRef(img))
}
