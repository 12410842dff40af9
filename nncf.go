package nncf

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/engine/native"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
	"github.com/go-nncf/nncf/zoo"
)

// Model is a network in canonical form whose weights are parameters.
type Model struct {
	Graph *ir.Graph
	// Trace says what import changed, and by which rule.
	Trace *rewrite.Trace
}

// Load reads an ONNX file, brings it to canonical form and marks what is
// trainable.
func Load(path string) (*Model, error) {
	g, err := onnx.Load(path)
	if err != nil {
		return nil, err
	}
	return newModel(g)
}

// Read is [Load] for the bytes of a file without external data.
func Read(b []byte) (*Model, error) {
	g, err := onnx.Read(b, "")
	if err != nil {
		return nil, err
	}
	return newModel(g)
}

func newModel(g *ir.Graph) (*Model, error) {
	m := &Model{Graph: g, Trace: &rewrite.Trace{}}
	collect(g) // the bytes of the file
	for _, p := range []func(*ir.Graph, *rewrite.Trace) error{pass.InferenceMode, pass.Canonicalize} {
		if err := p(g, m.Trace); err != nil {
			return nil, err
		}
	}
	if err := pass.MarkTrainable(g, m.Trace); err != nil {
		return nil, err
	}
	collect(g) // the weights of the file, where others took their place
	return m, nil
}

// manyWeights is the number of weights from which [collect] is worth its time.
const manyWeights = 1 << 24

// collect gives memory that import is done with back to the system if g is large:
// the arena of training is not the collector's, and would come on top of it.
func collect(g *ir.Graph) {
	weights := 0
	for _, v := range g.Stored() {
		weights += v.Data.Len()
	}
	if weights > manyWeights {
		debug.FreeOSMemory()
	}
}

// Build makes a network of package zoo with random weights.
func Build(name string, o zoo.Options) (*Model, error) {
	g, err := zoo.Build(name, o)
	if err != nil {
		return nil, err
	}
	return &Model{Graph: g, Trace: &rewrite.Trace{}}, nil
}

// Backend returns the engine of this package.
func Backend() engine.Backend { return native.Backend{} }

// Calibration takes samples for initialisation from a loader, in its order for
// epoch 0. Batches are those of the loader, the last one cut to the number
// asked for.
func Calibration(ctx context.Context, l *data.Loader) compress.Calibration {
	batches := func(labelled bool) func(n int) compress.Batches {
		return func(n int) compress.Batches {
			return func(yield func([]*tensor.Tensor, error) bool) {
				for b, err := range l.Batches(ctx, 0) {
					if err != nil {
						yield(nil, err)
						return
					}
					if n <= 0 {
						return
					}
					rows := min(n, b.Len())
					var x []*tensor.Tensor
					for _, t := range b.Inputs() {
						x = append(x, t.Rows(0, rows))
					}
					n -= rows
					if labelled {
						x = append(x, tensor.From(b.Labels.I64()[:rows], rows))
					}
					if !yield(x, nil) {
						return
					}
				}
			}
		}
	}
	return compress.Calibration{Batches: batches(false), Labelled: batches(true)}
}

// InsertBatchNorm puts batch normalization behind the convolutions of m that have
// none, with the statistics of samples from c, and returns how many: what a model
// needs for training that was exported with its normalization folded. See
// [compress.InsertBatchNorm].
func InsertBatchNorm(ctx context.Context, m *Model, c compress.Calibration, samples int, opts engine.Options) (int, error) {
	return compress.InsertBatchNorm(ctx, runner{opts}, m.Graph, c, samples, m.Trace)
}

// CacheDir is the folder in which results that take long are kept, below the
// user's cache folder; empty if there is none.
func CacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "nncf")
}

// NewTrainer returns a trainer of g. hook is the compressed model that g
// belongs to, or nil.
func NewTrainer(g *ir.Graph, opt train.Options, hook train.Hook) (*train.Trainer, error) {
	return train.New(g, native.Backend{}, opt, hook)
}

// Evaluate measures a classifier on a data set.
func Evaluate(ctx context.Context, g *ir.Graph, l *data.Loader, opt train.Options) (m train.Metrics, err error) {
	programs := map[int]engine.Program{}
	defer func() {
		if e := train.CloseAll(programs); err == nil {
			err = e
		}
	}()
	return train.Evaluate(ctx, g, programs, native.Backend{}, opt, l)
}

// Run feeds batches to a graph and hands the wanted values to f, which must not
// keep them.
func Run(ctx context.Context, g *ir.Graph, want []*ir.Value, batches compress.Batches, opts engine.Options, f func(got []*tensor.Tensor) error) error {
	return runner{opts}.Run(ctx, g, want, batches, f)
}

// runner runs graphs on the native engine; it is what compression initialises
// with.
type runner struct{ opts engine.Options }

var _ compress.Runner = runner{}

// Run implements [compress.Runner].
func (r runner) Run(ctx context.Context, g *ir.Graph, want []*ir.Value, data compress.Batches, f func([]*tensor.Tensor) error) (err error) {
	programs := map[int]engine.Program{}
	defer func() {
		if e := train.CloseAll(programs); err == nil {
			err = e
		}
	}()
	got := make([]*tensor.Tensor, len(want))
	for in, err := range data {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		n := in[0].Shape()[0]
		p := programs[n]
		if p == nil {
			if p, err = r.compile(ctx, g, want, in); err != nil {
				return err
			}
			programs[n] = p
		}
		for i, t := range in {
			p.Input(i).CopyFrom(t)
		}
		if err := p.Run(ctx); err != nil {
			return err
		}
		for i := range want {
			got[i] = p.Output(i)
		}
		if err := f(got); err != nil {
			return err
		}
	}
	return nil
}

func (r runner) compile(ctx context.Context, g *ir.Graph, want []*ir.Value, in []*tensor.Tensor) (engine.Program, error) {
	if len(in) != len(g.Inputs) {
		return nil, fmt.Errorf("got %d inputs, the model has %d", len(in), len(g.Inputs))
	}
	shapes := map[string][]int{}
	for i, v := range g.Inputs {
		if in[i].DType() != v.Type.DType {
			return nil, fmt.Errorf("input %q: got %v, the model takes %v", v.Name, in[i], v.Type)
		}
		shapes[v.Name] = in[i].Shape()
	}
	s, err := g.Specialize(shapes)
	if err != nil {
		return nil, err
	}
	s.Outputs = nil
	for _, v := range want {
		s.Outputs = append(s.Outputs, s.Value(v.Name))
	}
	s.Prune()
	return native.Backend{}.Compile(ctx, s, r.opts)
}
