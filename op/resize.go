package op

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Resize samples x on another grid. Each output position maps to a coordinate
// of the input by Coordinate, and the value there is interpolated by Mode,
// separately along each axis.
//
//	in  0 x   1 roi float [2k], only for tf_crop_and_resize   2 scales float [k]   3 sizes int64 [k]; one of 2, 3
//	out 0 y; axis i has the length ⌊scale·x_i⌋, or sizes
//
// Strings are those of ONNX; the empty string stands for its default:
// Mode "nearest", Coordinate "half_pixel", Nearest "round_prefer_floor",
// Aspect "stretch". CubicA 0 stands for -0.75. Axes nil stands for all.
// https://onnx.ai/onnx/operators/onnx__Resize.html
type Resize struct {
	Mode, Coordinate, Nearest, Aspect string
	CubicA                            float32
	Extrapolation                     float32
	Antialias, ExcludeOutside         bool
	Axes                              []int
}

var (
	_ ir.Evaluator      = Resize{}
	_ ir.Differentiable = Resize{}
	_ ir.Costed         = Resize{}
	_ ir.AxisCutter     = Resize{}
	_ ir.QuantTraited   = Resize{}
)

func (Resize) Kind() string { return "Resize" }

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func (r Resize) mode() string       { return orDefault(r.Mode, "nearest") }
func (r Resize) coordinate() string { return orDefault(r.Coordinate, "half_pixel") }
func (r Resize) nearest() string    { return orDefault(r.Nearest, "round_prefer_floor") }
func (r Resize) aspect() string     { return orDefault(r.Aspect, "stretch") }

func (r Resize) check() error {
	return errors.Join(
		oneOf("mode", r.mode(), "nearest", "linear", "cubic"),
		oneOf("coordinate_transformation_mode", r.coordinate(), "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",
			"align_corners", "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize"),
		oneOf("nearest_mode", r.nearest(), "round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
		oneOf("keep_aspect_ratio_policy", r.aspect(), "stretch", "not_larger", "not_smaller"))
}

// axes resolves the axes in the order in which scales and sizes list them.
func (r Resize) axes(rank int) ([]int, error) {
	if r.Axes == nil {
		return axesOf(nil, rank)
	}
	if _, err := axesOf(r.Axes, rank); err != nil {
		return nil, err
	}
	out := make([]int, len(r.Axes))
	for i, a := range r.Axes {
		out[i], _ = tensor.Axis(a, rank)
	}
	return out, nil
}

// target is what happens to one axis: its new length, and the scale that
// coordinates use.
type target struct {
	length int
	scale  float64
}

// targets computes the new lengths of an input of shape xs.
func (r Resize) targets(xs tensor.Shape, scales []float64, sizes []int) ([]target, error) {
	axes, err := r.axes(len(xs))
	if err != nil {
		return nil, err
	}
	out := make([]target, len(xs))
	for i, n := range xs {
		out[i] = target{length: n, scale: 1}
	}
	switch {
	case len(sizes) > 0:
		if len(sizes) != len(axes) {
			return nil, fmt.Errorf("sizes: got %v, want %d entries", sizes, len(axes))
		}
		common := math.Inf(1)
		if r.aspect() == "not_smaller" {
			common = math.Inf(-1)
		}
		for i, a := range axes {
			if sizes[i] < 0 || xs[a] == 0 && sizes[i] != 0 {
				return nil, fmt.Errorf("sizes: got %v for %v, want lengths that can be sampled", sizes, xs)
			}
			s := 1.0
			if xs[a] > 0 {
				s = float64(sizes[i]) / float64(xs[a])
			}
			out[a] = target{length: sizes[i], scale: s}
			if r.aspect() == "not_smaller" {
				common = max(common, s)
			} else {
				common = min(common, s)
			}
		}
		if r.aspect() != "stretch" {
			for _, a := range axes {
				out[a] = target{length: int(math.Floor(common*float64(xs[a]) + 0.5)), scale: common}
			}
		}
	case len(scales) > 0:
		if len(scales) != len(axes) {
			return nil, fmt.Errorf("scales: got %v, want %d entries", scales, len(axes))
		}
		for i, a := range axes {
			l, err := scaledLen(xs[a], scales[i])
			if err != nil {
				return nil, err
			}
			out[a] = target{length: l, scale: scales[i]}
		}
	default:
		return nil, errors.New("got neither scales nor sizes, want one of them")
	}
	return out, nil
}

// scaledLen is ⌊scale·n⌋ in float32, as runtimes compute it: 0.7·10 is 7.
func scaledLen(n int, scale float64) (int, error) {
	l := math.Floor(float64(float32(n) * float32(scale)))
	if !(scale > 0) || l > maxElements {
		return 0, fmt.Errorf("scales: got %g for an axis of %d, want a positive number and at most %d elements", scale, n, maxElements)
	}
	return int(l), nil
}

func (r Resize) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 4); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	if err := wantNumbers(in[0]); err != nil {
		return nil, err
	}
	x := in[0].Type
	axes, err := r.axes(x.Rank())
	if err != nil {
		return nil, err
	}
	out := ir.Type{DType: x.DType, Dims: append([]ir.Dim(nil), x.Dims...)}
	if v := filledInput(in, 3); v != nil {
		d, ok := v.ConstDims()
		if ok && len(d) != len(axes) {
			return nil, fmt.Errorf("sizes: got %v, want %d entries", d, len(axes))
		}
		shape, known := x.Shape()
		sizes, constant := v.ConstInts()
		if constant && known {
			t, err := r.targets(shape, nil, sizes)
			if err != nil {
				return nil, err
			}
			for i := range t {
				out.Dims[i] = ir.Len(t[i].length)
			}
			return []ir.Type{out}, nil
		}
		for i, a := range axes {
			out.Dims[a] = ir.Unknown()
			switch {
			case !ok || r.aspect() != "stretch":
			case d[i].Sym == "" || d[i].N > 0:
				out.Dims[a] = d[i]
			}
		}
		return []ir.Type{out}, nil
	}
	v := filledInput(in, 2)
	if v == nil {
		return nil, errors.New("got neither scales nor sizes, want one of them")
	}
	scales, ok := constFloats(v)
	if ok && len(scales) != len(axes) {
		return nil, fmt.Errorf("scales: got %v, want %d entries", scales, len(axes))
	}
	for i, a := range axes {
		d := out.Dims[a]
		out.Dims[a] = ir.Unknown()
		if !ok {
			continue
		}
		if n, known := d.Known(); known {
			l, err := scaledLen(n, scales[i])
			if err != nil {
				return nil, err
			}
			out.Dims[a] = ir.Len(l)
		} else if s := scales[i]; s == math.Trunc(s) && s >= 1 && s < maxElements {
			out.Dims[a] = d.Mul(ir.Len(int(s)))
		}
	}
	return []ir.Type{out}, nil
}

// filledInput returns an input unless it is omitted or known to be empty, as
// opset 11 writes inputs that it does not use.
func filledInput(in []*ir.Value, i int) *ir.Value {
	v := present(in, i)
	if v == nil {
		return nil
	}
	if n, ok := v.Type.Numel().Known(); ok && n == 0 {
		return nil
	}
	return v
}

// constFloats returns the elements of a constant.
func constFloats(v *ir.Value) ([]float64, bool) {
	if v == nil || v.Kind != ir.Constant {
		return nil, false
	}
	f, err := v.Data.Float64s()
	return f, err == nil
}

func (r Resize) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x := in[0]
	p, err := r.plan(x.Shape(), in[1:])
	if err != nil {
		return nil, err
	}
	v, err := x.Float64s()
	if err != nil {
		return nil, err
	}
	y := p.apply(v, float64(r.Extrapolation))
	if x.DType().IsInteger() {
		for i, e := range y {
			y[i] = math.Trunc(e)
		}
	}
	return one(fromFloats(x.DType(), y, p.out...)), nil
}

func (r Resize) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	in := append([]*ir.Value{dOut[0]}, n.In[1:]...)
	return first(b.Op(ResizeGrad{Resize: r, Shape: n.In[0].Type.MustShape()}, n.Name+"/grad", in...), n)
}

func (r Resize) Cost(n *ir.Node) ir.Cost {
	switch r.mode() {
	case "linear":
		return elementOps(n, 4)
	case "cubic":
		return elementOps(n, 16)
	}
	return elementOps(n, 1)
}

// MapAxes implements [ir.AxisMapper].
func (Resize) MapAxes(n *ir.Node, m ir.AxisMap) {
	x, y := n.In[0], n.Out[0]
	for a := range x.Type.Rank() {
		if a < 2 && x.Type.Dims[a].Equal(y.Type.Dims[a]) {
			tieAxes(m, x, a, y, a)
			continue
		}
		m.Fix(x, a, "it is resized")
		m.Fix(y, a, "it is resized")
	}
}

// CutAxes implements [ir.AxisCutter].
func (r Resize) CutAxes(b *ir.Builder, n *ir.Node, kept func(*ir.Value, int) []int) (ir.Op, []*ir.Value) {
	x := n.In[0]
	sizes := filledInput(n.In, 3)
	if sizes == nil {
		return r, n.In
	}
	axes, _ := r.axes(x.Type.Rank())
	list, ok := sizes.ConstInts()
	if !ok {
		return r, n.In // computed from the input's shape, which changes with it
	}
	list = slices.Clone(list)
	for i, a := range axes {
		if k := kept(x, a); k != nil {
			list[i] = len(k)
		}
	}
	in := slices.Clone(n.In)
	in[3] = b.ConstInts(n.Name+"/sizes", list...)
	return r, in
}

// QuantTrait: the nearest neighbour only selects values.
func (r Resize) QuantTrait() ir.QuantTrait {
	if r.mode() == "nearest" {
		return ir.QuantAgnostic
	}
	return ir.QuantInputs
}

// ResizeGrad is the adjoint of [Resize] for an input of the given Shape.
// Internal: its gradient.
//
//	in  0 dy   1… the inputs of Resize from 1 on
//	out 0 dx
type ResizeGrad struct {
	Resize
	Shape []int
}

var (
	_ ir.Evaluator      = ResizeGrad{}
	_ ir.Differentiable = ResizeGrad{}
	_ ir.Costed         = ResizeGrad{}
)

func (ResizeGrad) Kind() string { return "ResizeGrad" }

// MapAxes keeps everything: gradients are not pruned.
func (ResizeGrad) MapAxes(n *ir.Node, m ir.AxisMap) {
	for _, v := range []*ir.Value{n.In[0], n.Out[0]} {
		fixFrom(m, v, 0, "it is a gradient")
	}
}

func (g ResizeGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 4); err != nil {
		return nil, err
	}
	if err := tensor.Shape(g.Shape).Check(); err != nil {
		return nil, err
	}
	return []ir.Type{ir.MakeType(in[0].Type.DType, g.Shape...)}, nil
}

func (g ResizeGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := checkSize(g.Shape); err != nil {
		return nil, err
	}
	p, err := g.plan(g.Shape, in[1:])
	if err != nil {
		return nil, err
	}
	if !p.out.Equal(in[0].Shape()) {
		return nil, fmt.Errorf("got gradient %v, want %v", in[0].Shape(), p.out)
	}
	dy, err := in[0].Float64s()
	if err != nil {
		return nil, err
	}
	return one(fromFloats(in[0].DType(), p.adjoint(dy), g.Shape...)), nil
}

func (g ResizeGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	r := g.Resize
	r.Extrapolation = 0
	in := append([]*ir.Value{dOut[0]}, n.In[1:]...)
	return first(b.Op(r, n.Name+"/grad", in...), n)
}

// QuantTrait: gradients stay in float.
func (ResizeGrad) QuantTrait() ir.QuantTrait { return ir.QuantFloat }
