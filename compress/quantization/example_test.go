package quantization_test

import (
	"fmt"

	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// A setup says what goes where, and why, before anything is changed.
func Example() {
	g := ir.New("net")
	b := ir.NewBuilder(g, "")
	x := g.AddInput("image", ir.MakeType(tensor.Float32, 1, 3, 8, 8))
	w := g.AddStored(ir.Parameter, "conv.weight", tensor.New(tensor.Float32, 4, 3, 3, 3))
	h := b.Op(op.Relu{}, "relu", b.Op(op.Conv{}, "conv", x, w))
	v := g.AddStored(ir.Parameter, "fc.weight", tensor.New(tensor.Float32, 4, 10))
	g.Outputs = []*ir.Value{b.Op(op.Gemm{}, "fc", b.Op(op.Flatten{Axis: 1}, "flatten", b.Op(op.GlobalAveragePool{}, "pool", h)), v)}

	s, err := quantization.New(quantization.Options{}).Setup(g)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, q := range s.(*quantization.Setup).Quantizers {
		low, high, _ := q.Grid()
		fmt.Printf("%-11s %4d…%d  %s\n", q.Value, low, high, q.Rule)
	}
	for _, f := range s.(*quantization.Setup).Float {
		fmt.Printf("%-11s float     %s\n", f.Node, f.Why)
	}
	// Output:
	// image       -128…127  input of conv (Conv)
	// conv.weight -127…127  weight of conv (Conv)
	// relu        -128…127  input of pool (GlobalAveragePool)
	// pool        -128…127  input of fc (Gemm), moved above flatten (Flatten)
	// fc.weight   -127…127  weight of fc (Gemm)
	// relu        float     computed together with conv
}
