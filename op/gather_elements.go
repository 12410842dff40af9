package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// GatherElements is y[p] = x[p with indices[p] at Axis].
//
//	in  0 x   1 indices, of the rank of x
//	out 0 y, of the shape of indices
//
// https://onnx.ai/onnx/operators/onnx__GatherElements.html
type GatherElements struct{ Axis int }

var (
	_ ir.Evaluator      = GatherElements{}
	_ ir.Differentiable = GatherElements{}
	_ ir.QuantTraited   = GatherElements{}
)

func (GatherElements) Kind() string { return "GatherElements" }

func (g GatherElements) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := wantIndices(in[1]); err != nil {
		return nil, err
	}
	if in[0].Type.Rank() != in[1].Type.Rank() {
		return nil, fmt.Errorf("got %v and indices %v, want equal ranks", in[0].Type, in[1].Type)
	}
	if _, err := tensor.Axis(g.Axis, in[0].Type.Rank()); err != nil {
		return nil, err
	}
	return []ir.Type{in[1].Type.WithDType(in[0].Type.DType)}, nil
}

// elementPos lists, for each index, the position in a tensor of shape xs.
func elementPos(xs tensor.Shape, indices *tensor.Tensor, axis int) ([]int, error) {
	a, err := tensor.Axis(axis, len(xs))
	if err != nil {
		return nil, err
	}
	is := indices.Shape()
	if len(is) != len(xs) {
		return nil, fmt.Errorf("got shape %v and indices %v, want equal ranks", xs, is)
	}
	for i := range xs {
		if i != a && is[i] > xs[i] {
			return nil, fmt.Errorf("got indices %v for %v, want axes that fit", is, xs)
		}
	}
	idx, err := indices.Ints()
	if err != nil {
		return nil, err
	}
	st := xs.Strides()
	step := st[a]
	st[a] = 0
	pos := stridedPos(is, st, 0)
	for k, i := range idx {
		i, err := index(i, xs[a])
		if err != nil {
			return nil, err
		}
		pos[k] += i * step
	}
	return pos, nil
}

func (g GatherElements) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	pos, err := elementPos(in[0].Shape(), in[1], g.Axis)
	if err != nil {
		return nil, err
	}
	return one(pick(in[0], in[1].Shape(), pos)), nil
}

func (g GatherElements) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	zero := zerosOf(b, n.Name+"/grad_zero", n.In[0].Type)
	return first(b.Op(ScatterElements{Axis: g.Axis, Reduction: "add"}, n.Name+"/grad", zero, n.In[1], dOut[0]), n)
}

func (GatherElements) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

func decodeGatherElements(d *Decoder) ir.Op { return GatherElements{Axis: d.Int("axis", 0)} }

func encodeGatherElements(e *Encoder) {
	e.MinOpset(11)
	e.Set("axis", e.Node.Op.(GatherElements).Axis)
}

// ScatterElements is a copy of x in which y[p with indices[p] at Axis] is
// replaced by, or combined by Reduction with, updates[p]. Reduction is "",
// "add", "mul", "max" or "min"; updates are taken in order.
//
//	in  0 x   1 indices, of the rank of x   2 updates, of the shape of indices
//	out 0 y, of the shape of x
//
// Opsets 9 and 10 call it Scatter.
// https://onnx.ai/onnx/operators/onnx__ScatterElements.html
type ScatterElements struct {
	Axis      int
	Reduction string
}

var (
	_ ir.Evaluator      = ScatterElements{}
	_ ir.Differentiable = ScatterElements{}
)

func (ScatterElements) Kind() string { return "ScatterElements" }

func checkReduction(r string) error { return oneOf("reduction", r, "", "add", "mul", "max", "min") }

func (s ScatterElements) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 3, 3); err != nil {
		return nil, err
	}
	if err := checkReduction(s.Reduction); err != nil {
		return nil, err
	}
	if err := wantIndices(in[1]); err != nil {
		return nil, err
	}
	if err := wantSameDType(in[0], in[2]); err != nil {
		return nil, err
	}
	r := in[0].Type.Rank()
	if _, err := tensor.Axis(s.Axis, r); err != nil {
		return nil, err
	}
	if in[1].Type.Rank() != r || in[2].Type.Rank() != r {
		return nil, fmt.Errorf("got %v, indices %v and updates %v, want equal ranks", in[0].Type, in[1].Type, in[2].Type)
	}
	return []ir.Type{in[0].Type}, nil
}

func (s ScatterElements) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if !in[1].Shape().Equal(in[2].Shape()) {
		return nil, fmt.Errorf("got indices %v and updates %v, want one shape", in[1].Shape(), in[2].Shape())
	}
	pos, err := elementPos(in[0].Shape(), in[1], s.Axis)
	if err != nil {
		return nil, err
	}
	return oneErr(scatter(in[0], in[2], pos, s.Reduction))
}

// scatter combines the elements of src, in order, into a copy of dst.
func scatter(dst, src *tensor.Tensor, pos []int, reduction string) (*tensor.Tensor, error) {
	if dst.DType() != src.DType() {
		return nil, fmt.Errorf("got %v and %v elements, want the same", dst.DType(), src.DType())
	}
	if reduction == "" {
		y := dst.Clone()
		place(y, src, pos)
		return y, nil
	}
	if dst.DType().IsFloat() {
		y, _ := dst.Float64s()
		v, _ := src.Float64s()
		combine(y, v, pos, reduction)
		return fromFloats(dst.DType(), y, dst.Shape()...), nil
	}
	y, err := dst.Ints()
	if err != nil {
		return nil, err
	}
	v, _ := src.Ints()
	combine(y, v, pos, reduction)
	return fromInts(dst.DType(), y, dst.Shape()...), nil
}

func combine[T int | float64](y, v []T, pos []int, reduction string) {
	for i, p := range pos {
		switch reduction {
		case "add":
			y[p] += v[i]
		case "mul":
			y[p] *= v[i]
		case "max":
			y[p] = max(y[p], v[i])
		case "min":
			y[p] = min(y[p], v[i])
		}
	}
}

func (s ScatterElements) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, 3)
	name, dy := n.Name+"/grad", dOut[0]
	switch s.Reduction {
	case "":
		if need[0] {
			grads[0] = b.Op(ScatterElements{Axis: s.Axis}, name, dy, n.In[1], zerosOf(b, name+"_zero", n.In[2].Type))
		}
	case "add":
		if need[0] {
			grads[0] = dy
		}
	default:
		return nil, fmt.Errorf("reduction %q has no gradient, only none and add have", s.Reduction)
	}
	if need[2] {
		grads[2] = b.Op(GatherElements{Axis: s.Axis}, name, dy, n.In[1])
	}
	return grads, nil
}

func decodeReductionAttr(d *Decoder) string {
	r := ""
	if d.Opset >= 16 {
		if r = d.Str("reduction", "none"); r == "none" {
			r = ""
		}
	}
	if err := checkReduction(r); err != nil {
		d.Errorf("%w", err)
	}
	return r
}

func encodeReductionAttr(e *Encoder, r string) {
	switch r {
	case "":
		return
	case "add", "mul":
		e.MinOpset(16)
	default:
		e.MinOpset(18)
	}
	e.Set("reduction", r)
}

func decodeScatterElements(d *Decoder) ir.Op {
	return ScatterElements{Axis: d.Int("axis", 0), Reduction: decodeReductionAttr(d)}
}

func encodeScatterElements(e *Encoder) {
	s := e.Node.Op.(ScatterElements)
	if e.Opset < 11 {
		e.MinOpset(9)
		e.OpType = "Scatter"
	}
	e.Set("axis", encodedAxis(e, s.Axis))
	encodeReductionAttr(e, s.Reduction)
}

// Scatter is the name that opsets 9 and 10 have for [ScatterElements], which
// it decodes to.
//
// https://onnx.ai/onnx/operators/onnx__Scatter.html
type Scatter struct{ ScatterElements }

var (
	_ ir.Evaluator      = Scatter{}
	_ ir.Differentiable = Scatter{}
)

func (Scatter) Kind() string { return "Scatter" }
