package op

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Squeeze removes axes of length 1: those listed, or all of them.
//
//	in  0 x   1 axes int64 [k], optional
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Squeeze.html
type Squeeze struct{}

var (
	_ ir.Evaluator      = Squeeze{}
	_ ir.Differentiable = Squeeze{}
	_ ir.DimsEvaluator  = Squeeze{}
	_ ir.AxisMapper     = Squeeze{}
	_ ir.QuantTraited   = Squeeze{}
)

func (Squeeze) Kind() string { return "Squeeze" }

func (s Squeeze) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 2); err != nil {
		return nil, err
	}
	var axes []int
	if v := present(in, 1); v != nil {
		var ok bool
		if axes, ok = v.ConstInts(); !ok {
			k, known := v.Type.Numel().Known()
			if !known || k > in[0].Type.Rank() {
				return nil, errors.New("axes are not constant, so the rank of the result is unknown")
			}
			dims := make([]ir.Dim, in[0].Type.Rank()-k)
			for i := range dims {
				dims[i] = ir.Unknown()
			}
			return []ir.Type{{DType: in[0].Type.DType, Dims: dims}}, nil
		}
	}
	dims, err := s.dims(in[0].Type.Dims, axes, present(in, 1) != nil)
	return []ir.Type{{DType: in[0].Type.DType, Dims: dims}}, err
}

func (Squeeze) dims(x []ir.Dim, axes []int, listed bool) ([]ir.Dim, error) {
	if listed {
		if axes == nil {
			axes = []int{}
		}
		var err error
		if axes, err = axesOf(axes, len(x)); err != nil {
			return nil, err
		}
	}
	out := []ir.Dim{}
	for i, d := range x {
		switch {
		case listed && !slices.Contains(axes, i), !listed && !d.IsOne():
			out = append(out, d)
		case !d.MayEqual(ir.Len(1)):
			return nil, fmt.Errorf("axis %d has length %v, want 1", i, d)
		}
	}
	return out, nil
}

func (s Squeeze) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	var axes []int
	t := present(in, 1)
	if t != nil {
		var err error
		if axes, err = t.Ints(); err != nil {
			return nil, err
		}
	}
	dims, err := s.dims(ir.TypeOf(in[0]).Dims, axes, t != nil)
	if err != nil {
		return nil, err
	}
	shape, _ := ir.Type{Dims: dims}.Shape()
	return one(in[0].Reshape(shape...)), nil
}

func (o Squeeze) EvalDims(in []*ir.Value) ([]ir.Dim, bool) { return dimsOf(o, in) }

func (Squeeze) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(reshapeTo(b, n.Name+"/grad", dOut[0], n.In[0].Type), n)
}

// MapAxes implements [ir.AxisMapper].
func (Squeeze) MapAxes(n *ir.Node, m ir.AxisMap) { squeezeAxes(n.In[0], n.Out[0], m) }

func (Squeeze) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

func decodeSqueeze(d *Decoder) ir.Op {
	if d.Opset < 13 {
		d.IntsToInput("axes", 1)
	}
	return Squeeze{}
}

func encodeSqueeze(e *Encoder) {
	if e.Opset < 13 {
		axesToAttr(e, 1, "axes", e.In[0].Type.Rank())
	}
}

// Unsqueeze inserts axes of length 1, at the listed places of the result.
//
//	in  0 x   1 axes int64 [k]
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Unsqueeze.html
type Unsqueeze struct{}

var (
	_ ir.Evaluator      = Unsqueeze{}
	_ ir.Differentiable = Unsqueeze{}
	_ ir.DimsEvaluator  = Unsqueeze{}
	_ ir.AxisMapper     = Unsqueeze{}
	_ ir.QuantTraited   = Unsqueeze{}
)

func (Unsqueeze) Kind() string { return "Unsqueeze" }

func (u Unsqueeze) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	axes, ok := in[1].ConstInts()
	if !ok {
		k, known := in[1].Type.Numel().Known()
		if !known || k > maxRank {
			return nil, errors.New("axes are not constant, so the rank of the result is unknown")
		}
		dims := make([]ir.Dim, in[0].Type.Rank()+k)
		for i := range dims {
			dims[i] = ir.Unknown()
		}
		return []ir.Type{{DType: in[0].Type.DType, Dims: dims}}, nil
	}
	dims, err := u.dims(in[0].Type.Dims, axes)
	return []ir.Type{{DType: in[0].Type.DType, Dims: dims}}, err
}

func (Unsqueeze) dims(x []ir.Dim, axes []int) ([]ir.Dim, error) {
	if len(axes) > maxRank {
		return nil, fmt.Errorf("got %d axes, want at most %d", len(axes), maxRank)
	}
	if axes == nil {
		axes = []int{}
	}
	axes, err := axesOf(axes, len(x)+len(axes))
	if err != nil {
		return nil, err
	}
	out := slices.Clone(x)
	for _, a := range axes {
		out = slices.Insert(out, a, ir.Len(1))
	}
	return out, nil
}

func (u Unsqueeze) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	axes, err := in[1].Ints()
	if err != nil {
		return nil, err
	}
	dims, err := u.dims(ir.TypeOf(in[0]).Dims, axes)
	if err != nil {
		return nil, err
	}
	shape, _ := ir.Type{Dims: dims}.Shape()
	return one(in[0].Reshape(shape...)), nil
}

func (Unsqueeze) EvalDims(in []*ir.Value) ([]ir.Dim, bool) { return in[0].ConstDims() }

func (Unsqueeze) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(reshapeTo(b, n.Name+"/grad", dOut[0], n.In[0].Type), n)
}

// MapAxes implements [ir.AxisMapper].
func (Unsqueeze) MapAxes(n *ir.Node, m ir.AxisMap) { squeezeAxes(n.Out[0], n.In[0], m) }

func (Unsqueeze) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

func decodeUnsqueeze(d *Decoder) ir.Op {
	if d.Opset < 13 {
		d.IntsToInput("axes", 1)
	}
	return Unsqueeze{}
}

func encodeUnsqueeze(e *Encoder) {
	if e.Opset < 13 {
		axesToAttr(e, 1, "axes", e.Node.Out[0].Type.Rank())
	}
}
