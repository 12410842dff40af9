package sensitivity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// ValueDifference is one value that two graphs have under the same name.
type ValueDifference struct {
	Value         string   `json:"value"`
	Operator      string   `json:"operator"` // that computes it in the first graph
	Output        bool     `json:"output,omitempty"`
	SQNR          Decibels `json:"sqnr_db"` // null: equal, or not finite
	RelativeError float64  `json:"relative_error"`
	Largest       float64  `json:"largest_difference"`
	Mean          float64  `json:"mean_difference"`
	Peak          float64  `json:"largest_value"` // |x| in the first graph
	NotFinite     int64    `json:"not_finite,omitempty"`
	// BySample has the relative errors of the samples one by one; RelativeError and
	// SQNR are those of all elements together.
	BySample
}

// Comparison is what Compare found, in the order of the first graph.
type Comparison struct {
	Samples int               `json:"samples"`
	Same    int               `json:"same_prediction"` // samples whose first output has its largest element at the same place
	Values  []ValueDifference `json:"values"`
	// OnlyFirst and OnlySecond count results of float type that the other graph
	// does not have, or has in another shape.
	OnlyFirst  int `json:"only_in_first"`
	OnlySecond int `json:"only_in_second"`
}

// Outputs returns the entries that are outputs of both graphs.
func (c *Comparison) Outputs() []ValueDifference {
	var list []ValueDifference
	for _, v := range c.Values {
		if v.Output {
			list = append(list, v)
		}
	}
	return list
}

// pair is one value in two graphs.
type pair struct{ a, b *ir.Value }

// pairs matches float results by name.
func pairs(a, b *ir.Graph) (list []pair, onlyA, onlyB int) {
	dynA, dynB := dynamic(a), dynamic(b)
	isFloat := func(v *ir.Value, dyn []bool) bool { return v != nil && v.Type.DType == tensor.Float32 && dyn[v.ID] }
	for _, n := range a.Nodes() {
		for _, v := range n.Out {
			if !isFloat(v, dynA) {
				continue
			}
			w := b.Value(v.Name)
			if w == nil || w.Def == nil || !isFloat(w, dynB) || w.Type.Rank() != v.Type.Rank() {
				onlyA++
				continue
			}
			list = append(list, pair{v, w})
		}
	}
	for _, n := range b.Nodes() {
		for _, v := range n.Out {
			if isFloat(v, dynB) && (a.Value(v.Name) == nil || a.Value(v.Name).Def == nil) {
				onlyB++
			}
		}
	}
	return list, onlyA, onlyB
}

// dynamic says by ID which values depend on the graph's inputs.
func dynamic(g *ir.Graph) []bool {
	dyn := make([]bool, g.NumValues())
	for _, v := range g.Inputs {
		dyn[v.ID] = true
	}
	for _, n := range g.Nodes() {
		if !slices.ContainsFunc(n.In, func(v *ir.Value) bool { return v != nil && dyn[v.ID] }) {
			continue
		}
		for _, v := range n.Out {
			if v != nil {
				dyn[v.ID] = true
			}
		}
	}
	return dyn
}

// Compare runs two graphs on the same samples and compares all float values
// that both have under one name; outputs are compared by position too if their
// names differ. data starts over at each call.
func Compare(ctx context.Context, r compress.Runner, a, b *ir.Graph, data func() compress.Batches) (*Comparison, error) {
	if len(a.Inputs) != len(b.Inputs) {
		return nil, fmt.Errorf("compare: got models with %d and %d inputs, want the same", len(a.Inputs), len(b.Inputs))
	}
	list, onlyA, onlyB := pairs(a, b)
	outputs := map[*ir.Value]bool{}
	for i, v := range a.Outputs {
		outputs[v] = true
		if i < len(b.Outputs) && !slices.ContainsFunc(list, func(p pair) bool { return p.a == v }) && v.Def != nil && b.Outputs[i].Def != nil {
			list = append(list, pair{v, b.Outputs[i]})
		}
	}
	if len(list) == 0 {
		return nil, errors.New("compare: the models have no value in common: neither names nor outputs match")
	}
	sums := make([]samples, len(list))
	skip := make([]bool, len(list))
	c := &Comparison{OnlyFirst: onlyA, OnlySecond: onlyB}
	wantA, wantB := make([]*ir.Value, len(list)), make([]*ir.Value, len(list))
	for i, p := range list {
		wantA[i], wantB[i] = p.a, p.b
	}
	batch := 1
	counted := func(yield func([]*tensor.Tensor, error) bool) {
		for x, err := range data() {
			if err == nil && len(x) > 0 && x[0].Rank() > 0 {
				batch = x[0].Shape()[0]
				c.Samples += batch
			}
			if !yield(x, err) {
				return
			}
		}
	}
	err := together(ctx, r, a, b, wantA, wantB, counted, data(), func(x, y []*tensor.Tensor) error {
		c.Same += samePredictions(x, y, list, a.Outputs[0])
		for i := range list {
			if skip[i] = skip[i] || !x[i].Shape().Equal(y[i].Shape()); !skip[i] {
				sums[i].add(x[i], y[i], batch)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	for i, p := range list {
		if skip[i] {
			c.OnlyFirst++
			continue
		}
		d := &sums[i].all
		c.Values = append(c.Values, ValueDifference{Value: p.a.Name, Operator: p.a.Def.Op.Kind(), Output: outputs[p.a],
			SQNR: Decibels(d.SQNR()), RelativeError: d.RelativeError(), Largest: d.Largest, Mean: d.Mean(), Peak: d.Peak, NotFinite: d.NotFinite,
			BySample: sums[i].summary()})
	}
	return c, nil
}

// samePredictions counts rows of the first output with the largest element at
// the same place.
func samePredictions(x, y []*tensor.Tensor, list []pair, out *ir.Value) int {
	i := slices.IndexFunc(list, func(p pair) bool { return p.a == out })
	if i < 0 || x[i].Rank() == 0 || !x[i].Shape().Equal(y[i].Shape()) {
		return 0
	}
	n, same := x[i].Shape()[0], 0
	if n == 0 {
		return 0
	}
	row := x[i].Len() / n
	for k := range n {
		if argMax(x[i].F32()[k*row:][:row]) == argMax(y[i].F32()[k*row:][:row]) {
			same++
		}
	}
	return same
}

func argMax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// Worst returns the n values with the lowest ratios, worst first; with 0 all, in
// order.
func (c *Comparison) Worst(n int) []ValueDifference {
	list := slices.Clone(c.Values)
	if n <= 0 {
		return list
	}
	slices.SortStableFunc(list, func(a, b ValueDifference) int { return cmp.Compare(float64(a.SQNR), float64(b.SQNR)) })
	return list[:min(n, len(list))]
}

// together runs two graphs side by side and hands f the values of each batch,
// which neither graph touches meanwhile.
func together(ctx context.Context, r compress.Runner, a, b *ir.Graph, wantA, wantB []*ir.Value, dataA, dataB compress.Batches,
	f func(x, y []*tensor.Tensor) error) error {
	wantA, atA := unique(wantA)
	wantB, atB := unique(wantB)
	ctx, cancel := context.WithCancel(ctx)
	next, done := make(chan []*tensor.Tensor), make(chan struct{})
	var errA error
	go func() {
		defer close(next)
		errA = r.Run(ctx, a, wantA, dataA, func(got []*tensor.Tensor) error {
			select {
			case next <- got:
			case <-ctx.Done():
				return ctx.Err()
			}
			<-done // whatever happens: got is being read, and gone when this returns
			return ctx.Err()
		})
	}()
	errB := r.Run(ctx, b, wantB, dataB, func(got []*tensor.Tensor) error {
		x, ok := <-next
		if !ok {
			return errEnded
		}
		defer func() { done <- struct{}{} }()
		if err := f(spread(x, atA), spread(got, atB)); err != nil {
			return err
		}
		return ctx.Err()
	})
	if errB == nil {
		if _, more := <-next; more {
			errB = errors.New("the second model got fewer batches than the first")
			done <- struct{}{}
		}
	}
	cancel()
	for range next {
		done <- struct{}{}
	}
	if errors.Is(errB, errEnded) && errA != nil { // the first model is to blame
		return errA
	}
	return errB
}

// unique returns the list without repetitions, and where each entry went.
func unique(list []*ir.Value) (out []*ir.Value, at []int) {
	for _, v := range list {
		i := slices.Index(out, v)
		if i < 0 {
			i = len(out)
			out = append(out, v)
		}
		at = append(at, i)
	}
	return out, at
}

func spread(list []*tensor.Tensor, at []int) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(at))
	for i, k := range at {
		out[i] = list[k]
	}
	return out
}

var errEnded = errors.New("the first model got fewer batches than the second")
