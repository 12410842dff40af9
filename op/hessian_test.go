package op_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/autodiff"
	"github.com/go-nncf/nncf/internal/testkit/gradcheck"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// Hessian-vector products of a whole network, by differentiating its gradient
// graph again, equal differences of gradients: for convolution, batch
// normalization in both forms, pools, residual sum, linear layer, softmax loss.
func TestHessianVector(t *testing.T) {
	for _, training := range []bool{true, false} {
		g := ir.New("net")
		b := ir.NewBuilder(g, "")
		x := b.Const("x", gradcheck.Rand(1, 3, 2, 6, 6))
		labels := b.Const("labels", tensor.From([]int64{0, 2, 1}, 3))
		shapes := [][]int{{4, 2, 3, 3}, {4}, {4}, {4, 2, 3, 3}, {3, 4}, {3}}
		start := make([]*tensor.Tensor, len(shapes))
		w := make([]*ir.Value, len(shapes))
		for i, s := range shapes {
			start[i] = gradcheck.Rand(uint64(10+i), s...)
			w[i] = g.AddInput([]string{"w1", "scale", "bias", "w2", "wf", "bf"}[i], ir.TypeOf(start[i]))
		}
		same := op.Window{AutoPad: "SAME_UPPER"}
		h := b.Op(op.Conv{Window: same}, "conv1", x, w[0])
		mean, variance := b.Const("mean", gradcheck.Rand(3, 4)), b.Const("var", gradcheck.Uniform(4, 1, 9, 4))
		n := 1
		if training {
			n = 5
		}
		h = b.Multi(op.BatchNormalization{Epsilon: 1e-2, Training: training}, "bn", n, h, w[1], w[2], mean, variance)[0]
		h = b.Op(op.Softplus{}, "act", h) // smooth, so that differences are exact
		h = b.Op(op.Add{}, "sum", h, b.Op(op.Conv{Group: 2, Window: same}, "conv2", h, w[3]))
		h = b.Op(op.MaxPool{Pool: op.Pool{Kernel: []int{2, 2}, Window: op.Window{Strides: []int{2, 2}}}}, "max", h)
		h = b.Op(op.AveragePool{Pool: op.Pool{Kernel: []int{2, 2}}}, "average", h)
		h = b.Op(op.GlobalAveragePool{}, "global", h)
		h = b.Op(op.Flatten{Axis: 1}, "flatten", h)
		h = b.Op(op.Gemm{TransB: true}, "fc", h, w[4], w[5])
		loss := b.Op(op.SoftmaxCrossEntropyLoss{}, "loss", h, labels)
		if err := b.Err(); err != nil {
			t.Fatal(err)
		}
		grads, err := autodiff.Grad(g, loss, w)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		dir := make([]*tensor.Tensor, len(w))
		var dot *ir.Value
		for i := range w {
			dir[i] = gradcheck.Normal(rng, shapes[i]...)
			d := b.Op(op.ReduceSum{}, "dot", b.Op(op.Mul{}, "dot", grads[i], b.Const("v", dir[i])))
			if dot != nil {
				d = b.Op(op.Add{}, "dot", dot, d)
			}
			dot = d
		}
		if err := b.Err(); err != nil {
			t.Fatal(err)
		}
		hv, err := autodiff.Grad(g, dot, w)
		if err != nil {
			t.Fatal(err)
		}
		if err := ir.Verify(g); err != nil {
			t.Fatal(err)
		}
		want := append(append([]*ir.Value(nil), grads...), hv...)
		at := func(step float32) []*tensor.Tensor {
			in := make([]*tensor.Tensor, len(w))
			for i, s := range start {
				in[i] = s.Clone()
				for j, v := range dir[i].F32() {
					in[i].F32()[j] += step * v
				}
			}
			out, err := ir.Eval(t.Context(), g, in, want...)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		const step = 2e-3
		mid, plus, minus := at(0), at(step), at(-step)
		for i := range w {
			var diff, size float64
			for j, got := range mid[len(w)+i].F32() {
				d := float64(plus[i].F32()[j]-minus[i].F32()[j]) / (2 * step)
				diff += (d - float64(got)) * (d - float64(got))
				size += d * d
			}
			// Differences of float32 gradients are good to about 1e-7/step plus step².
			if !(math.Sqrt(diff) <= 2e-3*math.Sqrt(size)) || size == 0 {
				t.Errorf("training %t: Hessian-vector product of %s is off by %.2g of %.2g", training, w[i].Name, math.Sqrt(diff), math.Sqrt(size))
			}
		}
	}
}
