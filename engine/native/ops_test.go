package native

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// Every lowering against the operator's reference, on shapes whose channels do
// not fill vectors, in both orders: a convolution in front makes its operand
// channels-last.
func TestLowerings_MatchEval(t *testing.T) {
	f32 := func(shape ...int) ir.Type { return ir.MakeType(tensor.Float32, shape...) }
	image := f32(2, 5, 9, 7)
	k := func(b *ir.Builder, v ...int) *ir.Value { return b.ConstInts("k", v...) }
	pool := func(kernel, stride, pad int) op.Pool {
		return op.Pool{Kernel: []int{kernel, kernel}, Window: op.Window{Strides: []int{stride, stride}, Pads: []int{pad, pad, pad, pad}}}
	}
	unary := func(o ir.Op) func(*ir.Builder, []*ir.Value) *ir.Value {
		return func(b *ir.Builder, x []*ir.Value) *ir.Value { return b.Op(o, "y", x...) }
	}
	for _, c := range []struct {
		name  string
		in    []ir.Type
		build func(b *ir.Builder, x []*ir.Value) *ir.Value
	}{
		{"leaky relu", []ir.Type{image}, unary(op.LeakyRelu{Alpha: 0.1})},
		{"leaky relu gradient", []ir.Type{image, image}, unary(op.LeakyReluGrad{Alpha: 0.1})},
		{"elu", []ir.Type{image}, unary(op.Elu{Alpha: 1})},
		{"gelu", []ir.Type{image}, unary(op.Gelu{})},
		{"gelu tanh", []ir.Type{image}, unary(op.Gelu{Tanh: true})},
		{"gelu gradient", []ir.Type{image, image}, unary(op.GeluGrad{})},
		{"hard sigmoid", []ir.Type{image}, unary(op.HardSigmoid{Alpha: 0.2, Beta: 0.5})},
		{"hard sigmoid gradient", []ir.Type{image, image}, unary(op.HardSigmoidGrad{Alpha: 0.2, Beta: 0.5})},
		{"hard swish", []ir.Type{image}, unary(op.HardSwish{})},
		{"hard swish gradient", []ir.Type{image, image}, unary(op.HardSwishGrad{})},
		{"swish", []ir.Type{image}, unary(op.Swish{Alpha: 1})},
		{"swish gradient", []ir.Type{image, image}, unary(op.SwishGrad{Alpha: 1})},
		{"sigmoid", []ir.Type{image}, unary(op.Sigmoid{})},
		{"tanh", []ir.Type{image}, unary(op.Tanh{})},
		{"erf", []ir.Type{image}, unary(op.Erf{})},
		{"softplus", []ir.Type{image}, unary(op.Softplus{})},
		{"add", []ir.Type{image, image}, unary(op.Add{})},
		{"subtract a scalar from", []ir.Type{f32(), image}, unary(op.Sub{})},
		{"multiply per channel", []ir.Type{image, f32(1, 5, 1, 1)}, unary(op.Mul{})},
		{"divide per channel, small first", []ir.Type{f32(5, 1, 1), image}, unary(op.Sub{})},
		{"add along the last axis", []ir.Type{f32(3, 4, 6), f32(6)}, unary(op.Add{})},
		{"multiply per row", []ir.Type{f32(3, 4, 6), f32(3, 4, 1)}, unary(op.Mul{})},
		{"squeeze-excite", []ir.Type{image, f32(2, 5, 1, 1)}, unary(op.Mul{})},
		{"clip", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Clip{}, "y", x[0], b.ConstF32("lo", -0.5), b.ConstF32("hi", 1))
		}},
		{"max pool", []ir.Type{image}, unary(op.MaxPool{Pool: pool(3, 2, 1)})},
		{"average pool", []ir.Type{image}, unary(op.AveragePool{Pool: pool(3, 2, 1)})},
		{"average pool with padding", []ir.Type{image}, unary(op.AveragePool{Pool: pool(3, 2, 1), CountIncludePad: true})},
		{"global average pool", []ir.Type{image}, unary(op.GlobalAveragePool{})},
		{"depthwise", []ir.Type{image, f32(5, 1, 3, 3)}, unary(op.Conv{Group: 5, Window: op.Window{Strides: []int{2, 1}, Pads: []int{1, 0, 1, 2}}})},
		{"grouped, dilated", []ir.Type{f32(2, 6, 9, 7), f32(4, 3, 3, 2)}, unary(op.Conv{Group: 2, Window: op.Window{Dilations: []int{2, 3}}})},
		{"1-D", []ir.Type{f32(2, 5, 20), f32(7, 5, 3)}, unary(op.Conv{Window: op.Window{Pads: []int{1, 1}}})},
		{"3-D", []ir.Type{f32(1, 2, 4, 5, 6), f32(3, 2, 2, 3, 2)}, unary(op.Conv{})},
		{"transposed", []ir.Type{image, f32(5, 4, 3, 3)}, unary(op.ConvTranspose{Window: op.Window{Strides: []int{2, 2}, Pads: []int{1, 1, 1, 1}}, OutputPadding: []int{1, 1}})},
		{"gemm", []ir.Type{f32(6, 5), f32(9, 5), f32(9)}, unary(op.Gemm{TransB: true})},
		{"gemm, both transposed", []ir.Type{f32(5, 6), f32(9, 5)}, unary(op.Gemm{TransA: true, TransB: true})},
		{"gemm, scaled", []ir.Type{f32(6, 5), f32(5, 9), f32(6, 1)}, unary(op.Gemm{Alpha: 0.5, Beta: 2})},
		{"matmul", []ir.Type{f32(3, 4, 6), f32(6, 5)}, unary(op.MatMul{})},
		{"matmul, batched", []ir.Type{f32(2, 3, 4, 6), f32(2, 3, 6, 5)}, unary(op.MatMul{})},
		{"matmul, broadcast", []ir.Type{f32(2, 1, 4, 6), f32(3, 6, 5)}, unary(op.MatMul{})},
		{"softmax", []ir.Type{f32(3, 4, 6)}, unary(op.Softmax{Axis: -1})},
		{"softmax of channels", []ir.Type{image}, unary(op.Softmax{Axis: 1})},
		{"layer norm", []ir.Type{f32(3, 4, 6), f32(6), f32(6)}, unary(op.LayerNormalization{Axis: -1, Epsilon: 1e-5})},
		{"sum of all but channels", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.ReduceSum{}, "y", x[0], k(b, 0, 2, 3))
		}},
		{"mean of the image", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.ReduceMean{}, "y", x[0], k(b, 2, 3))
		}},
		{"slice", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Slice{}, "y", x[0], k(b, 1, 8), k(b, 5, 0), k(b, 1, 2), k(b, 2, -3))
		}},
		{"pad", []ir.Type{image}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Pad{}, "y", x[0], k(b, 0, 2, 1, -1, 1, 0, -2, 3), b.ConstF32("v", 0.5))
		}},
		{"concat", []ir.Type{image, f32(2, 3, 9, 7)}, unary(op.Concat{Axis: 1})},
		{"concat of rows", []ir.Type{image, f32(2, 5, 2, 7)}, unary(op.Concat{Axis: 2})},
		{"transpose", []ir.Type{image}, unary(op.Transpose{Perm: []int{0, 2, 3, 1}})},
		{"flatten", []ir.Type{image}, unary(op.Flatten{Axis: 1})},
		{"expand", []ir.Type{f32(2, 5, 1, 1)}, func(b *ir.Builder, x []*ir.Value) *ir.Value {
			return b.Op(op.Expand{}, "y", x[0], k(b, 2, 5, 3, 4))
		}},
		{"fake-quantize rows", []ir.Type{f32(6, 3, 3, 3), f32(6)}, unary(op.FakeQuantizeSymmetric{Low: -127, High: 127, Axis: 0})},
		{"fake-quantize channels", []ir.Type{image, f32(5)}, unary(op.FakeQuantizeSymmetric{Low: -128, High: 127, Axis: 1})},
	} {
		for _, last := range []bool{false, true} {
			if last && (len(c.in[0].Dims) != 4 || c.in[0].Dims[1] == ir.Len(1)) {
				continue
			}
			t.Run(fmt.Sprintf("%s/channels-last=%v", c.name, last), func(t *testing.T) {
				g := ir.New(c.name)
				b := ir.NewBuilder(g, "")
				var in []*ir.Value
				for i, ty := range c.in {
					in = append(in, g.AddInput(fmt.Sprint("x", i), ty))
				}
				x := append([]*ir.Value(nil), in...)
				if last { // the identity, as a 1×1 convolution
					ch := c.in[0].MustShape()[1]
					w := tensor.New(tensor.Float32, ch, ch, 1, 1)
					for i := range ch {
						w.F32()[i*ch+i] = 1
					}
					x[0] = b.Op(op.Conv{}, "identity", x[0], b.Const("w", w))
				}
				y := c.build(b, x)
				if b.Err() != nil {
					t.Fatal(b.Err())
				}
				g.Outputs = []*ir.Value{y}
				p, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: 2})
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				r := rand.New(rand.NewPCG(5, 6))
				var feed []*tensor.Tensor
				for i := range in {
					for j := range p.Input(i).F32() {
						p.Input(i).F32()[j] = float32(r.NormFloat64())
					}
					feed = append(feed, p.Input(i))
				}
				want, err := ir.Eval(t.Context(), g, feed)
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				got, w := p.Output(0).F32(), want[0].F32()
				for i := range w {
					// Sums have at most 300 terms of size about 1, functions are
					// good to 4 ulp: 300·2⁻²⁴ is 2e-5.
					if d := math.Abs(float64(got[i] - w[i])); !(d <= 2e-5*(1+math.Abs(float64(w[i])))) {
						t.Fatalf("element %d: got %v, want %v (steps %+v)", i, got[i], w[i], p.Info().Steps)
					}
				}
			})
		}
	}
}
