package op

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// RBLoss pulls the density of masks to a target, with b = 1 where a score is
// above 0 and P = 0.05 in the original:
//
//	loss = ((Σ b / Σ elements - t) / P)²            one target for all scores
//	loss = (Σ over tensors |mean b - t of it| / P)²   Local: one target for each
//
// and 0 if the step is negative: masks are frozen. The derivative of b is taken
// to be σ'(s). A score of -Inf is that of a weight which is taken out of the
// model: it is not an element.
//
//	in  0 target density, float32 [1], or [tensors] if Local   1 step int64 []   2… scores float32
//	out 0 loss float32 []
//
// Internal.
type RBLoss struct {
	P     float64
	Local bool
}

var (
	_ ir.Evaluator      = RBLoss{}
	_ ir.Differentiable = RBLoss{}
)

func (RBLoss) Kind() string { return "RBLoss" }

func (o RBLoss) Infer(in []*ir.Value) ([]ir.Type, error) {
	if len(in) < 3 {
		return nil, fmt.Errorf("got %d inputs, want target, step and at least one tensor of scores", len(in))
	}
	if !(o.P > 0) {
		return nil, fmt.Errorf("p: got %g, want more than 0", o.P)
	}
	for i, v := range in {
		want := tensor.Float32
		if i == 1 {
			want = tensor.Int64
		}
		if v == nil || v.Type.DType != want {
			return nil, fmt.Errorf("input %d: want %v", i, want)
		}
	}
	targets := 1
	if o.Local {
		targets = len(in) - 2
	}
	return []ir.Type{ir.MakeType(tensor.Float32)}, wantMayEqual(in[0], "target", ir.MakeType(tensor.Float32, targets))
}

// densities returns the share of scores above 0 of each tensor and of all, and
// how many elements there are.
func (RBLoss) densities(scores []*tensor.Tensor) (density []float64, elements []int, total float64, all int) {
	density, elements = make([]float64, len(scores)), make([]int, len(scores))
	kept := 0
	for i, t := range scores {
		n := 0
		for _, s := range t.F32() {
			if s > 0 {
				n++
			}
			if !math.IsInf(float64(s), -1) {
				elements[i]++
			}
		}
		density[i] = float64(n) / float64(max(1, elements[i]))
		kept, all = kept+n, all+elements[i]
	}
	return density, elements, float64(kept) / float64(max(1, all)), all
}

// Value returns the loss.
func (o RBLoss) Value(target []float32, scores []*tensor.Tensor) float64 {
	d, _, total, _ := o.densities(scores)
	off := total - float64(target[0])
	if o.Local {
		off = 0
		for i := range d {
			off += math.Abs(d[i] - float64(target[i]))
		}
	}
	return (off / o.P) * (off / o.P)
}

// Factors returns what σ'(s) is multiplied with in the gradient of each tensor.
func (o RBLoss) Factors(target []float32, scores []*tensor.Tensor) []float64 {
	d, elements, total, all := o.densities(scores)
	f := make([]float64, len(scores))
	if !o.Local {
		for i := range f {
			f[i] = 2 * (total - float64(target[0])) / (o.P * o.P * float64(max(1, all)))
		}
		return f
	}
	off := 0.0
	for i := range d {
		off += math.Abs(d[i] - float64(target[i]))
	}
	for i := range scores {
		f[i] = 2 * off * sign(d[i]-float64(target[i])) / (o.P * o.P * float64(max(1, elements[i])))
	}
	return f
}

func (o RBLoss) want(in []*tensor.Tensor) (frozen bool, err error) {
	if len(in) < 3 {
		return false, fmt.Errorf("got %d inputs, want target, step and at least one tensor of scores", len(in))
	}
	for i, t := range in {
		if t == nil || t.DType() != tensor.Float32 && i != 1 {
			return false, fmt.Errorf("input %d: got %v, want float32", i, t)
		}
	}
	want := 1
	if o.Local {
		want = len(in) - 2
	}
	if in[0].Len() != want {
		return false, fmt.Errorf("got %d targets, want %d", in[0].Len(), want)
	}
	step, err := intOf(in[1], "step")
	return step < 0, err
}

func (o RBLoss) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	frozen, err := o.want(in)
	if err != nil {
		return nil, err
	}
	v := 0.0
	if !frozen {
		v = o.Value(in[0].F32(), in[2:])
	}
	return one(tensor.Scalar(float32(v))), nil
}

func (o RBLoss) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	g := b.Multi(RBLossGrad(o), n.Name+"/grad", len(n.In)-2, append([]*ir.Value{dOut[0]}, n.In...)...)
	return wanted(append([]*ir.Value{nil, nil}, g...), need), nil
}

// RBLossGrad is the gradient of [RBLoss], whose fields it has.
//
//	in  0 dy float32 []   1… the inputs of RBLoss
//	out 0… gradients of the scores
//
// Internal.
type RBLossGrad RBLoss

var (
	_ ir.Evaluator         = RBLossGrad{}
	_ ir.NonDifferentiable = RBLossGrad{}
)

func (RBLossGrad) Kind() string { return "RBLossGrad" }

func (o RBLossGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if len(in) < 4 {
		return nil, fmt.Errorf("got %d inputs, want a gradient and the inputs of RBLoss", len(in))
	}
	if _, err := RBLoss(o).Infer(in[1:]); err != nil {
		return nil, err
	}
	var types []ir.Type
	for _, v := range in[3:] {
		types = append(types, v.Type)
	}
	return types, wantDType(in[0], "gradient", tensor.Float32)
}

// RBLossSlope returns σ'(s).
func RBLossSlope(s float32) float64 {
	p := 1 / (1 + math.Exp(-float64(s)))
	return p * (1 - p)
}

func (o RBLossGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if len(in) < 4 {
		return nil, fmt.Errorf("got %d inputs", len(in))
	}
	frozen, err := RBLoss(o).want(in[1:])
	if err != nil {
		return nil, err
	}
	scores := in[3:]
	out := make([]*tensor.Tensor, len(scores))
	var f []float64
	if !frozen {
		f = RBLoss(o).Factors(in[1].F32(), scores)
	}
	for i, t := range scores {
		d := make([]float32, t.Len())
		if !frozen {
			k := f[i] * float64(in[0].F32()[0])
			for j, s := range t.F32() {
				d[j] = float32(k * RBLossSlope(s))
			}
		}
		out[i] = tensor.From(d, t.Shape()...)
	}
	return out, nil
}

func (RBLossGrad) NoGrad() string { return "straight-through gradients are differentiated once only" }
