package op

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// The integer operators are for inference and import only: they evaluate, but
// training replaces them.

// inferAs types the shape of a float operator for integer operands.
func inferAs(o ir.Op, x, w *ir.Value, out tensor.DType) ([]ir.Type, error) {
	for _, v := range []*ir.Value{x, w} {
		if err := wantDType(v, "operand", tensor.Uint8, tensor.Int8); err != nil {
			return nil, err
		}
	}
	t, err := o.Infer([]*ir.Value{{Type: x.Type.WithDType(tensor.Float32)}, {Type: w.Type.WithDType(tensor.Float32)}})
	if err != nil {
		return nil, err
	}
	return []ir.Type{t[0].WithDType(out)}, nil
}

// wantAsOperand checks that a zero point, if present, has its operand's type.
func wantAsOperand(v, zero *ir.Value, what string) error {
	if zero != nil && zero.Type.DType != v.Type.DType {
		return fmt.Errorf("%s: got %v for operand %v, want the same element type", what, zero.Type, v.Type)
	}
	return nil
}

// centered returns t minus its zero points, which broadcast to it; a list of
// rank 1 belongs to the given axis.
func centered(t, zero *tensor.Tensor, axis int) ([]float64, error) {
	v, err := t.Float64s()
	if err != nil || zero == nil {
		return v, err
	}
	z, err := zero.Float64s()
	if err != nil {
		return nil, fmt.Errorf("zero point: %w", err)
	}
	pos, err := alongAxis(t.Shape(), zero.Shape(), axis)
	if err != nil {
		return nil, fmt.Errorf("zero point: %w", err)
	}
	for i, p := range pos {
		v[i] -= z[p]
	}
	return v, nil
}

// alongAxis returns, for each element of xs, the position of its parameter: one
// for all, a list along axis, or a broadcast shape.
func alongAxis(xs, ps tensor.Shape, axis int) ([]int, error) {
	if ps.Numel() == 1 {
		return make([]int, xs.Numel()), nil
	}
	if len(ps) == 1 && axis >= 0 && axis < len(xs) && ps[0] == xs[axis] {
		wide := make(tensor.Shape, len(xs))
		for i := range wide {
			wide[i] = 1
		}
		wide[axis] = ps[0]
		ps = wide
	}
	full, err := tensor.Broadcast(xs, ps)
	if err != nil || !full.Equal(xs) {
		return nil, fmt.Errorf("got shape %v for operand %v", ps, xs)
	}
	return broadcastPos(xs, ps), nil
}

// ConvInteger is [Conv] of (x - x_zero_point) and (w - w_zero_point) in int32.
// Padding stands for the zero point.
//
//	in  0 x uint8 or int8 [N, C, spatial…]   1 w uint8 or int8 [O, C/Group, kernel…]
//	    2 x_zero_point [], optional   3 w_zero_point [] or [O], optional
//	out 0 y int32 [N, O, spatial'…]
//
// https://onnx.ai/onnx/operators/onnx__ConvInteger.html
type ConvInteger struct {
	Group int
	Window
}

var (
	_ ir.Evaluator = ConvInteger{}
	_ ir.Costed    = ConvInteger{}
)

func (ConvInteger) Kind() string { return "ConvInteger" }

func (c ConvInteger) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 4); err != nil {
		return nil, err
	}
	if err := wantAsOperand(in[0], present(in, 2), "x_zero_point"); err != nil {
		return nil, err
	}
	if err := wantAsOperand(in[1], present(in, 3), "w_zero_point"); err != nil {
		return nil, err
	}
	return inferAs(Conv(c), in[0], in[1], tensor.Int32)
}

// convCentered convolves integers less their zero points; the result is exact.
func convCentered(c Conv, x, xz, w, wz *tensor.Tensor) ([]float64, tensor.Shape, error) {
	g, err := newConvGeometry(c.Groups(), c.Window, x.Shape(), w.Shape())
	if err != nil {
		return nil, nil, err
	}
	xd, err := centered(x, xz, -1)
	if err != nil {
		return nil, nil, err
	}
	wd, err := centered(w, wz, 0)
	if err != nil {
		return nil, nil, err
	}
	shape := tensor.Shape(g.yShape())
	if err := checkSize(shape); err != nil {
		return nil, nil, err
	}
	y := make([]float64, shape.Numel())
	for n := range g.n {
		for o := range g.o {
			yo := y[(n*g.o+o)*g.ySize:][:g.ySize]
			g.taps(n, o, func(yi, xi, wi int) { yo[yi] += xd[xi] * wd[wi] })
		}
	}
	return y, shape, nil
}

func (c ConvInteger) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 2); err != nil {
		return nil, err
	}
	y, shape, err := convCentered(Conv(c), in[0], present(in, 2), in[1], present(in, 3))
	if err != nil {
		return nil, err
	}
	return one(fromFloats(tensor.Int32, y, shape...)), nil
}

func (c ConvInteger) Cost(n *ir.Node) ir.Cost { return Conv(c).Cost(n) }

func decodeConvInteger(d *Decoder) ir.Op { return ConvInteger(decodeConv(d).(Conv)) }

func encodeConvInteger(e *Encoder) {
	encodeConvAttrs(e, Conv(e.Node.Op.(ConvInteger)), 1, 10)
}

// encodeConvAttrs writes the attributes of a convolution whose weight is input w.
func encodeConvAttrs(e *Encoder, c Conv, w, opset int) {
	e.MinOpset(opset)
	e.Set("kernel_shape", []int(e.Node.In[w].Type.MustShape()[2:]))
	e.Set("group", c.Groups())
	encodeWindow(e, c.Window)
}

// QLinearConv is [Conv] of dequantized operands, quantized again:
// y = saturate(rne((acc + b)·x_scale·w_scale/y_scale) + y_zero_point), where acc
// is the convolution of the integers less their zero points, rounding half to
// even.
//
//	in  0 x   1 x_scale   2 x_zero_point   3 w   4 w_scale   5 w_zero_point: [] or [O]
//	    6 y_scale   7 y_zero_point   8 b int32 [O], optional
//	out 0 y, of y_zero_point's type
//
// https://onnx.ai/onnx/operators/onnx__QLinearConv.html
type QLinearConv struct {
	Group int
	Window
}

var (
	_ ir.Evaluator = QLinearConv{}
	_ ir.Costed    = QLinearConv{}
)

func (QLinearConv) Kind() string { return "QLinearConv" }

func (c QLinearConv) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 8, 9); err != nil {
		return nil, err
	}
	if err := wantFloat(in[1], in[4], in[6]); err != nil {
		return nil, err
	}
	if err := wantAsOperand(in[0], in[2], "x_zero_point"); err != nil {
		return nil, err
	}
	if err := wantAsOperand(in[3], in[5], "w_zero_point"); err != nil {
		return nil, err
	}
	if err := wantDType(in[7], "y_zero_point", tensor.Uint8, tensor.Int8); err != nil {
		return nil, err
	}
	return inferAs(Conv(c), in[0], in[3], in[7].Type.DType)
}

func (c QLinearConv) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 8); err != nil {
		return nil, err
	}
	acc, shape, err := convCentered(Conv(c), in[0], in[2], in[3], in[5])
	if err != nil {
		return nil, err
	}
	if b := present(in, 8); b != nil {
		bias, err := b.Float64s()
		if err != nil {
			return nil, err
		}
		if len(bias) != shape[1] {
			return nil, fmt.Errorf("got %d biases for %d channels", len(bias), shape[1])
		}
		inner := product(shape[2:])
		for i := range acc {
			acc[i] += bias[i/inner%shape[1]]
		}
	}
	return requantize(acc, shape, in[1], in[4], in[6], in[7], -1, 1)
}

// requantize scales acc by xs·ws/ys in float32 and quantizes it. Lists of
// scales belong to the axes xAxis and wAxis of the result.
func requantize(acc []float64, shape tensor.Shape, xs, ws, ys, yz *tensor.Tensor, xAxis, wAxis int) ([]*tensor.Tensor, error) {
	v, err := realsOf(xs, ws, ys)
	if err != nil {
		return nil, err
	}
	xp, err := alongAxis(shape, xs.Shape(), xAxis)
	if err != nil {
		return nil, fmt.Errorf("first scale: %w", err)
	}
	wp, err := alongAxis(shape, ws.Shape(), wAxis)
	if err != nil {
		return nil, fmt.Errorf("second scale: %w", err)
	}
	yp, err := alongAxis(shape, ys.Shape(), xAxis)
	if err != nil {
		return nil, fmt.Errorf("scale of the result: %w", err)
	}
	zeros, err := yz.Ints()
	if err != nil {
		return nil, err
	}
	zp, err := alongAxis(shape, yz.Shape(), xAxis)
	if err != nil {
		return nil, fmt.Errorf("zero point of the result: %w", err)
	}
	lo, hi := intRange(yz.DType())
	y := make([]int, len(acc))
	for i, a := range acc {
		f := float32(v[0][xp[i]]) * float32(v[1][wp[i]]) / float32(v[2][yp[i]])
		y[i] = saturate(float64(float32(a)*f), zeros[zp[i]], lo, hi)
	}
	return one(fromInts(yz.DType(), y, shape...)), nil
}

func (c QLinearConv) Cost(n *ir.Node) ir.Cost {
	w, y := n.In[3].Type.MustShape(), n.Out[0].Type.MustShape()
	return ir.Cost{MACs: int64(y.Numel()) * int64(w[1:].Numel())}
}

func decodeQLinearConv(d *Decoder) ir.Op { return QLinearConv(decodeConv(d).(Conv)) }

func encodeQLinearConv(e *Encoder) {
	encodeConvAttrs(e, Conv(e.Node.Op.(QLinearConv)), 3, 10)
}

// MatMulInteger is [MatMul] of (a - a_zero_point) and (b - b_zero_point) in int32.
//
//	in  0 a uint8 or int8   1 b uint8 or int8
//	    2 a_zero_point: [], per row [M], or broadcast to a, optional
//	    3 b_zero_point: [], per column [N], or broadcast to b, optional
//	out 0 y int32
//
// https://onnx.ai/onnx/operators/onnx__MatMulInteger.html
type MatMulInteger struct{}

var (
	_ ir.Evaluator = MatMulInteger{}
	_ ir.Costed    = MatMulInteger{}
)

func (MatMulInteger) Kind() string { return "MatMulInteger" }

func (MatMulInteger) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 4); err != nil {
		return nil, err
	}
	if err := wantAsOperand(in[0], present(in, 2), "a_zero_point"); err != nil {
		return nil, err
	}
	if err := wantAsOperand(in[1], present(in, 3), "b_zero_point"); err != nil {
		return nil, err
	}
	return inferAs(MatMul{}, in[0], in[1], tensor.Int32)
}

// matMulCentered multiplies integers less their zero points; the result is exact.
func matMulCentered(a, az, b, bz *tensor.Tensor) ([]float64, tensor.Shape, error) {
	p, err := newMatMulPlan(a.Shape(), b.Shape())
	if err != nil {
		return nil, nil, err
	}
	ad, err := centered(a, az, a.Rank()-2)
	if err != nil {
		return nil, nil, err
	}
	bd, err := centered(b, bz, b.Rank()-1)
	if err != nil {
		return nil, nil, err
	}
	return matMulLoops(p, ad, bd), p.shape, nil
}

func (MatMulInteger) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 2); err != nil {
		return nil, err
	}
	y, shape, err := matMulCentered(in[0], present(in, 2), in[1], present(in, 3))
	if err != nil {
		return nil, err
	}
	return one(fromFloats(tensor.Int32, y, shape...)), nil
}

func (MatMulInteger) Cost(n *ir.Node) ir.Cost { return MatMul{}.Cost(n) }

func encodeMatMulInteger(e *Encoder) { e.MinOpset(10) }

// QLinearMatMul is [MatMul] of dequantized operands, quantized again:
// y = saturate(rne(acc·a_scale·b_scale/y_scale) + y_zero_point), where acc is
// the product of the integers less their zero points, rounding half to even.
//
//	in  0 a   1 a_scale   2 a_zero_point: [], per row [M], or broadcast
//	    3 b   4 b_scale   5 b_zero_point: [], per column [N], or broadcast
//	    6 y_scale   7 y_zero_point: [] or per row
//	out 0 y, of y_zero_point's type
//
// https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html
type QLinearMatMul struct{}

var (
	_ ir.Evaluator = QLinearMatMul{}
	_ ir.Costed    = QLinearMatMul{}
)

func (QLinearMatMul) Kind() string { return "QLinearMatMul" }

func (QLinearMatMul) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 8, 8); err != nil {
		return nil, err
	}
	if err := wantFloat(in[1], in[4], in[6]); err != nil {
		return nil, err
	}
	if err := wantAsOperand(in[0], in[2], "a_zero_point"); err != nil {
		return nil, err
	}
	if err := wantAsOperand(in[3], in[5], "b_zero_point"); err != nil {
		return nil, err
	}
	if err := wantDType(in[7], "y_zero_point", tensor.Uint8, tensor.Int8); err != nil {
		return nil, err
	}
	return inferAs(MatMul{}, in[0], in[3], in[7].Type.DType)
}

func (QLinearMatMul) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 8); err != nil {
		return nil, err
	}
	acc, shape, err := matMulCentered(in[0], in[2], in[3], in[5])
	if err != nil {
		return nil, err
	}
	return requantize(acc, shape, in[1], in[4], in[6], in[7], len(shape)-2, len(shape)-1)
}

func (QLinearMatMul) Cost(n *ir.Node) ir.Cost {
	a, y := n.In[0].Type.MustShape(), n.Out[0].Type.MustShape()
	return ir.Cost{MACs: int64(y.Numel()) * int64(a[len(a)-1])}
}

func encodeQLinearMatMul(e *Encoder) { e.MinOpset(10) }

// DynamicQuantizeLinear quantizes x to uint8 over its own range, extended to
// contain 0: scale = (max - min)/255, zero_point = saturate(rne(-min/scale)),
// y = saturate(rne(x/scale) + zero_point), in float32, rounding half to even.
//
//	in  0 x float32
//	out 0 y uint8, as x   1 scale float32 []   2 zero_point uint8 []
//
// https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html
type DynamicQuantizeLinear struct{}

var (
	_ ir.Evaluator         = DynamicQuantizeLinear{}
	_ ir.NonDifferentiable = DynamicQuantizeLinear{}
	_ ir.Costed            = DynamicQuantizeLinear{}
)

func (DynamicQuantizeLinear) Kind() string { return "DynamicQuantizeLinear" }

func (DynamicQuantizeLinear) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if err := wantDType(in[0], "input", tensor.Float32); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type.WithDType(tensor.Uint8), ir.MakeType(tensor.Float32), ir.MakeType(tensor.Uint8)}, nil
}

func (DynamicQuantizeLinear) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x := in[0]
	if x.DType() != tensor.Float32 {
		return nil, fmt.Errorf("got %v elements, want float32", x.DType())
	}
	var lo, hi float32
	for _, v := range x.F32() {
		lo, hi = min(lo, v), max(hi, v)
	}
	scale := (hi - lo) / 255
	y := make([]uint8, x.Len())
	if scale == 0 || math.IsNaN(float64(scale)) { // all zero, or not a number
		return []*tensor.Tensor{tensor.From(y, x.Shape()...), tensor.Scalar(scale), tensor.Scalar(uint8(0))}, nil
	}
	zero := saturate(float64(-lo/scale), 0, 0, 255)
	for i, v := range x.F32() {
		y[i] = uint8(saturate(float64(v/scale), zero, 0, 255))
	}
	return []*tensor.Tensor{tensor.From(y, x.Shape()...), tensor.Scalar(scale), tensor.Scalar(uint8(zero))}, nil
}

func (DynamicQuantizeLinear) NoGrad() string {
	return "it rounds by the range of each batch; fine-tuning trains fake-quantizers instead"
}

func (DynamicQuantizeLinear) Cost(n *ir.Node) ir.Cost { return elementOps(n, 6) }

func encodeDynamicQuantizeLinear(e *Encoder) { e.MinOpset(11) }
