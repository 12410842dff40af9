package op

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// BatchNormGrad is the gradient of [BatchNormalization] per channel, with
// M = N·spatial elements, r = 1/√(var + Epsilon) and x̂ = (x - mean)·r:
//
//	dbias = Σ dy      dscale = Σ dy·x̂
//	dx    = scale·r·(dy - dbias/M - x̂·dscale/M), or scale·r·dy if Frozen
//
// If Frozen, mean and var are inputs 3 and 4, constants of the derivative.
// Otherwise they are those of x; inputs 3 and 4 may give mean and r as computed
// in the forward pass, and the derivative knows that they depend on x.
//
//	in  0 x [N, C, …]   1 scale [C]   2 dy, as x
//	    3 mean [C]   4 r [C], or var [C] if Frozen; optional unless Frozen
//	out 0 dx, as x   1 dscale [C]   2 dbias [C]
//
// Internal.
type BatchNormGrad struct {
	Epsilon float32
	Frozen  bool
}

var (
	_ ir.Evaluator      = BatchNormGrad{}
	_ ir.Differentiable = BatchNormGrad{}
	_ ir.Costed         = BatchNormGrad{}
)

func (BatchNormGrad) Kind() string { return "BatchNormGrad" }

func (g BatchNormGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	required := 3
	if g.Frozen {
		required = 5
	}
	if err := wantInputs(in, required, 5); err != nil {
		return nil, err
	}
	if err := wantFloat(in...); err != nil {
		return nil, err
	}
	x := in[0].Type
	if x.Rank() < 2 {
		return nil, fmt.Errorf("input: got %v, want [N C …]", x)
	}
	if err := wantMayEqual(in[2], "gradient", x); err != nil {
		return nil, err
	}
	for _, i := range []int{1, 3, 4} {
		if v := present(in, i); v != nil {
			if err := wantMayEqual(v, fmt.Sprintf("input %d", i), ir.Type{Dims: x.Dims[1:2]}); err != nil {
				return nil, err
			}
		}
	}
	return []ir.Type{x, in[1].Type, in[1].Type}, nil
}

func (g BatchNormGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 3); err != nil {
		return nil, err
	}
	for len(in) < 5 {
		in = append(in, nil)
	}
	v, err := realsOf(in...)
	if err != nil {
		return nil, err
	}
	x, scale, dy, mean, inv := v[0], v[1], v[2], v[3], v[4]
	n, c, inner, err := channels(in[0], scale, mean, inv)
	if err != nil {
		return nil, err
	}
	if len(dy) != len(x) {
		return nil, fmt.Errorf("got gradient %v for input %v", in[2].Shape(), in[0].Shape())
	}
	switch {
	case g.Frozen && (mean == nil || inv == nil):
		return nil, fmt.Errorf("frozen statistics are missing")
	case g.Frozen:
		inv = invStd(inv, g.Epsilon)
	case mean == nil || inv == nil:
		var variance []float64
		mean, variance = channelMoments(x, n, c, inner)
		inv = invStd(variance, g.Epsilon)
	}
	dx, dscale, dbias := make([]float64, len(x)), make([]float64, c), make([]float64, c)
	m := float64(n * inner)
	for ch := range c {
		for i := range n {
			for j := range inner {
				k := (i*c+ch)*inner + j
				dbias[ch] += dy[k]
				dscale[ch] += dy[k] * (x[k] - mean[ch]) * inv[ch]
			}
		}
		f := scale[ch] * inv[ch]
		for i := range n {
			for j := range inner {
				k := (i*c+ch)*inner + j
				dx[k] = f * dy[k]
				if !g.Frozen {
					dx[k] -= f * (dbias[ch] + (x[k]-mean[ch])*inv[ch]*dscale[ch]) / m
				}
			}
		}
	}
	return []*tensor.Tensor{fromFloats(in[0].DType(), dx, in[0].Shape()...),
		fromFloats(in[1].DType(), dscale, c), fromFloats(in[1].DType(), dbias, c)}, nil
}

func invStd(variance []float64, eps float32) []float64 {
	inv := make([]float64, len(variance))
	for i, v := range variance {
		inv[i] = 1 / math.Sqrt(v+float64(eps))
	}
	return inv
}

// Grad differentiates L = <a, dx> + <b, dscale> + <c, dbias>. With the
// projection P(u) = u - mean(u) - x̂·mean(u·x̂), or P(u) = u if Frozen:
//
//	∂L/∂dy    = scale·r·P(a) + b·x̂ + c
//	∂L/∂scale = r·Σ a·P(dy)
//	∂L/∂x     = r·P(h) - scale·r²·x̂·mean(a·P(dy)),
//	            h = b·dy - scale·r·(a·mean(dy·x̂) + dy·mean(a·x̂))
//
// and, if Frozen, ∂L/∂x = r·b·dy.
func (g BatchNormGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, len(n.In))
	if g.Frozen && (need[3] || need[4]) {
		return nil, fmt.Errorf("the second derivative with respect to frozen statistics is not provided; make them states")
	}
	c := gradCalc(b, n)
	x, dy := n.In[0], n.In[2]
	shape := x.Type.MustShape()
	col := make([]int, len(shape)) // [1, C, 1…]
	axes := []int{}
	for i := range col {
		col[i] = 1
		if i != 1 {
			axes = append(axes, i)
		}
	}
	col[1] = shape[1]
	m := float64(product(shape) / max(1, shape[1]))
	perChannel := func(v *ir.Value) *ir.Value {
		return reshapeTo(b, c.name+"/channel", v, ir.MakeType(v.Type.DType, col...))
	}
	sum := func(v *ir.Value) *ir.Value {
		return c.op(ReduceSum{KeepDims: true}, v, b.ConstInts(c.name+"/axes", axes...))
	}
	mean := func(v *ir.Value) *ir.Value { return c.scale(sum(v), 1/m) }
	plus := func(u, v *ir.Value) *ir.Value {
		if u == nil {
			return v
		}
		return c.add(u, v)
	}

	scale := perChannel(n.In[1])
	var mu, r *ir.Value
	switch {
	case g.Frozen:
		mu = perChannel(n.In[3])
		r = c.div(c.num(x, 1), c.sqrt(c.shift(perChannel(n.In[4]), float64(g.Epsilon))))
	case n.Input(3) != nil && n.Input(4) != nil:
		mu, r = perChannel(n.In[3]), perChannel(n.In[4])
	default:
		mu = mean(x)
		r = c.div(c.num(x, 1), c.sqrt(c.shift(mean(c.square(c.sub(x, mu))), float64(g.Epsilon))))
	}
	xh := c.mul(c.sub(x, mu), r)
	project := func(u *ir.Value) *ir.Value {
		if g.Frozen {
			return u
		}
		return c.sub(c.sub(u, mean(u)), c.mul(xh, mean(c.mul(u, xh))))
	}
	sr := c.mul(scale, r)

	var ddy, dx, h *ir.Value
	if a := dOut[0]; a != nil {
		ddy = c.mul(sr, project(a))
		apdy := c.mul(a, project(dy))
		if need[1] {
			grads[1] = reshapeTo(b, c.name+"/scale", c.mul(r, sum(apdy)), n.In[1].Type)
		}
		if !g.Frozen {
			dx = c.neg(c.mul(c.mul(c.mul(sr, r), xh), mean(apdy)))
			h = c.neg(c.mul(sr, c.add(c.mul(a, mean(c.mul(dy, xh))), c.mul(dy, mean(c.mul(a, xh))))))
		}
	}
	if ds := present(dOut, 1); ds != nil {
		ds = perChannel(ds)
		ddy = plus(ddy, c.mul(ds, xh))
		h = plus(h, c.mul(ds, dy))
	}
	if db := present(dOut, 2); db != nil {
		ddy = plus(ddy, expandTo(b, c.name+"/bias", perChannel(db), x.Type))
	}
	if h != nil {
		dx = plus(dx, c.mul(r, project(h)))
	}
	if need[0] {
		grads[0] = dx
	}
	if need[2] {
		grads[2] = ddy
	}
	return grads, nil
}

func (BatchNormGrad) Cost(n *ir.Node) ir.Cost { return elementOps(n, 7) }
