package op

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// LpPool is y[n,c,p] = (Σ_k |x[n,c, s·p + d·k - pad]|^P)^(1/P). P 0 stands for 2.
//
//	in  0 x [N, C, spatial…]
//	out 0 y [N, C, spatial'…]
//
// One to three spatial axes.
// https://onnx.ai/onnx/operators/onnx__LpPool.html
type LpPool struct {
	Pool
	P int
}

var (
	_ ir.Evaluator         = LpPool{}
	_ ir.NonDifferentiable = LpPool{}
	_ ir.Costed            = LpPool{}
	_ ir.AxisMapper        = LpPool{}
)

func (LpPool) Kind() string { return "LpPool" }

func (p LpPool) Infer(in []*ir.Value) ([]ir.Type, error) {
	y, err := p.infer(in)
	if err != nil {
		return nil, err
	}
	if p.P < 0 {
		return nil, fmt.Errorf("p: got %d, want a positive number", p.P)
	}
	return []ir.Type{y}, wantFloat(in...)
}

func (p LpPool) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x := in[0]
	g, err := p.geometry(x.Shape())
	if err != nil {
		return nil, err
	}
	xd, err := reals(x)
	if err != nil {
		return nil, err
	}
	pw := lpPower(p.P)
	y := make([]float64, g.planes*g.ySize)
	for i := range g.planes {
		yp, xp := y[i*g.ySize:][:g.ySize], xd[i*g.xSize:]
		g.taps(func(yi, xi int) { yp[yi] += math.Pow(math.Abs(xp[xi]), pw) })
		for j, v := range yp {
			yp[j] = math.Pow(v, 1/pw)
		}
	}
	return one(fromFloats(x.DType(), y, g.shape...)), nil
}

func lpPower(p int) float64 {
	if p == 0 {
		p = 2
	}
	return float64(p)
}

func (LpPool) NoGrad() string {
	return "its gradient is not provided; use average or maximum pooling"
}

func (p LpPool) Cost(n *ir.Node) ir.Cost { return p.cost(n) }

// MapAxes implements [ir.AxisMapper].
func (LpPool) MapAxes(n *ir.Node, m ir.AxisMap) { channelAxes(n, m) }

func decodeLpPool(d *Decoder) ir.Op { return LpPool{decodePool(d), decodeP(d)} }

func decodeP(d *Decoder) int {
	p := d.Int("p", 2)
	if p < 1 {
		d.Errorf("p: got %d, want a positive number", p)
	}
	return p
}

func encodeLpPool(e *Encoder) {
	p := e.Node.Op.(LpPool)
	encodePool(e, p.Pool, 18, 18)
	e.Set("p", int(lpPower(p.P)))
}

// GlobalLpPool is [LpPool] over all spatial axes.
//
//	in  0 x [N, C, spatial…]
//	out 0 y [N, C, 1…]
//
// https://onnx.ai/onnx/operators/onnx__GlobalLpPool.html
type GlobalLpPool struct{ P int }

var (
	_ ir.Evaluator         = GlobalLpPool{}
	_ ir.NonDifferentiable = GlobalLpPool{}
	_ ir.Costed            = GlobalLpPool{}
	_ ir.AxisMapper        = GlobalLpPool{}
)

func (GlobalLpPool) Kind() string { return "GlobalLpPool" }

func (GlobalLpPool) Infer(in []*ir.Value) ([]ir.Type, error) { return inferGlobalPool(in) }

func (p GlobalLpPool) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	pw := lpPower(p.P)
	return evalGlobalPool(in[0], func(plane []float64) float64 {
		sum := 0.0
		for _, v := range plane {
			sum += math.Pow(math.Abs(v), pw)
		}
		return math.Pow(sum, 1/pw)
	})
}

func (GlobalLpPool) NoGrad() string {
	return "its gradient is not provided; use average or maximum pooling"
}

func (GlobalLpPool) Cost(n *ir.Node) ir.Cost {
	return ir.Cost{Ops: int64(n.In[0].Type.MustShape().Numel())}
}

// MapAxes implements [ir.AxisMapper].
func (GlobalLpPool) MapAxes(n *ir.Node, m ir.AxisMap) { channelAxes(n, m) }

func decodeGlobalLpPool(d *Decoder) ir.Op { return GlobalLpPool{decodeP(d)} }

func encodeGlobalLpPool(e *Encoder) { e.Set("p", int(lpPower(e.Node.Op.(GlobalLpPool).P))) }
