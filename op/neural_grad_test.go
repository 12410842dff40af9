package op_test

import (
	"testing"

	"github.com/go-nncf/nncf/internal/testkit/gradcheck"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

type ts = []*tensor.Tensor

// The gradients of the neural operators, and the gradients of those gradients,
// against differences of their evaluators.
func TestGrad_Neural(t *testing.T) { gradcheck.Run(t, neuralCases()) }

func neuralCases() []gradcheck.Case {
	rnd, distinct, pos := gradcheck.Rand, gradcheck.Distinct, func(seed uint64, shape ...int) *tensor.Tensor {
		return gradcheck.Uniform(seed, 0.5, 1.5, shape...)
	}
	win := op.Window{Strides: []int{2, 1}, Pads: []int{1, 0, 0, 1}, Dilations: []int{1, 2}}
	conv := op.Conv{Group: 2, Window: win}
	pool := op.Pool{Kernel: []int{2, 3}, Window: op.Window{Strides: []int{2, 2}, Pads: []int{1, 1, 0, 1}}}
	ceil := op.Pool{Kernel: []int{3, 2}, Window: op.Window{Strides: []int{2, 2}, Dilations: []int{1, 2}}, CeilMode: true}
	labels := tensor.From([]int64{2, 0, 1, 1, -1, 2}, 2, 3)
	return []gradcheck.Case{
		{Name: "Conv", Op: conv, In: ts{rnd(1, 2, 4, 5, 6), rnd(2, 6, 2, 3, 2), rnd(3, 6)}},
		{Name: "Conv/1d", Op: op.Conv{Window: op.Window{AutoPad: "SAME_UPPER", Strides: []int{2}}}, In: ts{rnd(1, 2, 3, 7), rnd(2, 4, 3, 3)}},
		{Name: "ConvGradWeight", Op: op.ConvGradWeight{Group: 2, Window: win, Kernel: []int{3, 2}}, In: ts{rnd(1, 2, 4, 5, 6), rnd(2, 2, 6, 2, 5)}},
		{Name: "ConvTranspose", Op: op.ConvTranspose{Group: 2, Window: win}, In: ts{rnd(1, 2, 4, 3, 4), rnd(2, 4, 3, 3, 2), rnd(3, 6)}},

		{Name: "Gemm", Op: op.Gemm{}, In: ts{rnd(1, 3, 4), rnd(2, 4, 5), rnd(3, 5)}},
		{Name: "Gemm/factors", Op: op.Gemm{Alpha: .5, Beta: -2, TransA: true}, In: ts{rnd(1, 4, 3), rnd(2, 4, 5), rnd(3, 3, 1)}},
		{Name: "Gemm/transB", Op: op.Gemm{Alpha: .5, TransB: true}, In: ts{rnd(1, 3, 4), rnd(2, 5, 4)}},
		{Name: "Gemm/both", Op: op.Gemm{TransA: true, TransB: true}, In: ts{rnd(1, 4, 3), rnd(2, 5, 4), rnd(3)}},
		{Name: "MatMul", Op: op.MatMul{}, In: ts{rnd(1, 3, 4), rnd(2, 4, 5)}},
		{Name: "MatMul/layer", Op: op.MatMul{}, In: ts{rnd(1, 2, 3, 4), rnd(2, 4, 5)}},
		{Name: "MatMul/batch", Op: op.MatMul{}, In: ts{rnd(1, 2, 1, 3, 4), rnd(2, 3, 4, 5)}},
		{Name: "MatMul/row", Op: op.MatMul{}, In: ts{rnd(1, 4), rnd(2, 3, 4, 5)}},
		{Name: "MatMul/column", Op: op.MatMul{}, In: ts{rnd(1, 3, 2, 4), rnd(2, 4)}},
		{Name: "MatMul/dot", Op: op.MatMul{}, In: ts{rnd(1, 4), rnd(2, 4)}},
		{Name: "MatMul/row by matrix", Op: op.MatMul{}, In: ts{rnd(1, 4), rnd(2, 4, 5)}},

		{Name: "MaxPool", Op: op.MaxPool{Pool: pool}, In: ts{distinct(1, 2, 3, 5, 6)}},
		{Name: "MaxPool/ceil", Op: op.MaxPool{Pool: ceil}, In: ts{distinct(1, 1, 2, 6, 7)}, Outputs: 2, Used: []int{0}},
		{Name: "MaxPoolGrad", Op: op.MaxPoolGrad{Pool: pool}, In: ts{distinct(1, 2, 3, 5, 6), rnd(2, 2, 3, 3, 3)}},
		{Name: "AveragePool", Op: op.AveragePool{Pool: pool}, In: ts{rnd(1, 2, 3, 5, 6)}},
		{Name: "AveragePool/count", Op: op.AveragePool{Pool: pool, CountIncludePad: true}, In: ts{rnd(1, 2, 3, 5, 6)}},
		{Name: "AveragePool/ceil", Op: op.AveragePool{Pool: ceil}, In: ts{rnd(1, 1, 2, 6, 7)}},
		{Name: "AveragePoolGrad", Op: op.AveragePoolGrad{Pool: pool, Spatial: []int{5, 6}}, In: ts{rnd(1, 2, 3, 3, 3)}},
		{Name: "GlobalAveragePool", Op: op.GlobalAveragePool{}, In: ts{rnd(1, 2, 3, 4, 5)}},
		{Name: "GlobalMaxPool", Op: op.GlobalMaxPool{}, In: ts{distinct(1, 2, 3, 4, 5)}},

		{Name: "BatchNormalization/inference", Op: op.BatchNormalization{Epsilon: 1e-3},
			In: ts{rnd(1, 3, 2, 4), rnd(2, 2), rnd(3, 2), rnd(4, 2), pos(5, 2)}},
		{Name: "BatchNormalization/training", Op: op.BatchNormalization{Epsilon: 1e-3, Momentum: .9, Training: true},
			In: ts{rnd(1, 3, 2, 4), rnd(2, 2), rnd(3, 2), rnd(4, 2), pos(5, 2)}, Used: []int{0}, Wrt: []int{0, 1, 2}},
		{Name: "BatchNormalization/saved", Op: op.BatchNormalization{Epsilon: 1e-3, Training: true}, Outputs: 5,
			In: ts{rnd(1, 3, 2, 4), rnd(2, 2), rnd(3, 2), rnd(4, 2), pos(5, 2)}, Used: []int{0}, Wrt: []int{0, 1, 2}},
		{Name: "BatchNormGrad/training", Op: op.BatchNormGrad{Epsilon: 1e-2}, Outputs: 3, In: ts{rnd(1, 3, 2, 4), rnd(2, 2), rnd(3, 3, 2, 4)}},
		{Name: "BatchNormGrad/frozen", Op: op.BatchNormGrad{Epsilon: 1e-2, Frozen: true}, Outputs: 3,
			In: ts{rnd(1, 3, 2, 4), rnd(2, 2), rnd(3, 3, 2, 4), rnd(4, 2), pos(5, 2)}, Wrt: []int{0, 1, 2}},
		{Name: "BatchNormGrad/dx only", Op: op.BatchNormGrad{Epsilon: 1e-2}, In: ts{rnd(1, 3, 2, 4), rnd(2, 2), rnd(3, 3, 2, 4)}},

		{Name: "Softmax", Op: op.Softmax{Axis: 1}, In: ts{rnd(1, 2, 3, 4)}},
		{Name: "Softmax/flatten", Op: op.Softmax{Axis: 1, Flatten: true}, In: ts{rnd(1, 2, 3, 4)}},
		{Name: "LogSoftmax", Op: op.LogSoftmax{Axis: -1}, In: ts{rnd(1, 2, 3, 4)}},
		{Name: "LogSoftmax/flatten", Op: op.LogSoftmax{Axis: 0, Flatten: true}, In: ts{rnd(1, 2, 3, 4)}},

		{Name: "NegativeLogLikelihoodLoss", Op: op.NegativeLogLikelihoodLoss{HasIgnore: true, IgnoreIndex: -1}, In: ts{rnd(1, 2, 4, 3), labels, pos(2, 4)}, Wrt: []int{0}},
		{Name: "NegativeLogLikelihoodLoss/none", Op: op.NegativeLogLikelihoodLoss{Reduction: "none", HasIgnore: true, IgnoreIndex: -1}, In: ts{rnd(1, 2, 4, 3), labels}, Wrt: []int{0}},
		{Name: "NegativeLogLikelihoodLossGrad", Op: op.NegativeLogLikelihoodLossGrad{NegativeLogLikelihoodLoss: op.NegativeLogLikelihoodLoss{HasIgnore: true, IgnoreIndex: 1}, Classes: 4},
			In: ts{rnd(1), tensor.From([]int64{2, 0, 1, 1, 3, 2}, 2, 3), pos(2, 4)}, Wrt: []int{0}},
		{Name: "SoftmaxCrossEntropyLoss", Op: op.SoftmaxCrossEntropyLoss{}, In: ts{rnd(1, 3, 4), tensor.From([]int64{1, 3, 0}, 3)}},
		{Name: "SoftmaxCrossEntropyLoss/log_prob", Op: op.SoftmaxCrossEntropyLoss{Reduction: "sum", HasIgnore: true, IgnoreIndex: -1}, Outputs: 2,
			In: ts{rnd(1, 2, 4, 3), labels, pos(2, 4)}, Wrt: []int{0}},
		{Name: "SoftmaxCrossEntropyLoss/only log_prob", Op: op.SoftmaxCrossEntropyLoss{Reduction: "none"}, Outputs: 2, Used: []int{1},
			In: ts{rnd(1, 3, 4), tensor.From([]int32{1, 3, 0}, 3)}},

		{Name: "InstanceNormalization", Op: op.InstanceNormalization{Epsilon: 1e-3}, In: ts{rnd(1, 2, 3, 4, 5), rnd(2, 3), rnd(3, 3)}},
		{Name: "GroupNormalization", Op: op.GroupNormalization{Epsilon: 1e-3, Groups: 2}, In: ts{rnd(1, 2, 4, 3), rnd(2, 4), rnd(3, 4)}},
		{Name: "GroupNormalization/per group", Op: op.GroupNormalization{Epsilon: 1e-3, Groups: 2, PerGroup: true}, In: ts{rnd(1, 2, 4, 3), rnd(2, 2), rnd(3, 2)}},
		{Name: "LayerNormalization", Op: op.LayerNormalization{Axis: -1, Epsilon: 1e-3}, In: ts{rnd(1, 2, 3, 5), rnd(2, 5), rnd(3, 5)}},
		{Name: "LayerNormalization/statistics", Op: op.LayerNormalization{Axis: 1, Epsilon: 1e-3}, Outputs: 3, In: ts{rnd(1, 2, 3, 5), rnd(2, 3, 1), rnd(3)}},
		{Name: "RMSNormalization", Op: op.RMSNormalization{Axis: -2, Epsilon: 1e-3}, In: ts{rnd(1, 2, 3, 5), rnd(2, 3, 5)}},
		{Name: "MeanVarianceNormalization", Op: op.MeanVarianceNormalization{}, In: ts{rnd(1, 2, 3, 2, 2)}},
		{Name: "LpNormalization/1", Op: op.LpNormalization{Axis: 1, P: 1}, In: ts{gradcheck.AwayFrom(1, 0, .05, 2, 3, 4)}},
		{Name: "LpNormalization/2", Op: op.LpNormalization{Axis: -1}, In: ts{rnd(1, 2, 3, 4)}},
		{Name: "LRN", Op: op.LRN{Alpha: .1, Beta: .75, Bias: 1, Size: 4}, In: ts{rnd(1, 2, 6, 3)}},
		{Name: "Dropout", Op: op.Dropout{Seed: 3}, In: ts{rnd(1, 4, 5), tensor.Scalar[float32](.3), tensor.Scalar(true), tensor.Scalar[int64](7)}, Outputs: 2, Wrt: []int{0}},
		{Name: "Dropout/inference", Op: op.Dropout{}, In: ts{rnd(1, 4, 5)}},
		{Name: "RotaryEmbedding", Op: op.RotaryEmbedding{Interleaved: true, Dim: 4}, In: ts{rnd(1, 2, 3, 2, 6), rnd(2, 5, 2), rnd(3, 5, 2), tensor.From([]int64{0, 4, 2, 1}, 2, 2)}, Wrt: []int{0}},
		{Name: "RotaryEmbedding/3 axes", Op: op.RotaryEmbedding{Heads: 3}, In: ts{rnd(1, 2, 3, 12), rnd(2, 2, 3, 2), rnd(3, 2, 3, 2)}, Wrt: []int{0}},
		{Name: "Einsum", Op: op.Einsum{Equation: "bij,bjk,k->bi"}, In: ts{rnd(1, 2, 3, 4), rnd(2, 2, 4, 5), rnd(3, 5)}},
	}
}
