package op

import (
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Where is z = x where c, else y, with broadcasting.
//
//	in  0 c bool   1 x   2 y
//	out 0 z
//
// https://onnx.ai/onnx/operators/onnx__Where.html
type Where struct{}

var (
	_ ir.Evaluator      = Where{}
	_ ir.Differentiable = Where{}
	_ ir.DimsEvaluator  = Where{}
	_ ir.Costed         = Where{}
	_ ir.AxisMapper     = Where{}
)

func (Where) Kind() string { return "Where" }

func (Where) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 3, 3); err != nil {
		return nil, err
	}
	if err := wantDType(in[0], "condition", tensor.Bool); err != nil {
		return nil, err
	}
	if err := wantSameDType(in[1:]...); err != nil {
		return nil, err
	}
	dims, err := broadcastTypes(in)
	if err != nil {
		return nil, err
	}
	return []ir.Type{{DType: in[1].Type.DType, Dims: dims}}, nil
}

func (Where) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	shape, err := tensor.Broadcast(in[0].Shape(), in[1].Shape(), in[2].Shape())
	if err != nil {
		return nil, err
	}
	if err := checkSize(shape); err != nil {
		return nil, err
	}
	c, pc := tensor.Data[bool](in[0]), broadcastPos(shape, in[0].Shape())
	px := broadcastPos(shape, in[1].Shape())
	z := pick(in[2], shape, broadcastPos(shape, in[2].Shape()))
	dst := make([]int, len(px))
	for i := range dst {
		if dst[i] = -1; c[pc[i]] {
			dst[i] = i
		}
	}
	place(z, pick(in[1], shape, px), dst)
	return one(z), nil
}

func (Where) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	c, ok := knownBools(in[0])
	if !ok || len(c) == 0 {
		return nil, false
	}
	i := -1
	out, ok := zipDims(in[1:], func(a, b ir.Dim) ir.Dim {
		i++
		if c[min(i, len(c)-1)] {
			return a
		}
		return b
	})
	return out, ok && len(out) >= len(c)
}

func (Where) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, 3)
	c, dy := gradCalc(b, n), dOut[0]
	if need[1] {
		grads[1] = sumTo(b, c.name, c.where(n.In[0], dy, c.num(dy, 0)), n.In[1].Type)
	}
	if need[2] {
		grads[2] = sumTo(b, c.name, c.where(n.In[0], c.num(dy, 0), dy), n.In[2].Type)
	}
	return grads, nil
}

func (Where) Cost(n *ir.Node) ir.Cost { return elementOps(n, 1) }

// MapAxes implements [ir.AxisMapper].
func (Where) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }
