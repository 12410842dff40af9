package ir_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

func TestSampleShapes(t *testing.T) {
	float := func(dims ...ir.Dim) ir.Type { return ir.Type{DType: tensor.Float32, Dims: dims} }
	open := func(s string) ir.Dim { return ir.Dim{N: 1, Sym: s} }
	for _, c := range []struct {
		name string
		in   []ir.Type
		want map[string][]int
		ok   bool
	}{
		{"open batch", []ir.Type{float(open("N"), ir.Len(3))}, map[string][]int{"0": {1, 3}}, true},
		{"fixed batch", []ir.Type{float(ir.Len(4), ir.Len(3))}, map[string][]int{"0": {4, 3}}, true},
		{"number", []ir.Type{float()}, map[string][]int{"0": {}}, true},
		{"open length of one", []ir.Type{float(open("N"), open("L")), float(open("N"))}, map[string][]int{"1": {1}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := ir.New("g")
			for i, typ := range c.in {
				g.AddInput(string(rune('0'+i)), typ)
			}
			got, ok := g.SampleShapes()
			if ok != c.ok || !maps.EqualFunc(got, c.want, slices.Equal) {
				t.Errorf("got %v, %t, want %v, %t", got, ok, c.want, c.ok)
			}
		})
	}
}

// CostOf counts a product of known lengths only.
func TestCostOf(t *testing.T) {
	for _, c := range []struct {
		name string
		rows ir.Dim
		want int64
		ok   bool
	}{{"known", ir.Len(2), 2 * 3 * 5, true}, {"open", ir.Dim{N: 1, Sym: "N"}, 0, false}} {
		g := ir.New("g")
		b := ir.NewBuilder(g, "")
		x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{c.rows, ir.Len(3)}})
		y := b.Op(op.MatMul{}, "y", x, g.AddStored(ir.Parameter, "w", tensor.New(tensor.Float32, 3, 5)))
		if err := b.Err(); err != nil {
			t.Fatal(err)
		}
		if cost, ok := ir.CostOf(y.Def); ok != c.ok || cost.MACs != c.want {
			t.Errorf("%s: got %d, %t, want %d, %t", c.name, cost.MACs, ok, c.want, c.ok)
		}
	}
}
