package op

import "github.com/go-nncf/nncf/tensor"

// dtypeCodes are the numbers of element types in ONNX attributes (TensorProto.DataType).
var dtypeCodes = map[tensor.DType]int{
	tensor.Float32: 1, tensor.Uint8: 2, tensor.Int8: 3, tensor.Uint16: 4, tensor.Int16: 5, tensor.Int32: 6,
	tensor.Int64: 7, tensor.String: 8, tensor.Bool: 9, tensor.Float16: 10, tensor.Float64: 11, tensor.Uint32: 12,
	tensor.Uint64: 13, tensor.BFloat16: 16, tensor.Uint4: 21, tensor.Int4: 22,
}

// dtypeCode returns the ONNX number of an element type.
func dtypeCode(d tensor.DType) int { return dtypeCodes[d] }

// dtype returns the element type of an attribute's ONNX number.
func (d *Decoder) dtype(name string, code int) tensor.DType {
	for t, c := range dtypeCodes {
		if c == code {
			return t
		}
	}
	d.Errorf("attribute %q: element type %d is not supported", name, code)
	return tensor.Invalid
}
