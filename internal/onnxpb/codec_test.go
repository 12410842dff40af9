package onnxpb

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/go-nncf/nncf/internal/testkit"
)

// everything returns a model that uses each field of each message.
func everything() *Model {
	unknown := func(num protowire.Number) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, num, protowire.BytesType), "kept")
	}
	meta := []Entry{{"k", "v"}, {"empty", ""}}
	typ := &Type{
		Tensor: &TensorType{ElemType: DataFloat, Shape: &Shape{Dims: []Dim{
			{Param: "N", Denotation: "DATA_BATCH"}, {Value: 3, HasValue: true}, {}, {HasValue: true},
		}}},
		Denotation: "IMAGE",
	}
	info := &ValueInfo{Name: "x", Type: typ, Doc: "doc", Metadata: meta, Unknown: unknown(50)}
	scalar := &ValueInfo{Name: "s", Type: &Type{Tensor: &TensorType{ElemType: DataInt64, Shape: new(Shape)}}}
	ranked := &ValueInfo{Name: "r", Type: &Type{Tensor: &TensorType{ElemType: DataInt4}}}
	sequence := &ValueInfo{Name: "q", Type: &Type{Unknown: unknown(4)}}
	tensors := []*Tensor{
		{Name: "raw", Dims: []int64{2, 0}, DataType: DataFloat, RawData: []byte{}},
		{Name: "raw2", Dims: []int64{2}, DataType: DataInt8, RawData: []byte{1, 255}, Doc: "d", Metadata: meta, Unknown: unknown(77)},
		{Name: "f", Dims: []int64{2}, DataType: DataFloat, FloatData: []float32{1, float32(math.Inf(-1))}},
		{Name: "i", Dims: []int64{2}, DataType: DataInt32, Int32Data: []int32{-1, 300}},
		{Name: "s", Dims: []int64{2}, DataType: DataString, StringData: [][]byte{[]byte("a"), {}}},
		{Name: "l", Dims: []int64{2}, DataType: DataInt64, Int64Data: []int64{math.MinInt64, math.MaxInt64}},
		{Name: "d", Dims: []int64{1}, DataType: DataDouble, DoubleData: []float64{math.Pi}},
		{Name: "u", Dims: []int64{1}, DataType: DataUint64, Uint64Data: []uint64{math.MaxUint64}},
		{Name: "e", Dims: []int64{1 << 40}, DataType: DataFloat, External: true, ExternalData: []Entry{{"location", "w"}, {"offset", "4096"}}},
	}
	sparse := &SparseTensor{Values: tensors[2], Indices: tensors[5], Dims: []int64{9}, Unknown: unknown(9)}
	inner := &Graph{Name: "then", Nodes: []*Node{{OpType: "Identity", Inputs: []string{"x"}, Outputs: []string{"y"}}}}
	attributes := []*Attribute{
		{Name: "f", Type: Float, F: 0}, {Name: "i", Type: Int, I: -5}, {Name: "s", Type: String, S: []byte("text"), Doc: "doc"},
		{Name: "t", Type: TensorAttribute, T: tensors[1]}, {Name: "g", Type: GraphAttribute, G: inner},
		{Name: "fs", Type: Floats, Floats: []float32{0, -0.5}}, {Name: "is", Type: Ints, Ints: []int64{0, -1, 1 << 50}},
		{Name: "ss", Type: Strings, Strings: [][]byte{{}, []byte("b")}}, {Name: "none", Type: Ints},
		{Name: "ts", Type: Tensors, Tensors: tensors[:2]}, {Name: "gs", Type: Graphs, Graphs: []*Graph{inner}},
		{Name: "tp", Type: TypeAttribute, TP: typ}, {Name: "tps", Type: Types, Types: []*Type{typ, typ}},
		{Name: "sp", Type: SparseTensorAttribute, Sparse: sparse}, {Name: "sps", Type: SparseTensors, SparseTensors: []*SparseTensor{sparse}},
		{Name: "ref", Type: Float, RefAttr: "alpha", Unknown: unknown(99)},
	}
	node := &Node{
		Inputs: []string{"x", "", "w"}, Outputs: []string{"y", ""}, Name: "n", OpType: "Conv", Domain: "custom", Overload: "o",
		Attributes: attributes, Doc: "doc", Metadata: meta, Unknown: unknown(10),
	}
	return &Model{
		IRVersion: 10, ProducerName: "p", ProducerVersion: "1", Domain: "d", ModelVersion: -7, Doc: "doc",
		Graph: &Graph{
			Nodes: []*Node{node, {}}, Name: "g", Initializers: tensors, SparseInitializer: []*SparseTensor{sparse}, Doc: "doc",
			Inputs: []*ValueInfo{info, scalar, ranked, sequence}, Outputs: []*ValueInfo{info}, ValueInfo: []*ValueInfo{scalar},
			Metadata: meta, Unknown: unknown(14),
		},
		OpsetImport: []OperatorSet{{"", 17}, {"com.microsoft", 1}},
		Metadata:    meta,
		Functions: []*Function{{
			Name: "fn", Domain: "custom", Overload: "o", Inputs: []string{"a"}, Outputs: []string{"b"}, Attributes: []string{"alpha"},
			Defaults: attributes[:2], Nodes: []*Node{node}, Doc: "doc", OpsetImport: []OperatorSet{{"", 17}},
			ValueInfo: []*ValueInfo{info}, Metadata: meta, Unknown: unknown(60),
		}},
		Unknown: unknown(20),
	}
}

func encoded(t testing.TB, m *Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := m.Encode(&b); err != nil {
		t.Fatal(err)
	}
	if b.Len() != m.Size() {
		t.Fatalf("Size says %d, Encode wrote %d bytes", m.Size(), b.Len())
	}
	return b.Bytes()
}

func TestModel_RoundTrip(t *testing.T) {
	want := everything()
	b := encoded(t, want)
	got, err := DecodeModel(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decoded model differs (-want +got):\n%s", diff)
	}
	if again := encoded(t, got); !bytes.Equal(b, again) {
		t.Error("encoding the decoded model gives other bytes")
	}
}

// The bytes are those of the reference Python package (onnx 1.23):
// helper.make_model(make_graph([make_node("Clip", ["x", "", "m"], ["y"], name="c", k=[1, -2])], "g",
// [make_tensor_value_info("x", 1, ["N", 3])], [make_tensor_value_info("y", 1, None)],
// [make_tensor("m", 1, [], [6.0])]), ir_version=8, opset_imports=[make_opsetid("", 13)], producer_name="p").
func TestDecodeModel_ReferenceBytes(t *testing.T) {
	b, err := hex.DecodeString(referenceHex)
	if err != nil {
		t.Fatal(err)
	}
	want := &Model{
		IRVersion: 8, ProducerName: "p", OpsetImport: []OperatorSet{{"", 13}},
		Graph: &Graph{
			Name: "g",
			Nodes: []*Node{{
				Name: "c", OpType: "Clip", Inputs: []string{"x", "", "m"}, Outputs: []string{"y"},
				Attributes: []*Attribute{{Name: "k", Type: Ints, Ints: []int64{1, -2}}},
			}},
			Initializers: []*Tensor{{Name: "m", DataType: DataFloat, FloatData: []float32{6}}},
			Inputs: []*ValueInfo{{Name: "x", Type: &Type{Tensor: &TensorType{ElemType: DataFloat, Shape: &Shape{
				Dims: []Dim{{Param: "N"}, {Value: 3, HasValue: true}},
			}}}}},
			Outputs: []*ValueInfo{{Name: "y", Type: &Type{Tensor: &TensorType{ElemType: DataFloat}}}},
		},
	}
	got, err := DecodeModel(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decoded model differs (-want +got):\n%s", diff)
	}
	if again, b := encoded(t, got), withoutEmptyDomain(b); !bytes.Equal(b, again) {
		t.Errorf("encoding gives\n%x, want\n%x", again, b)
	}
}

// withoutEmptyDomain returns the model without the empty domain that some
// exporters write into the first operator set and we leave out.
func withoutEmptyDomain(b []byte) []byte {
	at := max(0, len(b)-400)
	tail := bytes.Replace(b[at:], []byte{8<<3 | 2, 4, 1<<3 | 2, 0, 2 << 3}, []byte{8<<3 | 2, 2, 2 << 3}, 1)
	return append(bytes.Clone(b[:at]), tail...)
}

func TestSharedModels_SameBytes(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testkit.Shared(t, "models"), "*", "*.onnx"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no models: %v", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		m, err := DecodeModel(b)
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(f), err)
			continue
		}
		if got := encoded(t, m); !bytes.Equal(got, withoutEmptyDomain(b)) {
			t.Errorf("%s: %d bytes read, %d other bytes written", filepath.Base(f), len(b), len(got))
		}
	}
}

func TestDecodeModel_AliasesRawData(t *testing.T) {
	b := encoded(t, &Model{Graph: &Graph{Initializers: []*Tensor{{Name: "w", RawData: []byte{1, 2}}}}})
	m, err := DecodeModel(b)
	if err != nil {
		t.Fatal(err)
	}
	raw := m.Graph.Initializers[0].RawData
	b[len(b)-2] = 42
	if raw[0] != 42 {
		t.Errorf("raw data is a copy: %v", raw)
	}
	if cap(raw) != len(raw) {
		t.Error("appending to raw data would overwrite the input")
	}
}

func TestDecodeTensor_PackedAndUnpacked(t *testing.T) {
	var packed, unpacked []byte
	packed = protowire.AppendTag(packed, 7, protowire.BytesType)
	packed = protowire.AppendBytes(packed, []byte{1, 2, 0x80, 1})
	for _, v := range []uint64{1, 2, 128} {
		unpacked = protowire.AppendTag(unpacked, 7, protowire.VarintType)
		unpacked = protowire.AppendVarint(unpacked, v)
	}
	for name, b := range map[string][]byte{"packed": packed, "unpacked": unpacked, "mixed": append(bytes.Clone(packed), unpacked...)} {
		x, err := DecodeTensor(b)
		want := []int64{1, 2, 128}
		if name == "mixed" {
			want = append(want, want...)
		}
		if err != nil || !cmp.Equal(x.Int64Data, want) {
			t.Errorf("%s: got %v, %v, want %v", name, x, err, want)
		}
	}
	b := protowire.AppendTag(nil, 4, protowire.Fixed32Type)
	b = protowire.AppendFixed32(b, math.Float32bits(2.5))
	if x, err := DecodeTensor(append(b, b...)); err != nil || !cmp.Equal(x.FloatData, []float32{2.5, 2.5}) {
		t.Errorf("unpacked floats: %v, %v", x, err)
	}
}

func TestDecodeModel_Errors(t *testing.T) {
	deep := func() []byte {
		var b []byte
		for range MaxDepth { // graph { node { attribute { graph …
			b = protowire.AppendBytes(protowire.AppendTag(nil, 6, protowire.BytesType), b)
			b = protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), b)
			b = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), b)
		}
		return protowire.AppendBytes(protowire.AppendTag(nil, 7, protowire.BytesType), b)
	}
	for _, c := range []struct {
		name   string
		data   []byte
		offset int
		reason string
	}{
		{"length beyond the file", []byte{8, 7, 0x3a, 5, 1}, 2, "field 7 has 5 bytes, 1 left"},
		{"length beyond the message", []byte{0x3a, 3, 0x0a, 9, 0, 0, 0}, 2, "field 1 has 9 bytes, 1 left"},
		{"huge length", []byte{0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, 0, "left"},
		{"cut varint", []byte{8, 0x80}, 0, "field 1"},
		{"no field zero", []byte{0, 0}, 0, "tag"},
		{"wrong wire type", []byte{0x38, 1}, 0, "field 7 has wire type 0, want message"},
		{"too deep", deep(), -1, "inside each other"},
		{"unpaired end of group", []byte{0x3c}, 0, "field 7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := DecodeModel(c.data)
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.reason) || c.offset >= 0 && e.Offset != c.offset {
				t.Fatalf("got %v, want %q at byte %d", err, c.reason, c.offset)
			}
			if e.Message == "" {
				t.Errorf("error %v names no message", err)
			}
		})
	}
}

// A file of empty messages would cost a hundred times its size.
func TestDecodeModel_BoundedMemory(t *testing.T) {
	field := func(num protowire.Number, b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), b)
	}
	const n = 1 << 19
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"nodes", field(7, bytes.Repeat([]byte{0x0a, 0}, n))},
		{"initializers", field(7, bytes.Repeat([]byte{0x2a, 0}, n))},
		{"attributes", field(7, field(1, bytes.Repeat([]byte{0x2a, 0}, n)))},
		{"input names", field(7, field(1, bytes.Repeat([]byte{0x0a, 0}, n)))},
		{"dims", field(7, field(11, field(2, field(1, field(2, bytes.Repeat([]byte{0x0a, 0}, n))))))},
		{"packed dims", field(7, field(5, field(1, make([]byte, 2*n))))},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := DecodeModel(c.data)
			runtime.ReadMemStats(&after)
			used, limit := after.TotalAlloc-before.TotalAlloc, uint64(4*(budgetFactor*len(c.data)+budgetBase)) // with the garbage of growing slices
			if used > limit {
				t.Errorf("%d bytes allocated for %d bytes of input, want at most %d (error: %v)", used, len(c.data), limit, err)
			}
		})
	}
}

type zeros int

func (z zeros) Size() int { return int(z) }

func (z zeros) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(make([]byte, z))
	return int64(n), err
}

type failing struct{ after int }

func (w *failing) Write(b []byte) (int, error) {
	if w.after -= len(b); w.after < 0 {
		return 0, io.ErrShortWrite
	}
	return len(b), nil
}

func TestModel_EncodePayload(t *testing.T) {
	m := &Model{Graph: &Graph{Initializers: []*Tensor{{Name: "w", Dims: []int64{1 << 18}, DataType: DataInt8, Payload: zeros(1 << 18)}}}}
	got, err := DecodeModel(encoded(t, m))
	if err != nil || len(got.Graph.Initializers[0].RawData) != 1<<18 {
		t.Fatalf("payload read back: %v, %v", got, err)
	}
	if err := m.Encode(&failing{after: 100}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v, want the writer's error", err)
	}
	m.Graph.Initializers[0].Payload = zeros(MaxSize)
	if err := m.Encode(&failing{}); err == nil || errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v, want a refusal before anything is written", err)
	}
}

func TestAttribute_TypeFromField(t *testing.T) {
	b := protowire.AppendTag(nil, 3, protowire.VarintType)
	b = protowire.AppendVarint(b, 4)
	var a Attribute
	if err := newDecoder(b).attribute(&a, 0, len(b)); err != nil || a.Type != Int || a.I != 4 {
		t.Errorf("got %+v, %v, want type INT", a, err)
	}
}

func TestType_Kind(t *testing.T) {
	for num, want := range map[protowire.Number]string{4: "sequence", 5: "map", 7: "opaque", 8: "sparse tensor", 9: "optional", 77: "unknown"} {
		typ := &Type{Unknown: protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), nil)}
		if got := typ.Kind(); got != want {
			t.Errorf("field %d: got %q, want %q", num, got, want)
		}
	}
	if got := (*Type)(nil).Kind(); got != "unknown" {
		t.Errorf("nil: got %q", got)
	}
}

const referenceHex = "08081201703a5c0a290a01780a000a016d1201791a01632204436c69702a130a016b400140feffffffffffffffff01a001071201672a0b100122040000c04042016d5a140a0178120f0a0d080112090a0312014e0a02080362090a017912040a02080142040a00100d"
