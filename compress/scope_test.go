package compress

import (
	"strings"
	"testing"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

func scopeGraph(t *testing.T) *ir.Graph {
	t.Helper()
	g := ir.New("g")
	x := g.AddInput("input", ir.MakeType(tensor.Float32, 1, 3, 8, 8))
	w := g.AddStored(ir.Parameter, "layer1.0.conv1.weight", tensor.New(tensor.Float32, 3, 3, 1, 1))
	n, err := g.AddNode("/layer1/layer1.0/conv1/Conv", op.Conv{}, []*ir.Value{x, w}, []string{"/layer1/layer1.0/conv1/Conv_output_0"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := g.AddNode("/layer1/layer1.0/Add", op.Add{}, []*ir.Value{n.Out[0], x}, []string{"sum"})
	if err != nil {
		t.Fatal(err)
	}
	g.Outputs = []*ir.Value{m.Out[0]}
	return g
}

func TestMatch(t *testing.T) {
	g := scopeGraph(t)
	conv, add := g.Nodes()[0], g.Nodes()[1]
	for _, c := range []struct {
		entry     string
		conv, add bool
	}{
		{"/layer1/layer1.0/conv1/Conv", true, false},
		{"/layer1", true, true},
		{"/layer1/layer1.0/conv", false, false},
		{"layer1.0.conv1", true, false},
		{"layer1.0", true, true},
		{"0.conv1", true, false},
		{"conv1", true, false},
		{"layer1.0.conv1.weight", true, false},
		{"sum", false, true},
		{"{re}^layer1\\.0\\.conv1$", true, false},
		{"ResNet/Sequential[layer1]/BasicBlock[0]/NNCFConv2d[conv1]", true, false},
		{"ResNet/Sequential[layer1]/BasicBlock[0]/NNCFConv2d[conv1]/conv2d_0", true, false},
		{"ResNet/Sequential[layer1]/BasicBlock[0]/__add___0", false, true},
		{"BasicBlock[1]", false, false},
		{`{re}ResNet/Sequential\[layer1\]/BasicBlock\[0\]/NNCFConv2d\[conv1\]`, true, false},
		{`{re}Sequential\[layer1\]/BasicBlock\[0\]/NNCFConv2d\[conv[12]\]`, true, false},
		{"{re}.*layer1.*__add__.*", false, true},
	} {
		if got := Match(c.entry, conv); got != c.conv {
			t.Errorf("Match(%q, conv) = %v, want %v", c.entry, got, c.conv)
		}
		if got := Match(c.entry, add); got != c.add {
			t.Errorf("Match(%q, add) = %v, want %v", c.entry, got, c.add)
		}
	}
	if Path(conv) != "layer1.0.conv1" || Path(add) != "layer1.0" {
		t.Errorf("paths %q and %q", Path(conv), Path(add))
	}
}

func TestScopes_CheckNamesNearest(t *testing.T) {
	err := Scopes{Ignored: []string{"layer1.0.conv2", "{re}("}, Target: []string{"nothing"}}.Check(scopeGraph(t))
	if err == nil {
		t.Fatal("no error for scopes that match nothing")
	}
	for _, want := range []string{`"layer1.0.conv2" matches no operator; nearest: "layer1.0.conv1"`, `"{re}("`, `target_scopes: entry "nothing"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not contain %q", err, want)
		}
	}
}
