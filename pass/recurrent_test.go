package pass_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit/gradcheck"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
)

// cellNet is a cell with the batch first, whose initial states are zeros made of
// the batch axis, as exporters write them.
func cellNet(t *testing.T, o ir.Op, gates, outs int) *ir.Graph {
	t.Helper()
	g := ir.New("cell")
	b := ir.NewBuilder(g, "")
	x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{ir.Symbol("N"), ir.Len(4), ir.Len(3)}})
	size := b.Op(op.Gather{}, "batch", b.Op(op.Shape{}, "shape", x), b.ConstInts("zero", 0))
	state := b.Op(op.ConstantOfShape{}, "h0", b.Op(op.Concat{}, "dims", size, b.ConstInts("d", 1), b.ConstInts("h", 2)))
	in := []*ir.Value{x, b.Const("w", gradcheck.Rand(2, 1, 2*gates, 3)), b.Const("r", gradcheck.Rand(3, 1, 2*gates, 2)), nil, nil, state}
	if outs > 2 {
		in = append(in, state)
	}
	g.Outputs = b.Multi(o, "cell", outs, in...)
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

// A cell with the batch first becomes one with the time first and without initial
// states, which computes the same.
func TestCanonicalize_Recurrent(t *testing.T) {
	first := op.Recurrent{BatchFirst: true}
	for _, c := range []struct {
		op          ir.Op
		gates, outs int
	}{{op.LSTM{Recurrent: first}, 4, 3}, {op.GRU{Recurrent: first}, 3, 2}, {op.RNN{Recurrent: first}, 1, 2}} {
		g := cellNet(t, c.op, c.gates, c.outs)
		in := []*tensor.Tensor{gradcheck.Rand(5, 3, 4, 3)}
		want, err := ir.Eval(t.Context(), g, in)
		if err != nil {
			t.Fatal(err)
		}
		if err := pass.Canonicalize(g, nil); err != nil {
			t.Fatal(err)
		}
		kinds := []string{}
		for _, n := range g.Nodes() {
			kinds = append(kinds, n.Op.Kind())
			if op.IsRecurrent(n.Op) && n.Input(5) != nil {
				t.Errorf("%s: got the initial state %q, want none", c.op.Kind(), n.In[5].Name)
			}
		}
		if wantKinds := append([]string{"Transpose", c.op.Kind()}, slices.Repeat([]string{"Transpose"}, c.outs)...); !slices.Equal(kinds, wantKinds) {
			t.Errorf("%s: got nodes %v, want %v", c.op.Kind(), kinds, wantKinds)
		}
		got, err := ir.Eval(t.Context(), g, in)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if !got[i].Equal(want[i]) {
				t.Errorf("%s: output %d changed", c.op.Kind(), i)
			}
		}
	}
}

// Quantized weights of cells are exported as integers, cast and multiplied, in
// both forms; the values stay those of the quantizer to the last bit or next to
// it, for symmetric and asymmetric grids.
func TestExport_RecurrentWeights(t *testing.T) {
	for name, export := range map[string]func(g *ir.Graph) error{
		"qdq":          func(g *ir.Graph) error { return pass.ToQDQ(g, nil) },
		"fakequantize": func(g *ir.Graph) error { return pass.ToFakeQuantize(g, nil) },
	} {
		g := cellNet(t, op.GRU{Recurrent: op.Recurrent{BatchFirst: true}}, 3, 2)
		cell := g.Value("cell").Def
		b := ir.NewBuilder(g, "")
		rng := rand.New(rand.NewPCG(1, 2))
		scale := tensor.New(tensor.Float32, 6)
		for i := range scale.F32() {
			scale.F32()[i] = float32(1 + rng.Float64())
		}
		w := b.Op(op.FakeQuantizeSymmetric{Low: -127, High: 127, Axis: 1}, "wq", cell.In[1], g.AddStored(ir.Parameter, "scale", scale))
		r := b.Op(op.FakeQuantizeAsymmetric{Levels: 256, Axis: -1}, "rq", cell.In[2],
			g.AddStored(ir.Parameter, "low", tensor.From([]float32{-1}, 1)), g.AddStored(ir.Parameter, "range", tensor.From([]float32{3}, 1)))
		g.SetInput(cell, 1, w)
		g.SetInput(cell, 2, r)
		if err := b.Err(); err != nil {
			t.Fatal(err)
		}
		if err := g.Sort(); err != nil {
			t.Fatal(err)
		}
		before := make([]*tensor.Tensor, 2)
		for i := range before {
			before[i], _ = pass.StoredTensor(cell.In[1+i])
		}
		if err := export(g); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, want := range []tensor.DType{tensor.Int8, tensor.Uint8} {
			v := cell.In[1+i]
			after, ok := pass.StoredTensor(v)
			if !ok || v.Def.Op.Kind() != "Mul" {
				t.Fatalf("%s: input %d is no product of stored values", name, 1+i)
			}
			for k, x := range after.F32() {
				if y := before[i].F32()[k]; math.Abs(float64(x-y)) > 0x1p-23*math.Abs(float64(y)) {
					t.Errorf("%s: input %d, element %d: got %v, want %v", name, 1+i, k, x, y)
				}
			}
			for v.Def != nil {
				v = v.Def.In[0]
			}
			if v.Type.DType != want {
				t.Errorf("%s: input %d is stored as %v, want %v", name, 1+i, v.Type.DType, want)
			}
		}
	}
}
