package enginetest

import (
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// Skips lists the operators without a case, with the reason.
func Skips() map[string]string {
	const (
		data   = "the shape of its result depends on data, which compiled graphs do not have"
		random = "it draws random numbers, and is not evaluated"
	)
	return map[string]string{
		"Bernoulli":         random,
		"Compress":          data,
		"NonMaxSuppression": data,
		"NonZero":           data,
		"RandomUniformLike": random,
	}
}

// cases returns the graphs for a batch of n.
func cases(n int) []testCase {
	var l []testCase
	l = append(l, elementwiseCases(n)...)
	l = append(l, gradientCases(n)...)
	l = append(l, imageCases(n)...)
	l = append(l, matrixCases(n)...)
	l = append(l, recurrentCases(n)...)
	l = append(l, normCases(n)...)
	l = append(l, reduceCases(n)...)
	l = append(l, moveCases(n)...)
	l = append(l, indexCases(n)...)
	l = append(l, shapeCases()...)
	l = append(l, quantizeCases(n)...)
	l = append(l, sparsityCases()...)
	return l
}

func elementwiseCases(n int) []testCase {
	img, row := x(n, 5, 4, 3), x(n, 70)
	var l []testCase
	for _, o := range []ir.Op{
		op.Abs{}, op.Asinh{}, op.Atan{}, op.Ceil{}, op.Cos{}, op.Erf{}, op.Exp{}, op.Floor{}, op.Identity{}, op.Mish{},
		op.Neg{}, op.Relu{}, op.Round{}, op.Sigmoid{}, op.Sign{}, op.Sin{}, op.Sinh{}, op.Cosh{}, op.Softplus{}, op.Softsign{},
		op.Tanh{}, op.HardSwish{}, op.Celu{Alpha: 0.7}, op.Elu{Alpha: 1.2}, op.Gelu{}, op.Gelu{Tanh: true},
		op.HardSigmoid{Alpha: 0.2, Beta: 0.5}, op.LeakyRelu{Alpha: 0.1}, op.Selu{Alpha: 1.67, Gamma: 1.05},
		op.Shrink{Bias: 0.1, Lambda: 0.4}, op.Swish{Alpha: 1}, op.Swish{Alpha: 1.5}, op.ThresholdedRelu{Alpha: 0.3},
		op.IsNaN{}, op.IsInf{},
	} {
		l = append(l, node(o, img), node(o, row))
	}
	for _, o := range []ir.Op{op.Acos{}, op.Asin{}, op.Atanh{}} {
		l = append(l, node(o, between(-0.9, 0.9, n, 5, 4, 3)))
	}
	for _, o := range []ir.Op{op.Log{}, op.Sqrt{}, op.Reciprocal{}} {
		l = append(l, node(o, between(0.5, 3, n, 5, 4, 3)), node(o, between(0.5, 3, 17)))
	}
	l = append(l, node(op.Acosh{}, between(1.1, 3, n, 7)), node(op.Tan{}, between(-1, 1, n, 7)))
	// Two operands, in every way they broadcast.
	for _, o := range []ir.Op{op.Add{}, op.Sub{}, op.Mul{}, op.Div{}, op.Max{}, op.Min{}, op.Less{}, op.LessOrEqual{}, op.Greater{}, op.GreaterOrEqual{}, op.Equal{}, op.PRelu{}} {
		away := between(0.5, 2, n, 5, 4, 3)
		small := func(shape ...int) operand { return between(0.5, 2, shape...) }
		l = append(l, node(o, img, away), node(o, img, small()), node(o, img, small(5, 1, 1)), node(o, img, small(3)),
			node(o, img, small(4, 1)), node(o, row, small(70)), node(o, row, small(n, 1)))
		if o.Kind() == "PRelu" { // one way only
			continue
		}
		l = append(l, node(o, small(1, 5, 1, 1), away), node(o, x(n, 1, 4), small(6, 1)))
	}
	l = append(l,
		node(op.Add{}, ints(tensor.Int64, -9, 9, n, 4), ints(tensor.Int64, -9, 9, 4)),
		node(op.Mul{}, ints(tensor.Int32, -9, 9, n, 4), ints(tensor.Int32, -9, 9, 1)),
		node(op.Equal{}, index(3, n, 4), index(3, 4)),
		node(op.Max{}, img, img, x(5, 1, 1)), node(op.Max{}, img), node(op.Sum{}, img, x(5, 1, 1), img, img), node(op.Sum{}, row),
		node(op.Mean{}, img, img, x(1)), node(op.Min{}, row, row, row),
		node(op.Mod{}, ints(tensor.Int64, -9, 9, n, 4), ints(tensor.Int64, 1, 5, 4)), node(op.Mod{Fmod: true}, row, between(0.5, 2, 70)),
		node(op.Pow{}, img, scalar[float32](2)), node(op.Pow{}, img, scalar[float32](3)), node(op.Pow{}, between(0.5, 2, n, 5, 4, 3), scalar[float32](-0.5)),
		node(op.Pow{}, between(0.5, 2, n, 7), x(7)), node(op.Pow{}, between(0.5, 2, n, 7), constant[float32](0.5)),
		node(op.Clip{}, img, scalar[float32](-0.5), scalar[float32](1)), node(op.Clip{}, img, omitted, scalar[float32](1)), node(op.Clip{}, row, x(), omitted),
		node(op.Where{}, truth(n, 5, 4, 3), img, img), node(op.Where{}, truth(4, 3), img, scalar[float32](-1)), node(op.Where{}, truth(n, 4), index(9, 4), index(9, 1)),
		node(op.And{}, truth(n, 5), truth(5)), node(op.Or{}, truth(n, 5), truth(n, 5)), node(op.Xor{}, truth(n, 5), truth(n, 1)), node(op.Not{}, truth(n, 5)),
		node(op.BitShift{}, ints(tensor.Uint32, 0, 9, n, 4), ints(tensor.Uint32, 0, 5, 4)), node(op.BitwiseNot{}, index(99, n, 4)),
		node(op.BitwiseAnd{}, index(99, n, 4), index(99, 4)), node(op.BitwiseOr{}, index(99, n, 4), index(99, 4)), node(op.BitwiseXor{}, index(99, n, 4), index(99, 4)),
		node(op.Cast{To: tensor.Int64}, img), node(op.Cast{To: tensor.Bool}, row), node(op.Cast{To: tensor.Float32}, index(99, n, 4)),
		node(op.Cast{To: tensor.Float32}, truth(n, 5, 4, 3)), node(op.Cast{To: tensor.Float64}, row), node(op.Cast{To: tensor.Int32}, index(99, n, 4)),
		node(op.Cast{To: tensor.Uint8}, between(0, 200, n, 9)), node(op.CastLike{}, img, ints(tensor.Int32, 0, 3, 1)),
		node(op.Dropout{}, img), node(op.Dropout{Seed: 3}, img, scalar[float32](0.3), scalar(true), index(9)),
		testCase{op.Dropout{Seed: 3}, []operand{row, scalar[float32](0.3), scalar(true), index(9)}, 2},
		testCase{op.Dropout{}, []operand{row}, 2},
	)
	return l
}

func gradientCases(n int) []testCase {
	img := x(n, 5, 4, 3)
	var l []testCase
	for _, o := range []ir.Op{
		op.ReluGrad{}, op.SigmoidGrad{}, op.TanhGrad{}, op.HardSwishGrad{}, op.GeluGrad{}, op.GeluGrad{Tanh: true},
		op.HardSigmoidGrad{Alpha: 0.2, Beta: 0.5}, op.LeakyReluGrad{Alpha: 0.1}, op.SwishGrad{Alpha: 1}, op.SwishGrad{Alpha: 1.5},
	} {
		l = append(l, node(o, img, img), node(o, x(n, 70), x(n, 70)))
	}
	return append(l, node(op.ClipGrad{}, img, img, scalar[float32](-0.5), scalar[float32](1)), node(op.ClipGrad{}, img, img))
}

func imageCases(n int) []testCase {
	img := x(n, 6, 7, 8)
	pads := op.Window{Pads: []int{1, 0, 1, 2}, Strides: []int{2, 1}}
	pool := func(ceil bool) op.Pool {
		return op.Pool{Kernel: []int{3, 3}, Window: op.Window{Strides: []int{2, 2}, Pads: []int{1, 1, 1, 1}}, CeilMode: ceil}
	}
	half := x(n, 6, 4, 4) // of pool
	vol, box := x(n, 6, 5, 7, 4), op.Pool{Kernel: []int{3, 2, 3}, Window: op.Window{Strides: []int{2, 1, 2}, Pads: []int{1, 0, 1, 1, 1, 0}}}
	ofBox := x(n, 6, 3, 7, 2)
	return []testCase{
		node(op.Conv{}, img, x(4, 6, 3, 3), x(4)),
		node(op.Conv{Window: pads}, img, x(4, 6, 3, 3)),
		node(op.Conv{Group: 6, Window: pads}, img, x(6, 1, 3, 3), x(6)),
		node(op.Conv{Group: 6}, img, x(12, 1, 3, 3)),
		node(op.Conv{Group: 2, Window: op.Window{Dilations: []int{2, 1}}}, img, x(4, 3, 3, 3)),
		node(op.Conv{}, x(n, 3, 9), x(4, 3, 3)),
		node(op.Conv{}, x(n, 2, 4, 5, 3), x(3, 2, 2, 3, 2), x(3)),
		node(op.ConvTranspose{}, img, x(6, 4, 3, 3), x(4)),
		node(op.ConvTranspose{Group: 6, Window: op.Window{Strides: []int{2, 2}}}, img, x(6, 1, 3, 3)),
		node(op.ConvTranspose{}, x(n, 2, 3, 3, 3), x(2, 3, 2, 2, 2)),
		node(op.ConvGradWeight{Kernel: []int{3, 3}}, img, x(n, 4, 5, 6)),
		node(op.ConvGradWeight{Group: 6, Kernel: []int{3, 3}}, img, x(n, 6, 5, 6)),
		node(op.ConvInteger{}, ints(tensor.Uint8, 0, 255, n, 2, 5, 5), ints(tensor.Int8, -9, 9, 3, 2, 3, 3), scalar(uint8(7))),
		node(op.QLinearConv{}, ints(tensor.Uint8, 0, 255, n, 2, 5, 5), scalar[float32](0.1), scalar(uint8(7)), ints(tensor.Int8, -9, 9, 3, 2, 3, 3),
			scalar[float32](0.05), scalar(int8(0)), scalar[float32](0.2), scalar(uint8(99))),
		node(op.MaxPool{Pool: pool(false)}, img), node(op.MaxPool{Pool: pool(true)}, img),
		testCase{op.MaxPool{Pool: pool(false)}, []operand{img}, 2},
		node(op.MaxPool{Pool: op.Pool{Kernel: []int{2}}}, x(n, 3, 9)),
		node(op.MaxPoolGrad{Pool: pool(false)}, img, half),
		node(op.AveragePool{Pool: pool(false)}, img), node(op.AveragePool{Pool: pool(true)}, img), node(op.AveragePool{Pool: pool(false), CountIncludePad: true}, img),
		node(op.AveragePool{Pool: pool(true), CountIncludePad: true}, img),
		node(op.AveragePoolGrad{Pool: pool(true), Spatial: []int{7, 8}}, x(n, 6, 4, 5)), node(op.AveragePoolGrad{Pool: pool(true), CountIncludePad: true, Spatial: []int{7, 8}}, x(n, 6, 4, 5)),
		node(op.AveragePoolGrad{Pool: pool(false), Spatial: []int{7, 8}}, half),
		node(op.MaxPool{Pool: box}, vol), node(op.MaxPoolGrad{Pool: box}, vol, ofBox), node(op.AveragePool{Pool: box}, vol), node(op.AveragePool{Pool: box, CountIncludePad: true}, vol),
		node(op.AveragePoolGrad{Pool: box, Spatial: []int{5, 7, 4}}, ofBox), node(op.AveragePoolGrad{Pool: box, CountIncludePad: true, Spatial: []int{5, 7, 4}}, ofBox),
		node(op.LpPool{Pool: pool(false), P: 2}, img),
		node(op.GlobalAveragePool{}, img), node(op.GlobalMaxPool{}, img), node(op.GlobalLpPool{P: 2}, img),
		node(op.LRN{Alpha: 0.1, Beta: 0.75, Bias: 1, Size: 3}, img), node(op.LRNGrad{Alpha: 0.1, Beta: 0.75, Bias: 1, Size: 3}, img, img),
		node(op.Resize{}, img, omitted, constant[float32](1, 1, 2, 2)),
		node(op.Resize{Mode: "linear", Coordinate: "align_corners"}, img, omitted, omitted, constant[int64](int64(n), 6, 5, 11)),
		node(op.Resize{Mode: "cubic", Axes: []int{2, 3}}, img, omitted, constant[float32](1.5, 0.7)),
		node(op.Resize{Mode: "linear", Axes: []int{2, 3}, Aspect: "not_larger"}, img, omitted, omitted, constant[int64](10, 10)),
		node(op.ResizeGrad{Shape: []int{n, 6, 4, 4}}, x(n, 6, 8, 8), omitted, constant[float32](1, 1, 2, 2)),
		node(op.ResizeGrad{Resize: op.Resize{Mode: "linear"}, Shape: []int{n, 6, 4, 4}}, x(n, 6, 8, 8), omitted, constant[float32](1, 1, 2, 2)),
		node(op.Upsample{}, img, omitted, constant[float32](1, 1, 2, 2)),
		node(op.DepthToSpace{BlockSize: 2}, x(n, 8, 3, 2)), node(op.DepthToSpace{BlockSize: 2, CRD: true}, x(n, 8, 3, 2)), node(op.SpaceToDepth{BlockSize: 2}, x(n, 3, 4, 6)),
		node(op.GridSample{}, img, between(-1, 1, n, 3, 4, 2)), node(op.GridSampleGrad{Shape: []int{n, 6, 7, 8}}, x(n, 6, 3, 4), between(-1, 1, n, 3, 4, 2)),
	}
}

func matrixCases(n int) []testCase {
	return []testCase{
		node(op.Gemm{}, x(n, 5), x(5, 7)), node(op.Gemm{TransB: true}, x(n, 5), x(7, 5), x(7)), node(op.Gemm{TransA: true}, x(5, n), x(5, 7), x(1)),
		node(op.Gemm{Alpha: 0.5, Beta: 2}, x(n, 5), x(5, 7), x(n, 1)),
		node(op.MatMul{}, x(n, 4, 6), x(6, 5)), node(op.MatMul{}, x(n, 2, 4, 6), x(n, 2, 6, 5)), node(op.MatMul{}, x(n, 1, 4, 6), x(2, 6, 5)),
		node(op.MatMul{}, x(6), x(n, 6, 5)), node(op.MatMul{}, x(n, 4, 6), x(6)),
		node(op.MatMulInteger{}, ints(tensor.Uint8, 0, 255, n, 4), ints(tensor.Int8, -9, 9, 4, 3)),
		node(op.QLinearMatMul{}, ints(tensor.Uint8, 0, 255, n, 4), scalar[float32](0.1), scalar(uint8(3)), ints(tensor.Uint8, 0, 255, 4, 3),
			scalar[float32](0.1), scalar(uint8(128)), scalar[float32](0.5), scalar(uint8(100))),
		node(op.Einsum{Equation: "bij,bjk->bik"}, x(n, 3, 4), x(n, 4, 2)),
		node(op.RotaryEmbedding{Heads: 2, Dim: 4}, x(n, 3, 12), x(n, 3, 2), x(n, 3, 2)),
		node(op.Attention{QHeads: 4, KVHeads: 2, Causal: true}, x(n, 3, 8), x(n, 5, 4), x(n, 5, 6), x(3, 4)),
	}
}

func normCases(n int) []testCase {
	img := x(n, 6, 4, 3)
	up := func(c int) operand { return between(0.5, 2, c) }
	training := op.BatchNormalization{Training: true, Epsilon: 1e-3, Momentum: 0.9}
	return []testCase{
		node(op.BatchNormalization{Epsilon: 1e-3}, img, x(6), x(6), x(6), up(6)), node(op.BatchNormalization{Epsilon: 1e-3}, x(n, 6), x(6), x(6), x(6), up(6)),
		testCase{training, []operand{img, x(6), x(6), x(6), up(6)}, 5},
		testCase{training, []operand{x(4*n, 6), x(6), x(6), x(6), up(6)}, 5},
		testCase{op.BatchNormGrad{Epsilon: 1e-3}, []operand{img, x(6), img, x(6), up(6)}, 3},
		testCase{op.BatchNormGrad{Epsilon: 1e-3, Frozen: true}, []operand{img, x(6), img, x(6), up(6)}, 3},
		testCase{op.BatchNormGrad{Epsilon: 1e-3}, []operand{img, x(6), img}, 3},
		testCase{op.LayerNormalization{Axis: -1, Epsilon: 1e-3}, []operand{x(n, 4, 6), x(6), x(6)}, 3},
		node(op.LayerNormalization{Axis: 1, Epsilon: 1e-3}, x(n, 4, 6), x(4, 6)), node(op.LayerNormalization{Axis: 2, Epsilon: 1e-3}, img, x(1, 3), x(1)),
		node(op.RMSNormalization{Axis: -1, Epsilon: 1e-3}, x(n, 4, 6), x(6)),
		node(op.InstanceNormalization{Epsilon: 1e-3}, img, x(6), x(6)),
		node(op.GroupNormalization{Groups: 2, Epsilon: 1e-3}, img, x(6), x(6)), node(op.GroupNormalization{Groups: 2, PerGroup: true, Epsilon: 1e-3}, img, x(2), x(2)),
		node(op.MeanVarianceNormalization{}, img), node(op.LpNormalization{Axis: 1, P: 2}, img), node(op.LpNormalization{Axis: -1, P: 1}, img),
		node(op.Softmax{Axis: -1}, x(n, 4, 6)), node(op.Softmax{Axis: 1}, img), node(op.Softmax{Axis: 2}, img), node(op.Softmax{Axis: 1, Flatten: true}, img),
		node(op.LogSoftmax{Axis: -1}, x(n, 6)), node(op.LogSoftmax{Axis: 1}, img), node(op.Hardmax{Axis: 1}, img),
		testCase{op.SoftmaxCrossEntropyLoss{}, []operand{x(n, 6), index(6, n)}, 2},
		node(op.SoftmaxCrossEntropyLoss{Reduction: "sum", HasIgnore: true, IgnoreIndex: 2}, x(n, 6), index(6, n)),
		node(op.SoftmaxCrossEntropyLoss{Reduction: "none"}, img, index(6, n, 4, 3)), node(op.SoftmaxCrossEntropyLoss{}, x(n, 6), index(6, n), up(6)),
		node(op.NegativeLogLikelihoodLoss{}, x(n, 6), index(6, n)),
		node(op.NegativeLogLikelihoodLossGrad{Classes: 6}, x(), index(6, n)),
	}
}

func reduceCases(n int) []testCase {
	img := between(0.5, 2, n, 5, 4, 3)
	var l []testCase
	for _, keep := range []bool{false, true} {
		for _, o := range []ir.Op{
			op.ReduceSum{KeepDims: keep}, op.ReduceMean{KeepDims: keep}, op.ReduceMax{KeepDims: keep}, op.ReduceMin{KeepDims: keep},
			op.ReduceL1{KeepDims: keep}, op.ReduceL2{KeepDims: keep}, op.ReduceLogSum{KeepDims: keep}, op.ReduceLogSumExp{KeepDims: keep},
			op.ReduceProd{KeepDims: keep}, op.ReduceSumSquare{KeepDims: keep},
		} {
			l = append(l, node(o, img), node(o, img, constant[int64](1)), node(o, img, constant[int64](2, 3)), node(o, img, constant[int64](0, 2, 3)),
				node(o, img, constant[int64](-1)), node(o, img, constant[int64](0, 2)), node(o, x(), constant[int64]()))
		}
	}
	return append(l, node(op.ReduceSum{NoopWithEmptyAxes: true}, img), node(op.ReduceSum{}, index(9, n, 4), constant[int64](0)),
		node(op.ArgMax{Axis: 1}, x(n, 5, 4, 3)), node(op.ArgMin{Axis: -1, KeepDims: true}, x(n, 5, 4, 3)))
}

func moveCases(n int) []testCase {
	img := x(n, 6, 4, 3)
	b := int64(n)
	return []testCase{
		node(op.Concat{Axis: 1}, img, x(n, 2, 4, 3)), node(op.Concat{Axis: -1}, img, img, x(n, 6, 4, 1)), node(op.Concat{}, index(9, n), index(9, 2)),
		testCase{op.Split{Axis: 1, NumOutputs: 4}, []operand{img}, 4}, testCase{op.Split{Axis: 2}, []operand{img, constant[int64](1, 3)}, 2},
		testCase{op.Split{NumOutputs: 2}, []operand{index(9, 2*n, 3)}, 2},
		node(op.Slice{}, img, constant[int64](1, 3), constant[int64](5, 0), constant[int64](1, 2), constant[int64](2, -1)), node(op.Slice{}, index(9, n, 4), constant[int64](0), constant[int64](1)),
		node(op.SliceGrad{Shape: []int{n, 6, 4, 3}}, x(n, 2, 4, 3), constant[int64](1), constant[int64](5), constant[int64](1), constant[int64](2)),
		node(op.Pad{}, img, constant[int64](0, 1, 0, 2, 0, 0, 3, -1)), node(op.Pad{Mode: "reflect"}, img, constant[int64](0, 0, 1, 2, 0, 0, 3, 1)),
		node(op.PadGrad{Mode: "edge", Shape: []int{n, 6, 4, 3}, Pads: []int{0, 0, 1, 2, 0, 0, 3, 1}}, x(n, 6, 8, 6)),
		node(op.Transpose{}, img), node(op.Transpose{Perm: []int{0, 2, 3, 1}}, img), node(op.Transpose{Perm: []int{0, 2, 1, 3}}, img), node(op.Transpose{}, index(9, n, 4)),
		node(op.Reshape{}, img, constant[int64](0, -1)), node(op.Flatten{Axis: 1}, img), node(op.Flatten{Axis: -1}, img),
		node(op.Squeeze{}, x(n, 6, 1, 1), constant[int64](2, 3)), node(op.Unsqueeze{}, img, constant[int64](0, -1)),
		node(op.Expand{}, x(n, 6, 1, 1), constant(b, 6, 4, 3)), node(op.Expand{}, x(4, 1), constant(b, 6, 1, 3)), node(op.Expand{}, index(9, n, 1), constant[int64](1, 4)),
		node(op.Tile{}, img, constant[int64](1, 2, 1, 3)), node(op.Trilu{}, img), node(op.Trilu{Lower: true}, x(n, 5, 4), scalar[int64](1)),
		node(op.CumSum{}, x(n, 5, 4), scalar[int64](1)), node(op.CumSum{Exclusive: true, Reverse: true}, x(n, 5), scalar[int64](1)),
		node(op.ReverseSequence{TimeAxis: 0, BatchAxis: 1}, x(5, n, 2), ints(tensor.Int64, 1, 5, n)),
	}
}

func indexCases(n int) []testCase {
	table, img := x(9, 70), x(n, 6, 4, 3)
	return []testCase{
		node(op.Gather{}, table, index(9, n, 4)), node(op.Gather{Axis: 1}, img, constant[int64](3, -1, 3)), node(op.Gather{Axis: -1}, img, ints(tensor.Int32, -3, 3)),
		node(op.GatherGrad{Shape: []int{9, 70}}, x(n, 4, 70), index(9, n, 4)), node(op.GatherGrad{Axis: 1, Shape: []int{n, 6, 4, 3}}, x(n, 2, 4, 3), index(6, 2)),
		node(op.GatherElements{Axis: 1}, x(n, 6, 4), index(6, n, 3, 4)), node(op.GatherND{BatchDims: 1}, x(n, 6, 4), index(4, n, 3, 1)),
		node(op.GatherNDGrad{BatchDims: 1, Shape: []int{n, 6, 4}}, x(n, 3, 4), index(4, n, 3, 1)),
		node(op.ScatterElements{Axis: 1, Reduction: "add"}, x(n, 6), index(6, n, 3), x(n, 3)), node(op.Scatter{ScatterElements: op.ScatterElements{Axis: 1, Reduction: "add"}}, x(n, 6), index(6, n, 3), x(n, 3)),
		node(op.ScatterND{Reduction: "add"}, x(6, 4), index(6, n, 1), x(n, 4)),
		node(op.OneHot{Axis: -1}, index(6, n), scalar[int64](6), constant[float32](0, 1)),
		testCase{op.TopK{Axis: 1}, []operand{x(n, 6, 4), constant[int64](3)}, 2},
	}
}

func shapeCases() []testCase {
	return []testCase{
		node(op.Shape{}, x(2, 6, 4)), node(op.Size{}, x(2, 6, 4)), node(op.ConstantOfShape{DType: tensor.Float32, Float: 2}, constant[int64](2, 3)),
		node(op.Range{}, scalar[int64](1), scalar[int64](9), scalar[int64](3)), node(op.EyeLike{DType: tensor.Float32, K: 1}, x(3, 4)),
	}
}

func quantizeCases(n int) []testCase {
	img, w := x(n, 5, 4, 3), x(6, 3, 2, 2)
	low, up := between(-2, -0.5, 5), between(1, 3, 5)
	one := func(lo, hi float64) operand { return between(lo, hi, 1) }
	signed, unsigned := op.FakeQuantizeSymmetric{Low: -128, High: 127, Axis: -1}, op.FakeQuantizeSymmetric{Low: 0, High: 15, Axis: 1}
	rows := op.FakeQuantizeSymmetric{Low: -127, High: 127}
	even, odd := op.FakeQuantizeAsymmetric{Levels: 256, Axis: -1}, op.FakeQuantizeAsymmetric{Levels: 15, Axis: 1}
	return []testCase{
		node(signed, img, one(1, 2)), node(unsigned, img, up), node(rows, w, between(0.5, 1, 6)), node(op.FakeQuantizeSymmetric{Low: -8, High: 7, Axis: -1, LogScale: true}, img, one(0, 1)),
		testCase{op.FakeQuantizeSymmetricGrad(signed), []operand{img, one(1, 2), img}, 2}, testCase{op.FakeQuantizeSymmetricGrad(unsigned), []operand{img, up, img}, 2},
		testCase{op.FakeQuantizeSymmetricGrad(rows), []operand{w, between(0.5, 1, 6), w}, 2},
		testCase{op.FakeQuantizeSymmetricGrad{Low: -8, High: 7, Axis: -1, LogScale: true}, []operand{img, one(0, 1), img}, 2},
		testCase{op.FakeQuantizeSymmetricGrad{Low: 0, High: 15, Axis: -1, ClipGrad: true, GradScale: 0.25}, []operand{img, one(0, 1), img}, 2},
		testCase{op.FakeQuantizeSymmetricGrad{Low: -32768, High: 32767, Axis: -1, ExactSTE: true, GradScale: 3}, []operand{img, one(0, 1), img}, 2},
		node(op.FakeQuantizeOff{}, img, one(1, 2)),
		node(even, img, one(-2, -1), one(2, 3)), node(odd, img, low, up), node(op.FakeQuantizeAsymmetric{Levels: 256, LogRange: true, Compatible: true}, w, between(-1, 0, 6), between(0, 1, 6)),
		testCase{op.FakeQuantizeAsymmetricGrad(even), []operand{img, one(-2, -1), one(2, 3), img}, 3}, testCase{op.FakeQuantizeAsymmetricGrad(odd), []operand{img, low, up, img}, 3},
		testCase{op.FakeQuantizeAsymmetricGrad{Levels: 256, LogRange: true}, []operand{w, between(-1, 0, 6), between(0, 1, 6), w}, 3},
		testCase{op.FakeQuantizeAsymmetricGrad{Levels: 16, Axis: -1, ClipGrad: true, GradScale: 0.5, LowGradScale: 2}, []operand{img, one(-1, 0), one(0, 1), img}, 3},
		testCase{op.BinarizeWeight{}, []operand{w}, 2}, testCase{op.BinarizeWeight{Global: true}, []operand{w}, 2}, testCase{op.BinarizeWeight{Off: true}, []operand{w}, 2},
		node(op.BinarizeActivation{}, img, one(-1, 0.5), x(5)), node(op.BinarizeActivation{Off: true}, img, one(-1, 0.5), x(5)),
		testCase{op.BinarizeActivationGrad{}, []operand{img, one(-1, 0.5), x(5), img}, 3}, testCase{op.BinarizeActivationGrad{Off: true}, []operand{img, one(-1, 0.5), x(5), img}, 3},
		node(op.BinaryScale{}, between(0.1, 1, 6), one(-1, 1)), node(op.BinaryScale{NoScale: true}, between(0.1, 1, 6), one(-1, 1)),
		node(op.FakeQuantize{Levels: 256}, img, scalar[float32](-1), scalar[float32](2), scalar[float32](-1), scalar[float32](2)),
		node(op.QuantizeLinear{Axis: 1}, img, scalar[float32](0.05), scalar(uint8(128))), node(op.QuantizeLinear{Axis: 1}, img, between(0.1, 0.2, 5)),
		node(op.DequantizeLinear{Axis: 1}, ints(tensor.Int8, -99, 99, n, 5, 2), between(0.1, 0.2, 5)),
		testCase{op.DynamicQuantizeLinear{}, []operand{x(n, 7)}, 3},
	}
}
