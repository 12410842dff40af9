package op_test

import (
	"testing"

	"github.com/go-nncf/nncf/internal/testkit/gradcheck"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// The gradients of the operators that move, select and resample values, and of
// their own gradient operators, against differences of their evaluators.
func TestGrad_Tensor(t *testing.T) {
	rnd, distinct, n := gradcheck.Rand, gradcheck.Distinct, gradcheck.Ints
	fs := func(v ...float32) *tensor.Tensor { return f32([]int{len(v)}, v...) }
	idx := tensor.From([]int64{0, -1, 2, 0, 1, 1}, 2, 3)
	cases := []gradcheck.Case{
		{Name: "Identity", Op: op.Identity{}, In: ts{rnd(1, 2, 3)}},
		{Name: "Cast", Op: op.Cast{To: tensor.Float64}, In: ts{rnd(1, 2, 3)}},
		{Name: "Reshape", Op: op.Reshape{}, In: ts{rnd(1, 2, 3, 4), n(0, -1)}},
		{Name: "Flatten", Op: op.Flatten{Axis: 2}, In: ts{rnd(1, 2, 3, 4)}},
		{Name: "Squeeze", Op: op.Squeeze{}, In: ts{rnd(1, 2, 1, 4), n(1)}},
		{Name: "Unsqueeze", Op: op.Unsqueeze{}, In: ts{rnd(1, 2, 3), n(0, 3)}},
		{Name: "Transpose", Op: op.Transpose{Perm: []int{2, 0, 1}}, In: ts{rnd(1, 2, 3, 4)}},
		{Name: "Concat", Op: op.Concat{Axis: -2}, In: ts{rnd(1, 2, 3, 4), rnd(2, 2, 1, 4), rnd(3, 2, 2, 4)}},
		{Name: "Split", Op: op.Split{Axis: 1}, Outputs: 3, In: ts{rnd(1, 2, 6, 2), n(1, 3, 2)}},
		{Name: "Split/one used", Op: op.Split{Axis: 1, NumOutputs: 4}, Outputs: 4, Used: []int{2}, In: ts{rnd(1, 2, 7, 2)}},
		{Name: "Slice", Op: op.Slice{}, In: ts{rnd(1, 5, 6), n(1, -4), n(4, -1)}},
		{Name: "Slice/steps", Op: op.Slice{}, In: ts{rnd(1, 5, 6), n(0, -1), n(5, -7), n(0, 1), n(2, -2)}},
		{Name: "Slice/empty", Op: op.Slice{}, In: ts{rnd(1, 5, 6), n(3), n(3), n(1)}},
		{Name: "SliceGrad", Op: op.SliceGrad{Shape: []int{5, 6}}, In: ts{rnd(1, 5, 3), n(-1), n(-7), n(1), n(-2)}},
		{Name: "Pad", Op: op.Pad{}, In: ts{rnd(1, 3, 4), n(1, -1, 2, 0), f32(nil, 0.5)}, Wrt: []int{0}},
		{Name: "Pad/value", Op: op.Pad{}, In: ts{rnd(1, 3, 4), n(1, 2), f32(nil, 0.5), n(-1)}},
		{Name: "Pad/reflect", Op: op.Pad{Mode: "reflect"}, In: ts{rnd(1, 3, 4), n(2, 3, 0, 1)}},
		{Name: "Pad/edge", Op: op.Pad{Mode: "edge"}, In: ts{rnd(1, 3, 4), n(1, -1, 0, 2)}},
		{Name: "Pad/wrap", Op: op.Pad{Mode: "wrap"}, In: ts{rnd(1, 3, 4), n(4, 1, 5, 0)}},
		{Name: "PadGrad", Op: op.PadGrad{Mode: "reflect", Shape: []int{3, 4}, Pads: []int{2, 1, 0, 1}}, In: ts{rnd(1, 5, 6)}},
		{Name: "Expand", Op: op.Expand{}, In: ts{rnd(1, 3, 1), n(2, 1, 4)}},
		{Name: "Tile", Op: op.Tile{}, In: ts{rnd(1, 2, 3), n(2, 3)}},
		{Name: "Gather", Op: op.Gather{Axis: 1}, In: ts{rnd(1, 2, 3, 4), idx}},
		{Name: "GatherGrad", Op: op.GatherGrad{Axis: 0, Shape: []int{4, 5}}, In: ts{rnd(1, 2, 3, 5), idx}},
		{Name: "GatherElements", Op: op.GatherElements{Axis: 1}, In: ts{rnd(1, 2, 4), idx}},
		{Name: "GatherND", Op: op.GatherND{}, In: ts{rnd(1, 3, 3, 2), tensor.From([]int64{0, 1, -1, 0, 0, 1}, 3, 2)}},
		{Name: "GatherND/batch", Op: op.GatherND{BatchDims: 1}, In: ts{rnd(1, 2, 3, 2), tensor.From([]int64{0, 2}, 2, 1)}},
		{Name: "GatherNDGrad", Op: op.GatherNDGrad{Shape: []int{3, 3, 2}}, In: ts{rnd(1, 3, 2), tensor.From([]int64{0, 1, -1, 0, 0, 1}, 3, 2)}},
		{Name: "ScatterElements", Op: op.ScatterElements{Axis: 1}, In: ts{rnd(1, 2, 4), tensor.From([]int64{0, 3, 2, 1, 0, 3}, 2, 3), rnd(2, 2, 3)}},
		{Name: "ScatterElements/add", Op: op.ScatterElements{Axis: 1, Reduction: "add"}, In: ts{rnd(1, 2, 4), idx, rnd(2, 2, 3)}},
		{Name: "ScatterND", Op: op.ScatterND{}, In: ts{rnd(1, 4, 3), tensor.From([]int64{2, 0}, 2, 1), rnd(2, 2, 3)}},
		{Name: "ScatterND/add", Op: op.ScatterND{Reduction: "add"}, In: ts{rnd(1, 4, 3), tensor.From([]int64{2, 2}, 2, 1), rnd(2, 2, 3)}},
		{Name: "TopK", Op: op.TopK{Axis: 1}, Outputs: 2, In: ts{distinct(1, 2, 5, 2), n(3)}},
		{Name: "TopK/values only", Op: op.TopK{Axis: 1, Smallest: true}, In: ts{distinct(1, 2, 5), n(2)}},
		{Name: "CumSum", Op: op.CumSum{Exclusive: true}, In: ts{rnd(1, 2, 3, 2), tensor.Scalar[int64](1)}},
		{Name: "CumSum/reverse", Op: op.CumSum{Reverse: true}, In: ts{rnd(1, 2, 3, 2), tensor.Scalar[int64](-1)}},
		{Name: "Trilu", Op: op.Trilu{Lower: true}, In: ts{rnd(1, 2, 3, 4), tensor.Scalar[int64](1)}},
		{Name: "ReverseSequence", Op: op.ReverseSequence{TimeAxis: 1}, In: ts{rnd(1, 2, 4, 2), n(3, 2)}},
		{Name: "DepthToSpace", Op: op.DepthToSpace{BlockSize: 2}, In: ts{rnd(1, 2, 8, 2, 3)}},
		{Name: "DepthToSpace/CRD", Op: op.DepthToSpace{BlockSize: 2, CRD: true}, In: ts{rnd(1, 2, 8, 2, 3)}},
		{Name: "SpaceToDepth", Op: op.SpaceToDepth{BlockSize: 2}, In: ts{rnd(1, 2, 3, 4, 6)}},
	}
	x, up := rnd(1, 1, 2, 4, 5), fs(1, 1, 2, 1.5)
	for _, r := range []struct {
		name string
		op   op.Resize
		in   ts
	}{
		{"nearest", op.Resize{Coordinate: "asymmetric", Nearest: "floor"}, ts{x, nil, up}},
		{"linear", op.Resize{Mode: "linear"}, ts{x, nil, up}},
		{"linear sizes", op.Resize{Mode: "linear", Coordinate: "align_corners"}, ts{x, nil, nil, n(1, 2, 7, 3)}},
		{"cubic", op.Resize{Mode: "cubic", ExcludeOutside: true}, ts{x, nil, up}},
		{"antialias", op.Resize{Mode: "cubic", Antialias: true, Axes: []int{3, 2}}, ts{x, nil, fs(0.5, 0.6)}},
		{"crop", op.Resize{Mode: "linear", Coordinate: "tf_crop_and_resize", Axes: []int{2, 3}, Extrapolation: 3}, ts{x, fs(-0.2, 0.1, 0.8, 1.3), nil, n(4, 6)}},
	} {
		cases = append(cases, gradcheck.Case{Name: "Resize/" + r.name, Op: r.op, In: r.in, Wrt: []int{0}})
		y, err := r.op.Eval(r.in)
		if err != nil {
			t.Fatal(r.name, err)
		}
		in := append(ts{rnd(2, y[0].Shape()...)}, r.in[1:]...)
		cases = append(cases, gradcheck.Case{Name: "ResizeGrad/" + r.name, Op: op.ResizeGrad{Resize: r.op, Shape: x.Shape()}, In: in, Wrt: []int{0}})
	}
	grid := gradcheck.Uniform(5, -1.3, 1.3, 1, 3, 2, 2)
	for _, g := range []op.GridSample{{}, {Mode: "cubic", Padding: "reflection"}, {Mode: "nearest", Padding: "border", AlignCorners: true}} {
		cases = append(cases, gradcheck.Case{Name: "GridSample/" + g.Mode, Op: g, In: ts{x, grid}, Wrt: []int{0}},
			gradcheck.Case{Name: "GridSampleGrad/" + g.Mode, Op: op.GridSampleGrad{GridSample: g, Shape: x.Shape()}, In: ts{rnd(2, 1, 2, 3, 2), grid}, Wrt: []int{0}})
	}
	gradcheck.Run(t, cases)
}
