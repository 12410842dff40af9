package op

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Slice takes x[start : end : step] along some axes. Negative starts and ends
// count from the end of the axis, out-of-range ones are clamped, steps may be
// negative.
//
//	in  0 x   1 starts [k]   2 ends [k]   3 axes [k], optional: the first k   4 steps [k], optional: 1
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Slice.html
type Slice struct{}

var (
	_ ir.Evaluator      = Slice{}
	_ ir.Differentiable = Slice{}
	_ ir.DimsEvaluator  = Slice{}
	_ ir.AxisCutter     = Slice{}
	_ ir.QuantTraited   = Slice{}
)

func (Slice) Kind() string { return "Slice" }

// span is a slice of one axis: length elements from start, step apart.
type span struct{ start, step, length int }

// spanOf clamps the bounds to an axis of n elements.
func spanOf(n, start, end, step int) (span, error) {
	if step == 0 || step == math.MinInt {
		return span{}, fmt.Errorf("got step %d, want a step that is not 0", step)
	}
	clamp := func(v, lo, hi int) int {
		if v < 0 {
			v += n
		}
		return min(max(v, lo), hi)
	}
	s := span{step: step}
	if step > 0 {
		s.start, end = clamp(start, 0, n), clamp(end, 0, n)
		if end > s.start {
			s.length = (end-s.start-1)/step + 1
		}
		return s, nil
	}
	s.start, end = clamp(start, -1, n-1), clamp(end, -1, n-1)
	if s.start > end {
		s.length = (s.start-end-1)/(-step) + 1
	}
	return s, nil
}

// dimSpan is spanOf as far as symbols allow; it returns the length.
func dimSpan(d, start, end ir.Dim, step int) (ir.Dim, error) {
	n, nk := d.Known()
	s, sk := start.Known()
	e, ek := end.Known()
	switch {
	case nk && sk && ek:
		sp, err := spanOf(n, s, e, step)
		return ir.Len(sp.length), err
	case sk && s == 0 && step == 1 && ek && e >= math.MaxInt32-1:
		return d, nil
	case sk && s == 0 && step == 1 && end.Equal(d):
		return d, nil
	case sk && s == 0 && step == 1 && end.Sym != "" && end.Sym != ir.UnknownSym && end.N > 0:
		return end, nil // x[:length]: the length is taken to fit
	case sk && ek && step == 1 && s < 0 && e >= math.MaxInt32-1 && s > -math.MaxInt32:
		return ir.Len(-s), nil // the last elements: the axis is taken to have them
	case step == -1 && sk && s == -1 && ek && e <= -math.MaxInt32:
		return d, nil
	}
	return ir.Unknown(), nil
}

// sliceArgs are the arguments of one Slice, per listed axis.
type sliceArgs struct {
	axes         []int
	starts, ends []ir.Dim
	steps        []int
}

// args collects the arguments for a given rank; all reports whether every
// start and end is known as a number or symbol.
func (Slice) args(in []*ir.Value, rank int) (a sliceArgs, all bool, err error) {
	k, ok := in[1].Type.Numel().Known()
	if !ok || k > rank {
		return a, false, fmt.Errorf("starts: got %v, want at most %d elements", in[1].Type, rank)
	}
	unknown := make([]ir.Dim, k)
	for i := range unknown {
		unknown[i] = ir.Unknown()
	}
	a.starts, a.ends, all = unknown, unknown, true
	if d, ok := in[1].ConstDims(); ok {
		a.starts = d
	} else {
		all = false
	}
	if d, ok := in[2].ConstDims(); ok {
		a.ends = d
	} else {
		all = false
	}
	list := make([]int, k)
	for i := range list {
		list[i] = i
	}
	if v := present(in, 3); v != nil {
		if list, ok = v.ConstInts(); !ok {
			return a, false, errors.New("axes are not constant")
		}
	}
	if list == nil {
		list = []int{}
	}
	a.steps = make([]int, k)
	for i := range a.steps {
		a.steps[i] = 1
	}
	if v := present(in, 4); v != nil {
		if a.steps, ok = v.ConstInts(); !ok {
			return a, false, errors.New("steps are not constant")
		}
	}
	if len(a.starts) != k || len(a.ends) != k || len(list) != k || len(a.steps) != k {
		return a, false, fmt.Errorf("got %d starts, %d ends, %d axes and %d steps, want the same number", len(a.starts), len(a.ends), len(list), len(a.steps))
	}
	seen := make([]bool, rank)
	for _, v := range list {
		x, err := tensor.Axis(v, rank)
		if err != nil {
			return a, false, err
		}
		if seen[x] {
			return a, false, fmt.Errorf("axes %v name axis %d twice", list, x)
		}
		seen[x] = true
		a.axes = append(a.axes, x)
	}
	if slices.Contains(a.steps, 0) {
		return a, false, errors.New("got step 0, want a step that is not 0")
	}
	return a, all, nil
}

func (s Slice) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 3, 5); err != nil {
		return nil, err
	}
	x := in[0].Type
	out := ir.Type{DType: x.DType, Dims: append([]ir.Dim(nil), x.Dims...)}
	a, _, err := s.args(in, x.Rank())
	if err != nil {
		if v := present(in, 3); v != nil { // unknown axes: any may be cut
			if _, ok := v.ConstInts(); !ok {
				for i := range out.Dims {
					out.Dims[i] = ir.Unknown()
				}
				return []ir.Type{out}, nil
			}
		}
		if v := present(in, 4); v != nil {
			if _, ok := v.ConstInts(); !ok {
				for i := range out.Dims {
					out.Dims[i] = ir.Unknown()
				}
				return []ir.Type{out}, nil
			}
		}
		return nil, err
	}
	for i, ax := range a.axes {
		if out.Dims[ax], err = dimSpan(x.Dims[ax], a.starts[i], a.ends[i], a.steps[i]); err != nil {
			return nil, err
		}
	}
	return []ir.Type{out}, nil
}

// spans resolves the arguments for a tensor of shape s: one span per axis.
func (Slice) spans(s tensor.Shape, in []*tensor.Tensor) ([]span, error) {
	out := make([]span, len(s))
	for i, n := range s {
		out[i] = span{0, 1, n}
	}
	if err := wantTensors(in, 2); err != nil {
		return nil, err
	}
	starts, err := in[0].Ints()
	if err != nil {
		return nil, err
	}
	ends, err := in[1].Ints()
	if err != nil {
		return nil, err
	}
	axes, steps := make([]int, len(starts)), make([]int, len(starts))
	for i := range axes {
		axes[i], steps[i] = i, 1
	}
	if t := present(in, 2); t != nil {
		if axes, err = t.Ints(); err != nil {
			return nil, err
		}
	}
	if t := present(in, 3); t != nil {
		if steps, err = t.Ints(); err != nil {
			return nil, err
		}
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || len(steps) != len(starts) {
		return nil, fmt.Errorf("got %d starts, %d ends, %d axes and %d steps, want the same number", len(starts), len(ends), len(axes), len(steps))
	}
	if _, err := axesOf(append([]int{}, axes...), len(s)); err != nil {
		return nil, err
	}
	for i, v := range axes {
		a, _ := tensor.Axis(v, len(s))
		if out[a], err = spanOf(s[a], starts[i], ends[i], steps[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// spanPos lists the positions that the spans select, and the shape they form.
func spanPos(s tensor.Shape, spans []span) (tensor.Shape, []int) {
	st := s.Strides()
	shape, strides, off := make(tensor.Shape, len(s)), make([]int, len(s)), 0
	for i, sp := range spans {
		shape[i], strides[i] = sp.length, st[i]*sp.step
		off += st[i] * sp.start
	}
	return shape, stridedPos(shape, strides, off)
}

func (s Slice) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	spans, err := s.spans(in[0].Shape(), in[1:])
	if err != nil {
		return nil, err
	}
	shape, pos := spanPos(in[0].Shape(), spans)
	return one(pick(in[0], shape, pos)), nil
}

func (s Slice) EvalDims(in []*ir.Value) ([]ir.Dim, bool) {
	d, ok := in[0].ConstDims()
	if !ok || in[0].Type.Rank() != 1 {
		return nil, false
	}
	a, all, err := s.args(in, 1)
	if err != nil || !all {
		return nil, false
	}
	if len(a.axes) == 0 {
		return d, true
	}
	start, ok1 := a.starts[0].Known()
	end, ok2 := a.ends[0].Known()
	if !ok1 || !ok2 {
		return nil, false
	}
	sp, err := spanOf(len(d), start, end, a.steps[0])
	if err != nil {
		return nil, false
	}
	out := make([]ir.Dim, sp.length)
	for i := range out {
		out[i] = d[sp.start+i*sp.step]
	}
	return out, true
}

func (s Slice) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	xs := n.In[0].Type.MustShape()
	a, all, err := s.args(n.In, len(xs))
	if err != nil || !all {
		return nil, errors.Join(errors.New("the gradient needs constant starts, ends, axes and steps"), err)
	}
	pads := make([]int, 2*len(xs))
	for i, ax := range a.axes {
		start, ok1 := a.starts[i].Known()
		end, ok2 := a.ends[i].Known()
		if !ok1 || !ok2 {
			return nil, errors.New("the gradient needs constant starts and ends")
		}
		sp, err := spanOf(xs[ax], start, end, a.steps[i])
		if err != nil {
			return nil, err
		}
		if sp.step != 1 {
			in := append([]*ir.Value{dOut[0]}, n.In[1:]...)
			return first(b.Op(SliceGrad{Shape: xs}, n.Name+"/grad", in...), n)
		}
		pads[ax], pads[ax+len(xs)] = sp.start, xs[ax]-sp.start-sp.length
		if sp.length == 0 {
			pads[ax], pads[ax+len(xs)] = 0, xs[ax]
		}
	}
	return first(padConst(b, n.Name+"/grad", dOut[0], pads), n)
}

// MapAxes implements [ir.AxisMapper].
func (s Slice) MapAxes(n *ir.Node, m ir.AxisMap) {
	x, y := n.In[0], n.Out[0]
	args, all, err := s.args(n.In, x.Type.Rank())
	for a := range x.Type.Rank() {
		i := slices.Index(args.axes, a)
		switch k, known := x.Type.Dims[a].Known(); {
		case err == nil && i < 0:
			tieAxes(m, x, a, y, a)
		case err == nil && all && known && i >= 0 && args.steps[i] == 1 && args.starts[i].Sym == "" && args.ends[i].Sym == "":
			sp, err := spanOf(k, args.starts[i].N, args.ends[i].N, 1)
			for j := 0; err == nil && j < sp.length; j++ {
				m.Tie(x, a, sp.start+j, y, a, j)
			}
		default:
			m.Fix(x, a, "every other entry is taken, or a computed part")
			m.Fix(y, a, "every other entry is taken, or a computed part")
		}
	}
}

// CutAxes implements [ir.AxisCutter].
func (s Slice) CutAxes(b *ir.Builder, n *ir.Node, kept func(*ir.Value, int) []int) (ir.Op, []*ir.Value) {
	x := n.In[0]
	args, _, err := s.args(n.In, x.Type.Rank())
	if err != nil {
		return s, n.In
	}
	var starts, ends []int
	for i, a := range args.axes {
		start, end := args.starts[i].N, args.ends[i].N
		if k := kept(x, a); k != nil {
			total := x.Type.Dims[a].N
			sp, _ := spanOf(total, start, end, 1)
			start, end = countBelow(k, sp.start), countBelow(k, sp.start+sp.length)
		} else if args.starts[i].Sym != "" || args.ends[i].Sym != "" {
			b.Fail(fmt.Errorf("axis %d is cut at a computed place beside one that loses channels", a))
		}
		starts, ends = append(starts, start), append(ends, end)
	}
	return s, append([]*ir.Value{x, b.ConstInts(n.Name+"/starts", starts...), b.ConstInts(n.Name+"/ends", ends...),
		b.ConstInts(n.Name+"/axes", args.axes...)}, b.ConstInts(n.Name+"/steps", args.steps...))
}

func (Slice) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

func decodeSlice(d *Decoder) ir.Op {
	if d.Opset < 10 {
		d.IntsToInput("starts", 1)
		d.IntsToInput("ends", 2)
		d.IntsToInput("axes", 3)
	}
	return Slice{}
}

func encodeSlice(e *Encoder) {
	if e.Opset >= 10 {
		return
	}
	if v := present(e.In, 4); v != nil {
		steps, ok := v.ConstInts()
		for _, s := range steps {
			ok = ok && s == 1
		}
		if !ok {
			e.Errorf("steps need opset 10, the file has %d", e.Opset)
		}
		e.In = e.In[:4]
	}
	axesToAttr(e, 3, "axes", e.In[0].Type.Rank())
	e.InputToInts(2, "ends")
	e.InputToInts(1, "starts")
}

// SliceAxis is x[from:to] along one axis.
func SliceAxis(b *ir.Builder, name string, x *ir.Value, axis, from, to int) *ir.Value {
	return b.Op(Slice{}, name, x, b.ConstInts(name+"/starts", from), b.ConstInts(name+"/ends", to), b.ConstInts(name+"/axes", axis))
}

// SliceGrad writes dy to the places of zeros of the given Shape that [Slice]
// took. Internal: the gradient of slices with steps.
//
//	in  0 dy   1… the inputs of Slice from 1 on
//	out 0 dx
type SliceGrad struct{ Shape []int }

var (
	_ ir.Evaluator      = SliceGrad{}
	_ ir.Differentiable = SliceGrad{}
)

func (SliceGrad) Kind() string { return "SliceGrad" }

func (g SliceGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 3, 5); err != nil {
		return nil, err
	}
	if in[0].Type.Rank() != len(g.Shape) {
		return nil, fmt.Errorf("got %v, want rank %d", in[0].Type, len(g.Shape))
	}
	if err := tensor.Shape(g.Shape).Check(); err != nil {
		return nil, err
	}
	return []ir.Type{ir.MakeType(in[0].Type.DType, g.Shape...)}, nil
}

func (g SliceGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := checkSize(g.Shape); err != nil {
		return nil, err
	}
	spans, err := Slice{}.spans(g.Shape, in[1:])
	if err != nil {
		return nil, err
	}
	shape, pos := spanPos(g.Shape, spans)
	if !shape.Equal(in[0].Shape()) {
		return nil, fmt.Errorf("got %v, want %v", in[0].Shape(), shape)
	}
	dx := tensor.New(in[0].DType(), g.Shape...)
	place(dx, in[0], pos)
	return one(dx), nil
}

func (g SliceGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	in := append([]*ir.Value{dOut[0]}, n.In[1:]...)
	return first(b.Op(Slice{}, n.Name+"/grad", in...), n)
}
