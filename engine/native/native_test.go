package native

import (
	"testing"

	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

func TestCompile_ConvMatchesEval(t *testing.T) {
	g := ir.New("conv")
	x := g.AddInput("x", ir.MakeType(tensor.Float32, 2, 3, 5, 4))
	b := ir.NewBuilder(g, "")
	w := tensor.New(tensor.Float32, 4, 3, 3, 3)
	for i := range w.F32() {
		w.F32()[i] = float32(i%7) - 3
	}
	y := b.Op(op.Conv{}, "y", x, g.AddStored(ir.Parameter, "w", w))
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	g.Outputs = []*ir.Value{y, x}
	p, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for i := range p.Input(0).F32() {
		p.Input(0).F32()[i] = float32(i%5) - 2
	}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want, err := ir.Eval(t.Context(), g, []*tensor.Tensor{p.Input(0)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range want { // small integers: every order of summation is exact
		if !p.Output(i).Equal(want[i]) {
			t.Errorf("output %d: got %v, want %v", i, p.Output(i).F32(), want[i].F32())
		}
	}
}
