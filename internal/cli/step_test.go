package cli

import (
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// Every layer of a model with several outputs takes part in a step that is timed.
func TestStepOptions(t *testing.T) {
	g := ir.New("heads")
	b := ir.NewBuilder(g, "")
	weight := func(name string, shape ...int) *ir.Value {
		return g.AddStored(ir.Parameter, name, tensor.New(tensor.Float32, shape...))
	}
	x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{ir.Symbol("N"), ir.Len(4)}})
	y := b.Op(op.Relu{}, "relu", b.Op(op.MatMul{}, "trunk", x, weight("trunk/w", 4, 8)))
	scores := b.Op(op.MatMul{}, "scores", y, weight("scores/w", 8, 3))
	g.Outputs = []*ir.Value{scores, b.Op(op.ArgMax{Axis: 1}, "class", scores), b.Op(op.MatMul{}, "boxes", y, weight("boxes/w", 8, 4))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	s := &session{}
	trainer, err := nncf.NewTrainer(g, s.stepOptions(g, 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	step, err := trainer.StepGraph(tensor.Shape{2, 4})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(step.Outputs); got != 5 {
		t.Errorf("got %d outputs, want loss, scores and three gradients", got)
	}
}
