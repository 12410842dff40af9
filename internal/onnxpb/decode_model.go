package onnxpb

// The functions of this file name each message's fields; the same numbers, in
// the same order, are in encode_model.go.

func (d *decoder) model(m *Model, pos, end int) error {
	return d.message("ModelProto", pos, end, func(v field) error {
		switch v.num {
		case 1:
			return integer(v, &m.IRVersion)
		case 2:
			return d.str(v, &m.ProducerName)
		case 3:
			return d.str(v, &m.ProducerVersion)
		case 4:
			return d.str(v, &m.Domain)
		case 5:
			return integer(v, &m.ModelVersion)
		case 6:
			return d.str(v, &m.Doc)
		case 7:
			return sub(d, v, &m.Graph, d.graph)
		case 8:
			return values(d, v, &m.OpsetImport, d.operatorSet)
		case 14:
			return values(d, v, &m.Metadata, d.entry)
		case 25:
			return subs(d, v, &m.Functions, d.function)
		}
		return d.keep(v, &m.Unknown)
	})
}

func (d *decoder) operatorSet(o *OperatorSet, pos, end int) error {
	return d.message("OperatorSetIdProto", pos, end, func(v field) error {
		switch v.num {
		case 1:
			return d.str(v, &o.Domain)
		case 2:
			return integer(v, &o.Version)
		}
		return nil
	})
}

func (d *decoder) entry(e *Entry, pos, end int) error {
	return d.message("StringStringEntryProto", pos, end, func(v field) error {
		switch v.num {
		case 1:
			return d.str(v, &e.Key)
		case 2:
			return d.str(v, &e.Value)
		}
		return nil
	})
}

func (d *decoder) graph(g *Graph, pos, end int) error {
	return d.message("GraphProto", pos, end, func(v field) error {
		switch v.num {
		case 1:
			return subs(d, v, &g.Nodes, d.node)
		case 2:
			return d.str(v, &g.Name)
		case 5:
			return subs(d, v, &g.Initializers, d.tensor)
		case 10:
			return d.str(v, &g.Doc)
		case 11:
			return subs(d, v, &g.Inputs, d.valueInfo)
		case 12:
			return subs(d, v, &g.Outputs, d.valueInfo)
		case 13:
			return subs(d, v, &g.ValueInfo, d.valueInfo)
		case 15:
			return subs(d, v, &g.SparseInitializer, d.sparseTensor)
		case 16:
			return values(d, v, &g.Metadata, d.entry)
		}
		return d.keep(v, &g.Unknown)
	})
}

func (d *decoder) node(n *Node, pos, end int) error {
	return d.message("NodeProto", pos, end, func(v field) error {
		switch v.num {
		case 1:
			return d.strs(v, &n.Inputs)
		case 2:
			return d.strs(v, &n.Outputs)
		case 3:
			return d.str(v, &n.Name)
		case 4:
			return d.str(v, &n.OpType)
		case 5:
			return subs(d, v, &n.Attributes, d.attribute)
		case 6:
			return d.str(v, &n.Doc)
		case 7:
			return d.str(v, &n.Domain)
		case 8:
			return d.str(v, &n.Overload)
		case 9:
			return values(d, v, &n.Metadata, d.entry)
		}
		return d.keep(v, &n.Unknown)
	})
}

func (d *decoder) attribute(a *Attribute, pos, end int) error {
	var seen AttributeType // for files that do not write the type
	err := d.message("AttributeProto", pos, end, func(v field) error {
		switch v.num {
		case 1:
			return d.str(v, &a.Name)
		case 2:
			seen = Float
			return d.float(v, &a.F)
		case 3:
			seen = Int
			return integer(v, &a.I)
		case 4:
			seen = String
			return d.raw(v, &a.S)
		case 5:
			seen = TensorAttribute
			return sub(d, v, &a.T, d.tensor)
		case 6:
			seen = GraphAttribute
			return sub(d, v, &a.G, d.graph)
		case 7:
			seen = Floats
			return floats(d, v, &a.Floats)
		case 8:
			seen = Ints
			return varints(d, v, &a.Ints)
		case 9:
			seen = Strings
			return d.raws(v, &a.Strings)
		case 10:
			seen = Tensors
			return subs(d, v, &a.Tensors, d.tensor)
		case 11:
			seen = Graphs
			return subs(d, v, &a.Graphs, d.graph)
		case 13:
			return d.str(v, &a.Doc)
		case 14:
			seen = TypeAttribute
			return sub(d, v, &a.TP, d.typeProto)
		case 15:
			seen = Types
			return subs(d, v, &a.Types, d.typeProto)
		case 20:
			return integer(v, &a.Type)
		case 21:
			return d.str(v, &a.RefAttr)
		case 22:
			seen = SparseTensorAttribute
			return sub(d, v, &a.Sparse, d.sparseTensor)
		case 23:
			seen = SparseTensors
			return subs(d, v, &a.SparseTensors, d.sparseTensor)
		}
		return d.keep(v, &a.Unknown)
	})
	if a.Type == Undefined {
		a.Type = seen
	}
	return err
}

func (d *decoder) tensor(t *Tensor, pos, end int) error {
	return d.message("TensorProto", pos, end, func(v field) error {
		switch v.num {
		case 1:
			return varints(d, v, &t.Dims)
		case 2:
			return integer(v, &t.DataType)
		case 4:
			return floats(d, v, &t.FloatData)
		case 5:
			return varints(d, v, &t.Int32Data)
		case 6:
			return d.raws(v, &t.StringData)
		case 7:
			return varints(d, v, &t.Int64Data)
		case 8:
			return d.str(v, &t.Name)
		case 9:
			return d.raw(v, &t.RawData)
		case 10:
			return doubles(d, v, &t.DoubleData)
		case 11:
			return varints(d, v, &t.Uint64Data)
		case 12:
			return d.str(v, &t.Doc)
		case 13:
			return values(d, v, &t.ExternalData, d.entry)
		case 14:
			var location int64
			err := integer(v, &location)
			t.External = location == 1
			return err
		case 16:
			return values(d, v, &t.Metadata, d.entry)
		}
		return d.keep(v, &t.Unknown)
	})
}

func (d *decoder) sparseTensor(s *SparseTensor, pos, end int) error {
	return d.message("SparseTensorProto", pos, end, func(v field) error {
		switch v.num {
		case 1:
			return sub(d, v, &s.Values, d.tensor)
		case 2:
			return sub(d, v, &s.Indices, d.tensor)
		case 3:
			return varints(d, v, &s.Dims)
		}
		return d.keep(v, &s.Unknown)
	})
}

func (d *decoder) valueInfo(i *ValueInfo, pos, end int) error {
	return d.message("ValueInfoProto", pos, end, func(v field) error {
		switch v.num {
		case 1:
			return d.str(v, &i.Name)
		case 2:
			return sub(d, v, &i.Type, d.typeProto)
		case 3:
			return d.str(v, &i.Doc)
		case 4:
			return values(d, v, &i.Metadata, d.entry)
		}
		return d.keep(v, &i.Unknown)
	})
}

func (d *decoder) typeProto(t *Type, pos, end int) error {
	return d.message("TypeProto", pos, end, func(v field) error {
		switch v.num {
		case 1:
			return sub(d, v, &t.Tensor, d.tensorType)
		case 6:
			return d.str(v, &t.Denotation)
		}
		return d.keep(v, &t.Unknown)
	})
}

func (d *decoder) tensorType(t *TensorType, pos, end int) error {
	return d.message("TypeProto.Tensor", pos, end, func(v field) error {
		switch v.num {
		case 1:
			return integer(v, &t.ElemType)
		case 2:
			return sub(d, v, &t.Shape, d.shape)
		}
		return d.keep(v, &t.Unknown)
	})
}

func (d *decoder) shape(s *Shape, pos, end int) error {
	return d.message("TensorShapeProto", pos, end, func(v field) error {
		if v.num == 1 {
			return values(d, v, &s.Dims, d.dim)
		}
		return d.keep(v, &s.Unknown)
	})
}

func (d *decoder) dim(m *Dim, pos, end int) error {
	return d.message("TensorShapeProto.Dimension", pos, end, func(v field) error {
		switch v.num { // 1 and 2 are alternatives: the last one counts
		case 1:
			m.HasValue, m.Param = true, ""
			return integer(v, &m.Value)
		case 2:
			m.HasValue, m.Value = false, 0
			return d.str(v, &m.Param)
		case 3:
			return d.str(v, &m.Denotation)
		}
		return nil
	})
}

func (d *decoder) function(f *Function, pos, end int) error {
	return d.message("FunctionProto", pos, end, func(v field) error {
		switch v.num {
		case 1:
			return d.str(v, &f.Name)
		case 4:
			return d.strs(v, &f.Inputs)
		case 5:
			return d.strs(v, &f.Outputs)
		case 6:
			return d.strs(v, &f.Attributes)
		case 7:
			return subs(d, v, &f.Nodes, d.node)
		case 8:
			return d.str(v, &f.Doc)
		case 9:
			return values(d, v, &f.OpsetImport, d.operatorSet)
		case 10:
			return d.str(v, &f.Domain)
		case 11:
			return subs(d, v, &f.Defaults, d.attribute)
		case 12:
			return subs(d, v, &f.ValueInfo, d.valueInfo)
		case 13:
			return d.str(v, &f.Overload)
		case 14:
			return values(d, v, &f.Metadata, d.entry)
		}
		return d.keep(v, &f.Unknown)
	})
}
