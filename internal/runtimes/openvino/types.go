//go:build runtimes && (linux || darwin)

package openvino

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/internal/onnxpb"
	"github.com/go-nncf/nncf/tensor"
)

// The numbers of the element types have changed between releases, and the C
// interface has no names for them. So they are asked for: a model whose inputs
// have one type each tells which number the library gives to it.
var probed = []struct {
	onnx   onnxpb.DataType
	tensor tensor.DType
}{
	{onnxpb.DataFloat, tensor.Float32},
	{onnxpb.DataDouble, tensor.Float64},
	{onnxpb.DataFloat16, tensor.Float16},
	{onnxpb.DataBFloat16, tensor.BFloat16},
	{onnxpb.DataInt8, tensor.Int8},
	{onnxpb.DataInt16, tensor.Int16},
	{onnxpb.DataInt32, tensor.Int32},
	{onnxpb.DataInt64, tensor.Int64},
	{onnxpb.DataUint8, tensor.Uint8},
	{onnxpb.DataUint16, tensor.Uint16},
	{onnxpb.DataUint32, tensor.Uint32},
	{onnxpb.DataUint64, tensor.Uint64},
	{onnxpb.DataBool, tensor.Bool},
}

// elementTypes maps both ways between tensors' types and the library's numbers.
type elementTypes struct {
	number map[tensor.DType]int32
	dtype  map[int32]tensor.DType
}

// probeTypes builds the tables.
func (a *api) probeTypes(core handle) (*elementTypes, error) {
	var model handle
	text, err := probeModel()
	if err != nil {
		return nil, err
	}
	if err := a.check(a.readMemory(core, &text[0], uintptr(len(text)), 0, &model)); err != nil {
		return nil, fmt.Errorf("probe of the element types: %w", err)
	}
	defer a.modelFree(model)
	types := &elementTypes{map[tensor.DType]int32{}, map[int32]tensor.DType{}}
	for i, p := range probed {
		var port handle
		var n int32
		if err := a.check(a.modelInput(model, uintptr(i), &port)); err != nil {
			return nil, fmt.Errorf("probe of %v: %w", p.tensor, err)
		}
		err := a.check(a.portType(port, &n))
		a.portFree(port)
		if err != nil {
			return nil, fmt.Errorf("probe of %v: %w", p.tensor, err)
		}
		types.number[p.tensor], types.dtype[n] = n, p.tensor
	}
	if len(types.dtype) != len(probed) {
		return nil, errors.New("probe of the element types: two types have one number")
	}
	return types, nil
}

// probeModel is an ONNX model with one Identity per element type.
func probeModel() ([]byte, error) {
	g := &onnxpb.Graph{Name: "probe"}
	for i, p := range probed {
		info := func(name string) *onnxpb.ValueInfo {
			shape := &onnxpb.Shape{Dims: []onnxpb.Dim{{Value: 1, HasValue: true}}}
			return &onnxpb.ValueInfo{Name: name, Type: &onnxpb.Type{Tensor: &onnxpb.TensorType{ElemType: p.onnx, Shape: shape}}}
		}
		in, out := fmt.Sprintf("in%d", i), fmt.Sprintf("out%d", i)
		g.Inputs = append(g.Inputs, info(in))
		g.Outputs = append(g.Outputs, info(out))
		g.Nodes = append(g.Nodes, &onnxpb.Node{OpType: "Identity", Inputs: []string{in}, Outputs: []string{out}})
	}
	m := &onnxpb.Model{IRVersion: 8, Graph: g, OpsetImport: []onnxpb.OperatorSet{{Version: 16}}}
	var b bytes.Buffer
	if err := m.Encode(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
