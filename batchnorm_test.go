package nncf_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
)

// A model whose normalization was folded gets it back: the same outputs, one
// normalization behind every convolution with the statistics of the data, and
// folding brings the first graph back.
func TestInsertBatchNorm(t *testing.T) {
	m, err := nncf.Load(testkit.Shared(t, "models", "cifar-resnet", "resnet20_jpeg_folded.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	const samples = 6
	x := tensor.New(tensor.Float32, samples, 3, 32, 32)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range x.F32() {
		x.F32()[i] = float32(rng.NormFloat64())
	}
	cal := compress.Calibration{Batches: func(n int) compress.Batches {
		return func(yield func([]*tensor.Tensor, error) bool) {
			for i := 0; i < min(n, samples); i += 2 {
				size := 3 * 32 * 32
				if !yield([]*tensor.Tensor{tensor.From(x.F32()[i*size:(i+2)*size], 2, 3, 32, 32)}, nil) {
					return
				}
			}
		}
	}}
	values := func(g *ir.Graph, names ...string) (out [][]float32) {
		t.Helper()
		var want []*ir.Value
		for _, name := range names {
			want = append(want, g.Value(name))
		}
		all := func(yield func([]*tensor.Tensor, error) bool) { yield([]*tensor.Tensor{x}, nil) }
		err := nncf.Run(t.Context(), g, want, all, engine.Options{Threads: 1}, func(got []*tensor.Tensor) error {
			for _, v := range got {
				out = append(out, append([]float32(nil), v.F32()...))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	output := m.Graph.Outputs[0].Name
	float := values(m.Graph, output)[0]
	convs := 0
	for _, n := range m.Graph.Nodes() {
		if _, ok := n.Op.(op.Conv); ok {
			convs++
		}
	}
	n, err := nncf.InsertBatchNorm(t.Context(), m, cal, samples, engine.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	if n != convs || n != 19 {
		t.Errorf("got %d normalizations for %d convolutions, want 19", n, convs)
	}
	if err := ir.Verify(m.Graph); err != nil {
		t.Fatal(err)
	}
	near := func(what string, got []float32) {
		t.Helper()
		for i, v := range got {
			if math.Abs(float64(v-float[i])) > 1e-3 {
				t.Fatalf("%s: output %d is %g, want %g", what, i, v, float[i])
			}
		}
	}
	near("inserted", values(m.Graph, output)[0])
	for _, node := range m.Graph.Nodes() {
		if _, ok := node.Op.(op.BatchNormalization); !ok {
			continue
		}
		if node.In[1].Kind != ir.Parameter || node.In[3].Kind != ir.State {
			t.Errorf("%s: scale is a %v and mean a %v", node.Name, node.In[1].Kind, node.In[3].Kind)
		}
		conv := values(m.Graph, node.In[0].Name)[0]
		c := len(node.In[3].Data.F32())
		per := len(conv) / samples / c
		mean := 0.0
		for i := range samples {
			for _, v := range conv[i*c*per : i*c*per+per] {
				mean += float64(v) / float64(samples*per)
			}
		}
		if got := float64(node.In[3].Data.F32()[0]); math.Abs(got-mean) > 1e-4*(1+math.Abs(mean)) {
			t.Errorf("%s: mean of channel 0 is %g, want %g", node.Name, got, mean)
		}
		break
	}
	folded := m.Graph.Clone()
	if err := pass.FoldBatchNorm(folded, nil); err != nil {
		t.Fatal(err)
	}
	near("folded", values(folded, output)[0])
}
