package op

// quantDefs: quantization operators of ONNX, and our fake-quantizers.
var quantDefs = []Def{
	{Op: QuantizeLinear{Axis: 1}, Since: 10, Decode: decodeQuantizeLinear, Encode: encodeQuantizeLinear},
	{Op: DequantizeLinear{Axis: 1}, Since: 10, Decode: decodeDequantizeLinear, Encode: encodeDequantizeLinear},
	{Op: DynamicQuantizeLinear{}, Since: 11, Decode: decodeWith(DynamicQuantizeLinear{}), Encode: encodeDynamicQuantizeLinear},
	{Op: ConvInteger{}, Since: 10, Decode: decodeConvInteger, Encode: encodeConvInteger},
	{Op: QLinearConv{}, Since: 10, Decode: decodeQLinearConv, Encode: encodeQLinearConv},
	{Op: MatMulInteger{}, Since: 10, Decode: decodeWith(MatMulInteger{}), Encode: encodeMatMulInteger},
	{Op: QLinearMatMul{}, Since: 10, Decode: decodeWith(QLinearMatMul{}), Encode: encodeQLinearMatMul},

	{Op: FakeQuantize{}, Domain: OpenVINODomain, Since: 1, Decode: decodeFakeQuantize, Encode: encodeFakeQuantize},
	{Op: FakeQuantizeSymmetric{Axis: -1}, Domain: Internal},
	{Op: FakeQuantizeSymmetricGrad{Axis: -1}, Domain: Internal},
	{Op: FakeQuantizeAsymmetric{Axis: -1}, Domain: Internal},
	{Op: FakeQuantizeAsymmetricGrad{Axis: -1}, Domain: Internal},
	{Op: FakeQuantizeOff{}, Domain: Internal},

	{Op: BinarizeWeight{}, Domain: Internal},
	{Op: BinarizeActivation{}, Domain: Internal},
	{Op: BinarizeActivationGrad{}, Domain: Internal},
	{Op: BinaryScale{}, Domain: Internal},
}
