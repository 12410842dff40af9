// Command binary writes the assembly kernels of package binary.
package main

import (
	"go/token"
	"go/types"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/gotypes"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/go-nncf/nncf/internal/kernel/_gen/vec"
)

func main() { vec.Main(write) }

func write(g *vec.Gen) {
	g.Map(vec.Map{Name: "above", Doc: "is 1 above a threshold per channel, else 0.",
		Signature: "func(dst, x, at []float32)", In: "x", Out: "dst", Period: "at",
		Body: func(g *vec.Gen) {
			g.Out("dst", g.Keep(g.Cmp(g.In("x"), vec.GT, g.P("at")), g.Const(1)))
		}})
	g.Map(vec.Map{Name: "signs", Doc: "is 1 above 0, else -1.",
		Signature: "func(dst, x []float32)", In: "x", Out: "dst",
		Body: func(g *vec.Gen) {
			g.Out("dst", g.Select(g.Cmp(g.In("x"), vec.GT, g.Const(0)), g.Const(1), g.Const(-1)))
		}})
	g.ColumnsKernel(vec.Columns{Name: "backward", Doc: "is the gradient of activations; it adds to the two sums.",
		Signature: "func(dx, du, x, at []float32, scale, inverse float32, scaleSums, thresholdSums []float32)",
		In:        "x du", Out: "dx", Period: "at", Scalars: "scale inverse", Acc: "scaleSums thresholdSums", Block: 2,
		Body: func(g *vec.Gen, acc []vec.Reg) {
			z, d, s, r := g.In("x"), g.In("du"), g.S("scale"), g.S("inverse")
			below := g.Cmp(z, vec.LE, s)
			u := g.Keep(g.Cmp(z, vec.GT, g.P("at")), g.Const(1))
			inside := g.Keep(below, g.Mul(d, g.Sub(u, g.Mul(z, r))))
			g.AddTo(acc[0], g.Select(g.Cmp(z, vec.GT, s), d, inside))
			g.AddTo(acc[1], g.Keep(g.Both(g.Cmp(z, vec.GT, g.Const(0)), g.Cmp(z, vec.LT, s)), d))
			g.Out("dx", g.Keep(g.Both(g.Cmp(z, vec.GE, g.Const(0)), below), g.Mul(d, r)))
		}})
	pack(g)
	finish(g)
	if g.Wide() {
		countWords(g)
		return
	}
	expand(g)
	countNibbles(g)
}

// pack compares eight (AVX2) or sixteen channels at once; their bits leave by way of
// a general register.
func pack(g *vec.Gen) {
	g.Begin("pack", "func(dst []byte, x, at []float32, pitch int)",
		"pack"+g.Suffix+" packs the bits of pixels with a multiple of 8 channels.")
	dst := g.Load(g.Param("dst").Base(), g.GP64())
	x := g.Load(g.Param("x").Base(), g.GP64())
	at := g.Load(g.Param("at").Base(), g.GP64())
	n := g.Load(g.Param("dst").Len(), g.GP64())
	pitch := g.Load(g.Param("pitch"), g.GP64())
	end := g.GP64()
	g.LEAQ(Mem{Base: dst, Index: n, Scale: 1}, end)
	pixel, done := g.NewLabel("pixel"), g.NewLabel("done")
	i, bits := g.GP64(), g.GP64()
	g.Label(pixel)
	g.CMPQ(dst, end)
	g.JGE(LabelRef(done))
	g.XORQ(i, i) // bytes of the pixel
	single, next := g.NewLabel("single"), g.NewLabel("next")
	step := func(bytes int) {
		// Index·8 floats of four bytes: twice the largest scale.
		i4 := g.GP64()
		g.MOVQ(i, i4)
		g.SHLQ(U8(5), i4)
		if g.Wide() {
			for k := 0; k < bytes; k += 2 {
				v, m := g.ZMM(), g.K()
				g.VMOVUPS(Mem{Base: x, Index: i4, Scale: 1, Disp: 32 * k}, v)
				g.VCMPPS(U8(vec.GT), Mem{Base: at, Index: i4, Scale: 1, Disp: 32 * k}, v, m)
				g.KMOVW(m, bits.As32())
				g.MOVW(bits.As16(), Mem{Base: dst, Index: i, Scale: 1, Disp: k})
			}
			return
		}
		for k := range bytes {
			v := g.YMM()
			g.VMOVUPS(Mem{Base: x, Index: i4, Scale: 1, Disp: 32 * k}, v)
			g.VCMPPS(U8(vec.GT), Mem{Base: at, Index: i4, Scale: 1, Disp: 32 * k}, v, v)
			g.VMOVMSKPS(v, bits.As32())
			g.MOVB(bits.As8(), Mem{Base: dst, Index: i, Scale: 1, Disp: k})
		}
	}
	several := g.NewLabel("several")
	left := g.GP64()
	g.MOVQ(pitch, left)
	g.Label(several)
	g.CMPQ(left, U32(4))
	g.JL(LabelRef(single))
	step(4)
	g.ADDQ(U32(4), i)
	g.SUBQ(U32(4), left)
	g.JMP(LabelRef(several))
	g.Label(single)
	g.TESTQ(left, left)
	g.JZ(LabelRef(next))
	{
		i4, v := g.GP64(), g.YMM()
		g.MOVQ(i, i4)
		g.SHLQ(U8(5), i4)
		g.VMOVUPS(Mem{Base: x, Index: i4, Scale: 1}, v)
		g.VCMPPS(U8(vec.GT), Mem{Base: at, Index: i4, Scale: 1}, v, v)
		g.VMOVMSKPS(v, bits.As32())
		g.MOVB(bits.As8(), Mem{Base: dst, Index: i, Scale: 1})
	}
	g.INCQ(i)
	g.DECQ(left)
	g.JMP(LabelRef(single))
	g.Label(next)
	g.ADDQ(pitch, dst)
	p := g.GP64()
	g.MOVQ(pitch, p)
	g.SHLQ(U8(5), p)
	g.ADDQ(p, x)
	g.JMP(LabelRef(pixel))
	g.Label(done)
	g.End()
}

// finish multiplies sums of 16 bits by factors, eight channels at once.
func finish(g *vec.Gen) {
	g.Begin("finish", "func(y []float32, acc []int16, f []float32, pitch int)",
		"finish"+g.Suffix+" is y = acc·f for pixels with a multiple of 8 channels.")
	y := g.Load(g.Param("y").Base(), g.GP64())
	n := g.Load(g.Param("y").Len(), g.GP64())
	acc := g.Load(g.Param("acc").Base(), g.GP64())
	f := g.Load(g.Param("f").Base(), g.GP64())
	oc := g.Load(g.Param("f").Len(), g.GP64())
	pitch := g.Load(g.Param("pitch"), g.GP64())
	end := g.GP64()
	g.LEAQ(Mem{Base: y, Index: n, Scale: 4}, end)
	pixel, channels, done := g.NewLabel("pixel"), g.NewLabel("channels"), g.NewLabel("done")
	c := g.GP64()
	g.Label(pixel)
	g.CMPQ(y, end)
	g.JGE(LabelRef(done))
	g.XORQ(c, c)
	g.Label(channels)
	v := g.YMM()
	g.VPMOVSXWD(Mem{Base: acc, Index: c, Scale: 2}, v)
	g.VCVTDQ2PS(v, v)
	g.VMULPS(Mem{Base: f, Index: c, Scale: 4}, v, v)
	g.VMOVUPS(v, Mem{Base: y, Index: c, Scale: 4})
	g.ADDQ(U32(8), c)
	g.CMPQ(c, oc)
	g.JL(LabelRef(channels))
	g.LEAQ(Mem{Base: y, Index: oc, Scale: 4}, y)
	g.LEAQ(Mem{Base: acc, Index: pitch, Scale: 2}, acc)
	g.JMP(LabelRef(pixel))
	g.Label(done)
	g.End()
}

// expand spreads the nibbles of bytes to bytes of their own, times 16.
func expand(g *vec.Gen) {
	g.Begin("expand", "func(dst, src []byte)", "expandAVX2 writes the low and the high nibble of each byte, times 16.")
	dst := g.Load(g.Param("dst").Base(), g.GP64())
	src := g.Load(g.Param("src").Base(), g.GP64())
	n := g.Load(g.Param("src").Len(), g.GP64())
	high := g.StaticGlobal("high")
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 2 {
		g.AddDatum(8*i, U64(0xf0f0f0f0f0f0f0f0))
	}
	many, one, done := g.NewLabel("many"), g.NewLabel("one"), g.NewLabel("done")
	mask := g.XMM()
	g.VMOVDQU(high, mask)
	g.Label(many)
	g.CMPQ(n, U32(16))
	g.JL(LabelRef(one))
	b, lo, a := g.XMM(), g.XMM(), g.XMM()
	g.VMOVDQU(Mem{Base: src}, b)
	g.VPSLLW(U8(4), b, lo)
	g.VPAND(mask, lo, lo)
	g.VPAND(mask, b, b)
	g.VPUNPCKLBW(b, lo, a)
	g.VPUNPCKHBW(b, lo, b)
	g.VMOVDQU(a, Mem{Base: dst})
	g.VMOVDQU(b, Mem{Base: dst, Disp: 16})
	g.ADDQ(U32(16), src)
	g.ADDQ(U32(32), dst)
	g.SUBQ(U32(16), n)
	g.JMP(LabelRef(many))
	g.Label(one)
	g.TESTQ(n, n)
	g.JZ(LabelRef(done))
	x, h := g.GP64(), g.GP64()
	g.MOVBQZX(Mem{Base: src}, x)
	g.MOVQ(x, h)
	g.SHLQ(U8(4), x)
	g.ANDQ(U32(0xf0), h)
	g.MOVB(x.As8(), Mem{Base: dst})
	g.MOVB(h.As8(), Mem{Base: dst, Disp: 1})
	g.INCQ(src)
	g.ADDQ(U32(2), dst)
	g.DECQ(n)
	g.JMP(LabelRef(one))
	g.Label(done)
	g.End()
}

// begin starts a function of one argument, b *block.
func begin(g *vec.Gen, name, doc string) {
	g.Begin(name, "func()", doc)
	pkg := types.NewPackage("binary", "binary")
	block := types.NewNamed(types.NewTypeName(token.NoPos, pkg, "block", nil), types.NewStruct(nil, nil), nil)
	param := types.NewVar(token.NoPos, pkg, "b", types.NewPointer(block))
	sig := types.NewSignatureType(nil, nil, nil, types.NewTuple(param), nil, false)
	g.Signature(gotypes.NewSignature(pkg, sig))
}

// Offsets of the fields of block.
const (
	offAcc = 8 * iota
	offX
	offW
	offStep
	offRuns
	offRunLen
	offPitch
	offAccPitch
	offLast
)

const (
	pixels = 4
	// mostSteps of at most ±4 fit a signed byte.
	mostSteps = 31
)

// countNibbles looks sums of four products up, for 4 pixels and 64 channels: the
// window's nibble chooses the table, the weights' nibbles are the indices.
func countNibbles(g *vec.Gen) {
	table := g.StaticGlobal("sums")
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for u := range 16 {
		for lane := range 32 {
			k := lane % 16
			s := 0
			for bit := range 4 {
				if u>>bit&1 == 0 {
					continue
				}
				if k>>bit&1 == 1 {
					s++
				} else {
					s--
				}
			}
			g.AddDatum(32*u+lane, I8(int8(s)))
		}
	}
	begin(g, "count", "countAVX2 adds the sums of 4 windows and 64 channels, by tables.")
	b := g.Load(g.Param("b"), g.GP64())
	field := func(off int) reg.GPVirtual {
		r := g.GP64()
		g.MOVQ(Mem{Base: b, Disp: off}, r)
		return r
	}
	x, w, step, runs := field(offX), field(offW), field(offStep), field(offRuns)
	step3, tab := g.GP64(), g.GP64()
	g.LEAQ(Mem{Base: step, Index: step, Scale: 2}, step3)
	g.LEAQ(table, tab)
	at := [pixels]Mem{{Base: x}, {Base: x, Index: step, Scale: 1}, {Base: x, Index: step, Scale: 2}, {Base: x, Index: step3, Scale: 1}}
	var acc [pixels][2]reg.VecVirtual
	for p := range acc {
		for k := range acc[p] {
			acc[p][k] = g.YMM()
		}
	}
	run, chunk, nibble := g.NewLabel("run"), g.NewLabel("chunk"), g.NewLabel("nibble")
	left, n := g.GP64(), g.GP64()
	g.Label(run)
	g.MOVQ(Mem{Base: b, Disp: offRunLen}, left)
	g.Label(chunk)
	g.MOVQ(U32(mostSteps), n)
	g.CMPQ(left, n)
	g.CMOVQLT(left, n)
	g.SUBQ(n, left)
	for p := range acc {
		for k := range acc[p] {
			g.VPXOR(acc[p][k], acc[p][k], acc[p][k])
		}
	}
	g.Label(nibble)
	w0, w1, t := g.YMM(), g.YMM(), g.YMM()
	g.VMOVDQU(Mem{Base: w}, w0)
	g.VMOVDQU(Mem{Base: w, Disp: 32}, w1)
	for p := range acc {
		i, row := g.GP64(), g.YMM()
		g.MOVBQZX(at[p], i)
		g.VMOVDQU(Mem{Base: tab, Index: i, Scale: 2}, row)
		g.VPSHUFB(w0, row, t)
		g.VPADDB(t, acc[p][0], acc[p][0])
		g.VPSHUFB(w1, row, row)
		g.VPADDB(row, acc[p][1], acc[p][1])
	}
	g.INCQ(x)
	g.ADDQ(U32(64), w)
	g.DECQ(n)
	g.JNZ(LabelRef(nibble))

	// Even bytes are channels 0 to 15 of each 32, odd ones 16 to 31.
	out, pitch := field(offAcc), field(offAccPitch)
	for p := range acc {
		for k := range acc[p] {
			even := g.YMM()
			g.VPSLLW(U8(8), acc[p][k], even)
			g.VPSRAW(U8(8), even, even)
			g.VPSRAW(U8(8), acc[p][k], acc[p][k])
			m := Mem{Base: out, Disp: 64 * k}
			g.VPADDW(m, even, even)
			g.VMOVDQU(even, m)
			m.Disp += 32
			g.VPADDW(m, acc[p][k], acc[p][k])
			g.VMOVDQU(acc[p][k], m)
		}
		g.ADDQ(pitch, out)
	}
	g.TESTQ(left, left)
	g.JNZ(LabelRef(chunk))
	g.SUBQ(Mem{Base: b, Disp: offRunLen}, x)
	g.ADDQ(Mem{Base: b, Disp: offPitch}, x)
	g.DECQ(runs)
	g.JNZ(LabelRef(run))
	g.End()
}

// countWords counts words of 64 bits of 4 windows and 32 channels.
func countWords(g *vec.Gen) {
	begin(g, "count", "countAVX512 adds the sums of 4 windows and 32 channels, by population counts.")
	b := g.Load(g.Param("b"), g.GP64())
	field := func(off int) reg.GPVirtual {
		r := g.GP64()
		g.MOVQ(Mem{Base: b, Disp: off}, r)
		return r
	}
	x, w, step, runs := field(offX), field(offW), field(offStep), field(offRuns)
	step3 := g.GP64()
	g.LEAQ(Mem{Base: step, Index: step, Scale: 2}, step3)
	at := [pixels]Mem{{Base: x}, {Base: x, Index: step, Scale: 1}, {Base: x, Index: step, Scale: 2}, {Base: x, Index: step3, Scale: 1}}
	const blocks = 4
	var acc [pixels][blocks]reg.VecVirtual
	var total [pixels]reg.GPVirtual
	for p := range acc {
		for k := range acc[p] {
			acc[p][k] = g.ZMM()
			g.VPXORQ(acc[p][k], acc[p][k], acc[p][k])
		}
		total[p] = g.GP64()
		g.XORQ(total[p], total[p])
	}
	run, word, tail, next := g.NewLabel("run"), g.NewLabel("word"), g.NewLabel("tail"), g.NewLabel("next")
	left := g.GP64()
	body := func(mask bool) {
		var f [blocks]reg.VecVirtual
		for k := range f {
			f[k] = g.ZMM()
			g.VMOVDQU64(Mem{Base: w, Disp: 64 * k}, f[k])
		}
		for p := range acc {
			u, v, c := g.GP64(), g.ZMM(), g.GP64()
			g.MOVQ(at[p], u)
			if mask {
				g.ANDQ(Mem{Base: b, Disp: offLast}, u)
			}
			g.POPCNTQ(u, c)
			g.ADDQ(c, total[p])
			g.VPBROADCASTQ(u, v)
			for k := range f {
				t := g.ZMM()
				g.VPANDQ(f[k], v, t)
				g.VPOPCNTQ(t, t)
				g.VPADDQ(t, acc[p][k], acc[p][k])
			}
		}
		g.ADDQ(U32(8), x)
		g.ADDQ(U32(64*blocks), w)
	}
	g.Label(run)
	g.MOVQ(Mem{Base: b, Disp: offRunLen}, left)
	g.Label(word)
	g.CMPQ(left, U32(8))
	g.JLE(LabelRef(tail))
	body(false)
	g.SUBQ(U32(8), left)
	g.JMP(LabelRef(word))
	g.Label(tail)
	body(true)
	g.Label(next)
	// Back to the start of the run, then on to the next.
	words := g.GP64()
	g.MOVQ(Mem{Base: b, Disp: offRunLen}, words)
	g.ADDQ(U32(7), words)
	g.ANDQ(I32(-8), words)
	g.SUBQ(words, x)
	g.ADDQ(Mem{Base: b, Disp: offPitch}, x)
	g.DECQ(runs)
	g.JNZ(LabelRef(run))

	out, pitch := field(offAcc), field(offAccPitch)
	for p := range acc {
		all := g.ZMM()
		g.VPBROADCASTQ(total[p], all)
		for k := range acc[p] {
			s, low := g.ZMM(), g.XMM()
			g.VPADDQ(acc[p][k], acc[p][k], s)
			g.VPSUBQ(all, s, s)
			g.VPMOVQW(s, low)
			m := Mem{Base: out, Disp: 16 * k}
			g.VPADDW(m, low, low)
			g.VMOVDQU(low, m)
		}
		g.ADDQ(pitch, out)
	}
	g.End()
}
