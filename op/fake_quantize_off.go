package op

import (
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// FakeQuantizeOff stands for a fake-quantizer that is not in effect yet: y = x,
// and its parameters, which stay inputs, get gradients of zero.
//
//	in  0 x   1… parameters
//	out 0 y
//
// Internal: training in stages switches quantizers on.
type FakeQuantizeOff struct{}

var (
	_ ir.Evaluator      = FakeQuantizeOff{}
	_ ir.Differentiable = FakeQuantizeOff{}
	_ ir.AxisMapper     = FakeQuantizeOff{}
)

func (FakeQuantizeOff) Kind() string { return "FakeQuantizeOff" }

func (FakeQuantizeOff) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 3); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type}, nil
}

func (FakeQuantizeOff) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) { return one(in[0]), nil }

func (FakeQuantizeOff) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, len(n.In))
	grads[0] = dOut[0]
	for i := 1; i < len(n.In); i++ {
		if need[i] {
			grads[i] = b.Const(n.Name+"/zero", tensor.New(tensor.Float32, n.In[i].Type.MustShape()...))
		}
	}
	return grads, nil
}

// MapAxes implements [ir.AxisMapper].
func (FakeQuantizeOff) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }
