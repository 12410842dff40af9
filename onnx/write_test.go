package onnx

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/internal/atomicfile"
	"github.com/go-nncf/nncf/internal/onnxpb"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// written writes a graph and decodes the messages.
func written(t testing.TB, g *ir.Graph, opts Options) *onnxpb.Model {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, g, opts); err != nil {
		t.Fatal(err)
	}
	m, err := onnxpb.DecodeModel(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// built returns a graph y = x + w made in Go.
func built() *ir.Graph {
	g := ir.New("built")
	b := ir.NewBuilder(g, "")
	x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{ir.Symbol("N"), {Sym: "N", N: 3}, ir.Unknown(), ir.Len(4)}})
	w := g.AddStored(ir.Parameter, "w", tensor.From([]float32{1, 2, 3, 4}, 4))
	g.Outputs = []*ir.Value{b.Op(op.Add{}, "y", x, w)}
	return g
}

func TestWrite_Messages(t *testing.T) {
	g := built()
	g.Meta.Props = map[string]string{"b": "2", "a": "1"}
	got := written(t, g, Options{Producer: "nncf", ProducerVersion: "0.1"})
	typ := toType(g.Inputs[0].Type)
	want := &onnxpb.Model{
		IRVersion: 8, ProducerName: "nncf", ProducerVersion: "0.1", OpsetImport: []onnxpb.OperatorSet{{Version: 17}},
		Metadata: []onnxpb.Entry{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}},
		Graph: &onnxpb.Graph{
			Name:  "built",
			Nodes: []*onnxpb.Node{{Name: "y", OpType: "Add", Inputs: []string{"x", "w"}, Outputs: []string{"y"}}},
			Initializers: []*onnxpb.Tensor{{Name: "w", Dims: []int64{4}, DataType: onnxpb.DataFloat,
				RawData: []byte{0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64, 0, 0, 128, 64}}},
			Inputs:  []*onnxpb.ValueInfo{{Name: "x", Type: typ}},
			Outputs: []*onnxpb.ValueInfo{{Name: "y", Type: typ}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	dims := []onnxpb.Dim{{Param: "N"}, {Param: "3*N"}, {}, {Value: 4, HasValue: true}}
	if diff := cmp.Diff(dims, typ.Tensor.Shape.Dims); diff != "" {
		t.Error(diff)
	}
}

func TestWrite_Versions(t *testing.T) {
	for _, c := range []struct {
		model, asked   int
		opset, version int64
	}{
		{0, 0, 17, 8}, {9, 0, 13, 7}, {13, 0, 13, 7}, {14, 0, 14, 7}, {18, 0, 18, 8}, {22, 0, 22, 10}, {25, 0, 25, 13},
		{17, 7, 7, 4}, {17, 9, 9, 4}, {17, 10, 10, 5}, {17, 11, 11, 6}, {9, 19, 19, 9}, {17, 21, 21, 10}, {17, 23, 23, 11},
	} {
		g := built()
		g.Meta.Opset = c.model
		m := written(t, g, Options{Opset: c.asked})
		if m.OpsetImport[0].Version != c.opset || m.IRVersion != c.version {
			t.Errorf("model %d, asked %d: got opset %d, IR %d, want %d, %d", c.model, c.asked, m.OpsetImport[0].Version, m.IRVersion, c.opset, c.version)
		}
	}
	g := built()
	g.AddStored(ir.Constant, "q", tensor.New(tensor.Int4, 3))
	if m := written(t, g, Options{Opset: 13}); m.IRVersion != 10 {
		t.Errorf("4-bit tensors: got IR %d, want 10", m.IRVersion)
	}
	for _, opset := range []int{6, 26, -1} {
		if err := Write(&bytes.Buffer{}, g, Options{Opset: opset}); err == nil {
			t.Errorf("opset %d is accepted", opset)
		}
	}
}

func TestWrite_NodeNames(t *testing.T) {
	m := model(add("n", "x", "w", "a"), add("n", "a", "w", "b"), add("n_1", "b", "w", "c"), add("", "c", "w", "d"), add("n", "d", "w", "y"))
	var got []string
	for _, n := range written(t, mustRead(t, m), Options{}).Graph.Nodes {
		got = append(got, n.Name)
	}
	if diff := cmp.Diff([]string{"n", "n_2", "n_1", "", "n_3"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestWrite_Problems(t *testing.T) {
	g := built()
	b := ir.NewBuilder(g, "grad")
	x := g.AddInput("img", ir.MakeType(tensor.Float32, 1, 1, 5, 5))
	dy := g.AddInput("dy", ir.MakeType(tensor.Float32, 1, 1, 3, 3))
	b.Op(op.ConvGradWeight{Kernel: []int{3, 3}}, "gw", x, dy)
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	state := g.AddStored(ir.State, "mean", tensor.From([]float32{0}, 1))
	g.Assigns = []ir.Assign{{Dst: state, Src: state}}
	err := Write(&bytes.Buffer{}, g, Options{})
	var e *Error
	if !errors.As(err, &e) || len(e.Problems) != 2 {
		t.Fatalf("got %v, want 2 problems", err)
	}
	for i, want := range []string{`state "mean"`, `node "gw" (internal.ConvGradWeight`} {
		if !strings.HasPrefix(e.Problems[i].String(), want) {
			t.Errorf("got %v, want %s…", e.Problems[i], want)
		}
	}
	if err := Write(&bytes.Buffer{}, ir.New("empty"), Options{}); err == nil {
		t.Error("a graph without outputs is written")
	}
}

func TestSave_External(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	g := built()
	big := tensor.New(tensor.Float32, 3000)
	for i := range big.F32() {
		big.F32()[i] = float32(i)
	}
	for _, name := range []string{"big1", "big2"} {
		g.AddStored(ir.Constant, name, big)
	}
	if err := Save(path, g, Options{External: true}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || len(b) > 2000 {
		t.Errorf("the model has %d bytes, %v, want the weights elsewhere", len(b), err)
	}
	m, err := onnxpb.DecodeModel(b)
	if err != nil {
		t.Fatal(err)
	}
	want := []onnxpb.Entry{{Key: "location", Value: "m.onnx.data"}, {Key: "offset", Value: "12288"}, {Key: "length", Value: "12000"}}
	if got := m.Graph.Initializers[2].ExternalData; !cmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if m.Graph.Initializers[0].External {
		t.Error("16 bytes are external")
	}
	back, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"w", "big1", "big2"} {
		if !back.Value(name).Data.Equal(g.Value(name).Data) {
			t.Errorf("%s changed", name)
		}
	}
	if err := Write(&bytes.Buffer{}, g, Options{External: true}); err == nil {
		t.Error("Write accepts External")
	}
	files, _ := filepath.Glob(filepath.Join(dir, ".*"))
	if len(files) != 0 {
		t.Errorf("left behind: %v", files)
	}
}

// A file that cannot be written leaves the old one as it was.
func TestSave_Atomic(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	if err := Save(path, built(), Options{}); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if err := Save(path, ir.New("broken"), Options{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error with the path", err)
	}
	if err := atomicfile.Write(path, (&onnxpb.Model{Graph: &onnxpb.Graph{Initializers: []*onnxpb.Tensor{{Payload: failingPayload{}}}}}).Encode); err == nil {
		t.Error("no error from a failing tensor")
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the old file changed")
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	if info, _ := os.Stat(path); info.Mode().Perm()&0o044 == 0 {
		t.Errorf("mode %v", info.Mode())
	}
}

type failingPayload struct{}

func (failingPayload) Size() int { return 1 << 20 }

func (failingPayload) WriteTo(io.Writer) (int64, error) { return 0, io.ErrUnexpectedEOF }

func TestWrite_Functions(t *testing.T) {
	inner := &onnxpb.Function{Name: "Inner", Domain: "own", Inputs: []string{"a"}, Outputs: []string{"b"}, OpsetImport: []onnxpb.OperatorSet{{Version: 17}},
		Nodes: []*onnxpb.Node{{OpType: "Relu", Inputs: []string{"a"}, Outputs: []string{"b"}}}}
	add2 := &onnxpb.Function{Name: "Add", Inputs: []string{"a", "b"}, Outputs: []string{"c"}, OpsetImport: []onnxpb.OperatorSet{{Version: 17}, {Domain: "own", Version: 2}},
		Nodes: []*onnxpb.Node{{OpType: "Inner", Domain: "own", Inputs: []string{"a"}, Outputs: []string{"c"}}}}
	unused := &onnxpb.Function{Name: "Unused", Domain: "own"}
	m := written(t, built(), Options{Functions: []*onnxpb.Function{unused, inner, add2}, Opset: 13})
	if len(m.Functions) != 2 || m.Functions[0].Name != "Add" || m.Functions[1].Name != "Inner" {
		t.Errorf("got functions %v, want Add and what it calls", m.Functions)
	}
	if m.IRVersion != 8 {
		t.Errorf("got IR %d, want 8", m.IRVersion)
	}
	if want := []onnxpb.OperatorSet{{Version: 13}, {Domain: "own", Version: 2}}; !cmp.Equal(m.OpsetImport, want) {
		t.Errorf("got opsets %v, want %v", m.OpsetImport, want)
	}
}

func TestWrite_Types(t *testing.T) {
	m := written(t, mustRead(t, model(add("n", "x", "w", "a"), add("m", "a", "w", "y"))), Options{Types: true})
	if diff := cmp.Diff([]*onnxpb.ValueInfo{info("a", "N", 2)}, m.Graph.ValueInfo); diff != "" {
		t.Error(diff)
	}
}
