package native

import (
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

func TestQuantizeDequantize_MatchesEval(t *testing.T) {
	g := ir.New("qdq")
	x := g.AddInput("x", ir.MakeType(tensor.Float32, 2, 5, 9, 7))
	b := ir.NewBuilder(g, "")
	scale, zero := b.ConstF32("scale", 0.037), b.Const("zero", tensor.Scalar(uint8(113)))
	q := b.Op(op.QuantizeLinear{Axis: 1}, "q", x, scale, zero)
	d := b.Op(op.DequantizeLinear{Axis: 1}, "d", q, scale, zero)
	y := b.Op(op.Relu{}, "y", d)
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	for _, outputs := range [][]*ir.Value{{y}, {y, q}} { // with q as output the integers are needed
		g.Outputs = outputs
		p, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		for i := range p.Input(0).F32() {
			p.Input(0).F32()[i] = float32(r.NormFloat64() * 4)
		}
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		want, err := ir.Eval(t.Context(), g, []*tensor.Tensor{p.Input(0)})
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			if !p.Output(i).Equal(w) {
				t.Errorf("%d outputs: output %d differs", len(outputs), i)
			}
		}
		if fast := p.Info().Steps[0].Kernel != "reference"; fast != (len(outputs) == 1) {
			t.Errorf("%d outputs: first step is %q", len(outputs), p.Info().Steps[0].Kernel)
		}
		p.Close()
	}
}
