package pass_test

import (
	"bytes"
	"testing"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
)

// Grids of more than 256 points become 16-bit integers, in files of opset 21,
// and compute what the simulation computes to float rounding.
func TestToQDQ_Wide(t *testing.T) {
	for _, c := range []struct {
		name        string
		weight      ir.Op
		params      []*tensor.Tensor
		x           op.FakeQuantizeSymmetric
		wantW, want tensor.DType
	}{
		{"16 bits", op.FakeQuantizeSymmetric{Low: -32768, High: 32767, Axis: 0}, []*tensor.Tensor{vector(0.8, 1, 0.5, 0.9)},
			op.FakeQuantizeSymmetric{Low: -32768, High: 32767, Axis: -1}, tensor.Int16, tensor.Uint16},
		{"12 bits", op.FakeQuantizeSymmetric{Low: -2048, High: 2047, Axis: -1}, []*tensor.Tensor{tensor.Scalar(float32(0.8))},
			op.FakeQuantizeSymmetric{Low: -2048, High: 2047, Axis: -1}, tensor.Int16, tensor.Uint16},
		{"asymmetric weights", op.FakeQuantizeAsymmetric{Levels: 65536, Axis: -1}, []*tensor.Tensor{tensor.Scalar(float32(-0.1)), tensor.Scalar(float32(1.1))},
			op.FakeQuantizeSymmetric{Low: -128, High: 127, Axis: -1}, tensor.Uint16, tensor.Uint8},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := layered{kind: "Conv", bias: true, quantizeInput: true, weight: c.weight, weightParams: c.params}
			g := l.build(t)
			q := g.Value("x_q").Def
			q.Op = c.x
			before := g.Clone()
			if err := pass.FoldBatchNorm(g, nil); err != nil {
				t.Fatal(err)
			}
			if err := pass.ToQDQ(g, nil); err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := onnx.Write(&b, g, onnx.Options{}); err != nil {
				t.Fatal(err)
			}
			back, err := onnx.Read(b.Bytes(), "")
			if err != nil {
				t.Fatal(err)
			}
			if back.Meta.Opset < 21 {
				t.Errorf("got opset %d, want 21 or more", back.Meta.Opset)
			}
			if got := back.Value("w").Type.DType; got != c.wantW {
				t.Errorf("weight is %v, want %v", got, c.wantW)
			}
			for _, n := range back.Nodes() {
				if n.Op.Kind() == "QuantizeLinear" && n.Out[0].Type.DType != c.want {
					t.Errorf("activation is %v, want %v", n.Out[0].Type.DType, c.want)
				}
			}
			x := input(g, 7)
			got, want := eval(t, back, x)[0], eval(t, before, x)[0]
			// One step of an input that rounds the other way, times 27 weights.
			step := 0.9 / float64(c.x.High)
			if d, size := worst(t, got, want); d > step*27*3+3e-6*max(1, size) {
				t.Errorf("differs by %g, values up to %g", d, size)
			}
		})
	}
}

// Queries of attention, the first factors of products of activations, are int8
// with zero point 0; keys, and values that something else reads too, are uint8.
func TestToQDQ_FirstFactors(t *testing.T) {
	for _, c := range []struct {
		name  string
		other bool // something else reads the queries
		want  tensor.DType
	}{{"attention", false, tensor.Int8}, {"another reader", true, tensor.Uint8}} {
		g := ir.New("attention")
		b := ir.NewBuilder(g, "")
		quantized := func(name string) *ir.Value {
			x := g.AddInput(name, ir.MakeType(tensor.Float32, 2, 3, 4))
			return b.Op(op.FakeQuantizeSymmetric{Low: -128, High: 127, Axis: -1}, name+"_q", b.Op(op.Neg{}, name+"_neg", x), b.Const(name+"_scale", tensor.Scalar(float32(0.9))))
		}
		q, k := quantized("q"), quantized("k")
		y := b.Op(op.MatMul{}, "product", b.Op(op.Transpose{Perm: []int{0, 2, 1}}, "q_t", q), k)
		g.Outputs = []*ir.Value{y}
		if c.other {
			g.Outputs = append(g.Outputs, b.Op(op.Neg{}, "reader", q))
		}
		if err := b.Err(); err != nil {
			t.Fatal(err)
		}
		before := g.Clone()
		if err := pass.ToQDQ(g, nil); err != nil {
			t.Fatal(err)
		}
		if err := ir.Verify(g); err != nil {
			t.Fatal(err)
		}
		for _, n := range g.Nodes() {
			if n.Op.Kind() != "QuantizeLinear" {
				continue
			}
			want := tensor.Uint8
			if n.In[0].Name == "q_neg" || n.In[0].Name == "q_t" {
				want = c.want
			}
			if got := n.Out[0].Type.DType; got != want {
				t.Errorf("%s: %s is %v, want %v", c.name, n.In[0].Name, got, want)
			}
		}
		x, z := random(3, 1, 2, 3, 4), random(4, 1, 2, 3, 4)
		if d, size := worst(t, eval(t, g, x, z)[0], eval(t, before, x, z)[0]); d > 1e-6*max(1, size) {
			t.Errorf("%s: differs by %g", c.name, d)
		}
	}
}
