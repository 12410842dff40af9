package onnx

import (
	"fmt"

	"github.com/go-nncf/nncf/internal/onnxpb"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// encodeAttribute translates an attribute as encoders set it.
func encodeAttribute(a op.Attr) *onnxpb.Attribute {
	p := &onnxpb.Attribute{Name: a.Name}
	switch v := a.Value.(type) {
	case int64:
		p.Type, p.I = onnxpb.Int, v
	case float32:
		p.Type, p.F = onnxpb.Float, v
	case string:
		p.Type, p.S = onnxpb.String, []byte(v)
	case []int64:
		p.Type, p.Ints = onnxpb.Ints, v
	case []float32:
		p.Type, p.Floats = onnxpb.Floats, v
	case []string:
		p.Type = onnxpb.Strings
		for _, s := range v {
			p.Strings = append(p.Strings, []byte(s))
		}
	case *tensor.Tensor:
		p.Type, p.T = onnxpb.TensorAttribute, encodeTensor("", v)
	default:
		panic(fmt.Sprintf("onnx: attribute %q of type %T", a.Name, a.Value))
	}
	return p
}
