package native

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// Every lowering against the operator's reference, on shapes whose channels do
// not fill vectors, in both orders: a convolution in front makes its operand
// channels-last.
func TestLowerings_MatchEval(t *testing.T) {
	f32 := func(shape ...int) ir.Type { return ir.MakeType(tensor.Float32, shape...) }
	image := f32(2, 5, 9, 7)
	k := func(b *ir.Builder, v ...int) *ir.Value { return b.ConstInts("k", v...) }
	pool := func(kernel, stride, pad int) op.Pool {
		return op.Pool{Kernel: []int{kernel, kernel}, Window: op.Window{Strides: []int{stride, stride}, Pads: []int{pad, pad, pad, pad}}}
	}
	unary := func(o ir.Op) func(*ir.Builder, []*ir.Value) *ir.Value {
		return func(b *ir.Builder, x []*ir.Value) *ir.Value { return b.Op(o, "y", x...) }
	}
	references := map[string]string{ // cases that no kernel covers
		"gemm, scaled":                "rare",
		"matmul, broadcast":           "rare",
		"layer norm, scale broadcast": "rare",
	}
	for _, c := range []struct {
		name  string
		in    []ir.Type
		build func(b *ir.Builder, x []*ir.Value) *ir.Value
	}{
		{"leaky relu", []ir.Type{image}, unary(op.LeakyRelu{Alpha: 0.1})},
		{"leaky relu gradient", []ir.Type{image, image}, unary(op.LeakyReluGrad{Alpha: 0.1})},
		{"elu", []ir.Type{image}, unary(op.Elu{Alpha: 1})},
		{"gelu", []ir.Type{image}, unary(op.Gelu{})},
		{"gelu tanh", []ir.Type{image}, unary(op.Gelu{Tanh: true})},
		{"gelu gradient", []ir.Type{image, image}, unary(op.GeluGrad{})},
		{"hard sigmoid", []ir.Type{image}, unary(op.HardSigmoid{Alpha: 0.2, Beta: 0.5})},
		{"hard sigmoid gradient", []ir.Type{image, image}, unary(op.HardSigmoidGrad{Alpha: 0.2, Beta: 0.5})},
		{"hard swish", []ir.Type{image}, unary(op.HardSwish{})},
		{"hard swish gradient", []ir.Type{image, image}, unary(op.HardSwishGrad{})},
		{"swish", []ir.Type{image}, unary(op.Swish{Alpha: 1})},
		{"swish gradient", []ir.Type{image, image}, unary(op.SwishGrad{Alpha: 1})},
		{"sigmoid", []ir.Type{image}, unary(op.Sigmoid{})},
		{"tanh", []ir.Type{image}, unary(op.Tanh{})},
		{"erf", []ir.Type{image}, unary(op.Erf{})},
		{"softplus", []ir.Type{image}, unary(op.Softplus{})},
		{"add", []ir.Type{image, image}, unary(op.Add{})},
		{"subtract a scalar from", []ir.Type{f32(), image}, unary(op.Sub{})},
		{"multiply per channel", []ir.Type{image, f32(1, 5, 1, 1)}, unary(op.Mul{})},
		{"divide per channel, small first", []ir.Type{f32(5, 1, 1), image}, unary(op.Sub{})},
		{"add along the last axis", []ir.Type{f32(3, 4, 6), f32(6)}, unary(op.Add{})},
		{"multiply per row", []ir.Type{f32(3, 4, 6), f32(3, 4, 1)}, unary(op.Mul{})},
		{"squeeze-excite", []ir.Type{image, f32(2, 5, 1, 1)}, unary(op.Mul{})},
		{"clip", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Clip{}, "y", x[0], b.ConstF32("lo", -0.5), b.ConstF32("hi", 1))
		}},
		{"add, broadcast both ways", []ir.Type{f32(3, 1, 6), f32(4, 1)}, unary(op.Add{})},
		{"add scalars", []ir.Type{f32(), f32(1)}, unary(op.Add{})},
		{"multiply along the height", []ir.Type{image, f32(9, 1)}, unary(op.Mul{})},
		{"multiply along height and width", []ir.Type{image, f32(9, 7)}, unary(op.Mul{})},
		{"multiply by an image", []ir.Type{f32(1, 5, 9, 7), f32(5, 9, 7)}, unary(op.Mul{})},
		{"multiply by a map", []ir.Type{image, f32(2, 1, 9, 7)}, unary(op.Mul{})},
		{"add long rows", []ir.Type{f32(3, 3000), f32(3000)}, unary(op.Add{})},
		{"multiply long rows", []ir.Type{f32(3, 3000), f32(3, 1)}, unary(op.Mul{})},
		{"max of three", []ir.Type{image, image, f32(5, 1, 1)}, unary(op.Max{})},
		{"min of one", []ir.Type{image}, unary(op.Min{})},
		{"sum of four", []ir.Type{image, image, image, f32()}, unary(op.Sum{})},
		{"mean of three", []ir.Type{image, image, image}, unary(op.Mean{})},
		{"prelu", []ir.Type{image, f32(5, 1, 1)}, unary(op.PRelu{})},
		{"prelu with one slope", []ir.Type{image, f32(1)}, unary(op.PRelu{})},
		{"less", []ir.Type{image, image}, unary(op.Less{})},
		{"less or equal, then not", []ir.Type{image, f32(5, 1, 1)}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Not{}, "y", b.Op(op.LessOrEqual{}, "p", x...))
		}},
		{"logic", []ir.Type{image, image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			p, q := b.Op(op.Greater{}, "p", x...), b.Op(op.GreaterOrEqual{}, "q", x[0], b.ConstF32("c", 0.5))
			return b.Op(op.Xor{}, "y", b.Op(op.And{}, "r", p, q), b.Op(op.Or{}, "s", p, b.Op(op.Equal{}, "e", x[0], x[0])))
		}},
		{"where", []ir.Type{image, image, f32(5, 1, 1)}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Where{}, "y", b.Op(op.Less{}, "p", x[0], b.ConstF32("zero", 0)), x[1], x[2])
		}},
		{"where over a mask", []ir.Type{f32(2, 3, 4, 5), f32(4, 5)}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Where{}, "y", b.Op(op.Less{}, "p", x[1], b.ConstF32("zero", 0)), x[0], b.ConstF32("low", float32(math.Inf(-1))))
		}},
		{"cast to truth and back", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Cast{To: tensor.Float32}, "y", b.Op(op.Cast{To: tensor.Bool}, "p", b.Op(op.Relu{}, "r", x[0])))
		}},
		{"cast to integers", []ir.Type{image}, unary(op.Cast{To: tensor.Int64})},
		{"cast to integers and back", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Cast{To: tensor.Float32}, "y", b.Op(op.Cast{To: tensor.Int32}, "i", x[0]))
		}},
		{"square", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value { return b.Op(op.Pow{}, "y", x[0], b.ConstF32("k", 2)) }},
		{"power", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Pow{}, "y", b.Op(op.Abs{}, "a", x[0]), b.ConstF32("k", 1.5))
		}},
		{"thresholded relu", []ir.Type{image}, unary(op.ThresholdedRelu{Alpha: 0.5})},
		{"max pool", []ir.Type{image}, unary(op.MaxPool{Pool: pool(3, 2, 1)})},
		{"average pool", []ir.Type{image}, unary(op.AveragePool{Pool: pool(3, 2, 1)})},
		{"average pool with padding", []ir.Type{image}, unary(op.AveragePool{Pool: pool(3, 2, 1), CountIncludePad: true})},
		{"global average pool", []ir.Type{image}, unary(op.GlobalAveragePool{})},
		{"depthwise", []ir.Type{image, f32(5, 1, 3, 3)}, unary(op.Conv{Group: 5, Window: op.Window{Strides: []int{2, 1}, Pads: []int{1, 0, 1, 2}}})},
		{"grouped, dilated", []ir.Type{f32(2, 6, 9, 7), f32(4, 3, 3, 2)}, unary(op.Conv{Group: 2, Window: op.Window{Dilations: []int{2, 3}}})},
		{"1-D", []ir.Type{f32(2, 5, 20), f32(7, 5, 3)}, unary(op.Conv{Window: op.Window{Pads: []int{1, 1}}})},
		{"3-D", []ir.Type{f32(1, 2, 4, 5, 6), f32(3, 2, 2, 3, 2)}, unary(op.Conv{})},
		{"transposed", []ir.Type{image, f32(5, 4, 3, 3)}, unary(op.ConvTranspose{Window: op.Window{Strides: []int{2, 2}, Pads: []int{1, 1, 1, 1}}, OutputPadding: []int{1, 1}})},
		{"transposed depthwise", []ir.Type{image, f32(5, 1, 3, 3)}, unary(op.ConvTranspose{Group: 5, Window: op.Window{Strides: []int{2, 2}}})},
		{"depthwise weight gradient", []ir.Type{image, image}, unary(op.ConvGradWeight{Group: 5, Kernel: []int{3, 3}, Window: op.Window{Pads: []int{1, 1, 1, 1}}})},
		{"depthwise 1-D", []ir.Type{f32(2, 5, 20), f32(5, 1, 3)}, unary(op.Conv{Group: 5, Window: op.Window{Pads: []int{1, 1}}})},
		{"3-D, strided", []ir.Type{f32(1, 4, 6, 5, 7), f32(6, 2, 3, 2, 3)}, unary(op.Conv{Group: 2, Window: op.Window{Strides: []int{2, 1, 2}, Pads: []int{1, 0, 1, 1, 1, 0}}})},
		{"transposed 3-D", []ir.Type{f32(1, 4, 3, 3, 4), f32(4, 3, 2, 3, 2)}, unary(op.ConvTranspose{Window: op.Window{Strides: []int{2, 1, 1}}})},
		{"gemm", []ir.Type{f32(6, 5), f32(9, 5), f32(9)}, unary(op.Gemm{TransB: true})},
		{"gemm, both transposed", []ir.Type{f32(5, 6), f32(9, 5)}, unary(op.Gemm{TransA: true, TransB: true})},
		{"gemm, scaled", []ir.Type{f32(6, 5), f32(5, 9), f32(6, 1)}, unary(op.Gemm{Alpha: 0.5, Beta: 2})},
		{"matmul", []ir.Type{f32(3, 4, 6), f32(6, 5)}, unary(op.MatMul{})},
		{"matmul, batched", []ir.Type{f32(2, 3, 4, 6), f32(2, 3, 6, 5)}, unary(op.MatMul{})},
		{"matmul, broadcast", []ir.Type{f32(2, 1, 4, 6), f32(3, 6, 5)}, unary(op.MatMul{})},
		{"matmul, vector", []ir.Type{f32(3, 4, 6), f32(6)}, unary(op.MatMul{})},
		{"matmul of vectors", []ir.Type{f32(6), f32(6)}, unary(op.MatMul{})},
		{"matmul, then relu", []ir.Type{f32(3, 4, 6), f32(6, 5)}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Relu{}, "y", b.Op(op.MatMul{}, "p", x...))
		}},
		{"convolution, then clip", []ir.Type{image, f32(4, 5, 3, 3), f32(4)}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Clip{}, "y", b.Op(op.Conv{}, "p", x...), b.ConstF32("lo", -1), b.ConstF32("hi", 2))
		}},
		{"depthwise convolution, then relu", []ir.Type{image, f32(5, 1, 3, 3)}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Relu{}, "y", b.Op(op.Conv{Group: 5}, "p", x...))
		}},
		{"transposed convolution, then relu", []ir.Type{image, f32(5, 4, 3, 3), f32(4)}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Relu{}, "y", b.Op(op.ConvTranspose{}, "p", x...))
		}},
		{"sum that outlives its operands", []ir.Type{image, image, image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			p, q := b.Op(op.MaxPool{Pool: pool(3, 1, 1)}, "p", x[0]), b.Op(op.MaxPool{Pool: pool(3, 1, 1)}, "q", x[1])
			s := b.Op(op.Sum{}, "s", p, x[2], q)
			return b.Op(op.MaxPool{Pool: pool(3, 1, 1)}, "y", b.Op(op.Sub{}, "d", b.Op(op.Exp{}, "e", s), q))
		}},
		{"softmax", []ir.Type{f32(3, 4, 6)}, unary(op.Softmax{Axis: -1})},
		{"softmax of channels", []ir.Type{image}, unary(op.Softmax{Axis: 1})},
		{"softmax of an inner axis", []ir.Type{image}, unary(op.Softmax{Axis: 2})},
		{"softmax of the first axis", []ir.Type{f32(6, 5)}, unary(op.Softmax{Axis: 0})},
		{"softmax, flattened", []ir.Type{image}, unary(op.Softmax{Axis: 2, Flatten: true})},
		{"log-softmax of channels", []ir.Type{image}, unary(op.LogSoftmax{Axis: 1})},
		{"layer norm over two axes, no bias", []ir.Type{f32(3, 4, 6), f32(4, 6)}, unary(op.LayerNormalization{Axis: 1, Epsilon: 1e-5})},
		{"layer norm, mean", []ir.Type{f32(3, 4, 6), f32(6), f32(6)}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Multi(op.LayerNormalization{Axis: -1, Epsilon: 1e-5}, "y", 3, x...)[1]
		}},
		{"layer norm, scale broadcast", []ir.Type{f32(3, 4, 6), f32(1)}, unary(op.LayerNormalization{Axis: -1, Epsilon: 1e-5})},
		{"instance norm", []ir.Type{image, f32(5), f32(5)}, unary(op.InstanceNormalization{Epsilon: 1e-5})},
		{"group norm", []ir.Type{f32(2, 6, 4, 3), f32(6), f32(6)}, unary(op.GroupNormalization{Groups: 3, Epsilon: 1e-5})},
		{"group norm, scale per group", []ir.Type{f32(2, 6, 4, 3), f32(3), f32(3)}, unary(op.GroupNormalization{Groups: 3, PerGroup: true, Epsilon: 1e-5})},
		{"layer norm", []ir.Type{f32(3, 4, 6), f32(6), f32(6)}, unary(op.LayerNormalization{Axis: -1, Epsilon: 1e-5})},
		{"sum of all but channels", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.ReduceSum{}, "y", x[0], k(b, 0, 2, 3))
		}},
		{"mean of the image", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.ReduceMean{}, "y", x[0], k(b, 2, 3))
		}},
		{"global max pool", []ir.Type{image}, unary(op.GlobalMaxPool{})},
		{"sum of rows of 3000", []ir.Type{f32(4, 3000)}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.ReduceSum{}, "y", x[0], k(b, 0))
		}},
		{"mean of 300 rows", []ir.Type{f32(2, 300, 5)}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.ReduceMean{KeepDims: true}, "y", x[0], k(b, 1))
		}},
		{"log of sum", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.ReduceLogSum{}, "y", b.Op(op.Abs{}, "a", x[0]), k(b, 1))
		}},
		{"split", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			y := b.Multi(op.Split{Axis: 1, NumOutputs: 3}, "y", 3, x[0])
			return b.Op(op.Concat{Axis: 1}, "z", y[2], y[0], y[1])
		}},
		{"split of rows", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Multi(op.Split{Axis: 2}, "y", 2, x[0], k(b, 4, 5))[1]
		}},
		{"gather", []ir.Type{f32(7, 5)}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Gather{}, "y", x[0], k(b, 3, -1, 0, 3))
		}},
		{"gather channels", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Gather{Axis: 1}, "y", x[0], k(b, 3, -1))
		}},
		{"gather gradient", []ir.Type{f32(3, 100)}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.GatherGrad{Shape: []int{5, 100}}, "y", x[0], k(b, 3, -1, 3))
		}},
		{"resize nearest", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Resize{Coordinate: "asymmetric", Nearest: "floor"}, "y", x[0], nil, b.Const("s", tensor.From([]float32{1, 1, 2, 3}, 4)))
		}},
		{"resize linear", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Resize{Mode: "linear", Axes: []int{3, 2}}, "y", x[0], nil, nil, k(b, 11, 5))
		}},
		{"resize cubic gradient", []ir.Type{f32(2, 5, 5, 11)}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.ResizeGrad{Resize: op.Resize{Mode: "cubic"}, Shape: []int{2, 5, 9, 7}}, "y", x[0], nil, nil, k(b, 2, 5, 5, 11))
		}},
		{"depth to space", []ir.Type{f32(2, 8, 3, 5)}, unary(op.DepthToSpace{BlockSize: 2})},
		{"pixel shuffle", []ir.Type{f32(2, 8, 3, 5)}, unary(op.DepthToSpace{BlockSize: 2, CRD: true})},
		{"space to depth", []ir.Type{f32(2, 3, 4, 6)}, unary(op.SpaceToDepth{BlockSize: 2})},
		{"tile", []ir.Type{f32(2, 5, 3, 4)}, func(b *ir.Builder, x []*ir.Value) *ir.Value { return b.Op(op.Tile{}, "y", x[0], k(b, 2, 1, 3, 2)) }},
		{"transpose heads", []ir.Type{f32(2, 7, 3, 8)}, unary(op.Transpose{Perm: []int{0, 2, 1, 3}})},
		{"transpose a long matrix", []ir.Type{f32(300, 250)}, unary(op.Transpose{})},
		{"shuffle channels", []ir.Type{f32(2, 6, 5, 4)}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			y := b.Op(op.Transpose{Perm: []int{0, 2, 1, 3, 4}}, "t", b.Op(op.Reshape{}, "r", x[0], k(b, 2, 2, 3, 5, 4)))
			return b.Op(op.Reshape{}, "y", y, k(b, 2, 6, 5, 4))
		}},
		{"dropout", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Dropout{Seed: 3}, "y", x[0], b.ConstF32("r", 0.3), b.Const("t", tensor.Scalar(true)), b.Const("s", tensor.Scalar(int64(5))))
		}},
		{"dropout mask", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			y := b.Multi(op.Dropout{Seed: 3}, "y", 2, x[0], b.ConstF32("r", 0.3), b.Const("t", tensor.Scalar(true)), b.Const("s", tensor.Scalar(int64(5))))
			return b.Op(op.Where{}, "z", y[1], x[0], y[0])
		}},
		{"expand along an inner axis", []ir.Type{f32(2, 5, 1, 7)}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Relu{}, "z", b.Op(op.Expand{}, "y", x[0], k(b, 3, 2, 5, 4, 7)))
		}},
		{"slice", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Slice{}, "y", x[0], k(b, 1, 8), k(b, 5, 0), k(b, 1, 2), k(b, 2, -3))
		}},
		{"pad", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Pad{}, "y", x[0], k(b, 0, 2, 1, -1, 1, 0, -2, 3), b.ConstF32("v", 0.5))
		}},
		{"concat", []ir.Type{image, f32(2, 3, 9, 7)}, unary(op.Concat{Axis: 1})},
		{"concat of rows", []ir.Type{image, f32(2, 5, 2, 7)}, unary(op.Concat{Axis: 2})},
		{"transpose", []ir.Type{image}, unary(op.Transpose{Perm: []int{0, 2, 3, 1}})},
		{"flatten", []ir.Type{image}, unary(op.Flatten{Axis: 1})},
		{"expand", []ir.Type{f32(2, 5, 1, 1)}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Expand{}, "y", x[0], k(b, 2, 5, 3, 4))
		}},
		{"fake-quantize rows", []ir.Type{f32(6, 3, 3, 3), f32(6)}, unary(op.FakeQuantizeSymmetric{Low: -127, High: 127, Axis: 0})},
		{"fake-quantize asymmetric", []ir.Type{image, f32(1), f32(1)}, unary(op.FakeQuantizeAsymmetric{Levels: 256, Axis: -1})},
		{"fake-quantize asymmetric channels", []ir.Type{image, f32(5), f32(5)}, unary(op.FakeQuantizeAsymmetric{Levels: 16, Axis: 1})},
		{"fake-quantize asymmetric rows", []ir.Type{f32(6, 3, 3, 3), f32(6), f32(6)}, unary(op.FakeQuantizeAsymmetric{Levels: 256, Axis: 0})},
		{"fake-quantize asymmetric gradient", []ir.Type{image, f32(5), f32(5), image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			d := b.Multi(op.FakeQuantizeAsymmetricGrad{Levels: 16, Axis: 1}, "d", 3, x...)
			return b.Op(op.Sum{}, "y", d[0], b.Op(op.Reshape{}, "l", d[1], k(b, 5, 1, 1)), b.Op(op.Reshape{}, "w", d[2], k(b, 5, 1, 1)))
		}},
		{"fake-quantize channels", []ir.Type{image, f32(5)}, unary(op.FakeQuantizeSymmetric{Low: -128, High: 127, Axis: 1})},
	} {
		for _, last := range []bool{false, true} {
			if last && (len(c.in[0].Dims) != 4 || c.in[0].Dims[1] == ir.Len(1)) {
				continue
			}
			t.Run(fmt.Sprintf("%s/channels-last=%v", c.name, last), func(t *testing.T) {
				matchEval(t, references[c.name], c.in, last, c.build)
			})
		}
	}
}

// Every reduction over every set of axes.
func TestReductions_MatchEval(t *testing.T) {
	for _, o := range []ir.Op{
		op.ReduceSum{}, op.ReduceSum{KeepDims: true}, op.ReduceMean{}, op.ReduceMax{}, op.ReduceMin{KeepDims: true},
		op.ReduceL1{}, op.ReduceL2{KeepDims: true}, op.ReduceSumSquare{},
	} {
		for set := 1; set < 16; set++ {
			for _, last := range []bool{false, true} {
				var axes []int
				for i := range 4 {
					if set>>i&1 == 1 {
						axes = append(axes, i)
					}
				}
				t.Run(fmt.Sprintf("%s/axes=%v/channels-last=%v", o.Kind(), axes, last), func(t *testing.T) {
					matchEval(t, "", []ir.Type{ir.MakeType(tensor.Float32, 2, 5, 9, 7)}, last, func(b *ir.Builder, x []*ir.Value) *ir.Value {
						return b.Op(o, "y", x[0], b.ConstInts("axes", axes...))
					})
				})
			}
		}
	}
}

// matchEval compares a graph of one node or a few with the reference. With last
// the first operand is channels-last. No node may run by the reference
// evaluator unless there is a reason.
func matchEval(t *testing.T, reference string, types []ir.Type, last bool, build func(b *ir.Builder, x []*ir.Value) *ir.Value) {
	t.Helper()
	g := ir.New(t.Name())
	b := ir.NewBuilder(g, "")
	var in []*ir.Value
	for i, ty := range types {
		in = append(in, g.AddInput(fmt.Sprint("x", i), ty))
	}
	x := append([]*ir.Value(nil), in...)
	if last { // the identity, as a 1×1 convolution
		ch := types[0].MustShape()[1]
		w := tensor.New(tensor.Float32, ch, ch, 1, 1)
		for i := range ch {
			w.F32()[i*ch+i] = 1
		}
		x[0] = b.Op(op.Conv{}, "identity", x[0], b.Const("w", w))
	}
	y := build(b, x)
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	g.Outputs = []*ir.Value{y}
	p, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r := rand.New(rand.NewPCG(5, 6))
	var feed []*tensor.Tensor
	for i := range in {
		for j := range p.Input(i).F32() {
			p.Input(i).F32()[j] = float32(r.NormFloat64())
		}
		feed = append(feed, p.Input(i))
	}
	want, err := ir.Eval(t.Context(), g, feed)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Info().Steps {
		if s.Kernel == "reference" && reference == "" {
			t.Errorf("node %s (%s) runs by the reference evaluator", s.Node, s.Kind)
		}
	}
	got, err := p.Output(0).Float64s()
	if err != nil {
		t.Fatal(err)
	}
	w, _ := want[0].Float64s()
	for i := range w {
		// Sums have at most 300 terms of size about 1, functions are
		// good to 4 ulp: 300·2⁻²⁴ is 2e-5.
		if d := math.Abs(got[i] - w[i]); !(d <= 2e-5*(1+math.Abs(w[i]))) && got[i] != w[i] {
			t.Fatalf("element %d: got %v, want %v (steps %+v)", i, got[i], w[i], p.Info().Steps)
		}
	}
}
