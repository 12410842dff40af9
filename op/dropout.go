package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Dropout is the identity, unless training_mode is true: then
// y = x·mask/(1-ratio), where each element is kept with probability 1-ratio.
//
//	in  0 x   1 ratio [], optional (0.5)   2 training_mode bool [], optional (false)
//	    3 step int64 [], our own: a different mask for each; random masks need it
//	out 0 y, as x   1 mask bool, as x, optional
//
// The mask is a function of Seed, the step and the element's position, see
// [DropoutKeep]: it does not depend on threads, and the gradient makes it again
// instead of keeping it. Files cannot have input 3.
// https://onnx.ai/onnx/operators/onnx__Dropout.html
type Dropout struct{ Seed int }

var (
	_ ir.Evaluator      = Dropout{}
	_ ir.Differentiable = Dropout{}
	_ ir.Costed         = Dropout{}
	_ ir.AxisMapper     = Dropout{}
	_ ir.QuantTraited   = Dropout{}
)

func (Dropout) Kind() string { return "Dropout" }

func (Dropout) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 4); err != nil {
		return nil, err
	}
	if err := wantFloat(in[0], present(in, 1)); err != nil {
		return nil, err
	}
	for i, d := range []tensor.DType{tensor.Bool, tensor.Int64} {
		if v := present(in, 2+i); v != nil && v.Type.DType != d {
			return nil, fmt.Errorf("input %d: got %v, want %v", 2+i, v.Type, d)
		}
	}
	x := in[0].Type
	return []ir.Type{x, x.WithDType(tensor.Bool)}, nil
}

// DropoutKeep reports whether dropout with the given ratio keeps element i: the
// top 53 bits of a mixed counter, as a number in [0, 1), are at least ratio.
func DropoutKeep(seed, step int, i int, ratio float64) bool {
	z := mix64(mix64(uint64(seed)+0x9e3779b97f4a7c15)^uint64(step)) + uint64(i)*0x9e3779b97f4a7c15
	return float64(mix64(z)>>11)*0x1p-53 >= ratio
}

// mix64 is the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
func mix64(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (d Dropout) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x := in[0]
	mask := make([]bool, x.Len())
	ratio, train, step := 0.5, false, 0
	var err error
	if t := present(in, 1); t != nil {
		if ratio, err = scalarOf(t, "ratio"); err != nil {
			return nil, err
		}
	}
	if t := present(in, 2); t != nil {
		n, err := intOf(t, "training_mode")
		if err != nil {
			return nil, err
		}
		train = n != 0
	}
	if t := present(in, 3); t != nil {
		if step, err = intOf(t, "step"); err != nil {
			return nil, err
		}
	}
	if !train || ratio == 0 {
		for i := range mask {
			mask[i] = true
		}
		return []*tensor.Tensor{x, tensor.From(mask, x.Shape()...)}, nil
	}
	if !(ratio > 0 && ratio < 1) {
		return nil, fmt.Errorf("ratio: got %g, want 0 to 1, without 1", ratio)
	}
	if present(in, 3) == nil {
		return nil, fmt.Errorf("training mode with ratio %g draws random numbers, which differ from program to program; set training_mode to false", ratio)
	}
	y, err := reals(x)
	if err != nil {
		return nil, err
	}
	for i := range y {
		if mask[i] = DropoutKeep(d.Seed, step, i, ratio); mask[i] {
			y[i] /= 1 - ratio
		} else {
			y[i] = 0
		}
	}
	return []*tensor.Tensor{fromFloats(x.DType(), y, x.Shape()...), tensor.From(mask, x.Shape()...)}, nil
}

// Grad is the same dropout of dy.
func (d Dropout) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	if len(need) > 1 && need[1] {
		return nil, fmt.Errorf("the ratio has no gradient; make it a constant")
	}
	if n.Input(2) == nil {
		return first(dOut[0], n)
	}
	in := append([]*ir.Value{dOut[0]}, n.In[1:]...)
	return first(b.Op(d, n.Name+"/grad", in...), n)
}

func (Dropout) Cost(n *ir.Node) ir.Cost { return elementOps(n, 1) }

// MapAxes implements [ir.AxisMapper].
func (Dropout) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func (Dropout) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

func decodeDropout(d *Decoder) ir.Op {
	if d.Opset < 12 {
		d.SetIn(1, d.Const("ratio", tensor.Scalar(d.Float("ratio", 0.5))))
	}
	if len(d.In) > 3 {
		d.Errorf("got %d inputs, want at most 3", len(d.In))
	}
	return Dropout{Seed: d.Int("seed", 0)}
}

func encodeDropout(e *Encoder) {
	o := e.Node.Op.(Dropout)
	if present(e.In, 3) != nil {
		e.Errorf("a mask that changes with the step cannot be written; strip the training form first")
	}
	if e.Opset >= 12 {
		if o.Seed != 0 {
			e.Set("seed", o.Seed)
		}
		return
	}
	if m := present(e.In, 2); m != nil && !isFalse(m) {
		e.Errorf("training_mode needs opset 12, the file has %d", e.Opset)
	}
	if r := present(e.In, 1); r != nil {
		if !r.IsStored() || r.Data.Len() != 1 || !r.Type.DType.IsFloat() {
			e.Errorf("ratio %q must be constant at opset %d", r.Name, e.Opset)
		} else if v, err := r.Data.Float64s(); err == nil {
			e.Set("ratio", float32(v[0]))
		}
	}
	e.In = e.In[:1]
}

// isFalse reports whether a value is the constant false.
func isFalse(v *ir.Value) bool {
	if v.Kind != ir.Constant || v.Type.DType != tensor.Bool {
		return false
	}
	for _, x := range tensor.Data[bool](v.Data) {
		if x {
			return false
		}
	}
	return true
}
