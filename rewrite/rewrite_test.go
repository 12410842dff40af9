package rewrite_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

func parse(t *testing.T, text string) *ir.Graph {
	t.Helper()
	g, err := ir.Parse(text, nil, op.New)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// check compares a graph with text that leaves types out.
func check(t *testing.T, g *ir.Graph, want string) {
	t.Helper()
	if err := ir.Verify(g); err != nil {
		t.Fatal(err)
	}
	got, err := ir.Print(g)
	if err != nil {
		t.Fatal(err)
	}
	w, err := ir.Print(parse(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

const chain = "input x float32[4]\na = Relu(x) \"a\"\nb = Abs(a) \"b\"\nc = Neg(a) \"c\"\nd = Add(b, c) \"d\"\noutput d\n"

func TestPatch_InsertAfter(t *testing.T) {
	g := parse(t, chain)
	var trace rewrite.Trace
	p := rewrite.New(g, "insert", &trace)
	p.InsertAfter(g.Value("a"), op.Sigmoid{}, "s")
	p.Note("behind %s", "a")
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	check(t, g, "input x float32[4]\na = Relu(x) \"a\"\ns = Sigmoid(a) \"s\" by insert\nb = Abs(s) \"b\"\nc = Neg(s) \"c\"\nd = Add(b, c) \"d\"\noutput d\n")
	if diff := cmp.Diff([]rewrite.Change{{Rule: "insert", What: "behind a"}}, trace.Changes); diff != "" {
		t.Errorf("trace (-want +got)\n%s", diff)
	}
}

// TestPatch_OutputName: what replaces an output takes its name.
func TestPatch_OutputName(t *testing.T) {
	g := parse(t, chain)
	p := rewrite.New(g, "swap", nil)
	d := g.Value("d")
	p.Replace(d, p.B.Op(op.Mul{}, "m", d.Def.In...))
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	check(t, g, "input x float32[4]\na = Relu(x) \"a\"\nb = Abs(a) \"b\"\nc = Neg(a) \"c\"\nd = Mul(b, c) \"m\" by swap\noutput d\n")
}

func TestPatch_CommitPrunes(t *testing.T) {
	g := parse(t, chain)
	p := rewrite.New(g, "cut", nil)
	p.SetInput(g.Value("d").Def, 1, g.Value("b"))
	p.SetOp(g.Value("b").Def, op.Exp{})
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	check(t, g, "input x float32[4]\na = Relu(x) \"a\"\nb = Exp(a) \"b\"\nd = Add(b, b) \"d\"\noutput d\n")
}

// TestPatch_BuilderError: after an error of the builder the graph keeps its
// links, and Commit names the rule.
func TestPatch_BuilderError(t *testing.T) {
	g := parse(t, chain)
	var trace rewrite.Trace
	p := rewrite.New(g, "broken", &trace)
	v := p.InsertAfter(g.Value("a"), op.Conv{}, "conv")
	p.Replace(g.Value("d"), v)
	p.SetInput(g.Value("d").Def, 0, v)
	p.Note("never")
	err := p.Commit()
	if err == nil || !strings.Contains(err.Error(), "rule broken") {
		t.Fatalf("got %v", err)
	}
	if len(trace.Changes) != 0 {
		t.Errorf("trace %v", trace.Changes)
	}
	check(t, g, chain)
}

// TestPatch_TypeError: a change that the operators refuse is reported.
func TestPatch_TypeError(t *testing.T) {
	g := parse(t, chain)
	p := rewrite.New(g, "types", nil)
	p.SetOp(g.Value("d").Def, op.Conv{})
	if err := p.Commit(); err == nil || !strings.Contains(err.Error(), "rule types") || !strings.Contains(err.Error(), "Conv") {
		t.Fatalf("got %v", err)
	}
}

func TestPatch_Cycle(t *testing.T) {
	g := parse(t, chain)
	p := rewrite.New(g, "loop", nil)
	p.SetInput(g.Value("a").Def, 0, g.Value("b"))
	if err := p.Commit(); err == nil || !strings.Contains(err.Error(), "cycle") {
		t.Fatalf("got %v", err)
	}
}

// absorb replaces an Abs behind a Relu by its input.
var absorb = rewrite.Rule{Name: "absorb", Match: func(p *rewrite.Patch, n *ir.Node) bool {
	if _, ok := n.Op.(op.Abs); !ok || n.In[0].Def == nil || n.In[0].Def.Op.Kind() != "Relu" {
		return false
	}
	p.Replace(n.Out[0], n.In[0])
	p.Note("%s", n.Name)
	return true
}}

// doubleNeg removes two negations.
var doubleNeg = rewrite.Rule{Name: "double-neg", Match: func(p *rewrite.Patch, n *ir.Node) bool {
	m := n.In[0].Def
	if n.Op.Kind() != "Neg" || m == nil || m.Op.Kind() != "Neg" {
		return false
	}
	p.Replace(n.Out[0], m.In[0])
	p.Note("%s", n.Name)
	return true
}}

func TestRun(t *testing.T) {
	// The negations hide the Abs from absorb until they are gone.
	g := parse(t, "input x float32[4]\na = Relu(x) \"a\"\nb = Neg(a) \"b\"\nc = Neg(b) \"c\"\nd = Abs(c) \"d\"\ne = Exp(d) \"e\"\noutput e\n")
	var trace rewrite.Trace
	if err := rewrite.Run(g, &trace, absorb, doubleNeg); err != nil {
		t.Fatal(err)
	}
	check(t, g, "input x float32[4]\na = Relu(x) \"a\"\ne = Exp(a) \"e\"\noutput e\n")
	if diff := cmp.Diff([]rewrite.Change{{Rule: "double-neg", What: "c"}, {Rule: "absorb", What: "d"}}, trace.Changes); diff != "" {
		t.Errorf("trace (-want +got)\n%s", diff)
	}
}

// TestRun_DeadNodes: a node whose results were replaced in the same sweep is
// not matched again.
func TestRun_DeadNodes(t *testing.T) {
	g := parse(t, "input x float32[4]\na = Neg(x) \"a\"\nb = Neg(a) \"b\"\nc = Neg(b) \"c\"\nd = Neg(c) \"d\"\ne = Exp(d) \"e\"\noutput e\n")
	var trace rewrite.Trace
	if err := rewrite.Run(g, &trace, doubleNeg); err != nil {
		t.Fatal(err)
	}
	check(t, g, "input x float32[4]\ne = Exp(x) \"e\"\noutput e\n")
	if len(trace.Changes) != 2 {
		t.Errorf("got %v, want two changes", trace.Changes)
	}
}

func TestRun_Endless(t *testing.T) {
	g := parse(t, chain)
	err := rewrite.Run(g, nil, rewrite.Rule{Name: "endless", Match: func(_ *rewrite.Patch, n *ir.Node) bool { return n.Op.Kind() == "Add" }})
	if err == nil || !strings.Contains(err.Error(), "still fire") {
		t.Errorf("got %v", err)
	}
}

func TestTrace_Nil(t *testing.T) {
	g := parse(t, chain)
	p := rewrite.New(g, "nothing", nil)
	p.Note("not kept")
	p.B.Const("k", tensor.Scalar(float32(1)))
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
}
