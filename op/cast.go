package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// onnxCodes are the values of TensorProto.DataType, by our element type.
var onnxCodes = [...]int{
	tensor.Float32: 1, tensor.Uint8: 2, tensor.Int8: 3, tensor.Uint16: 4, tensor.Int16: 5, tensor.Int32: 6,
	tensor.Int64: 7, tensor.String: 8, tensor.Bool: 9, tensor.Float16: 10, tensor.Float64: 11, tensor.Uint32: 12,
	tensor.Uint64: 13, tensor.BFloat16: 16, tensor.Uint4: 21, tensor.Int4: 22,
}

// TypeCode returns the value of TensorProto.DataType for an element type.
func TypeCode(d tensor.DType) int { return onnxCodes[d] }

// TypeOfCode returns the element type for a value of TensorProto.DataType.
func TypeOfCode(code int) (tensor.DType, error) {
	for d, c := range onnxCodes {
		if c == code && c != 0 {
			return tensor.DType(d), nil
		}
	}
	return tensor.Invalid, fmt.Errorf("element type %d of ONNX is not supported", code)
}

// Cast converts the elements to type To. Floating point becomes integer by
// truncation, out-of-range values are not defined; anything but zero is true.
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Cast.html
type Cast struct{ To tensor.DType }

var (
	_ ir.Evaluator      = Cast{}
	_ ir.Differentiable = Cast{}
	_ ir.DimsEvaluator  = Cast{}
	_ ir.Costed         = Cast{}
	_ ir.AxisMapper     = Cast{}
)

func (Cast) Kind() string { return "Cast" }

func (c Cast) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if c.To == tensor.Invalid || c.To == tensor.String || in[0].Type.DType == tensor.String && c.To != tensor.String {
		return nil, fmt.Errorf("got a cast from %v to %v, want numbers", in[0].Type.DType, c.To)
	}
	return []ir.Type{in[0].Type.WithDType(c.To)}, nil
}

func (c Cast) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) { return oneErr(castTo(in[0], c.To)) }

func castTo(x *tensor.Tensor, to tensor.DType) (*tensor.Tensor, error) {
	if x.DType() == to {
		return x, nil
	}
	if to == tensor.Invalid || to == tensor.String || x.DType() == tensor.String {
		return nil, fmt.Errorf("got a cast from %v to %v, want numbers", x.DType(), to)
	}
	if x.DType().IsFloat() || to.IsFloat() && x.DType() != tensor.Uint64 {
		v, err := x.Float64s()
		if err != nil {
			return nil, err
		}
		return fromFloats(to, v, x.Shape()...), nil
	}
	if to.IsFloat() {
		v := make([]float64, x.Len())
		for i, e := range tensor.Data[uint64](x) {
			v[i] = float64(e)
		}
		return fromFloats(to, v, x.Shape()...), nil
	}
	v, err := x.Ints()
	if err != nil {
		return nil, err
	}
	return fromInts(to, v, x.Shape()...), nil
}

func (c Cast) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	if c.To != tensor.Int64 && c.To != tensor.Int32 || !in[0].Type.DType.IsInteger() {
		return nil, false
	}
	return in[0].ConstDims()
}

func (Cast) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return castGrad(b, n, dOut[0])
}

func castGrad(b *ir.Builder, n *ir.Node, dy *ir.Value) ([]*ir.Value, error) {
	from, to := n.In[0].Type.DType, n.Out[0].Type.DType
	if !from.IsFloat() || !to.IsFloat() {
		return zeroGrad(n)
	}
	if from == to {
		return first(dy, n)
	}
	return first(b.Op(Cast{To: from}, n.Name+"/grad", dy), n)
}

func (Cast) Cost(n *ir.Node) ir.Cost { return elementOps(n, 1) }

// MapAxes implements [ir.AxisMapper].
func (Cast) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func decodeCast(d *Decoder) ir.Op {
	d.Ignore("saturate", "round_mode") // float8 only
	to, err := TypeOfCode(d.Int("to", 0))
	if err != nil {
		d.Errorf("to: %v", err)
	}
	return Cast{To: to}
}

func encodeCast(e *Encoder) { e.Set("to", TypeCode(e.Node.Op.(Cast).To)) }

// CastLike is [Cast] to the element type of the second input.
//
//	in  0 x   1 like
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__CastLike.html
type CastLike struct{}

var (
	_ ir.Evaluator      = CastLike{}
	_ ir.Differentiable = CastLike{}
	_ ir.DimsEvaluator  = CastLike{}
	_ ir.Costed         = CastLike{}
	_ ir.AxisMapper     = CastLike{}
)

func (CastLike) Kind() string { return "CastLike" }

func (CastLike) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	return Cast{To: in[1].Type.DType}.Infer(in[:1])
}

func (CastLike) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return oneErr(castTo(in[0], in[1].DType()))
}

func (CastLike) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	return Cast{To: in[1].Type.DType}.EvalDims(in[:1])
}

func (CastLike) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return castGrad(b, n, dOut[0])
}

func (CastLike) Cost(n *ir.Node) ir.Cost { return elementOps(n, 1) }

// MapAxes implements [ir.AxisMapper].
func (CastLike) MapAxes(n *ir.Node, m ir.AxisMap) { sameAxes(n, m, "") }

func decodeCastLike(d *Decoder) ir.Op {
	d.Ignore("saturate", "round_mode")
	return CastLike{}
}
