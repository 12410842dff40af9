package sensitivity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// Layer is what quantization does to one layer.
type Layer struct {
	Rank     int    `json:"rank"`  // 1 for the largest output error
	Scope    string `json:"scope"` // for ignored_scopes
	Operator string `json:"operator"`
	Value    string `json:"value"` // the layer's result

	MACs        int64 `json:"macs"`         // of one sample
	WeightBytes int64 `json:"weight_bytes"` // in float
	WeightBits  int   `json:"weight_bits"`
	InputBits   int   `json:"input_bits,omitempty"` // 0: the input is not quantized

	// OutputError is the relative error of the model's outputs when only this
	// layer is quantized, its weight and its input; OutputSQNR is the same in
	// decibels.
	OutputError float64  `json:"output_error"`
	OutputSQNR  Decibels `json:"output_sqnr_db"`
	// SQNR is that of the layer's result in the quantized model, with the noise of
	// all layers before.
	SQNR Decibels `json:"sqnr_db"`

	// The input's values, the range of its quantizer, and the share of values, in
	// percent, outside of it. The range is that of the widest channel.
	Lowest    float64 `json:"lowest"`
	Highest   float64 `json:"highest"`
	RangeLow  float64 `json:"range_low"`
	RangeHigh float64 `json:"range_high"`
	Clipped   float64 `json:"clipped"`

	// Accuracy is the metric when only this layer is quantized, less that of the
	// float model.
	Accuracy *float64 `json:"accuracy_change,omitempty"`
}

// Analysis is a sensitivity report.
type Analysis struct {
	Samples int     `json:"samples"`
	Layers  []Layer `json:"layers"` // by rank
	// Outputs compares the outputs of the quantized model with those of the float
	// one.
	Outputs []ValueDifference `json:"outputs"`
	// IgnoredScopes are the layers, worst first, that cause half of the summed
	// squared errors; at most a quarter of all.
	IgnoredScopes []string `json:"ignored_scopes"`
}

// Options of [Analyze].
type Options struct {
	// Metric evaluates a graph; nil leaves accuracies out.
	Metric func(ctx context.Context, g *ir.Graph) (float64, error)
	// Progress is called before each layer.
	Progress func(done, all int, layer string)
}

// Analyze measures the layers of a quantized model that have a quantized
// weight, against the float model that it was made from. Both have values of
// the same names. data starts over at each call; the model runs once over it
// for each layer.
func Analyze(ctx context.Context, r compress.Runner, float, quantized *ir.Graph, data func() compress.Batches, o Options) (*Analysis, error) {
	list := quantizedLayers(float, quantized)
	if len(list) == 0 {
		return nil, errors.New("sensitivity: the model has no layer with a quantized weight")
	}
	a := &Analysis{}
	if err := a.together(ctx, r, float, quantized, list, data); err != nil {
		return nil, fmt.Errorf("sensitivity: %w", err)
	}
	refs, err := outputs(ctx, r, float, data())
	if err != nil {
		return nil, fmt.Errorf("sensitivity: %w", err)
	}
	base := 0.0
	if o.Metric != nil {
		if base, err = o.Metric(ctx, float); err != nil {
			return nil, fmt.Errorf("sensitivity: %w", err)
		}
	}
	for i := range list {
		l := &a.Layers[i]
		if o.Progress != nil {
			o.Progress(i, len(list), l.Scope)
		}
		g, err := Isolate(float, quantized, l.Value)
		if err != nil {
			return nil, fmt.Errorf("sensitivity: %w", err)
		}
		if err := l.alone(ctx, r, g, refs, data()); err != nil {
			return nil, fmt.Errorf("sensitivity: %s: %w", l.Scope, err)
		}
		if o.Metric != nil {
			m, err := o.Metric(ctx, g)
			if err != nil {
				return nil, fmt.Errorf("sensitivity: %s: %w", l.Scope, err)
			}
			m -= base
			l.Accuracy = &m
		}
	}
	a.rank()
	return a, nil
}

// rank orders the layers and suggests which to ignore.
func (a *Analysis) rank() {
	slices.SortStableFunc(a.Layers, func(x, y Layer) int { return cmp.Compare(y.OutputError, x.OutputError) })
	total := 0.0
	for i := range a.Layers {
		a.Layers[i].Rank = i + 1
		total += a.Layers[i].OutputError * a.Layers[i].OutputError
	}
	a.IgnoredScopes = []string{}
	sum := 0.0
	for _, l := range a.Layers {
		if sum >= total/2 || 4*len(a.IgnoredScopes) >= len(a.Layers) {
			break
		}
		sum += l.OutputError * l.OutputError
		a.IgnoredScopes = append(a.IgnoredScopes, l.Scope)
	}
}

// outputs returns the outputs of g by batch.
func outputs(ctx context.Context, r compress.Runner, g *ir.Graph, data compress.Batches) (list [][]*tensor.Tensor, err error) {
	err = r.Run(ctx, g, g.Outputs, data, func(got []*tensor.Tensor) error {
		var row []*tensor.Tensor
		for _, t := range got {
			row = append(row, t.Clone())
		}
		list = append(list, row)
		return nil
	})
	return list, err
}

// alone compares the outputs of g with the reference.
func (l *Layer) alone(ctx context.Context, r compress.Runner, g *ir.Graph, refs [][]*tensor.Tensor, data compress.Batches) error {
	sums := make([]Difference, len(g.Outputs))
	batch := 0
	err := r.Run(ctx, g, g.Outputs, data, func(got []*tensor.Tensor) error {
		for i, t := range got {
			if t.DType() == tensor.Float32 {
				sums[i].Add(refs[batch][i].F32(), t.F32())
			}
		}
		batch++
		return nil
	})
	l.OutputError = pooled(sums)
	l.OutputSQNR = Decibels(-20 * math.Log10(l.OutputError))
	return err
}

// pooled is the relative error of several outputs, which count alike whatever
// their units.
func pooled(sums []Difference) float64 {
	total, n := 0.0, 0
	for i := range sums {
		if sums[i].Elements == 0 {
			continue
		}
		e := sums[i].RelativeError()
		total += e * e
		n++
	}
	return math.Sqrt(total / float64(max(1, n)))
}

// together runs both models once: noise in place, input ranges, outputs.
func (a *Analysis) together(ctx context.Context, r compress.Runner, float, quantized *ir.Graph, list []layer, data func() compress.Batches) error {
	var wantA, wantB []*ir.Value
	var inputs []int // index of the layer's input in wantA, -1: input of the model
	for _, l := range list {
		wantA, wantB = append(wantA, l.float.Out[0]), append(wantB, l.quantized.Out[0])
	}
	for _, v := range float.Outputs {
		wantA, wantB = append(wantA, v), append(wantB, quantized.Outputs[len(wantB)-len(list)])
	}
	compared := len(wantA)
	for _, l := range list {
		if l.input().Kind == ir.Input {
			inputs = append(inputs, -1)
			continue
		}
		inputs = append(inputs, len(wantA))
		wantA = append(wantA, l.input())
	}
	sums := make([]samples, compared)
	batch := 1
	seen := make([]extent, len(list))
	for i, l := range list {
		seen[i] = newExtent(l.quantizer())
	}
	var fed []*tensor.Tensor
	var shapes map[string][]int
	watched := func(yield func([]*tensor.Tensor, error) bool) {
		for x, err := range data() {
			fed = x
			if err == nil && shapes == nil {
				shapes = map[string][]int{}
				for i, v := range float.Inputs {
					shapes[v.Name] = x[i].Shape().Clone()
				}
			}
			if err == nil && len(x) > 0 && x[0].Rank() > 0 {
				batch = x[0].Shape()[0]
				a.Samples += batch
			}
			if !yield(x, err) {
				return
			}
		}
	}
	err := together(ctx, r, float, quantized, wantA, wantB, watched, data(), func(x, y []*tensor.Tensor) error {
		for i := range sums {
			if x[i].DType() == tensor.Float32 && x[i].Len() == y[i].Len() {
				sums[i].add(x[i], y[i], batch)
			}
		}
		for i, l := range list {
			if k := inputs[i]; k >= 0 {
				seen[i].add(x[k])
				continue
			}
			seen[i].add(fed[slices.Index(float.Inputs, l.input())])
		}
		return nil
	})
	if err != nil {
		return err
	}
	macs := costs(float, shapes)
	for i, l := range list {
		e := Layer{Scope: l.float.Label(), Operator: l.float.Op.Kind(), Value: l.float.Out[0].Name, MACs: macs[l.float.Out[0].Name],
			WeightBytes: 4 * int64(l.weightElements()), WeightBits: bits(l.weightQuantizer()), InputBits: bits(l.quantizer()), SQNR: Decibels(sums[i].all.SQNR())}
		seen[i].report(&e)
		a.Layers = append(a.Layers, e)
	}
	for i, v := range float.Outputs {
		if v.Def == nil {
			continue
		}
		d := &sums[len(list)+i].all
		a.Outputs = append(a.Outputs, ValueDifference{Value: v.Name, Operator: v.Def.Op.Kind(), Output: true, SQNR: Decibels(d.SQNR()),
			RelativeError: d.RelativeError(), Largest: d.Largest, Mean: d.Mean(), Peak: d.Peak, NotFinite: d.NotFinite,
			BySample: sums[len(list)+i].summary()})
	}
	return nil
}

// costs returns multiply-accumulates of one sample by result, for shapes of the
// inputs; none if shapes stay unknown.
func costs(g *ir.Graph, shapes map[string][]int) map[string]int64 {
	out := map[string]int64{}
	sp, err := g.Specialize(shapes)
	if err != nil {
		return out
	}
	batch := int64(1)
	if len(g.Inputs) > 0 {
		if s := shapes[g.Inputs[0].Name]; len(s) > 0 {
			batch = int64(max(1, s[0]))
		}
	}
	for _, n := range sp.Nodes() {
		if cost, ok := ir.CostOf(n); ok {
			out[n.ResultName()] = cost.MACs / batch
		}
	}
	return out
}

// Isolate returns the float graph with only one layer quantized, as it is in
// the quantized one: its weight, its bias, what it reads, for itself alone, and
// its result where that is an output of the model.
func Isolate(float, quantized *ir.Graph, result string) (*ir.Graph, error) {
	g := float.Clone()
	v, w := g.Value(result), quantized.Value(result)
	if v == nil || w == nil || v.Def == nil || w.Def == nil || len(v.Def.In) != len(w.Def.In) {
		return nil, fmt.Errorf("the graphs have no common layer with result %q", result)
	}
	p := rewrite.New(g, "isolate-layer", nil)
	for port, in := range w.Def.In {
		if in == nil {
			continue
		}
		if q := feeding(in); q != nil {
			x := v.Def.In[port]
			if q.In[0].IsStored() && x.IsStored() { // as learned rounding left it
				x = p.B.Const(x.Name+"/weight", q.In[0].Data)
			}
			args := []*ir.Value{x}
			for _, param := range q.In[1:] {
				if !param.IsStored() {
					return nil, fmt.Errorf("quantizer of %q: its parameter %q is computed", result, param.Name)
				}
				args = append(args, p.B.Const(param.Name, param.Data))
			}
			p.SetInput(v.Def, port, p.B.Op(q.Op, result+"/alone", args...))
			continue
		}
		if x := v.Def.In[port]; in.IsStored() && x != nil && x.IsStored() {
			p.SetInput(v.Def, port, p.B.Const(x.Name+"/bias", in.Data))
		}
	}
	// The normalization behind it has the correction of its bias.
	for _, u := range w.Uses() {
		if u.Node.Op.Kind() != "BatchNormalization" && u.Node.Op.Kind() != "Add" || len(v.Uses()) != 1 || len(w.Uses()) != 1 {
			continue
		}
		n := v.Uses()[0].Node
		for port, in := range u.Node.In {
			if x := n.In[port]; in != nil && in.IsStored() && x != nil && x.IsStored() {
				p.SetInput(n, port, p.B.Const(x.Name+"/alone", in.Data))
			}
		}
	}
	for i, out := range quantized.Outputs {
		q := feeding(out)
		if q == nil || !isProduct(w.Def) || layerBefore(q.In[0]) != w.Def || g.Outputs[i].Def == nil {
			continue
		}
		args := []*ir.Value{g.Outputs[i]}
		for _, param := range q.In[1:] {
			if !param.IsStored() {
				return nil, fmt.Errorf("quantizer of %q: its parameter %q is computed", result, param.Name)
			}
			args = append(args, p.B.Const(param.Name, param.Data))
		}
		g.Outputs[i] = p.B.Op(q.Op, result+"/alone", args...)
	}
	if err := p.Commit(); err != nil {
		return nil, err
	}
	return g, nil
}
