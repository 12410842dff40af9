package op

// neuralDefs: convolution, pooling, normalization, matrix products, losses,
// and their gradients.
var neuralDefs = []Def{
	{Op: Conv{}, Decode: decodeConv, Encode: encodeConv},
	{Op: ConvTranspose{}, Decode: decodeConvTranspose, Encode: encodeConvTranspose},
	{Op: ConvGradWeight{}, Domain: Internal},

	{Op: Gemm{}, Decode: decodeGemm, Encode: encodeGemm},
	{Op: MatMul{}, Decode: decodeWith(MatMul{})},

	{Op: MaxPool{}, Decode: decodeMaxPool, Encode: encodeMaxPool},
	{Op: MaxPoolGrad{}, Domain: Internal},
	{Op: GlobalMaxPool{}, Decode: decodeWith(GlobalMaxPool{})},
	{Op: AveragePool{}, Decode: decodeAveragePool, Encode: encodeAveragePool},
	{Op: AveragePoolGrad{}, Domain: Internal},
	{Op: GlobalAveragePool{}, Decode: decodeWith(GlobalAveragePool{})},

	{Op: BatchNormalization{Epsilon: 1e-5, Momentum: 0.9}, Decode: decodeBatchNormalization, Encode: encodeBatchNormalization},
	{Op: BatchNormGrad{Epsilon: 1e-5}, Domain: Internal},

	{Op: Softmax{Axis: -1}, Decode: decodeSoftmax, Encode: encodeSoftmax},
	{Op: LogSoftmax{Axis: -1}, Decode: decodeLogSoftmax, Encode: encodeLogSoftmax},
	{Op: Hardmax{Axis: -1}, Decode: decodeHardmax, Encode: encodeHardmax},
	{Op: NegativeLogLikelihoodLoss{}, Since: 12, Decode: decodeNegativeLogLikelihoodLoss, Encode: encodeNegativeLogLikelihoodLoss},
	{Op: NegativeLogLikelihoodLossGrad{}, Domain: Internal},
	{Op: SoftmaxCrossEntropyLoss{}, Since: 12, Decode: decodeSoftmaxCrossEntropyLoss, Encode: encodeSoftmaxCrossEntropyLoss},
}
