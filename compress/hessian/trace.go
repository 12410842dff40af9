package hessian

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Options say how traces are estimated. The zero value is the original's.
type Options struct {
	// Points is the number of samples; default 100. Some are left out where they
	// do not make equal chunks.
	Points int `json:"points"`
	// Iterations is how many probes every chunk gets at most; default 200. They
	// are taken four at a time, as long as that many are wanted.
	Iterations int `json:"iterations"`
	// Tolerance ends the estimation when an iteration moves the running mean of
	// the summed average traces by a smaller part; default 1e-4, negative never.
	Tolerance float64 `json:"tolerance"`
	// Error ends the estimation when no trace has a larger standard error relative
	// to its size; default 0.05, negative never. Bits change with the logarithm of
	// a trace, so more is of no use.
	Error float64 `json:"error"`
	// Chunk is the number of samples of one product; default 32, 8 for inputs of
	// 50,000 elements and more.
	Chunk int `json:"chunk"`
	// Seed of the probes.
	Seed uint64 `json:"seed"`
	// Products takes Hessian-vector products even where the cheaper form of the
	// estimator holds, see [Result].
	Products bool `json:"products"`
}

func (o Options) withDefaults() Options {
	o.Points = cmp.Or(o.Points, 100)
	o.Iterations = cmp.Or(o.Iterations, 200)
	o.Tolerance = cmp.Or(o.Tolerance, 1e-4)
	o.Error = cmp.Or(o.Error, 0.05)
	return o
}

// Validate reports all problems.
func (o Options) Validate() error {
	var errs []error
	for _, n := range []struct {
		key string
		v   int
	}{{"num_data_points", o.Points}, {"iter_number", o.Iterations}, {"chunk", o.Chunk}} {
		if n.v < 0 {
			errs = append(errs, fmt.Errorf("%s: got %d, want 0 or more", n.key, n.v))
		}
	}
	if math.IsNaN(o.Tolerance) || math.IsNaN(o.Error) {
		errs = append(errs, fmt.Errorf("tolerance and error: got %g and %g, want numbers", o.Tolerance, o.Error))
	}
	return errors.Join(errs...)
}

// Trace is what was found for one weight.
type Trace struct {
	Weight   string `json:"weight"`
	Elements int    `json:"elements"`
	// Mean is the trace divided by the number of elements, StdErr its standard
	// error over the probes.
	Mean   float64 `json:"trace"`
	StdErr float64 `json:"stderr"`
}

// Result is an estimation. It depends on model, data and options only, not on
// the number of threads.
type Result struct {
	Traces []Trace `json:"traces"`
	// Form is "products" for vᵀ(H v), the general case, or "gram" for gradients of
	// the scores, which is the same for a network that is piecewise linear in each
	// weight and trained with cross-entropy, or "outputs" for gradients of all float
	// outputs of a model that does not classify, by their relative errors.
	Form       string `json:"form"`
	Points     int    `json:"points"` // samples used
	Chunks     int    `json:"chunks"`
	Iterations int    `json:"iterations"` // probes of each chunk
	// Converged: Tolerance or Error ended it. Change is the last relative movement.
	Converged bool    `json:"converged"`
	Change    float64 `json:"change"`
	// OwnLabels: the data had no labels; the model's own answers stood for them.
	OwnLabels bool `json:"own_labels,omitempty"`
	// Cached: read from the cache.
	Cached bool `json:"-"`
}

// batchOfProbes is how many probes share what they have in common: for products
// the first-order passes, two of eight, for the other form the forward pass, one
// of three.
const batchOfProbes = 4

// Traces estimates the average Hessian trace of the loss for the given values of
// g, which must be in the form for inference: batch normalization uses its
// running statistics.
func Traces(ctx context.Context, r Runner, g *ir.Graph, weights []string, data Data, opt Options) (*Result, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	if len(weights) == 0 {
		return nil, errors.New("traces of the Hessian: there are no weights")
	}
	opt = opt.withDefaults()
	d, err := gather(ctx, r, g, data, opt)
	if err != nil {
		return nil, fmt.Errorf("traces of the Hessian: %w", err)
	}
	if data.Loss != nil {
		data.Cache = "" // functions cannot be told apart, and traces depend on it
	}
	key, err := cacheKey(g, weights, d, opt)
	if err != nil {
		return nil, fmt.Errorf("traces of the Hessian: %w", err)
	}
	if res := readCache(data.Cache, key); res != nil {
		return res, nil
	}
	res, err := estimate(ctx, r, g, weights, data.Loss, d, opt, data.Note)
	if err != nil {
		return nil, fmt.Errorf("traces of the Hessian: %w", err)
	}
	if err := writeCache(data.Cache, key, res); err != nil && data.Note != nil {
		data.Note("%v", err)
	}
	return res, nil
}

// errDone ends the loop over probes.
var errDone = errors.New("done")

func estimate(ctx context.Context, r Runner, g *ir.Graph, weights []string, loss Loss, d *points, opt Options, note func(string, ...any)) (*Result, error) {
	probes := min(batchOfProbes, opt.Iterations)
	form, build := "products", func() (*product, error) {
		if loss == nil {
			loss = crossEntropy
		}
		return newProduct(g, weights, loss, d.chunks[0], probes)
	}
	switch {
	case loss != nil:
	case !classifies(g):
		form, build = "outputs", func() (*product, error) { return newOutputs(g, weights, d.chunks[0], probes) }
	case !opt.Products && piecewiseLinear(g, weights):
		form, build = "gram", func() (*product, error) { return newGram(g, weights, d.chunks[0], probes) }
	}
	p, err := build()
	if err != nil {
		return nil, err
	}
	e := &estimator{weights: p.weights, chunks: make([][]moments, len(d.chunks))}
	for c := range e.chunks {
		e.chunks[c] = make([]moments, len(weights))
	}
	res := &Result{Form: form, Points: d.samples, Chunks: len(d.chunks), OwnLabels: d.ownLabels}
	in := make([]*tensor.Tensor, len(p.graph.Inputs))
	base := p.inputs
	for i := base; i < len(in); i++ {
		in[i] = tensor.New(tensor.Float32, p.graph.Inputs[i].Type.MustShape()...)
	}
	feed := func(yield func([]*tensor.Tensor, error) bool) {
		for t := 0; t < opt.Iterations; t += probes {
			for c, chunk := range d.chunks {
				copy(in[:base], chunk)
				signs(in[base:], opt.Seed, t, c)
				if !yield(in, nil) {
					return
				}
			}
		}
	}
	chunk := 0
	err = r.Run(ctx, p.graph, p.outputs, feed, func(got []*tensor.Tensor) error {
		if err := e.add(chunk, got, probes, opt.Iterations-res.Iterations); err != nil {
			return err
		}
		if chunk++; chunk < len(d.chunks) {
			return nil
		}
		chunk = 0
		for range min(probes, opt.Iterations-res.Iterations) {
			res.Iterations++
			res.Change = e.advance(res.Iterations)
			res.Converged = res.Converged || res.Iterations > 1 && res.Change < opt.Tolerance
		}
		res.Traces = e.traces(weights)
		worst := worstError(res.Traces)
		res.Converged = res.Converged || res.Iterations > 1 && worst < opt.Error
		if note != nil {
			note("Hessian traces: %d of at most %d probes, the mean moves by %.2g, standard errors up to %.2g %%", res.Iterations, opt.Iterations, res.Change, 100*worst)
		}
		if res.Converged {
			return errDone
		}
		return nil
	})
	if err != nil && !errors.Is(err, errDone) {
		return nil, err
	}
	return res, nil
}

// worstError is the largest relative standard error.
func worstError(list []Trace) float64 {
	worst := 0.0
	for _, t := range list {
		if t.StdErr > 0 {
			worst = max(worst, t.StdErr/math.Abs(t.Mean))
		}
	}
	return worst
}

// signs fills directions with ±1, from a stream of its own for each iteration
// and chunk.
func signs(dirs []*tensor.Tensor, seed uint64, iteration, chunk int) {
	rng := rand.New(rand.NewPCG(seed, uint64(iteration)<<32|uint64(chunk)))
	for _, d := range dirs {
		x := d.F32()
		for len(x) > 0 {
			bits := rng.Uint64()
			n := min(64, len(x))
			for i := range n {
				x[i] = float32(int(bits>>i&1)*2 - 1)
			}
			x = x[n:]
		}
	}
}

// estimator collects vᵀ(H v) by chunk and weight.
type estimator struct {
	weights []ir.Type
	chunks  [][]moments
	round   [][]float64 // sums of average traces, by probe of the round and chunk
	total   float64     // of the summed average traces over iterations
}

// moments are the count, mean and summed squared deviations of a sequence
// (Welford's update).
type moments struct {
	n        int
	mean, m2 float64
}

func (m *moments) add(x float64) {
	m.n++
	d := x - m.mean
	m.mean += d / float64(m.n)
	m.m2 += d * (x - m.mean)
}

// add takes the results of one product, of which the first few probes count.
func (e *estimator) add(chunk int, got []*tensor.Tensor, probes, left int) error {
	if chunk == 0 {
		e.round = e.round[:0]
		for range min(probes, left) {
			e.round = append(e.round, nil)
		}
	}
	for k := range e.round {
		sum := 0.0
		for i, w := range e.weights {
			v := float64(got[k*len(e.weights)+i].F32()[0])
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("the curvature is %g: check the inputs and the model's normalization", v)
			}
			e.chunks[chunk][i].add(v)
			sum += v / float64(max(1, w.MustShape().Numel()))
		}
		e.round[k] = append(e.round[k], sum)
	}
	return nil
}

// advance ends iteration t and returns how far it moved the running mean,
// relative to the mean before.
func (e *estimator) advance(t int) float64 {
	sum := 0.0
	for _, v := range e.round[0] {
		sum += v / float64(len(e.chunks))
	}
	e.round = e.round[1:]
	before := 0.0
	if t > 1 {
		before = e.total / float64(t-1)
	}
	e.total += sum
	const guard = 1e-6 // against a division by zero, as the original has it
	return math.Abs(e.total/float64(t)-before) / (math.Abs(before) + guard)
}

// traces returns the means over chunks. Probes of different chunks are
// independent, so the squared standard errors add up.
func (e *estimator) traces(names []string) []Trace {
	list := make([]Trace, len(names))
	c := float64(len(e.chunks))
	for i, name := range names {
		n := e.weights[i].MustShape().Numel()
		mean, variance := 0.0, 0.0
		for _, chunk := range e.chunks {
			m := chunk[i]
			mean += m.mean / c
			if m.n > 1 {
				variance += m.m2 / float64(m.n-1) / float64(m.n) / (c * c)
			}
		}
		list[i] = Trace{Weight: name, Elements: n, Mean: mean / float64(max(1, n)), StdErr: math.Sqrt(variance) / float64(max(1, n))}
	}
	return list
}
