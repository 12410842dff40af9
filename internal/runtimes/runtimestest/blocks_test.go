package runtimestest_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/internal/runtimes"
	"github.com/go-nncf/nncf/internal/runtimes/runtimestest"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// blocks builds small networks with the blocks that keep convolutions in float
// unless their results are quantized.
type blocks struct {
	*ir.Builder
	rng *rand.Rand
}

func (b *blocks) weight(name string, shape ...int) *ir.Value {
	t := tensor.New(tensor.Float32, shape...)
	fan := max(1, t.Len()/shape[0])
	for i := range t.F32() {
		t.F32()[i] = float32(b.rng.NormFloat64() * math.Sqrt(2/float64(fan)))
	}
	return b.Const(name, t)
}

// conv is a convolution of 3×3 elements with normalization behind it.
func (b *blocks) conv(name string, x *ir.Value, out int) *ir.Value {
	in, _ := x.Type.Dims[1].Known()
	y := b.Op(op.Conv{Window: op.Window{Pads: []int{1, 1, 1, 1}}}, name, x, b.weight(name+".weight", out, in, 3, 3))
	return b.norm(name+"/bn", y)
}

func (b *blocks) point(name string, x *ir.Value, out int) *ir.Value {
	in, _ := x.Type.Dims[1].Known()
	return b.Op(op.Conv{}, name, x, b.weight(name+".weight", out, in, 1, 1), b.weight(name+".bias", out))
}

func (b *blocks) norm(name string, x *ir.Value) *ir.Value {
	c, _ := x.Type.Dims[1].Known()
	near := func(suffix string, mean, width float64) *ir.Value {
		t := tensor.New(tensor.Float32, c)
		for i := range t.F32() {
			t.F32()[i] = float32(mean + width*(b.rng.Float64()-0.5))
		}
		return b.Const(name+"."+suffix, t)
	}
	return b.Op(op.BatchNormalization{Epsilon: 1e-5}, name, x, near("weight", 1, 0.4), near("bias", 0, 0.4), near("mean", 0, 0.4), near("var", 1, 0.4))
}

func (b *blocks) relu(name string, x *ir.Value) *ir.Value { return b.Op(op.Relu{}, name, x) }

func (b *blocks) silu(name string, x *ir.Value) *ir.Value {
	return b.Op(op.Mul{}, name, x, b.Op(op.Sigmoid{}, name+"/sigmoid", x))
}

func (b *blocks) gate(name string, x *ir.Value, act ir.Op) *ir.Value {
	c, _ := x.Type.Dims[1].Known()
	s := b.relu(name+"/relu", b.point(name+"/down", b.Op(op.GlobalAveragePool{}, name+"/gap", x), 4))
	return b.Op(op.Mul{}, name, x, b.Op(act, name+"/act", b.point(name+"/up", s, c)))
}

var blockNets = []struct {
	name  string
	build func(b *blocks, x *ir.Value) *ir.Value
}{
	{"hard swish and gates", func(b *blocks, x *ir.Value) *ir.Value {
		x = b.Op(op.HardSwish{}, "stem/hs", b.conv("stem", x, 8))
		y := b.gate("se", b.relu("a/relu", b.conv("a", x, 8)), op.HardSigmoid{Alpha: 1. / 6, Beta: 0.5})
		return b.Op(op.Add{}, "add", x, b.conv("b", y, 8))
	}},
	{"silu and gates", func(b *blocks, x *ir.Value) *ir.Value {
		x = b.silu("stem/silu", b.conv("stem", x, 8))
		y := b.gate("se", b.silu("a/silu", b.conv("a", x, 8)), op.Sigmoid{})
		return b.Op(op.Add{}, "add", x, b.conv("b", y, 8))
	}},
	{"dense blocks", func(b *blocks, x *ir.Value) *ir.Value {
		layer := func(name string, x *ir.Value) *ir.Value {
			x = b.relu(name+"/relu1", b.norm(name+"/bn0", x))
			return b.point(name+"/2", b.relu(name+"/relu2", b.conv(name+"/1", x, 8)), 4)
		}
		x = b.Op(op.MaxPool{Pool: op.Pool{Kernel: []int{2, 2}, Window: op.Window{Strides: []int{2, 2}}}}, "pool", b.relu("stem/relu", b.conv("stem", x, 8)))
		f1 := layer("l1", x)
		f2 := layer("l2", b.Op(op.Concat{Axis: 1}, "c1", x, f1))
		y := b.relu("t/relu", b.norm("t/bn", b.Op(op.Concat{Axis: 1}, "c2", x, f1, f2)))
		p := b.Op(op.AveragePool{Pool: op.Pool{Kernel: []int{2, 2}}}, "avg", b.point("t", y, 8))
		return b.relu("last/relu", b.norm("last/bn", p))
	}},
	{"one module at two places", func(b *blocks, x *ir.Value) *ir.Value {
		x = b.relu("stem/relu", b.conv("stem", x, 8))
		w := b.weight("shared.weight", 8, 8, 3, 3)
		bn := b.norm("first/bn", b.Op(op.Conv{Window: op.Window{Pads: []int{1, 1, 1, 1}}}, "first", x, w))
		y := b.relu("first/relu", bn)
		second := b.Op(op.Conv{Window: op.Window{Pads: []int{1, 1, 1, 1}}}, "second", y, w)
		in := append([]*ir.Value{second}, bn.Def.In[1:]...)
		return b.Op(op.Add{}, "add", y, b.Op(bn.Def.Op, "second/bn", in...))
	}},
	{"leaky and parametric", func(b *blocks, x *ir.Value) *ir.Value {
		x = b.Op(op.LeakyRelu{Alpha: 0.1}, "stem/leaky", b.conv("stem", x, 8))
		return b.Op(op.Elu{Alpha: 1}, "a/elu", b.conv("a", x, 8))
	}},
}

// TestDeployment_EveryConvolution: both runtimes run all convolutions in int8,
// whatever is behind them, and agree with the simulated model.
func TestDeployment_EveryConvolution(t *testing.T) {
	needRuntimes(t)
	for _, c := range blockNets {
		t.Run(c.name, func(t *testing.T) {
			b := &blocks{ir.NewBuilder(ir.New("net"), ""), rand.New(rand.NewPCG(1, 2))}
			x := b.G.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{ir.Symbol("N"), ir.Len(3), ir.Len(16), ir.Len(16)}})
			y := c.build(b, x)
			channels, _ := y.Type.Dims[1].Known()
			flat := b.Op(op.Flatten{Axis: 1}, "flat", b.Op(op.GlobalAveragePool{}, "gap", y))
			b.G.Outputs = []*ir.Value{b.Op(op.Gemm{TransB: true}, "fc", flat, b.weight("fc.weight", 10, channels))}
			if err := b.Err(); err != nil {
				t.Fatal(err)
			}
			m := &nncf.Model{Graph: b.G, Trace: &rewrite.Trace{}}
			if err := pass.Canonicalize(m.Graph, m.Trace); err != nil {
				t.Fatal(err)
			}
			if err := pass.MarkTrainable(m.Graph, m.Trace); err != nil {
				t.Fatal(err)
			}
			images := tensor.New(tensor.Float32, 16, 3, 16, 16)
			for i := range images.F32() {
				images.F32()[i] = float32(b.rng.NormFloat64())
			}
			cal := compress.Calibration{Batches: func(int) compress.Batches {
				return func(yield func([]*tensor.Tensor, error) bool) { yield([]*tensor.Tensor{images}, nil) }
			}}
			k, err := nncf.Compress(t.Context(), m, []compress.Algorithm{quantization.New(quantization.Options{OverflowFix: "enable", Initializer: quantization.Initializer{BatchNorm: compress.BatchNormAdaptation{Samples: new(int)}}})}, nncf.CompressOptions{Calibration: cal, Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			if err := k.RoundBiases(); err != nil {
				t.Fatal(err)
			}
			want := outputs(t, k.Graph, []*tensor.Tensor{images})[0]
			float := outputs(t, m.Graph, []*tensor.Tensor{images})[0]
			path := filepath.Join(t.TempDir(), "model.onnx")
			if err := k.Export(path, nncf.ExportOptions{}); err != nil {
				t.Fatal(err)
			}
			convs := 0
			for _, n := range m.Graph.Nodes() {
				if n.Op.Kind() == "Conv" {
					convs++
				}
			}
			for _, s := range []*runtimes.Session{
				runtimestest.ORT(t, path, runtimes.Options{Threads: 1, Profiling: true, Wide8Bit: true}),
				runtimestest.OpenVINO(t, path, runtimes.Options{Threads: 1, Profiling: true}),
			} {
				res, err := s.Run(map[string]*tensor.Tensor{"x": images})
				if err != nil {
					t.Fatal(err)
				}
				got := res[s.Outputs()[0].Name]
				off, own := distance(got, want), distance(float, want)
				t.Logf("%s: differs by %.2g from the simulated model, which differs by %.2g from float", s.Runtime(), off, own)
				if off > own/2 {
					t.Errorf("%s: outputs differ by %.3g, more than half of the %.3g that quantization costs", s.Runtime(), off, own)
				}
				layers, err := s.Layers()
				if err != nil {
					t.Fatal(err)
				}
				int8, all := 0, []string{}
				for _, l := range layers {
					all = append(all, fmt.Sprint(l.Type, " ", l.Precision))
					if !strings.Contains(l.Type, "Conv") || l.Type == "Convert" {
						continue
					}
					if l.Precision == "i8" {
						int8++
					} else {
						t.Errorf("%s: %s runs as %s %s, want int8", s.Runtime(), l.Node, l.Type, l.Precision)
					}
				}
				if int8 != convs {
					t.Errorf("%s: got %d convolutions in int8, want %d; layers: %v", s.Runtime(), int8, convs, all)
				}
			}
		})
	}
}

// distance is |a-b| over |b|, by squares.
func distance(a, b *tensor.Tensor) float64 {
	d, size := 0.0, 0.0
	for i, v := range b.F32() {
		e := float64(a.F32()[i]) - float64(v)
		d, size = d+e*e, size+float64(v)*float64(v)
	}
	return math.Sqrt(d / size)
}
