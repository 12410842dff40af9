package onnx_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// A graph built in Go is saved as a model and loaded again.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	g := ir.New("sum")
	b := ir.NewBuilder(g, "")
	x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{ir.Symbol("N"), ir.Len(2)}})
	w := b.Const("w", tensor.From([]float32{1, 2}, 2))
	g.Outputs = []*ir.Value{b.Op(op.Add{}, "y", x, w)}
	if err := b.Err(); err != nil {
		log.Fatal(err)
	}

	path := filepath.Join(dir, "sum.onnx")
	if err := onnx.Save(path, g, onnx.Options{Producer: "example"}); err != nil {
		log.Fatal(err)
	}
	g, err = onnx.Load(path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(g.Meta.Producer, g.Meta.Opset)
	for _, n := range g.Nodes() {
		fmt.Println(n.Op.Kind(), n.Out[0].Name, n.Out[0].Type)
	}
	// Output:
	// example 17
	// Add y float32[N 2]
}

// What keeps a model from being read is listed node by node.
func ExampleError() {
	// An opset_import of 17 and one node: Mystery(x) -> y.
	model := "\x08\x08\x3a\x31\x0a\x15\x0a\x01x\x12\x01y\x1a\x04node\x22\x07Mystery" +
		"\x5a\x0b\x0a\x01x\x12\x06\x0a\x04\x08\x01\x12\x00\x62\x0b\x0a\x01y\x12\x06\x0a\x04\x08\x01\x12\x00\x42\x02\x10\x11"
	_, err := onnx.Read([]byte(model), "")
	var e *onnx.Error
	if errors.As(err, &e) {
		for _, p := range e.Problems {
			fmt.Println(p)
		}
	}
	// Output:
	// node "node" (Mystery, opset 17): operator is not supported
}
