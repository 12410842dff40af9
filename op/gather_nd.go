package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// GatherND takes the slices of x that the last axis of indices addresses; the
// first BatchDims axes are common to both.
//
//	in  0 x   1 indices int64 [b…, q…, k]
//	out 0 y [b…, q…, x[BatchDims+k:]…]
//
// https://onnx.ai/onnx/operators/onnx__GatherND.html
type GatherND struct{ BatchDims int }

var (
	_ ir.Evaluator      = GatherND{}
	_ ir.Differentiable = GatherND{}
	_ ir.QuantTraited   = GatherND{}
)

func (GatherND) Kind() string { return "GatherND" }

func (g GatherND) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := wantIndices(in[1]); err != nil {
		return nil, err
	}
	x, ix := in[0].Type, in[1].Type
	if x.Rank() < 1 || ix.Rank() < 1 || g.BatchDims < 0 || g.BatchDims >= min(x.Rank(), ix.Rank()) {
		return nil, fmt.Errorf("got %v and indices %v with %d batch axes, want fewer", x, ix, g.BatchDims)
	}
	k, ok := ix.Dims[ix.Rank()-1].Known()
	if !ok || k < 1 || g.BatchDims+k > x.Rank() {
		return nil, fmt.Errorf("indices: got %v, want a last axis of 1 to %d", ix, x.Rank()-g.BatchDims)
	}
	dims := append([]ir.Dim(nil), ix.Dims[:ix.Rank()-1]...)
	return []ir.Type{{DType: x.DType, Dims: append(dims, x.Dims[g.BatchDims+k:]...)}}, nil
}

// slicePos lists the positions of the slices that indices address in a tensor
// of shape xs, and the shape they form.
func slicePos(xs tensor.Shape, indices *tensor.Tensor, batch int) (tensor.Shape, []int, error) {
	is := indices.Shape()
	idx, err := indices.Ints()
	if err != nil {
		return nil, nil, err
	}
	if len(is) < 1 || batch < 0 || batch >= min(len(xs), len(is)) || !is[:batch].Equal(xs[:batch]) {
		return nil, nil, fmt.Errorf("got shape %v and indices %v with %d batch axes, want equal batch axes", xs, is, batch)
	}
	k := is[len(is)-1]
	if k < 1 || batch+k > len(xs) {
		return nil, nil, fmt.Errorf("indices: got %v for %v, want a last axis of 1 to %d", is, xs, len(xs)-batch)
	}
	shape := append(is[:len(is)-1].Clone(), xs[batch+k:]...)
	if err := checkSize(shape); err != nil {
		return nil, nil, err
	}
	inner := xs[batch+k:].Numel()
	perBatch := is[batch : len(is)-1].Numel()
	block := xs[batch:].Numel()
	st := xs.Strides()
	pos := make([]int, 0, shape.Numel())
	for row := range len(idx) / k {
		base := row / max(1, perBatch) * block
		for j, i := range idx[row*k:][:k] {
			i, err := index(i, xs[batch+j])
			if err != nil {
				return nil, nil, err
			}
			base += i * st[batch+j]
		}
		for e := range inner {
			pos = append(pos, base+e)
		}
	}
	return shape, pos, nil
}

func (g GatherND) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	shape, pos, err := slicePos(in[0].Shape(), in[1], g.BatchDims)
	if err != nil {
		return nil, err
	}
	return one(pick(in[0], shape, pos)), nil
}

func (g GatherND) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(b.Op(GatherNDGrad{BatchDims: g.BatchDims, Shape: n.In[0].Type.MustShape()}, n.Name+"/grad", dOut[0], n.In[1]), n)
}

func (GatherND) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

func decodeGatherND(d *Decoder) ir.Op {
	g := GatherND{}
	if d.Opset >= 12 {
		g.BatchDims = d.Int("batch_dims", 0)
	}
	return g
}

func encodeGatherND(e *Encoder) {
	e.MinOpset(11)
	if g := e.Node.Op.(GatherND); g.BatchDims != 0 {
		e.MinOpset(12)
		e.Set("batch_dims", g.BatchDims)
	}
}

// GatherNDGrad adds each slice of dy to the slice of zeros of the given Shape
// that it was taken from, in the order of the indices. Internal: the gradient
// of [GatherND].
//
//	in  0 dy   1 indices
//	out 0 dx
type GatherNDGrad struct {
	BatchDims int
	Shape     []int
}

var (
	_ ir.Evaluator      = GatherNDGrad{}
	_ ir.Differentiable = GatherNDGrad{}
)

func (GatherNDGrad) Kind() string { return "GatherNDGrad" }

func (g GatherNDGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := wantIndices(in[1]); err != nil {
		return nil, err
	}
	return []ir.Type{ir.MakeType(in[0].Type.DType, g.Shape...)}, tensor.Shape(g.Shape).Check()
}

func (g GatherNDGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := checkSize(g.Shape); err != nil {
		return nil, err
	}
	shape, pos, err := slicePos(g.Shape, in[1], g.BatchDims)
	if err != nil {
		return nil, err
	}
	if !shape.Equal(in[0].Shape()) {
		return nil, fmt.Errorf("got gradient %v, want %v", in[0].Shape(), shape)
	}
	return oneErr(addAt(in[0], g.Shape, pos))
}

func (g GatherNDGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(b.Op(GatherND{BatchDims: g.BatchDims}, n.Name+"/grad", dOut[0], n.In[1]), n)
}

// ScatterND is a copy of x in which the slices that the last axis of indices
// addresses are replaced by, or combined by Reduction with, those of updates.
// Reduction is "", "add", "mul", "max" or "min"; updates are taken in order.
//
//	in  0 x   1 indices int64 [q…, k]   2 updates [q…, x[k:]…]
//	out 0 y, of the shape of x
//
// https://onnx.ai/onnx/operators/onnx__ScatterND.html
type ScatterND struct{ Reduction string }

var (
	_ ir.Evaluator      = ScatterND{}
	_ ir.Differentiable = ScatterND{}
)

func (ScatterND) Kind() string { return "ScatterND" }

func (s ScatterND) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 3, 3); err != nil {
		return nil, err
	}
	if err := checkReduction(s.Reduction); err != nil {
		return nil, err
	}
	if err := wantSameDType(in[0], in[2]); err != nil {
		return nil, err
	}
	t, err := GatherND{}.Infer(in[:2])
	if err != nil {
		return nil, err
	}
	if len(t[0].Dims) != in[2].Type.Rank() {
		return nil, fmt.Errorf("updates: got %v, want %v", in[2].Type, t[0])
	}
	return []ir.Type{in[0].Type}, nil
}

func (s ScatterND) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	shape, pos, err := slicePos(in[0].Shape(), in[1], 0)
	if err != nil {
		return nil, err
	}
	if !shape.Equal(in[2].Shape()) {
		return nil, fmt.Errorf("updates: got shape %v, want %v", in[2].Shape(), shape)
	}
	return oneErr(scatter(in[0], in[2], pos, s.Reduction))
}

func (s ScatterND) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, 3)
	name, dy := n.Name+"/grad", dOut[0]
	switch s.Reduction {
	case "":
		if need[0] {
			grads[0] = b.Op(ScatterND{}, name, dy, n.In[1], zerosOf(b, name+"_zero", n.In[2].Type))
		}
	case "add":
		if need[0] {
			grads[0] = dy
		}
	default:
		return nil, fmt.Errorf("reduction %q has no gradient, only none and add have", s.Reduction)
	}
	if need[2] {
		grads[2] = b.Op(GatherND{}, name, dy, n.In[1])
	}
	return grads, nil
}

func decodeScatterND(d *Decoder) ir.Op { return ScatterND{Reduction: decodeReductionAttr(d)} }

func encodeScatterND(e *Encoder) {
	e.MinOpset(11)
	encodeReductionAttr(e, e.Node.Op.(ScatterND).Reduction)
}
