package onnxpb

import (
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// Model is ModelProto, the content of an .onnx file.
type Model struct {
	IRVersion       int64
	ProducerName    string
	ProducerVersion string
	Domain          string
	ModelVersion    int64
	Doc             string
	Graph           *Graph
	OpsetImport     []OperatorSet
	Metadata        []Entry
	Functions       []*Function
	Unknown         []byte // among others training_info (20), configuration (26)
}

// OperatorSet is OperatorSetIdProto: the version of a domain's operators. The
// domains "" and "ai.onnx" are the same.
type OperatorSet struct {
	Domain  string
	Version int64
}

// Entry is StringStringEntryProto.
type Entry struct {
	Key, Value string
}

// Graph is GraphProto.
type Graph struct {
	Nodes             []*Node
	Name              string
	Initializers      []*Tensor
	SparseInitializer []*SparseTensor
	Doc               string
	Inputs            []*ValueInfo
	Outputs           []*ValueInfo
	ValueInfo         []*ValueInfo
	Metadata          []Entry
	Unknown           []byte // among others quantization_annotation (14)
}

// Node is NodeProto. An empty input or output name is an omitted optional one.
type Node struct {
	Inputs, Outputs []string
	Name            string
	OpType          string
	Domain          string
	Overload        string
	Attributes      []*Attribute
	Doc             string
	Metadata        []Entry
	Unknown         []byte
}

// AttributeType is AttributeProto.AttributeType.
type AttributeType int32

// The attribute types. Undefined occurs in files of IR version 1, which tell
// the type by the field that is present.
const (
	Undefined AttributeType = iota
	Float
	Int
	String
	TensorAttribute
	GraphAttribute
	Floats
	Ints
	Strings
	Tensors
	Graphs
	SparseTensorAttribute
	SparseTensors
	TypeAttribute
	Types
)

var attributeTypes = [...]string{
	"UNDEFINED", "FLOAT", "INT", "STRING", "TENSOR", "GRAPH", "FLOATS", "INTS", "STRINGS",
	"TENSORS", "GRAPHS", "SPARSE_TENSOR", "SPARSE_TENSORS", "TYPE_PROTO", "TYPE_PROTOS",
}

// String returns the name in the ONNX specification, such as "INTS".
func (t AttributeType) String() string {
	if t >= 0 && int(t) < len(attributeTypes) {
		return attributeTypes[t]
	}
	return "attribute type " + itoa(int64(t))
}

// Attribute is AttributeProto. Only the field that Type names is meant, and
// only that one is written.
type Attribute struct {
	Name string
	// RefAttr names the attribute of the enclosing function whose value is
	// meant; the value fields are then empty.
	RefAttr string
	Doc     string
	Type    AttributeType

	F             float32
	I             int64
	S             []byte
	T             *Tensor
	G             *Graph
	TP            *Type
	Sparse        *SparseTensor
	Floats        []float32
	Ints          []int64
	Strings       [][]byte
	Tensors       []*Tensor
	Graphs        []*Graph
	Types         []*Type
	SparseTensors []*SparseTensor
	Unknown       []byte
}

// DataType is TensorProto.DataType.
type DataType int32

// The element types of a tensor in a file.
const (
	DataUndefined  DataType = 0
	DataFloat      DataType = 1
	DataUint8      DataType = 2
	DataInt8       DataType = 3
	DataUint16     DataType = 4
	DataInt16      DataType = 5
	DataInt32      DataType = 6
	DataInt64      DataType = 7
	DataString     DataType = 8
	DataBool       DataType = 9
	DataFloat16    DataType = 10
	DataDouble     DataType = 11
	DataUint32     DataType = 12
	DataUint64     DataType = 13
	DataComplex64  DataType = 14
	DataComplex128 DataType = 15
	DataBFloat16   DataType = 16
	DataUint4      DataType = 21
	DataInt4       DataType = 22
)

var dataTypes = [...]string{
	"UNDEFINED", "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL", "FLOAT16",
	"DOUBLE", "UINT32", "UINT64", "COMPLEX64", "COMPLEX128", "BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ",
	"FLOAT8E5M2", "FLOAT8E5M2FNUZ", "UINT4", "INT4", "FLOAT4E2M1", "FLOAT8E8M0", "UINT2", "INT2",
}

// String returns the name in the ONNX specification, such as "FLOAT16".
func (d DataType) String() string {
	if d >= 0 && int(d) < len(dataTypes) {
		return dataTypes[d]
	}
	return "data type " + itoa(int64(d))
}

// Payload is the content of a tensor that is written without being held as
// bytes. Size does not change between the two passes of an encoding.
type Payload interface {
	Size() int
	WriteTo(w io.Writer) (int64, error)
}

// Tensor is TensorProto. The elements are in exactly one of RawData (or, for
// writing only, Payload), one of the typed fields, or External.
type Tensor struct {
	Name     string
	Dims     []int64
	DataType DataType

	RawData    []byte // aliases the decoded input; non-nil when the field is present
	Payload    Payload
	FloatData  []float32
	Int32Data  []int32
	StringData [][]byte
	Int64Data  []int64
	DoubleData []float64
	Uint64Data []uint64

	External bool // data_location = EXTERNAL
	// ExternalData has the keys location, offset, length and checksum.
	ExternalData []Entry

	Doc      string
	Metadata []Entry
	Unknown  []byte // among others segment (3)
}

// SparseTensor is SparseTensorProto.
type SparseTensor struct {
	Values, Indices *Tensor
	Dims            []int64
	Unknown         []byte
}

// ValueInfo is ValueInfoProto: a name and what is known about its type.
type ValueInfo struct {
	Name     string
	Type     *Type
	Doc      string
	Metadata []Entry
	Unknown  []byte
}

// Type is TypeProto. Tensor is nil for every other kind (sequence, map,
// optional, …), whose description stays in Unknown; see [Type.Kind].
type Type struct {
	Tensor     *TensorType
	Denotation string
	Unknown    []byte
}

// TensorType is TypeProto.Tensor. A nil Shape is an unknown rank, an empty one a
// scalar.
type TensorType struct {
	ElemType DataType
	Shape    *Shape
	Unknown  []byte
}

// Shape is TensorShapeProto.
type Shape struct {
	Dims    []Dim
	Unknown []byte
}

// Dim is one axis: a length (HasValue), a symbol (Param) or unknown (neither).
type Dim struct {
	Value      int64
	HasValue   bool
	Param      string
	Denotation string
}

// Function is FunctionProto: an operator of the model itself, defined by nodes.
type Function struct {
	Name, Domain, Overload string
	Inputs, Outputs        []string
	Attributes             []string     // without default
	Defaults               []*Attribute // with default
	Nodes                  []*Node
	Doc                    string
	OpsetImport            []OperatorSet
	ValueInfo              []*ValueInfo
	Metadata               []Entry
	Unknown                []byte
}

// Kind names the kind of the type: "tensor", "sequence", "map", "opaque",
// "sparse tensor", "optional", or "unknown" when nothing is said.
func (t *Type) Kind() string {
	if t == nil {
		return "unknown"
	}
	if t.Tensor != nil {
		return "tensor"
	}
	for b := t.Unknown; len(b) > 0; {
		num, _, n := protowire.ConsumeField(b)
		if n < 0 {
			break
		}
		switch num {
		case 4:
			return "sequence"
		case 5:
			return "map"
		case 7:
			return "opaque"
		case 8:
			return "sparse tensor"
		case 9:
			return "optional"
		}
		b = b[n:]
	}
	return "unknown"
}
