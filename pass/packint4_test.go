package pass_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
)

// Narrow weights of matrix products are packed, those of convolutions and wide
// ones are not; the file holds two in a byte and computes the same.
func TestPackInt4(t *testing.T) {
	g := ir.New("g")
	b := ir.NewBuilder(g, "")
	x := g.AddInput("x", ir.MakeType(tensor.Float32, 2, 4, 1, 1))
	weight := func(name string, k []int8, channels, axis int, shape ...int) *ir.Value {
		v := b.Const(name, tensor.From(k, shape...))
		s := make([]float32, channels)
		for i := range s {
			s[i] = 0.1 * float32(i+1)
		}
		return b.Op(op.DequantizeLinear{Axis: axis}, name+"/dequantize", v, b.Const(name+"/scale", tensor.From(s, channels)), b.Const(name+"/zero", tensor.New(tensor.Int8, channels)))
	}
	narrow := func(n int) []int8 {
		k := make([]int8, n)
		for i := range k {
			k[i] = int8(i*7%16 - 8)
		}
		return k
	}
	h := b.Op(op.Conv{}, "conv", x, weight("conv.weight", narrow(12), 3, 0, 3, 4, 1, 1))
	h = b.Op(op.Flatten{Axis: 1}, "flat", h)
	h = b.Op(op.Gemm{TransB: true}, "gemm", h, weight("gemm.weight", narrow(15), 5, 0, 5, 3))
	wide := narrow(10)
	wide[3] = 8
	y := b.Op(op.MatMul{}, "matmul", h, weight("wide", wide, 2, 1, 5, 2))
	g.Outputs = []*ir.Value{y}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	in := tensor.From([]float32{1, -2, 3, 0.5, -1, 4, 2, -3}, 2, 4, 1, 1)
	want, err := ir.Eval(t.Context(), g, []*tensor.Tensor{in})
	if err != nil {
		t.Fatal(err)
	}
	if err := pass.PackInt4(g, nil); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := onnx.Write(&file, g, onnx.Options{Opset: 21}); err != nil {
		t.Fatal(err)
	}
	r, err := onnx.Read(file.Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]tensor.DType{}
	for _, n := range r.Nodes() {
		if n.Op.Kind() == "DequantizeLinear" {
			for _, u := range n.Out[0].Uses() {
				types[u.Node.Name] = n.In[0].Type.DType
			}
		}
	}
	if types["conv"] != tensor.Int8 || types["gemm"] != tensor.Int4 || types["matmul"] != tensor.Int8 {
		t.Errorf("got weights of types %v", types)
	}
	got, err := ir.Eval(t.Context(), r, []*tensor.Tensor{in})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got[0].F32(), want[0].F32()) {
		t.Errorf("got %v, want %v", got[0].F32(), want[0].F32())
	}
}
