package op_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/autodiff"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/internal/testkit/gradcheck"
	"github.com/go-nncf/nncf/internal/testkit/npz"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// The original implementation's binarizers: weights, activations and all their
// gradients, from the operators that they are made of here.
func TestBinarize_Golden(t *testing.T) {
	arrays := npz.Read(t, testkit.Shared(t, "data", "nncf-goldens", "binarization", "operators.npz"))
	weights, activations := 0, 0
	for name := range arrays {
		c, ok := strings.CutSuffix(name, "|g")
		if !ok {
			continue
		}
		get := func(name string) *tensor.Tensor { return arrays[c+"|"+name] }
		if get("w") != nil {
			weights++
			for mode, global := range map[string]bool{"xnor": false, "dorefa": true} {
				out, dw := binaryWeight(t, global, get("w"), get("g"))
				nearTo(t, c+" "+mode, out, get(mode+"|out").F32(), 1e-6)
				nearTo(t, c+" "+mode+" gradient", dw, get(mode+"|dw").F32(), 1e-6)
			}
			continue
		}
		activations++
		x, g := get("x"), get("g")
		logit := get("logit_threshold")
		in := []*tensor.Tensor{x, get("log_scale"), logit.Reshape(logit.Len())}
		s := op.BinaryScaleOf(in[1].F32()[0])
		u := eval(t, op.BinarizeActivation{}, in...)[0]
		out, du := make([]float32, u.Len()), tensor.New(tensor.Float32, x.Shape()...)
		for i, v := range u.F32() {
			out[i], du.F32()[i] = v*s, g.F32()[i]*s
		}
		nearTo(t, c, out, get("out").F32(), 1e-6)
		d := eval(t, op.BinarizeActivationGrad{}, append(in, du)...)
		nearTo(t, c+" dx", d[0].F32(), get("dx").F32(), 1e-6)
		nearTo(t, c+" dlog_scale", d[1].F32(), get("dlog_scale").F32(), 1e-5)
		nearTo(t, c+" dlogit_threshold", d[2].F32(), get("dlogit_threshold").F32(), 1e-5)
	}
	if weights != 3 || activations != 3 {
		t.Errorf("got %d cases of weights and %d of activations, want 3 and 3", weights, activations)
	}
}

// binaryWeight returns v·mean and the gradient of w for the gradient g of that
// product.
func binaryWeight(t *testing.T, global bool, w, g *tensor.Tensor) (out, dw []float32) {
	t.Helper()
	gr := ir.New("test")
	b := ir.NewBuilder(gr, "test")
	wv := gr.AddStored(ir.Parameter, "w", w)
	r := b.Multi(op.BinarizeWeight{Global: global}, "binarize", 2, wv)
	f := b.Op(op.BinaryScale{}, "scale", r[1], b.Const("log_scale", tensor.From([]float32{0}, 1)))
	y := b.Op(op.Mul{}, "mul", r[0], b.Op(op.Unsqueeze{}, "unsqueeze", f, b.ConstInts("axes", 3)))
	loss := b.Op(op.ReduceSum{}, "loss", b.Op(op.Mul{}, "weighted", y, b.Const("g", g)))
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	d, err := autodiff.Grad(gr, loss, []*ir.Value{wv})
	if err != nil {
		t.Fatal(err)
	}
	got, err := ir.Eval(context.Background(), gr, nil, y, d[0])
	if err != nil {
		t.Fatal(err)
	}
	return got[0].F32(), got[1].F32()
}

// nearTo compares with a tolerance relative to the largest value wanted.
func nearTo(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: got %d values, want %d", what, len(got), len(want))
		return
	}
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(float64(v)))
	}
	for i, v := range want {
		if d := math.Abs(float64(got[i]) - float64(v)); !(d <= tolerance*largest) {
			t.Errorf("%s: element %d: got %v, want %v", what, i, got[i], v)
			return
		}
	}
}

// The examples of algorithms that are documented with numbers: signs of zero,
// one mean a filter, one of all.
func TestBinarizeWeight_Values(t *testing.T) {
	for _, c := range []struct {
		name       string
		o          op.BinarizeWeight
		w, v, mean []float32
	}{
		{"xnor", op.BinarizeWeight{}, []float32{1, -2, 0, 3}, []float32{1, -1, -1, 1}, []float32{1.5, 1.5}},
		{"xnor, scales differ", op.BinarizeWeight{}, []float32{1, -1, 4, 2}, []float32{1, -1, 1, 1}, []float32{1, 3}},
		{"dorefa", op.BinarizeWeight{Global: true}, []float32{1, -1, 4, 2}, []float32{1, -1, 1, 1}, []float32{2, 2}},
		{"zeros", op.BinarizeWeight{}, []float32{0, 0, 4, 2}, []float32{-1, -1, 1, 1}, []float32{1e-16, 3}},
		{"off", op.BinarizeWeight{Off: true}, []float32{1, -1, 4, 2}, []float32{1, -1, 4, 2}, []float32{1, 1}},
	} {
		got := eval(t, c.o, tensor.From(c.w, 2, 2))
		nearTo(t, c.name, got[0].F32(), c.v, 0)
		nearTo(t, c.name+" mean", got[1].F32(), c.mean, 0)
	}
}

// Switched-off binarizers leave a convolution's numbers and gradients alone; the
// parameters of activations get zeros.
func TestBinarize_Off(t *testing.T) {
	x, du := gradcheck.Rand(1, 2, 3, 4), gradcheck.Rand(2, 2, 3, 4)
	in := []*tensor.Tensor{x, gradcheck.Rand(3, 1), gradcheck.Rand(4, 3)}
	equalBits(t, "forward", eval(t, op.BinarizeActivation{Off: true}, in...)[0], x)
	d := eval(t, op.BinarizeActivationGrad{Off: true}, append(in, du)...)
	equalBits(t, "dx", d[0], du)
	nearTo(t, "parameters", append(d[1].F32(), d[2].F32()...), make([]float32, 4), 0)
}

// NaN passes no threshold and gives no gradient.
func TestBinarizeActivation_NaN(t *testing.T) {
	nan := float32(math.NaN())
	in := []*tensor.Tensor{tensor.From([]float32{nan}, 1, 1), tensor.From([]float32{0}, 1), tensor.From([]float32{0}, 1)}
	if got := eval(t, op.BinarizeActivation{}, in...)[0].F32()[0]; got != 0 {
		t.Errorf("got %v, want 0", got)
	}
	for i, d := range eval(t, op.BinarizeActivationGrad{}, append(in, tensor.From([]float32{1}, 1, 1))...) {
		if d.F32()[0] != 0 {
			t.Errorf("gradient %d: got %v, want 0", i, d.F32()[0])
		}
	}
}
