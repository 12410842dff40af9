package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// MaxPool is y[n,c,p] = max_k x[n,c, s·p + d·k - pad]; padding never wins. Of
// equal elements the first in row-major order is taken.
//
//	in  0 x [N, C, spatial…], floating point, int8 or uint8
//	out 0 y [N, C, spatial'…]   1 indices int64: row-major positions in x, optional
//
// One to three spatial axes. storage_order 1 is refused where indices are wanted.
// https://onnx.ai/onnx/operators/onnx__MaxPool.html
type MaxPool struct{ Pool }

var (
	_ ir.Evaluator      = MaxPool{}
	_ ir.Differentiable = MaxPool{}
	_ ir.Costed         = MaxPool{}
	_ ir.AxisMapper     = MaxPool{}
	_ ir.QuantTraited   = MaxPool{}
)

func (MaxPool) Kind() string { return "MaxPool" }

func (p MaxPool) Infer(in []*ir.Value) ([]ir.Type, error) {
	y, err := p.infer(in)
	if err != nil {
		return nil, err
	}
	if !y.DType.IsFloat() {
		if err := wantDType(in[0], "input", tensor.Int8, tensor.Uint8); err != nil {
			return nil, err
		}
	}
	return []ir.Type{y, y.WithDType(tensor.Int64)}, nil
}

func (p MaxPool) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x := in[0]
	g, err := p.geometry(x.Shape())
	if err != nil {
		return nil, err
	}
	xd, err := x.Float64s() // exact for every type allowed
	if err != nil {
		return nil, err
	}
	arg, err := g.argmax(xd)
	if err != nil {
		return nil, err
	}
	indices := make([]int64, len(arg))
	for i, a := range arg {
		indices[i] = int64(a)
	}
	return []*tensor.Tensor{pick(x, g.shape, arg), tensor.From(indices, g.shape...)}, nil
}

// argmax returns the position in x of each window's maximum. NaN wins.
func (g *poolGeometry) argmax(x []float64) ([]int, error) {
	arg := make([]int, g.planes*g.ySize)
	for i := range arg {
		arg[i] = -1
	}
	for p := range g.planes {
		y, base := arg[p*g.ySize:], p*g.xSize
		g.taps(func(yi, xi int) {
			if y[yi] < 0 || x[base+xi] > x[y[yi]] || isNaN(x[base+xi]) && !isNaN(x[y[yi]]) {
				y[yi] = base + xi
			}
		})
	}
	for i, a := range arg {
		if a < 0 {
			return nil, fmt.Errorf("output %d: window lies in the padding", i)
		}
	}
	return arg, nil
}

func (p MaxPool) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return []*ir.Value{b.Op(MaxPoolGrad(p), n.Name+"/grad", n.In[0], dOut[0])}, nil
}

func (p MaxPool) Cost(n *ir.Node) ir.Cost { return p.cost(n) }

// MapAxes implements [ir.AxisMapper].
func (MaxPool) MapAxes(n *ir.Node, m ir.AxisMap) {
	channelAxes(n, m)
	if places := n.Output(1); places != nil { // counted through all axes
		fixFrom(m, n.In[0], 0, "places in the whole input are asked for")
		fixFrom(m, places, 0, "places in the whole input are asked for")
	}
}

func (MaxPool) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

func decodeMaxPool(d *Decoder) ir.Op {
	if s := d.Int("storage_order", 0); s != 0 && d.NumOut > 1 { // it only orders the indices
		d.Errorf("storage_order: got %d, want 0 (row-major indices)", s)
	}
	return MaxPool{decodePool(d)}
}

func encodeMaxPool(e *Encoder) {
	if !e.Node.In[0].Type.DType.IsFloat() {
		e.MinOpset(12)
	}
	encodePool(e, e.Node.Op.(MaxPool).Pool, 10, 10)
}

// MaxPoolGrad is the gradient of [MaxPool]: dx[j] = Σ dy[i] over the windows i
// whose maximum, the first of equals, is x[j].
//
//	in  0 x [N, C, spatial…]   1 dy [N, C, spatial'…]
//	out 0 dx, as x
//
// Internal. Its own gradient picks at the same positions.
type MaxPoolGrad struct{ Pool }

var (
	_ ir.Evaluator      = MaxPoolGrad{}
	_ ir.Differentiable = MaxPoolGrad{}
	_ ir.Costed         = MaxPoolGrad{}
)

func (MaxPoolGrad) Kind() string { return "MaxPoolGrad" }

func (p MaxPoolGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := wantFloat(in...); err != nil {
		return nil, err
	}
	if err := wantSameDType(in...); err != nil {
		return nil, err
	}
	y, err := p.infer(in[:1])
	if err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type}, wantMayEqual(in[1], "gradient", y)
}

// wantMayEqual checks that a value may have the axes of t.
func wantMayEqual(v *ir.Value, what string, t ir.Type) error {
	ok := v.Type.Rank() == t.Rank()
	for i := 0; ok && i < t.Rank(); i++ {
		ok = v.Type.Dims[i].MayEqual(t.Dims[i])
	}
	if !ok {
		return fmt.Errorf("%s: got %v, want %v", what, v.Type, t)
	}
	return nil
}

func (p MaxPoolGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x := in[0]
	g, err := p.geometry(x.Shape())
	if err != nil {
		return nil, err
	}
	if !g.shape.Equal(in[1].Shape()) {
		return nil, fmt.Errorf("got gradient %v, want %v", in[1].Shape(), g.shape)
	}
	v, err := realsOf(in...)
	if err != nil {
		return nil, err
	}
	arg, err := g.argmax(v[0])
	if err != nil {
		return nil, err
	}
	dx := make([]float64, x.Len())
	for i, a := range arg {
		dx[a] += v[1][i]
	}
	return one(fromFloats(x.DType(), dx, x.Shape()...)), nil
}

func (p MaxPoolGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, 2) // piecewise constant in x
	if need[1] {
		indices := b.Multi(MaxPool(p), n.Name+"/argmax", 2, n.In[0])[1]
		flat := ir.MakeType(dOut[0].Type.DType, dOut[0].Type.MustShape().Numel())
		grads[1] = b.Op(Gather{}, n.Name+"/grad_output", reshapeTo(b, n.Name+"/flat", dOut[0], flat), indices)
	}
	return grads, nil
}

func (p MaxPoolGrad) Cost(n *ir.Node) ir.Cost {
	return ir.Cost{Ops: int64(n.In[1].Type.MustShape().Numel()) * int64(product(p.Kernel))}
}

// GlobalMaxPool is y[n,c,1…] = max over the spatial axes of x[n,c,…].
//
//	in  0 x [N, C, spatial…]
//	out 0 y [N, C, 1…]
//
// https://onnx.ai/onnx/operators/onnx__GlobalMaxPool.html
type GlobalMaxPool struct{}

var (
	_ ir.Evaluator      = GlobalMaxPool{}
	_ ir.Differentiable = GlobalMaxPool{}
	_ ir.Costed         = GlobalMaxPool{}
	_ ir.AxisMapper     = GlobalMaxPool{}
	_ ir.QuantTraited   = GlobalMaxPool{}
)

func (GlobalMaxPool) Kind() string { return "GlobalMaxPool" }

func (GlobalMaxPool) Infer(in []*ir.Value) ([]ir.Type, error) { return inferGlobalPool(in) }

// inferGlobalPool types a pool over all spatial axes.
func inferGlobalPool(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if err := wantFloat(in...); err != nil {
		return nil, err
	}
	x := in[0].Type
	if x.Rank() < 3 {
		return nil, fmt.Errorf("input: got %v, want at least one spatial axis", x)
	}
	out := ir.Type{DType: x.DType, Dims: []ir.Dim{x.Dims[0], x.Dims[1]}}
	for range x.Rank() - 2 {
		out.Dims = append(out.Dims, ir.Len(1))
	}
	return []ir.Type{out}, nil
}

// evalGlobalPool applies f to each plane.
func evalGlobalPool(x *tensor.Tensor, f func(plane []float64) float64) ([]*tensor.Tensor, error) {
	xs := x.Shape()
	if len(xs) < 3 {
		return nil, fmt.Errorf("got input %v, want at least one spatial axis", xs)
	}
	v, err := reals(x)
	if err != nil {
		return nil, err
	}
	size := product(xs[2:])
	if size == 0 {
		return nil, fmt.Errorf("got input %v, want elements to pool", xs)
	}
	y := make([]float64, xs[0]*xs[1])
	for i := range y {
		y[i] = f(v[i*size:][:size])
	}
	shape := tensor.Shape{xs[0], xs[1]}
	for range len(xs) - 2 {
		shape = append(shape, 1)
	}
	return one(fromFloats(x.DType(), y, shape...)), nil
}

func (GlobalMaxPool) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return evalGlobalPool(in[0], func(plane []float64) float64 {
		m := plane[0]
		for _, v := range plane {
			if v > m || isNaN(v) {
				m = v
			}
		}
		return m
	})
}

func (GlobalMaxPool) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	xs := n.In[0].Type.MustShape()
	if len(xs) > 5 {
		return nil, fmt.Errorf("got input %v, want at most three spatial axes", xs)
	}
	return []*ir.Value{b.Op(MaxPoolGrad{Pool{Kernel: xs[2:].Clone()}}, n.Name+"/grad", n.In[0], dOut[0])}, nil
}

func (GlobalMaxPool) Cost(n *ir.Node) ir.Cost {
	return ir.Cost{Ops: int64(n.In[0].Type.MustShape().Numel())}
}

// MapAxes implements [ir.AxisMapper].
func (GlobalMaxPool) MapAxes(n *ir.Node, m ir.AxisMap) { channelAxes(n, m) }

func (GlobalMaxPool) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }
