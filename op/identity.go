package op

import (
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Identity is y = x.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Identity.html
type Identity struct{}

var (
	_ ir.Evaluator      = Identity{}
	_ ir.Differentiable = Identity{}
	_ ir.DimsEvaluator  = Identity{}
	_ ir.AxisMapper     = Identity{}
	_ ir.QuantTraited   = Identity{}
)

func (Identity) Kind() string { return "Identity" }

func (Identity) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type}, nil
}

func (Identity) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) { return one(in[0]), nil }

func (Identity) EvalDims(in []*ir.Value) ([]ir.Dim, bool) { return in[0].ConstDims() }

func (Identity) Grad(_ *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(dOut[0], n)
}

// MapAxes implements [ir.AxisMapper].
func (Identity) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func (Identity) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

// ConstantTensor is the value of a file's Constant node. Such nodes have no
// operator here: importers turn them into constants. Problems are recorded in
// d; the result is nil then.
//
// https://onnx.ai/onnx/operators/onnx__Constant.html
func ConstantTensor(d *Decoder) *tensor.Tensor {
	switch {
	case d.Has("value"):
		return d.Tensor("value")
	case d.Has("value_float"):
		return tensor.Scalar(d.Float("value_float", 0))
	case d.Has("value_floats"):
		v := d.Floats("value_floats")
		return tensor.From(v, len(v))
	case d.Has("value_int"):
		return tensor.Scalar(attrAs(d, "value_int", int64(0)))
	case d.Has("value_ints"):
		v := attrAs(d, "value_ints", []int64(nil))
		return tensor.From(v, len(v))
	case d.Has("value_string"):
		return tensor.Scalar(d.Str("value_string", ""))
	case d.Has("value_strings"):
		v := d.Strs("value_strings")
		return tensor.From(v, len(v))
	}
	d.Errorf("got no value attribute, want value, value_float(s), value_int(s) or value_string(s)")
	return nil
}
