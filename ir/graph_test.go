package ir_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

func kinds(g *ir.Graph) string {
	var list []string
	for _, n := range g.Nodes() {
		list = append(list, n.Op.Kind())
	}
	return strings.Join(list, " ")
}

// wantErr checks that err mentions every part.
func wantErr(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one that says %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("got error %q, want it to say %q", err, p)
		}
	}
}

const diamond = `
input x float32[N 4]
const c float32[4] = 1 2 3 4
a = Relu(x)
b = Add(a, c)
d = Mul(a, b)
unused = Neg(d)
output d
`

func TestGraph_Prune(t *testing.T) {
	g := parse(t, diamond+"const spare float32[] = 1\n", nil)
	if n := g.Prune(); n != 1 {
		t.Errorf("removed %d nodes, want 1", n)
	}
	if got := kinds(g); got != "Relu Add Mul" {
		t.Errorf("left: %s", got)
	}
	if g.Value("spare") != nil || g.Value("unused") != nil || g.Value("c") == nil {
		t.Error("wrong values left")
	}
	if err := ir.Verify(g); err != nil {
		t.Error(err)
	}
	if n := g.Prune(); n != 0 {
		t.Errorf("removed %d nodes the second time", n)
	}
}

// TestGraph_PruneKeepsAssigns: what a state update needs is not dead.
func TestGraph_PruneKeepsAssigns(t *testing.T) {
	g := parse(t, "input x float32[4]\nstate s float32[4] = 0 0 0 0\na = Add(x, s)\nb = Relu(x)\nassign s = a\noutput b\n", nil)
	if n := g.Prune(); n != 0 || g.Value("a") == nil || g.Value("s") == nil {
		t.Errorf("removed %d nodes", n)
	}
}

func TestGraph_ReplaceUses(t *testing.T) {
	g := parse(t, diamond, nil)
	a, x, mul := g.Value("a"), g.Value("x"), g.Value("d").Def
	g.ReplaceUses(a, x, mul)
	if mul.In[0] != a || g.Value("b").Def.In[0] != x {
		t.Error("the node to keep changed, or the other did not")
	}
	if got := x.Uses(); len(got) != 2 || !slices.Contains(got, ir.Use{Node: g.Value("b").Def, Port: 0}) {
		t.Errorf("x has the consumers %v", got)
	}
	g.ReplaceUses(g.Value("d"), a)
	if g.Outputs[0] != a {
		t.Error("the graph's output did not change")
	}
	if err := ir.Verify(g); err != nil {
		t.Error(err)
	}
}

func TestGraph_Sort(t *testing.T) {
	g := parse(t, diamond, nil)
	// Appending a node and reading it early breaks the order.
	b := ir.NewBuilder(g, "test")
	e := b.Op(op.Abs{}, "e", g.Value("x"))
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	g.SetInput(g.Value("a").Def, 0, e)
	if ir.Verify(g) == nil {
		t.Error("an undefined order passes Verify")
	}
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	if got := kinds(g); got != "Abs Relu Add Mul Neg" {
		t.Errorf("got order %s", got)
	}
	for i, n := range g.Nodes() {
		if n.ID != i {
			t.Errorf("node %d has ID %d", i, n.ID)
		}
	}
	if err := ir.Verify(g); err != nil {
		t.Error(err)
	}
	g.SetInput(e.Def, 0, g.Value("d"))
	wantErr(t, g.Sort(), "cycle")
}

func TestGraph_SetInputTwice(t *testing.T) {
	g := parse(t, diamond, nil)
	n := g.Value("d").Def
	g.SetInput(n, 1, g.Value("a")) // both ports
	if got := g.Value("a").Uses(); len(got) != 3 {
		t.Errorf("got %d consumers, want 3", len(got))
	}
	g.SetInput(n, 0, nil)
	g.SetInput(n, 0, g.Value("x"))
	if got := g.Value("a").Uses(); len(got) != 2 {
		t.Errorf("got %d consumers, want 2", len(got))
	}
	if err := ir.Verify(g); err != nil {
		t.Error(err)
	}
}

func TestGraph_CloneIsIndependent(t *testing.T) {
	g := parseSample(t)
	before := print(t, g)
	c := g.Clone()
	same(t, g, c)
	if c.Value("w").Data != g.Value("w").Data {
		t.Error("stored data were copied")
	}
	c.SetOp(c.Value("y").Def, op.Conv{})
	c.Rename(c.Value("y"), "other")
	c.ReplaceUses(c.Value("other"), c.Value("input"), c.Value("other").Def)
	c.AddStored(ir.Constant, "more", tensor.Scalar(float32(1)))
	c.Outputs = c.Outputs[:1]
	if print(t, g) != before {
		t.Error("changing the clone changed the original")
	}
	if err := ir.Verify(g); err != nil {
		t.Error(err)
	}
}

func TestGraph_Infer(t *testing.T) {
	g := parse(t, "input x float32[N 4]\nconst s int64[2] = 0 -1\na float32[N 4] = Relu(x)\nr = Reshape(a, s)\nm = Add(r, a)\noutput m\n", nil)
	g.SetInput(g.Value("a").Def, 0, g.Value("x"))
	g.Inputs[0].Type = ir.MakeType(tensor.Float32, 2, 6)
	if err := g.Infer(); err != nil {
		t.Fatal(err)
	}
	if got := g.Value("m").Type.String(); got != "float32[2 6]" {
		t.Errorf("got %s", got)
	}
	g.Inputs[0].Type = ir.MakeType(tensor.Int64, 2, 6)
	g.SetOp(g.Value("m").Def, op.MatMul{})
	g.SetOp(g.Value("a").Def, op.Conv{})
	err := g.Infer()
	wantErr(t, err, "MatMul", "Conv") // every node that does not fit
	var ne *ir.NodeError
	if !errors.As(err, &ne) || ne.Stage != "infer" {
		t.Errorf("got %#v, want a NodeError of the stage infer", err)
	}
}

func TestGraph_Specialize(t *testing.T) {
	g := parse(t, "input x float32[N 4]\ninput z float32[2*N 4]\ninput k float32[?]\na = Relu(x)\nb = Abs(z)\noutput a\noutput b\n", nil)
	s, err := g.Specialize(map[string][]int{"x": {3, 4}, "k": {7}})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{s.Value("a").Type.String(), s.Value("b").Type.String(), s.Value("k").Type.String(), g.Value("a").Type.String()}
	if diff := cmp.Diff([]string{"float32[3 4]", "float32[6 4]", "float32[7]", "float32[N 4]"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := ir.Verify(s); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		name   string
		shapes map[string][]int
		want   []string
	}{
		{"rank", map[string][]int{"x": {3}}, []string{`"x"`, "[3]"}},
		{"known axis", map[string][]int{"x": {3, 5}}, []string{`"x"`, "[3 5]"}},
		{"negative", map[string][]int{"x": {-1, 4}}, []string{`"x"`}},
		{"not a multiple", map[string][]int{"z": {3, 4}}, []string{`"z"`}},
		{"two lengths", map[string][]int{"x": {3, 4}, "z": {4, 4}}, []string{"N is both"}},
		{"all together", map[string][]int{"x": {3}, "z": {3, 4}}, []string{`"x"`, `"z"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := g.Specialize(c.shapes)
			wantErr(t, err, c.want...)
		})
	}
}

func TestVerify(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(g *ir.Graph)
		want   string
	}{
		{"type", func(g *ir.Graph) { g.Value("a").Type = ir.MakeType(tensor.Float32, 1) }, "inference says"},
		{"stale input", func(g *ir.Graph) { g.Value("b").Def.In[0] = g.Value("x") }, "does not know it as consumer"},
		{"stale consumer", func(g *ir.Graph) { g.Value("b").Def.In[0] = g.Value("x") }, "stale consumer"},
		{"name", func(g *ir.Graph) { g.Value("a").Name = "other" }, "not found by its name"},
		{"ID", func(g *ir.Graph) { g.Value("a").ID = g.Value("b").ID }, "has the ID"},
		{"kind", func(g *ir.Graph) { g.Value("c").Kind = ir.Result }, "of kind result"},
		{"data", func(g *ir.Graph) { g.Value("c").Data = tensor.Scalar(int64(1)) }, "and data"},
		{"definition", func(g *ir.Graph) { g.Value("a").Index = 1 }, "does not point back"},
		{"output", func(g *ir.Graph) { g.Outputs = append(g.Outputs, &ir.Value{Name: "ghost"}) }, `output "ghost" is not defined`},
		{"assign", func(g *ir.Graph) { g.Assigns = []ir.Assign{{Dst: g.Value("c"), Src: g.Value("a")}} }, "want a state"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := parse(t, diamond, nil)
			c.damage(g)
			err := ir.Verify(g)
			wantErr(t, err, c.want)
			if again := ir.Verify(g); again.Error() != err.Error() {
				t.Errorf("first %v, then %v", err, again)
			}
		})
	}
}

func TestBuilder(t *testing.T) {
	g := ir.New("g")
	b := ir.NewBuilder(g, "rule")
	x := g.AddInput("x", ir.MakeType(tensor.Float32, 2, 3))
	y := b.Op(op.Relu{}, "x", x) // the name is taken
	if y.Name != "x_1" || y.Def.Rule != "rule" || y.Type.String() != "float32[2 3]" {
		t.Errorf("got %q of %v by %q", y.Name, y.Type, y.Def.Rule)
	}
	bad := b.Op(op.MatMul{}, "bad", x, x)
	after := b.Op(op.Relu{}, "after", bad)
	if after == nil || len(g.Nodes()) != 1 {
		t.Errorf("nodes were added after an error: %s", kinds(g))
	}
	wantErr(t, b.Err(), `"bad"`, "MatMul")
	b.Fail(errors.New("later"))
	wantErr(t, b.Err(), `"bad"`) // the first stays

	b = ir.NewBuilder(g, "")
	b.Multi(op.Relu{}, "two", 2, x)
	wantErr(t, b.Err(), "2 outputs")
}

func TestGraph_Panics(t *testing.T) {
	for name, f := range map[string]func(g *ir.Graph){
		"second input of a name": func(g *ir.Graph) { g.AddInput("x", ir.MakeType(tensor.Float32)) },
		"rename to a taken name": func(g *ir.Graph) { g.Rename(g.Value("a"), "x") },
		"stored result":          func(g *ir.Graph) { g.AddStored(ir.Result, "r", tensor.Scalar(int64(1))) },
		"kind of a result":       func(g *ir.Graph) { g.SetKind(g.Value("a"), ir.Parameter) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if s, ok := recover().(string); !ok || !strings.HasPrefix(s, "ir: ") {
					t.Errorf("got panic %v, want one of package ir", s)
				}
			}()
			f(parse(t, diamond, nil))
		})
	}
}

func TestDim(t *testing.T) {
	n, m := ir.Symbol("N"), ir.Symbol("M")
	for _, c := range []struct{ got, want ir.Dim }{
		{ir.Len(3).Mul(ir.Len(4)), ir.Len(12)},
		{n.Mul(ir.Len(4)), ir.Dim{Sym: "N", N: 4}},
		{n.Mul(m), ir.Unknown()},
		{ir.Unknown().Mul(ir.Len(0)), ir.Len(0)},
		{n.Mul(ir.Len(4)).Div(ir.Len(2)), ir.Dim{Sym: "N", N: 2}},
		{n.Mul(ir.Len(4)).Div(n), ir.Len(4)},
		{n.Div(ir.Len(2)), ir.Unknown()},
		{ir.Len(7).Div(ir.Len(2)), ir.Unknown()},
		{ir.Len(7).Div(ir.Len(0)), ir.Unknown()},
	} {
		if c.got != c.want {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
	if ir.Unknown().Equal(ir.Unknown()) || !n.Equal(n) || !n.MayEqual(m) || ir.Len(1).MayEqual(ir.Len(2)) {
		t.Error("wrong equality")
	}
	for _, d := range []ir.Dim{ir.Len(0), ir.Len(12), n, {Sym: "N", N: 3}, ir.Unknown()} {
		back, err := ir.ParseDim(d.String())
		if err != nil || back != d {
			t.Errorf("%v parses as %v, %v", d, back, err)
		}
	}
}

func TestBroadcastDims(t *testing.T) {
	n := ir.Symbol("N")
	for _, c := range []struct {
		a, b []ir.Dim
		want string
	}{
		{[]ir.Dim{n, ir.Len(3)}, []ir.Dim{ir.Len(1)}, "[N 3]"},
		{[]ir.Dim{n}, []ir.Dim{n}, "[N]"},
		{[]ir.Dim{n}, []ir.Dim{ir.Len(4)}, "[4]"},
		{[]ir.Dim{n}, []ir.Dim{ir.Symbol("M")}, "[?]"},
		{nil, []ir.Dim{ir.Len(2)}, "[2]"},
	} {
		got, err := ir.BroadcastDims(c.a, c.b)
		if s := (ir.Type{DType: tensor.Float32, Dims: got}).String(); err != nil || s != "float32"+c.want {
			t.Errorf("%v, %v: got %s, %v", c.a, c.b, s, err)
		}
	}
	if _, err := ir.BroadcastDims([]ir.Dim{ir.Len(2)}, []ir.Dim{ir.Len(3)}); err == nil {
		t.Error("2 and 3 broadcast")
	}
}

func TestEval(t *testing.T) {
	g := parse(t, diamond, nil)
	x := tensor.From([]float32{-1, 1, 2, 3}, 1, 4)
	out, err := ir.Eval(t.Context(), g, []*tensor.Tensor{x}, g.Value("b"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]float32{{0, 3, 10, 21}, {1, 3, 5, 7}}, [][]float32{out[0].F32(), out[1].F32()}); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	_, err = ir.Eval(t.Context(), g, nil)
	wantErr(t, err, "0 inputs")
	_, err = ir.Eval(t.Context(), g, []*tensor.Tensor{tensor.From([]int64{1}, 1)})
	wantErr(t, err, `"x"`, "int64")
}
