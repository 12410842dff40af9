// Command depthwise writes the assembly kernels of package depthwise for one
// instruction set: the .s file, the stubs, and the table of kernels.
//
//	go run ./depthwise -level avx2 -out avx2_amd64.s -stubs avx2_stubs_amd64.go -table avx2_table_amd64.go
package main

import (
	"flag"
	"fmt"
	"go/format"
	"log"
	"os"
	"strings"

	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/go-nncf/nncf/internal/kernel/_gen/asm"
)

const (
	maxTW  = 8
	gradNV = 4
)

// rowShapes and gradWidths must match package depthwise.
var (
	rowShapes  = [][2]int{{1, 1}, {1, 2}, {1, 3}, {1, 5}, {2, 3}, {2, 5}}
	gradWidths = []int{1, 3, 5}
)

func main() {
	log.SetFlags(0)
	args := flag.NewFlagSet("depthwise", flag.ExitOnError)
	level := args.String("level", "", "instruction set: avx2 or avx512")
	table := args.String("table", "", "file for the table of kernels")
	flags := build.NewFlags(args)
	args.Parse(os.Args[1:])
	lanes := map[string]int{"avx2": 8, "avx512": 16}[*level]
	if lanes == 0 {
		log.Fatalf("got level %q, want avx2 or avx512", *level)
	}
	g := &generator{asm.New("depthwise", *level, lanes)}
	for _, s := range rowShapes {
		for tw := 1; tw <= maxTW; tw++ {
			g.row(s[0], s[1], tw)
		}
	}
	g.pixel()
	g.grad(3, 3, 1)
	for _, kw := range gradWidths {
		g.grad(1, kw, 1)
	}
	g.grad(1, 1, gradNV)
	src, err := format.Source([]byte(g.table()))
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(*table, src, 0o666); err != nil {
		log.Fatal(err)
	}
	os.Exit(build.Main(flags.Config(), g.Context))
}

type generator struct{ *asm.Gen }

// The fields of depthwise.RowArgs.
const (
	rowX = 8 * iota
	rowXS
	rowXRow
	rowRows
	rowW
	rowWVec
	rowY
	rowYS
	rowC
	rowCS
	rowVecs
	rowTail
	rowClip
	rowLo
	rowHi = rowLo + 4
)

func (g *generator) rowName(step, kw, tw int) string {
	return fmt.Sprintf("f32_row_k%ds%dt%d_%s", kw, step, tw, g.Name)
}

// vectors emits body for each whole vector and then for the tail. voff is the
// byte offset of the vector; w advances by wvec.
func (g *generator) vectors(vecs, tail, wvec Mem, voff, n, w reg.Register, body func(mask reg.Register)) {
	loop, rest, end := g.NewLabel("vector"), g.NewLabel("rest"), g.NewLabel("end")
	g.MOVQ(vecs, n)
	g.TESTQ(n, n)
	g.JEQ(LabelRef(rest))
	g.Label(loop)
	body(nil)
	g.ADDQ(U32(uint32(g.Bytes())), voff)
	g.ADDQ(wvec, w)
	g.DECQ(n)
	g.JNE(LabelRef(loop))
	g.Label(rest)
	g.CMPQ(tail, Imm(0))
	g.JEQ(LabelRef(end))
	body(g.Tail(tail))
	g.Label(end)
}

func (g *generator) load(m Mem, mask reg.Register, v reg.VecVirtual) {
	if mask == nil {
		g.VMOVUPS(m, v)
	} else {
		g.LoadMasked(m, mask, v)
	}
}

func (g *generator) store(v reg.VecVirtual, mask reg.Register, m Mem) {
	if mask == nil {
		g.VMOVUPS(v, m)
	} else {
		g.StoreMasked(v, mask, m)
	}
}

// clip emits the bounds of acc, if the argument at off asks for them.
func (g *generator) clip(off, lo, hi Mem, acc []reg.VecVirtual) {
	plain := g.NewLabel("plain")
	g.CMPQ(off, Imm(0))
	g.JEQ(LabelRef(plain))
	l, h := g.Vec(), g.Vec()
	g.VBROADCASTSS(lo, l)
	g.VBROADCASTSS(hi, h)
	for _, v := range acc { // the second source is returned for NaN
		g.VMAXPS(v, l, v)
		g.VMINPS(v, h, v)
	}
	g.Label(plain)
}

// row writes the kernel for tw pixels step apart and kw taps. One row of taps
// at a time is in registers; each input is loaded once per row.
func (g *generator) row(step, kw, tw int) {
	name := g.rowName(step, kw, tw)
	a := g.Begin(name, "RowArgs", fmt.Sprintf("%s is rowGeneric for %d taps, step %d, %d pixels and vectors of %d lanes.", name, kw, step, tw, g.Lanes))
	arg := func(off int) Mem { return Mem{Base: a, Disp: off} }
	voff, n, w, xs, xs3 := g.GP64(), g.GP64(), g.GP64(), g.GP64(), g.GP64()
	g.XORQ(voff, voff)
	g.MOVQ(arg(rowW), w)
	g.MOVQ(arg(rowXS), xs)
	g.LEAQ(Mem{Base: xs, Index: xs, Scale: 2}, xs3)
	p, bw, r, line, s := g.GP64(), g.GP64(), g.GP64(), g.GP64(), g.GP64()
	acc, wv, x := g.Vecs(tw), g.Vecs(kw), g.Vec()
	g.vectors(arg(rowVecs), arg(rowTail), arg(rowWVec), voff, n, w, func(mask reg.Register) {
		zero, start, rows := g.NewLabel("zero"), g.NewLabel("start"), g.NewLabel("rows")
		g.MOVQ(arg(rowC), p)
		g.TESTQ(p, p)
		g.JEQ(LabelRef(zero))
		g.ADDQ(voff, p)
		g.MOVQ(arg(rowCS), s)
		for t := range tw {
			g.load(Mem{Base: p}, mask, acc[t])
			if t < tw-1 {
				g.ADDQ(s, p)
			}
		}
		g.JMP(LabelRef(start))
		g.Label(zero)
		for _, v := range acc {
			g.VXORPS(v, v, v)
		}
		g.Label(start)
		g.MOVQ(arg(rowX), line)
		g.ADDQ(voff, line)
		g.MOVQ(w, bw)
		g.MOVQ(arg(rowRows), r)
		g.Label(rows)
		for k := range kw {
			g.VMOVUPS(Mem{Base: bw, Disp: k * g.Bytes()}, wv[k])
		}
		g.MOVQ(line, p)
		last := (tw-1)*step + kw - 1
		for i := 0; i <= last; i++ {
			at := Mem{Base: p}
			switch i % 4 {
			case 1, 2:
				at.Index, at.Scale = xs, uint8(i%4)
			case 3:
				at.Index, at.Scale = xs3, 1
			}
			used := false
			for k := range kw {
				if q := i - k; q >= 0 && q%step == 0 && q/step < tw {
					if !used {
						g.load(at, mask, x)
						used = true
					}
					g.VFMADD231PS(x, wv[k], acc[q/step])
				}
			}
			if i%4 == 3 && i < last {
				g.LEAQ(Mem{Base: p, Index: xs, Scale: 4}, p)
			}
		}
		g.ADDQ(arg(rowXRow), line)
		g.ADDQ(U32(uint32(kw*g.Bytes())), bw)
		g.DECQ(r)
		g.JNE(LabelRef(rows))
		g.clip(arg(rowClip), arg(rowLo), arg(rowHi), acc)
		g.MOVQ(arg(rowY), p)
		g.ADDQ(voff, p)
		g.MOVQ(arg(rowYS), s)
		for t := range tw {
			g.store(acc[t], mask, Mem{Base: p})
			if t < tw-1 {
				g.ADDQ(s, p)
			}
		}
	})
	g.VZEROUPPER()
	g.RET()
}

// The fields of depthwise.PixelArgs.
const (
	pixelX = 8 * iota
	pixelXRow
	pixelXCol
	pixelRows
	pixelCols
	pixelW
	pixelWRow
	pixelWVec
	pixelY
	pixelC
	pixelVecs
	pixelTail
	pixelClip
	pixelLo
	pixelHi = pixelLo + 4
)

// pixel writes the kernel for one pixel and any taps: four vectors at a time
// for independent sums, then one by one.
func (g *generator) pixel() {
	name := "f32_pixel_" + g.Name
	a := g.Begin(name, "PixelArgs", fmt.Sprintf("%s is pixelGeneric for vectors of %d lanes.", name, g.Lanes))
	arg := func(off int) Mem { return Mem{Base: a, Disp: off} }
	voff, n, w, wvec, wvec3 := g.GP64(), g.GP64(), g.GP64(), g.GP64(), g.GP64()
	g.XORQ(voff, voff)
	g.MOVQ(arg(pixelW), w)
	g.MOVQ(arg(pixelWVec), wvec)
	g.LEAQ(Mem{Base: wvec, Index: wvec, Scale: 2}, wvec3)
	p, bw, pw, r, c, line := g.GP64(), g.GP64(), g.GP64(), g.GP64(), g.GP64(), g.GP64()
	accs, x := g.Vecs(4), g.Vec()
	body := func(nv int, mask reg.Register) {
		acc := accs[:nv]
		vb := g.Bytes()
		zero, start, rows, cols := g.NewLabel("zero"), g.NewLabel("start"), g.NewLabel("rows"), g.NewLabel("cols")
		g.MOVQ(arg(pixelC), p)
		g.TESTQ(p, p)
		g.JEQ(LabelRef(zero))
		g.ADDQ(voff, p)
		for v := range acc {
			g.load(Mem{Base: p, Disp: v * vb}, mask, acc[v])
		}
		g.JMP(LabelRef(start))
		g.Label(zero)
		for _, v := range acc {
			g.VXORPS(v, v, v)
		}
		g.Label(start)
		g.MOVQ(arg(pixelX), line)
		g.ADDQ(voff, line)
		g.MOVQ(w, bw)
		g.MOVQ(arg(pixelRows), r)
		g.Label(rows)
		g.MOVQ(line, p)
		g.MOVQ(bw, pw)
		g.MOVQ(arg(pixelCols), c)
		g.Label(cols)
		for v := range acc {
			at := Mem{Base: pw}
			switch v {
			case 1, 2:
				at.Index, at.Scale = wvec, uint8(v)
			case 3:
				at.Index, at.Scale = wvec3, 1
			}
			g.load(Mem{Base: p, Disp: v * vb}, mask, x)
			g.VFMADD231PS(at, x, acc[v])
		}
		g.ADDQ(arg(pixelXCol), p)
		g.ADDQ(U32(uint32(vb)), pw)
		g.DECQ(c)
		g.JNE(LabelRef(cols))
		g.ADDQ(arg(pixelXRow), line)
		g.ADDQ(arg(pixelWRow), bw)
		g.DECQ(r)
		g.JNE(LabelRef(rows))
		g.clip(arg(pixelClip), arg(pixelLo), arg(pixelHi), acc)
		g.MOVQ(arg(pixelY), p)
		g.ADDQ(voff, p)
		for v := range acc {
			g.store(acc[v], mask, Mem{Base: p, Disp: v * vb})
		}
	}
	four, one, single, rest, end := g.NewLabel("four"), g.NewLabel("one"), g.NewLabel("single"), g.NewLabel("rest"), g.NewLabel("end")
	g.MOVQ(arg(pixelVecs), n)
	g.SUBQ(Imm(4), n)
	g.JLT(LabelRef(one))
	g.Label(four)
	body(4, nil)
	g.ADDQ(U32(uint32(4*g.Bytes())), voff)
	g.LEAQ(Mem{Base: w, Index: wvec, Scale: 4}, w)
	g.SUBQ(Imm(4), n)
	g.JGE(LabelRef(four))
	g.Label(one)
	g.ADDQ(Imm(4), n)
	g.JEQ(LabelRef(rest))
	g.Label(single)
	body(1, nil)
	g.ADDQ(U32(uint32(g.Bytes())), voff)
	g.ADDQ(wvec, w)
	g.DECQ(n)
	g.JNE(LabelRef(single))
	g.Label(rest)
	g.CMPQ(arg(pixelTail), Imm(0))
	g.JEQ(LabelRef(end))
	body(1, g.Tail(arg(pixelTail)))
	g.Label(end)
	g.VZEROUPPER()
	g.RET()
}

// The fields of depthwise.GradArgs.
const (
	gradX = 8 * iota
	gradXS
	gradXRow
	gradTapRow
	gradTapX
	gradY
	gradYS
	gradYRow
	gradP
	gradR
	gradD
	gradDVec
	gradTail
)

func (g *generator) gradName(kh, kw, nv int) string {
	if nv > 1 {
		return fmt.Sprintf("f32_grad_%dx%dv%d_%s", kh, kw, nv, g.Name)
	}
	return fmt.Sprintf("f32_grad_%dx%d_%s", kh, kw, g.Name)
}

// grad writes the kernel that sums kh × kw taps of nv vectors in registers.
func (g *generator) grad(kh, kw, nv int) {
	name := g.gradName(kh, kw, nv)
	a := g.Begin(name, "GradArgs", fmt.Sprintf("%s is gradGeneric for %d×%d taps and %d vectors of %d lanes.", name, kh, kw, nv, g.Lanes))
	arg := func(off int) Mem { return Mem{Base: a, Disp: off} }
	vb := g.Bytes()
	x, y, xs, ys, p, r := g.GP64(), g.GP64(), g.GP64(), g.GP64(), g.GP64(), g.GP64()

	// addresses of the taps, relative to x
	tap := make([]Mem, kh*kw)
	col := g.GP64()
	if kw > 1 {
		g.MOVQ(arg(gradTapX), col)
	}
	switch {
	case kh == 3 && kw == 3:
		row, row1, row2, two1 := g.GP64(), g.GP64(), g.GP64(), g.GP64()
		g.MOVQ(arg(gradTapRow), row)
		g.LEAQ(Mem{Base: row, Index: col, Scale: 1}, row1)
		g.LEAQ(Mem{Base: row, Index: col, Scale: 2}, row2)
		g.LEAQ(Mem{Base: col, Index: row, Scale: 2}, two1)
		tap = []Mem{
			{Base: x}, {Base: x, Index: col, Scale: 1}, {Base: x, Index: col, Scale: 2},
			{Base: x, Index: row, Scale: 1}, {Base: x, Index: row1, Scale: 1}, {Base: x, Index: row2, Scale: 1},
			{Base: x, Index: row, Scale: 2}, {Base: x, Index: two1, Scale: 1}, {Base: x, Index: row1, Scale: 2},
		}
	case kh == 1:
		for k := range tap {
			switch k {
			case 0:
				tap[k] = Mem{Base: x}
			case 1, 2, 4:
				tap[k] = Mem{Base: x, Index: col, Scale: uint8(k)}
			case 3:
				col3 := g.GP64()
				g.LEAQ(Mem{Base: col, Index: col, Scale: 2}, col3)
				tap[k] = Mem{Base: x, Index: col3, Scale: 1}
			}
		}
	default:
		log.Fatalf("no grad kernel for %d×%d taps", kh, kw)
	}

	acc, yv, xv := g.Vecs(kh*kw*nv), g.Vec(), g.Vec()
	body := func(mask reg.Register) {
		last := func(v int) reg.Register {
			if v == nv-1 {
				return mask
			}
			return nil
		}
		rows, cols := g.NewLabel("rows"), g.NewLabel("cols")
		d := g.GP64()
		each := func(f func(v int, m Mem, acc reg.VecVirtual)) {
			g.MOVQ(arg(gradD), d)
			for v := range nv {
				for k := range tap {
					f(v, Mem{Base: d, Disp: k * vb}, acc[v*len(tap)+k])
				}
				if v < nv-1 {
					g.ADDQ(arg(gradDVec), d)
				}
			}
		}
		each(func(v int, m Mem, acc reg.VecVirtual) { g.load(m, last(v), acc) })
		g.MOVQ(arg(gradX), x)
		g.MOVQ(arg(gradY), y)
		g.MOVQ(arg(gradXS), xs)
		g.MOVQ(arg(gradYS), ys)
		g.MOVQ(arg(gradR), r)
		g.Label(rows)
		g.MOVQ(arg(gradP), p)
		g.Align()
		g.Label(cols)
		for v := range nv {
			g.load(Mem{Base: y, Disp: v * vb}, last(v), yv)
			for k, m := range tap {
				m.Disp = v * vb
				if last(v) == nil {
					g.VFMADD231PS(m, yv, acc[v*len(tap)+k])
				} else {
					g.LoadMasked(m, mask, xv)
					g.VFMADD231PS(xv, yv, acc[v*len(tap)+k])
				}
			}
		}
		g.ADDQ(xs, x)
		g.ADDQ(ys, y)
		g.DECQ(p)
		g.JNE(LabelRef(cols))
		g.ADDQ(arg(gradXRow), x)
		g.ADDQ(arg(gradYRow), y)
		g.DECQ(r)
		g.JNE(LabelRef(rows))
		each(func(v int, m Mem, acc reg.VecVirtual) { g.store(acc, last(v), m) })
	}
	partial, end := g.NewLabel("partial"), g.NewLabel("end")
	g.CMPQ(arg(gradTail), Imm(uint64(g.Lanes)))
	g.JNE(LabelRef(partial))
	body(nil)
	g.JMP(LabelRef(end))
	g.Label(partial)
	body(g.Tail(arg(gradTail)))
	g.Label(end)
	g.VZEROUPPER()
	g.RET()
}

// table writes the kernels as a row of the table of variants.
func (g *generator) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "// Code generated by command: go run ./depthwise -level %s. DO NOT EDIT.\n\n", g.Name)
	fmt.Fprintf(&b, "//go:build amd64 && !noasm\n\npackage depthwise\n\nimport \"github.com/go-nncf/nncf/internal/cpu\"\n\n")
	feature, level := "cpu.FeaturesAVX2", "cpu.LevelAVX2"
	if g.Lanes == 16 {
		feature, level = "cpu.FeaturesAVX512", "cpu.LevelAVX512"
	}
	fmt.Fprintf(&b, "var %sSet = &Set{\n\tName: %q, Level: %s, Features: %s, Lanes: %d,\n", g.Name, g.Name, level, feature, g.Lanes)
	fmt.Fprintf(&b, "\trow: [maxStep + 1][maxKW + 1][maxTW + 1]func(*RowArgs){\n")
	for step := 1; step <= 2; step++ {
		fmt.Fprintf(&b, "\t\t%d: {\n", step)
		for _, s := range rowShapes {
			if s[0] != step {
				continue
			}
			fmt.Fprintf(&b, "\t\t\t%d: {nil", s[1])
			for tw := 1; tw <= maxTW; tw++ {
				fmt.Fprintf(&b, ", %s", g.rowName(step, s[1], tw))
			}
			fmt.Fprintf(&b, "},\n")
		}
		fmt.Fprintf(&b, "\t\t},\n")
	}
	fmt.Fprintf(&b, "\t},\n\tpixel: f32_pixel_%s,\n\tgrad3: %s,\n\tgradN: %s,\n\tgrad: [maxKW + 1]func(*GradArgs){", g.Name, g.gradName(3, 3, 1), g.gradName(1, 1, gradNV))
	for i, kw := range gradWidths {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d: %s", kw, g.gradName(1, kw, 1))
	}
	fmt.Fprintf(&b, "},\n}\n")
	return b.String()
}
