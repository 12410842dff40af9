package op

import (
	"errors"
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Range is start, start+delta, …, up to but without limit.
//
//	in  0 start   1 limit   2 delta, all scalars
//	out 0 y [max(0, ⌈(limit-start)/delta⌉)]
//
// https://onnx.ai/onnx/operators/onnx__Range.html
type Range struct{}

var (
	_ ir.Evaluator         = Range{}
	_ ir.NonDifferentiable = Range{}
	_ ir.DimsEvaluator     = Range{}
)

func (Range) Kind() string { return "Range" }

func (Range) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 3, 3); err != nil {
		return nil, err
	}
	if err := wantNumbers(in...); err != nil {
		return nil, err
	}
	if err := wantSameDType(in...); err != nil {
		return nil, err
	}
	if err := wantScalars(in); err != nil {
		return nil, err
	}
	return []ir.Type{{DType: in[0].Type.DType, Dims: []ir.Dim{rangeDim(in)}}}, nil
}

// rangeDim is the length as far as inference knows the arguments.
func rangeDim(in []*ir.Value) ir.Dim {
	if f, ok := constFloats(in[0]); ok && len(f) == 1 {
		limit, ok1 := constFloats(in[1])
		delta, ok2 := constFloats(in[2])
		if ok1 && ok2 && len(limit) == 1 && len(delta) == 1 {
			if n, err := rangeLen(f[0], limit[0], delta[0]); err == nil {
				return ir.Len(n)
			}
		}
	}
	start, ok1 := in[0].ConstDims()
	limit, ok2 := in[1].ConstDims()
	delta, ok3 := in[2].ConstDims()
	if !ok1 || !ok2 || !ok3 || len(start) != 1 || len(limit) != 1 || len(delta) != 1 {
		return ir.Unknown()
	}
	s, sk := start[0].Known()
	l, lk := limit[0].Known()
	d, dk := delta[0].Known()
	switch {
	case sk && lk && dk:
		if n, err := rangeLen(float64(s), float64(l), float64(d)); err == nil {
			return ir.Len(n)
		}
	case sk && s == 0 && dk && d == 1 && limit[0].N > 0:
		return limit[0]
	}
	return ir.Unknown()
}

func rangeLen(start, limit, delta float64) (int, error) {
	n := math.Ceil((limit - start) / delta)
	if delta == 0 || isNaN(n) || n > maxElements {
		return 0, fmt.Errorf("got start %g, limit %g and delta %g, want at most %d elements", start, limit, delta, maxElements)
	}
	return int(max(0, n)), nil
}

func (Range) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	var v [3]float64
	for i, what := range []string{"start", "limit", "delta"} {
		var err error
		if v[i], err = scalarOf(in[i], what); err != nil {
			return nil, err
		}
	}
	n, err := rangeLen(v[0], v[1], v[2])
	if err != nil {
		return nil, err
	}
	d := in[0].DType()
	if d.IsInteger() {
		start, err := intOf(in[0], "start")
		if err != nil {
			return nil, err
		}
		delta, err := intOf(in[2], "delta")
		if err != nil {
			return nil, err
		}
		out := make([]int, n)
		for i := range out {
			out[i] = start + i*delta
		}
		return one(fromInts(d, out, n)), nil
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = v[0] + float64(i)*v[2]
	}
	return one(fromFloats(d, out, n)), nil
}

func (Range) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	start, ok1 := in[0].ConstInts()
	limit, ok2 := in[1].ConstInts()
	delta, ok3 := in[2].ConstInts()
	if !ok1 || !ok2 || !ok3 || len(start) != 1 || len(limit) != 1 || len(delta) != 1 {
		return nil, false
	}
	n, err := rangeLen(float64(start[0]), float64(limit[0]), float64(delta[0]))
	if err != nil || n > maxRank {
		return nil, false
	}
	out := make([]ir.Dim, n)
	for i := range out {
		out[i] = ir.Len(start[0] + i*delta[0])
	}
	return out, true
}

func (Range) NoGrad() string { return "the number of elements depends on the arguments" }

// EyeLike has ones on diagonal K of a matrix of x's shape, zeros elsewhere.
// DType, if set, is its element type; otherwise x's is.
//
//	in  0 x [M, N]
//	out 0 y [M, N]
//
// https://onnx.ai/onnx/operators/onnx__EyeLike.html
type EyeLike struct {
	DType tensor.DType
	K     int
}

var (
	_ ir.Evaluator      = EyeLike{}
	_ ir.Differentiable = EyeLike{}
)

func (EyeLike) Kind() string { return "EyeLike" }

func (o EyeLike) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if typeOr(o.DType, in[0].Type.DType) == tensor.String {
		return nil, errors.New("got string elements, want numbers")
	}
	return []ir.Type{in[0].Type.WithDType(typeOr(o.DType, in[0].Type.DType))}, wantRank(in[0], "input", 2, 2)
}

func (o EyeLike) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	s := in[0].Shape()
	if len(s) != 2 {
		return nil, fmt.Errorf("got shape %v, want a matrix", s)
	}
	out := make([]float64, s.Numel())
	for i := range s[0] {
		if j := i + o.K; j >= 0 && j < s[1] {
			out[i*s[1]+j] = 1
		}
	}
	return one(fromFloats(typeOr(o.DType, in[0].DType()), out, s...)), nil
}

// Grad: only the shape of x counts.
func (EyeLike) Grad(_ *ir.Builder, n *ir.Node, _ []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return zeroGrad(n)
}

func decodeEyeLike(d *Decoder) ir.Op {
	return EyeLike{DType: dtypeAttribute(d), K: d.Int("k", 0)}
}

func encodeEyeLike(e *Encoder) {
	e.MinOpset(9)
	o := e.Node.Op.(EyeLike)
	if o.DType != tensor.Invalid {
		e.Set("dtype", TypeCode(o.DType))
	}
	e.Set("k", o.K)
}

// OneHot is values[1] where the position along Axis is the index, values[0]
// elsewhere. Negative indices count from depth; indices out of range give
// values[0] everywhere.
//
//	in  0 indices   1 depth, scalar   2 values [2]
//	out 0 y, of the rank of indices plus one
//
// The field's zero value is axis 0, files default to -1.
// https://onnx.ai/onnx/operators/onnx__OneHot.html
type OneHot struct{ Axis int }

var (
	_ ir.Evaluator         = OneHot{}
	_ ir.NonDifferentiable = OneHot{}
)

func (OneHot) Kind() string { return "OneHot" }

func (o OneHot) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 3, 3); err != nil {
		return nil, err
	}
	if err := wantNumbers(in[0], in[1]); err != nil {
		return nil, err
	}
	ix := in[0].Type
	a, err := tensor.Axis(o.Axis, ix.Rank()+1)
	if err != nil {
		return nil, err
	}
	depth := ir.Unknown()
	if f, ok := constFloat(in[1]); ok {
		if !(f >= 0 && f <= maxElements) {
			return nil, fmt.Errorf("depth: got %g, want 0 to %d", f, maxElements)
		}
		depth = ir.Len(int(f))
	} else if d, ok := in[1].ConstDims(); ok && len(d) == 1 && d[0].N > 0 {
		depth = d[0]
	}
	dims := append([]ir.Dim(nil), ix.Dims[:a]...)
	dims = append(append(dims, depth), ix.Dims[a:]...)
	return []ir.Type{{DType: in[2].Type.DType, Dims: dims}}, nil
}

func (o OneHot) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	is := in[0].Shape()
	a, err := tensor.Axis(o.Axis, len(is)+1)
	if err != nil {
		return nil, err
	}
	d, err := scalarOf(in[1], "depth")
	if err != nil {
		return nil, err
	}
	if !(d >= 0 && d <= maxElements) || in[2].Len() != 2 {
		return nil, fmt.Errorf("got depth %g and values %v, want a positive number and two values", d, in[2])
	}
	depth := int(d)
	idx, err := in[0].Float64s()
	if err != nil {
		return nil, err
	}
	shape := append(append(is[:a].Clone(), depth), is[a:]...)
	if err := checkSize(shape); err != nil {
		return nil, err
	}
	inner := is[a:].Numel()
	pos := make([]int, shape.Numel())
	for k, f := range idx {
		if f < 0 {
			f += float64(depth)
		}
		if f >= 0 && f < float64(depth) {
			pos[(k/inner*depth+int(f))*inner+k%inner] = 1
		}
	}
	return one(pick(in[2], shape, pos)), nil
}

func (OneHot) NoGrad() string {
	return "indices are not differentiable, and the two values are settings"
}

func decodeOneHot(d *Decoder) ir.Op { return OneHot{Axis: d.Int("axis", -1)} }

func encodeOneHot(e *Encoder) {
	e.MinOpset(9)
	e.Set("axis", e.Node.Op.(OneHot).Axis)
}

// NonZero lists the indices of the elements that are not zero, in row-major
// order, one column each.
//
//	in  0 x
//	out 0 y int64 [rank, n]
//
// https://onnx.ai/onnx/operators/onnx__NonZero.html
type NonZero struct{}

var _ ir.Evaluator = NonZero{}

func (NonZero) Kind() string { return "NonZero" }

func (NonZero) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if in[0].Type.DType == tensor.String {
		return nil, errors.New("got string elements, want numbers")
	}
	return []ir.Type{{DType: tensor.Int64, Dims: []ir.Dim{ir.Len(in[0].Type.Rank()), ir.Unknown()}}}, nil
}

func (NonZero) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	v, err := in[0].Float64s()
	if err != nil {
		return nil, err
	}
	var at []int
	for i, e := range v {
		if e != 0 {
			at = append(at, i)
		}
	}
	s := in[0].Shape()
	out := make([]int64, len(s)*len(at))
	for a, st := range s.Strides() {
		for k, i := range at {
			out[a*len(at)+k] = int64(i / st % s[a])
		}
	}
	return one(tensor.From(out, len(s), len(at))), nil
}
