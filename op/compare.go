package op

import (
	"cmp"
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// comparison is what the comparison operators share.
type comparison struct{}

func (comparison) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	t, err := inferBroadcast(in)
	if err != nil {
		return nil, err
	}
	return []ir.Type{t[0].WithDType(tensor.Bool)}, nil
}

func (comparison) Cost(n *ir.Node) ir.Cost { return elementOps(n, 1) }

// MapAxes implements [ir.AxisMapper].
func (comparison) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

// order is the outcome of a comparison; unordered is a NaN's.
type order int

const (
	less      order = -1
	equal     order = 0
	greater   order = 1
	unordered order = 2
)

// compareTensors compares with broadcasting and keeps what accept says of each outcome.
func compareTensors(in []*tensor.Tensor, accept func(order) bool) ([]*tensor.Tensor, error) {
	a, b := in[0], in[1]
	if a.DType() != b.DType() {
		return nil, fmt.Errorf("got %v and %v elements, want the same", a.DType(), b.DType())
	}
	shape, err := tensor.Broadcast(a.Shape(), b.Shape())
	if err != nil {
		return nil, err
	}
	if err := checkSize(shape); err != nil {
		return nil, err
	}
	pa, pb := broadcastPos(shape, a.Shape()), broadcastPos(shape, b.Shape())
	var at func(i, j int) order
	switch d := a.DType(); {
	case d.IsFloat():
		x, _ := a.Float64s()
		y, _ := b.Float64s()
		at = func(i, j int) order {
			if isNaN(x[i]) || isNaN(y[j]) {
				return unordered
			}
			return order(cmp.Compare(x[i], y[j]))
		}
	case d == tensor.Uint64:
		x, y := tensor.Data[uint64](a), tensor.Data[uint64](b)
		at = func(i, j int) order { return order(cmp.Compare(x[i], y[j])) }
	case d == tensor.String:
		x, y := tensor.Data[string](a), tensor.Data[string](b)
		at = func(i, j int) order { return order(cmp.Compare(x[i], y[j])) }
	default:
		x, err := a.Ints()
		if err != nil {
			return nil, err
		}
		y, _ := b.Ints()
		at = func(i, j int) order { return order(cmp.Compare(x[i], y[j])) }
	}
	out := make([]bool, len(pa))
	for k := range out {
		out[k] = accept(at(pa[k], pb[k]))
	}
	return one(tensor.From(out, shape...)), nil
}

// Equal is y = (a = b), elementwise with broadcasting; comparisons with NaN are false.
//
//	in  0 a   1 b
//	out 0 y bool
//
// https://onnx.ai/onnx/operators/onnx__Equal.html
type Equal struct{ comparison }

var (
	_ ir.Evaluator  = Equal{}
	_ ir.Costed     = Equal{}
	_ ir.AxisMapper = Equal{}
)

func (Equal) Kind() string { return "Equal" }

func (Equal) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return compareTensors(in, func(o order) bool { return o == equal })
}

// Greater is y = (a > b), elementwise with broadcasting; comparisons with NaN are false.
//
//	in  0 a   1 b
//	out 0 y bool
//
// https://onnx.ai/onnx/operators/onnx__Greater.html
type Greater struct{ comparison }

var (
	_ ir.Evaluator  = Greater{}
	_ ir.Costed     = Greater{}
	_ ir.AxisMapper = Greater{}
)

func (Greater) Kind() string { return "Greater" }

func (Greater) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return compareTensors(in, func(o order) bool { return o == greater })
}

// GreaterOrEqual is y = (a ≥ b), elementwise with broadcasting; comparisons with NaN are false.
//
//	in  0 a   1 b
//	out 0 y bool
//
// https://onnx.ai/onnx/operators/onnx__GreaterOrEqual.html
type GreaterOrEqual struct{ comparison }

var (
	_ ir.Evaluator  = GreaterOrEqual{}
	_ ir.Costed     = GreaterOrEqual{}
	_ ir.AxisMapper = GreaterOrEqual{}
)

func (GreaterOrEqual) Kind() string { return "GreaterOrEqual" }

func (GreaterOrEqual) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return compareTensors(in, func(o order) bool { return o == greater || o == equal })
}

// Less is y = (a < b), elementwise with broadcasting; comparisons with NaN are false.
//
//	in  0 a   1 b
//	out 0 y bool
//
// https://onnx.ai/onnx/operators/onnx__Less.html
type Less struct{ comparison }

var (
	_ ir.Evaluator  = Less{}
	_ ir.Costed     = Less{}
	_ ir.AxisMapper = Less{}
)

func (Less) Kind() string { return "Less" }

func (Less) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return compareTensors(in, func(o order) bool { return o == less })
}

// LessOrEqual is y = (a ≤ b), elementwise with broadcasting; comparisons with NaN are false.
//
//	in  0 a   1 b
//	out 0 y bool
//
// https://onnx.ai/onnx/operators/onnx__LessOrEqual.html
type LessOrEqual struct{ comparison }

var (
	_ ir.Evaluator  = LessOrEqual{}
	_ ir.Costed     = LessOrEqual{}
	_ ir.AxisMapper = LessOrEqual{}
)

func (LessOrEqual) Kind() string { return "LessOrEqual" }

func (LessOrEqual) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return compareTensors(in, func(o order) bool { return o == less || o == equal })
}

// knownBools computes the elements of a boolean vector from what type
// inference knows of the operands it was compared from. Lengths are never
// negative, so a symbol is known to differ from any negative number.
func knownBools(v *ir.Value) ([]bool, bool) {
	switch {
	case v == nil || v.Type.Rank() > 1:
		return nil, false
	case v.Kind == ir.Constant && v.Type.DType == tensor.Bool:
		return tensor.Data[bool](v.Data), true
	case v.Def == nil:
		return nil, false
	}
	var accept func(order) bool
	switch v.Def.Op.(type) {
	case Equal:
		accept = func(o order) bool { return o == equal }
	case Less:
		accept = func(o order) bool { return o == less }
	case Greater:
		accept = func(o order) bool { return o == greater }
	case LessOrEqual:
		accept = func(o order) bool { return o == less || o == equal }
	case GreaterOrEqual:
		accept = func(o order) bool { return o == greater || o == equal }
	case Not:
		list, ok := knownBools(v.Def.In[0])
		out := make([]bool, len(list))
		for i, e := range list {
			out[i] = !e
		}
		return out, ok
	default:
		return nil, false
	}
	all := true
	orders, ok := zipDims(v.Def.In, func(a, b ir.Dim) ir.Dim {
		switch {
		case a.Sym == "" && b.Sym == "":
			return ir.Len(cmp.Compare(a.N, b.N))
		case a.Equal(b):
			return ir.Len(int(equal))
		case a.Sym != "" && a.Sym != ir.UnknownSym && a.N > 0 && b.Sym == "" && b.N < 0:
			return ir.Len(int(greater))
		case b.Sym != "" && b.Sym != ir.UnknownSym && b.N > 0 && a.Sym == "" && a.N < 0:
			return ir.Len(int(less))
		}
		all = false
		return ir.Unknown()
	})
	if !ok || !all {
		return nil, false
	}
	out := make([]bool, len(orders))
	for i, o := range orders {
		out[i] = accept(order(o.N))
	}
	return out, true
}
