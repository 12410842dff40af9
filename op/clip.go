package op

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Clip is y = min(max(x, lo), hi), elementwise; hi wins over lo. Like [Relu]
// it has no QuantTrait.
//
//	in  0 x   1 lo, scalar, optional   2 hi, scalar, optional
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Clip.html
type Clip struct{}

var (
	_ ir.Evaluator      = Clip{}
	_ ir.Differentiable = Clip{}
	_ ir.Costed         = Clip{}
	_ ir.AxisMapper     = Clip{}
)

func (Clip) Kind() string { return "Clip" }

func (Clip) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 3); err != nil {
		return nil, err
	}
	if err := wantNumbers(in...); err != nil {
		return nil, err
	}
	if err := wantSameDType(in...); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type}, wantScalars(in[1:])
}

// wantScalars checks that the present values can have one element.
func wantScalars(in []*ir.Value) error {
	for _, v := range in {
		if v == nil {
			continue
		}
		if n, ok := v.Type.Numel().Known(); ok && n != 1 {
			return fmt.Errorf("bound: got %v, want a scalar", v.Type)
		}
	}
	return nil
}

func (Clip) Cost(n *ir.Node) ir.Cost { return elementOps(n, 2) }

func (Clip) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if x := in[0]; x.DType().IsInteger() {
		lo, hi := math.MinInt, math.MaxInt
		for i, p := range []*int{&lo, &hi} {
			if t := present(in, 1+i); t != nil {
				v, err := intOf(t, "bound")
				if err != nil {
					return nil, err
				}
				*p = v
			}
		}
		return oneErr(mapNumbers(x, nil, func(v int) int { return min(max(v, lo), hi) }))
	}
	lo, hi, err := clipBounds(in[1:])
	if err != nil {
		return nil, err
	}
	return oneErr(mapFloats(in[0], func(v float64) float64 {
		if v < lo {
			v = lo
		}
		if v > hi {
			v = hi
		}
		return v // NaN stays
	}))
}

func clipBounds(in []*tensor.Tensor) (lo, hi float64, err error) {
	lo, hi = math.Inf(-1), math.Inf(1)
	if t := present(in, 0); t != nil {
		if lo, err = scalarOf(t, "lower bound"); err != nil {
			return
		}
	}
	if t := present(in, 1); t != nil {
		hi, err = scalarOf(t, "upper bound")
	}
	return
}

func (Clip) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, len(n.In))
	x, dy := n.In[0], dOut[0]
	if need[0] {
		in := append([]*ir.Value{x, dy}, n.In[1:]...)
		grads[0] = b.Op(ClipGrad{}, n.Name+"/grad", in...)
	}
	c := gradCalc(b, n)
	for i := 1; i < len(n.In); i++ {
		if n.In[i] == nil || !need[i] {
			continue
		}
		outside := ir.Op(Less{})
		if i == 2 {
			outside = Greater{}
		}
		g := c.where(c.op(outside, x, n.In[i]), dy, c.num(dy, 0))
		grads[i] = sumTo(b, n.Name+"/grad_bound", g, n.In[i].Type)
	}
	return grads, nil
}

// MapAxes implements [ir.AxisMapper].
func (Clip) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func decodeClip(d *Decoder) ir.Op {
	if d.Opset >= 11 {
		return Clip{}
	}
	for i, name := range []string{"min", "max"} {
		// the default bounds of the old form are the ends of float32
		if d.Has(name) {
			if v := d.Float(name, 0); math.Abs(float64(v)) < math.MaxFloat32 {
				dt := tensor.Float32
				if x := d.Input(0); x != nil && x.Type.DType.IsFloat() {
					dt = x.Type.DType
				}
				d.SetIn(1+i, d.Const(name, scalarTensor(dt, float64(v))))
			}
		}
	}
	return Clip{}
}

func encodeClip(e *Encoder) {
	if e.Opset >= 11 {
		if e.Opset < 12 && !e.In[0].Type.DType.IsFloat() {
			e.MinOpset(12)
		}
		return
	}
	in := e.In
	e.In = in[:1]
	for i, name := range []string{"min", "max"} {
		if v := present(in, 1+i); v != nil {
			if f, ok := constFloat(v); ok {
				e.Set(name, float32(f))
			} else {
				e.Errorf("%s must be constant at opset %d", name, e.Opset)
			}
		}
	}
}

// constFloat returns the only element of a constant.
func constFloat(v *ir.Value) (float64, bool) {
	if v == nil || v.Kind != ir.Constant || v.Data.Len() != 1 {
		return 0, false
	}
	f, err := scalarOf(v.Data, v.Name)
	return f, err == nil
}

// ClipGrad is dx = dy where lo ≤ x ≤ hi, else 0. Internal: the gradient of [Clip].
//
//	in  0 x   1 dy   2 lo, optional   3 hi, optional
//	out 0 dx
type ClipGrad struct{}

var (
	_ ir.Evaluator      = ClipGrad{}
	_ ir.Differentiable = ClipGrad{}
	_ ir.Costed         = ClipGrad{}
)

func (ClipGrad) Kind() string { return "ClipGrad" }

func (ClipGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 4); err != nil {
		return nil, err
	}
	if err := wantScalars(in[2:]); err != nil {
		return nil, err
	}
	return inferSame(in[0], in[1])
}

func (ClipGrad) Cost(n *ir.Node) ir.Cost { return elementOps(n, 2) }

func (ClipGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	lo, hi, err := clipBounds(in[2:])
	if err != nil {
		return nil, err
	}
	return oneErr(zipSame(in[0], in[1], func(x, dy float64) float64 {
		if x >= lo && x <= hi {
			return dy
		}
		return 0
	}))
}

func (g ClipGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	return gradOfMasked(g, b, n, dOut, need)
}
