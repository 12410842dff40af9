package pruning_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress/pruning"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// net builds small graphs with random weights.
type net struct {
	*ir.Builder
	rng *rand.Rand
	n   int
}

func newNet(shape ...int) (*net, *ir.Value) {
	g := ir.New("net")
	x := g.AddInput("x", ir.MakeType(tensor.Float32, shape...))
	return &net{Builder: ir.NewBuilder(g, ""), rng: rand.New(rand.NewPCG(3, 4))}, x
}

func (b *net) param(name string, s ...int) *ir.Value {
	t := tensor.New(tensor.Float32, s...)
	for i := range t.F32() {
		t.F32()[i] = float32(b.rng.NormFloat64() * 0.3)
	}
	return b.G.AddStored(ir.Parameter, name, t)
}

func (b *net) name(s string) string { b.n++; return fmt.Sprint(s, b.n) }

func (b *net) conv(x *ir.Value, out, k, groups int) *ir.Value {
	n := b.name("conv")
	w := b.param(n+".w", out, x.Type.Dims[1].N/groups, k, k)
	return b.Op(op.Conv{Group: groups, Window: op.Window{Pads: []int{k / 2, k / 2, k / 2, k / 2}}}, n, x, w, b.param(n+".b", out))
}

func (b *net) bn(x *ir.Value) *ir.Value {
	n, c := b.name("bn"), x.Type.Dims[1].N
	v := b.param(n+".var", c)
	for i := range v.Data.F32() {
		v.Data.F32()[i] = 1 + v.Data.F32()[i]*v.Data.F32()[i]
	}
	m := b.param(n+".mean", c)
	b.G.SetKind(v, ir.State)
	b.G.SetKind(m, ir.State)
	return b.Op(op.BatchNormalization{Epsilon: 1e-5}, n, x, b.param(n+".scale", c), b.param(n+".bias", c), m, v)
}

func (b *net) relu(x *ir.Value) *ir.Value   { return b.Op(op.Relu{}, b.name("relu"), x) }
func (b *net) add(x, y *ir.Value) *ir.Value { return b.Op(op.Add{}, b.name("add"), x, y) }
func (b *net) linear(x *ir.Value, out int) *ir.Value {
	n := b.name("fc")
	return b.Op(op.Gemm{TransB: true}, n, x, b.param(n+".w", out, x.Type.Dims[1].N), b.param(n+".b", out))
}
func (b *net) matmul(x *ir.Value, out int) *ir.Value {
	n := b.name("mm")
	y := b.Op(op.MatMul{}, n, x, b.param(n+".w", x.Type.Dims[x.Type.Rank()-1].N, out))
	return b.Op(op.Add{}, n+".add", y, b.param(n+".b", out))
}
func (b *net) reshape(x *ir.Value, s ...int) *ir.Value {
	n := b.name("reshape")
	return b.Op(op.Reshape{}, n, x, b.ConstInts(n+".shape", s...))
}
func (b *net) transpose(x *ir.Value, p ...int) *ir.Value {
	return b.Op(op.Transpose{Perm: p}, b.name("transpose"), x)
}
func (b *net) head(x *ir.Value) *ir.Value {
	return b.linear(b.Op(op.Flatten{Axis: 1}, b.name("flatten"), b.Op(op.GlobalAveragePool{}, b.name("pool"), x)), 5)
}

// graphs are the shapes of networks that pruning has to find its way through;
// least is the smallest share of the weights that must go.
var graphs = []struct {
	name  string
	shape []int
	build func(b *net, x *ir.Value) []*ir.Value
	least float64
	kept  string // part of a reason that must be given
}{
	{"residual", []int{2, 3, 8, 8}, func(b *net, x *ir.Value) []*ir.Value {
		x = b.relu(b.bn(b.conv(x, 8, 3, 1)))
		x = b.relu(b.add(x, b.bn(b.conv(b.relu(b.bn(b.conv(x, 12, 3, 1))), 8, 3, 1))))
		return []*ir.Value{b.head(x)}
	}, 0.6, ""},
	{"dense", []int{2, 3, 8, 8}, func(b *net, x *ir.Value) []*ir.Value {
		x = b.conv(x, 8, 3, 1)
		for range 3 {
			y := b.conv(b.relu(b.bn(x)), 6, 3, 1)
			x = b.Op(op.Concat{Axis: 1}, b.name("cat"), x, y)
		}
		return []*ir.Value{b.head(b.relu(b.bn(x)))}
	}, 0.6, ""},
	{"grouped", []int{2, 3, 8, 8}, func(b *net, x *ir.Value) []*ir.Value {
		x = b.relu(b.conv(x, 16, 1, 1))
		x = b.relu(b.bn(b.conv(x, 24, 3, 4)))
		return []*ir.Value{b.head(x)}
	}, 0.5, ""},
	{"depthwise with multiplier", []int{2, 3, 8, 8}, func(b *net, x *ir.Value) []*ir.Value {
		x = b.relu(b.conv(x, 6, 1, 1))
		x = b.relu(b.bn(b.conv(x, 12, 3, 6)))
		return []*ir.Value{b.head(b.conv(x, 10, 1, 1))}
	}, 0.5, ""},
	{"split and slice", []int{2, 3, 8, 8}, func(b *net, x *ir.Value) []*ir.Value {
		x = b.relu(b.conv(x, 16, 3, 1))
		p := b.Multi(op.Split{Axis: 1}, b.name("split"), 2, x, b.ConstInts("sizes", 6, 10))
		s := b.Op(op.Slice{}, b.name("slice"), p[1], b.ConstInts("from", 2), b.ConstInts("to", 8), b.ConstInts("axes", 1))
		y := b.add(p[0], b.conv(s, 6, 3, 1))
		return []*ir.Value{b.head(b.Op(op.Concat{Axis: 1}, b.name("cat"), p[1], y))}
	}, 0.5, ""},
	{"U-Net", []int{2, 3, 8, 8}, func(b *net, x *ir.Value) []*ir.Value {
		a := b.relu(b.bn(b.conv(x, 8, 3, 1)))
		d := b.Op(op.MaxPool{Pool: op.Pool{Kernel: []int{2, 2}, Window: op.Window{Strides: []int{2, 2}}}}, b.name("pool"), a)
		d = b.relu(b.conv(d, 16, 3, 1))
		n := b.name("up")
		u := b.Op(op.ConvTranspose{Window: op.Window{Strides: []int{2, 2}}}, n, d, b.param(n+".w", 16, 8, 2, 2), b.param(n+".b", 8))
		y := b.relu(b.conv(b.Op(op.Concat{Axis: 1}, b.name("cat"), a, u), 8, 3, 1))
		return []*ir.Value{b.conv(y, 2, 1, 1)}
	}, 0.6, "model output"},
	{"SSD", []int{2, 3, 8, 8}, func(b *net, x *ir.Value) []*ir.Value {
		a := b.relu(b.conv(x, 8, 3, 1))
		c := b.relu(b.conv(a, 12, 3, 1))
		var parts []*ir.Value
		for _, f := range []*ir.Value{a, c} {
			h := b.transpose(b.conv(f, 6, 3, 1), 0, 2, 3, 1)
			parts = append(parts, b.reshape(h, 0, -1, 3))
		}
		boxes := b.Op(op.Concat{Axis: 1}, b.name("cat"), parts...)
		return []*ir.Value{b.Op(op.Softmax{Axis: -1}, b.name("softmax"), boxes)}
	}, 0.4, "mixes it with other axes"},
	{"squeeze-excite, sigmoid gate", []int{2, 3, 8, 8}, func(b *net, x *ir.Value) []*ir.Value {
		x = b.Op(op.HardSwish{}, b.name("act"), b.bn(b.conv(x, 12, 3, 1)))
		s := b.relu(b.conv(b.Op(op.GlobalAveragePool{}, b.name("gap"), x), 6, 1, 1))
		g := b.Op(op.Sigmoid{}, b.name("gate"), b.conv(s, 12, 1, 1))
		return []*ir.Value{b.head(b.Op(op.Mul{}, b.name("mul"), x, g))}
	}, 0.5, ""},
	{"sigmoid between layers", []int{2, 3, 8, 8}, func(b *net, x *ir.Value) []*ir.Value {
		x = b.Op(op.Sigmoid{}, b.name("sigmoid"), b.conv(x, 12, 3, 1))
		return []*ir.Value{b.head(b.conv(x, 8, 3, 1))}
	}, 0.6, ""},
	{"PRelu and flatten into linear", []int{2, 3, 4, 4}, func(b *net, x *ir.Value) []*ir.Value {
		x = b.conv(x, 8, 3, 1)
		x = b.Op(op.PRelu{}, b.name("prelu"), x, b.param("slope", 8, 1, 1))
		x = b.Op(op.Flatten{Axis: 1}, b.name("flatten"), x)
		return []*ir.Value{b.linear(b.relu(b.linear(x, 16)), 4)}
	}, 0.6, ""},
	{"channel shuffle", []int{2, 3, 4, 4}, func(b *net, x *ir.Value) []*ir.Value {
		x = b.relu(b.conv(x, 12, 1, 1))
		y := b.transpose(b.reshape(x, 2, 2, 6, 4, 4), 0, 2, 1, 3, 4)
		x = b.reshape(y, 2, 12, 4, 4)
		return []*ir.Value{b.head(b.conv(x, 8, 3, 1))}
	}, 0.6, ""},
	{"pixel shuffle", []int{2, 3, 4, 4}, func(b *net, x *ir.Value) []*ir.Value {
		x = b.relu(b.conv(x, 24, 3, 1))
		x = b.Op(op.DepthToSpace{BlockSize: 2, CRD: true}, b.name("shuffle"), x)
		return []*ir.Value{b.conv(b.relu(x), 2, 3, 1)}
	}, 0.4, ""},
	{"padded channels of a shortcut", []int{2, 3, 4, 4}, func(b *net, x *ir.Value) []*ir.Value {
		x = b.relu(b.conv(x, 6, 3, 1))
		p := b.Op(op.Pad{}, b.name("pad"), x, b.ConstInts("pads", 0, 3, 0, 0, 0, 3, 0, 0))
		return []*ir.Value{b.head(b.relu(b.add(p, b.bn(b.conv(x, 12, 3, 1)))))}
	}, 0.3, ""},
	{"attention heads", []int{2, 6, 16}, func(b *net, x *ir.Value) []*ir.Value {
		head := func() *ir.Value { return b.transpose(b.reshape(b.matmul(x, 16), 2, 6, 4, 4), 0, 2, 1, 3) }
		q, k, v := head(), head(), head()
		s := b.Op(op.Softmax{Axis: -1}, b.name("softmax"), b.Op(op.MatMul{}, b.name("qk"), q, b.transpose(k, 0, 1, 3, 2)))
		y := b.reshape(b.transpose(b.Op(op.MatMul{}, b.name("av"), s, v), 0, 2, 1, 3), 2, 6, 16)
		y = b.add(x, b.matmul(y, 16))
		y = b.Op(op.LayerNormalization{Axis: -1, Epsilon: 1e-5}, b.name("ln"), y, b.param("g", 16), b.param("bias", 16))
		return []*ir.Value{b.matmul(b.Op(op.Gelu{}, b.name("gelu"), b.matmul(y, 32)), 16)}
	}, 0.3, "model output"},
	{"the same weight twice", []int{2, 3, 4, 4}, func(b *net, x *ir.Value) []*ir.Value {
		x = b.relu(b.conv(x, 8, 3, 1))
		w, o := b.param("shared", 8, 8, 3, 3), op.Conv{Window: op.Window{Pads: []int{1, 1, 1, 1}}}
		x = b.relu(b.Op(o, "first", x, w))
		return []*ir.Value{b.head(b.relu(b.Op(o, "second", x, w)))}
	}, 0.6, ""},
	{"normalized over channels", []int{2, 3, 4, 4}, func(b *net, x *ir.Value) []*ir.Value {
		x = b.relu(b.conv(x, 8, 3, 1))
		x = b.Op(op.ReduceMean{KeepDims: true}, b.name("mean"), x, b.ConstInts("over", 1))
		return []*ir.Value{b.head(b.conv(b.relu(b.conv(x, 6, 3, 1)), 4, 3, 1))}
	}, 0.3, "computed from each other"},
}

// TestGraphs_MaskedEqualsShrunk: zeros and smaller tensors compute the same, in
// every shape of network, and what stays has a reason.
func TestGraphs_MaskedEqualsShrunk(t *testing.T) {
	for _, c := range graphs {
		t.Run(c.name, func(t *testing.T) {
			b, x := newNet(c.shape...)
			b.G.Outputs = c.build(b, x)
			if err := b.Err(); err != nil {
				t.Fatal(err)
			}
			r := sameShrunk(t, &nncf.Model{Graph: b.G}, everything(), 0)
			if float64(r.Full.Params-r.Now.Params) < c.least*float64(r.Full.Params) {
				t.Errorf("weights %d to %d, want a share of %g less", r.Full.Params, r.Now.Params, c.least)
			}
			var why []string
			for _, k := range r.Kept {
				why = append(why, strings.Join(k.Weights, " ")+": "+k.Why)
			}
			if !strings.Contains(strings.Join(why, "\n"), c.kept) {
				t.Errorf("got reasons %q, want one with %q", why, c.kept)
			}
			t.Logf("%d clusters, weights %d to %d, kept %q", len(r.Clusters), r.Full.Params, r.Now.Params, why)
		})
	}
}

// The costs that the search for a target computes are those of the shrunk graph.
func TestReport_CostsAreThoseOfTheShrunkGraph(t *testing.T) {
	for _, c := range graphs {
		b, x := newNet(c.shape...)
		b.G.Outputs = c.build(b, x)
		if err := b.Err(); err != nil {
			t.Fatal(err)
		}
		g, ctrl := prune(t, &nncf.Model{Graph: b.G}, everything())
		if err := ctrl.Set(0.5); err != nil {
			t.Fatal(err)
		}
		want := ctrl.Report().Now
		if err := ctrl.Strip(g, nil); err != nil {
			t.Fatal(err)
		}
		var macs int64
		for _, n := range g.Nodes() {
			if k, ok := n.Op.(ir.Costed); ok {
				macs += k.Cost(n).MACs
			}
		}
		if 2*macs != want.FLOPs {
			t.Errorf("%s: got %d FLOPs, the shrunk graph has %d", c.name, want.FLOPs, 2*macs)
		}
	}
}

// A layer behind others is no first layer for depending on the size of the input.
func TestSetup_FirstLayersReadElements(t *testing.T) {
	b, x := newNet(1, 3, 4, 4)
	y := b.Op(op.Mul{}, "y", b.conv(x, 3, 3, 1), b.Op(op.Cast{To: tensor.Float32}, "n", b.Op(op.Size{}, "size", x)))
	b.G.Outputs = []*ir.Value{b.Op(op.Relu{}, "out", b.conv(b.conv(y, 4, 3, 1), 2, 1, 1))}
	o := everything()
	o.Params.PruneFirst = new(bool)
	s, err := pruning.New(o).Setup(b.G)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(s.(*pruning.Setup).Clusters); got != 1 {
		t.Errorf("got %d clusters, want the one of the second convolution", got)
	}
}

// TestSetup_Refuses names what is wrong.
func TestSetup_Refuses(t *testing.T) {
	b, x := newNet(1, 3, 4, 4)
	b.G.Outputs = []*ir.Value{b.conv(x, 4, 3, 1)}
	if _, err := pruning.New(everything()).Setup(b.G); err == nil || !strings.Contains(err.Error(), "model output") {
		t.Errorf("got %v, want the reason why nothing can be pruned", err)
	}
	two, much := 0.3, 1.5
	o := pruning.Options{Params: pruning.Params{Target: &two, FLOPsTarget: &much, Rounding: "down", Importance: "L3"}}
	err := o.Validate()
	for _, want := range []string{"pruning_flops_target: got 1.5", "want one", `rounding: got "down"`, `filter_importance: got "L3"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}
