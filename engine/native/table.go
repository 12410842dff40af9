package native

import (
	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/ir"
)

// lowering emits the steps of one node. Errors give the bare reason.
type lowering func(c *compiler, n *ir.Node) error

// lowerings lists the operators that run on kernels; every other operator, and
// every case that a lowering does not cover, runs by its reference evaluator.
var lowerings = map[string]lowering{
	"Conv":           lowerConv,
	"ConvGradWeight": lowerConvGradWeight,
	"ConvTranspose":  lowerConvTranspose,
	"Gemm":           lowerGemm,
	"MatMul":         lowerMatMul,

	"GRU":      lowerGRU,
	"GRUGrad":  lowerGRUGrad,
	"LSTM":     lowerLSTM,
	"LSTMGrad": lowerLSTMGrad,
	"RNN":      lowerRNN,
	"RNNGrad":  lowerRNNGrad,

	"BatchNormAgain":                lowerBatchNormAgain,
	"BatchNormGrad":                 lowerBatchNormGrad,
	"BatchNormalization":            lowerBatchNorm,
	"GroupNormalization":            lowerGroupNorm,
	"InstanceNormalization":         lowerInstanceNorm,
	"LayerNormalization":            lowerLayerNorm,
	"LogSoftmax":                    lowerLogSoftmax,
	"NegativeLogLikelihoodLossGrad": lowerNLLGrad,
	"Softmax":                       lowerSoftmax,
	"SoftmaxCrossEntropyLoss":       lowerCrossEntropy,

	"Mask":             lowerMask,
	"MovementMask":     lowerMovementMask,
	"MovementMaskGrad": lowerMovementMaskGrad,
	"RBLossGrad":       lowerRBLossGrad,
	"RBMask":           lowerRBMask,
	"RBMaskGrad":       lowerRBMaskGrad,

	"BinarizeActivation":     lowerBinarizeActivation,
	"BinarizeActivationGrad": lowerBinarizeActivationGrad,
	"BinarizeWeight":         lowerBinarizeWeight,
	"BinaryScale":            lowerBinaryScale,

	"DequantizeLinear":           lowerDequantizeLinear,
	"FakeQuantizeAsymmetric":     lowerFakeQuantizeAsymmetric,
	"FakeQuantizeAsymmetricGrad": lowerFakeQuantizeAsymmetricGrad,
	"FakeQuantizeSymmetric":      lowerFakeQuantizeSymmetric,
	"FakeQuantizeSymmetricGrad":  lowerFakeQuantizeSymmetricGrad,
	"QuantizeLinear":             lowerQuantizeLinear,
	"QuantizerSlope":             lowerQuantizerSlope,
	"QuantizerSlopeSum":          lowerSlopeSum,

	"Add": lowerBinary(elementwise.Add),
	"Div": lowerBinary(elementwise.Div),
	"Mul": lowerMul,
	"Sub": lowerBinary(elementwise.Sub),

	"Max":  lowerMany(elementwise.Max, false),
	"Mean": lowerMany(elementwise.Add, true),
	"Min":  lowerMany(elementwise.Min, false),
	"Sum":  lowerMany(elementwise.Add, false),

	"And":            lowerCompare(and),
	"Cast":           lowerCast,
	"Equal":          lowerCompare(equal),
	"Greater":        lowerCompare(greater),
	"GreaterOrEqual": lowerCompare(greaterOrEqual),
	"Less":           lowerCompare(less),
	"LessOrEqual":    lowerCompare(lessOrEqual),
	"Not":            lowerNot,
	"Or":             lowerCompare(or),
	"Where":          lowerWhere,
	"Xor":            lowerCompare(xor),

	"PRelu":           lowerPRelu,
	"Pow":             lowerPow,
	"ThresholdedRelu": lowerThresholdedRelu,

	"Abs":        lowerUnary(elementwise.Abs),
	"Erf":        lowerUnary(elementwise.Erf),
	"Exp":        lowerUnary(elementwise.Exp),
	"HardSwish":  lowerUnary(elementwise.HardSwish),
	"Log":        lowerUnary(elementwise.Log),
	"Neg":        lowerUnary(elementwise.Neg),
	"Reciprocal": lowerUnary(elementwise.Reciprocal),
	"Relu":       lowerUnary(elementwise.Relu),
	"Sigmoid":    lowerUnary(elementwise.Sigmoid),
	"Softplus":   lowerUnary(elementwise.Softplus),
	"Sqrt":       lowerUnary(elementwise.Sqrt),
	"Tanh":       lowerUnary(elementwise.Tanh),
	"Clip":       lowerClip,
	"ClipGrad":   lowerClipGrad,

	"Elu":             lowerElu,
	"Gelu":            lowerGelu,
	"GeluGrad":        lowerGeluGrad,
	"HardSigmoid":     lowerHardSigmoid,
	"HardSigmoidGrad": lowerHardSigmoidGrad,
	"HardSwishGrad":   lowerGrad(elementwise.HardSwishGrad),
	"LeakyRelu":       lowerLeakyRelu,
	"LeakyReluGrad":   lowerLeakyReluGrad,
	"Mish":            lowerMish,
	"Selu":            lowerSelu,
	"Swish":           lowerSwish,
	"SwishGrad":       lowerSwishGrad,

	"ReluGrad":    lowerGrad(elementwise.ReluGrad),
	"SigmoidGrad": lowerGrad(elementwise.SigmoidGrad),
	"TanhGrad":    lowerGrad(elementwise.TanhGrad),

	"AveragePool":       lowerAveragePool,
	"AveragePoolGrad":   lowerAveragePoolGrad,
	"GlobalAveragePool": lowerGlobalAveragePool,
	"MaxPool":           lowerMaxPool,
	"MaxPoolGrad":       lowerMaxPoolGrad,

	"LRN":     lowerLRN,
	"LRNGrad": lowerLRNGrad,

	"GlobalMaxPool":   lowerGlobalMaxPool,
	"ReduceL1":        lowerReduce("ReduceL1"),
	"ReduceL2":        lowerReduce("ReduceL2"),
	"ReduceLogSum":    lowerReduce("ReduceLogSum"),
	"ReduceMax":       lowerReduce("ReduceMax"),
	"ReduceMean":      lowerSum(true),
	"ReduceMin":       lowerReduce("ReduceMin"),
	"ReduceSum":       lowerSum(false),
	"ReduceSumSquare": lowerReduce("ReduceSumSquare"),

	"CastLike":     lowerCast,
	"Concat":       lowerConcat,
	"DepthToSpace": lowerDepthToSpace,
	"Dropout":      lowerDropout,
	"Gather":       lowerGather,
	"GatherGrad":   lowerGatherGrad,
	"Resize":       lowerResize,
	"ResizeGrad":   lowerResizeGrad,
	"SpaceToDepth": lowerSpaceToDepth,
	"Split":        lowerSplit,
	"Tile":         lowerTile,
	"Expand":       lowerExpand,
	"Flatten":      lowerAlias,
	"Identity":     lowerIdentity,

	"FakeQuantizeOff": lowerIdentity,
	"Pad":             lowerPad,
	"Reshape":         lowerAlias,
	"Slice":           lowerSlice,
	"SliceGrad":       lowerSliceGrad,
	"Squeeze":         lowerAlias,
	"Transpose":       lowerTranspose,
	"Unsqueeze":       lowerAlias,
}

// HasKernel reports whether the operator runs on kernels, at least in its usual
// cases.
func HasKernel(kind string) bool { return lowerings[kind] != nil }
