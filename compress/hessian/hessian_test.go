package hessian_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/go-nncf/nncf/compress/hessian"
	"github.com/go-nncf/nncf/internal/testkit/calibrate"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// golden is testdata/torch.json: a small network with its data, and the exact
// traces that PyTorch finds in float64.
type golden struct {
	Tensors map[string]struct {
		Shape []int     `json:"shape"`
		Data  []float32 `json:"data"`
	} `json:"tensors"`
	Labels []int64              `json:"labels"`
	Traces map[string][]float64 `json:"traces"`
}

func load(t *testing.T) *golden {
	t.Helper()
	raw, err := os.ReadFile("testdata/torch.json")
	if err != nil {
		t.Fatal(err)
	}
	g := &golden{}
	if err := json.Unmarshal(raw, g); err != nil {
		t.Fatal(err)
	}
	return g
}

func (d *golden) tensor(name string) *tensor.Tensor {
	x := d.Tensors[name]
	return tensor.From(slices.Clone(x.Data), x.Shape...)
}

var weights = []string{"w1", "w2", "w3", "wf"}

// net builds the network with a free batch axis.
func (d *golden) net(t *testing.T, act ir.Op) *ir.Graph {
	t.Helper()
	g := ir.New("net")
	x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{ir.Symbol("N"), ir.Len(3), ir.Len(8), ir.Len(8)}})
	stored := func(kind ir.ValueKind, name string) *ir.Value { return g.AddStored(kind, name, d.tensor(name)) }
	same := op.Window{Pads: []int{1, 1, 1, 1}}
	b := ir.NewBuilder(g, "")
	h := b.Op(op.Conv{Window: same}, "conv1", x, stored(ir.Parameter, "w1"))
	h = b.Op(op.BatchNormalization{Epsilon: 1e-2}, "bn", h, stored(ir.Parameter, "s"), stored(ir.Parameter, "b"), stored(ir.State, "m"), stored(ir.State, "v"))
	h = b.Op(act, "act1", h)
	h = b.Op(op.Add{}, "sum", h, b.Op(op.Conv{Window: same}, "conv2", h, stored(ir.Parameter, "w2")))
	h = b.Op(act, "act2", h)
	h = b.Op(op.Conv{Window: op.Window{Pads: []int{1, 1, 1, 1}, Strides: []int{2, 2}}}, "conv3", h, stored(ir.Parameter, "w3"))
	h = b.Op(op.MaxPool{Pool: op.Pool{Kernel: []int{2, 2}, Window: op.Window{Strides: []int{2, 2}}}}, "max", b.Op(act, "act3", h))
	h = b.Op(op.Flatten{Axis: 1}, "flatten", b.Op(op.GlobalAveragePool{}, "global", h))
	h = b.Op(op.Gemm{TransB: true}, "fc", h, stored(ir.Parameter, "wf"), stored(ir.Parameter, "bf"))
	g.Outputs = []*ir.Value{h}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

func (d *golden) calibration() hessian.Data {
	yield := func(in ...*tensor.Tensor) func(int) hessian.Batches {
		return func(int) hessian.Batches {
			return func(yield func([]*tensor.Tensor, error) bool) { yield(in, nil) }
		}
	}
	x, y := d.tensor("x"), tensor.From(slices.Clone(d.Labels), len(d.Labels))
	return hessian.Data{Batches: yield(x), Labelled: yield(x, y)}
}

// The whole diagonal of the Hessian, one unit vector after another, equals that
// of an independent double backward in float64.
func TestProduct_ExactTraces(t *testing.T) {
	d := load(t)
	for _, c := range []struct {
		name string
		act  ir.Op
	}{{"relu", op.Relu{}}, {"softplus", op.Softplus{}}} {
		g := d.net(t, c.act)
		x, y := d.tensor("x"), tensor.From(slices.Clone(d.Labels), len(d.Labels))
		p, err := hessian.ProductGraph(g, weights, []*tensor.Tensor{x, y})
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range weights {
			got := 0.0
			feed := func(yield func([]*tensor.Tensor, error) bool) {
				in := []*tensor.Tensor{x, y}
				for _, w := range weights {
					in = append(in, tensor.New(tensor.Float32, d.Tensors[w].Shape...))
				}
				v := in[2+i].F32()
				for k := range v {
					v[k] = 1
					if !yield(in, nil) {
						return
					}
					v[k] = 0
				}
			}
			err := calibrate.Runner{Threads: 1}.Run(t.Context(), p, []*ir.Value{p.Outputs[i]}, feed, func(out []*tensor.Tensor) error {
				got += float64(out[0].F32()[0])
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if want := d.Traces[c.name][i]; math.Abs(got-want) > 2e-5*math.Abs(want) {
				t.Errorf("%s: trace of %s: got %.8g, want %.8g", c.name, name, got, want)
			}
		}
	}
}

func TestTraces_WithinStandardErrors(t *testing.T) {
	d := load(t)
	for _, c := range []struct {
		name string
		act  ir.Op
		opt  hessian.Options
		form string
	}{
		{"relu", op.Relu{}, hessian.Options{Iterations: 400, Tolerance: -1, Error: -1}, "gram"},
		{"relu", op.Relu{}, hessian.Options{Iterations: 400, Tolerance: -1, Error: -1, Products: true, Chunk: 4}, "products"},
		{"softplus", op.Softplus{}, hessian.Options{Iterations: 400, Tolerance: -1, Error: -1, Chunk: 6}, "products"},
	} {
		r, err := hessian.Traces(t.Context(), calibrate.Runner{Threads: 1}, d.net(t, c.act), weights, d.calibration(), c.opt)
		if err != nil {
			t.Fatal(err)
		}
		if r.Form != c.form || r.Iterations != 400 || r.Points != 12 {
			t.Errorf("%s: got form %s, %d iterations, %d points, want %s, 400, 12", c.name, r.Form, r.Iterations, r.Points, c.form)
		}
		for i, x := range r.Traces {
			want := d.Traces[c.name][i] / float64(x.Elements)
			if math.Abs(x.Mean-want) > 3*x.StdErr || x.StdErr == 0 || x.StdErr > 0.2*want {
				t.Errorf("%s, %s: trace of %s: got %.6g ± %.2g, want %.6g", c.name, c.form, x.Weight, x.Mean, x.StdErr, want)
			}
		}
	}
}

// Equal seeds give equal bits with any number of threads, and from the cache.
func TestTraces_Deterministic(t *testing.T) {
	d := load(t)
	cal := d.calibration()
	opt := hessian.Options{Iterations: 6, Tolerance: -1, Seed: 5}
	traces := func(threads int) *hessian.Result {
		r, err := hessian.Traces(t.Context(), calibrate.Runner{Threads: threads}, d.net(t, op.Relu{}), weights, cal, opt)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	one, three := traces(1), traces(3)
	cal.Cache = t.TempDir()
	fresh, cached := traces(2), traces(1)
	if fresh.Cached || !cached.Cached {
		t.Errorf("cached: got %v and %v, want false and true", fresh.Cached, cached.Cached)
	}
	for _, r := range []*hessian.Result{three, fresh, cached} {
		if !slices.Equal(r.Traces, one.Traces) || r.Iterations != one.Iterations {
			t.Errorf("got %+v, want %+v", r, one)
		}
	}
	opt.Seed = 6
	if other := traces(1); other.Cached || slices.Equal(other.Traces, one.Traces) {
		t.Error("another seed gives the same traces")
	}
}

func TestTraces_Stops(t *testing.T) {
	d := load(t)
	r, err := hessian.Traces(t.Context(), calibrate.Runner{Threads: 1}, d.net(t, op.Relu{}), weights, d.calibration(), hessian.Options{Tolerance: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Converged || r.Iterations > 8 || !(r.Change < 0.5) {
		t.Errorf("got %d iterations, change %g, converged %v, want an early end", r.Iterations, r.Change, r.Converged)
	}
	r, err = hessian.Traces(t.Context(), calibrate.Runner{Threads: 1}, d.net(t, op.Relu{}), weights, d.calibration(), hessian.Options{Tolerance: -1, Error: 0.1})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range r.Traces {
		if !r.Converged || x.StdErr > 0.1*x.Mean {
			t.Errorf("%s: got %g ± %g after %d iterations, want a standard error of a tenth", x.Weight, x.Mean, x.StdErr, r.Iterations)
		}
	}
}

func TestPiecewiseLinear(t *testing.T) {
	d := load(t)
	if !hessian.PiecewiseLinear(d.net(t, op.Relu{}), weights) {
		t.Error("a network of convolutions and rectifiers is piecewise linear in each weight")
	}
	for _, act := range []ir.Op{op.Softplus{}, op.Sigmoid{}, op.HardSwish{}} {
		if hessian.PiecewiseLinear(d.net(t, act), weights) {
			t.Errorf("%s is taken for piecewise linear", act.Kind())
		}
	}
	// A weight with two uses enters twice.
	g := d.net(t, op.Relu{})
	conv := g.Nodes()[0]
	again, err := g.AddNode("again", op.Conv{Window: op.Window{Pads: []int{1, 1, 1, 1}}}, []*ir.Value{g.Inputs[0], conv.In[1]}, []string{"again"})
	if err != nil {
		t.Fatal(err)
	}
	_ = again
	if hessian.PiecewiseLinear(g, weights) {
		t.Error("a weight with two uses is taken for one factor")
	}
}

// Data without labels are answered by the model itself.
func TestTraces_OwnLabels(t *testing.T) {
	d := load(t)
	cal := d.calibration()
	cal.Labelled = nil
	r, err := hessian.Traces(t.Context(), calibrate.Runner{Threads: 1}, d.net(t, op.Softplus{}), weights, cal, hessian.Options{Iterations: 4})
	if err != nil {
		t.Fatal(err)
	}
	if !r.OwnLabels || len(r.Traces) != len(weights) {
		t.Errorf("got %+v", r)
	}
}
