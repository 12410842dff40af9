package op_test

import (
	"strings"
	"testing"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// Random operators come through a file with all attributes, and are not run.
func TestRandom(t *testing.T) {
	for _, o := range []ir.Op{
		op.RandomUniformLike{High: 1},
		op.RandomUniformLike{Low: -1, High: 2, DType: tensor.Float64, Seed: 3},
		op.Bernoulli{},
		op.Bernoulli{DType: tensor.Bool, Seed: 3},
	} {
		g := ir.New("random")
		b := ir.NewBuilder(g, "")
		y := b.Op(o, "y", g.AddInput("x", ir.MakeType(tensor.Float32, 2, 3)))
		if err := b.Err(); err != nil {
			t.Fatal(err)
		}
		def, _ := op.Of(o)
		e := &op.Encoder{Node: y.Def, Opset: 17, OpType: o.Kind(), In: y.Def.In}
		def.Encode(e)
		d := op.NewDecoder(e.OpType, 17, e.Attrs)
		d.In, d.NumOut = e.In, 1
		got := def.Decode(d)
		if err := d.Finish(); err != nil || got != o {
			t.Errorf("through a file: got %#v (%v), want %#v", got, err, o)
		}
		if _, err := o.(ir.Evaluator).Eval([]*tensor.Tensor{tensor.New(tensor.Float32, 2, 3)}); err == nil || !strings.Contains(err.Error(), "random numbers") {
			t.Errorf("%s: got error %v, want one about random numbers", o.Kind(), err)
		}
	}
}
