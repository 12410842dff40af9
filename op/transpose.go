package op

import (
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Transpose permutes the axes: axis i of y is axis Perm[i] of x; without Perm
// the order is reversed.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Transpose.html
type Transpose struct{ Perm []int }

var (
	_ ir.Evaluator      = Transpose{}
	_ ir.Differentiable = Transpose{}
	_ ir.AxisMapper     = Transpose{}
	_ ir.QuantTraited   = Transpose{}
)

func (Transpose) Kind() string { return "Transpose" }

// Resolved returns the permutation for a given rank.
func (t Transpose) Resolved(rank int) ([]int, error) {
	if t.Perm == nil {
		p := make([]int, rank)
		for i := range p {
			p[i] = rank - 1 - i
		}
		return p, nil
	}
	seen := make([]bool, rank)
	for _, a := range t.Perm {
		if len(t.Perm) != rank || a < 0 || a >= rank || seen[a] {
			return nil, fmt.Errorf("perm: got %v, want a permutation of 0..%d", t.Perm, rank-1)
		}
		seen[a] = true
	}
	if len(t.Perm) != rank {
		return nil, fmt.Errorf("perm: got %v, want a permutation of 0..%d", t.Perm, rank-1)
	}
	return t.Perm, nil
}

func (t Transpose) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	p, err := t.Resolved(in[0].Type.Rank())
	if err != nil {
		return nil, err
	}
	out := ir.Type{DType: in[0].Type.DType, Dims: make([]ir.Dim, len(p))}
	for i, a := range p {
		out.Dims[i] = in[0].Type.Dims[a]
	}
	return []ir.Type{out}, nil
}

func (t Transpose) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	s := in[0].Shape()
	p, err := t.Resolved(len(s))
	if err != nil {
		return nil, err
	}
	shape, strides, st := make(tensor.Shape, len(p)), make([]int, len(p)), s.Strides()
	for i, a := range p {
		shape[i], strides[i] = s[a], st[a]
	}
	return one(pick(in[0], shape, stridedPos(shape, strides, 0))), nil
}

func (t Transpose) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	p, err := t.Resolved(n.In[0].Type.Rank())
	if err != nil {
		return nil, err
	}
	inv := make([]int, len(p))
	for i, a := range p {
		inv[a] = i
	}
	return first(b.Op(Transpose{Perm: inv}, n.Name+"/grad", dOut[0]), n)
}

// MapAxes implements [ir.AxisMapper].
func (t Transpose) MapAxes(n *ir.Node, m ir.AxisMap) {
	perm, err := t.Resolved(n.In[0].Type.Rank())
	if err != nil {
		return
	}
	for i, a := range perm {
		tieAxes(m, n.In[0], a, n.Out[0], i)
	}
}

func (Transpose) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

func decodeTranspose(d *Decoder) ir.Op { return Transpose{Perm: d.Ints("perm")} }

func encodeTranspose(e *Encoder) { e.Set("perm", slices.Clone(e.Node.Op.(Transpose).Perm)) }
