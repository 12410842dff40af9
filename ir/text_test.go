package ir_test

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

var update = flag.Bool("update", false, "rewrite golden files")

// sample has every kind of value, an omitted input and output, a node that a
// rule made, names that need quotes, and attributes.
const sample = `graph "a graph"
opset 13
producer pytorch 1.13
prop key "a \"value\""
input input float32[N 3 8 8]
param w float32[4 3 3 3]
const gamma float32[4] = 1 -0 +Inf 1e-20
const beta float32[4] = 0 0 0 0
state mean float32[4] = 0 0 0 0
state "var" float32[4] = 1 1 1 1
const "_" int64[2] = 0 -1
const flag bool[] = true
const bytes uint8[2] = 0 255
const low float32[] = 0
y float32[N 4 8 8] = Conv(input, w) {"Pads":[1,1,1,1]} "conv \\ 1"
y_bn float32[N 4 8 8], m float32[4], _ = BatchNormalization(y, gamma, beta, mean, var) {"Epsilon":1e-05,"Training":true} "bn" by "training-mode"
"output" float32[N 4 8 8] = Clip(y_bn, _, low) "clip"
c float16[N 4 8 8] = Cast("output") {"To":"float16"}
flat float16[N 256] = Reshape(c, "_") "flat"
assign mean = m
output flat
output "output"
`

func parse(t *testing.T, text string, data map[string]*tensor.Tensor) *ir.Graph {
	t.Helper()
	g, err := ir.Parse(text, data, op.New)
	if err != nil {
		t.Fatal(err)
	}
	if err := ir.Verify(g); err != nil {
		t.Fatal(err)
	}
	return g
}

func print(t *testing.T, g *ir.Graph) string {
	t.Helper()
	text, err := ir.Print(g)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func parseSample(t *testing.T) *ir.Graph {
	t.Helper()
	return parse(t, sample, map[string]*tensor.Tensor{"w": tensor.New(tensor.Float32, 4, 3, 3, 3)})
}

func TestPrint_Golden(t *testing.T) {
	g := parseSample(t)
	golden(t, "sample.txt", print(t, g))
	golden(t, "sample.dot", ir.DOT(g))
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// same compares two graphs part by part, without the printer.
func same(t *testing.T, a, b *ir.Graph) {
	t.Helper()
	value := func(v *ir.Value) string {
		if v == nil {
			return "_"
		}
		return v.Name + " " + v.Kind.String() + " " + v.Type.String()
	}
	values := func(list []*ir.Value) []string {
		out := []string{}
		for _, v := range list {
			out = append(out, value(v))
		}
		return out
	}
	type node struct {
		Name, Kind, Rule, Attrs string
		In, Out                 []string
	}
	type graph struct {
		Name                    string
		Meta                    ir.Meta
		Inputs, Outputs, Stored []string
		Nodes                   []node
		Assigns                 []string
	}
	flat := func(g *ir.Graph) graph {
		f := graph{Name: g.Name, Meta: g.Meta, Inputs: values(g.Inputs), Outputs: values(g.Outputs), Stored: values(g.Stored())}
		for _, n := range g.Nodes() {
			attrs, err := ir.Attributes(n.Op)
			if err != nil {
				t.Fatal(err)
			}
			f.Nodes = append(f.Nodes, node{n.Name, n.Op.Kind(), n.Rule, attrs, values(n.In), values(n.Out)})
		}
		for _, a := range g.Assigns {
			f.Assigns = append(f.Assigns, a.Dst.Name+" = "+a.Src.Name)
		}
		return f
	}
	if diff := cmp.Diff(flat(a), flat(b)); diff != "" {
		t.Errorf("graphs differ (-first +second):\n%s", diff)
	}
	for i, v := range a.Stored() {
		if !v.Data.Equal(b.Stored()[i].Data) {
			t.Errorf("elements of %q differ", v.Name)
		}
	}
	for i, n := range a.Nodes() {
		if diff := cmp.Diff(n.Op, b.Nodes()[i].Op, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
			t.Errorf("operator of %q: %s", n.Name, diff)
		}
	}
}

func TestPrint_RoundTrip(t *testing.T) {
	g := parseSample(t)
	text := print(t, g)
	back := parse(t, text, stored(g))
	same(t, g, back)
	if again := print(t, back); again != text {
		t.Errorf("printed again (-first +second):\n%s", cmp.Diff(text, again))
	}
}

func stored(g *ir.Graph) map[string]*tensor.Tensor {
	data := map[string]*tensor.Tensor{}
	for _, v := range g.Stored() {
		data[v.Name] = v.Data
	}
	return data
}

// TestPrint_Models prints and parses every shared model.
func TestPrint_Models(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testkit.Shared(t, "models"), "*", "*.onnx"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no models: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			g, err := onnx.Load(file)
			if err != nil {
				if strings.Contains(err.Error(), "operator is not supported") {
					t.Skip(err)
				}
				t.Fatal(err)
			}
			text := print(t, g)
			back := parse(t, text, stored(g))
			same(t, g, back)
			if print(t, back) != text {
				t.Error("the text changed")
			}
		})
	}
}

func TestParse_Errors(t *testing.T) {
	const head = "input x float32[N 3]\nconst c float32[2] = 1 2\n"
	for _, c := range []struct{ name, text, want string }{
		{"no such value", "y = Relu(z)", `no value is named "z"`},
		{"defined twice", "x = Relu(x)", `second value named "x"`},
		{"no such operator", "y = Nothing(x)", `unknown operator "Nothing"`},
		{"no such attribute", `y = Conv(x, c) {"Nothing":1}`, "unknown field"},
		{"open attributes", `y = Relu(x) {"a`, "attributes that end with }"},
		{"inference refuses", "y = Conv(x, c)", "Conv"},
		{"wrong type", "y float32[N 4] = Relu(x)", "the text says float32[N 4]"},
		{"bad type", "input z float32[-3]", "axis length -3"},
		{"bad element type", "input z float[3]", `unknown element type "float"`},
		{"too few elements", "const d float32[3] = 1 2", "2 elements for shape"},
		{"huge shape", "const d float32[4294967296 4294967296] = 1", "1 elements for shape"},
		{"bad element", "const d int64[1] = 1.5", "invalid syntax"},
		{"elements missing", "const d float32[2]", "neither in the text nor given"},
		{"symbolic constant", "const d float32[N]", "known axes"},
		{"rest", "output x y", "the end of the line"},
		{"assign to a constant", "assign c = x", "want a state"},
		{"too many outputs", "a, b = Relu(x)", "outputs"},
		{"no operator", "y = ", "an operator and its inputs"},
		{"no comma", "y = Add(x x)", ", or )"},
		{"open quote", `y = Relu("x)`, "quoted name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ir.Parse(head+c.text+"\n", nil, op.New)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "line 3") {
				t.Errorf("got error %v, want one of line 3 that says %q", err, c.want)
			}
		})
	}
	_, err := ir.Parse(head+"a = Relu(p)\nb = Relu(q)\n", nil, op.New)
	if err == nil || !strings.Contains(err.Error(), `"p"`) || !strings.Contains(err.Error(), `"q"`) {
		t.Errorf("got %v, want both problems", err)
	}
}

// FuzzParse: no text panics, and what parses prints and parses again.
func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add("y, _ = Relu(x) {} \"n\" by r\n")
	f.Add("const c float32[2] = NaN -Inf\noutput c")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := ir.Parse(text, nil, op.New)
		if err != nil {
			return
		}
		out, err := ir.Print(g)
		if err != nil {
			return
		}
		back, err := ir.Parse(out, stored(g), op.New)
		if err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		if again, _ := ir.Print(back); again != out {
			t.Fatalf("first\n%s\nthen\n%s", out, again)
		}
	})
}
