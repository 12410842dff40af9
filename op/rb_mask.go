package op

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// RBMask multiplies a weight with a mask whose elements are drawn from trained
// scores, one for each weight: the mask of regularization-based sparsity (Louizos,
// Welling, Kingma 2018, https://arxiv.org/abs/1712.01312, with the hard mask of
// NNCF). A score s keeps its weight with probability σ(s):
//
//	y = w·m   m = 1 if σ(s + ln(u/(1-u))) > ½, else 0   u uniform, a function of
//	          Seed, the step and the position, see [RBNoise]
//
// in training, that is with Training and a step of 0 or more; otherwise u = ½,
// which keeps what is more likely kept.
//
//	in  0 w   1 s, as w   2 step int64 []
//	out 0 y, as w
//
// Internal. The gradient is the straight-through one, see [RBMaskGrad].
type RBMask struct {
	Seed     int
	Training bool
}

var (
	_ ir.Evaluator      = RBMask{}
	_ ir.Differentiable = RBMask{}
	_ ir.Costed         = RBMask{}
	_ ir.AxisMapper     = RBMask{}
)

func (RBMask) Kind() string { return "RBMask" }

func (RBMask) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 3, 3); err != nil {
		return nil, err
	}
	if err := wantDType(in[0], "input", tensor.Float32); err != nil {
		return nil, err
	}
	if in[2].Type.DType != tensor.Int64 {
		return nil, fmt.Errorf("step: got %v, want int64", in[2].Type)
	}
	return []ir.Type{in[0].Type}, wantMayEqual(in[1], "scores", in[0].Type)
}

// rbEpsilon keeps uniform numbers away from 0 and 1, where the logit is infinite.
const rbEpsilon = 1e-6

// RBNoise returns u/(1-u) for element i: the odds of the uniform number that
// step draws for it, which lies in [1e-6, 1-1e-6]. Different seeds give
// independent numbers.
func RBNoise(seed, step, i int) float64 {
	u := rbUniform(mix64(mix64(uint64(seed)+0x9e3779b97f4a7c15)^uint64(step)), i)
	return u / (1 - u)
}

func rbUniform(stream uint64, i int) float64 {
	u := float64(mix64(stream+uint64(i)*0x9e3779b97f4a7c15)>>11) * 0x1p-53
	return min(max(u, rbEpsilon), 1-rbEpsilon)
}

// RBStream is the noise of one step; it runs over many elements.
type RBStream struct {
	stream uint64
	fixed  bool
}

// Stream returns the noise of a step.
func (o RBMask) Stream(step int64) RBStream {
	return RBStream{mix64(mix64(uint64(o.Seed)+0x9e3779b97f4a7c15) ^ uint64(step)), !o.Training || step < 0}
}

// RBKeep reports whether a score s keeps its weight when the uniform number u is
// drawn: σ(s + ln(u/(1-u))) > ½ is the same as u·(1 + exp(s)) > 1.
func RBKeep(u float64, s float32) bool { return u*(1+math.Exp(float64(s))) > 1 }

// RBSlope returns σ'(s + ln(u/(1-u))).
func RBSlope(u float64, s float32) float64 {
	p := 1 / (1 + (1-u)/(u*math.Exp(float64(s))))
	return p * (1 - p)
}

// Keep reports whether the mask of element i with score s is 1.
func (r RBStream) Keep(s float32, i int) bool {
	if r.fixed {
		return s > 0
	}
	return RBKeep(rbUniform(r.stream, i), s)
}

// Slope returns the derivative of the mask of element i, 0 when masks are fixed.
func (r RBStream) Slope(s float32, i int) (slope float64, keep bool) {
	if r.fixed {
		return 0, s > 0
	}
	u := rbUniform(r.stream, i)
	return RBSlope(u, s), RBKeep(u, s)
}

// Apply writes the masked weights lo…hi.
func (r RBStream) Apply(y, w, s []float32, lo, hi int) {
	for i := lo; i < hi; i++ {
		y[i] = 0
		if r.Keep(s[i], i) {
			y[i] = w[i]
		}
	}
}

// Grad writes the gradients of the weights and scores lo…hi; either may be nil.
func (r RBStream) Grad(dw, ds, w, s, dy []float32, lo, hi int) {
	for i := lo; i < hi; i++ {
		slope, keep := r.Slope(s[i], i)
		if dw != nil {
			dw[i] = 0
			if keep {
				dw[i] = dy[i]
			}
		}
		if ds != nil {
			ds[i] = float32(float64(dy[i]) * float64(w[i]) * slope)
		}
	}
}

func rbWant(in []*tensor.Tensor, floats ...int) (step int64, err error) {
	if err := wantTensors(in, 3); err != nil {
		return 0, err
	}
	for _, i := range floats {
		if in[i].DType() != tensor.Float32 || in[i].Len() != in[0].Len() {
			return 0, fmt.Errorf("input %d: got %v, want float32 with %d elements", i, in[i], in[0].Len())
		}
	}
	k, err := intOf(in[2], "step")
	return int64(k), err
}

func (o RBMask) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	step, err := rbWant(in, 0, 1)
	if err != nil {
		return nil, err
	}
	y := make([]float32, in[0].Len())
	o.Stream(step).Apply(y, in[0].F32(), in[1].F32(), 0, len(y))
	return one(tensor.From(y, in[0].Shape()...)), nil
}

func (o RBMask) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	g := b.Multi(RBMaskGrad(o), n.Name+"/grad", 2, n.In[0], n.In[1], n.In[2], dOut[0])
	return wanted(g, need), nil
}

// MapAxes implements [ir.AxisMapper].
func (RBMask) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func (RBMask) Cost(n *ir.Node) ir.Cost { return elementOps(n, 20) }

// RBMaskGrad is the straight-through gradient of [RBMask], whose fields it has:
//
//	dw = dy·m   ds = dy·w·σ'(s + ln(u/(1-u)))
//
// ds is 0 where masks are fixed: a frozen mask learns nothing.
//
//	in  0 w   1 s   2 step   3 dy
//	out 0 dw   1 ds
//
// Internal.
type RBMaskGrad RBMask

var (
	_ ir.Evaluator         = RBMaskGrad{}
	_ ir.NonDifferentiable = RBMaskGrad{}
	_ ir.Costed            = RBMaskGrad{}
)

func (RBMaskGrad) Kind() string { return "RBMaskGrad" }

func (o RBMaskGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 4, 4); err != nil {
		return nil, err
	}
	if _, err := RBMask(o).Infer(in[:3]); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type, in[0].Type}, wantMayEqual(in[3], "gradient", in[0].Type)
}

func (o RBMaskGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 4); err != nil {
		return nil, err
	}
	step, err := rbWant(in, 0, 1, 3)
	if err != nil {
		return nil, err
	}
	n, shape := in[0].Len(), in[0].Shape()
	dw, ds := make([]float32, n), make([]float32, n)
	RBMask(o).Stream(step).Grad(dw, ds, in[0].F32(), in[1].F32(), in[3].F32(), 0, n)
	return []*tensor.Tensor{tensor.From(dw, shape...), tensor.From(ds, shape...)}, nil
}

func (RBMaskGrad) NoGrad() string {
	return "straight-through gradients are differentiated once only"
}

func (RBMaskGrad) Cost(n *ir.Node) ir.Cost { return elementOps(n, 25) }
