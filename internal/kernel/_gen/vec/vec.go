// Package vec writes vector kernels over float32 slices for two vector widths
// from one description.
//
// A kernel is a [Map] (outputs computed element by element), a [Lanes]
// reduction (a fixed number of partial sums over a slice) or a [Columns]
// reduction (a partial sum per channel). Its Body is Go code that emits the
// arithmetic for one vector through the methods of [Gen]; the loops, unrolling
// and the masked end are the package's. Products and sums are never fused:
// every variant rounds like the plain Go twin.
package vec

import (
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"regexp"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Reg is a vector register.
type Reg = reg.VecVirtual

// Mask selects lanes: a vector of all-ones and zeros, or a mask register.
type Mask struct {
	y Reg
	k reg.OpmaskVirtual
}

// Gen emits code for one vector width.
type Gen struct {
	*build.Context
	Lanes  int    // floats per vector: 8 or 16
	Suffix string // of function names: AVX2 or AVX512

	consts  map[string]Mem
	label   int
	streams map[string]reg.Register // data and parameter base addresses
	far     map[string]bool         // parameters whose base is loaded at each use
	scalars map[string]Reg
	index   reg.Register // element index into streams
	disp    int          // elements beyond index of the current vector
	mask    *Mask        // not nil in the masked end

	// In a Columns kernel the streams in isData are indexed by rowIndex.
	rowIndex reg.Register
	isData   map[string]bool
}

// Main runs a generator program: it parses the flags and calls write.
//
//	go run ./FAMILY -level avx2 -out FILE.s -stubs FILE.go -pkg FAMILY
func Main(write func(g *Gen)) {
	log.SetFlags(0)
	args := flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	level := args.String("level", "", "instruction set: avx2 or avx512")
	flags := build.NewFlags(args)
	args.Parse(os.Args[1:])
	g := &Gen{Context: build.NewContext(), consts: map[string]Mem{}}
	switch *level {
	case "avx2":
		g.Lanes, g.Suffix = 8, "AVX2"
	case "avx512":
		g.Lanes, g.Suffix = 16, "AVX512"
	default:
		log.Fatalf("got level %q, want avx2 or avx512", *level)
	}
	g.ConstraintExpr("amd64,!noasm")
	write(g)
	status := build.Main(flags.Config(), g.Context)
	if !g.Wide() {
		checkRegisters(flagValue(args, "out"))
	}
	os.Exit(status)
}

func flagValue(args *flag.FlagSet, name string) string { return args.Lookup(name).Value.String() }

var wideOnly = regexp.MustCompile(`\bY(1[6-9]|2[0-9]|3[01])\b`)

// checkRegisters fails if AVX2 code uses the registers that only AVX-512 has:
// avo's allocator hands them out when the first sixteen are taken.
func checkRegisters(file string) {
	b, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	fn := ""
	bad := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "TEXT") {
			fn = strings.Fields(line)[1]
		}
		if wideOnly.MatchString(line) && !bad[fn] {
			bad[fn] = true
			log.Printf("%s: more than 16 vector registers", fn)
		}
	}
	if len(bad) > 0 {
		log.Fatalf("%s: %d functions cannot run on AVX2", file, len(bad))
	}
}

// Wide reports whether vectors are those of AVX-512.
func (g *Gen) Wide() bool { return g.Lanes == 16 }

// Begin starts function name+Suffix with the given Go signature.
func (g *Gen) Begin(name, signature, doc string) {
	g.Function(name + g.Suffix)
	g.Attributes(attr.NOSPLIT)
	g.SignatureExpr(signature)
	g.Doc(doc)
	g.Pragma("noescape")
	g.streams = map[string]reg.Register{}
	g.scalars = map[string]Reg{}
	g.far = map[string]bool{}
	g.mask, g.disp, g.index = nil, 0, nil
}

// End closes the function.
func (g *Gen) End() {
	g.VZEROUPPER()
	g.RET()
}

// NewLabel returns a label that is unique in the file.
func (g *Gen) NewLabel(name string) string {
	g.label++
	return fmt.Sprintf("%s%d", name, g.label)
}

// New returns a fresh vector register.
func (g *Gen) New() Reg {
	if g.Wide() {
		return g.ZMM()
	}
	return g.YMM()
}

// Zero returns a register of zeros.
func (g *Gen) Zero() Reg {
	r := g.New()
	g.VXORPS(r, r, r)
	return r
}

func (g *Gen) data(name string, words [16]uint32) Mem {
	if m, ok := g.consts[name]; ok {
		return m
	}
	m := g.StaticGlobal(name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for i, w := range words[:g.Lanes] {
		g.AddDatum(4*i, U32(w))
	}
	g.consts[name] = m
	return m
}

// Bits returns a vector constant with the given bits in every lane.
func (g *Gen) Bits(b uint32) Mem {
	var w [16]uint32
	for i := range w {
		w[i] = b
	}
	return g.data(fmt.Sprintf("c%08x", b), w)
}

// Const returns a vector constant.
func (g *Gen) Const(v float64) Mem { return g.Bits(math.Float32bits(float32(v))) }

// Reg returns op in a register, loading it if it is in memory.
func (g *Gen) Reg(op Op) Reg {
	if r, ok := op.(Reg); ok {
		return r
	}
	r := g.New()
	g.VMOVUPS(op, r)
	return r
}

func isMem(op Op) bool { _, ok := op.(Mem); return ok }

// Add returns a+b.
func (g *Gen) Add(a, b Op) Reg {
	if isMem(a) {
		a, b = b, a
	}
	r := g.New()
	g.VADDPS(b, g.Reg(a), r)
	return r
}

// Sub returns a−b.
func (g *Gen) Sub(a, b Op) Reg {
	r := g.New()
	g.VSUBPS(b, g.Reg(a), r)
	return r
}

// Mul returns a·b.
func (g *Gen) Mul(a, b Op) Reg {
	if isMem(a) {
		a, b = b, a
	}
	r := g.New()
	g.VMULPS(b, g.Reg(a), r)
	return r
}

// MulAdd returns a·b+c, rounded twice.
func (g *Gen) MulAdd(a, b, c Op) Reg { return g.Add(g.Mul(a, b), c) }

// Div returns a/b.
func (g *Gen) Div(a, b Op) Reg {
	r := g.New()
	g.VDIVPS(b, g.Reg(a), r)
	return r
}

// Sqrt returns √a.
func (g *Gen) Sqrt(a Op) Reg {
	r := g.New()
	g.VSQRTPS(a, r)
	return r
}

// MaxOr returns a > b ? a : b, so b if either is NaN or both are zero.
func (g *Gen) MaxOr(a, b Op) Reg {
	r := g.New()
	g.VMAXPS(b, g.Reg(a), r)
	return r
}

// MinOr returns a < b ? a : b, so b if either is NaN or both are zero.
func (g *Gen) MinOr(a, b Op) Reg {
	r := g.New()
	g.VMINPS(b, g.Reg(a), r)
	return r
}

// Clip returns x bounded to [lo, hi]; NaN stays.
func (g *Gen) Clip(x, lo, hi Op) Reg { return g.MinOr(hi, g.MaxOr(lo, g.Reg(x))) }

// Round returns a rounded to an integer, half to even.
func (g *Gen) Round(a Op) Reg {
	r := g.New()
	if g.Wide() {
		g.VRNDSCALEPS(U8(8), a, r)
	} else {
		g.VROUNDPS(U8(8), a, r)
	}
	return r
}

// And, AndNot (^a&b), Or and Xor work on bits.
func (g *Gen) And(a, b Op) Reg { r := g.New(); g.VANDPS(b, g.Reg(a), r); return r }

// AndNot returns ^a & b.
func (g *Gen) AndNot(a, b Op) Reg { r := g.New(); g.VANDNPS(b, g.Reg(a), r); return r }

// Or returns a | b.
func (g *Gen) Or(a, b Op) Reg { r := g.New(); g.VORPS(b, g.Reg(a), r); return r }

// Xor returns a ^ b.
func (g *Gen) Xor(a, b Op) Reg { r := g.New(); g.VXORPS(b, g.Reg(a), r); return r }

// Abs clears the sign.
func (g *Gen) Abs(a Op) Reg { return g.And(g.Reg(a), g.Bits(0x7fffffff)) }

// Neg flips the sign.
func (g *Gen) Neg(a Op) Reg { return g.Xor(g.Reg(a), g.Bits(0x80000000)) }

// AddI and SubI work on 32-bit integers.
func (g *Gen) AddI(a, b Op) Reg { r := g.New(); g.VPADDD(b, g.Reg(a), r); return r }

// SubI returns a−b.
func (g *Gen) SubI(a, b Op) Reg { r := g.New(); g.VPSUBD(b, g.Reg(a), r); return r }

// ShlI returns a << n.
func (g *Gen) ShlI(a Op, n uint8) Reg { r := g.New(); g.VPSLLD(U8(n), g.Reg(a), r); return r }

// SarI returns a >> n with the sign kept.
func (g *Gen) SarI(a Op, n uint8) Reg { r := g.New(); g.VPSRAD(U8(n), g.Reg(a), r); return r }

// ToInt converts to 32-bit integers, rounding half to even.
func (g *Gen) ToInt(a Op) Reg { r := g.New(); g.VCVTPS2DQ(a, r); return r }

// ToFloat converts 32-bit integers.
func (g *Gen) ToFloat(a Op) Reg { r := g.New(); g.VCVTDQ2PS(a, r); return r }

// Predicates of Cmp; false for NaN, except NaN.
const (
	LT  = 0x11
	LE  = 0x12
	EQ  = 0x00
	GE  = 0x1d
	GT  = 0x1e
	NaN = 0x03 // either is NaN
)

// Cmp compares a with b.
func (g *Gen) Cmp(a Op, predicate uint8, b Op) Mask {
	if g.Wide() {
		k := g.K()
		g.VCMPPS(U8(predicate), b, g.Reg(a), k)
		return Mask{k: k}
	}
	r := g.New()
	g.VCMPPS(U8(predicate), b, g.Reg(a), r)
	return Mask{y: r}
}

// Both returns the lanes set in a and b.
func (g *Gen) Both(a, b Mask) Mask {
	if g.Wide() {
		k := g.K()
		g.KANDW(a.k, b.k, k)
		return Mask{k: k}
	}
	return Mask{y: g.And(a.y, b.y)}
}

// Either returns the lanes set in a or b.
func (g *Gen) Either(a, b Mask) Mask {
	if g.Wide() {
		k := g.K()
		g.KORW(a.k, b.k, k)
		return Mask{k: k}
	}
	return Mask{y: g.Or(a.y, b.y)}
}

// Select returns m ? a : b.
func (g *Gen) Select(m Mask, a, b Op) Reg {
	r := g.New()
	if g.Wide() {
		g.VBLENDMPS(a, g.Reg(b), m.k, r)
	} else {
		g.VBLENDVPS(m.y, a, g.Reg(b), r)
	}
	return r
}

// Keep returns m ? a : 0.
func (g *Gen) Keep(m Mask, a Op) Reg {
	if g.Wide() {
		r := g.New()
		g.VMOVUPS_Z(a, m.k, r)
		return r
	}
	return g.And(m.y, a)
}

// Move copies src into the existing register dst.
func (g *Gen) Move(dst, src Reg) { g.VMOVAPS(src, dst) }

// Scalar broadcasts parameter name.
func (g *Gen) Scalar(name string) {
	c, err := g.Param(name).Resolve()
	if err != nil {
		log.Fatal(err)
	}
	r := g.New()
	g.VBROADCASTSS(c.Addr, r)
	g.scalars[name] = r
}

// S returns the register of a broadcast scalar.
func (g *Gen) S(name string) Reg { return g.scalars[name] }

// Stream loads the base address of slice parameter name.
func (g *Gen) Stream(name string) {
	g.streams[name] = g.Load(g.Param(name).Base(), g.GP64())
}

// Pointer loads pointer parameter name as a stream.
func (g *Gen) Pointer(name string) {
	g.streams[name] = g.Load(g.Param(name), g.GP64())
}

// Far makes slice parameter name a stream whose base address is loaded anew at
// each use, for kernels with more streams than registers.
func (g *Gen) Far(name string) { g.far[name] = true }

func (g *Gen) at(name string) Mem {
	base, ok := g.streams[name]
	if g.far[name] {
		base, ok = g.Load(g.Param(name).Base(), g.GP64()), true
	}
	if !ok {
		log.Fatalf("no stream %q", name)
	}
	index := g.index
	if g.isData[name] {
		index = g.rowIndex
	}
	return Mem{Base: base, Index: index, Scale: 4, Disp: 4 * g.disp}
}

// In loads the current vector of a stream, zeros beyond its end.
func (g *Gen) In(name string) Reg { return g.LoadAt(g.at(name)) }

// P is In for an operand used once: it stays in memory where that is safe.
func (g *Gen) P(name string) Op {
	if g.mask == nil {
		return g.at(name)
	}
	return g.In(name)
}

// LoadAt loads a vector from anywhere, zeros beyond the end of the current walk.
func (g *Gen) LoadAt(m Mem) Reg {
	r := g.New()
	switch {
	case g.mask == nil:
		g.VMOVUPS(m, r)
	case g.Wide():
		g.VMOVUPS_Z(m, g.mask.k, r)
	default:
		g.VMASKMOVPS(m, g.mask.y, r)
	}
	return r
}

// OutAt stores vector v from the current index of a stream.
func (g *Gen) OutAt(name string, v int, r Reg) {
	g.disp = v * g.Lanes
	g.Out(name, r)
	g.disp = 0
}

// InAt loads vector v from the current index of a stream.
func (g *Gen) InAt(name string, v int) Reg {
	g.disp = v * g.Lanes
	defer func() { g.disp = 0 }()
	return g.In(name)
}

// StreamAt stores vector v from the current index of a stream past the caches.
func (g *Gen) StreamAt(name string, v int, r Reg) {
	g.disp = v * g.Lanes
	g.VMOVNTPS(r, g.at(name))
	g.disp = 0
}

// Index returns the current element index.
func (g *Gen) Index() reg.Register { return g.index }

// SetIndex makes i the element index into streams.
func (g *Gen) SetIndex(i reg.Register) { g.index = i }

// Broadcast copies a 32-bit integer to every lane.
func (g *Gen) Broadcast(n reg.Register) Reg {
	r := g.New()
	if g.Wide() {
		g.VPBROADCASTD(n, r)
		return r
	}
	x := g.XMM()
	g.VMOVD(n, x)
	g.VPBROADCASTD(x, r)
	return r
}

// EqualI compares 32-bit integers.
func (g *Gen) EqualI(a, b Reg) Mask {
	if g.Wide() {
		k := g.K()
		g.VPCMPEQD(b, a, k)
		return Mask{k: k}
	}
	r := g.New()
	g.VPCMPEQD(b, a, r)
	return Mask{y: r}
}

// Out stores the current vector of a stream.
func (g *Gen) Out(name string, r Reg) {
	g.StoreAt(g.at(name), r)
}

// StoreAt stores a vector anywhere, up to the end of the current walk.
func (g *Gen) StoreAt(m Mem, r Reg) {
	switch {
	case g.mask == nil:
		g.VMOVUPS(r, m)
	case g.Wide():
		g.VMOVUPS(r, g.mask.k, m)
	default:
		g.VMASKMOVPS(r, g.mask.y, m)
	}
}

// setMask makes the mask of the first n lanes, 0 < n < Lanes.
func (g *Gen) setMask(n reg.Register) {
	if g.Wide() {
		bits := g.GP32()
		g.MOVL(U32(0xffffffff), bits)
		g.BZHIL(n.(reg.GPVirtual).As32(), bits, bits)
		k := g.K()
		g.KMOVW(bits, k)
		g.mask = &Mask{k: k}
		return
	}
	table, ok := g.consts["lanes"]
	if !ok {
		table = g.StaticGlobal("lanes")
		g.DataAttributes(attr.RODATA | attr.NOPTR)
		for i := range 16 {
			v := uint32(0)
			if i < 8 {
				v = 0xffffffff
			}
			g.AddDatum(4*i, U32(v))
		}
		g.consts["lanes"] = table
	}
	base := g.GP64()
	g.LEAQ(table.Offset(32), base)
	off := g.GP64()
	g.MOVQ(n, off)
	g.NEGQ(off)
	y := g.YMM()
	g.VMOVUPS(Mem{Base: base, Index: off, Scale: 4}, y)
	g.mask = &Mask{y: y}
}

// AddTo adds v to an accumulator.
func (g *Gen) AddTo(acc, v Reg) {
	switch {
	case g.mask == nil || g.isData != nil: // lanes beyond a row are never stored
		g.VADDPS(v, acc, acc)
	case g.Wide():
		g.VADDPS(v, acc, g.mask.k, acc)
	default:
		g.VADDPS(g.Keep(*g.mask, v), acc, acc)
	}
}

// Set replaces an accumulator by v.
func (g *Gen) Set(acc, v Reg) {
	if g.mask != nil && g.isData == nil {
		v = g.Select(*g.mask, v, acc)
	}
	g.Move(acc, v)
}

// fields splits a list of names.
func fields(s string) []string { return strings.Fields(s) }
