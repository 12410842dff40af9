package zoo

import (
	"math"
	"math/rand/v2"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// net is a network being built.
type net struct {
	b   *ir.Builder
	rng *rand.Rand
	eps float32
}

// batchNormMomentum is PyTorch's default, in ONNX's convention.
const batchNormMomentum = 0.9

func newNet(name string, seed uint64) *net {
	return &net{b: ir.NewBuilder(ir.New(name), ""), rng: rand.New(rand.NewPCG(seed, 0x7a6f6f)), eps: 1e-5}
}

func (n *net) input(channels, size int) *ir.Value {
	t := ir.MakeType(tensor.Float32, 1, channels, size, size)
	t.Dims[0] = ir.Symbol("N")
	return n.b.G.AddInput("input", t)
}

// param adds a parameter under its exact name.
func (n *net) param(name string, shape []int, fill func() float32) *ir.Value {
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.F32() {
		t.F32()[i] = fill()
	}
	return n.b.G.AddStored(ir.Parameter, name, t)
}

func constant(v float32) func() float32 { return func() float32 { return v } }

// node adds a node named /path/Kind whose result is named /path/Kind_output_0.
func (n *net) node(op ir.Op, path string, in ...*ir.Value) *ir.Value {
	if n.b.Err() != nil {
		return &ir.Value{}
	}
	name := n.b.G.UniqueName(path + "/" + op.Kind() + "_output_0")
	m, err := n.b.G.AddNode(name[:len(name)-len("_output_0")], op, in, []string{name})
	if err != nil {
		n.b.Fail(err)
		return &ir.Value{}
	}
	return m.Out[0]
}

// conv adds a convolution without bias; He initialization over the fan-out.
func (n *net) conv(x *ir.Value, path, param string, out, kernel, stride, groups int) *ir.Value {
	in := n.channels(x)
	std := math.Sqrt(2 / float64(kernel*kernel*out/groups))
	w := n.param(param+".weight", []int{out, in / groups, kernel, kernel}, func() float32 { return float32(n.rng.NormFloat64() * std) })
	p := kernel / 2
	return n.node(op.Conv{Group: groups, Window: op.Window{Strides: []int{stride, stride}, Dilations: []int{1, 1}, Pads: []int{p, p, p, p}}}, path, x, w)
}

func (n *net) channels(x *ir.Value) int {
	if n.b.Err() != nil || x.Type.Rank() < 2 {
		return 1
	}
	c, _ := x.Type.Dims[1].Known()
	return c
}

func (n *net) batchNorm(x *ir.Value, path, param string) *ir.Value {
	c := []int{n.channels(x)}
	scale, bias := n.param(param+".weight", c, constant(1)), n.param(param+".bias", c, constant(0))
	mean, variance := n.param(param+".running_mean", c, constant(0)), n.param(param+".running_var", c, constant(1))
	n.b.G.SetKind(mean, ir.State)
	n.b.G.SetKind(variance, ir.State)
	return n.node(op.BatchNormalization{Epsilon: n.eps, Momentum: batchNormMomentum}, path, x, scale, bias, mean, variance)
}

// linear adds x·wᵀ + b with PyTorch's uniform initialization ±1/√in.
func (n *net) linear(x *ir.Value, path, param string, out int) *ir.Value {
	in := n.channels(x)
	bound := 1 / math.Sqrt(float64(in))
	draw := func() float32 { return float32((2*n.rng.Float64() - 1) * bound) }
	w, b := n.param(param+".weight", []int{out, in}, draw), n.param(param+".bias", []int{out}, draw)
	return n.node(op.Gemm{Alpha: 1, Beta: 1, TransB: true}, path, x, w, b)
}

// head pools, flattens and classifies.
func (n *net) head(x *ir.Value, param string, classes int) *ir.Value {
	x = n.node(op.GlobalAveragePool{}, "/avgpool", x)
	x = n.node(op.Flatten{Axis: 1}, "", x)
	return n.linear(x, "/"+param, param, classes)
}

// done names the result and returns the graph.
func (n *net) done(logits *ir.Value) (*ir.Graph, error) {
	if err := n.b.Err(); err != nil {
		return nil, err
	}
	g := n.b.G
	g.Rename(logits, "logits")
	g.Outputs = []*ir.Value{logits}
	return g, ir.Verify(g)
}
