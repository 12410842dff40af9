package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Gemm is y = Alpha·a'·b' + Beta·c, where a' is a, or its transpose if TransA.
//
//	in  0 a [M, K]   1 b [K, N]   2 c, optional, broadcast to [M, N]
//	out 0 y [M, N]
//
// Alpha and Beta 0 stand for 1: a file's beta of 0 drops c, and an alpha of 0
// is refused.
// https://onnx.ai/onnx/operators/onnx__Gemm.html
type Gemm struct {
	Alpha, Beta    float32
	TransA, TransB bool
}

var (
	_ ir.Evaluator      = Gemm{}
	_ ir.Differentiable = Gemm{}
	_ ir.Costed         = Gemm{}
	_ ir.AxisMapper     = Gemm{}
	_ ir.QuantTraited   = Gemm{}
	_ ir.Weighted       = Gemm{}
)

func (Gemm) Kind() string { return "Gemm" }

// Factors returns Alpha and Beta with 0 replaced by 1.
func (g Gemm) Factors() (alpha, beta float32) {
	alpha, beta = g.Alpha, g.Beta
	if alpha == 0 {
		alpha = 1
	}
	if beta == 0 {
		beta = 1
	}
	return alpha, beta
}

func (g Gemm) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 3); err != nil {
		return nil, err
	}
	if err := wantSameDType(in...); err != nil {
		return nil, err
	}
	a, b := in[0].Type, in[1].Type
	if a.Rank() != 2 || b.Rank() != 2 {
		return nil, fmt.Errorf("got operands %v and %v, want matrices", a, b)
	}
	m, k, k2, n := a.Dims[0], a.Dims[1], b.Dims[0], b.Dims[1]
	if g.TransA {
		m, k = k, m
	}
	if g.TransB {
		k2, n = n, k2
	}
	if !k.MayEqual(k2) {
		return nil, fmt.Errorf("got operands %v (transposed: %t) and %v (transposed: %t), want equal inner axes", a, g.TransA, b, g.TransB)
	}
	out := ir.Type{DType: a.DType, Dims: []ir.Dim{m, n}}
	if c := present(in, 2); c != nil {
		dims, err := ir.BroadcastDims(out.Dims, c.Type.Dims)
		if err != nil || len(dims) != 2 || !dims[0].MayEqual(m) || !dims[1].MayEqual(n) {
			return nil, fmt.Errorf("bias: got %v, want a shape that broadcasts to %v", c.Type, out)
		}
	}
	return []ir.Type{out}, nil
}

func (g Gemm) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	a, b, c := in[0], in[1], present(in, 2)
	if a.Rank() != 2 || b.Rank() != 2 {
		return nil, fmt.Errorf("got operands %v and %v, want matrices", a, b)
	}
	alpha, beta := g.Factors()
	if !a.DType().IsFloat() {
		return g.evalInts(a, b, c)
	}
	v, err := realsOf(a, b, c)
	if err != nil {
		return nil, err
	}
	y, shape, err := gemmLoops(g, a, b, v[0], v[1])
	if err != nil {
		return nil, err
	}
	for i := range y {
		y[i] *= float64(alpha)
	}
	if c != nil {
		if err := addBroadcast(y, shape, v[2], c.Shape(), float64(beta)); err != nil {
			return nil, err
		}
	}
	return []*tensor.Tensor{fromFloats(a.DType(), y, shape...)}, nil
}

// evalInts is Eval for integers, whose factors must be whole numbers.
func (g Gemm) evalInts(a, b, c *tensor.Tensor) ([]*tensor.Tensor, error) {
	alpha, beta := g.Factors()
	if alpha != float32(int(alpha)) || beta != float32(int(beta)) {
		return nil, fmt.Errorf("got alpha %g and beta %g for %v elements, want whole numbers", alpha, beta, a.DType())
	}
	ai, err := a.Ints()
	if err != nil {
		return nil, err
	}
	bi, err := b.Ints()
	if err != nil {
		return nil, err
	}
	y, shape, err := gemmLoops(g, a, b, ai, bi)
	if err != nil {
		return nil, err
	}
	for i := range y {
		y[i] *= int(alpha)
	}
	if c != nil {
		ci, err := c.Ints()
		if err != nil {
			return nil, err
		}
		if err := addBroadcast(y, shape, ci, c.Shape(), int(beta)); err != nil {
			return nil, err
		}
	}
	return []*tensor.Tensor{fromInts(a.DType(), y, shape...)}, nil
}

func gemmLoops[T int | float64](g Gemm, a, b *tensor.Tensor, ad, bd []T) ([]T, tensor.Shape, error) {
	as, bs := a.Shape(), b.Shape()
	m, k, am, ak := as[0], as[1], as[1], 1
	if g.TransA {
		m, k, am, ak = as[1], as[0], 1, as[1]
	}
	k2, n, bk, bn := bs[0], bs[1], bs[1], 1
	if g.TransB {
		k2, n, bk, bn = bs[1], bs[0], 1, bs[1]
	}
	if k != k2 {
		return nil, nil, fmt.Errorf("got operands %v and %v, want equal inner axes", as, bs)
	}
	shape := tensor.Shape{m, n}
	if err := checkSize(shape); err != nil {
		return nil, nil, err
	}
	y := make([]T, m*n)
	for i := range m {
		for j := range n {
			var sum T
			for l := range k {
				sum += ad[i*am+l*ak] * bd[l*bk+j*bn]
			}
			y[i*n+j] = sum
		}
	}
	return y, shape, nil
}

// addBroadcast adds f·c, broadcast, to y.
func addBroadcast[T int | float64](y []T, shape tensor.Shape, c []T, cs tensor.Shape, f T) error {
	full, err := tensor.Broadcast(shape, cs)
	if err != nil || !full.Equal(shape) {
		return fmt.Errorf("got %v, want a shape that broadcasts to %v", cs, shape)
	}
	for i, j := range broadcastPos(shape, cs) {
		y[i] += f * c[j]
	}
	return nil
}

func (g Gemm) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	x, w, dy := n.In[0], n.In[1], dOut[0]
	grads := make([]*ir.Value, len(n.In))
	if need[0] {
		if g.TransA {
			grads[0] = b.Op(Gemm{Alpha: g.Alpha, TransA: g.TransB, TransB: true}, n.Name+"/grad_a", w, dy)
		} else {
			grads[0] = b.Op(Gemm{Alpha: g.Alpha, TransB: !g.TransB}, n.Name+"/grad_a", dy, w)
		}
	}
	if need[1] {
		if g.TransB {
			grads[1] = b.Op(Gemm{Alpha: g.Alpha, TransA: true, TransB: g.TransA}, n.Name+"/grad_b", dy, x)
		} else {
			grads[1] = b.Op(Gemm{Alpha: g.Alpha, TransA: !g.TransA}, n.Name+"/grad_b", x, dy)
		}
	}
	if c := n.Input(2); c != nil && need[2] {
		d := sumTo(b, n.Name+"/grad_c", dy, c.Type)
		if _, beta := g.Factors(); beta != 1 {
			d = b.Op(Mul{}, n.Name+"/grad_c_beta", d, constLike(b, n.Name+"/beta", dy, float64(beta)))
		}
		grads[2] = d
	}
	return grads, nil
}

func (g Gemm) Cost(n *ir.Node) ir.Cost {
	a, y := n.In[0].Type.MustShape(), n.Out[0].Type.MustShape()
	k := a[1]
	if g.TransA {
		k = a[0]
	}
	return ir.Cost{MACs: int64(y.Numel()) * int64(k)}
}

// MapAxes implements [ir.AxisMapper].
func (g Gemm) MapAxes(n *ir.Node, m ir.AxisMap) {
	a, w, y := n.In[0], n.In[1], n.Out[0]
	row, sum := 0, 1
	if g.TransA {
		row, sum = 1, 0
	}
	in, out := 0, 1
	if g.TransB {
		in, out = 1, 0
	}
	tieAxes(m, a, row, y, 0)
	tieAxes(m, a, sum, w, in)
	tieAxes(m, w, out, y, 1)
	if c := n.Input(2); c != nil {
		off := 2 - c.Type.Rank()
		for i := range c.Type.Rank() {
			tieAxes(m, c, i, y, i+off)
		}
	}
	fixSums(m, a, sum, w, in)
}

func (Gemm) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

// Weights: the second operand, as in a linear layer, unless only the first is stored.
func (g Gemm) Weights(n *ir.Node) ir.WeightPorts {
	p := ir.WeightPorts{Weight: 1, OutAxis: 1, InAxis: 0, Bias: 2}
	if g.TransB {
		p.OutAxis, p.InAxis = 0, 1
	}
	if n.In[0].IsStored() && !n.In[1].IsStored() {
		p = ir.WeightPorts{Weight: 0, OutAxis: 0, InAxis: 1, Bias: -1}
		if g.TransA {
			p.OutAxis, p.InAxis = 1, 0
		}
	}
	if p.Bias == 2 && n.Input(2) == nil {
		p.Bias = -1
	}
	return p
}

func decodeGemm(d *Decoder) ir.Op {
	g := Gemm{Alpha: d.Float("alpha", 1), Beta: d.Float("beta", 1), TransA: d.Bool("transA", false), TransB: d.Bool("transB", false)}
	if g.Alpha == 0 {
		d.Errorf("alpha: got 0, which makes the product meaningless; want another factor")
	}
	if g.Beta == 0 {
		d.In = d.In[:min(2, len(d.In))]
	}
	if g.Alpha == 1 {
		g.Alpha = 0
	}
	if g.Beta == 1 {
		g.Beta = 0
	}
	return g
}

func encodeGemm(e *Encoder) {
	g := e.Node.Op.(Gemm)
	alpha, beta := g.Factors()
	e.Set("alpha", alpha)
	e.Set("beta", beta)
	e.Set("transA", g.TransA)
	e.Set("transB", g.TransB)
	if e.Opset < 11 && present(e.In, 2) == nil {
		e.Errorf("a product without input C needs opset 11, the file has %d", e.Opset)
	}
}
