package op

// quantDefs: quantization operators of ONNX, and our fake-quantizers.
var quantDefs = []Def{
	{Op: QuantizeLinear{Axis: 1}, Since: 10, Decode: decodeQuantizeLinear, Encode: encodeQuantizeLinear},
	{Op: DequantizeLinear{Axis: 1}, Since: 10, Decode: decodeDequantizeLinear, Encode: encodeDequantizeLinear},

	{Op: FakeQuantize{}, Domain: OpenVINODomain, Since: 1, Decode: decodeFakeQuantize, Encode: encodeFakeQuantize},
	{Op: FakeQuantizeSymmetric{Axis: -1}, Domain: Internal},
	{Op: FakeQuantizeSymmetricGrad{Axis: -1}, Domain: Internal},
	{Op: FakeQuantizeAsymmetric{Axis: -1}, Domain: Internal},
	{Op: FakeQuantizeAsymmetricGrad{Axis: -1}, Domain: Internal},
}
