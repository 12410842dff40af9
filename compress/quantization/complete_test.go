package quantization_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// norm is batch normalization with statistics of its own.
func (n *net) norm(name string, x *ir.Value) *ir.Value {
	c, _ := x.Type.Dims[1].Known()
	stat := func(suffix string, kind ir.ValueKind) *ir.Value {
		t := tensor.New(tensor.Float32, c)
		for i := range t.F32() {
			t.F32()[i] = float32(0.5 + n.rng.Float64())
		}
		return n.G.AddStored(kind, name+"."+suffix, t)
	}
	return n.Op(op.BatchNormalization{Epsilon: 1e-5}, name, x, stat("weight", ir.Parameter), stat("bias", ir.Parameter), stat("mean", ir.State), stat("var", ir.State))
}

func (n *net) relu(name string, x *ir.Value) *ir.Value { return n.Op(op.Relu{}, name, x) }

// cbr is convolution, normalization, rectification: name, name/bn, name/relu.
func (n *net) cbr(name string, x *ir.Value, out int) *ir.Value {
	return n.relu(name+"/relu", n.norm(name+"/bn", n.conv(name, x, out)))
}

func (n *net) gate(name string, x *ir.Value, act ir.Op) *ir.Value {
	c, _ := x.Type.Dims[1].Known()
	s := n.relu(name+"/relu", n.conv(name+"/down", n.Op(op.GlobalAveragePool{}, name+"/gap", x), 2))
	return n.Op(op.Mul{}, name+"/mul", x, n.Op(act, name+"/act", n.conv(name+"/up", s, c)))
}

// shapes are the blocks of known networks.
var shapes = []struct {
	name  string
	build func(t *testing.T, n *net) *ir.Graph
	want  []string // activation quantizers, as list prints them
}{
	{"resnet bottleneck", func(t *testing.T, n *net) *ir.Graph {
		x := n.cbr("stem", n.input("x", 3, 4, 4), 4)
		y := n.norm("c/bn", n.conv("c", n.cbr("b", n.cbr("a", x, 2), 2), 8))
		d := n.norm("down/bn", n.conv("down", x, 8))
		z := n.relu("out", n.Op(op.Add{}, "add", y, d))
		return n.done(t, n.Op(op.Gemm{TransB: true}, "fc", n.Op(op.Flatten{Axis: 1}, "flat", n.Op(op.GlobalAveragePool{}, "gap", z)), n.param("fc.weight", 10, 8)))
	}, []string{"x ← stem:0", "stem/relu ← a:0 down:0", "a/relu ← b:0", "b/relu ← c:0", "c/bn ← add:0", "down/bn ← add:1", "out ← gap:0", "gap ← flat:0"}},

	{"mobilenet v3: hard swish and a gate", func(t *testing.T, n *net) *ir.Graph {
		x := n.Op(op.HardSwish{}, "stem/hs", n.norm("stem/bn", n.conv("stem", n.input("x", 3, 4, 4), 4)))
		g := n.gate("se", n.cbr("a", x, 4), op.HardSigmoid{Alpha: 1. / 6, Beta: 0.5})
		y := n.norm("b/bn", n.conv("b", g, 4))
		return n.done(t, n.cbr("c", n.Op(op.Add{}, "add", x, y), 4))
	}, []string{"x ← stem:0", "stem/bn ← stem/hs:0", "stem/hs ← a:0 add:0", "a/relu ← se/gap:0 se/mul:0", "se/gap ← se/down:0", "se/relu ← se/up:0",
		"se/up ← se/act:0", "se/act ← se/mul:1", "se/mul ← b:0", "b/bn ← add:1", "add ← c:0", "c/relu ← output"}},

	{"efficientnet: silu takes three quantizers", func(t *testing.T, n *net) *ir.Graph {
		x := n.norm("a/bn", n.conv("a", n.input("x", 3, 4, 4), 4))
		y := n.Op(op.Mul{}, "mul", x, n.Op(op.Sigmoid{}, "sigmoid", x))
		return n.done(t, n.conv("b", y, 2))
	}, []string{"x ← a:0", "a/bn ← sigmoid:0 mul:0", "sigmoid ← mul:1", "mul ← b:0", "b ← output"}},

	{"densenet: normalization behind concatenations", func(t *testing.T, n *net) *ir.Graph {
		x := n.Op(op.MaxPool{Pool: op.Pool{Kernel: []int{2, 2}}}, "pool", n.cbr("stem", n.input("x", 3, 4, 4), 4))
		layer := func(name string, x *ir.Value) *ir.Value {
			return n.conv(name+"/2", n.cbr(name+"/1", n.relu(name+"/relu0", n.norm(name+"/bn0", x)), 4), 2)
		}
		f1 := layer("l1", x)
		c1 := n.Op(op.Concat{Axis: 1}, "c1", x, f1)
		f2 := layer("l2", c1)
		c2 := n.Op(op.Concat{Axis: 1}, "c2", x, f1, f2)
		y := n.conv("t", n.relu("t/relu", n.norm("t/bn", c2)), 4)
		p := n.Op(op.AveragePool{Pool: op.Pool{Kernel: []int{2, 2}}}, "avg", y)
		return n.done(t, n.relu("last", n.norm("last/bn", p)))
	}, []string{"x ← stem:0", "stem/relu ← pool:0", "l1/relu0 ← l1/1:0", "l1/1/relu ← l1/2:0", "l1/2 ← c1:1 c2:1", "l2/relu0 ← l2/1:0", "l2/1/relu ← l2/2:0",
		"l2/2 ← c2:2", "t/relu ← t:0", "t ← avg:0", "avg ← last/bn:0"}},

	{"inception: branches meet in a concatenation", func(t *testing.T, n *net) *ir.Graph {
		x := n.cbr("stem", n.input("x", 3, 4, 4), 4)
		p := n.cbr("p", n.Op(op.MaxPool{Pool: op.Pool{Kernel: []int{1, 1}}}, "pool", x), 2)
		c := n.Op(op.Concat{Axis: 1}, "cat", n.cbr("a", x, 2), n.cbr("b2", n.cbr("b1", x, 2), 2), p)
		return n.done(t, n.cbr("next", c, 2))
	}, []string{"x ← stem:0", "stem/relu ← pool:0 a:0 b1:0", "p/relu group 1 ← cat:2", "a/relu group 1 ← cat:0", "b1/relu ← b2:0", "b2/relu group 1 ← cat:1", "next/relu ← output"}},

	{"ssd heads", func(t *testing.T, n *net) *ir.Graph {
		x := n.cbr("stem", n.input("x", 3, 4, 4), 4)
		y := n.cbr("down", x, 4)
		head := func(name string, x *ir.Value) *ir.Value {
			return n.Op(op.Flatten{Axis: 1}, name+"/flat", n.Op(op.Transpose{Perm: []int{0, 2, 3, 1}}, name+"/t", n.conv(name, x, 2)))
		}
		return n.done(t, n.Op(op.Concat{Axis: 1}, "loc", head("loc1", x), head("loc2", y)), n.Op(op.Sigmoid{}, "conf/s", n.conv("conf", y, 3)))
	}, []string{"x ← stem:0", "stem/relu ← down:0 loc1:0", "down/relu ← loc2:0 conf:0", "loc1 ← loc1/t:0", "loc2 ← loc2/t:0", "conf ← conf/s:0"}},

	{"one module at two places", func(t *testing.T, n *net) *ir.Graph {
		w := n.param("w", 3, 3, 1, 1)
		a := n.relu("a/relu", n.Op(op.Conv{}, "a", n.input("x", 3, 4, 4), w))
		return n.done(t, n.Op(op.Add{}, "add", n.Op(op.Conv{}, "b", a, w), a))
	}, []string{"x ← a:0", "a/relu ← b:0 add:1", "b ← add:0"}},

	{"encoder with attention", func(t *testing.T, n *net) *ir.Graph {
		linear := func(name string, x *ir.Value, in, out int) *ir.Value {
			return n.Op(op.Add{}, name, n.Op(op.MatMul{}, name+"/mm", x, n.param(name+".weight", in, out)), n.param(name+".bias", out))
		}
		norm := func(name string, x *ir.Value) *ir.Value {
			return n.Op(op.LayerNormalization{Axis: -1, Epsilon: 1e-5}, name, x, n.param(name+".weight", 6), n.param(name+".bias", 6))
		}
		x := n.input("x", 5, 6)
		a := norm("ln1", x)
		k := n.Op(op.Transpose{Perm: []int{0, 2, 1}}, "kt", linear("k", a, 6, 6))
		p := n.Op(op.Softmax{Axis: -1}, "p", n.Op(op.MatMul{}, "qk", linear("q", a, 6, 6), k))
		x = n.Op(op.Add{}, "sum1", x, linear("proj", n.Op(op.MatMul{}, "pv", p, linear("v", a, 6, 6)), 6, 6))
		y := linear("fc2", n.Op(op.Gelu{}, "gelu", linear("fc1", norm("ln2", x), 6, 8)), 8, 6)
		return n.done(t, linear("head", n.Op(op.Add{}, "sum2", x, y), 6, 3))
	}, []string{"x ← ln1:0 sum1:0", "ln1 ← k/mm:0 q/mm:0 v/mm:0", "k ← kt:0", "q ← qk:0", "p ← pv:0", "v ← pv:1", "pv ← proj/mm:0", "proj ← sum1:1",
		"sum1 ← ln2:0 sum2:0", "ln2 ← fc1/mm:0", "gelu ← fc2/mm:0", "fc2 ← sum2:1", "sum2 ← head/mm:0"}},

	{"pre-activation: the sum is read by a normalization", func(t *testing.T, n *net) *ir.Graph {
		x := n.conv("stem", n.input("x", 3, 4, 4), 4)
		y := n.conv("a", n.relu("relu", n.norm("bn", x)), 4)
		return n.done(t, n.cbr("last", n.Op(op.Add{}, "add", x, y), 4))
	}, []string{"x ← stem:0", "stem ← bn:0 add:0", "relu ← a:0", "a ← add:1", "add ← last:0", "last/relu ← output"}},
}

func TestPlacement_Complete(t *testing.T) {
	for _, c := range shapes {
		t.Run(c.name, func(t *testing.T) {
			g := c.build(t, newNet())
			s := setup(t, g, quantization.Options{})
			var got []string
			for _, line := range list(s) {
				if !strings.Contains(line, " weight ") {
					got = append(got, line)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("quantizers of activations:\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
			}
			if _, err := s.Apply(g, nil); err != nil {
				t.Fatal(err)
			}
			for _, n := range g.Nodes() {
				if n.Op.Kind() == "Conv" {
					checkConvolution(t, g, n)
				}
			}
		})
	}
}

// checkConvolution reports a convolution that runtimes would compute in float:
// one whose result, behind batch normalization and Relu, something reads that is
// not a quantizer.
func checkConvolution(t *testing.T, g *ir.Graph, n *ir.Node) {
	t.Helper()
	for port := range 2 {
		if d := n.In[port].Def; d == nil || !strings.HasPrefix(d.Op.Kind(), "FakeQuantize") && d.Op.Kind() != "MaxPool" && d.Op.Kind() != "Concat" {
			t.Errorf("%s: input %d is not quantized", n.Name, port)
		}
	}
	v := n.Out[0]
	for len(v.Uses()) == 1 && (v.Uses()[0].Node.Op.Kind() == "Relu" || v.Uses()[0].Node.Op.Kind() == "BatchNormalization") {
		v = v.Uses()[0].Node.Out[0]
	}
	if slices.Contains(g.Outputs, v) {
		t.Errorf("%s: its result is an output in float", n.Name)
	}
	for _, u := range v.Uses() {
		if !strings.HasPrefix(u.Node.Op.Kind(), "FakeQuantize") {
			t.Errorf("%s: %s reads its result in float", n.Name, u.Node.Name)
		}
	}
}

// A convolution of inputs that stay in float gets no quantizer for its own sake.
func TestPlacement_CompleteFloatInputs(t *testing.T) {
	off := false
	n := newNet()
	g := n.done(t, n.Op(op.Sigmoid{}, "s", n.conv("b", n.conv("a", n.input("x", 3, 4, 4), 4), 2)))
	s := setup(t, g, quantization.Options{QuantizeInputs: &off})
	if got, want := list(s), []string{"a.weight weight axis 0 ← a:1", "a ← b:0", "b.weight weight axis 0 ← b:1", "b ← s:0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	g = n.done(t, n.Op(op.Sigmoid{}, "s2", g.Value("a")))
	s = setup(t, g, quantization.Options{QuantizeInputs: &off})
	for _, q := range s.Quantizers {
		if q.Value == "a" && slices.ContainsFunc(q.Consumers, func(u quantization.Use) bool { return u.Node == "s2" }) {
			t.Errorf("got a quantizer for %v behind a convolution in float", q.Consumers)
		}
	}
}

// A result that the model quantizes itself gets no second quantizer.
func TestPlacement_CompleteTwice(t *testing.T) {
	n := newNet()
	g := n.done(t, n.relu("s", n.conv("b", n.relu("r", n.conv("a", n.input("x", 3, 4, 4), 4)), 2)))
	if _, err := setup(t, g, quantization.Options{}).Apply(g, nil); err != nil {
		t.Fatal(err)
	}
	if s := setup(t, g, quantization.Options{}); len(s.Quantizers) != 0 {
		t.Errorf("got %q behind and in front of quantizers, want none", list(s))
	}
}

// What the user wants in float stays there, with the convolution in front of it.
func TestPlacement_CompleteLeaves(t *testing.T) {
	off := false
	build := func(t *testing.T) *ir.Graph {
		n := newNet()
		return n.done(t, n.conv("b", n.Op(op.Sigmoid{}, "s", n.conv("a", n.input("x", 3, 4, 4), 4)), 2))
	}
	for _, c := range []struct {
		name  string
		o     quantization.Options
		float string
	}{
		{"ignored reader", quantization.Options{Scopes: compress.Scopes{Ignored: compress.Entries{"s"}}}, "a: ONNX Runtime computes it in float: its reader s is an ignored scope"},
		{"output", quantization.Options{QuantizeOutputs: &off}, `b: ONNX Runtime computes it in float: output "b" of the graph, and quantize_outputs is false`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := setup(t, build(t), c.o)
			node, _, _ := strings.Cut(c.float, ":")
			for _, q := range s.Quantizers {
				if q.Value == node {
					t.Errorf("got a quantizer of %s", q.Value)
				}
			}
			var got []string
			for _, f := range s.Float {
				got = append(got, f.Node+": "+f.Why)
			}
			if !slices.Contains(got, c.float) {
				t.Errorf("got %q, want also %q", got, c.float)
			}
		})
	}
}

// The shape of a convolution's result is taken from the quantized one, so that
// nothing else reads what the convolution computes.
func TestPlacement_CompleteShape(t *testing.T) {
	n := newNet()
	a := n.conv("a", n.input("x", 3, 4, 4), 4)
	g := n.done(t, n.Op(op.Reshape{}, "r", n.conv("b", a, 4), n.Op(op.Shape{}, "shape", a)))
	if _, err := setup(t, g, quantization.Options{}).Apply(g, nil); err != nil {
		t.Fatal(err)
	}
	if uses := g.Value("a").Uses(); len(uses) != 1 || g.Value("shape").Def.In[0] != g.Value("a/quantizer") {
		t.Errorf("got %d readers of a, and the shape of %q; want one reader, and the shape of a/quantizer", len(uses), g.Value("shape").Def.In[0].Name)
	}
}

// Linear attention divides by a sum of its own: a column of the same matrix
// product, plus a constant that only keeps it from zero.
func TestPlacement_CompleteDivisor(t *testing.T) {
	n := newNet()
	a := n.relu("r", n.conv("a", n.input("x", 3, 4, 4), 4))
	m := n.Op(op.MatMul{}, "m", a, a)
	part := func(name string, from, to int) *ir.Value {
		return n.Op(op.Slice{}, name, m, n.ConstInts(name+"/from", from), n.ConstInts(name+"/to", to), n.ConstInts(name+"/axes", 3))
	}
	sum := n.Op(op.Add{}, "sum", part("last", 3, 4), n.ConstF32("epsilon", 1e-15))
	g := n.done(t, n.conv("b", n.Op(op.Div{}, "d", part("rest", 0, 3), sum), 2))
	s := setup(t, g, quantization.Options{})
	for _, q := range s.Quantizers {
		if slices.Contains([]string{"m", "last", "rest", "sum"}, q.Value) {
			t.Errorf("got a quantizer of %s in front of a division by it: %q", q.Value, list(s))
		}
	}
	for _, want := range []string{"sum", "d"} {
		if !slices.ContainsFunc(s.Float, func(f quantization.Float) bool { return f.Node == want && strings.Contains(f.Why, "division by data") }) {
			t.Errorf("got %v in float, want %s for being a divisor", s.Float, want)
		}
	}
}
