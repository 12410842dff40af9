package onnxpb

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

func (e *encoder) model(m *Model) {
	e.int(1, m.IRVersion)
	e.str(2, m.ProducerName)
	e.str(3, m.ProducerVersion)
	e.str(4, m.Domain)
	e.int(5, m.ModelVersion)
	e.str(6, m.Doc)
	if m.Graph != nil {
		e.message(7, func() { e.graph(m.Graph) })
	}
	e.operatorSets(8, m.OpsetImport)
	entries(e, 14, m.Metadata)
	messages(e, 25, m.Functions, e.function)
	e.unknown(m.Unknown)
}

func (e *encoder) operatorSets(num protowire.Number, sets []OperatorSet) {
	for _, o := range sets {
		e.message(num, func() {
			e.str(1, o.Domain)
			e.varint(2, o.Version)
		})
	}
}

func (e *encoder) graph(g *Graph) {
	messages(e, 1, g.Nodes, e.node)
	e.str(2, g.Name)
	messages(e, 5, g.Initializers, e.tensor)
	e.str(10, g.Doc)
	messages(e, 11, g.Inputs, e.valueInfo)
	messages(e, 12, g.Outputs, e.valueInfo)
	messages(e, 13, g.ValueInfo, e.valueInfo)
	messages(e, 15, g.SparseInitializer, e.sparseTensor)
	entries(e, 16, g.Metadata)
	e.unknown(g.Unknown)
}

func (e *encoder) node(n *Node) {
	e.strs(1, n.Inputs)
	e.strs(2, n.Outputs)
	e.str(3, n.Name)
	e.str(4, n.OpType)
	messages(e, 5, n.Attributes, e.attribute)
	e.str(6, n.Doc)
	e.str(7, n.Domain)
	e.str(8, n.Overload)
	entries(e, 9, n.Metadata)
	e.unknown(n.Unknown)
}

// attribute writes the value that the type names, zero values included, and
// repeated scalars unpacked as onnx.proto (proto2) declares them.
func (e *encoder) attribute(a *Attribute) {
	e.str(1, a.Name)
	if a.RefAttr == "" {
		switch a.Type {
		case Float:
			e.tag(2, protowire.Fixed32Type)
			e.fixed32(math.Float32bits(a.F))
		case Int:
			e.varint(3, a.I)
		case String:
			e.bytes(4, a.S)
		case TensorAttribute:
			e.optional(5, a.T != nil, func() { e.tensor(a.T) })
		case GraphAttribute:
			e.optional(6, a.G != nil, func() { e.graph(a.G) })
		case Floats:
			for _, f := range a.Floats {
				e.tag(7, protowire.Fixed32Type)
				e.fixed32(math.Float32bits(f))
			}
		case Ints:
			for _, i := range a.Ints {
				e.varint(8, i)
			}
		case Strings:
			for _, s := range a.Strings {
				e.bytes(9, s)
			}
		case Tensors:
			messages(e, 10, a.Tensors, e.tensor)
		case Graphs:
			messages(e, 11, a.Graphs, e.graph)
		}
	}
	e.str(13, a.Doc)
	if a.RefAttr == "" {
		switch a.Type {
		case TypeAttribute:
			e.optional(14, a.TP != nil, func() { e.typeProto(a.TP) })
		case Types:
			messages(e, 15, a.Types, e.typeProto)
		}
	}
	e.int(20, int64(a.Type))
	e.str(21, a.RefAttr)
	if a.RefAttr == "" {
		switch a.Type {
		case SparseTensorAttribute:
			e.optional(22, a.Sparse != nil, func() { e.sparseTensor(a.Sparse) })
		case SparseTensors:
			messages(e, 23, a.SparseTensors, e.sparseTensor)
		}
	}
	e.unknown(a.Unknown)
}

func (e *encoder) optional(num protowire.Number, present bool, f func()) {
	if present {
		e.message(num, f)
	}
}

func (e *encoder) tensor(t *Tensor) {
	for _, d := range t.Dims {
		e.varint(1, d)
	}
	e.int(2, int64(t.DataType))
	e.packed(4, len(t.FloatData), func() {
		for _, v := range t.FloatData {
			e.fixed32(math.Float32bits(v))
		}
	})
	e.packed(5, len(t.Int32Data), func() {
		for _, v := range t.Int32Data {
			e.uvarint(uint64(int64(v)))
		}
	})
	for _, s := range t.StringData {
		e.bytes(6, s)
	}
	e.packed(7, len(t.Int64Data), func() {
		for _, v := range t.Int64Data {
			e.uvarint(uint64(v))
		}
	})
	e.str(8, t.Name)
	switch {
	case t.Payload != nil:
		e.payload(9, t.Payload)
	case t.RawData != nil:
		e.bytes(9, t.RawData)
	}
	e.packed(10, len(t.DoubleData), func() {
		for _, v := range t.DoubleData {
			e.fixed64(math.Float64bits(v))
		}
	})
	e.packed(11, len(t.Uint64Data), func() {
		for _, v := range t.Uint64Data {
			e.uvarint(v)
		}
	})
	e.str(12, t.Doc)
	entries(e, 13, t.ExternalData)
	if t.External {
		e.varint(14, 1)
	}
	entries(e, 16, t.Metadata)
	e.unknown(t.Unknown)
}

func (e *encoder) sparseTensor(s *SparseTensor) {
	e.optional(1, s.Values != nil, func() { e.tensor(s.Values) })
	e.optional(2, s.Indices != nil, func() { e.tensor(s.Indices) })
	for _, d := range s.Dims {
		e.varint(3, d)
	}
	e.unknown(s.Unknown)
}

func (e *encoder) valueInfo(i *ValueInfo) {
	e.str(1, i.Name)
	e.optional(2, i.Type != nil, func() { e.typeProto(i.Type) })
	e.str(3, i.Doc)
	entries(e, 4, i.Metadata)
	e.unknown(i.Unknown)
}

func (e *encoder) typeProto(t *Type) {
	e.optional(1, t.Tensor != nil, func() { e.tensorType(t.Tensor) })
	e.str(6, t.Denotation)
	e.unknown(t.Unknown)
}

func (e *encoder) tensorType(t *TensorType) {
	e.int(1, int64(t.ElemType))
	e.optional(2, t.Shape != nil, func() {
		for _, d := range t.Shape.Dims {
			e.message(1, func() {
				switch {
				case d.HasValue:
					e.varint(1, d.Value)
				case d.Param != "":
					e.string(2, d.Param)
				}
				e.str(3, d.Denotation)
			})
		}
		e.unknown(t.Shape.Unknown)
	})
	e.unknown(t.Unknown)
}

func (e *encoder) function(f *Function) {
	e.str(1, f.Name)
	e.strs(4, f.Inputs)
	e.strs(5, f.Outputs)
	e.strs(6, f.Attributes)
	messages(e, 7, f.Nodes, e.node)
	e.str(8, f.Doc)
	e.operatorSets(9, f.OpsetImport)
	e.str(10, f.Domain)
	messages(e, 11, f.Defaults, e.attribute)
	messages(e, 12, f.ValueInfo, e.valueInfo)
	e.str(13, f.Overload)
	entries(e, 14, f.Metadata)
	e.unknown(f.Unknown)
}
