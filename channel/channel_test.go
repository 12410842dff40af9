package channel_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/channel"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// pair is conv → relu → conv, with an input of 2 channels, 3 between, 2 after.
func pair(t *testing.T) *ir.Graph {
	t.Helper()
	g := ir.New("pair")
	x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{ir.Symbol("N"), ir.Len(2), ir.Len(4), ir.Len(4)}})
	b := ir.NewBuilder(g, "")
	weight := func(name string, s ...int) *ir.Value {
		w := tensor.New(tensor.Float32, s...)
		for i := range w.F32() {
			w.F32()[i] = float32(i)
		}
		return g.AddStored(ir.Parameter, name, w)
	}
	y := b.Op(op.Relu{}, "relu", b.Op(op.Conv{}, "first", x, weight("w", 3, 2, 1, 1), weight("b", 3)))
	g.Outputs = []*ir.Value{b.Op(op.Conv{}, "second", y, weight("v", 2, 3, 1, 1))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestAnalyze(t *testing.T) {
	c := channel.Analyze(pair(t))
	if len(c.Groups) != 2 {
		t.Fatalf("got %d groups, want those of two weights", len(c.Groups))
	}
	g := c.Groups[0]
	var spans []string
	for _, s := range g.Spans {
		if s.Value.IsStored() {
			spans = append(spans, s.Value.Name)
		}
	}
	if g.Channels != 3 || len(g.Fixed) != 0 || !slices.Equal(spans, []string{"w", "b", "v"}) {
		t.Errorf("got %d channels of %v, fixed by %q; want 3 of w, b and v", g.Channels, spans, g.Fixed)
	}
	if f := g.Filters(); len(f) != 1 || f[0].Value.Name != "w" || f[0].Axis != 0 || !slices.Equal(f[0].Entries, []int{0, 1, 2}) {
		t.Errorf("got filters %+v, want all of w", f)
	}
	for _, s := range g.Spans {
		if s.Reads() != (s.Value.Name == "v") {
			t.Errorf("%s axis %d: reads is %t", s.Value.Name, s.Axis, s.Reads())
		}
	}
	if why := strings.Join(c.Groups[1].Fixed, " "); !strings.Contains(why, "model output") {
		t.Errorf("got %q, want the output as reason", why)
	}
}

func TestRemove(t *testing.T) {
	g := pair(t)
	whole := g.Clone()
	cuts, err := channel.Remove(g, []channel.Choice{{Value: "w", Entries: []int{1}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ir.Verify(g); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]float32{"w": {0, 1, 4, 5}, "b": {0, 2}, "v": {0, 2, 3, 5}} {
		if got := g.Value(name).Data.F32(); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if n := whole.Value("w").Data.Len(); n != 6 {
		t.Errorf("the clone's weight has %d elements, want its 6", n)
	}
	if len(cuts) != 3 || cuts[0].Value != "w" || cuts[0].Was != 3 || !slices.Equal(cuts[0].Kept, []int{0, 2}) {
		t.Errorf("got cuts %+v", cuts)
	}
}

// Everything wrong is told together, and nothing changes.
func TestRemove_Refuses(t *testing.T) {
	g := pair(t)
	_, err := channel.Remove(g, []channel.Choice{
		{Value: "w", Entries: []int{0, 1, 2, 7}}, {Value: "v", Entries: []int{0}}, {Value: "nosuch"}, {Value: "b", Axis: 3},
	}, nil)
	for _, want := range []string{`"w": got entry 7 of axis 0, want 0 to 2`, `"v": channel 0 cannot be removed: it is an entry of model output`,
		`"nosuch": the graph has no axis`, `"b": the graph has no axis 3`, `"w": no entry of axis 0 would be left`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %q in it", err, want)
		}
	}
	if n := g.Value("w").Data.Len(); n != 6 {
		t.Errorf("w has %d elements after an error, want 6", n)
	}
}

// silent is an operator that says nothing about its axes.
type silent struct{}

func (silent) Kind() string                            { return "Silent" }
func (silent) Infer(in []*ir.Value) ([]ir.Type, error) { return []ir.Type{in[0].Type}, nil }

func TestAnalyze_OperatorWithoutFacet(t *testing.T) {
	g := pair(t)
	b := ir.NewBuilder(g, "")
	relu := g.Value("relu")
	g.SetInput(g.Outputs[0].Def, 0, b.Op(silent{}, "odd", relu))
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	if why := strings.Join(channel.Analyze(g).Groups[0].Fixed, " "); !strings.Contains(why, "operator Silent of odd does not say") {
		t.Errorf("got %q, want the operator as reason", why)
	}
}
