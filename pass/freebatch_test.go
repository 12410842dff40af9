package pass_test

import (
	"math"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit/gradcheck"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
)

// batchNets are networks with a batch of n as exporters write them: whatever
// depends on it is a number in the graph.
var batchNets = []struct {
	name string
	row  []int // shape of a sample
	net  func(b *ir.Builder, x *ir.Value, n int) *ir.Value
}{
	{"flatten by a shape", []int{2, 3, 4}, func(b *ir.Builder, x *ir.Value, n int) *ir.Value {
		return b.Op(op.MatMul{}, "", b.Op(op.Reshape{}, "flat", x, b.ConstInts("shape", n, 24)), b.Const("w", gradcheck.Rand(1, 24, 3)))
	}},
	{"minus one elsewhere", []int{2, 3, 4}, func(b *ir.Builder, x *ir.Value, n int) *ir.Value {
		return b.Op(op.Reshape{}, "flat", x, b.ConstInts("shape", n, 2, -1))
	}},
	{"copied axis", []int{2, 3, 4}, func(b *ir.Builder, x *ir.Value, n int) *ir.Value {
		return b.Op(op.Reshape{}, "flat", x, b.ConstInts("shape", n, 0, 12))
	}},
	{"samples times positions", []int{3, 4}, func(b *ir.Builder, x *ir.Value, n int) *ir.Value {
		y := b.Op(op.MatMul{}, "", b.Op(op.Reshape{}, "rows", x, b.ConstInts("s1", 3*n, 4)), b.Const("w", gradcheck.Rand(1, 4, 5)))
		return b.Op(op.Reshape{}, "back", y, b.ConstInts("s2", n, 3, 5))
	}},
	{"positions times samples", []int{3, 4}, func(b *ir.Builder, x *ir.Value, n int) *ir.Value { // of attention with the sequence first
		y := b.Op(op.Transpose{Perm: []int{1, 0, 2}}, "first", x)
		y = b.Op(op.MatMul{}, "", b.Op(op.Reshape{}, "rows", y, b.ConstInts("s1", 3*n, 4)), b.Const("w", gradcheck.Rand(1, 4, 4)))
		y = b.Op(op.Reshape{}, "heads", y, b.ConstInts("s2", 3, n*2, 2))
		y = b.Op(op.Softmax{Axis: -1}, "", b.Op(op.Transpose{Perm: []int{1, 0, 2}}, "by head", y))
		y = b.Op(op.Transpose{Perm: []int{1, 0, 2}}, "again", y)
		y = b.Op(op.Reshape{}, "joined", y, b.ConstInts("s3", 3, n, 4))
		return b.Op(op.Transpose{Perm: []int{1, 0, 2}}, "out", y)
	}},
	{"class token", []int{3, 4}, func(b *ir.Builder, x *ir.Value, n int) *ir.Value {
		token := b.Op(op.Expand{}, "tokens", b.Const("token", gradcheck.Rand(1, 1, 1, 4)), b.ConstInts("shape", n, 1, 4))
		return b.Op(op.Concat{Axis: 1}, "", token, x)
	}},
	{"a constant for each sample", []int{3, 4}, func(b *ir.Builder, x *ir.Value, n int) *ir.Value {
		row := gradcheck.Rand(1, 1, 3, 4).F32()
		all := []float32{}
		for range n {
			all = append(all, row...)
		}
		c := b.Const("c", tensor.From(all, n, 3, 4))
		return b.Op(op.Concat{Axis: 2}, "", b.Op(op.Add{}, "", x, c), c)
	}},
	{"upsampled to sizes", []int{2, 3, 3}, func(b *ir.Builder, x *ir.Value, n int) *ir.Value {
		return b.Op(op.Resize{Mode: "linear"}, "", x, nil, nil, b.ConstInts("sizes", n, 2, 7, 5))
	}},
	{"expanded", []int{2, 1, 3}, func(b *ir.Builder, x *ir.Value, n int) *ir.Value {
		return b.Op(op.Expand{}, "", x, b.ConstInts("shape", n, 2, 4, 3))
	}},
	{"first states", []int{4, 3}, func(b *ir.Builder, x *ir.Value, n int) *ir.Value {
		h := b.Op(op.Expand{}, "hs", b.Const("h", gradcheck.Rand(5, 1, 1, 2)), b.ConstInts("shape", 1, n, 2))
		y := b.Op(op.GRU{}, "", b.Op(op.Transpose{Perm: []int{1, 0, 2}}, "times", x), b.Const("w", gradcheck.Rand(2, 1, 6, 3)), b.Const("r", gradcheck.Rand(3, 1, 6, 2)), nil, nil, h)
		return b.Op(op.Reshape{}, "out", b.Op(op.Transpose{Perm: []int{2, 0, 1, 3}}, "samples", y), b.ConstInts("s", n, 8))
	}},
}

// netOf builds a network for n samples.
func netOf(t *testing.T, row []int, n int, net func(*ir.Builder, *ir.Value, int) *ir.Value) *ir.Graph {
	t.Helper()
	g := ir.New("net")
	b := ir.NewBuilder(g, "")
	x := g.AddInput("x", ir.MakeType(tensor.Float32, append([]int{n}, row...)...))
	g.Outputs = []*ir.Value{net(b, x, n)}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

// A freed graph computes five samples as one made for five, and with the batch
// restored it is one for the former batch.
func TestFreeBatch(t *testing.T) {
	for _, c := range batchNets {
		for _, n := range []int{1, 2, 3} {
			g := netOf(t, c.row, n, c.net)
			free, err := pass.FreeBatch(g, nil)
			if err != nil {
				t.Errorf("%s, batch %d: %v", c.name, n, err)
				continue
			}
			in := []*tensor.Tensor{gradcheck.Rand(7, append([]int{5}, c.row...)...)}
			want, err := ir.Eval(t.Context(), netOf(t, c.row, 5, c.net), in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ir.Eval(t.Context(), free, in)
			if err != nil {
				t.Errorf("%s, batch %d: %v", c.name, n, err)
				continue
			}
			if !got[0].Shape().Equal(want[0].Shape()) {
				t.Errorf("%s, batch %d: got %v, want %v", c.name, n, got[0], want[0])
				continue
			}
			for i, v := range got[0].F32() {
				if math.Abs(float64(v-want[0].F32()[i])) > 1e-6 {
					t.Errorf("%s, batch %d: element %d: got %g, want %g", c.name, n, i, v, want[0].F32()[i])
					break
				}
			}
			again, err := pass.RestoreBatch(free)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range []*ir.Value{again.Inputs[0], again.Outputs[0]} {
				if was := []*ir.Value{g.Inputs[0], g.Outputs[0]}[i]; v.Type.String() != was.Type.String() {
					t.Errorf("%s, batch %d restored: %s is %v, was %v", c.name, n, v.Name, v.Type, was.Type)
				}
			}
			if len(again.Meta.Props) > 0 || g.Inputs[0].Type.Dims[0] != ir.Len(n) {
				t.Errorf("%s: got metadata %v after restoring, and the graph that came in has become %v", c.name, again.Meta.Props, g.Inputs[0].Type)
			}
		}
	}
}

func TestFreeBatch_Errors(t *testing.T) {
	for _, c := range []struct {
		name string
		net  func(b *ir.Builder, x *ir.Value, n int) *ir.Value
		want []string
	}{
		{"batch squeezed away", func(b *ir.Builder, x *ir.Value, n int) *ir.Value {
			return b.Op(op.Squeeze{}, "squeezed", x, b.ConstInts("axes", 0))
		}, []string{`node "squeezed"`, "leaves the batch out"}},
		{"one sample taken", func(b *ir.Builder, x *ir.Value, n int) *ir.Value {
			return b.Op(op.Gather{}, "taken", x, b.Const("i", tensor.Scalar(int64(0))))
		}, []string{`node "taken"`, "leaves the batch out"}},
		{"batch last", func(b *ir.Builder, x *ir.Value, n int) *ir.Value {
			return b.Op(op.Transpose{Perm: []int{1, 2, 0}}, "last", x)
		}, []string{`output "last"`, "want the batch first"}},
		{"no end of choices", func(b *ir.Builder, x *ir.Value, n int) *ir.Value {
			for range 12 {
				x = b.Op(op.Reshape{}, "r", x, b.ConstInts("s", 1, 1, 1, 1, 12))
			}
			return b.Op(op.Squeeze{}, "squeezed", x, b.ConstInts("axes", 0, 1, 2, 3))
		}, []string{`node "squeezed"`, "leaves the batch out"}},
	} {
		_, err := pass.FreeBatch(netOf(t, []int{3, 4}, 1, c.net), nil)
		if err == nil {
			t.Errorf("%s: got no error", c.name)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: got error %q, want one with %q", c.name, err, w)
			}
		}
	}
	g := netOf(t, []int{3}, 2, func(b *ir.Builder, x *ir.Value, n int) *ir.Value { return b.Op(op.Relu{}, "", x) })
	g.AddInput("y", ir.MakeType(tensor.Float32, 3, 3))
	if _, err := pass.FreeBatch(g, nil); err == nil || !strings.Contains(err.Error(), `input "y"`) {
		t.Errorf("inputs of two batches: got error %v, want one about y", err)
	}
}
