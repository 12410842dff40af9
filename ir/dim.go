package ir

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-nncf/nncf/tensor"
)

// Dim is the length of one axis: the number N if Sym is empty, otherwise N
// times the symbol. The symbol "?" is an unknown length, equal to nothing.
type Dim struct {
	Sym string
	N   int
}

// UnknownSym is the symbol of a length that is not known before data are seen.
const UnknownSym = "?"

// Len returns the Dim of a known length.
func Len(n int) Dim { return Dim{N: n} }

// Symbol returns the Dim of a named unknown length, such as the batch size N.
func Symbol(name string) Dim { return Dim{Sym: name, N: 1} }

// Unknown returns a Dim that is equal to no other.
func Unknown() Dim { return Dim{Sym: UnknownSym, N: 1} }

// Known returns the length, or false if it is symbolic.
func (d Dim) Known() (int, bool) { return d.N, d.Sym == "" }

// IsOne reports whether the length is known to be 1, the length that broadcasts.
func (d Dim) IsOne() bool { return d == Dim{N: 1} }

// Equal reports whether both lengths are certainly equal.
func (d Dim) Equal(e Dim) bool { return d == e && d.Sym != UnknownSym }

// MayEqual reports whether the lengths are equal or at least one is symbolic.
func (d Dim) MayEqual(e Dim) bool { return d.Sym != "" || e.Sym != "" || d.N == e.N }

// Mul returns d·e; the product of two symbols is unknown.
func (d Dim) Mul(e Dim) Dim {
	switch {
	case d.Sym == "" && e.Sym == "":
		return Len(d.N * e.N)
	case d.Sym == "" && d.N == 0 || e.Sym == "" && e.N == 0:
		return Len(0)
	case e.Sym == "" && d.Sym != UnknownSym:
		return Dim{d.Sym, d.N * e.N}
	case d.Sym == "" && e.Sym != UnknownSym:
		return Dim{e.Sym, d.N * e.N}
	}
	return Unknown()
}

// Div returns d/e if it is certainly a whole number, otherwise an unknown length.
func (d Dim) Div(e Dim) Dim {
	switch {
	case e.N == 0:
		return Unknown()
	case d.Sym == e.Sym && d.Sym != UnknownSym && d.N%e.N == 0:
		return Len(d.N / e.N)
	case e.Sym == "" && d.Sym != UnknownSym && d.N%e.N == 0:
		return Dim{d.Sym, d.N / e.N}
	}
	return Unknown()
}

// String formats the length as 4, N, 3*N or ?.
func (d Dim) String() string {
	switch {
	case d.Sym == "":
		return strconv.Itoa(d.N)
	case d.N == 1:
		return d.Sym
	}
	return strconv.Itoa(d.N) + "*" + d.Sym
}

// ParseDim is the inverse of [Dim.String].
func ParseDim(s string) (Dim, error) {
	if n, err := strconv.Atoi(s); err == nil {
		return Len(n), nil
	}
	if num, sym, ok := strings.Cut(s, "*"); ok {
		if n, err := strconv.Atoi(num); err == nil && sym != "" {
			return Dim{sym, n}, nil
		}
	}
	if s == "" || strings.ContainsAny(s, " []*,") {
		return Dim{}, fmt.Errorf("got axis length %q, want a number, a symbol or number*symbol", s)
	}
	return Symbol(s), nil
}

// Type is the type of a value: element type and axes. A scalar has no axes.
type Type struct {
	DType tensor.DType
	Dims  []Dim
}

// TypeOf returns the type of a tensor.
func TypeOf(t *tensor.Tensor) Type { return MakeType(t.DType(), t.Shape()...) }

// MakeType returns a type with known axes.
func MakeType(d tensor.DType, shape ...int) Type {
	t := Type{DType: d, Dims: make([]Dim, len(shape))}
	for i, n := range shape {
		t.Dims[i] = Len(n)
	}
	return t
}

// Rank returns the number of axes.
func (t Type) Rank() int { return len(t.Dims) }

// IsScores reports whether t has a score for each sample and class: [N classes],
// or [N classes 1 …] as convolutional classifiers give it.
func (t Type) IsScores() bool {
	return t.Rank() >= 2 && !slices.ContainsFunc(t.Dims[2:], func(d Dim) bool { return !d.IsOne() })
}

// Shape returns the axes if all are known.
func (t Type) Shape() (tensor.Shape, bool) {
	s := make(tensor.Shape, len(t.Dims))
	for i, d := range t.Dims {
		n, ok := d.Known()
		if !ok {
			return nil, false
		}
		s[i] = n
	}
	return s, true
}

// MustShape is [Type.Shape] for graphs that were specialised; it panics on a symbolic axis.
func (t Type) MustShape() tensor.Shape {
	s, ok := t.Shape()
	if !ok {
		panic(fmt.Sprintf("ir: type %v still has symbolic axes", t))
	}
	return s
}

// Numel returns the product of all axes.
func (t Type) Numel() Dim {
	n := Len(1)
	for _, d := range t.Dims {
		n = n.Mul(d)
	}
	return n
}

// Equal reports whether both types are certainly equal.
func (t Type) Equal(u Type) bool {
	return t.DType == u.DType && slices.EqualFunc(t.Dims, u.Dims, Dim.Equal)
}

// WithDType returns t with another element type.
func (t Type) WithDType(d tensor.DType) Type { return Type{d, t.Dims} }

// String formats the type as float32[N 3 32 32].
func (t Type) String() string {
	var b strings.Builder
	b.WriteString(t.DType.String())
	b.WriteByte('[')
	for i, d := range t.Dims {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(d.String())
	}
	b.WriteByte(']')
	return b.String()
}

// BroadcastDims returns the axes of a NumPy-style broadcast. A symbolic axis
// against a known length other than 1 is taken to be that length.
func BroadcastDims(lists ...[]Dim) ([]Dim, error) {
	rank := 0
	for _, l := range lists {
		rank = max(rank, len(l))
	}
	out := make([]Dim, rank)
	for i := range out {
		out[i] = Len(1)
	}
	for _, l := range lists {
		off := rank - len(l)
		for i, d := range l {
			switch o := out[off+i]; {
			case d.IsOne() || d.Equal(o):
			case o.IsOne():
				out[off+i] = d
			case d.Sym != "" && o.Sym != "":
				out[off+i] = Unknown()
			case o.Sym != "":
				out[off+i] = d
			case d.Sym != "":
			default:
				return nil, fmt.Errorf("axes %v do not broadcast: %v against %v", lists, o, d)
			}
		}
	}
	return out, nil
}
