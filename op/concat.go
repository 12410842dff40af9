package op

import (
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Concat joins its inputs along Axis.
//
//	in  0… x, equal except along Axis
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Concat.html
type Concat struct{ Axis int }

var (
	_ ir.Evaluator      = Concat{}
	_ ir.Differentiable = Concat{}
	_ ir.DimsEvaluator  = Concat{}
	_ ir.AxisMapper     = Concat{}
	_ ir.QuantTraited   = Concat{}
)

func (Concat) Kind() string { return "Concat" }

func (c Concat) Infer(in []*ir.Value) ([]ir.Type, error) {
	if len(in) == 0 {
		return nil, errors.New("got no inputs, want at least one")
	}
	if err := wantInputs(in, len(in), len(in)); err != nil {
		return nil, err
	}
	if err := wantSameDType(in...); err != nil {
		return nil, err
	}
	rank := in[0].Type.Rank()
	a, err := tensor.Axis(c.Axis, rank)
	if err != nil {
		return nil, err
	}
	out := append([]ir.Dim(nil), in[0].Type.Dims...)
	for _, v := range in[1:] {
		if v.Type.Rank() != rank {
			return nil, fmt.Errorf("got %v and %v, want equal ranks", in[0].Type, v.Type)
		}
		for i, d := range v.Type.Dims {
			switch {
			case i == a:
				out[i] = addDims(out[i], d, 1)
			case !out[i].MayEqual(d):
				return nil, fmt.Errorf("got %v and %v, want the same axes except %d", in[0].Type, v.Type, a)
			case out[i].Sym != "" && (d.Sym == "" || out[i].Sym == ir.UnknownSym):
				out[i] = d
			}
		}
	}
	return []ir.Type{{DType: in[0].Type.DType, Dims: out}}, nil
}

func (c Concat) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	shape := in[0].Shape().Clone()
	a, err := tensor.Axis(c.Axis, len(shape))
	if err != nil {
		return nil, err
	}
	shape[a] = 0
	for _, t := range in {
		s := t.Shape().Clone()
		if len(s) != len(shape) {
			return nil, fmt.Errorf("got shapes %v and %v, want equal ranks", in[0].Shape(), s)
		}
		shape[a] += s[a]
		s[a] = shape[a]
		if !s.Equal(shape) {
			return nil, fmt.Errorf("got shapes %v and %v, want the same axes except %d", in[0].Shape(), t.Shape(), a)
		}
	}
	if err := checkSize(shape); err != nil {
		return nil, err
	}
	y := tensor.New(in[0].DType(), shape...)
	st := shape.Strides()
	at := 0
	for _, t := range in {
		place(y, t, stridedPos(t.Shape(), st, at*st[a]))
		at += t.Shape()[a]
	}
	return one(y), nil
}

func (Concat) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	var out []ir.Dim
	for _, v := range in {
		d, ok := v.ConstDims()
		if !ok {
			n, known := v.Type.Numel().Known()
			if !known || n > maxRank || v.Type.Rank() != 1 {
				return nil, false
			}
			for range n {
				out = append(out, ir.Unknown())
			}
			continue
		}
		if len(d) > maxRank {
			return nil, false
		}
		out = append(out, d...)
	}
	return out, true
}

func (c Concat) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	a, err := tensor.Axis(c.Axis, n.In[0].Type.Rank())
	if err != nil {
		return nil, err
	}
	grads := make([]*ir.Value, len(n.In))
	at := 0
	for i, v := range n.In {
		l := v.Type.MustShape()[a]
		if need[i] {
			grads[i] = SliceAxis(b, n.Name+"/grad", dOut[0], a, at, at+l)
		}
		at += l
	}
	return grads, nil
}

// MapAxes implements [ir.AxisMapper].
func (c Concat) MapAxes(n *ir.Node, m ir.AxisMap) {
	y := n.Out[0]
	axis, err := tensor.Axis(c.Axis, y.Type.Rank())
	if err != nil {
		return
	}
	at := 0
	for _, x := range n.In {
		for a := range x.Type.Rank() {
			if a != axis {
				tieAxes(m, x, a, y, a)
			}
		}
		k, known := x.Type.Dims[axis].Known()
		if _, all := y.Type.Dims[axis].Known(); !known || !all {
			m.Fix(x, axis, axisUnknown)
			m.Fix(y, axis, axisUnknown)
			continue
		}
		for i := range k {
			m.Tie(x, axis, i, y, axis, at+i)
		}
		at += k
	}
}

func (Concat) QuantTrait() ir.QuantTrait { return ir.QuantConcat }

func decodeConcat(d *Decoder) ir.Op { return Concat{Axis: d.Int("axis", 0)} }

func encodeConcat(e *Encoder) {
	a, err := tensor.Axis(e.Node.Op.(Concat).Axis, e.In[0].Type.Rank())
	if err != nil {
		e.Errorf("%v", err)
	}
	e.Set("axis", a)
}
