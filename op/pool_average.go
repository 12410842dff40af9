package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// AveragePool is y[n,c,p] = mean_k x[n,c, s·p + d·k - pad]. The mean is over
// the elements within the input, or, with CountIncludePad, over its padding
// too. What CeilMode adds beyond the padding never counts.
//
//	in  0 x [N, C, spatial…]
//	out 0 y [N, C, spatial'…]
//
// One to three spatial axes.
// https://onnx.ai/onnx/operators/onnx__AveragePool.html
type AveragePool struct {
	Pool
	CountIncludePad bool
}

var (
	_ ir.Evaluator      = AveragePool{}
	_ ir.Differentiable = AveragePool{}
	_ ir.Costed         = AveragePool{}
	_ ir.AxisMapper     = AveragePool{}
	_ ir.QuantTraited   = AveragePool{}
)

func (AveragePool) Kind() string { return "AveragePool" }

func (p AveragePool) Infer(in []*ir.Value) ([]ir.Type, error) {
	y, err := p.infer(in)
	if err != nil {
		return nil, err
	}
	return []ir.Type{y}, wantFloat(in...)
}

func (p AveragePool) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x := in[0]
	g, err := p.geometry(x.Shape())
	if err != nil {
		return nil, err
	}
	xd, err := reals(x)
	if err != nil {
		return nil, err
	}
	y := make([]float64, g.planes*g.ySize)
	sizes := g.sizes(p.CountIncludePad)
	for i := range g.planes {
		yp, xp := y[i*g.ySize:][:g.ySize], xd[i*g.xSize:]
		g.taps(func(yi, xi int) { yp[yi] += xp[xi] })
		for j := range yp {
			if sizes[j] > 0 { // a window all in the padding has the sum 0
				yp[j] /= sizes[j]
			}
		}
	}
	return one(fromFloats(x.DType(), y, g.shape...)), nil
}

func (p AveragePool) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	xs := n.In[0].Type.MustShape()
	return []*ir.Value{b.Op(AveragePoolGrad{p.Pool, p.CountIncludePad, xs[2:].Clone()}, n.Name+"/grad", dOut[0])}, nil
}

func (p AveragePool) Cost(n *ir.Node) ir.Cost { return p.cost(n) }

// MapAxes implements [ir.AxisMapper].
func (AveragePool) MapAxes(n *ir.Node, m ir.AxisMap) { channelAxes(n, m) }

func (AveragePool) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func decodeAveragePool(d *Decoder) ir.Op {
	return AveragePool{decodePool(d), d.Bool("count_include_pad", false)}
}

func encodeAveragePool(e *Encoder) {
	p := e.Node.Op.(AveragePool)
	encodePool(e, p.Pool, 10, 19)
	if p.CountIncludePad {
		e.Set("count_include_pad", true)
	}
}

// AveragePoolGrad is the adjoint of [AveragePool]: dx[j] = Σ dy[i]/size[i] over
// the windows i that contain x[j].
//
//	in  0 dy [N, C, spatial'…]
//	out 0 dx [N, C, Spatial…]
//
// Internal.
type AveragePoolGrad struct {
	Pool
	CountIncludePad bool
	Spatial         []int
}

var (
	_ ir.Evaluator      = AveragePoolGrad{}
	_ ir.Differentiable = AveragePoolGrad{}
	_ ir.Costed         = AveragePoolGrad{}
)

func (AveragePoolGrad) Kind() string { return "AveragePoolGrad" }

func (p AveragePoolGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if err := wantFloat(in...); err != nil {
		return nil, err
	}
	dy := in[0].Type
	if dy.Rank() != len(p.Spatial)+2 {
		return nil, fmt.Errorf("got gradient %v for the spatial axes %v", dy, p.Spatial)
	}
	x := ir.Type{DType: dy.DType, Dims: []ir.Dim{dy.Dims[0], dy.Dims[1]}}
	for _, n := range p.Spatial {
		x.Dims = append(x.Dims, ir.Len(n))
	}
	y, err := p.infer([]*ir.Value{{Type: x}})
	if err != nil {
		return nil, err
	}
	return []ir.Type{x}, wantMayEqual(in[0], "gradient", y)
}

func (p AveragePoolGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	dy := in[0]
	if dy.Rank() != len(p.Spatial)+2 {
		return nil, fmt.Errorf("got gradient %v for the spatial axes %v", dy, p.Spatial)
	}
	xs := append(tensor.Shape{dy.Shape()[0], dy.Shape()[1]}, p.Spatial...)
	if err := checkSize(xs); err != nil {
		return nil, err
	}
	g, err := p.geometry(xs)
	if err != nil {
		return nil, err
	}
	if !g.shape.Equal(dy.Shape()) {
		return nil, fmt.Errorf("got gradient %v, want %v", dy.Shape(), g.shape)
	}
	d, err := reals(dy)
	if err != nil {
		return nil, err
	}
	dx := make([]float64, xs.Numel())
	sizes := g.sizes(p.CountIncludePad)
	for i := range g.planes {
		yp, xp := d[i*g.ySize:], dx[i*g.xSize:]
		g.taps(func(yi, xi int) { xp[xi] += yp[yi] / sizes[yi] })
	}
	return one(fromFloats(dy.DType(), dx, xs...)), nil
}

func (p AveragePoolGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return []*ir.Value{b.Op(AveragePool{p.Pool, p.CountIncludePad}, n.Name+"/grad", dOut[0])}, nil
}

func (p AveragePoolGrad) Cost(n *ir.Node) ir.Cost {
	return ir.Cost{Ops: int64(n.In[0].Type.MustShape().Numel()) * int64(product(p.Kernel))}
}

// GlobalAveragePool is y[n,c,1…] = mean over the spatial axes of x[n,c,…].
//
//	in  0 x [N, C, spatial…]
//	out 0 y [N, C, 1…]
//
// https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html
type GlobalAveragePool struct{}

var (
	_ ir.Evaluator      = GlobalAveragePool{}
	_ ir.Differentiable = GlobalAveragePool{}
	_ ir.Costed         = GlobalAveragePool{}
	_ ir.AxisMapper     = GlobalAveragePool{}
	_ ir.QuantTraited   = GlobalAveragePool{}
)

func (GlobalAveragePool) Kind() string { return "GlobalAveragePool" }

func (GlobalAveragePool) Infer(in []*ir.Value) ([]ir.Type, error) { return inferGlobalPool(in) }

func (GlobalAveragePool) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return evalGlobalPool(in[0], func(plane []float64) float64 {
		sum := 0.0
		for _, v := range plane {
			sum += v
		}
		return sum / float64(len(plane))
	})
}

func (GlobalAveragePool) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	x := n.In[0]
	f := 1 / float64(product(x.Type.MustShape()[2:]))
	d := b.Op(Mul{}, n.Name+"/grad_mean", dOut[0], constLike(b, n.Name+"/factor", x, f))
	return []*ir.Value{expandTo(b, n.Name+"/grad", d, x.Type)}, nil
}

func (GlobalAveragePool) Cost(n *ir.Node) ir.Cost {
	return ir.Cost{Ops: int64(n.In[0].Type.MustShape().Numel())}
}

// MapAxes implements [ir.AxisMapper].
func (GlobalAveragePool) MapAxes(n *ir.Node, m ir.AxisMap) { channelAxes(n, m) }

func (GlobalAveragePool) QuantTrait() ir.QuantTrait { return ir.QuantInputs }
