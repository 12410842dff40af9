package op

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// MeanVarianceNormalization is y = (x - m)/(√v + 1e-9), with the mean m and
// biased variance v over Axes (nil: 0, 2, 3).
//
//	in  0 x
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__MeanVarianceNormalization.html
type MeanVarianceNormalization struct{ Axes []int }

var (
	_ ir.Evaluator      = MeanVarianceNormalization{}
	_ ir.Differentiable = MeanVarianceNormalization{}
	_ ir.Costed         = MeanVarianceNormalization{}
	_ ir.QuantTraited   = MeanVarianceNormalization{}
)

func (MeanVarianceNormalization) Kind() string { return "MeanVarianceNormalization" }

// mvnEpsilon is added to the standard deviation; the number is ONNX's.
const mvnEpsilon = 1e-9

func (o MeanVarianceNormalization) axes(rank int) ([]int, error) {
	if o.Axes == nil {
		return axesOf([]int{0, 2, 3}, rank)
	}
	return axesOf(o.Axes, rank)
}

func (o MeanVarianceNormalization) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if err := wantFloat(in...); err != nil {
		return nil, err
	}
	_, err := o.axes(in[0].Type.Rank())
	return []ir.Type{in[0].Type}, err
}

// groups returns, for each element of a shape, the number of its group when the
// given axes are reduced, and the number of groups.
func groups(shape tensor.Shape, axes []int) (group []int, n int) {
	kept := shape.Clone()
	for _, a := range axes {
		kept[a] = 1
	}
	return broadcastPos(shape, kept), kept.Numel()
}

func (o MeanVarianceNormalization) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x := in[0]
	axes, err := o.axes(x.Rank())
	if err != nil {
		return nil, err
	}
	y, err := reals(x)
	if err != nil {
		return nil, err
	}
	group, n := groups(x.Shape(), axes)
	count := float64(len(y)) / float64(n)
	mean, variance := make([]float64, n), make([]float64, n)
	for i, v := range y {
		mean[group[i]] += v / count
	}
	for i, v := range y {
		variance[group[i]] += (v - mean[group[i]]) * (v - mean[group[i]]) / count
	}
	for i := range y {
		y[i] = (y[i] - mean[group[i]]) / (math.Sqrt(variance[group[i]]) + mvnEpsilon)
	}
	return one(fromFloats(x.DType(), y, x.Shape()...)), nil
}

func (o MeanVarianceNormalization) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, x, dy := gradCalc(b, n), n.In[0], dOut[0]
	shape := x.Type.MustShape()
	axes, err := o.axes(len(shape))
	if err != nil {
		return nil, err
	}
	_, kept := groups(shape, axes)
	count := float64(shape.Numel()) / float64(max(1, kept))
	mean := func(v *ir.Value) *ir.Value {
		return c.scale(c.op(ReduceSum{KeepDims: true}, v, b.ConstInts(c.name+"/axes", axes...)), 1/count)
	}
	xc := c.sub(x, mean(x))
	std := c.sqrt(mean(c.square(xc)))
	r := c.div(c.num(x, 1), c.shift(std, mvnEpsilon))
	// dx = r·(g - mean(g)) - xc·r²/σ·mean(g·xc)
	g := c.sub(dy, mean(dy))
	d := c.mul(xc, c.mul(c.div(c.square(r), std), mean(c.mul(dy, xc))))
	return []*ir.Value{c.sub(c.mul(r, g), d)}, nil
}

func (MeanVarianceNormalization) Cost(n *ir.Node) ir.Cost { return elementOps(n, 6) }

func (MeanVarianceNormalization) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func decodeMeanVarianceNormalization(d *Decoder) ir.Op {
	return MeanVarianceNormalization{Axes: d.Ints("axes")}
}

func encodeMeanVarianceNormalization(e *Encoder) {
	e.MinOpset(9)
	e.Set("axes", e.Node.Op.(MeanVarianceNormalization).Axes)
}

// LpNormalization is y = x/‖x‖ along Axis, with the norm Σ|x| if P is 1 and
// √Σx² if P is 2, which 0 stands for. A vector of zeros becomes NaN.
//
//	in  0 x
//	out 0 y
//
// A file's default Axis is -1.
// https://onnx.ai/onnx/operators/onnx__LpNormalization.html
type LpNormalization struct{ Axis, P int }

var (
	_ ir.Evaluator      = LpNormalization{}
	_ ir.Differentiable = LpNormalization{}
	_ ir.Costed         = LpNormalization{}
)

func (LpNormalization) Kind() string { return "LpNormalization" }

func (o LpNormalization) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if err := wantFloat(in...); err != nil {
		return nil, err
	}
	if o.P < 0 || o.P > 2 {
		return nil, fmt.Errorf("p: got %d, want 1 or 2", o.P)
	}
	_, err := wantAxis(in[0], o.Axis)
	return []ir.Type{in[0].Type}, err
}

func (o LpNormalization) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return softAxes{Axis: o.Axis}.eval(in, func(x []float64) {
		norm := 0.0
		for _, v := range x {
			if o.P == 1 {
				norm += math.Abs(v)
			} else {
				norm += v * v
			}
		}
		if o.P != 1 {
			norm = math.Sqrt(norm)
		}
		for i := range x {
			x[i] /= norm
		}
	})
}

// Grad is dx = (dy - s·Σ dy·y)/‖x‖ with s = sign(x) for P 1 and y for P 2.
func (o LpNormalization) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	c, x, y, dy := gradCalc(b, n), n.In[0], n.Out[0], dOut[0]
	sum := func(v *ir.Value) *ir.Value { return softAxes{Axis: o.Axis}.sum(c, v) }
	s, norm := y, (*ir.Value)(nil)
	if o.P == 1 {
		s = c.op(Sign{}, x)
		norm = sum(c.mul(x, s))
	} else {
		norm = c.sqrt(sum(c.square(x)))
	}
	return []*ir.Value{c.div(c.sub(dy, c.mul(s, sum(c.mul(dy, y)))), norm)}, nil
}

func (LpNormalization) Cost(n *ir.Node) ir.Cost { return elementOps(n, 3) }

func decodeLpNormalization(d *Decoder) ir.Op {
	o := LpNormalization{Axis: d.Int("axis", -1), P: d.Int("p", 2)}
	if o.P != 1 && o.P != 2 {
		d.Errorf("p: got %d, want 1 or 2", o.P)
	}
	return o
}

func encodeLpNormalization(e *Encoder) {
	o := e.Node.Op.(LpNormalization)
	axis, p := o.Axis, o.P
	if e.Opset < 11 && axis < 0 { // by convention; the schema does not say
		axis += e.Node.In[0].Type.Rank()
	}
	if p == 0 {
		p = 2
	}
	e.Set("axis", axis)
	e.Set("p", p)
}

// LRN is local response normalization across channels:
// y[n,c,p] = x[n,c,p]/(Bias + Alpha/Size·Σ x[n,k,p]²)^Beta, the sum over the
// channels k from c-⌊(Size-1)/2⌋ to c+⌈(Size-1)/2⌉ that exist.
//
//	in  0 x [N, C, …]
//	out 0 y
//
// A file's defaults are Alpha 1e-4, Beta 0.75 and Bias 1; the zero value has none.
// https://onnx.ai/onnx/operators/onnx__LRN.html
type LRN struct {
	Alpha, Beta, Bias float32
	Size              int
}

var (
	_ ir.Evaluator      = LRN{}
	_ ir.Differentiable = LRN{}
	_ ir.Costed         = LRN{}
	_ ir.AxisMapper     = LRN{}
)

func (LRN) Kind() string { return "LRN" }

func (o LRN) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if err := wantFloat(in...); err != nil {
		return nil, err
	}
	if o.Size < 1 || o.Size > 1<<20 || in[0].Type.Rank() < 2 {
		return nil, fmt.Errorf("got size %d for input %v, want a positive one and [N C …]", o.Size, in[0].Type)
	}
	return []ir.Type{in[0].Type}, nil
}

// walk calls f for each element i and each element k of its window.
func (o LRN) walk(n, c, inner int, f func(i, k int)) {
	below, above := (o.Size-1)/2, o.Size/2
	for img := range n {
		for ch := range c {
			for k := max(0, ch-below); k <= min(c-1, ch+above); k++ {
				for j := range inner {
					f((img*c+ch)*inner+j, (img*c+k)*inner+j)
				}
			}
		}
	}
}

// base returns Bias + Alpha/Size·Σ x².
func (o LRN) base(x []float64, n, c, inner int) []float64 {
	s := make([]float64, len(x))
	for i := range s {
		s[i] = float64(o.Bias)
	}
	f := float64(o.Alpha) / float64(o.Size)
	o.walk(n, c, inner, func(i, k int) { s[i] += f * x[k] * x[k] })
	return s
}

func (o LRN) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x, err := reals(in[0])
	if err != nil {
		return nil, err
	}
	n, c, inner, err := channels(in[0])
	if err != nil {
		return nil, err
	}
	y := o.base(x, n, c, inner)
	for i, s := range y {
		y[i] = x[i] * math.Pow(s, -float64(o.Beta))
	}
	return one(fromFloats(in[0].DType(), y, in[0].Shape()...)), nil
}

func (o LRN) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return []*ir.Value{b.Op(LRNGrad(o), n.Name+"/grad", n.In[0], dOut[0])}, nil
}

func (o LRN) Cost(n *ir.Node) ir.Cost { return elementOps(n, int64(o.Size)+3) }

// MapAxes implements [ir.AxisMapper].
func (LRN) MapAxes(n *ir.Node, m ir.AxisMap) {
	sameAxes(n, m, "channels are normalized by their neighbours", 1)
}

func decodeLRN(d *Decoder) ir.Op {
	return LRN{Alpha: d.Float("alpha", 1e-4), Beta: d.Float("beta", 0.75), Bias: d.Float("bias", 1), Size: d.Int("size", 0)}
}

func encodeLRN(e *Encoder) {
	o := e.Node.Op.(LRN)
	e.Set("alpha", o.Alpha)
	e.Set("beta", o.Beta)
	e.Set("bias", o.Bias)
	e.Set("size", o.Size)
}

// LRNGrad is the gradient of [LRN], with s the base of its power:
// dx[k] = dy[k]·s[k]^-Beta - 2·Alpha·Beta/Size·x[k]·Σ dy[i]·x[i]·s[i]^(-Beta-1)
// over the elements i whose window contains k.
//
//	in  0 x   1 dy
//	out 0 dx
//
// Internal.
type LRNGrad LRN

var (
	_ ir.Evaluator         = LRNGrad{}
	_ ir.NonDifferentiable = LRNGrad{}
	_ ir.Costed            = LRNGrad{}
)

func (LRNGrad) Kind() string { return "LRNGrad" }

func (o LRNGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := wantMayEqual(in[1], "gradient", in[0].Type); err != nil {
		return nil, err
	}
	return LRN(o).Infer(in[:1])
}

func (o LRNGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	v, err := realsOf(in...)
	if err != nil {
		return nil, err
	}
	n, c, inner, err := channels(in[0])
	if err != nil {
		return nil, err
	}
	x, dy := v[0], v[1]
	if len(x) != len(dy) {
		return nil, fmt.Errorf("got gradient %v for input %v", in[1].Shape(), in[0].Shape())
	}
	s := LRN(o).base(x, n, c, inner)
	beta := float64(o.Beta)
	dx := make([]float64, len(x))
	f := 2 * float64(o.Alpha) * beta / float64(o.Size)
	LRN(o).walk(n, c, inner, func(i, k int) { dx[k] -= f * x[k] * dy[i] * x[i] * math.Pow(s[i], -beta-1) })
	for i := range dx {
		dx[i] += dy[i] * math.Pow(s[i], -beta)
	}
	return one(fromFloats(in[0].DType(), dx, in[0].Shape()...)), nil
}

func (LRNGrad) NoGrad() string {
	return "the second derivative of local response normalization is not provided"
}

func (o LRNGrad) Cost(n *ir.Node) ir.Cost { return elementOps(n, 2*int64(o.Size)+3) }
