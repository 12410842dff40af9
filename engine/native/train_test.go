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

// trainingStep builds the joint graph of a network: batch normalization in
// training form, cross-entropy and the gradients of all parameters. With bits
// it quantizes every weight and every Relu result.
func trainingStep(t testing.TB, name string, o zoo.Options, batch int, quantize bool) *ir.Graph {
	t.Helper()
	m, err := zoo.Build(name, o)
	if err != nil {
		t.Fatal(err)
	}
	in := m.Inputs[0]
	shape := []int{batch, in.Type.Dims[1].N, in.Type.Dims[2].N, in.Type.Dims[3].N}
	g, err := m.Specialize(map[string][]int{in.Name: shape})
	if err != nil {
		t.Fatal(err)
	}
	b := ir.NewBuilder(g, "test")
	if quantize {
		x := g.Inputs[0]
		q := b.Op(op.FakeQuantizeSymmetric{Low: -128, High: 127, Axis: -1}, "input/q", x, g.AddStored(ir.Parameter, "input/scale", tensor.Scalar(float32(1.5))))
		g.ReplaceUses(x, q, q.Def)
	}
	for _, n := range slices.Clone(g.Nodes()) {
		switch o := n.Op.(type) {
		case op.BatchNormalization:
			o.Training = true
			y := b.Multi(o, n.Name+"/train", 5, n.In...)
			g.ReplaceUses(n.Out[0], y[0])
			g.Assigns = append(g.Assigns, ir.Assign{Dst: n.In[3], Src: y[1]}, ir.Assign{Dst: n.In[4], Src: y[2]})
		case op.Conv:
			if quantize {
				w := n.In[1]
				s := tensor.New(tensor.Float32, w.Type.MustShape()[0])
				for i := range s.F32() {
					s.F32()[i] = 0.2
				}
				q := b.Op(op.FakeQuantizeSymmetric{Low: -127, High: 127, Axis: 0}, n.Name+"/wq", w, g.AddStored(ir.Parameter, n.Name+"/wscale", s))
				g.SetInput(n, 1, q)
			}
		case op.Relu:
			if quantize {
				q := b.Op(op.FakeQuantizeSymmetric{Low: 0, High: 255, Axis: -1}, n.Name+"/q", n.Out[0], g.AddStored(ir.Parameter, n.Name+"/scale", tensor.Scalar(float32(2))))
				g.ReplaceUses(n.Out[0], q, q.Def)
			}
		}
	}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	g.Prune()
	labels := g.AddInput("labels", ir.MakeType(tensor.Int64, batch))
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
	for i, d := range grads {
		if d == nil {
			t.Fatalf("the loss does not depend on %q", params[i].Name)
		}
	}
	g.Outputs = append([]*ir.Value{loss[0], g.Outputs[0]}, grads...)
	if err := ir.Verify(g); err != nil {
		t.Fatal(err)
	}
	return g
}

// fill puts a seeded batch into the program.
func fill(p engine.Program, classes int) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range p.Input(0).F32() {
		p.Input(0).F32()[i] = float32(r.NormFloat64())
	}
	for i := range p.Input(1).I64() {
		p.Input(1).I64()[i] = int64(r.IntN(classes))
	}
}

func TestTrainingStep_MatchesEval(t *testing.T) {
	for _, c := range []struct {
		name  string
		o     zoo.Options
		quant bool
	}{
		{"resnet8_cifar", zoo.Options{Size: 12, Width: 8}, false},
		{"resnet8_cifar", zoo.Options{Size: 12, Width: 5}, true},
	} {
		t.Run(fmt.Sprintf("%s/quant=%v", c.name, c.quant), func(t *testing.T) {
			g := trainingStep(t, c.name, c.o, 3, c.quant)
			p, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			fill(p, 10)
			want, err := ir.Eval(t.Context(), g, []*tensor.Tensor{p.Input(0), p.Input(1)})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i, w := range want {
				got := p.Output(i)
				var diff, size float64
				for k, v := range w.F32() {
					d := float64(got.F32()[k]) - float64(v)
					diff += d * d
					size += float64(v) * float64(v)
				}
				// Both sides round float32 activations differently; through a
				// dozen normalized layers that stays near 1e-5 of the result.
				if !(math.Sqrt(diff) <= 2e-4*math.Sqrt(size)+1e-7) {
					t.Errorf("output %d (%s): relative error %.2g", i, g.Outputs[i].Name, math.Sqrt(diff/size))
				}
			}
			for _, s := range p.Info().Steps {
				if s.Kernel == "reference" {
					t.Errorf("node %s (%s) runs by the reference evaluator", s.Node, s.Kind)
				}
			}
		})
	}
}

func TestTrainingStep_SameBitsForAnyThreads(t *testing.T) {
	var first [][]float32
	for threads := 1; threads <= 4; threads++ {
		g := trainingStep(t, "resnet8_cifar", zoo.Options{Size: 16}, 5, true)
		p, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		fill(p, 10)
		for range 2 { // the second run sees updated running statistics
			if err := p.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
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
				t.Errorf("%d threads: output %s differs from that of one thread", threads, g.Outputs[i].Name)
			}
		}
	}
}

func TestTrainingStep_AllocatesNothing(t *testing.T) {
	g := trainingStep(t, "resnet8_cifar", zoo.Options{Size: 16}, 4, true)
	p, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	fill(p, 10)
	ctx := t.Context()
	if n := testing.AllocsPerRun(3, func() {
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a training step allocates %v times", n)
	}
}

// Fusion is checked by what is left: no activation between a normalization and
// the next convolution of a block is stored, and no pass for statistics alone.
func TestTrainingStep_Fuses(t *testing.T) {
	for _, quant := range []bool{false, true} {
		g := trainingStep(t, "resnet8_cifar", zoo.Options{}, 64, quant)
		p, err := Backend{}.Compile(t.Context(), g, engine.Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		var load, sum int
		for _, s := range p.Info().Steps {
			if s.Kernel == "statistics" || s.Kernel == "gradient sums" && quant {
				t.Errorf("quant=%v: a pass of its own: %s of %s", quant, s.Kernel, s.Node)
			}
			if slices.Contains(s.Fused, "scale-shift") && (s.Kind == "Conv" || s.Kind == "ConvGradWeight") {
				load++
			}
			if slices.Contains(s.Fused, "statistics") {
				sum++
			}
		}
		// Three blocks, whose second convolution and its weight gradient load
		// the first one's activation; seven normalizations.
		if load != 6 || sum != 7 {
			t.Errorf("quant=%v: %d steps load activations and %d convolutions sum statistics, want 6 and 7", quant, load, sum)
		}
	}
}

func BenchmarkTrainingStep(b *testing.B) {
	for _, quant := range []bool{false, true} {
		b.Run(fmt.Sprintf("net=resnet20/batch=128/quant=%v", quant), func(b *testing.B) {
			g := trainingStep(b, "resnet20", zoo.Options{}, 128, quant)
			p, err := Backend{}.Compile(b.Context(), g, engine.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			fill(p, 10)
			for b.Loop() {
				if err := p.Run(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(128*float64(b.N)/b.Elapsed().Seconds(), "images/s")
			b.ReportMetric(2*float64(p.Info().MACs)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			b.ReportMetric(float64(p.Info().ArenaBytes)/(1<<20), "arena-MiB")
		})
	}
}
