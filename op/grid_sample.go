package op

import (
	"errors"
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// GridSample samples x at the points of a grid, whose coordinates run from -1
// to 1 over each spatial axis, the last axis first: between the centers of the
// corner pixels with AlignCorners, else between their outer edges.
//
//	in  0 x [N, C, spatial…]   1 grid [N, spatial'…, number of spatial axes]
//	out 0 y [N, C, spatial'…]
//
// Mode is "" (linear), "nearest" or "cubic"; Padding says what lies outside:
// "" (zeros), "border" or "reflection". There is no gradient with respect to
// the grid.
// https://onnx.ai/onnx/operators/onnx__GridSample.html
type GridSample struct {
	Mode, Padding string
	AlignCorners  bool
}

var (
	_ ir.Evaluator      = GridSample{}
	_ ir.Differentiable = GridSample{}
	_ ir.Costed         = GridSample{}
)

func (GridSample) Kind() string { return "GridSample" }

func (o GridSample) check() error {
	return errors.Join(oneOf("mode", o.Mode, "", "nearest", "cubic"), oneOf("padding_mode", o.Padding, "", "border", "reflection"))
}

func (o GridSample) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := wantFloat(in...); err != nil {
		return nil, err
	}
	x, g := in[0].Type, in[1].Type
	if x.Rank() < 3 || g.Rank() != x.Rank() || !g.Dims[g.Rank()-1].MayEqual(ir.Len(x.Rank()-2)) || !g.Dims[0].MayEqual(x.Dims[0]) {
		return nil, fmt.Errorf("grid: got %v for %v, want [N, spatial…, number of spatial axes]", g, x)
	}
	dims := append([]ir.Dim{x.Dims[0], x.Dims[1]}, g.Dims[1:g.Rank()-1]...)
	return []ir.Type{{DType: x.DType, Dims: dims}}, nil
}

// corner is one weighted source of a sampled point.
type corner struct {
	at     int // within a plane
	weight float64
}

// points calls f with each grid point's batch, number and sources.
func (o GridSample) points(xs tensor.Shape, grid *tensor.Tensor, f func(n, p int, from []corner)) (tensor.Shape, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	gs, r := grid.Shape(), len(xs)-2
	if r < 1 || len(gs) != len(xs) || gs[0] != xs[0] || gs[len(gs)-1] != r || xs.Numel() == 0 {
		return nil, fmt.Errorf("grid: got %v for %v, want [N, spatial…, number of spatial axes]", gs, xs)
	}
	shape := append(tensor.Shape{xs[0], xs[1]}, gs[1:len(gs)-1]...)
	if err := checkSize(shape); err != nil {
		return nil, err
	}
	v, err := grid.Float64s()
	if err != nil {
		return nil, err
	}
	spatial := xs[2:]
	st := spatial.Strides()
	perBatch := shape[2:].Numel()
	for n := range xs[0] {
		for p := range perBatch {
			from := []corner{{0, 1}}
			for a, l := range spatial {
				c := v[((n*perBatch)+p)*r+r-1-a]
				from = cross(from, o.taps(c, l), st[a])
			}
			f(n, p, from)
		}
	}
	return shape, nil
}

// cross combines the sources of the axes so far with those of the next one.
func cross(from, next []corner, stride int) []corner {
	var out []corner
	for _, a := range from {
		for _, b := range next {
			out = append(out, corner{a.at + b.at*stride, a.weight * b.weight})
		}
	}
	return out
}

// taps lists the sources of coordinate c along an axis of l elements.
func (o GridSample) taps(c float64, l int) []corner {
	lo, hi := -0.5, float64(l)-0.5
	x := ((c+1)*float64(l) - 1) / 2
	if o.AlignCorners {
		lo, hi = 0, float64(l-1)
		x = (c + 1) / 2 * float64(l-1)
	}
	if isNaN(x) || math.IsInf(x, 0) {
		x = -1 // beside the input, as for any far coordinate
	}
	if o.Mode == "nearest" {
		x = math.RoundToEven(x)
	}
	x = min(max(x, -1e9), 1e9)
	if x < lo || x > hi {
		switch o.Padding {
		case "border":
			x = min(max(x, 0), float64(l-1))
		case "reflection":
			x = mirror(x, lo, hi)
		}
	}
	base := math.Floor(x)
	t := x - base
	var weights []float64
	from := int(base)
	switch o.Mode {
	case "nearest":
		from, weights = int(math.RoundToEven(x)), []float64{1}
	case "cubic":
		from--
		for k := -1; k <= 2; k++ {
			weights = append(weights, Resize{}.cubicFilter(float64(k)-t))
		}
	default:
		weights = []float64{1 - t, t}
	}
	var out []corner
	for k, w := range weights {
		i := from + k
		if i < 0 || i >= l {
			switch o.Padding {
			case "border":
				i = min(max(i, 0), l-1)
			case "reflection":
				i = min(max(int(mirror(float64(i), lo, hi)), 0), l-1)
			default:
				continue
			}
		}
		out = append(out, corner{i, w})
	}
	return out
}

// mirror reflects x at both ends until it lies between them.
func mirror(x, lo, hi float64) float64 {
	span := hi - lo
	if span <= 0 {
		return lo
	}
	d := math.Mod(math.Abs(x-lo), 2*span)
	if d > span {
		d = 2*span - d
	}
	return lo + d
}

func (o GridSample) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x := in[0]
	xs := x.Shape()
	v, err := x.Float64s()
	if err != nil {
		return nil, err
	}
	if len(xs) < 3 || len(in[1].Shape()) != len(xs) {
		return nil, fmt.Errorf("got %v and grid %v, want equal ranks from 3", x, in[1])
	}
	plane, points := xs[2:].Numel(), in[1].Shape()[1:len(xs)-1].Numel()
	if err := checkSize(tensor.Shape{xs[0], xs[1], points}); err != nil {
		return nil, err
	}
	y := make([]float64, xs[0]*xs[1]*points)
	shape, err := o.points(xs, in[1], func(n, p int, from []corner) {
		for c := range xs[1] {
			src := v[(n*xs[1]+c)*plane:]
			s := 0.0
			for _, f := range from {
				s += f.weight * src[f.at]
			}
			y[(n*xs[1]+c)*points+p] = s
		}
	})
	if err != nil {
		return nil, err
	}
	return one(fromFloats(x.DType(), y, shape...)), nil
}

func (o GridSample) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	if need[1] {
		return nil, errors.New("the gradient with respect to the grid is not supported")
	}
	return first(b.Op(GridSampleGrad{GridSample: o, Shape: n.In[0].Type.MustShape()}, n.Name+"/grad", dOut[0], n.In[1]), n)
}

func (o GridSample) Cost(n *ir.Node) ir.Cost { return elementOps(n, 4) }

func decodeGridSample(d *Decoder) ir.Op {
	o := GridSample{Mode: d.Str("mode", "linear"), Padding: d.Str("padding_mode", "zeros"), AlignCorners: d.Bool("align_corners", false)}
	switch o.Mode {
	case "linear", "bilinear":
		o.Mode = ""
	case "bicubic":
		o.Mode = "cubic"
	}
	if o.Padding == "zeros" {
		o.Padding = ""
	}
	if err := o.check(); err != nil {
		d.Errorf("%w", err)
	}
	return o
}

func encodeGridSample(e *Encoder) {
	e.MinOpset(16)
	o := e.Node.Op.(GridSample)
	mode := orDefault(o.Mode, "linear")
	if e.Opset < 20 {
		if e.In[0].Type.Rank() != 4 {
			e.MinOpset(20)
		}
		switch mode {
		case "linear":
			mode = "bilinear"
		case "cubic":
			mode = "bicubic"
		}
	}
	e.Set("mode", mode)
	e.Set("padding_mode", orDefault(o.Padding, "zeros"))
	e.Set("align_corners", o.AlignCorners)
}

// GridSampleGrad is the adjoint of [GridSample] for an input of the given
// Shape. Internal: its gradient.
//
//	in  0 dy   1 grid
//	out 0 dx
type GridSampleGrad struct {
	GridSample
	Shape []int
}

var (
	_ ir.Evaluator      = GridSampleGrad{}
	_ ir.Differentiable = GridSampleGrad{}
	_ ir.Costed         = GridSampleGrad{}
)

func (GridSampleGrad) Kind() string { return "GridSampleGrad" }

func (g GridSampleGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	return []ir.Type{ir.MakeType(in[0].Type.DType, g.Shape...)}, tensor.Shape(g.Shape).Check()
}

func (g GridSampleGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	xs := tensor.Shape(g.Shape)
	if err := checkSize(xs); err != nil {
		return nil, err
	}
	dy, err := in[0].Float64s()
	if err != nil {
		return nil, err
	}
	if len(xs) < 3 || len(in[1].Shape()) != len(xs) || in[0].Rank() != len(xs) {
		return nil, fmt.Errorf("got %v and grid %v for %v, want equal ranks from 3", in[0], in[1], xs)
	}
	plane, points := xs[2:].Numel(), in[1].Shape()[1:len(xs)-1].Numel()
	if len(dy) != xs[0]*xs[1]*points {
		return nil, fmt.Errorf("got gradient %v for grid %v", in[0], in[1])
	}
	dx := make([]float64, xs.Numel())
	_, err = g.points(xs, in[1], func(n, p int, from []corner) {
		for c := range xs[1] {
			dst := dx[(n*xs[1]+c)*plane:]
			for _, f := range from {
				dst[f.at] += f.weight * dy[(n*xs[1]+c)*points+p]
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return one(fromFloats(in[0].DType(), dx, xs...)), nil
}

func (g GridSampleGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	if need[1] {
		return nil, errors.New("the gradient with respect to the grid is not supported")
	}
	return first(b.Op(g.GridSample, n.Name+"/grad", dOut[0], n.In[1]), n)
}
