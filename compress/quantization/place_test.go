package quantization_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// net builds small graphs; values are named like the nodes that make them.
type net struct {
	*ir.Builder
	rng *rand.Rand
}

func newNet() *net {
	return &net{ir.NewBuilder(ir.New("net"), ""), rand.New(rand.NewPCG(1, 2))}
}

func (n *net) input(name string, dims ...int) *ir.Value {
	d := []ir.Dim{ir.Symbol("N")}
	for _, k := range dims {
		d = append(d, ir.Len(k))
	}
	return n.G.AddInput(name, ir.Type{DType: tensor.Float32, Dims: d})
}

func (n *net) param(name string, shape ...int) *ir.Value {
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.F32() {
		t.F32()[i] = float32(n.rng.NormFloat64())
	}
	return n.G.AddStored(ir.Parameter, name, t)
}

func (n *net) conv(name string, x *ir.Value, out int) *ir.Value {
	in, _ := x.Type.Dims[1].Known()
	return n.Op(op.Conv{}, name, x, n.param(name+".weight", out, in, 1, 1))
}

func (n *net) done(t *testing.T, out ...*ir.Value) *ir.Graph {
	t.Helper()
	n.G.Outputs = out
	if err := n.Err(); err != nil {
		t.Fatal(err)
	}
	if err := ir.Verify(n.G); err != nil {
		t.Fatal(err)
	}
	return n.G
}

func setup(t *testing.T, g *ir.Graph, o quantization.Options) *quantization.Setup {
	t.Helper()
	s, err := quantization.New(o).Setup(g)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*quantization.Setup)
}

// list prints quantizers as "value ← consumer:port …", weights with their axis.
func list(s *quantization.Setup) []string {
	var out []string
	for _, q := range s.Quantizers {
		var l strings.Builder
		l.WriteString(q.Value)
		if q.Kind == quantization.Weight {
			l.WriteString(fmt.Sprintf(" weight axis %d", q.Axis))
		}
		if q.Bits != 8 {
			l.WriteString(fmt.Sprintf(" %d bits", q.Bits))
		}
		if q.Group > 0 {
			l.WriteString(fmt.Sprintf(" group %d", q.Group))
		}
		l.WriteString(" ←")
		for _, u := range q.Consumers {
			l.WriteString(fmt.Sprintf(" %s:%d", u.Node, u.Port))
		}
		if q.Output {
			l.WriteString(" output")
		}
		out = append(out, l.String())
	}
	return out
}

// TestPlacement shows how requests travel, without the quantizers of
// convolutions' results that complete placement adds.
func TestPlacement(t *testing.T) {
	off, on := false, true
	for _, c := range []struct {
		name  string
		o     quantization.Options
		build func(t *testing.T, n *net) *ir.Graph
		want  []string
		float []string // "node: why"
	}{
		{"chain", quantization.Options{}, func(t *testing.T, n *net) *ir.Graph {
			x := n.conv("a", n.input("x", 3, 4, 4), 4)
			return n.done(t, n.conv("b", n.Op(op.MaxPool{Pool: op.Pool{Kernel: []int{2, 2}}}, "pool", n.Op(op.Relu{}, "relu", x)), 2))
		}, []string{"x ← a:0", "a.weight weight axis 0 ← a:1", "relu ← pool:0", "b.weight weight axis 0 ← b:1"},
			[]string{"relu: computed together with a"}},

		{"a reader in float", quantization.Options{}, func(t *testing.T, n *net) *ir.Graph {
			x := n.conv("a", n.input("x", 3, 4, 4), 4)
			p := n.Op(op.MaxPool{Pool: op.Pool{Kernel: []int{1, 1}}}, "pool", x)
			return n.done(t, n.conv("b", p, 2), n.Op(op.Softmax{Axis: 1}, "softmax", p))
		}, []string{"x ← a:0", "a.weight weight axis 0 ← a:1", "pool ← b:0", "b.weight weight axis 0 ← b:1"},
			[]string{"softmax: computes in float"}},

		{"chain of concatenations", quantization.Options{}, func(t *testing.T, n *net) *ir.Graph {
			x := n.input("x", 3, 4, 4)
			a := n.conv("a", x, 3)
			c1 := n.Op(op.Concat{Axis: 1}, "c1", x, a)
			b := n.conv("b", c1, 3)
			c2 := n.Op(op.Concat{Axis: 1}, "c2", c1, b)
			return n.done(t, n.conv("d", c2, 3))
		}, []string{"x group 1 ← a:0 c1:0", "a.weight weight axis 0 ← a:1", "a group 1 ← c1:1", "b.weight weight axis 0 ← b:1",
			"b group 1 ← c2:1", "d.weight weight axis 0 ← d:1"}, nil},

		{"concatenation with a constant", quantization.Options{}, func(t *testing.T, n *net) *ir.Graph {
			x := n.conv("a", n.input("x", 3, 4, 4), 3)
			k := n.Const("k", tensor.New(tensor.Float32, 1, 1, 4, 4))
			n.G.Inputs[0].Type.Dims[0] = ir.Len(1)
			x.Type.Dims[0] = ir.Len(1)
			return n.done(t, n.conv("b", n.Op(op.Concat{Axis: 1}, "c", x, k), 3))
		}, []string{"x ← a:0", "a.weight weight axis 0 ← a:1", "c ← b:0", "b.weight weight axis 0 ← b:1"}, nil},

		{"ignored operator between", quantization.Options{Scopes: compress.Scopes{Ignored: compress.Entries{"pool"}}}, func(t *testing.T, n *net) *ir.Graph {
			x := n.conv("a", n.input("x", 3, 4, 4), 4)
			return n.done(t, n.conv("b", n.Op(op.MaxPool{Pool: op.Pool{Kernel: []int{2, 2}}}, "pool", x), 2))
		}, []string{"x ← a:0", "a.weight weight axis 0 ← a:1", "pool ← b:0", "b.weight weight axis 0 ← b:1"},
			[]string{"pool: ignored scope; no quantizer passes"}},

		{"x·sigmoid(x) is one activation", quantization.Options{}, func(t *testing.T, n *net) *ir.Graph {
			x := n.conv("a", n.input("x", 3, 4, 4), 4)
			return n.done(t, n.conv("b", n.Op(op.Mul{}, "mul", x, n.Op(op.Sigmoid{}, "sigmoid", x)), 2))
		}, []string{"x ← a:0", "a.weight weight axis 0 ← a:1", "mul ← b:0", "b.weight weight axis 0 ← b:1"},
			[]string{"sigmoid: computed together with a", "mul: computed together with a"}},

		{"a gate of something else is not", quantization.Options{}, func(t *testing.T, n *net) *ir.Graph {
			x := n.conv("a", n.input("x", 3, 4, 4), 4)
			s := n.Op(op.Sigmoid{}, "sigmoid", n.conv("s", n.Op(op.GlobalAveragePool{}, "gap", x), 4))
			return n.done(t, n.conv("b", n.Op(op.Mul{}, "mul", x, s), 2))
		}, []string{"x ← a:0", "a.weight weight axis 0 ← a:1", "a ← gap:0 mul:0", "gap ← s:0", "s.weight weight axis 0 ← s:1",
			"sigmoid ← mul:1", "mul ← b:0", "b.weight weight axis 0 ← b:1"}, nil},

		{"masked weight", quantization.Options{}, func(t *testing.T, n *net) *ir.Graph {
			w := n.Op(op.Mul{}, "masked", n.param("w", 4, 3, 1, 1), n.Const("mask", tensor.New(tensor.Float32, 4, 3, 1, 1)))
			return n.done(t, n.Op(op.Conv{}, "a", n.input("x", 3, 4, 4), w))
		}, []string{"x ← a:0", "masked weight axis 0 ← a:1"}, nil},

		{"shared weight", quantization.Options{}, func(t *testing.T, n *net) *ir.Graph {
			w := n.param("w", 3, 3, 1, 1)
			a := n.Op(op.Conv{}, "a", n.input("x", 3, 4, 4), w)
			return n.done(t, n.Op(op.Conv{}, "b", a, w))
		}, []string{"x ← a:0", "w weight axis 0 ← a:1 b:1", "a ← b:0"}, nil},

		{"embedding", quantization.Options{}, func(t *testing.T, n *net) *ir.Graph {
			ids := n.G.AddInput("ids", ir.Type{DType: tensor.Int64, Dims: []ir.Dim{ir.Symbol("N")}})
			e := n.Op(op.Gather{}, "embed", n.param("table", 10, 6), ids)
			return n.done(t, n.Op(op.Gemm{}, "fc", e, n.param("fc.weight", 6, 5)))
		}, []string{"table weight axis -1 ← embed:0", "fc.weight weight axis 1 ← fc:1"}, nil},

		{"attention", quantization.Options{}, func(t *testing.T, n *net) *ir.Graph {
			x := n.input("x", 5, 6)
			q := n.Op(op.MatMul{}, "q", x, n.param("wq", 6, 6))
			k := n.Op(op.Transpose{Perm: []int{0, 2, 1}}, "kt", n.Op(op.MatMul{}, "k", x, n.param("wk", 6, 6)))
			p := n.Op(op.Softmax{Axis: -1}, "p", n.Op(op.MatMul{}, "qk", q, k))
			return n.done(t, n.Op(op.MatMul{}, "y", p, x))
		}, []string{"x ← q:0 k:0 y:1", "wq weight axis 1 ← q:1", "q ← qk:0", "wk weight axis 1 ← k:1", "k ← kt:0", "p ← y:0"},
			[]string{"p: computes in float"}},

		{"branches of different bits", quantization.Options{ScopeOverrides: quantization.Overrides{Activations: []quantization.Override{{Scope: "b", Bits: 4}}}}, func(t *testing.T, n *net) *ir.Graph {
			x := n.Op(op.MaxPool{Pool: op.Pool{Kernel: []int{1, 1}}}, "pool", n.input("x", 3, 4, 4))
			return n.done(t, n.conv("a", x, 3), n.conv("b", x, 3))
		}, []string{"pool ← a:0", "pool 4 bits ← b:0", "a.weight weight axis 0 ← a:1", "b.weight weight axis 0 ← b:1"}, nil},

		{"scales that the configuration ties", quantization.Options{Activations: quantization.Group{UnifiedScaleOps: [][]string{{"b", "c"}}}}, func(t *testing.T, n *net) *ir.Graph {
			x := n.Op(op.Relu{}, "relu", n.conv("a", n.input("x", 3, 4, 4), 3))
			return n.done(t, n.conv("c", n.Op(op.Relu{}, "relu2", n.conv("b", x, 3)), 3))
		}, []string{"x ← a:0", "a.weight weight axis 0 ← a:1", "relu group 1 ← b:0", "b.weight weight axis 0 ← b:1", "relu2 group 1 ← c:0", "c.weight weight axis 0 ← c:1"}, nil},

		{"scales of sums, NPU", quantization.Options{TargetDevice: "vpu"}, func(t *testing.T, n *net) *ir.Graph {
			x := n.Op(op.Relu{}, "relu", n.conv("a", n.input("x", 3, 4, 4), 3))
			return n.done(t, n.conv("c", n.Op(op.Add{}, "add", n.conv("b", x, 3), x), 3))
		}, []string{"x ← a:0", "a.weight weight axis 0 ← a:1", "relu group 1 ← b:0 add:1", "b.weight weight axis 0 ← b:1", "b group 1 ← add:0", "add ← c:0", "c.weight weight axis 0 ← c:1"}, nil},

		{"channel shuffle", quantization.Options{}, func(t *testing.T, n *net) *ir.Graph {
			x := n.Op(op.Relu{}, "relu", n.conv("a", n.input("x", 3, 4, 4), 4))
			half := func(name string, from int) *ir.Value {
				return n.Op(op.Gather{Axis: 1}, name, x, n.ConstInts(name+"/i", from, from+1))
			}
			c := n.Op(op.Concat{Axis: 1}, "c", half("left", 0), n.conv("b", half("right", 2), 2))
			return n.done(t, n.conv("d", c, 2))
		}, []string{"x ← a:0", "a.weight weight axis 0 ← a:1", "relu group 1 ← left:0 right:0", "b.weight weight axis 0 ← b:1",
			"b group 1 ← c:1", "d.weight weight axis 0 ← d:1"}, nil},

		{"decoding behind the last layer", quantization.Options{}, func(t *testing.T, n *net) *ir.Graph {
			a := n.conv("a", n.input("x", 3, 4, 4), 4)
			return n.done(t, n.Op(op.Add{}, "center", a, n.Op(op.Mul{}, "size", a, n.ConstF32("variance", 0.1))))
		}, []string{"x ← a:0", "a.weight weight axis 0 ← a:1"},
			[]string{"size: arithmetic behind the last layer", "center: arithmetic behind the last layer"}},

		{"outputs", quantization.Options{QuantizeOutputs: &on, QuantizeInputs: &off}, func(t *testing.T, n *net) *ir.Graph {
			return n.done(t, n.Op(op.Flatten{Axis: 1}, "flat", n.conv("a", n.input("x", 3, 4, 4), 3)))
		}, []string{"a.weight weight axis 0 ← a:1", "a ← flat:0"},
			[]string{`a: reads model input "x", and quantize_inputs is false`}},

		{"padding with zero and with one", quantization.Options{}, func(t *testing.T, n *net) *ir.Graph {
			pads := n.ConstInts("pads", 0, 0, 1, 1, 0, 0, 1, 1)
			a := n.conv("a", n.Op(op.Pad{}, "zeros", n.input("x", 3, 4, 4), pads), 3)
			return n.done(t, n.conv("b", n.Op(op.Pad{}, "ones", a, pads, n.ConstF32("one", 1)), 3))
		}, []string{"x ← zeros:0", "a.weight weight axis 0 ← a:1", "ones ← b:0", "b.weight weight axis 0 ← b:1"}, nil},

		{"activation functions on TRIAL", quantization.Options{TargetDevice: "TRIAL"}, func(t *testing.T, n *net) *ir.Graph {
			return n.done(t, n.Op(op.Tanh{}, "tanh", n.Op(op.GlobalAveragePool{}, "gap", n.input("x", 3, 4, 4))))
		}, []string{"x ← gap:0", "gap ← tanh:0"}, nil},

		{"activation functions", quantization.Options{}, func(t *testing.T, n *net) *ir.Graph {
			return n.done(t, n.Op(op.Tanh{}, "tanh", n.Op(op.GlobalAveragePool{}, "gap", n.input("x", 3, 4, 4))))
		}, []string{"x ← gap:0"}, []string{"tanh: function that runtimes compute in float"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Placement = quantization.PlacementNNCF
			g := c.build(t, newNet())
			before := fmt.Sprint(len(g.Nodes()), len(g.Stored()))
			s := setup(t, g, c.o)
			if got := list(s); !slices.Equal(got, c.want) {
				t.Errorf("quantizers:\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
			}
			for _, q := range s.Quantizers {
				if q.Rule == "" {
					t.Errorf("quantizer of %q has no rule", q.Value)
				}
			}
			var float []string
			for _, f := range s.Float {
				float = append(float, f.Node+": "+f.Why)
			}
			for _, w := range c.float {
				if !slices.Contains(float, w) {
					t.Errorf("operators in float: got %q, want also %q", float, w)
				}
			}
			if fmt.Sprint(len(g.Nodes()), len(g.Stored())) != before {
				t.Error("setup changed the graph")
			}
			// What was decided applies, also after a round trip through JSON.
			raw, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			back, err := quantization.Restore(raw)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := json.Marshal(back); err != nil || string(again) != string(raw) {
				t.Errorf("JSON round trip: got %s, want %s", again, raw)
			}
			if _, err := back.Apply(g, nil); err != nil {
				t.Fatal(err)
			}
			if err := ir.Verify(g); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestSetup_ReportsScopesThatMatchNothing(t *testing.T) {
	n := newNet()
	g := n.done(t, n.conv("conv1", n.input("x", 3, 4, 4), 4))
	_, err := quantization.New(quantization.Options{
		Scopes:         compress.Scopes{Ignored: compress.Entries{"conv2"}},
		Weights:        quantization.Group{Scopes: compress.Scopes{Target: compress.Entries{"fc"}}},
		ScopeOverrides: quantization.Overrides{Weights: []quantization.Override{{Scope: "conv3", Bits: 4}}},
	}).Setup(g)
	for _, want := range []string{`ignored_scopes: entry "conv2"`, `weights.target_scopes: entry "fc"`, `"conv3"`, `nearest: "conv1"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to contain %s", err, want)
		}
	}
}
