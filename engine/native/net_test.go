package native

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/go-nncf/nncf/autodiff"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/zoo"
)

// netBuilder builds small networks with seeded parameters.
type netBuilder struct {
	*ir.Builder
	r *rand.Rand
}

func newNet(name string) *netBuilder {
	return &netBuilder{ir.NewBuilder(ir.New(name), ""), rand.New(rand.NewPCG(7, 8))}
}

// param adds a parameter of normal numbers times scale, plus mean.
func (b *netBuilder) param(name string, mean, scale float64, shape ...int) *ir.Value {
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.F32() {
		t.F32()[i] = float32(mean + scale*b.r.NormFloat64())
	}
	return b.G.AddStored(ir.Parameter, name, t)
}

func (b *netBuilder) shape(x *ir.Value) tensor.Shape { return x.Type.MustShape() }

func (b *netBuilder) reshape(x *ir.Value, shape ...int) *ir.Value {
	return b.Op(op.Reshape{}, "reshape", x, b.ConstInts("shape", shape...))
}

func (b *netBuilder) linear(name string, x *ir.Value, out int) *ir.Value {
	in := b.shape(x)[x.Type.Rank()-1]
	y := b.Op(op.MatMul{}, name, x, b.param(name+"/w", 0, 1/math.Sqrt(float64(in)), in, out))
	return b.Op(op.Add{}, name+"/add", y, b.param(name+"/b", 0, 0.1, out))
}

func (b *netBuilder) conv(name string, x *ir.Value, out, kernel, stride, groups int) *ir.Value {
	in := b.shape(x)[1]
	p := kernel / 2
	w := b.param(name+"/w", 0, math.Sqrt(2/float64(in/groups*kernel*kernel)), out, in/groups, kernel, kernel)
	y := b.Op(op.Conv{Group: groups, Window: op.Window{Strides: []int{stride, stride}, Pads: []int{p, p, p, p}}}, name, x, w)
	stat := func(n string, v float32) *ir.Value {
		t := tensor.New(tensor.Float32, out)
		for i := range t.F32() {
			t.F32()[i] = v
		}
		return b.G.AddStored(ir.State, name+n, t)
	}
	mean, variance := stat("/mean", 0), stat("/var", 1)
	n := b.Multi(op.BatchNormalization{Training: true, Momentum: 0.9, Epsilon: 1e-5}, name+"/bn", 5, y,
		b.param(name+"/gamma", 1, 0.1, out), b.param(name+"/beta", 0, 0.1, out), mean, variance)
	if b.Err() == nil {
		b.G.Assigns = append(b.G.Assigns, ir.Assign{Dst: mean, Src: n[1]}, ir.Assign{Dst: variance, Src: n[2]})
	}
	return n[0]
}

func (b *netBuilder) norm(name string, x *ir.Value) *ir.Value {
	d := b.shape(x)[x.Type.Rank()-1]
	return b.Op(op.LayerNormalization{Axis: -1, Epsilon: 1e-5}, name, x, b.param(name+"/w", 1, 0.1, d), b.param(name+"/b", 0, 0.1, d))
}

// attention is multi-head self-attention with a mask that hides later tokens.
func (b *netBuilder) attention(name string, x *ir.Value, heads int) *ir.Value {
	s := b.shape(x)
	n, t, d := s[0], s[1], s[2]
	head := func(part string) *ir.Value {
		y := b.reshape(b.linear(name+part, x, d), n, t, heads, d/heads)
		return b.Op(op.Transpose{Perm: []int{0, 2, 1, 3}}, name+part+"/heads", y)
	}
	q, k, v := head("/q"), head("/k"), head("/v")
	score := b.Op(op.MatMul{}, name+"/score", q, b.Op(op.Transpose{Perm: []int{0, 1, 3, 2}}, name+"/kt", k))
	score = b.Op(op.Div{}, name+"/scaled", score, b.ConstF32("root", float32(math.Sqrt(float64(d/heads)))))
	hidden := tensor.New(tensor.Bool, 1, 1, t, t)
	for i := range t {
		for j := range t {
			tensor.Data[bool](hidden)[i*t+j] = j > i
		}
	}
	score = b.Op(op.Where{}, name+"/masked", b.Const("mask", hidden), b.ConstF32("low", -1e9), score)
	y := b.Op(op.MatMul{}, name+"/mix", b.Op(op.Softmax{Axis: -1}, name+"/softmax", score), v)
	y = b.reshape(b.Op(op.Transpose{Perm: []int{0, 2, 1, 3}}, name+"/merge", y), n, t, d)
	return b.linear(name+"/out", y, d)
}

// transformer is an encoder over tokens: embedding, blocks before norm, mean.
func transformer(batch int) (*ir.Graph, error) { return encoder(batch, 7, 24, 3, 2) }

func encoder(batch, tokens, width, heads, blocks int) (*ir.Graph, error) {
	const vocabulary = 11
	b := newNet("transformer")
	in := b.G.AddInput("tokens", ir.MakeType(tensor.Int64, batch, tokens))
	step := b.G.AddStored(ir.State, "step", tensor.Scalar(int64(3)))
	drop := func(x *ir.Value, seed int) *ir.Value {
		return b.Op(op.Dropout{Seed: seed}, "dropout", x, b.ConstF32("ratio", 0.1), b.Const("train", tensor.Scalar(true)), step)
	}
	x := b.Op(op.Gather{}, "embed", b.param("table", 0, 1, vocabulary, width), in)
	x = b.Op(op.Add{}, "position", x, b.param("positions", 0, 0.5, tokens, width))
	for i := range blocks {
		name := fmt.Sprint("block", i)
		x = b.Op(op.Add{}, name+"/a", x, drop(b.attention(name+"/attention", b.norm(name+"/n1", x), heads), i))
		h := b.Op(op.Gelu{}, name+"/gelu", b.linear(name+"/up", b.norm(name+"/n2", x), 2*width))
		x = b.Op(op.Add{}, name+"/b", x, b.linear(name+"/down", h, width))
	}
	x = b.Op(op.ReduceMean{}, "mean", b.norm("last", x), b.ConstInts("axes", 1))
	b.G.Outputs = []*ir.Value{b.linear("head", x, 10)}
	return b.G, b.Err()
}

// squeezed is an EfficientNet-like network: inverted residuals with
// squeeze-and-excitation and swish.
func squeezed(batch int) (*ir.Graph, error) {
	b := newNet("squeezed")
	swish := func(x *ir.Value) *ir.Value { return b.Op(op.Mul{}, "swish", x, b.Op(op.Sigmoid{}, "gate", x)) }
	x := swish(b.conv("stem", b.G.AddInput("x", ir.MakeType(tensor.Float32, batch, 3, 12, 12)), 8, 3, 2, 1))
	for i := range 2 {
		name := fmt.Sprint("block", i)
		h := swish(b.conv(name+"/expand", x, 24, 1, 1, 1))
		h = swish(b.conv(name+"/depthwise", h, 24, 5, 1, 24))
		s := b.Op(op.GlobalAveragePool{}, name+"/squeeze", h)
		if i == 1 {
			s = b.Op(op.ReduceMean{KeepDims: true}, name+"/squeeze2", h, b.ConstInts("axes", 2, 3))
		}
		s = b.Op(op.Swish{Alpha: 1}, name+"/s1", b.Op(op.Conv{}, name+"/reduce", s, b.param(name+"/rw", 0, 0.3, 6, 24, 1, 1), b.param(name+"/rb", 0, 0.1, 6)))
		s = b.Op(op.HardSigmoid{Alpha: 0.2, Beta: 0.5}, name+"/s2", b.Op(op.Conv{}, name+"/widen", s, b.param(name+"/ww", 0, 0.3, 24, 6, 1, 1), b.param(name+"/wb", 0, 0.1, 24)))
		x = b.Op(op.Add{}, name+"/add", x, b.conv(name+"/project", b.Op(op.Mul{}, name+"/scale", h, s), 8, 1, 1, 1))
	}
	x = b.Op(op.Flatten{Axis: 1}, "flat", b.Op(op.GlobalAveragePool{}, "pool", x))
	b.G.Outputs = []*ir.Value{b.linear("head", x, 10)}
	return b.G, b.Err()
}

// inverted is a MobileNet-like network. The real one has 52 layers: through so
// many, masks of single elements flip by rounding, and gradients are no longer
// comparable.
func inverted(batch int) (*ir.Graph, error) {
	b := newNet("inverted")
	relu6 := func(x *ir.Value) *ir.Value {
		return b.Op(op.Clip{}, "relu6", x, b.ConstF32("lo", 0), b.ConstF32("hi", 6))
	}
	x := relu6(b.conv("stem", b.G.AddInput("x", ir.MakeType(tensor.Float32, batch, 3, 13, 13)), 8, 3, 2, 1))
	for i := range 3 {
		name := fmt.Sprint("block", i)
		h := relu6(b.conv(name+"/expand", x, 40, 1, 1, 1))
		h = relu6(b.conv(name+"/depthwise", h, 40, 3, 1+i%2, 40))
		h = b.conv(name+"/project", h, 8, 1, 1, 1)
		if i%2 == 0 {
			h = b.Op(op.Add{}, name+"/add", x, h)
		}
		x = h
	}
	x = b.Op(op.Flatten{Axis: 1}, "flat", b.Op(op.GlobalAveragePool{}, "pool", x))
	b.G.Outputs = []*ir.Value{b.linear("head", x, 10)}
	return b.G, b.Err()
}

// shuffled is a ShuffleNet-like network: split, depthwise branch, concatenation,
// channel shuffle; with PRelu, local response normalization, upsampling and a
// maximum of two branches.
func shuffled(batch int) (*ir.Graph, error) {
	b := newNet("shuffled")
	prelu := func(name string, x *ir.Value) *ir.Value {
		return b.Op(op.PRelu{}, name, x, b.param(name+"/slope", 0.25, 0.02, b.shape(x)[1], 1, 1))
	}
	x := prelu("stem/act", b.conv("stem", b.G.AddInput("x", ir.MakeType(tensor.Float32, batch, 3, 8, 8)), 12, 3, 1, 1))
	x = b.Op(op.LRN{Alpha: 0.1, Beta: 0.75, Bias: 1, Size: 5}, "response", x)
	for i := range 2 {
		name := fmt.Sprint("unit", i)
		parts := b.Multi(op.Split{Axis: 1, NumOutputs: 2}, name+"/split", 2, x)
		h := prelu(name+"/a1", b.conv(name+"/c1", parts[1], 6, 1, 1, 1))
		h = b.Op(op.LeakyRelu{Alpha: 0.1}, name+"/a2", b.conv(name+"/c2", b.conv(name+"/dw", h, 6, 3, 1, 6), 6, 1, 1, 1))
		x = b.Op(op.Concat{Axis: 1}, name+"/concat", parts[0], h)
		s := b.shape(x)
		x = b.reshape(x, s[0], 2, 6, s[2], s[3])
		x = b.reshape(b.Op(op.Transpose{Perm: []int{0, 2, 1, 3, 4}}, name+"/shuffle", x), s...)
	}
	small := b.Op(op.MaxPool{Pool: op.Pool{Kernel: []int{2, 2}, Window: op.Window{Strides: []int{2, 2}}}}, "down", x)
	up := b.Op(op.Resize{Mode: "linear"}, "up", b.Op(op.Elu{Alpha: 1}, "elu", small), nil, b.Const("scales", tensor.From([]float32{1, 1, 2, 2}, 4)))
	x = b.Op(op.Sum{}, "sum", x, up, b.Op(op.Max{}, "max", x, up))
	x = b.Op(op.ReduceMean{}, "pool", x, b.ConstInts("axes", 2, 3))
	b.G.Outputs = []*ir.Value{b.linear("head", x, 10)}
	return b.G, b.Err()
}

// withLoss adds cross-entropy and the gradients of all parameters.
func withLoss(t testing.TB, g *ir.Graph, batch int) *ir.Graph {
	t.Helper()
	labels := g.AddInput("labels", ir.MakeType(tensor.Int64, batch))
	b := ir.NewBuilder(g, "test")
	loss := b.Multi(op.SoftmaxCrossEntropyLoss{}, "loss", 2, g.Outputs[0], labels)
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	var params []*ir.Value
	for p := range g.Parameters() {
		params = append(params, p)
	}
	grads, err := autodiff.Grad(g, loss[0], params)
	if err != nil {
		t.Fatal(err)
	}
	g.Outputs = append([]*ir.Value{loss[0], g.Outputs[0]}, grads...)
	return g
}

func nets(t testing.TB, batch int) map[string]func() *ir.Graph {
	made := func(build func(batch int) (*ir.Graph, error)) func() *ir.Graph {
		return func() *ir.Graph {
			g, err := build(batch)
			if err != nil {
				t.Fatal(err)
			}
			return withLoss(t, g, batch)
		}
	}
	return map[string]func() *ir.Graph{
		"transformer": made(transformer),
		"squeezed":    made(squeezed),
		"shuffled":    made(shuffled),
		"inverted":    made(inverted),
	}
}

// fillAny puts a seeded batch into the inputs.
func fillAny(p engine.Program, g *ir.Graph) (feed []*tensor.Tensor) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range g.Inputs {
		in := p.Input(i)
		switch in.DType() {
		case tensor.Float32:
			for k := range in.F32() {
				in.F32()[k] = float32(r.NormFloat64())
			}
		case tensor.Int64:
			for k := range in.I64() {
				in.I64()[k] = int64(r.IntN(10))
			}
		}
		feed = append(feed, in)
	}
	return feed
}

func TestMobileNet_NoReferenceSteps(t *testing.T) {
	g := trainingStep(t, "mobilenet_v2", zoo.Options{Size: 32, Classes: 10}, 2, true)
	p, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, s := range p.Info().Steps {
		if s.Kernel == "reference" {
			t.Errorf("node %s (%s) runs by the reference evaluator", s.Node, s.Kind)
		}
	}
}

func TestNets_TrainOnKernels(t *testing.T) {
	for name, build := range nets(t, 3) {
		t.Run(name, func(t *testing.T) {
			g := build()
			p, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			feed := fillAny(p, g)
			want, err := ir.Eval(t.Context(), g, feed)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i, w := range want {
				var diff, size float64
				for k, v := range w.F32() {
					d := float64(p.Output(i).F32()[k]) - float64(v)
					diff += d * d
					size += float64(v) * float64(v)
				}
				// As for whole training steps above.
				if !(math.Sqrt(diff) <= 2e-4*math.Sqrt(size)+1e-7) {
					t.Errorf("output %d (%s): relative error %.2g", i, g.Outputs[i].Name, math.Sqrt(diff/size))
				}
			}
			for _, s := range p.Info().Steps {
				if s.Kernel == "reference" {
					t.Errorf("node %s (%s) runs by the reference evaluator", s.Node, s.Kind)
				}
			}
			ctx := t.Context()
			if n := testing.AllocsPerRun(2, func() {
				if err := p.Run(ctx); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("a training step allocates %v times", n)
			}
		})
	}
}

func TestNets_SameBitsForAnyThreads(t *testing.T) {
	for name, build := range nets(t, 5) {
		var first [][]float32
		for threads := 1; threads <= 4; threads++ {
			g := build()
			p, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: threads})
			if err != nil {
				t.Fatal(err)
			}
			fillAny(p, g)
			if err := p.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			var all [][]float32
			for i := range g.Outputs {
				all = append(all, slices.Clone(p.Output(i).F32()))
			}
			p.Close()
			if first == nil {
				first = all
			}
			for i := range all {
				if !slices.Equal(all[i], first[i]) {
					t.Errorf("%s, %d threads: output %s differs from that of one thread", name, threads, g.Outputs[i].Name)
				}
			}
		}
	}
}

func BenchmarkNets(b *testing.B) {
	for _, c := range []struct {
		name  string
		batch int
		build func() *ir.Graph
	}{
		{"encoder/tokens=128/width=192", 8, func() *ir.Graph {
			g, err := encoder(8, 128, 192, 3, 4)
			if err != nil {
				b.Fatal(err)
			}
			return withLoss(b, g, 8)
		}},
		{"mobilenet_v2/size=96", 16, func() *ir.Graph {
			return trainingStep(b, "mobilenet_v2", zoo.Options{Size: 96, Classes: 10}, 16, false)
		}},
		{"mobilenet_v2/size=96/quant", 16, func() *ir.Graph {
			return trainingStep(b, "mobilenet_v2", zoo.Options{Size: 96, Classes: 10}, 16, true)
		}},
	} {
		b.Run("net="+c.name, func(b *testing.B) {
			g := c.build()
			p, err := Backend{}.Compile(b.Context(), g, engine.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			fillAny(p, g)
			for b.Loop() {
				if err := p.Run(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(c.batch)*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
			b.ReportMetric(2*float64(p.Info().MACs)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			b.ReportMetric(float64(p.Info().ArenaBytes)/(1<<20), "arena-MiB")
		})
	}
}
