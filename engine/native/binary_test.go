package native_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/autodiff"
	"github.com/go-nncf/nncf/compress/binarization"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/engine/native"
	"github.com/go-nncf/nncf/internal/testkit/gradcheck"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/zoo"
)

// binarized returns a graph of one binarized convolution of x, and its operators
// in the form of training, or of files.
func binarized(t *testing.T, conv op.Conv, x, w []int, file bool) *ir.Graph {
	t.Helper()
	g := ir.New("test")
	in := g.AddInput("x", ir.MakeType(tensor.Float32, x...))
	b := ir.NewBuilder(g, "test")
	var y *ir.Value
	if file {
		at := gradcheck.Rand(1, x[1], 1, 1)
		u := b.Op(op.Cast{To: tensor.Float32}, "bit", b.Op(op.Greater{}, "above", in, b.Const("at", at)))
		signs := gradcheck.Rand(2, w...)
		for i, v := range signs.F32() {
			signs.F32()[i] = float32(math.Copysign(1, float64(v)))
		}
		y = b.Op(op.Mul{}, "scale", b.Op(conv, "conv", u, b.Const("w", signs)), b.Const("f", gradcheck.Rand(3, w[0], 1, 1)))
	} else {
		weight := g.AddStored(ir.Parameter, "w", gradcheck.Rand(2, w...))
		logScale := g.AddStored(ir.Parameter, "log_scale", gradcheck.Rand(4, 1))
		u := b.Op(op.BinarizeActivation{}, "act", in, logScale, g.AddStored(ir.Parameter, "logit", gradcheck.Rand(5, x[1])))
		v := b.Multi(op.BinarizeWeight{}, "sign", 2, weight)
		c := b.Op(conv, "conv", u, v[0])
		y = b.Op(op.Mul{}, "scale", c, b.Op(op.BinaryScale{}, "factors", v[1], logScale))
	}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	g.Outputs = []*ir.Value{y}
	return g
}

// runOnce compiles and runs a graph on one input.
func runOnce(t *testing.T, g *ir.Graph, threads int, x *tensor.Tensor) ([]*tensor.Tensor, engine.Info) {
	t.Helper()
	p, err := native.Backend{}.Compile(t.Context(), g, engine.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Input(0).CopyFrom(x)
	for range 2 { // the second run must not see what the first one left
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var out []*tensor.Tensor
	for i := range g.Outputs {
		out = append(out, p.Output(i).Clone())
	}
	return out, p.Info()
}

func countBits(info engine.Info) (n int) {
	for _, s := range info.Steps {
		if strings.HasPrefix(s.Kernel, "bits") {
			n++
		}
	}
	return n
}

// A convolution on bits has the bits of the reference evaluation, in both forms.
func TestBinary_Conv(t *testing.T) {
	three := op.Window{Pads: []int{1, 1, 1, 1}}
	for i, c := range []struct {
		conv op.Conv
		x, w []int
	}{
		{op.Conv{Window: three}, []int{2, 16, 9, 7}, []int{24, 16, 3, 3}},
		{op.Conv{Window: op.Window{Pads: []int{0, 1, 2, 1}, Strides: []int{2, 1}}}, []int{1, 5, 8, 9}, []int{3, 5, 3, 3}},
		{op.Conv{}, []int{3, 40, 1, 1}, []int{10, 40, 1, 1}},
		{op.Conv{Window: op.Window{Dilations: []int{2, 2}}}, []int{1, 8, 9, 9}, []int{64, 8, 3, 3}},
	} {
		for _, file := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d file=%t", i, file), func(t *testing.T) {
				g := binarized(t, c.conv, c.x, c.w, file)
				x := gradcheck.Rand(7, c.x...)
				want, err := ir.Eval(context.Background(), g, []*tensor.Tensor{x})
				if err != nil {
					t.Fatal(err)
				}
				got, info := runOnce(t, g, 2, x)
				if countBits(info) != 1 {
					t.Errorf("got steps %+v, want one on bits", info.Steps)
				}
				if !slices.Equal(got[0].F32(), want[0].F32()) {
					t.Errorf("got %v, want %v", got[0].F32(), want[0].F32())
				}
			})
		}
	}
}

// A whole network on bits has the bits of the same network with convolutions in
// float, and of its exported form, with any number of threads.
func TestBinary_Network(t *testing.T) {
	g, err := zoo.Build("resnet20", zoo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	zero := 0
	o := binarization.Options{}
	o.Ignored = []string{"ResNet/Conv2d[conv1]"}
	o.Params.Activations, o.Params.Weights = &zero, &zero
	s, err := binarization.New(o).Setup(g)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(g, nil); err != nil {
		t.Fatal(err)
	}
	for i, v := range slices.Collect(g.Parameters()) {
		if strings.Contains(v.Name, "/binarizer/") {
			v.Data.CopyFrom(gradcheck.Rand(uint64(i), v.Data.Shape()...))
		}
	}
	g, err = g.Specialize(map[string][]int{g.Inputs[0].Name: {2, 3, 32, 32}})
	if err != nil {
		t.Fatal(err)
	}
	x := gradcheck.Rand(8, 2, 3, 32, 32)
	got, info := runOnce(t, g, 1, x)
	if n := countBits(info); n != 18 {
		t.Errorf("got %d convolutions on bits, want 18", n)
	}
	float := g.Clone()
	for _, n := range float.Nodes() { // a bias of zero keeps them off
		if o, ok := n.Op.(op.Conv); ok && len(n.In) == 2 {
			b := ir.NewBuilder(float, "test")
			y := b.Op(o, "", n.In[0], n.In[1], b.Const("zero", tensor.New(tensor.Float32, n.In[1].Type.MustShape()[0])))
			if err := b.Err(); err != nil {
				t.Fatal(err)
			}
			float.ReplaceUses(n.Out[0], y)
		}
	}
	if err := float.Sort(); err != nil {
		t.Fatal(err)
	}
	float.Prune()
	file := g.Clone()
	if err := pass.BinaryToONNX(file, nil); err != nil {
		t.Fatal(err)
	}
	if err := pass.Canonicalize(file, nil); err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*ir.Graph{"float": float, "file": file, "threads": g} {
		want, info := runOnce(t, m, 3, x)
		if n := countBits(info); (n == 0) != (name == "float") {
			t.Errorf("%s: got %d convolutions on bits", name, n)
		}
		if !slices.Equal(got[0].F32(), want[0].F32()) {
			t.Errorf("%s: got %v, want %v", name, got[0].F32(), want[0].F32())
		}
	}
}

// Gradients through a convolution on bits are those of the reference evaluation.
func TestBinary_Gradient(t *testing.T) {
	g := binarized(t, op.Conv{Window: op.Window{Pads: []int{1, 1, 1, 1}}}, []int{2, 16, 9, 7}, []int{24, 16, 3, 3}, false)
	b := ir.NewBuilder(g, "test")
	loss := b.Op(op.ReduceSum{}, "loss", b.Op(op.Mul{}, "weighted", g.Outputs[0], b.Const("d", gradcheck.Rand(9, 2, 24, 9, 7))))
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	wrt := []*ir.Value{g.Value("w"), g.Value("log_scale"), g.Value("logit"), g.Inputs[0]}
	d, err := autodiff.Grad(g, loss, wrt)
	if err != nil {
		t.Fatal(err)
	}
	g.Outputs = append(g.Outputs, d...)
	g.Prune()
	x := gradcheck.Rand(7, 2, 16, 9, 7)
	want, err := ir.Eval(context.Background(), g, []*tensor.Tensor{x})
	if err != nil {
		t.Fatal(err)
	}
	got, info := runOnce(t, g, 2, x)
	if countBits(info) != 1 {
		t.Errorf("got %d steps on bits, want 1", countBits(info))
	}
	for i, w := range want {
		largest := 0.0
		for _, v := range w.F32() {
			largest = max(largest, math.Abs(float64(v)))
		}
		for k, v := range w.F32() {
			if d := math.Abs(float64(got[i].F32()[k]) - float64(v)); !(d <= 1e-5*largest) {
				t.Fatalf("output %d, element %d: got %v, want %v", i, k, got[i].F32()[k], v)
			}
		}
	}
}
