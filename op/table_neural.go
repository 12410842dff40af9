package op

// neuralDefs: convolution, pooling, normalization, matrix products, losses,
// and their gradients.
var neuralDefs = []Def{
	{Op: Conv{}, Decode: decodeConv, Encode: encodeConv},
	{Op: ConvTranspose{}, Decode: decodeConvTranspose, Encode: encodeConvTranspose},
	{Op: ConvGradWeight{}, Domain: Internal},

	{Op: Gemm{}, Decode: decodeGemm, Encode: encodeGemm},
	{Op: MatMul{}, Decode: decodeWith(MatMul{})},
	{Op: Einsum{}, Since: 12, Decode: decodeEinsum, Encode: encodeEinsum},

	{Op: Attention{}, Since: 23, Decode: decodeAttention, Encode: encodeAttention},
	{Op: RotaryEmbedding{}, Since: 23, Decode: decodeRotaryEmbedding, Encode: encodeRotaryEmbedding},
	{Op: NonMaxSuppression{}, Since: 10, Decode: decodeNonMaxSuppression, Encode: encodeNonMaxSuppression},

	{Op: LSTM{}, Decode: decodeLSTM, Encode: encodeLSTM},
	{Op: LSTMGrad{}, Domain: Internal},
	{Op: GRU{}, Decode: decodeGRU, Encode: encodeGRU},
	{Op: GRUGrad{}, Domain: Internal},
	{Op: RNN{}, Decode: decodeRNN, Encode: encodeRNN},
	{Op: RNNGrad{}, Domain: Internal},

	{Op: MaxPool{}, Decode: decodeMaxPool, Encode: encodeMaxPool},
	{Op: MaxPoolGrad{}, Domain: Internal},
	{Op: GlobalMaxPool{}, Decode: decodeWith(GlobalMaxPool{})},
	{Op: AveragePool{}, Decode: decodeAveragePool, Encode: encodeAveragePool},
	{Op: AveragePoolGrad{}, Domain: Internal},
	{Op: GlobalAveragePool{}, Decode: decodeWith(GlobalAveragePool{})},
	{Op: LpPool{}, Decode: decodeLpPool, Encode: encodeLpPool},
	{Op: GlobalLpPool{}, Decode: decodeGlobalLpPool, Encode: encodeGlobalLpPool},

	{Op: BatchNormalization{Epsilon: 1e-5, Momentum: 0.9}, Decode: decodeBatchNormalization, Encode: encodeBatchNormalization},
	{Op: BatchNormGrad{Epsilon: 1e-5}, Domain: Internal},
	{Op: InstanceNormalization{Epsilon: 1e-5}, Decode: decodeInstanceNormalization, Encode: encodeInstanceNormalization},
	{Op: GroupNormalization{Epsilon: 1e-5}, Since: 18, Decode: decodeGroupNormalization, Encode: encodeGroupNormalization},
	{Op: LayerNormalization{Axis: -1, Epsilon: 1e-5}, Since: 17, Decode: decodeLayerNormalization, Encode: encodeLayerNormalization},
	{Op: RMSNormalization{Axis: -1, Epsilon: 1e-5}, Since: 23, Decode: decodeRMSNormalization, Encode: encodeRMSNormalization},
	{Op: MeanVarianceNormalization{}, Since: 9, Decode: decodeMeanVarianceNormalization, Encode: encodeMeanVarianceNormalization},
	{Op: LpNormalization{Axis: -1}, Decode: decodeLpNormalization, Encode: encodeLpNormalization},
	{Op: LRN{Alpha: 1e-4, Beta: 0.75, Bias: 1}, Decode: decodeLRN, Encode: encodeLRN},
	{Op: LRNGrad{Alpha: 1e-4, Beta: 0.75, Bias: 1}, Domain: Internal},
	{Op: Dropout{}, Decode: decodeDropout, Encode: encodeDropout},

	{Op: Softmax{Axis: -1}, Decode: decodeSoftmax, Encode: encodeSoftmax},
	{Op: LogSoftmax{Axis: -1}, Decode: decodeLogSoftmax, Encode: encodeLogSoftmax},
	{Op: Hardmax{Axis: -1}, Decode: decodeHardmax, Encode: encodeHardmax},
	{Op: NegativeLogLikelihoodLoss{}, Since: 12, Decode: decodeNegativeLogLikelihoodLoss, Encode: encodeNegativeLogLikelihoodLoss},
	{Op: NegativeLogLikelihoodLossGrad{}, Domain: Internal},
	{Op: SoftmaxCrossEntropyLoss{}, Since: 12, Decode: decodeSoftmaxCrossEntropyLoss, Encode: encodeSoftmaxCrossEntropyLoss},
}
