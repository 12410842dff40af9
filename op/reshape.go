package op

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Reshape gives the elements other axes. In the new shape one entry may be -1,
// to be computed, and 0 stands for the input's axis at the same place, unless
// AllowZero makes it a length.
//
//	in  0 x   1 shape int64 [rank]
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Reshape.html
type Reshape struct{ AllowZero bool }

var (
	_ ir.Evaluator      = Reshape{}
	_ ir.Differentiable = Reshape{}
	_ ir.DimsEvaluator  = Reshape{}
	_ ir.AxisCutter     = Reshape{}
	_ ir.QuantTraited   = Reshape{}
)

func (Reshape) Kind() string { return "Reshape" }

func (r Reshape) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if in[1].Type.Rank() != 1 {
		return nil, fmt.Errorf("shape: got %v, want a vector", in[1].Type)
	}
	x := in[0].Type
	want, ok := in[1].ConstDims()
	if !ok {
		rank, ok := in[1].Type.Dims[0].Known()
		if !ok || rank > maxRank {
			return nil, fmt.Errorf("shape: got %v of unknown length, want a known rank of at most %d", in[1].Type, maxRank)
		}
		want = make([]ir.Dim, rank)
		for i := range want {
			want[i] = ir.Unknown()
		}
		if rank != 1 {
			return []ir.Type{{DType: x.DType, Dims: want}}, nil
		}
	}
	dims, err := r.dims(x.Dims, want)
	if err != nil {
		return nil, err
	}
	return []ir.Type{{DType: x.DType, Dims: dims}}, nil
}

// maxRank bounds the ranks that come out of data; real ones are below 10.
const maxRank = 64

// dims computes the new axes. open is the entry that the element count
// decides: -1, or the only one that inference does not know.
func (r Reshape) dims(x, want []ir.Dim) ([]ir.Dim, error) {
	out := slices.Clone(want)
	open, unknown, explicit := -1, 0, false
	for i, d := range want {
		switch n, known := d.Known(); {
		case known && n == 0 && !r.AllowZero:
			if i >= len(x) {
				return nil, fmt.Errorf("shape %v: entry %d copies an axis that %v has not", want, i, x)
			}
			out[i] = x[i]
		case known && n < -1:
			return nil, fmt.Errorf("shape %v: negative length", want)
		case known && n == -1:
			if explicit {
				return nil, fmt.Errorf("shape %v: more than one entry is -1", want)
			}
			open, explicit = i, true
		case !known && (d.N < 0 || d.Sym == ir.UnknownSym):
			out[i] = ir.Unknown()
			unknown++
			if !explicit {
				open = i
			}
		}
	}
	if !explicit && unknown != 1 {
		open = -1
	}
	// Equal axes on both sides cancel, so several symbols survive.
	left, right := slices.Clone(x), []ir.Dim{}
	for i, d := range out {
		if i == open {
			continue
		}
		if k := slices.IndexFunc(left, d.Equal); k >= 0 && d != ir.Len(0) {
			left = slices.Delete(left, k, k+1)
		} else {
			right = append(right, d)
		}
	}
	num, den := ir.Type{Dims: left}.Numel(), ir.Type{Dims: right}.Numel()
	n, nk := num.Known()
	d, dk := den.Known()
	if open >= 0 {
		out[open] = num.Div(den)
		switch {
		case explicit && nk && dk && d == 0:
			return nil, fmt.Errorf("shape %v: entry -1 cannot be computed for %v", want, x)
		case explicit && nk && dk && n%d != 0:
			return nil, fmt.Errorf("shape %v: %v does not divide into it", want, x)
		}
		return out, nil
	}
	if nk && dk && n != d {
		return nil, fmt.Errorf("shape %v has %d elements, the input %v has %d", want, d, x, n)
	}
	return out, nil
}

func (r Reshape) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	want, err := in[1].Ints()
	if err != nil {
		return nil, err
	}
	if len(want) > maxRank {
		return nil, fmt.Errorf("got %d axes, want at most %d", len(want), maxRank)
	}
	dims, err := r.dims(ir.TypeOf(in[0]).Dims, lens(want))
	if err != nil {
		return nil, err
	}
	shape, ok := ir.Type{Dims: dims}.Shape()
	if !ok {
		return nil, errors.New("entry -1 cannot be computed")
	}
	if err := checkSize(shape); err != nil {
		return nil, err
	}
	return one(in[0].Reshape(shape...)), nil
}

func lens(v []int) []ir.Dim {
	out := make([]ir.Dim, len(v))
	for i, n := range v {
		out[i] = ir.Len(n)
	}
	return out
}

func (o Reshape) EvalDims(in []*ir.Value) ([]ir.Dim, bool) { return dimsOf(o, in) }

func (Reshape) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(reshapeTo(b, n.Name+"/grad", dOut[0], n.In[0].Type), n)
}

func (Reshape) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

func decodeReshape(d *Decoder) ir.Op {
	d.IntsToInput("shape", 1) // before opset 5, and in files that never changed
	return Reshape{AllowZero: d.Opset >= 14 && d.Bool("allowzero", false)}
}

func encodeReshape(e *Encoder) {
	if !e.Node.Op.(Reshape).AllowZero {
		return
	}
	if e.Opset >= 14 {
		e.Set("allowzero", true)
		return
	}
	if list, ok := e.In[1].ConstInts(); !ok || slices.Contains(list, 0) {
		e.Errorf("allowzero with a shape that may contain 0 needs opset 14, the file has %d", e.Opset)
	}
}

// Flatten makes x a matrix: the axes before Axis, and those from Axis on.
//
//	in  0 x
//	out 0 y [∏ x[:Axis], ∏ x[Axis:]]
//
// The usual axis is 1, which the field's zero value is not: files always say it.
// https://onnx.ai/onnx/operators/onnx__Flatten.html
type Flatten struct{ Axis int }

var (
	_ ir.Evaluator      = Flatten{}
	_ ir.Differentiable = Flatten{}
	_ ir.AxisMapper     = Flatten{}
	_ ir.QuantTraited   = Flatten{}
)

func (Flatten) Kind() string { return "Flatten" }

func (f Flatten) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	x := in[0].Type
	a, err := f.axis(x.Rank())
	if err != nil {
		return nil, err
	}
	return []ir.Type{{DType: x.DType, Dims: []ir.Dim{
		ir.Type{Dims: x.Dims[:a]}.Numel(), ir.Type{Dims: x.Dims[a:]}.Numel()}}}, nil
}

func (f Flatten) axis(rank int) (int, error) {
	a := f.Axis
	if a < 0 {
		a += rank
	}
	if a < 0 || a > rank {
		return 0, fmt.Errorf("axis %d is out of range for rank %d", f.Axis, rank)
	}
	return a, nil
}

func (f Flatten) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	s := in[0].Shape()
	a, err := f.axis(len(s))
	if err != nil {
		return nil, err
	}
	return one(in[0].Reshape(s[:a].Numel(), s[a:].Numel())), nil
}

func (Flatten) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(reshapeTo(b, n.Name+"/grad", dOut[0], n.In[0].Type), n)
}

func (Flatten) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

func decodeFlatten(d *Decoder) ir.Op { return Flatten{Axis: d.Int("axis", 1)} }

func encodeFlatten(e *Encoder) {
	a, err := e.Node.Op.(Flatten).axis(e.In[0].Type.Rank())
	if err != nil {
		e.Errorf("%v", err)
	}
	e.Set("axis", a)
}
