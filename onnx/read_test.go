package onnx

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/internal/onnxpb"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Shorthands for models in tests.

func add(name, a, b, out string) *onnxpb.Node {
	return &onnxpb.Node{Name: name, OpType: "Add", Inputs: []string{a, b}, Outputs: []string{out}}
}

func info(name string, dims ...any) *onnxpb.ValueInfo {
	shape := new(onnxpb.Shape)
	for _, d := range dims {
		switch d := d.(type) {
		case int:
			shape.Dims = append(shape.Dims, onnxpb.Dim{Value: int64(d), HasValue: true})
		case string:
			shape.Dims = append(shape.Dims, onnxpb.Dim{Param: d})
		default:
			shape.Dims = append(shape.Dims, onnxpb.Dim{})
		}
	}
	return &onnxpb.ValueInfo{Name: name, Type: &onnxpb.Type{Tensor: &onnxpb.TensorType{ElemType: onnxpb.DataFloat, Shape: shape}}}
}

func floats(name string, v ...float32) *onnxpb.Tensor {
	return &onnxpb.Tensor{Name: name, Dims: []int64{int64(len(v))}, DataType: onnxpb.DataFloat, FloatData: v}
}

// model returns a model with input x [N 2], initializer w [2] and output y.
func model(nodes ...*onnxpb.Node) *onnxpb.Model {
	return &onnxpb.Model{
		IRVersion: 8, OpsetImport: []onnxpb.OperatorSet{{Domain: "", Version: 17}},
		Graph: &onnxpb.Graph{
			Name: "g", Nodes: nodes, Initializers: []*onnxpb.Tensor{floats("w", 1, 2)},
			Inputs: []*onnxpb.ValueInfo{info("x", "N", 2)}, Outputs: []*onnxpb.ValueInfo{info("y", "N", 2)},
		},
	}
}

func marshal(t testing.TB, m *onnxpb.Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := m.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func mustRead(t testing.TB, m *onnxpb.Model) *ir.Graph {
	t.Helper()
	g, err := Read(marshal(t, m), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := ir.Verify(g); err != nil {
		t.Fatal(err)
	}
	return g
}

// describe prints a graph: inputs, stored values, nodes, outputs.
func describe(g *ir.Graph) string {
	var b strings.Builder
	for _, v := range g.Inputs {
		fmt.Fprintf(&b, "input %s %v\n", v.Name, v.Type)
	}
	for _, v := range g.Stored() {
		fmt.Fprintf(&b, "%v %s %v\n", v.Kind, v.Name, v.Type)
	}
	names := func(vs []*ir.Value) string {
		var s []string
		for _, v := range vs {
			if v == nil {
				s = append(s, "-")
			} else {
				s = append(s, v.Name)
			}
		}
		return strings.Join(s, " ")
	}
	for _, n := range g.Nodes() {
		fmt.Fprintf(&b, "%s = %s %s(%s)\n", names(n.Out), n.Name, n.Op.Kind(), names(n.In))
	}
	fmt.Fprintf(&b, "output %s\n", names(g.Outputs))
	return b.String()
}

func TestRead_Names(t *testing.T) {
	m := model(add("n1", "x", "w", "a"), add("", "a", "c", "y"))
	m.ProducerName, m.ProducerVersion, m.Domain, m.Doc, m.ModelVersion = "torch", "2.9", "org", "doc", 3
	m.Metadata = []onnxpb.Entry{{Key: "k", Value: "v"}}
	m.Graph.Nodes = append([]*onnxpb.Node{{
		Name: "const", OpType: "Constant", Outputs: []string{"c"},
		Attributes: []*onnxpb.Attribute{{Name: "value_float", Type: onnxpb.Float, F: 3}},
	}}, m.Graph.Nodes...)
	g := mustRead(t, m)
	want := `input x float32[N 2]
const w float32[2]
const c float32[]
a = n1 Add(x w)
y =  Add(a c)
output y
`
	if diff := cmp.Diff(want, describe(g)); diff != "" {
		t.Error(diff)
	}
	meta := ir.Meta{Producer: "torch", ProducerVersion: "2.9", Domain: "org", Doc: "doc", ModelVersion: 3, Opset: 17, Props: map[string]string{"k": "v"}}
	if diff := cmp.Diff(meta, g.Meta); diff != "" {
		t.Error(diff)
	}
	if got := g.Value("c").Data.F32()[0]; got != 3 {
		t.Errorf("constant is %v, want 3", got)
	}
}

func TestRead_UnsortedNodes(t *testing.T) {
	g := mustRead(t, model(add("last", "b", "w", "y"), add("first", "x", "w", "a"), add("mid", "a", "w", "b")))
	var order []string
	for _, n := range g.Nodes() {
		order = append(order, n.Name)
	}
	if want := []string{"first", "mid", "last"}; !slices.Equal(order, want) {
		t.Errorf("got order %v, want %v", order, want)
	}
}

func TestRead_InitializersListedAsInputs(t *testing.T) {
	m := model(add("n", "x", "w", "y"))
	m.IRVersion = 3
	m.Graph.Inputs = append(m.Graph.Inputs, info("w", 2))
	if g := mustRead(t, m); len(g.Inputs) != 1 {
		t.Errorf("got %d inputs, want only x", len(g.Inputs))
	}
}

func TestRead_Axes(t *testing.T) {
	m := model(add("n", "x", "x", "y"))
	for _, c := range []struct {
		dim  any
		want string
	}{
		{"batch", "batch"}, {"s0*2", "2*s0"}, {"3*s0", "3*s0"}, {"?", "?"}, {nil, "x_dim0"}, {-1, "x_dim0"},
		{"s0 + 1", "s0_+_1"}, {"7", "dim_7"}, {5, "5"}, {0, "0"}, {"floor(h/2)", "floor(h/2)"}, {"a\nb", "a_b"},
	} {
		m.Graph.Inputs[0] = info("x", c.dim, 2)
		g := mustRead(t, m)
		if got := g.Inputs[0].Type.Dims[0].String(); got != c.want {
			t.Errorf("axis %q: got %s, want %s", c.dim, got, c.want)
		}
	}
	m.Graph.Inputs = []*onnxpb.ValueInfo{info("x", nil, "x_dim0"), info("x2", "a b", "a_b")}
	g := mustRead(t, m)
	for _, v := range g.Inputs {
		if d := v.Type.Dims; d[0].Sym == d[1].Sym {
			t.Errorf("%s: different axes became one symbol: %v", v.Name, v.Type)
		}
	}
}

// problems reads a broken model and returns one line per problem.
func problems(t *testing.T, m *onnxpb.Model) []string {
	t.Helper()
	_, err := Read(marshal(t, m), "")
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want *Error", err)
	}
	var list []string
	for _, p := range e.Problems {
		list = append(list, p.String())
		if p.Reason == nil || len(list) < maxListed && !strings.Contains(err.Error(), p.String()) {
			t.Errorf("error text lacks %v", p)
		}
	}
	return list
}

func TestRead_Problems(t *testing.T) {
	node := func(opType, domain string, outs ...string) *onnxpb.Node {
		return &onnxpb.Node{Name: "n", OpType: opType, Domain: domain, Inputs: []string{"x", "w"}, Outputs: outs}
	}
	loop := node("If", "", "y")
	loop.Attributes = []*onnxpb.Attribute{{Name: "then_branch", Type: onnxpb.GraphAttribute, G: new(onnxpb.Graph)}}
	attr := add("n", "x", "w", "y")
	attr.Attributes = []*onnxpb.Attribute{
		{Name: "gain", Type: onnxpb.Int}, {Name: "gain", Type: onnxpb.Int}, {Name: "ref", Type: onnxpb.Int, RefAttr: "r"},
		{Name: "tp", Type: onnxpb.TypeAttribute},
	}
	edit := func(m *onnxpb.Model, f func(*onnxpb.Model)) *onnxpb.Model { f(m); return m }
	for _, c := range []struct {
		name  string
		model *onnxpb.Model
		want  []string // the beginning of each problem
	}{
		{"no graph", &onnxpb.Model{IRVersion: 8}, []string{"model: got no graph"}},
		{"versions", edit(model(add("n", "x", "w", "y")), func(m *onnxpb.Model) {
			m.IRVersion, m.OpsetImport = 99, []onnxpb.OperatorSet{{Version: 99}, {Domain: "d", Version: -1}}
		}), []string{"model: got IR version 99", "model: got opset 99, want 1 to 25", `model: got version -1 of domain "d"`}},
		{"two unsupported operators in a chain", model(
			node("Mystery", "", "a"), &onnxpb.Node{Name: "m", OpType: "Riddle", Domain: "com.acme", Inputs: []string{"a"}, Outputs: []string{"b"}},
			add("fine", "b", "w", "y"),
		), []string{`node "n" (Mystery, opset 17): operator is not supported`, `node "m" (com.acme.Riddle, opset 0): operator is not supported`}},
		{"control flow", model(loop), []string{`node "n" (If, opset 17): control flow`}},
		{"internal operator", model(node("ConvGradWeight", "internal", "y")), []string{`node "n" (internal.ConvGradWeight, opset 0): operator is not supported`}},
		{"attributes", model(attr), []string{`node "n" (Add, opset 17): attribute "gain" is given twice` + "\n" +
			`attribute "ref" refers to a function's attribute "r" outside of functions` + "\n" + `attribute "tp": type TYPE_PROTO is not supported`}},
		{"unknown attribute", model(&onnxpb.Node{OpType: "Add", Inputs: []string{"x", "w"}, Outputs: []string{"y"},
			Attributes: []*onnxpb.Attribute{{Name: "gain", Type: onnxpb.Int}}}), []string{`node "y" (Add, opset 17): attribute "gain" is not known at opset 17`}},
		{"cycle", model(add("n", "x", "b", "a"), add("m", "a", "w", "b"), add("o", "b", "w", "y")),
			[]string{`node "m" (Add, opset 17): input "a" depends on the node itself`}},
		{"own output", model(add("n", "x", "y", "y")), []string{`node "n" (Add, opset 17): input "y" depends on the node itself`}},
		{"missing inputs", model(add("n", "x", "nowhere", "a"), add("m", "nowhere", "w", "y")),
			[]string{`node "n" (Add, opset 17): input 1: no node, input or initializer is named "nowhere"`}},
		{"two values of one name", model(add("n", "x", "w", "y"), add("m", "x", "w", "y"), add("o", "x", "w", "w")),
			[]string{`node "m" (Add, opset 17): second value named "y"`, `node "o" (Add, opset 17): second value named "w"`}},
		{"one name twice in a node", model(&onnxpb.Node{Name: "n", OpType: "Split", Inputs: []string{"x"}, Outputs: []string{"y", "y"}}),
			[]string{`node "n" (Split, opset 17): second value named "y"`}},
		{"types do not fit", model(add("n", "x", "big", "y")), []string{`node "n" (Add, opset 17): input 1: no node`}},
		{"missing output", model(add("n", "x", "w", "z")), []string{`output "y": no node, input or initializer has this name`}},
		{"no outputs", edit(model(add("n", "x", "w", "y")), func(m *onnxpb.Model) { m.Graph.Outputs = nil }), []string{"model: got no outputs"}},
		{"output type", edit(model(add("n", "x", "w", "y")), func(m *onnxpb.Model) {
			m.Graph.Outputs[0].Type.Tensor.ElemType = onnxpb.DataInt64
		}), []string{`output "y": is declared as INT64, the operators give FLOAT`}},
		{"inputs", edit(model(add("n", "x", "w", "y")), func(m *onnxpb.Model) {
			noShape, noType := info("s"), info("t")
			noShape.Type.Tensor.Shape, noType.Type = nil, nil
			odd := info("o")
			odd.Type.Tensor.ElemType = 17
			m.Graph.Inputs = append(m.Graph.Inputs, info("x"), info(""), noShape, noType, odd, info("huge", 1<<40))
		}), []string{`input "x": second value`, `input "": has no name`, `input "s": got no shape`, `input "t": got type unknown`,
			`input "o": element type FLOAT8E4M3FN is not supported`, `input "huge": axis 0 has length 1099511627776`}},
		{"initializers", edit(model(add("n", "x", "w", "y")), func(m *onnxpb.Model) {
			m.Graph.Initializers = append(m.Graph.Initializers,
				&onnxpb.Tensor{Name: "short", Dims: []int64{1 << 40}, DataType: onnxpb.DataFloat, RawData: []byte{1}},
				&onnxpb.Tensor{Name: "over", Dims: []int64{1 << 62, 1 << 62}, DataType: onnxpb.DataFloat},
				&onnxpb.Tensor{Name: "neg", Dims: []int64{-1}, DataType: onnxpb.DataFloat},
				&onnxpb.Tensor{Name: "typed", Dims: []int64{1 << 40}, DataType: onnxpb.DataInt8, Int32Data: []int32{1}},
				&onnxpb.Tensor{Name: "complex", DataType: onnxpb.DataComplex64},
				&onnxpb.Tensor{Name: "axes", Dims: make([]int64, 1000), DataType: onnxpb.DataFloat},
				&onnxpb.Tensor{Name: "ext", Dims: []int64{2}, DataType: onnxpb.DataFloat, External: true},
			)
			m.Graph.SparseInitializer = []*onnxpb.SparseTensor{{Values: floats("sp", 1)}}
		}), []string{`initializer "short": got 1 bytes of raw data`, `initializer "over": `, `initializer "neg": axis 0 has length -1`,
			`initializer "typed": got 1 elements`, `initializer "complex": element type COMPLEX64`, `initializer "axes": got 1000 axes`,
			`initializer "ext": has external data, but the model comes from no folder`, `initializer "sp": is sparse`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := problems(t, c.model)
			if len(got) != len(c.want) {
				t.Fatalf("got %d problems, want %d:\n%s", len(got), len(c.want), strings.Join(got, "\n"))
			}
			for i, want := range c.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("got  %s\nwant %s…", got[i], want)
				}
			}
		})
	}
}

// A stand-in of the declared type lets the nodes behind an unsupported one be
// looked at.
func TestRead_ProblemsBehindUnsupported(t *testing.T) {
	m := model(&onnxpb.Node{Name: "u", OpType: "Mystery", Inputs: []string{"x"}, Outputs: []string{"a"}}, add("bad", "a", "w", "y"))
	m.Graph.ValueInfo = []*onnxpb.ValueInfo{info("a", 3, 5)}
	if got := problems(t, m); len(got) != 2 || !strings.HasPrefix(got[1], `node "bad" (Add`) {
		t.Errorf("got %q, want also the axes that do not fit w", got)
	}
}

func TestRead_Functions(t *testing.T) {
	twice := &onnxpb.Function{
		Name: "Twice", Domain: "own", Inputs: []string{"a", "skip"}, Outputs: []string{"r"},
		OpsetImport: []onnxpb.OperatorSet{{Version: 17}, {Domain: "own", Version: 1}},
		Attributes:  []string{"bias"},
		Defaults:    []*onnxpb.Attribute{{Name: "scale", Type: onnxpb.Float, F: 5}},
		Nodes: []*onnxpb.Node{
			{OpType: "Constant", Outputs: []string{"b"}, Attributes: []*onnxpb.Attribute{{Name: "value_float", Type: onnxpb.Float, RefAttr: "bias"}}},
			{OpType: "Constant", Outputs: []string{"s"}, Attributes: []*onnxpb.Attribute{{Name: "value_float", Type: onnxpb.Float, RefAttr: "scale"}}},
			{Name: "inner", OpType: "Add", Inputs: []string{"a", "b"}, Outputs: []string{"w"}},
			{OpType: "Add", Inputs: []string{"w", "s"}, Outputs: []string{"r"}},
		},
	}
	outer := &onnxpb.Function{
		Name: "Outer", Domain: "own", Inputs: []string{"x"}, Outputs: []string{"y"}, OpsetImport: twice.OpsetImport,
		Nodes: []*onnxpb.Node{{Name: "t", OpType: "Twice", Domain: "own", Inputs: []string{"x"}, Outputs: []string{"y"},
			Attributes: []*onnxpb.Attribute{{Name: "bias", Type: onnxpb.Float, F: 7}}}},
	}
	call := func(name, in, out string, bias float32) *onnxpb.Node {
		return &onnxpb.Node{Name: name, OpType: "Twice", Domain: "own", Inputs: []string{in, ""}, Outputs: []string{out},
			Attributes: []*onnxpb.Attribute{{Name: "bias", Type: onnxpb.Float, F: bias}}}
	}
	m := model(call("c", "x", "a", 2), call("c", "a", "b", 3), &onnxpb.Node{OpType: "Outer", Domain: "own", Inputs: []string{"b"}, Outputs: []string{"y"}})
	m.OpsetImport = append(m.OpsetImport, onnxpb.OperatorSet{Domain: "own", Version: 1})
	m.Functions = []*onnxpb.Function{twice, outer}
	g := mustRead(t, m)
	want := `input x float32[N 2]
const w float32[2]
const c/b float32[]
const c/s float32[]
const c/b_1 float32[]
const c/s_1 float32[]
const y/t/b float32[]
const y/t/s float32[]
c/w = c/inner Add(x c/b)
a =  Add(c/w c/s)
c/w_1 = c/inner Add(a c/b_1)
b =  Add(c/w_1 c/s_1)
y/t/w = y/t/inner Add(b y/t/b)
y =  Add(y/t/w y/t/s)
output y
`
	if diff := cmp.Diff(want, describe(g)); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]float32{"c/b": 2, "c/b_1": 3, "y/t/b": 7, "c/s": 5} {
		if got := g.Value(name).Data.F32()[0]; got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}

	t.Run("missing attribute", func(t *testing.T) {
		bad := model(&onnxpb.Node{Name: "c", OpType: "Twice", Domain: "own", Inputs: []string{"x"}, Outputs: []string{"y"},
			Attributes: []*onnxpb.Attribute{{Name: "typo", Type: onnxpb.Int}}})
		bad.Functions = m.Functions
		if got := problems(t, bad); !strings.Contains(got[0], `function has no attribute "typo"`) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("recursion", func(t *testing.T) {
		f := &onnxpb.Function{Name: "F", Domain: "own", Inputs: []string{"a"}, Outputs: []string{"b"},
			Nodes: []*onnxpb.Node{{OpType: "F", Domain: "own", Inputs: []string{"a"}, Outputs: []string{"b"}}}}
		bad := model(&onnxpb.Node{Name: "c", OpType: "F", Domain: "own", Inputs: []string{"x"}, Outputs: []string{"y"}})
		bad.Functions = []*onnxpb.Function{f}
		if got := problems(t, bad); !strings.Contains(got[0], "calls itself") {
			t.Errorf("got %q", got)
		}
	})
	t.Run("exponential", func(t *testing.T) {
		bad := model(&onnxpb.Node{Name: "c", OpType: "F40", Domain: "own", Inputs: []string{"x"}, Outputs: []string{"y"}})
		for i := range 41 {
			inner := fmt.Sprintf("F%d", i-1)
			f := &onnxpb.Function{Name: fmt.Sprintf("F%d", i), Domain: "own", Inputs: []string{"a"}, Outputs: []string{"c"}}
			f.Nodes = []*onnxpb.Node{
				{OpType: inner, Domain: "own", Inputs: []string{"a"}, Outputs: []string{"b"}},
				{OpType: inner, Domain: "own", Inputs: []string{"b"}, Outputs: []string{"c"}},
			}
			if i == 0 {
				f.OpsetImport = []onnxpb.OperatorSet{{Version: 17}}
				f.Nodes = []*onnxpb.Node{add("", "a", "a", "c")}
			}
			bad.Functions = append(bad.Functions, f)
		}
		if got := problems(t, bad); !strings.Contains(strings.Join(got, "\n"), "too many nodes") {
			t.Errorf("got %q", got)
		}
	})
}

func TestLoad_ExternalData(t *testing.T) {
	dir := t.TempDir()
	write := func(path string, n int) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "secret"), 100)
	write(filepath.Join(dir, "m", "sub", "w.bin"), 100)
	for link, target := range map[string]string{"out": filepath.Join(dir, "secret"), "up": "../secret", "in": "sub/w.bin"} {
		if err := os.Symlink(target, filepath.Join(dir, "m", link)); err != nil {
			t.Skipf("no symbolic links here: %v", err)
		}
	}
	for _, c := range []struct {
		location, offset, length string
		want                     string // of the error; empty: reads well
	}{
		{"sub/w.bin", "4", "8", ""},
		{"sub/w.bin", "", "", ""},
		{"sub/w.bin", "92", "8", ""},
		{"in", "3", "", ""},
		{"sub/../sub/w.bin", "0", "8", ""},
		{"sub/w.bin", "93", "8", "bytes 93 to 101"},
		{"sub/w.bin", "9223372036854775807", "", "which has 100"},
		{"sub/w.bin", "0", "9", "got 9 bytes, want 8"},
		{"sub/w.bin", "-1", "", "want a number of bytes"},
		{"sub/w.bin", "x", "", "want a number of bytes"},
		{"../secret", "0", "8", "want a path inside"},
		{"sub/../../secret", "0", "8", "want a path inside"},
		{filepath.Join(dir, "secret"), "0", "8", "want a path inside"},
		{"", "0", "8", "want a path inside"},
		{"out", "0", "8", "escapes"},
		{"up", "0", "8", "escapes"},
		{"sub", "0", "8", "not a regular file"},
		{"missing", "0", "8", "no such file"},
	} {
		m := model(add("n", "x", "w", "y"))
		ext := &onnxpb.Tensor{Name: "w", Dims: []int64{2}, DataType: onnxpb.DataFloat, External: true}
		for key, v := range map[string]string{"location": c.location, "offset": c.offset, "length": c.length} {
			if v != "" || key == "location" {
				ext.ExternalData = append(ext.ExternalData, onnxpb.Entry{Key: key, Value: v})
			}
		}
		m.Graph.Initializers = []*onnxpb.Tensor{ext}
		path := filepath.Join(dir, "m", "model.onnx")
		if err := os.WriteFile(path, marshal(t, m), 0o644); err != nil {
			t.Fatal(err)
		}
		g, err := Load(path)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%+v: %v", c, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "model.onnx")):
			t.Errorf("%+v: got error %v", c, err)
		case c.want == "" && g.Value("w").Data.Len() != 2:
			t.Errorf("%+v: got %v", c, g.Value("w").Data)
		}
	}
}

// Many tensors may not read the same bytes again and again.
func TestLoad_ExternalDataShared(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "w"), make([]byte, 8000), 0o644); err != nil {
		t.Fatal(err)
	}
	for n, ok := range map[int]bool{4: true, 5: false} {
		m := model(add("n", "x", "w0", "y"))
		m.Graph.Inputs[0] = info("x", 2000)
		m.Graph.Initializers = nil
		for i := range n {
			m.Graph.Initializers = append(m.Graph.Initializers, &onnxpb.Tensor{Name: fmt.Sprint("w", i), Dims: []int64{2000}, DataType: onnxpb.DataFloat,
				External: true, ExternalData: []onnxpb.Entry{{Key: "location", Value: "w"}}})
		}
		if _, err := Read(marshal(t, m), dir); (err == nil) != ok {
			t.Errorf("%d tensors on one range: %v", n, err)
		}
	}
}

func TestRead_NotAModel(t *testing.T) {
	for _, b := range [][]byte{nil, []byte("hello world"), {0xff}, bytes.Repeat([]byte{0}, 100)} {
		g, err := Read(b, "")
		var e *Error
		if !errors.As(err, &e) || g != nil {
			t.Errorf("%q: got %v, want *Error", b, err)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.onnx")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want os.ErrNotExist", err)
	}
}

func TestTensor_RoundTrip(t *testing.T) {
	for _, want := range []*tensor.Tensor{
		tensor.From([]float32{1, -2.5, 0}, 3),
		tensor.From([]float64{1, -2.5}, 1, 2),
		tensor.Wrap(tensor.Float16, []uint16{0x3c00, 0xffff}, 2),
		tensor.Wrap(tensor.BFloat16, []uint16{0x3f80}, 1),
		tensor.Wrap(tensor.Int4, []int8{-8, 7, -1}, 3),
		tensor.Wrap(tensor.Uint4, []uint8{15, 0, 9, 1, 2}, 5),
		tensor.From([]int8{-128, 127}, 2),
		tensor.From([]int16{-1, 300}, 2),
		tensor.From([]int32{-1, 1 << 30}, 2),
		tensor.Scalar[int64](-1 << 60),
		tensor.From([]uint8{255}, 1),
		tensor.From([]uint16{65535}, 1),
		tensor.From([]uint32{1 << 31}, 1),
		tensor.From([]uint64{1 << 63}, 1),
		tensor.From([]bool{true, false}, 2),
		tensor.From([]string{"a", ""}, 2),
		tensor.New(tensor.Float32, 2, 0, 3),
		tensor.New(tensor.Float32, 3*blockElements+1),
		tensor.New(tensor.Int4, 2*blockElements+1),
	} {
		var b bytes.Buffer
		if err := WriteTensor(&b, "name", want); err != nil {
			t.Errorf("%v: %v", want, err)
			continue
		}
		name, got, err := ReadTensor(b.Bytes())
		if err != nil || name != "name" || !got.Equal(want) {
			t.Errorf("%v: got %q %v, %v", want, name, got, err)
		}
	}
}

func TestReadTensor_TypedFields(t *testing.T) {
	for _, c := range []struct {
		p    onnxpb.Tensor
		want *tensor.Tensor
	}{
		{onnxpb.Tensor{DataType: onnxpb.DataFloat, FloatData: []float32{1.5, 2}}, tensor.From([]float32{1.5, 2}, 2)},
		{onnxpb.Tensor{DataType: onnxpb.DataDouble, DoubleData: []float64{1.5, 2}}, tensor.From([]float64{1.5, 2}, 2)},
		{onnxpb.Tensor{DataType: onnxpb.DataInt64, Int64Data: []int64{-1, 2}}, tensor.From([]int64{-1, 2}, 2)},
		{onnxpb.Tensor{DataType: onnxpb.DataInt32, Int32Data: []int32{-1, 2}}, tensor.From([]int32{-1, 2}, 2)},
		{onnxpb.Tensor{DataType: onnxpb.DataInt16, Int32Data: []int32{-1, 2}}, tensor.From([]int16{-1, 2}, 2)},
		{onnxpb.Tensor{DataType: onnxpb.DataInt8, Int32Data: []int32{-1, 2}}, tensor.From([]int8{-1, 2}, 2)},
		{onnxpb.Tensor{DataType: onnxpb.DataUint8, Int32Data: []int32{255, 2}}, tensor.From([]uint8{255, 2}, 2)},
		{onnxpb.Tensor{DataType: onnxpb.DataUint16, Int32Data: []int32{65535, 2}}, tensor.From([]uint16{65535, 2}, 2)},
		{onnxpb.Tensor{DataType: onnxpb.DataUint32, Uint64Data: []uint64{1 << 31, 2}}, tensor.From([]uint32{1 << 31, 2}, 2)},
		{onnxpb.Tensor{DataType: onnxpb.DataUint64, Uint64Data: []uint64{1 << 63, 2}}, tensor.From([]uint64{1 << 63, 2}, 2)},
		{onnxpb.Tensor{DataType: onnxpb.DataBool, Int32Data: []int32{1, 0}}, tensor.From([]bool{true, false}, 2)},
		{onnxpb.Tensor{DataType: onnxpb.DataFloat16, Int32Data: []int32{0x3c00, 0x4000}}, tensor.Wrap(tensor.Float16, []uint16{0x3c00, 0x4000}, 2)},
		{onnxpb.Tensor{DataType: onnxpb.DataBFloat16, Int32Data: []int32{0x3f80, 0xff80}}, tensor.Wrap(tensor.BFloat16, []uint16{0x3f80, 0xff80}, 2)},
		{onnxpb.Tensor{DataType: onnxpb.DataInt4, Int32Data: []int32{0x7f}}, tensor.Wrap(tensor.Int4, []int8{-1, 7}, 2)},
		{onnxpb.Tensor{DataType: onnxpb.DataUint4, Int32Data: []int32{0x7f}}, tensor.Wrap(tensor.Uint4, []uint8{15, 7}, 2)},
		{onnxpb.Tensor{DataType: onnxpb.DataString, StringData: [][]byte{[]byte("a"), []byte("b")}}, tensor.From([]string{"a", "b"}, 2)},
	} {
		c.p.Dims = []int64{2}
		var b bytes.Buffer
		if err := c.p.Encode(&b); err != nil {
			t.Fatal(err)
		}
		_, got, err := ReadTensor(b.Bytes())
		if err != nil || !got.Equal(c.want) {
			t.Errorf("%v: got %v, %v, want %v", c.p.DataType, got, err, c.want)
		}
	}
}

// Small files that ask for much work each; TestRead_Broken… has the random ones.
func TestRead_Amplification(t *testing.T) {
	many := func(n int, f func(i int) string) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = f(i)
		}
		return list
	}
	call := func(n int) []*onnxpb.Node {
		nodes := make([]*onnxpb.Node, n)
		for i := range nodes {
			nodes[i] = &onnxpb.Node{Name: strings.Repeat("long", 10000), OpType: "F", Domain: "own", Inputs: []string{"x"}, Outputs: []string{fmt.Sprint("v", i)}}
		}
		return nodes
	}
	ints := make([]int64, 1<<20)
	for _, c := range []struct {
		name string
		f    *onnxpb.Function
		n    int // calls
	}{
		{"long names", &onnxpb.Function{Nodes: []*onnxpb.Node{add("n", "a", "a", "b")}}, 300},
		{"many inputs", &onnxpb.Function{Inputs: many(30000, func(i int) string { return fmt.Sprint("in", i) })}, 300},
		{"node with many inputs", &onnxpb.Function{Nodes: []*onnxpb.Node{{OpType: "Add", Inputs: many(30000, func(int) string { return "a" }), Outputs: []string{"b"}}}}, 300},
		{"large constant", &onnxpb.Function{Nodes: []*onnxpb.Node{{OpType: "Constant", Outputs: []string{"b"},
			Attributes: []*onnxpb.Attribute{{Name: "value_ints", Type: onnxpb.Ints, Ints: ints}}}}}, 300},
		{"many attributes", &onnxpb.Function{Attributes: many(30000, func(i int) string { return fmt.Sprint("k", i) })}, 300},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.f.Name, c.f.Domain, c.f.Outputs = "F", "own", []string{"b"}
			c.f.Inputs = append([]string{"a"}, c.f.Inputs...)
			c.f.OpsetImport = []onnxpb.OperatorSet{{Version: 17}}
			m := model(call(c.n)...)
			m.Functions = []*onnxpb.Function{c.f}
			m.Graph.Outputs = []*onnxpb.ValueInfo{info("v0", "N", 2)}
			b := marshal(t, m)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Read(b, "")
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > uint64(1<<28+20*len(b)) {
				t.Errorf("%d bytes allocated for a file of %d (error: %.200v)", used, len(b), err)
			}
		})
	}
	t.Run("undefined inputs", func(t *testing.T) {
		m := model(&onnxpb.Node{OpType: "Sum", Inputs: many(50000, func(i int) string { return fmt.Sprint("in", i) }), Outputs: []string{"y"}})
		if got := problems(t, m); len(got) > maxProblems {
			t.Errorf("got %d problems", len(got))
		}
	})
}
