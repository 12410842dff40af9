package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rows addresses up to 2·16 rows from two base pointers: row r of a half is
// base + r·stride, made from odd multiples of the stride and a scale.
type rows struct {
	half  int
	odd   map[int]reg.Register
	bases [2]reg.Register
}

func (g *generator) newRows(mr int, stride Mem, base0, base1 reg.Register) *rows {
	r := &rows{half: (mr + 1) / 2, odd: map[int]reg.Register{}, bases: [2]reg.Register{base0, base1}}
	for i := 1; i < r.half; i++ {
		o, _ := oddPart(i)
		if r.odd[o] != nil {
			continue
		}
		idx := g.GP64()
		r.odd[o] = idx
		switch o {
		case 1:
			g.MOVQ(stride, idx)
		case 3, 5, 9:
			g.LEAQ(Mem{Base: r.odd[1], Index: r.odd[1], Scale: uint8(o - 1)}, idx)
		case 7:
			g.LEAQ(Mem{Base: r.odd[3], Index: r.odd[1], Scale: 4}, idx)
		case 11:
			g.LEAQ(Mem{Base: r.odd[3], Index: r.odd[1], Scale: 8}, idx)
		case 13:
			g.LEAQ(Mem{Base: r.odd[5], Index: r.odd[1], Scale: 8}, idx)
		default:
			panic("rows: too many")
		}
	}
	return r
}

func oddPart(i int) (odd, scale int) {
	scale = 1
	for i%2 == 0 {
		i /= 2
		scale *= 2
	}
	return i, scale
}

// at returns the operand disp bytes into row m.
func (r *rows) at(m, disp int) Mem {
	b := r.bases[m/r.half]
	if m %= r.half; m == 0 {
		return Mem{Base: b, Disp: disp}
	}
	o, s := oddPart(m)
	return Mem{Base: b, Index: r.odd[o], Scale: uint8(s), Disp: disp}
}

// The fields of tile.DotArgs, all of eight bytes but the last two.
const (
	dotX0 = 8 * iota
	dotX1
	dotXS
	dotW
	dotSeg
	dotNSeg
	dotRun
	dotY0
	dotY1
	dotYS
	dotC0
	dotC1
	dotCS
	dotTail
	dotClip
	dotLo
	dotHi = dotLo + 4
)

// initial emits the start of a dot kernel: acc = c, or zero.
func (g *generator) initial(mr, nv int, arg func(int) Mem, acc []reg.VecVirtual) {
	vb := g.Bytes()
	zero, start := g.NewLabel("zero"), g.NewLabel("start")
	c := g.GP64()
	g.MOVQ(arg(dotC0), c)
	g.TESTQ(c, c)
	g.JEQ(LabelRef(zero))
	mask := g.Tail(arg(dotTail))
	c1 := g.GP64()
	g.MOVQ(arg(dotC1), c1)
	r := g.newRows(mr, arg(dotCS), c, c1)
	for m := range mr {
		for v := range nv {
			if v == nv-1 {
				g.LoadMasked(r.at(m, v*vb), mask, acc[m*nv+v])
			} else {
				g.VMOVUPS(r.at(m, v*vb), acc[m*nv+v])
			}
		}
	}
	g.JMP(LabelRef(start))
	g.Label(zero)
	for _, v := range acc {
		g.VXORPS(v, v, v)
	}
	g.Label(start)
}

// final emits the end of a dot kernel: clip, store and return.
func (g *generator) final(mr, nv int, arg func(int) Mem, acc []reg.VecVirtual) {
	vb := g.Bytes()
	plain := g.NewLabel("plain")
	clip := g.GP64()
	g.MOVQ(arg(dotClip), clip)
	g.TESTQ(clip, clip)
	g.JEQ(LabelRef(plain))
	lo, hi := g.Vec(), g.Vec()
	g.VBROADCASTSS(arg(dotLo), lo)
	g.VBROADCASTSS(arg(dotHi), hi)
	for _, v := range acc { // the second source is returned for NaN
		g.VMAXPS(v, lo, v)
		g.VMINPS(v, hi, v)
	}
	g.Label(plain)

	y0, y1 := g.GP64(), g.GP64()
	g.MOVQ(arg(dotY0), y0)
	g.MOVQ(arg(dotY1), y1)
	y := g.newRows(mr, arg(dotYS), y0, y1)
	g.store(mr, nv, arg(dotTail), func(m, v int, last bool, mask reg.Register) {
		if last {
			g.StoreMasked(acc[m*nv+v], mask, y.at(m, v*vb))
		} else {
			g.VMOVUPS(acc[m*nv+v], y.at(m, v*vb))
		}
	})
	g.VZEROUPPER()
	g.RET()
}

// segments emits the loops of a dot kernel. enter sets the pointers from the
// address of a segment; step emits the work of element u after the pointers,
// and next advances them.
func (g *generator) segments(arg func(int) Mem, unroll int, enter func(seg reg.Register), step, next func(u int)) {
	seg, nseg, n := g.GP64(), g.GP64(), g.GP64()
	g.MOVQ(arg(dotSeg), seg)
	g.MOVQ(arg(dotNSeg), nseg)
	segment, block, rest, single, done := g.NewLabel("segment"), g.NewLabel("block"), g.NewLabel("rest"), g.NewLabel("single"), g.NewLabel("done")
	g.Label(segment)
	enter(seg)
	g.MOVQ(arg(dotRun), n)
	g.SUBQ(Imm(uint64(unroll)), n)
	g.JLT(LabelRef(rest))
	g.Align()
	g.Label(block)
	for u := range unroll {
		step(u)
	}
	next(unroll)
	g.SUBQ(Imm(uint64(unroll)), n)
	g.JGE(LabelRef(block))
	g.Label(rest)
	g.ADDQ(Imm(uint64(unroll)), n)
	g.JEQ(LabelRef(done))
	g.Label(single)
	step(0)
	next(1)
	g.DECQ(n)
	g.JNE(LabelRef(single))
	g.Label(done)
	g.ADDQ(Imm(8), seg)
	g.DECQ(nseg)
	g.JNE(LabelRef(segment))
}

// dot writes the kernel for a tile of mr rows and nv vectors.
func (g *generator) dot(mr, nv int) {
	name := g.kernel("dot", mr, nv)
	a := g.Begin(name, "DotArgs", fmt.Sprintf("%s is dotGeneric for %d rows and %d vectors of %d lanes.", name, mr, nv, g.Lanes))
	arg := func(off int) Mem { return Mem{Base: a, Disp: off} }
	acc := g.Vecs(mr * nv)
	vb := g.Bytes()
	g.initial(mr, nv, arg, acc)

	x0, x1, w := g.GP64(), g.GP64(), g.GP64()
	g.MOVQ(arg(dotW), w)
	x := g.newRows(mr, arg(dotXS), x0, x1)
	wv := g.Vecs(nv)
	// two broadcasts in turn where registers allow
	bc := g.Vecs(min(2, g.Registers()-len(acc)-nv))
	enter := func(seg reg.Register) {
		g.MOVQ(Mem{Base: seg}, x0)
		if mr > 1 {
			g.MOVQ(x0, x1)
			g.ADDQ(arg(dotX1), x1)
		}
		g.ADDQ(arg(dotX0), x0)
	}
	step := func(u int) {
		for v := range nv {
			g.VMOVUPS(Mem{Base: w, Disp: (u*nv + v) * vb}, wv[v])
		}
		for m := range mr {
			if nv == 1 && g.Lanes == 16 {
				g.VFMADD231PS_BCST(x.at(m, 4*u), wv[0], acc[m])
				continue
			}
			b := bc[m%len(bc)]
			g.VBROADCASTSS(x.at(m, 4*u), b)
			for v := range nv {
				g.VFMADD231PS(b, wv[v], acc[m*nv+v])
			}
		}
	}
	next := func(u int) {
		g.ADDQ(Imm(uint64(4*u)), x0)
		if mr > 1 {
			g.ADDQ(Imm(uint64(4*u)), x1)
		}
		g.ADDQ(U32(uint32(u*nv*vb)), w)
	}
	g.segments(arg, 4, enter, step, next)
	g.final(mr, nv, arg, acc)
}

// reuse writes the kernel for three taps at distance XS: each x is broadcast
// once and multiplied by three weights.
func (g *generator) reuse(mr, nv int) {
	name := g.kernel("reuse", mr, nv)
	a := g.Begin(name, "DotArgs", fmt.Sprintf("%s is reuseGeneric for %d rows and %d vectors of %d lanes.", name, mr, nv, g.Lanes))
	arg := func(off int) Mem { return Mem{Base: a, Disp: off} }
	acc := g.Vecs(mr * nv)
	vb := g.Bytes()
	g.initial(mr, nv, arg, acc)

	x0, x1, w := g.GP64(), g.GP64(), g.GP64()
	g.MOVQ(arg(dotW), w)
	x := g.newRows(mr+2, arg(dotXS), x0, x1)
	wv := g.Vecs(3 * nv)
	bc := g.Vecs(min(2, g.Registers()-len(acc)-3*nv))
	enter := func(seg reg.Register) {
		g.MOVQ(Mem{Base: seg}, x0)
		g.ADDQ(arg(dotX0), x0)
		g.IMUL3Q(U32(uint32(x.half)), arg(dotXS), x1)
		g.ADDQ(x0, x1)
	}
	step := func(u int) {
		for i := range wv {
			g.VMOVUPS(Mem{Base: w, Disp: (u*3*nv + i) * vb}, wv[i])
		}
		for p := range mr + 2 {
			b := bc[p%len(bc)]
			g.VBROADCASTSS(x.at(p, 4*u), b)
			for j := range 3 {
				if m := p - j; m >= 0 && m < mr {
					for v := range nv {
						g.VFMADD231PS(b, wv[j*nv+v], acc[m*nv+v])
					}
				}
			}
		}
	}
	next := func(u int) {
		g.ADDQ(Imm(uint64(4*u)), x0)
		g.ADDQ(Imm(uint64(4*u)), x1)
		g.ADDQ(U32(uint32(u*3*nv*vb)), w)
	}
	g.segments(arg, 2, enter, step, next)
	g.final(mr, nv, arg, acc)
}

// store emits the stores of a tile. On AVX2, where masked stores are slow,
// full vectors have a path of their own.
func (g *generator) store(mr, nv int, tail Mem, put func(m, v int, last bool, mask reg.Register)) {
	all := func(masked bool, mask reg.Register) {
		for m := range mr {
			for v := range nv {
				put(m, v, masked && v == nv-1, mask)
			}
		}
	}
	if g.Lanes == 16 {
		all(true, g.Tail(tail))
		return
	}
	partial, end := g.NewLabel("partial"), g.NewLabel("end")
	g.CMPQ(tail, Imm(uint64(g.Lanes)))
	g.JNE(LabelRef(partial))
	all(false, nil)
	g.JMP(LabelRef(end))
	g.Label(partial)
	all(true, g.Tail(tail))
	g.Label(end)
}
