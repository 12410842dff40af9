// Command tile writes the assembly kernels of package tile for one
// instruction set: the .s file, the stubs, and the table of kernels.
//
//	go run ./tile -level avx2 -out avx2_amd64.s -stubs avx2_stubs_amd64.go -table avx2_table_amd64.go
package main

import (
	"flag"
	"fmt"
	"go/format"
	"log"
	"os"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/go-nncf/nncf/internal/kernel/_gen/asm"
)

// isa is what the generator must know about an instruction set.
type isa struct {
	name  string
	lanes int
	// maxMR is, by number of vectors, the most rows of a tile: MR·NV
	// accumulators, NV weights and one or two broadcasts fill the registers.
	maxMR [5]int
	// maxReuse is the same for kernels that keep three weights per vector;
	// with 16 registers they gain nothing.
	maxReuse [5]int
}

var isas = []isa{
	{name: "avx2", lanes: 8, maxMR: [5]int{0, 12, 6, 4}},
	{name: "avx512", lanes: 16, maxMR: [5]int{0, 24, 14, 9, 6}, maxReuse: [5]int{0, 24, 12, 7, 4}},
}

func main() {
	log.SetFlags(0)
	args := flag.NewFlagSet("tile", flag.ExitOnError)
	level := args.String("level", "", "instruction set: avx2 or avx512")
	table := args.String("table", "", "file for the table of kernels")
	flags := build.NewFlags(args)
	args.Parse(os.Args[1:])
	for _, s := range isas {
		if s.name != *level {
			continue
		}
		g := &generator{asm.New("tile", s.name, s.lanes), s}
		for nv, most := range s.maxMR {
			for mr := 1; mr <= most; mr++ {
				g.dot(mr, nv)
			}
		}
		for nv, most := range s.maxMR {
			for mr := 1; mr <= most; mr++ {
				g.outer(mr, nv)
			}
		}
		for nv, most := range s.maxReuse {
			for mr := 1; mr <= most; mr++ {
				g.reuse(mr, nv)
			}
		}
		g.copyRows()
		g.peak()
		if s.lanes == 8 {
			g.transpose()
		}
		src, err := format.Source([]byte(g.table()))
		if err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(*table, src, 0o666); err != nil {
			log.Fatal(err)
		}
		os.Exit(build.Main(flags.Config(), g.Context))
	}
	log.Fatalf("got level %q, want avx2 or avx512", *level)
}

type generator struct {
	*asm.Gen
	isa
}

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
		// A register for the mask would cost a row of the tile, so partial
		// vectors reload it: from memory into the register of the broadcast.
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
		d2 := d
		mask := g.Tail(arg(outerTail))
		_ = d2
		store(true, mask)
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

func (g *generator) kernel(family string, mr, nv int) string {
	return fmt.Sprintf("f32_%s_%dx%d_%s", family, mr, nv*g.Lanes, g.Name)
}

// table writes the kernels as a row of the table of variants.
func (g *generator) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "// Code generated by command: go run ./tile -level %s. DO NOT EDIT.\n\n", g.Name)
	fmt.Fprintf(&b, "//go:build amd64 && !noasm\n\npackage tile\n\n")
	field := func(family, typ string, rows [5]int) {
		if rows == [5]int{} {
			return
		}
		fmt.Fprintf(&b, "\t%s: [MaxNV + 1][]func(*%s){\n", family, typ)
		for nv, most := range rows {
			if most == 0 {
				continue
			}
			fmt.Fprintf(&b, "\t\t%d: {nil", nv)
			for mr := 1; mr <= most; mr++ {
				fmt.Fprintf(&b, ", %s", g.kernel(family, mr, nv))
			}
			fmt.Fprintf(&b, "},\n")
		}
		fmt.Fprintf(&b, "\t},\n")
	}
	feature, level := "cpu.FeaturesAVX2", "cpu.LevelAVX2"
	if g.Lanes == 16 {
		feature, level = "cpu.FeaturesAVX512", "cpu.LevelAVX512"
	}
	fmt.Fprintf(&b, "import \"github.com/go-nncf/nncf/internal/cpu\"\n\n")
	fmt.Fprintf(&b, "var %sSet = &Set{\n\tName: %q, Level: %s, Features: %s, Lanes: %d,\n", g.Name, g.Name, level, feature, g.Lanes)
	field("dot", "DotArgs", g.maxMR)
	field("reuse", "DotArgs", g.maxReuse)
	field("outer", "OuterArgs", g.maxMR)
	fmt.Fprintf(&b, "\tcopyRows: f32_copy_%s,\n", g.Name)
	fmt.Fprintf(&b, "\ttranspose: f32_transpose_8_avx2,\n")
	fmt.Fprintf(&b, "\tpeak: f32_peak_%s, peakMACs: %d,\n", g.Name, peakChains*g.Lanes)
	fmt.Fprintf(&b, "}\n")
	return b.String()
}
