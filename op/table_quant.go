package op

// quantDefs: quantization operators of ONNX, and our fake-quantizers.
var quantDefs = []Def{}
