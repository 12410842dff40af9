// Package asm is what the generators of kernels for vectors of 8 (AVX2) and 16
// (AVX-512) floats share.
package asm

import (
	"fmt"
	"go/token"
	"go/types"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Gen writes one file of kernels for one instruction set.
type Gen struct {
	*build.Context
	Name  string // avx2 or avx512
	Lanes int

	pkg   string
	masks Mem
	label int
}

// New returns a generator for package pkg.
func New(pkg, name string, lanes int) *Gen {
	g := &Gen{Context: build.NewContext(), Name: name, Lanes: lanes, pkg: pkg}
	g.ConstraintExpr("amd64,!noasm")
	if lanes == 8 {
		g.maskTable()
	}
	return g
}

// Masks returns the table of AVX2 masks: 8 words of ones, 8 of zeros.
func (g *Gen) Masks() Mem { return g.masks }

// Begin starts kernel name, whose only parameter is a pointer to the struct
// typ of the package, and returns that pointer.
func (g *Gen) Begin(name, typ, doc string) reg.Register {
	g.Function(name)
	g.Attributes(attr.NOSPLIT)
	pkg := types.NewPackage(g.pkg, g.pkg)
	arg := types.NewNamed(types.NewTypeName(token.NoPos, pkg, typ, nil), types.NewStruct(nil, nil), nil)
	param := types.NewVar(token.NoPos, pkg, "a", types.NewPointer(arg))
	sig := types.NewSignatureType(nil, nil, nil, types.NewTuple(param), nil, false)
	g.Signature(gotypes.NewSignature(pkg, sig))
	g.Pragma("noescape")
	g.Doc(doc)
	return g.Load(g.Param("a"), g.GP64())
}

// NewLabel returns a label that is unique in the file.
func (g *Gen) NewLabel(name string) string {
	g.label++
	return fmt.Sprintf("%s%d", name, g.label)
}

// Align starts a loop on a 32-byte boundary.
func (g *Gen) Align() {
	g.Instruction(&ir.Instruction{Opcode: "PCALIGN", Operands: []Op{Imm(32)}})
}

// Vec returns a vector register.
func (g *Gen) Vec() reg.VecVirtual {
	if g.Lanes == 16 {
		return g.ZMM()
	}
	return g.YMM()
}

// Vecs returns n vector registers.
func (g *Gen) Vecs(n int) []reg.VecVirtual {
	v := make([]reg.VecVirtual, n)
	for i := range v {
		v[i] = g.Vec()
	}
	return v
}

// Bytes returns the size of a vector.
func (g *Gen) Bytes() int { return 4 * g.Lanes }

func (g *Gen) maskTable() {
	g.masks = g.StaticGlobal("tail")
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 16 {
		v := U32(0)
		if i < 8 {
			v = 0xffffffff
		}
		g.AddDatum(4*i, v)
	}
}

// Tail makes the mask of the last vector from the number of its lanes.
func (g *Gen) Tail(n Mem) reg.Register {
	if g.Lanes == 16 {
		one, k := g.GP64(), g.K()
		g.MOVQ(n, reg.RCX)
		g.MOVQ(U32(1), one)
		g.SHLQ(reg.CL, one)
		g.DECQ(one)
		g.KMOVW(one.As32(), k)
		return k
	}
	at, left, m := g.GP64(), g.GP64(), g.YMM()
	g.LEAQ(g.masks, at)
	g.MOVQ(U32(8), left)
	g.SUBQ(n, left)
	g.VMOVUPS(Mem{Base: at, Index: left, Scale: 4}, m)
	return m
}

// LoadMasked loads the lanes of v in a mask made by Tail, and zeros the others.
func (g *Gen) LoadMasked(m Mem, mask reg.Register, v reg.VecVirtual) {
	if g.Lanes == 16 {
		g.VMOVUPS_Z(m, mask, v)
	} else {
		g.VMASKMOVPS(m, mask, v)
	}
}

// StoreMasked stores the lanes of v in a mask made by Tail.
func (g *Gen) StoreMasked(v reg.VecVirtual, mask reg.Register, m Mem) {
	if g.Lanes == 16 {
		g.VMOVUPS(v, mask, m)
	} else {
		g.VMASKMOVPS(v, mask, m)
	}
}

// Registers returns the number of vector registers.
func (g *Gen) Registers() int {
	if g.Lanes == 16 {
		return 32
	}
	return 16
}
