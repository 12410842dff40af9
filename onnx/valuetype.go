package onnx

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-nncf/nncf/internal/onnxpb"
	"github.com/go-nncf/nncf/ir"
)

// symbols turns the axis names of a file into symbols of package ir, which may
// not contain some characters or look like a number.
type symbols struct {
	byParam map[string]ir.Dim
	taken   map[string]bool
}

func newSymbols() *symbols { return &symbols{map[string]ir.Dim{}, map[string]bool{}} }

// reserveAll keeps symbols made here different from the axis names of the inputs.
func (s *symbols) reserveAll(inputs []*onnxpb.ValueInfo) {
	for _, v := range inputs {
		if v.Type == nil || v.Type.Tensor == nil || v.Type.Tensor.Shape == nil {
			continue
		}
		for _, d := range v.Type.Tensor.Shape.Dims {
			if plain(d.Param) {
				s.named(d.Param)
			}
		}
	}
}

// named returns the axis length for a dim_param. Products of a number and a name
// are understood; other expressions become opaque symbols.
func (s *symbols) named(param string) ir.Dim {
	if d, ok := s.byParam[param]; ok {
		return d
	}
	d := s.parse(param)
	s.byParam[param] = d
	return d
}

func (s *symbols) parse(param string) ir.Dim {
	if param == ir.UnknownSym {
		return ir.Unknown()
	}
	if a, b, ok := strings.Cut(param, "*"); ok {
		a, b = strings.TrimSpace(a), strings.TrimSpace(b)
		if n, err := strconv.Atoi(b); err == nil && plain(a) && n > 0 {
			return ir.Dim{Sym: s.reserve(a), N: n}
		}
		if n, err := strconv.Atoi(a); err == nil && plain(b) && n > 0 {
			return ir.Dim{Sym: s.reserve(b), N: n}
		}
	}
	if plain(param) {
		return ir.Symbol(s.reserve(param))
	}
	return s.fresh(clean(param))
}

// symbolRune reports whether a symbol may contain the character.
func symbolRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-.:/+()#", r)
}

// plain reports whether the text can be a symbol as it is.
func plain(sym string) bool {
	if strings.ContainsFunc(sym, func(r rune) bool { return !symbolRune(r) }) {
		return false
	}
	d, err := ir.ParseDim(sym)
	return err == nil && d == ir.Symbol(sym)
}

func (s *symbols) reserve(sym string) string {
	s.taken[sym] = true
	return sym
}

// fresh returns a symbol that no axis has yet.
func (s *symbols) fresh(base string) ir.Dim {
	if len(base) > 100 {
		base = base[:100]
	}
	if !plain(base) {
		base = "dim_" + base
	}
	sym := base
	for i := 1; s.taken[sym]; i++ {
		sym = base + "_" + strconv.Itoa(i)
	}
	return ir.Symbol(s.reserve(sym))
}

// fromType converts a declared type. An axis of unknown length becomes a symbol
// of its own, named after the value.
func (s *symbols) fromType(name string, t *onnxpb.Type) (ir.Type, error) {
	if t == nil || t.Tensor == nil {
		return ir.Type{}, fmt.Errorf("got type %s, want a tensor", t.Kind())
	}
	d, err := fromDataType(t.Tensor.ElemType)
	if err != nil {
		return ir.Type{}, err
	}
	if t.Tensor.Shape == nil {
		return ir.Type{}, fmt.Errorf("got no shape, want a known number of axes")
	}
	if n := len(t.Tensor.Shape.Dims); n > maxRank {
		return ir.Type{}, fmt.Errorf("got %d axes, want at most %d", n, maxRank)
	}
	out := ir.Type{DType: d, Dims: make([]ir.Dim, len(t.Tensor.Shape.Dims))}
	for i, dim := range t.Tensor.Shape.Dims {
		switch {
		case dim.Param != "":
			out.Dims[i] = s.named(dim.Param)
		case dim.HasValue && dim.Value > math.MaxInt32:
			return ir.Type{}, fmt.Errorf("axis %d has length %d, want at most %d", i, dim.Value, math.MaxInt32)
		case dim.HasValue && dim.Value >= 0:
			out.Dims[i] = ir.Len(int(dim.Value))
		default:
			out.Dims[i] = s.fresh(clean(name) + "_dim" + strconv.Itoa(i))
		}
	}
	return out, nil
}

// clean replaces the characters that a symbol may not contain.
func clean(name string) string {
	return strings.Map(func(r rune) rune {
		if symbolRune(r) {
			return r
		}
		return '_'
	}, name)
}

// toType describes a type for a file.
func toType(t ir.Type) *onnxpb.Type {
	shape := &onnxpb.Shape{Dims: make([]onnxpb.Dim, len(t.Dims))}
	for i, d := range t.Dims {
		if n, ok := d.Known(); ok {
			shape.Dims[i] = onnxpb.Dim{Value: int64(n), HasValue: true}
		} else if d.Sym != ir.UnknownSym {
			shape.Dims[i] = onnxpb.Dim{Param: d.String()}
		}
	}
	return &onnxpb.Type{Tensor: &onnxpb.TensorType{ElemType: toDataType(t.DType), Shape: shape}}
}
