package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Mask keeps the elements of a weight where the mask is 1 and makes the others
// 0, whatever they are:
//
//	in  0 x   1 mask uint8, of x's shape, 0 or 1
//	out 0 y, as x
//
// Internal: it is carried out on the stored weight before export. The gradient of
// x is dy under the same mask, or, if Straight is set, dy; the mask has none.
type Mask struct{ Straight bool }

var (
	_ ir.Evaluator      = Mask{}
	_ ir.Differentiable = Mask{}
	_ ir.Costed         = Mask{}
	_ ir.AxisMapper     = Mask{}
)

func (Mask) Kind() string { return "Mask" }

func (Mask) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := wantDType(in[0], "input", tensor.Float32); err != nil {
		return nil, err
	}
	if in[1].Type.DType != tensor.Uint8 {
		return nil, fmt.Errorf("mask: got %v, want uint8", in[1].Type)
	}
	return []ir.Type{in[0].Type}, wantMayEqual(in[1], "mask", in[0].Type.WithDType(tensor.Uint8))
}

func (Mask) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 2); err != nil {
		return nil, err
	}
	x, m := in[0], in[1]
	if x.DType() != tensor.Float32 || m.DType() != tensor.Uint8 || x.Len() != m.Len() {
		return nil, fmt.Errorf("got input %v and mask %v, want float32 and uint8 of one shape", x, m)
	}
	y := make([]float32, x.Len())
	for i, k := range tensor.Data[uint8](m) {
		if k != 0 {
			y[i] = x.F32()[i]
		}
	}
	return one(tensor.From(y, x.Shape()...)), nil
}

func (m Mask) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	if m.Straight {
		return first(dOut[0], n)
	}
	return first(b.Op(Mask{}, n.Name+"/grad", dOut[0], n.In[1]), n)
}

// MapAxes implements [ir.AxisMapper].
func (Mask) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func (Mask) Cost(n *ir.Node) ir.Cost { return elementOps(n, 1) }
