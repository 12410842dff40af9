package op

import (
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// sample is how one output position of an axis is computed from the input.
type sample struct {
	at      []int
	weight  []float64
	outside bool // the value is the extrapolation value
}

// origin maps output position i to a coordinate of an axis of n elements.
func (r Resize) origin(i, n int, t target, begin, end float64) float64 {
	x, in := float64(i), float64(n)
	resized := t.scale * in // not rounded, as ONNX has it
	switch r.coordinate() {
	case "align_corners":
		if resized == 1 {
			return 0
		}
		return x * (in - 1) / (resized - 1)
	case "asymmetric":
		return x / t.scale
	case "tf_crop_and_resize":
		if resized == 1 {
			return (begin + end) * (in - 1) / 2
		}
		return begin*(in-1) + x*(end-begin)*(in-1)/(resized-1)
	case "pytorch_half_pixel":
		if t.length <= 1 {
			return 0
		}
	case "tf_half_pixel_for_nn":
		return (x + 0.5) / t.scale
	case "half_pixel_symmetric":
		return in/2*(1-float64(t.length)/resized) + (x+0.5)/t.scale - 0.5
	}
	return (x+0.5)/t.scale - 0.5
}

// sample computes where output position i comes from.
func (r Resize) sample(i, n int, t target, begin, end float64) sample {
	x := r.origin(i, n, t, begin, end)
	if r.coordinate() == "tf_crop_and_resize" && (x < 0 || x > float64(n-1)) {
		return sample{outside: true}
	}
	// Far outside coordinates see the edge only.
	x = min(max(x, -4*float64(n)-8), 5*float64(n)+8)
	base := math.Floor(x)
	ratio := x - base
	if r.mode() == "nearest" {
		at := int(base)
		switch r.nearest() {
		case "round_prefer_floor":
			if ratio > 0.5 {
				at++
			}
		case "round_prefer_ceil":
			if ratio >= 0.5 {
				at++
			}
		case "ceil":
			if ratio > 0 {
				at++
			}
		}
		return sample{at: []int{min(max(at, 0), n-1)}, weight: []float64{1}}
	}
	filter, reach := linearFilter, 1.0
	if r.mode() == "cubic" {
		filter, reach = r.cubicFilter, 2
	}
	s := 1.0 // the filter widens when shrinking with antialias
	if r.Antialias {
		s = min(t.scale, 1)
		s = max(s, 1/float64(2*n+2)) // no wider than the input needs
	}
	from := int(math.Floor(-reach/s)) + 1
	var out sample
	sum := 0.0
	for k := from; k < 2-from; k++ {
		at := int(base) + k
		w := filter(s * (float64(k) - ratio))
		if r.ExcludeOutside && (at < 0 || at >= n) {
			w = 0
		}
		sum += w
		out.at = append(out.at, min(max(at, 0), n-1))
		out.weight = append(out.weight, w)
	}
	if (r.Antialias || r.ExcludeOutside) && sum != 0 {
		for k := range out.weight {
			out.weight[k] /= sum
		}
	}
	return out
}

func linearFilter(x float64) float64 { return max(0, 1-math.Abs(x)) }

// cubicFilter is the convolution kernel of Keys (1981).
func (r Resize) cubicFilter(x float64) float64 {
	a := float64(r.CubicA)
	if a == 0 {
		a = -0.75
	}
	switch x = math.Abs(x); {
	case x <= 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return ((a*x-5*a)*x+8*a)*x - 4*a
	}
	return 0
}

func decodeResize(d *Decoder) ir.Op {
	if d.Opset < 11 {
		r := Resize{Mode: d.Str("mode", "nearest"), Coordinate: "asymmetric", Nearest: "floor"}
		scales := d.Input(1)
		d.SetIn(1, nil)
		d.SetIn(2, scales)
		return r
	}
	r := Resize{
		Mode:           d.Str("mode", "nearest"),
		Coordinate:     d.Str("coordinate_transformation_mode", "half_pixel"),
		Nearest:        d.Str("nearest_mode", "round_prefer_floor"),
		CubicA:         d.Float("cubic_coeff_a", -0.75),
		Extrapolation:  d.Float("extrapolation_value", 0),
		ExcludeOutside: d.Bool("exclude_outside", false),
	}
	if d.Opset >= 18 {
		r.Antialias = d.Bool("antialias", false)
		r.Axes = d.Ints("axes")
		r.Aspect = d.Str("keep_aspect_ratio_policy", "stretch")
	}
	for _, f := range []struct {
		field *string
		def   string
	}{{&r.Mode, "nearest"}, {&r.Coordinate, "half_pixel"}, {&r.Nearest, "round_prefer_floor"}, {&r.Aspect, "stretch"}} {
		if *f.field == f.def {
			*f.field = ""
		}
	}
	if r.CubicA == -0.75 {
		r.CubicA = 0
	}
	if err := r.check(); err != nil {
		d.Errorf("%w", err)
	}
	return r
}

// Upsample is the name that opsets 7 to 9 have for [Resize], which it decodes to.
//
// https://onnx.ai/onnx/operators/onnx__Upsample.html
type Upsample struct{ Resize }

var (
	_ ir.Evaluator      = Upsample{}
	_ ir.Differentiable = Upsample{}
)

func (Upsample) Kind() string { return "Upsample" }

// CutAxes implements [ir.AxisCutter]: scales count nothing.
func (u Upsample) CutAxes(_ *ir.Builder, n *ir.Node, _ func(*ir.Value, int) []int) (ir.Op, []*ir.Value) {
	return u, n.In
}

func decodeUpsample(d *Decoder) ir.Op {
	r := Resize{Mode: d.Str("mode", "nearest"), Coordinate: "asymmetric", Nearest: "floor"}
	if r.Mode == "bilinear" || r.Mode == "trilinear" {
		r.Mode = "linear"
	}
	scales := d.Input(1)
	if f := d.Floats("scales"); f != nil {
		scales = d.Const("scales", tensor.From(f, len(f)))
	}
	d.SetIn(1, nil)
	d.SetIn(2, scales)
	if err := r.check(); err != nil {
		d.Errorf("%w", err)
	}
	return r
}

func encodeResize(e *Encoder) {
	r := e.Node.Op.(Resize)
	e.Set("mode", r.mode())
	if e.Opset < 11 {
		encodeUpsample(e, r)
		return
	}
	e.Set("coordinate_transformation_mode", r.coordinate())
	if r.mode() == "nearest" {
		e.Set("nearest_mode", r.nearest())
	}
	if r.mode() == "cubic" && r.CubicA != 0 {
		e.Set("cubic_coeff_a", r.CubicA)
	}
	if r.ExcludeOutside {
		e.Set("exclude_outside", true)
	}
	if r.Extrapolation != 0 {
		e.Set("extrapolation_value", r.Extrapolation)
	}
	switch r.coordinate() {
	case "half_pixel_symmetric":
		e.MinOpset(19)
	case "tf_half_pixel_for_nn":
		if e.Opset >= 18 {
			e.Errorf("coordinate mode tf_half_pixel_for_nn is gone since opset 18, the file has %d", e.Opset)
		}
	}
	if r.Antialias || r.Axes != nil || r.aspect() != "stretch" {
		e.MinOpset(18)
		if r.Antialias {
			e.Set("antialias", true)
		}
		e.Set("axes", r.Axes)
		if r.aspect() != "stretch" {
			e.Set("keep_aspect_ratio_policy", r.aspect())
		}
	}
}

// encodeUpsample writes the forms of opsets 7 to 10, which scale asymmetrically.
func encodeUpsample(e *Encoder, r Resize) {
	scales := filledInput(e.In, 2)
	if filledInput(e.In, 3) != nil || scales == nil {
		e.Errorf("sizes need opset 11, the file has %d", e.Opset)
		return
	}
	if r.coordinate() != "asymmetric" || r.mode() == "cubic" || r.mode() == "nearest" && r.nearest() != "floor" || r.Axes != nil || r.ExcludeOutside {
		e.Errorf("mode %s with coordinates %s needs opset 11, the file has %d", r.mode(), r.coordinate(), e.Opset)
	}
	e.In = []*ir.Value{e.In[0], scales}
	if e.Opset == 10 {
		return
	}
	e.OpType = "Upsample"
	if e.Opset < 9 {
		f, ok := constFloats(scales)
		if !ok {
			e.Errorf("scales must be constant at opset %d", e.Opset)
		}
		list := make([]float32, len(f))
		for i, v := range f {
			list[i] = float32(v)
		}
		e.Set("scales", list)
		e.In = e.In[:1]
	}
}
