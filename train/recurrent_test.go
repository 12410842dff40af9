package train_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/go-nncf/nncf/autodiff"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/engine/native"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
)

// testdata/recurrent.onnx is what PyTorch 2.15 exports (opset 17, free batch
// axis) of a bidirectional LSTM, a GRU, an RNN with ReLU and a linear layer, on
// sequences of 7 vectors of 5. recurrent.json has the cross-entropy of 8 of them
// and its gradients by the cells' weights, computed by PyTorch in float64 and
// brought into the order of ONNX.
type recurrentData struct {
	X         []float32
	Labels    []int64
	Loss      float64
	Gradients map[string]map[string][]float64 // by cell; W, R and B
}

// TestRecurrent_Torch compares loss and gradients of all cells, with what the
// training form keeps and with what is computed again.
func TestRecurrent_Torch(t *testing.T) {
	b, err := os.ReadFile("testdata/recurrent.json")
	if err != nil {
		t.Fatal(err)
	}
	var d recurrentData
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	for _, keep := range []bool{false, true} {
		f, err := onnx.Load("testdata/recurrent.onnx")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []func(*ir.Graph) error{
			func(g *ir.Graph) error { return pass.Canonicalize(g, nil) },
			func(g *ir.Graph) error { return pass.MarkTrainable(g, nil) },
		} {
			if err := p(f); err != nil {
				t.Fatal(err)
			}
		}
		g, err := f.Specialize(map[string][]int{"x": {8, 7, 5}})
		if err != nil {
			t.Fatal(err)
		}
		if keep {
			if err := pass.TrainingMode(g, pass.TrainingOptions{}, nil); err != nil {
				t.Fatal(err)
			}
		}
		target := g.AddInput("target", ir.MakeType(tensor.Int64, 8))
		loss, err := train.LossOptions{}.Func()(ir.NewBuilder(g, "loss"), g.Outputs, target)
		if err != nil {
			t.Fatal(err)
		}
		var wrt []*ir.Value
		var want [][]float64
		for _, n := range g.Nodes() {
			kind := map[string]string{"LSTM": "lstm", "GRU": "gru", "RNN": "rnn"}[n.Op.Kind()]
			if kind == "" {
				continue
			}
			if n.Input(5) != nil {
				t.Errorf("%s: the initial state of zeros is still there", n.Label())
			}
			for i, name := range []string{"W", "R", "B"} {
				if n.In[1+i].Kind != ir.Parameter {
					t.Fatalf("%s of %s is a %v, want a parameter", name, kind, n.In[1+i].Kind)
				}
				wrt, want = append(wrt, n.In[1+i]), append(want, d.Gradients[kind][name])
			}
		}
		if len(wrt) != 9 {
			t.Fatalf("got %d weights of recurrent cells, want 9", len(wrt))
		}
		grads, err := autodiff.Grad(g, loss, wrt)
		if err != nil {
			t.Fatal(err)
		}
		g.Outputs = append([]*ir.Value{loss}, grads...)
		p, err := native.Backend{}.Compile(t.Context(), g, engine.Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Info().Steps {
			if s.Kernel == "reference" {
				t.Errorf("%s (%s) runs by the reference evaluator", s.Node, s.Kind)
			}
		}
		copy(p.Input(0).F32(), d.X)
		copy(p.Input(1).I64(), d.Labels)
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := float64(p.Output(0).F32()[0]); math.Abs(got-d.Loss) > 1e-6 {
			t.Errorf("loss: got %.7f, want %.7f", got, d.Loss)
		}
		for i, w := range want {
			most := 0.0
			for _, v := range w {
				most = max(most, math.Abs(v))
			}
			for k, v := range p.Output(1 + i).F32() {
				if math.Abs(float64(v)-w[k]) > 3e-6*most { // seven steps and four layers in float32
					t.Errorf("gradient of %s, element %d: got %.8f, want %.8f", wrt[i].Name, k, v, w[k])
					break
				}
			}
		}
		if n := testing.AllocsPerRun(3, func() { _ = p.Run(t.Context()) }); n > 0 {
			t.Errorf("a run makes %v allocations, want none", n)
		}
		p.Close()
	}
}
