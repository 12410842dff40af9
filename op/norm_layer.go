package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// LayerNormalization is y = (x - m)·r·scale + bias, with the mean m and
// r = 1/√(v + Epsilon), v the biased variance, over Axis and all axes after it.
//
//	in  0 x   1 scale, 2 bias (optional): broadcast to x, usually of the shape of the normalized axes
//	out 0 y, as x   1 m   2 r, optional, float32, with the normalized axes of length 1
//
// A file's defaults are Axis -1 and Epsilon 1e-5; the zero value normalizes over
// everything, without Epsilon.
// https://onnx.ai/onnx/operators/onnx__LayerNormalization.html
type LayerNormalization struct {
	Axis    int
	Epsilon float32
}

var (
	_ ir.Evaluator      = LayerNormalization{}
	_ ir.Differentiable = LayerNormalization{}
	_ ir.Costed         = LayerNormalization{}
	_ ir.AxisMapper     = LayerNormalization{}
	_ ir.QuantTraited   = LayerNormalization{}
	_ ir.Weighted       = LayerNormalization{}
)

func (LayerNormalization) Kind() string { return "LayerNormalization" }

func (o LayerNormalization) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 3); err != nil {
		return nil, err
	}
	a, err := inferLayerNorm(in, o.Axis)
	if err != nil {
		return nil, err
	}
	x := in[0].Type
	stat := ir.Type{DType: tensor.Float32, Dims: append([]ir.Dim(nil), x.Dims...)}
	if x.DType == tensor.Float64 {
		stat.DType = tensor.Float64
	}
	for i := a; i < len(stat.Dims); i++ {
		stat.Dims[i] = ir.Len(1)
	}
	return []ir.Type{x, stat, stat}, nil
}

// inferLayerNorm checks a normalization from an axis on and resolves the axis.
func inferLayerNorm(in []*ir.Value, axis int) (int, error) {
	if err := wantFloat(in...); err != nil {
		return 0, err
	}
	a, err := wantAxis(in[0], axis)
	if err != nil {
		return 0, err
	}
	x := in[0].Type
	for i, v := range in[1:] {
		if v == nil {
			continue
		}
		dims, err := ir.BroadcastDims(x.Dims, v.Type.Dims)
		if err != nil || len(dims) != len(x.Dims) {
			return 0, fmt.Errorf("%s: got %v, want a shape that broadcasts to %v", []string{"scale", "bias"}[i], v.Type, x)
		}
	}
	return a, nil
}

func (o LayerNormalization) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	y, stats, err := evalLayerNorm(in, o.Axis, o.Epsilon, true)
	if err != nil {
		return nil, err
	}
	return append(one(y), stats...), nil
}

// evalLayerNorm normalizes from an axis on, scales and adds the bias, if any.
func evalLayerNorm(in []*tensor.Tensor, axis int, eps float32, centered bool) (*tensor.Tensor, []*tensor.Tensor, error) {
	if err := wantTensors(in, 2); err != nil {
		return nil, nil, err
	}
	x := in[0]
	v, err := realsOf(in...)
	if err != nil {
		return nil, nil, err
	}
	a, err := tensor.Axis(axis, x.Rank())
	if err != nil {
		return nil, nil, err
	}
	size := product(x.Shape()[a:])
	if err := blockSize(x.Shape(), size); err != nil {
		return nil, nil, err
	}
	y, mean, inv := normalizeBlocks(v[0], size, eps, centered)
	for k, t := range in[1:] {
		if t == nil {
			continue
		}
		full, err := tensor.Broadcast(x.Shape(), t.Shape())
		if err != nil || !full.Equal(x.Shape()) {
			return nil, nil, fmt.Errorf("got %v, want a shape that broadcasts to %v", t.Shape(), x.Shape())
		}
		for i, p := range broadcastPos(x.Shape(), t.Shape()) {
			if k == 0 {
				y[i] *= v[1][p]
			} else {
				y[i] += v[2][p]
			}
		}
	}
	shape := x.Shape().Clone()
	for i := a; i < len(shape); i++ {
		shape[i] = 1
	}
	d := tensor.Float32
	if x.DType() == tensor.Float64 {
		d = tensor.Float64
	}
	stats := []*tensor.Tensor{fromFloats(d, mean, shape...), fromFloats(d, inv, shape...)}
	return fromFloats(x.DType(), y, x.Shape()...), stats, nil
}

func (o LayerNormalization) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	return layerNormGrad(b, n, dOut, need, o.Axis, o.Epsilon, true)
}

func layerNormGrad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool, axis int, eps float32, centered bool) ([]*ir.Value, error) {
	c, x := gradCalc(b, n), n.In[0]
	xs := x.Type.MustShape()
	a, err := tensor.Axis(axis, len(xs))
	if err != nil {
		return nil, err
	}
	size := product(xs[a:])
	z := newNormGraph(c, x, size, eps, centered)
	grads := make([]*ir.Value, len(n.In))
	var dx *ir.Value
	if dy := dOut[0]; dy != nil {
		dxh, dscale, _ := z.affineGrads(dy, n.In[1])
		dx = z.back(dxh)
		grads[1] = dscale
		if n.Input(2) != nil && need[2] {
			grads[2] = sumTo(b, c.name+"/bias", dy, n.In[2].Type)
		}
	}
	plus := func(d *ir.Value) {
		if dx != nil {
			d = c.add(dx, d)
		}
		dx = d
	}
	per := ir.MakeType(x.Type.DType, z.matrix.MustShape()[0], 1)
	if dm := present(dOut, 1); dm != nil {
		dm = c.scale(reshapeTo(b, c.name+"/mean", dm, per), 1/float64(size))
		plus(expandTo(b, c.name+"/mean", dm, z.matrix))
	}
	if dr := present(dOut, 2); dr != nil { // dr/dx = -r²·x̂/size
		dr = c.scale(reshapeTo(b, c.name+"/inv", dr, per), -1/float64(size))
		plus(c.mul(z.xh, c.mul(dr, c.square(z.r))))
	}
	if dx != nil {
		grads[0] = z.whole(dx)
	}
	return wanted(grads, need), nil
}

func (LayerNormalization) Cost(n *ir.Node) ir.Cost { return elementOps(n, 6) }

// MapAxes implements [ir.AxisMapper].
func (o LayerNormalization) MapAxes(n *ir.Node, m ir.AxisMap) { normalizedAxes(n, m, o.Axis) }

// normalizedAxes maps the axes of a normalization over those from axis on.
func normalizedAxes(n *ir.Node, m ir.AxisMap, axis int) {
	x := n.In[0]
	a, err := tensor.Axis(axis, x.Type.Rank())
	if err != nil {
		return
	}
	var axes []int
	for ; a < x.Type.Rank(); a++ {
		axes = append(axes, a)
	}
	sameAxes(n, m, "its entries are normalized together", axes...)
	for _, v := range n.In[1:] {
		if v != nil {
			fixFrom(m, v, 0, "it belongs to entries that are normalized together")
		}
	}
	for _, v := range n.Out[1:] {
		for i := range x.Type.Rank() - len(axes) {
			if v != nil {
				tieAxes(m, x, i, v, i)
			}
		}
	}
}

func (LayerNormalization) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func (LayerNormalization) Weights(*ir.Node) ir.WeightPorts { return scaleBiasPorts }

func decodeLayerNormalization(d *Decoder) ir.Op {
	wantStash(d)
	return LayerNormalization{Axis: d.Int("axis", -1), Epsilon: d.Float("epsilon", 1e-5)}
}

func encodeLayerNormalization(e *Encoder) {
	o := e.Node.Op.(LayerNormalization)
	e.MinOpset(17)
	e.Set("axis", o.Axis)
	e.Set("epsilon", o.Epsilon)
}

// RMSNormalization is y = x/√(mean(x²) + Epsilon)·scale, the mean over Axis and
// all axes after it.
//
//	in  0 x   1 scale, broadcast to x
//	out 0 y, as x
//
// A file's defaults are Axis -1 and Epsilon 1e-5; the zero value normalizes over
// everything, without Epsilon.
// https://onnx.ai/onnx/operators/onnx__RMSNormalization.html
type RMSNormalization struct {
	Axis    int
	Epsilon float32
}

var (
	_ ir.Evaluator      = RMSNormalization{}
	_ ir.Differentiable = RMSNormalization{}
	_ ir.Costed         = RMSNormalization{}
	_ ir.AxisMapper     = RMSNormalization{}
	_ ir.QuantTraited   = RMSNormalization{}
	_ ir.Weighted       = RMSNormalization{}
)

func (RMSNormalization) Kind() string { return "RMSNormalization" }

func (o RMSNormalization) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if _, err := inferLayerNorm(in, o.Axis); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type.WithDType(in[1].Type.DType)}, nil
}

func (o RMSNormalization) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	y, _, err := evalLayerNorm(in, o.Axis, o.Epsilon, false)
	if err != nil {
		return nil, err
	}
	if d := in[1].DType(); y.DType() != d {
		v, err := y.Float64s()
		if err != nil {
			return nil, err
		}
		y = fromFloats(d, v, y.Shape()...)
	}
	return one(y), nil
}

func (o RMSNormalization) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	return layerNormGrad(b, n, dOut, need, o.Axis, o.Epsilon, false)
}

func (RMSNormalization) Cost(n *ir.Node) ir.Cost { return elementOps(n, 4) }

// MapAxes implements [ir.AxisMapper].
func (o RMSNormalization) MapAxes(n *ir.Node, m ir.AxisMap) { normalizedAxes(n, m, o.Axis) }

func (RMSNormalization) QuantTrait() ir.QuantTrait { return ir.QuantFloat }

func (RMSNormalization) Weights(*ir.Node) ir.WeightPorts {
	return ir.WeightPorts{Weight: 1, OutAxis: 0, InAxis: -1, Bias: -1}
}

func decodeRMSNormalization(d *Decoder) ir.Op {
	wantStash(d)
	return RMSNormalization{Axis: d.Int("axis", -1), Epsilon: d.Float("epsilon", 1e-5)}
}

func encodeRMSNormalization(e *Encoder) {
	o := e.Node.Op.(RMSNormalization)
	e.MinOpset(23)
	e.Set("axis", o.Axis)
	e.Set("epsilon", o.Epsilon)
}
