package runtimestest_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/go-nncf/nncf/internal/onnxpb"
	"github.com/go-nncf/nncf/tensor"
)

// bytesOf writes a model.
func bytesOf(t *testing.T, g *onnxpb.Graph) []byte {
	t.Helper()
	m := &onnxpb.Model{IRVersion: 8, Graph: g, OpsetImport: []onnxpb.OperatorSet{{Version: 17}, {Domain: "nowhere", Version: 1}}}
	var b bytes.Buffer
	if err := m.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func port(name string, typ onnxpb.DataType, dims ...int64) *onnxpb.ValueInfo {
	s := &onnxpb.Shape{}
	for _, d := range dims {
		s.Dims = append(s.Dims, onnxpb.Dim{Value: d, HasValue: d >= 0, Param: map[bool]string{true: "N"}[d < 0]})
	}
	return &onnxpb.ValueInfo{Name: name, Type: &onnxpb.Type{Tensor: &onnxpb.TensorType{ElemType: typ, Shape: s}}}
}

func node(op string, out string, in ...string) *onnxpb.Node {
	return &onnxpb.Node{Name: out, OpType: op, Inputs: in, Outputs: []string{out}}
}

// quantizedConv is y = DQ(Q(Relu(Conv(DQ(Q(x)), DQ(w))))): 16 channels in and
// out, 3×3, with unsigned activations and signed weights of at most largest, in
// the layout that both runtimes execute in int8.
func quantizedConv(t *testing.T, largest int) []byte {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 0))
	weights := make([]byte, 16*16*3*3)
	for i := range weights {
		weights[i] = byte(int8(r.IntN(2*largest+1) - largest))
	}
	scales := make([]float32, 16)
	for i := range scales {
		scales[i] = (1 + r.Float32()) / 1270
	}
	axis := &onnxpb.Attribute{Name: "axis", Type: onnxpb.Int, I: 0}
	pads := &onnxpb.Attribute{Name: "pads", Type: onnxpb.Ints, Ints: []int64{1, 1, 1, 1}}
	g := &onnxpb.Graph{
		Name:    "quantized",
		Inputs:  []*onnxpb.ValueInfo{port("x", onnxpb.DataFloat, -1, 16, 8, 8)},
		Outputs: []*onnxpb.ValueInfo{port("y", onnxpb.DataFloat, -1, 16, 8, 8)},
		Initializers: []*onnxpb.Tensor{
			{Name: "xs", DataType: onnxpb.DataFloat, FloatData: []float32{1. / 255}},
			{Name: "ys", DataType: onnxpb.DataFloat, FloatData: []float32{8. / 255}},
			{Name: "zero", DataType: onnxpb.DataUint8, Int32Data: []int32{0}},
			{Name: "w", Dims: []int64{16, 16, 3, 3}, DataType: onnxpb.DataInt8, RawData: weights},
			{Name: "ws", Dims: []int64{16}, DataType: onnxpb.DataFloat, FloatData: scales},
			{Name: "wz", Dims: []int64{16}, DataType: onnxpb.DataInt8, RawData: make([]byte, 16)},
		},
		Nodes: []*onnxpb.Node{
			node("QuantizeLinear", "xq", "x", "xs", "zero"),
			node("DequantizeLinear", "xd", "xq", "xs", "zero"),
			node("DequantizeLinear", "wd", "w", "ws", "wz"),
			node("Conv", "c", "xd", "wd"),
			node("Relu", "r", "c"),
			node("QuantizeLinear", "yq", "r", "ys", "zero"),
			node("DequantizeLinear", "y", "yq", "ys", "zero"),
		},
	}
	g.Nodes[2].Attributes = []*onnxpb.Attribute{axis}
	g.Nodes[3].Attributes = []*onnxpb.Attribute{pads}
	return bytesOf(t, g)
}

// casts is one Cast from float32 to each of several types, and one input of an
// integer type.
func casts(t *testing.T) []byte {
	t.Helper()
	to := func(out string, typ onnxpb.DataType) *onnxpb.Node {
		n := node("Cast", out, "x")
		n.Attributes = []*onnxpb.Attribute{{Name: "to", Type: onnxpb.Int, I: int64(typ)}}
		return n
	}
	return bytesOf(t, &onnxpb.Graph{
		Name:   "casts",
		Inputs: []*onnxpb.ValueInfo{port("x", onnxpb.DataFloat, 2, 2), port("i", onnxpb.DataInt64, 3)},
		Outputs: []*onnxpb.ValueInfo{
			port("u8", onnxpb.DataUint8, 2, 2), port("i32", onnxpb.DataInt32, 2, 2), port("b", onnxpb.DataBool, 2, 2),
			port("f16", onnxpb.DataFloat16, 2, 2), port("ii", onnxpb.DataInt64, 3),
		},
		Nodes: []*onnxpb.Node{
			to("u8", onnxpb.DataUint8), to("i32", onnxpb.DataInt32), to("b", onnxpb.DataBool), to("f16", onnxpb.DataFloat16),
			node("Add", "ii", "i", "i"),
		},
	})
}

// readTensor reads a file that holds one float32 TensorProto.
func readTensor(t *testing.T, file string) *tensor.Tensor {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := onnxpb.DecodeTensor(b)
	if err != nil {
		t.Fatal(err)
	}
	if p.DataType != onnxpb.DataFloat || p.RawData == nil {
		t.Fatalf("%s: got %v, want raw float32", file, p.DataType)
	}
	var shape []int
	for _, d := range p.Dims {
		shape = append(shape, int(d))
	}
	x := tensor.New(tensor.Float32, shape...)
	for i := range x.F32() {
		x.F32()[i] = math.Float32frombits(binary.LittleEndian.Uint32(p.RawData[4*i:]))
	}
	return x
}

// uniform is an input with values in 0…1.
func uniform(seed uint64, shape ...int) *tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 0))
	x := tensor.New(tensor.Float32, shape...)
	for i := range x.F32() {
		x.F32()[i] = r.Float32()
	}
	return x
}

// largestDifference of two float32 tensors of one shape.
func largestDifference(t *testing.T, a, b *tensor.Tensor) float64 {
	t.Helper()
	if !a.Shape().Equal(b.Shape()) {
		t.Fatalf("got shape %v, want %v", a.Shape(), b.Shape())
	}
	var worst float64
	for i, v := range a.F32() {
		worst = max(worst, math.Abs(float64(v)-float64(b.F32()[i])))
	}
	return worst
}
