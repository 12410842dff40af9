package op

import (
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Split cuts x into parts along Axis: of the given sizes, or into NumOutputs
// parts of equal length, of which the last may be shorter.
//
//	in  0 x   1 sizes int64 [k], optional
//	out 0…k-1 y
//
// https://onnx.ai/onnx/operators/onnx__Split.html
type Split struct {
	Axis       int
	NumOutputs int
}

var (
	_ ir.Evaluator      = Split{}
	_ ir.Differentiable = Split{}
	_ ir.DimsEvaluator  = Split{}
	_ ir.AxisCutter     = Split{}
	_ ir.QuantTraited   = Split{}
)

// maxOutputs bounds the outputs of one node.
const maxOutputs = 1 << 16

func (Split) Kind() string { return "Split" }

// equal returns the lengths of NumOutputs parts of n elements.
func (s Split) equal(n int) ([]int, error) {
	if s.NumOutputs < 1 || s.NumOutputs > maxOutputs {
		return nil, fmt.Errorf("num_outputs: got %d, want 1 to %d, or sizes", s.NumOutputs, maxOutputs)
	}
	part := (n + s.NumOutputs - 1) / s.NumOutputs
	out := make([]int, s.NumOutputs)
	for i := range out {
		out[i] = min(part, max(0, n-i*part))
	}
	return out, nil
}

// check verifies that sizes cut an axis of n elements.
func (Split) check(sizes []int, n int) error {
	left := n
	for _, l := range sizes {
		if l < 0 || l > left {
			return fmt.Errorf("sizes: got %v for an axis of %d, want parts that add up to it", sizes, n)
		}
		left -= l
	}
	if left != 0 {
		return fmt.Errorf("sizes: got %v for an axis of %d, want parts that add up to it", sizes, n)
	}
	return nil
}

func (s Split) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 2); err != nil {
		return nil, err
	}
	x := in[0].Type
	a, err := tensor.Axis(s.Axis, x.Rank())
	if err != nil {
		return nil, err
	}
	parts, err := s.parts(x.Dims[a], present(in, 1))
	if err != nil {
		return nil, err
	}
	if len(parts) == 0 {
		return nil, errors.New("sizes: got none, want at least one output")
	}
	out := make([]ir.Type, len(parts))
	for i, p := range parts {
		out[i] = ir.Type{DType: x.DType, Dims: append([]ir.Dim(nil), x.Dims...)}
		out[i].Dims[a] = p
	}
	return out, nil
}

// parts returns the lengths of the outputs.
func (s Split) parts(d ir.Dim, sizes *ir.Value) ([]ir.Dim, error) {
	n, known := d.Known()
	if sizes == nil {
		if known {
			l, err := s.equal(n)
			return lens(l), err
		}
		l, err := s.equal(0)
		out := lens(l)
		for i := range out {
			out[i] = d.Div(ir.Len(len(out)))
		}
		return out, err
	}
	if list, ok := sizes.ConstInts(); ok {
		if known {
			return lens(list), s.check(list, n)
		}
		for _, l := range list {
			if l < 0 {
				return nil, fmt.Errorf("sizes: got %v, want no negative lengths", list)
			}
		}
		return lens(list), nil
	}
	if list, ok := sizes.ConstDims(); ok {
		return list, nil
	}
	k, ok := sizes.Type.Numel().Known()
	if !ok || k > maxOutputs {
		return nil, errors.New("sizes are not constant, so the number of outputs is unknown")
	}
	out := make([]ir.Dim, k)
	for i := range out {
		out[i] = ir.Unknown()
	}
	return out, nil
}

func (s Split) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	xs := in[0].Shape()
	a, err := tensor.Axis(s.Axis, len(xs))
	if err != nil {
		return nil, err
	}
	var sizes []int
	if t := present(in, 1); t != nil {
		if sizes, err = t.Ints(); err == nil {
			err = s.check(sizes, xs[a])
		}
	} else {
		sizes, err = s.equal(xs[a])
	}
	if err != nil {
		return nil, err
	}
	st := xs.Strides()
	out := make([]*tensor.Tensor, len(sizes))
	at := 0
	for i, l := range sizes {
		shape := xs.Clone()
		shape[a] = l
		out[i] = pick(in[0], shape, stridedPos(shape, st, at*st[a]))
		at += l
	}
	return out, nil
}

// EvalDims follows the first part of a split vector; the others stay unknown.
func (s Split) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	d, ok := in[0].ConstDims()
	if !ok || in[0].Type.Rank() != 1 {
		return nil, false
	}
	parts, err := s.parts(ir.Len(len(d)), present(in, 1))
	if err != nil || len(parts) == 0 {
		return nil, false
	}
	n, ok := parts[0].Known()
	if !ok || n > len(d) {
		return nil, false
	}
	return d[:n], true
}

func (s Split) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	types, err := s.Infer(n.In)
	if err != nil {
		return nil, err
	}
	parts := make([]*ir.Value, len(types))
	for i, t := range types {
		if i < len(dOut) {
			parts[i] = dOut[i]
		}
		if parts[i] == nil {
			parts[i] = zerosOf(b, n.Name+"/grad_zero", t)
		}
	}
	return first(b.Op(Concat{Axis: s.Axis}, n.Name+"/grad", parts...), n)
}

// zerosOf is a tensor of zeros with known axes.
func zerosOf(b *ir.Builder, name string, t ir.Type) *ir.Value {
	return b.Op(ConstantOfShape{DType: t.DType}, name, b.ConstInts(name+"/shape", t.MustShape()...))
}

// MapAxes implements [ir.AxisMapper].
func (s Split) MapAxes(n *ir.Node, m ir.AxisMap) {
	x := n.In[0]
	axis, err := tensor.Axis(s.Axis, x.Type.Rank())
	if err != nil {
		return
	}
	parts, _ := s.parts(x.Type.Dims[axis], n.Input(1))
	at := 0
	for i, p := range parts {
		k, known := p.Known()
		if _, all := x.Type.Dims[axis].Known(); !known || !all {
			m.Fix(x, axis, axisUnknown)
			for _, y := range n.Out {
				if y != nil {
					m.Fix(y, axis, axisUnknown)
				}
			}
			break
		}
		if y := n.Output(i); y != nil {
			for j := range k {
				m.Tie(x, axis, at+j, y, axis, j)
			}
		}
		at += k
	}
	for _, y := range n.Out {
		for a := range x.Type.Rank() {
			if y != nil && a != axis {
				tieAxes(m, x, a, y, a)
			}
		}
	}
}

// CutAxes implements [ir.AxisCutter].
func (s Split) CutAxes(b *ir.Builder, n *ir.Node, kept func(*ir.Value, int) []int) (ir.Op, []*ir.Value) {
	x := n.In[0]
	axis, _ := tensor.Axis(s.Axis, x.Type.Rank())
	k := kept(x, axis)
	if k == nil {
		return s, n.In
	}
	parts, _ := s.parts(x.Type.Dims[axis], n.Input(1))
	sizes, at := make([]int, len(parts)), 0
	for i, p := range parts {
		sizes[i] = countBelow(k, at+p.N) - countBelow(k, at)
		at += p.N
	}
	s.NumOutputs = 0
	return s, []*ir.Value{x, b.ConstInts(n.Name+"/sizes", sizes...)}
}

func (Split) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

func decodeSplit(d *Decoder) ir.Op {
	if d.Opset < 13 {
		d.IntsToInput("split", 1)
	}
	s := Split{Axis: d.Int("axis", 0)}
	if d.Opset >= 18 && d.Has("num_outputs") {
		s.NumOutputs = d.Int("num_outputs", 0)
		if s.NumOutputs != d.NumOut {
			d.Errorf("num_outputs: got %d for a node with %d outputs", s.NumOutputs, d.NumOut)
		}
	} else if d.Input(1) == nil {
		s.NumOutputs = d.NumOut
	}
	return s
}

func encodeSplit(e *Encoder) {
	s := e.Node.Op.(Split)
	a := encodedAxis(e, s.Axis)
	e.Set("axis", a)
	sizes := present(e.In, 1)
	switch {
	case sizes == nil && e.Opset >= 18:
		e.Set("num_outputs", s.NumOutputs)
	case sizes == nil:
		// Older opsets split evenly into the node's outputs, if that is possible.
		if n, ok := e.In[0].Type.Dims[a].Known(); ok && n%max(1, s.NumOutputs) != 0 {
			l, _ := s.equal(n)
			if e.Opset >= 13 {
				e.Errorf("parts of %v need opset 18, or sizes; the file has %d", l, e.Opset)
			}
			e.Set("split", l)
		}
		if len(e.Node.Out) != s.NumOutputs {
			e.Errorf("got %d of %d outputs, want all of them before opset 18", len(e.Node.Out), s.NumOutputs)
		}
	case e.Opset < 13:
		e.InputToInts(1, "split")
	}
}
