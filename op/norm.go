package op

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Layer, group, instance and RMS normalization all normalize blocks of
// contiguous elements; this file holds what they share.

// normalizeBlocks returns x̂ = (x - m)·r per block of size elements, with
// r = 1/√(v + eps), the mean m and the biased variance v about m; without
// centering m is 0.
func normalizeBlocks(x []float64, size int, eps float32, centered bool) (xh, mean, inv []float64) {
	xh = make([]float64, len(x))
	for at := 0; at < len(x); at += size {
		block := x[at:][:size]
		m, v := 0.0, 0.0
		if centered {
			for _, e := range block {
				m += e
			}
			m /= float64(size)
		}
		for _, e := range block {
			v += (e - m) * (e - m)
		}
		r := 1 / math.Sqrt(v/float64(size)+float64(eps))
		for i, e := range block {
			xh[at+i] = (e - m) * r
		}
		mean, inv = append(mean, m), append(inv, r)
	}
	return xh, mean, inv
}

// normGraph is the same as nodes: x as [blocks, size] normalized along axis 1.
type normGraph struct {
	c        calc
	xh, r    *ir.Value
	x        ir.Type
	matrix   ir.Type
	centered bool
}

// newNormGraph rebuilds the normalization of x in blocks of size elements; the
// gradient is made of nodes that can be differentiated again.
func newNormGraph(c calc, x *ir.Value, size int, eps float32, centered bool) normGraph {
	n := x.Type.MustShape().Numel()
	z := normGraph{c: c, x: x.Type, matrix: ir.MakeType(x.Type.DType, n/max(1, size), size), centered: centered}
	v := reshapeTo(c.b, c.name+"/blocks", x, z.matrix)
	if centered {
		v = c.sub(v, z.mean(v))
	}
	z.r = c.div(c.num(x, 1), c.sqrt(c.shift(z.mean(c.square(v)), float64(eps))))
	z.xh = c.mul(v, z.r)
	return z
}

// mean is the mean of each block, kept as an axis of length 1.
func (z normGraph) mean(v *ir.Value) *ir.Value {
	sum := z.c.op(ReduceSum{KeepDims: true}, v, z.c.b.ConstInts(z.c.name+"/axes", 1))
	return z.c.scale(sum, 1/float64(z.matrix.MustShape()[1]))
}

// blocks gives a value of x's shape the shape of the matrix; whole undoes it.
func (z normGraph) blocks(v *ir.Value) *ir.Value {
	return reshapeTo(z.c.b, z.c.name+"/blocks", v, z.matrix)
}

func (z normGraph) whole(v *ir.Value) *ir.Value {
	return reshapeTo(z.c.b, z.c.name+"/whole", v, z.x)
}

// back returns dx as a matrix for the gradient g of x̂:
// dx = r·(g - mean(g) - x̂·mean(g·x̂)), without mean(g) if not centered.
func (z normGraph) back(g *ir.Value) *ir.Value {
	d := g
	if z.centered {
		d = z.c.sub(d, z.mean(g))
	}
	return z.c.mul(z.r, z.c.sub(d, z.c.mul(z.xh, z.mean(z.c.mul(g, z.xh)))))
}

// affineGrads returns the gradients of y = x̂·scale + bias, all broadcast to
// [blocks…] of x: for x̂ (as a matrix), scale and bias. scale and bias are shaped
// as they broadcast to x.
func (z normGraph) affineGrads(dy, scale *ir.Value) (dxh, dscale, dbias *ir.Value) {
	dxh = z.blocks(z.c.mul(dy, scale))
	dscale = sumTo(z.c.b, z.c.name+"/scale", z.c.mul(dy, z.whole(z.xh)), scale.Type)
	dbias = sumTo(z.c.b, z.c.name+"/bias", dy, scale.Type)
	return dxh, dscale, dbias
}

// channelParams checks scale and bias of shape [n].
func channelParams(n ir.Dim, in ...*ir.Value) error {
	for i, v := range in {
		if v == nil {
			continue
		}
		if v.Type.Rank() != 1 || !v.Type.Dims[0].MayEqual(n) {
			return fmt.Errorf("%s: got %v, want [%v]", []string{"scale", "bias"}[i], v.Type, n)
		}
	}
	return nil
}

// scaleChannels returns xh·scale + bias per channel.
func scaleChannels(x *tensor.Tensor, xh, scale, bias []float64) ([]*tensor.Tensor, error) {
	_, c, inner, err := channels(x, scale, bias)
	if err != nil {
		return nil, err
	}
	for i := range xh {
		ch := i / inner % c
		xh[i] = xh[i]*scale[ch] + bias[ch]
	}
	return one(fromFloats(x.DType(), xh, x.Shape()...)), nil
}

// channelShape is the shape in which [C] broadcasts to x.
func channelShape(x ir.Type) ir.Type {
	col := make([]int, x.Rank())
	for i := range col {
		col[i] = 1
	}
	col[1] = x.MustShape()[1]
	return ir.MakeType(x.DType, col...)
}

// blockSize checks that x can be cut into blocks of n elements.
func blockSize(x tensor.Shape, n int) error {
	if n < 1 || x.Numel()%n != 0 {
		return fmt.Errorf("got input %v in blocks of %d, want at least one element each", x, n)
	}
	return nil
}

// InstanceNormalization is y = (x - m)/√(v + Epsilon)·scale + bias, with the
// mean m and biased variance v over the spatial axes of each image and channel.
//
//	in  0 x [N, C, spatial…]   1 scale [C]   2 bias [C]
//	out 0 y, as x
//
// A file's default Epsilon is 1e-5; the zero value has none.
// https://onnx.ai/onnx/operators/onnx__InstanceNormalization.html
type InstanceNormalization struct{ Epsilon float32 }

var (
	_ ir.Evaluator      = InstanceNormalization{}
	_ ir.Differentiable = InstanceNormalization{}
	_ ir.Costed         = InstanceNormalization{}
	_ ir.AxisMapper     = InstanceNormalization{}
	_ ir.QuantTraited   = InstanceNormalization{}
	_ ir.Weighted       = InstanceNormalization{}
)

func (InstanceNormalization) Kind() string { return "InstanceNormalization" }

func (InstanceNormalization) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 3, 3); err != nil {
		return nil, err
	}
	if err := wantFloat(in...); err != nil {
		return nil, err
	}
	if in[0].Type.Rank() < 3 {
		return nil, fmt.Errorf("input: got %v, want [N C spatial…]", in[0].Type)
	}
	return []ir.Type{in[0].Type}, channelParams(in[0].Type.Dims[1], in[1], in[2])
}

func (o InstanceNormalization) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 3); err != nil {
		return nil, err
	}
	v, err := realsOf(in...)
	if err != nil {
		return nil, err
	}
	_, _, inner, err := channels(in[0], v[1], v[2])
	if err == nil {
		err = blockSize(in[0].Shape(), inner)
	}
	if err != nil {
		return nil, err
	}
	xh, _, _ := normalizeBlocks(v[0], inner, o.Epsilon, true)
	return scaleChannels(in[0], xh, v[1], v[2])
}

func (o InstanceNormalization) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	x := n.In[0]
	return channelNormGrad(gradCalc(b, n), n, dOut[0], product(x.Type.MustShape()[2:]), o.Epsilon, need)
}

// channelNormGrad is the gradient of a normalization in blocks of size elements
// with scale and bias per channel.
func channelNormGrad(c calc, n *ir.Node, dy *ir.Value, size int, eps float32, need []bool) ([]*ir.Value, error) {
	x := n.In[0]
	z := newNormGraph(c, x, size, eps, true)
	scale := reshapeTo(c.b, c.name+"/channel", n.In[1], channelShape(x.Type))
	dxh, dscale, dbias := z.affineGrads(dy, scale)
	grads := make([]*ir.Value, 3)
	if need[0] {
		grads[0] = z.whole(z.back(dxh))
	}
	if need[1] {
		grads[1] = reshapeTo(c.b, c.name+"/scale", dscale, n.In[1].Type)
	}
	if need[2] {
		grads[2] = reshapeTo(c.b, c.name+"/bias", dbias, n.In[2].Type)
	}
	return grads, nil
}

func (InstanceNormalization) Cost(n *ir.Node) ir.Cost { return elementOps(n, 6) }

// MapAxes implements [ir.AxisMapper].
func (InstanceNormalization) MapAxes(n *ir.Node, m ir.AxisMap) { channelAxes(n, m) }

func (InstanceNormalization) QuantTrait() ir.QuantTrait { return ir.QuantFloat }

func (InstanceNormalization) Weights(*ir.Node) ir.WeightPorts { return scaleBiasPorts }

// scaleBiasPorts are the trained inputs of a normalization.
var scaleBiasPorts = ir.WeightPorts{Weight: 1, OutAxis: 0, InAxis: -1, Bias: 2}

func decodeInstanceNormalization(d *Decoder) ir.Op {
	return InstanceNormalization{Epsilon: d.Float("epsilon", 1e-5)}
}

func encodeInstanceNormalization(e *Encoder) {
	e.Set("epsilon", e.Node.Op.(InstanceNormalization).Epsilon)
}

// GroupNormalization is y = (x - m)/√(v + Epsilon)·scale + bias, with the mean m
// and biased variance v of each image over the spatial axes and the C/Groups
// channels of a group.
//
//	in  0 x [N, C, spatial…]   1 scale [C]   2 bias [C]; [Groups] both if PerGroup
//	out 0 y, as x
//
// PerGroup is the form of opsets 18 to 20. A file's default Epsilon is 1e-5; the
// zero value has none.
// https://onnx.ai/onnx/operators/onnx__GroupNormalization.html
type GroupNormalization struct {
	Epsilon  float32
	Groups   int
	PerGroup bool
}

var (
	_ ir.Evaluator      = GroupNormalization{}
	_ ir.Differentiable = GroupNormalization{}
	_ ir.Costed         = GroupNormalization{}
	_ ir.AxisCutter     = GroupNormalization{}
	_ ir.QuantTraited   = GroupNormalization{}
	_ ir.Weighted       = GroupNormalization{}
)

func (GroupNormalization) Kind() string { return "GroupNormalization" }

func (o GroupNormalization) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 3, 3); err != nil {
		return nil, err
	}
	if err := wantFloat(in...); err != nil {
		return nil, err
	}
	x := in[0].Type
	if x.Rank() < 2 {
		return nil, fmt.Errorf("input: got %v, want [N C …]", x)
	}
	if n, ok := x.Dims[1].Known(); o.Groups < 1 || ok && n%o.Groups != 0 {
		return nil, fmt.Errorf("num_groups: got %d for input %v, want a divisor of the channels", o.Groups, x)
	}
	c := x.Dims[1]
	if o.PerGroup {
		c = ir.Len(o.Groups)
	}
	return []ir.Type{x}, channelParams(c, in[1], in[2])
}

func (o GroupNormalization) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 3); err != nil {
		return nil, err
	}
	v, err := realsOf(in...)
	if err != nil {
		return nil, err
	}
	x := in[0].Shape()
	if len(x) < 2 || o.Groups < 1 || x[1]%o.Groups != 0 {
		return nil, fmt.Errorf("got %d groups for input %v, want a divisor of the channels", o.Groups, x)
	}
	each := x[1] / o.Groups
	scale, bias := v[1], v[2]
	if o.PerGroup {
		if len(scale) != o.Groups || len(bias) != o.Groups {
			return nil, fmt.Errorf("got %d scales and %d biases for %d groups", len(scale), len(bias), o.Groups)
		}
		scale, bias = repeatEach(scale, each), repeatEach(bias, each)
	}
	size := each * product(x[2:])
	if err := blockSize(x, size); err != nil {
		return nil, err
	}
	xh, _, _ := normalizeBlocks(v[0], size, o.Epsilon, true)
	return scaleChannels(in[0], xh, scale, bias)
}

func repeatEach(v []float64, n int) []float64 {
	out := make([]float64, 0, len(v)*n)
	for _, e := range v {
		for range n {
			out = append(out, e)
		}
	}
	return out
}

func (o GroupNormalization) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	c, x, dy := gradCalc(b, n), n.In[0], dOut[0]
	xs := x.Type.MustShape()
	size := xs[1] / o.Groups * product(xs[2:])
	if !o.PerGroup {
		return channelNormGrad(c, n, dy, size, o.Epsilon, need)
	}
	// As [N, Groups, rest] the scale is per channel.
	wide := ir.MakeType(x.Type.DType, xs[0], o.Groups, size)
	shadow := *n
	shadow.In = []*ir.Value{reshapeTo(b, c.name+"/groups", x, wide), n.In[1], n.In[2]}
	grads, err := channelNormGrad(c, &shadow, reshapeTo(b, c.name+"/groups", dy, wide), size, o.Epsilon, need)
	if err == nil && grads[0] != nil {
		grads[0] = reshapeTo(b, c.name+"/whole", grads[0], x.Type)
	}
	return grads, err
}

func (GroupNormalization) Cost(n *ir.Node) ir.Cost { return elementOps(n, 6) }

// MapAxes implements [ir.AxisMapper].
func (o GroupNormalization) MapAxes(n *ir.Node, m ir.AxisMap) {
	x, y := n.In[0], n.Out[0]
	if o.alone(n) {
		channelAxes(n, m)
		return
	}
	tieAxes(m, x, 0, y, 0)
	fixFrom(m, x, 1, "channels are normalized in groups")
	fixFrom(m, y, 1, "channels are normalized in groups")
	for _, v := range n.In[1:] {
		fixFrom(m, v, 0, "channels are normalized in groups")
	}
}

// alone reports whether every channel is a group.
func (o GroupNormalization) alone(n *ir.Node) bool {
	c, known := n.In[0].Type.Dims[1].Known()
	return known && c == o.Groups
}

// CutAxes implements [ir.AxisCutter].
func (o GroupNormalization) CutAxes(_ *ir.Builder, n *ir.Node, kept func(*ir.Value, int) []int) (ir.Op, []*ir.Value) {
	if o.alone(n) {
		o.Groups, _ = keptLen(kept, n.In[0], 1)
	}
	return o, n.In
}

func (GroupNormalization) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func (GroupNormalization) Weights(*ir.Node) ir.WeightPorts { return scaleBiasPorts }

func decodeGroupNormalization(d *Decoder) ir.Op {
	o := GroupNormalization{Epsilon: d.Float("epsilon", 1e-5), Groups: d.Int("num_groups", 0), PerGroup: d.Opset < 21}
	wantStash(d)
	return o
}

// wantStash reads stash_type, the precision of the statistics: float32, which
// ours exceed.
func wantStash(d *Decoder) {
	if s := d.Int("stash_type", 1); s != 1 {
		d.Errorf("stash_type: got %d, want 1 (float32)", s)
	}
}

func encodeGroupNormalization(e *Encoder) {
	o := e.Node.Op.(GroupNormalization)
	e.MinOpset(18)
	if o.PerGroup && e.Opset >= 21 {
		e.Errorf("scale and bias per group need opset 18 to 20, the file has %d; make them per channel", e.Opset)
	}
	if !o.PerGroup && e.Opset < 21 {
		e.Errorf("scale and bias per channel need opset 21, the file has %d", e.Opset)
	}
	e.Set("epsilon", o.Epsilon)
	e.Set("num_groups", o.Groups)
}
