package op

// neuralDefs: convolution, pooling, normalization, matrix products, losses,
// and their gradients.
var neuralDefs = []Def{
	{Op: Conv{}, Decode: decodeConv, Encode: encodeConv},
	{Op: ConvTranspose{}, Decode: decodeConvTranspose, Encode: encodeConvTranspose},
	{Op: ConvGradWeight{}, Domain: Internal},
}
