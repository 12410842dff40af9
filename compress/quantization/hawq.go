package quantization

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/hessian"
	"github.com/go-nncf/nncf/compress/precision"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// This file chooses bits by sensitivity (HAWQ-V2):
//
//  1. traces of the Hessian by layer, of the float model        package hessian
//  2. ‖W - Q_b(W)‖² by layer and width, by the real quantizers
//  3. the cost of each layer and width
//  4. the configuration of least harm for the wanted ratio      package precision
//  5. bits of the weights, and with them of activations

// PrecisionReport is how bits were chosen.
type PrecisionReport struct {
	Layers []LayerPrecision `json:"layers"`
	// Wanted is the ratio that was asked for, of Cost.
	Wanted     float64 `json:"compression_ratio"`
	Cost       string  `json:"cost"`
	Assignment string  `json:"bitwidth_assignment_mode"`
	// Traces says how traces were estimated; nil if a file had them.
	Traces *hessian.Result `json:"trace_estimation,omitempty"`
	// Configurations are all that were tried, of both searches, and the chosen one.
	Configurations []Tried `json:"configurations"`
	Chosen         Tried   `json:"chosen"`
	Least          float64 `json:"least_ratio"`
	Largest        float64 `json:"largest_ratio"`
	// Fronts are the configurations that no other one of their search beats.
	OrderedFront []precision.Config `json:"ordered_front"`
	ExactFront   []precision.Config `json:"exact_front,omitempty"`
	// BitsPerScope is the choice as manual precision, ready to be pasted.
	BitsPerScope []ScopeBits `json:"bitwidth_per_scope"`
}

// Tried is a configuration with the search that tried it; bits are in the order
// of the layers.
type Tried struct {
	Search string `json:"search"`
	precision.Config
}

// LayerPrecision is one layer.
type LayerPrecision struct {
	Weight   string `json:"weight"`
	Layer    string `json:"layer"`
	Operator string `json:"operator"`
	Elements int    `json:"elements"`
	// Trace is the average Hessian trace with its standard error.
	Trace  float64 `json:"trace"`
	StdErr float64 `json:"stderr"`
	// Perturbation is ‖W - Q(W)‖², CostAt the cost, by bits.
	Perturbation map[int]float64 `json:"perturbation"`
	CostAt       map[int]float64 `json:"cost"`
	FLOPs        int64           `json:"flops"` // of one sample; a multiply-accumulate is two
	Bits         int             `json:"bits"`
	InputBits    int             `json:"activation_bits"`
}

// Precision returns how bits were chosen by sensitivity in this run; nil if they
// were not.
func (c *Controller) Precision() *PrecisionReport { return c.report }

// choosePrecision does what the package's options of mixed precision ask for.
func (c *Controller) choosePrecision(ctx context.Context, r compress.Runner, cal compress.Calibration) error {
	o := c.setup.Precision
	if !o.searches() {
		return nil
	}
	shapes, err := sampleShapes(c.float, cal)
	if err != nil {
		return err
	}
	layers, err := c.findLayers(shapes)
	if err != nil {
		return err
	}
	if len(layers) == 0 {
		return errors.New("no layer has a quantized weight")
	}
	d, err := DeviceFor(c.setup.Device)
	if err != nil {
		return err
	}
	s := &selection{seconds: map[latencyKey]float64{}, c: c, o: o, d: d, layers: layers, shapes: shapes,
		report: &PrecisionReport{Wanted: o.ratio(), Cost: o.cost(), Assignment: o.assignment()}}
	for _, step := range []func(context.Context, compress.Runner, compress.Calibration) error{s.traces, s.perturbations, s.search} {
		if err := step(ctx, r, cal); err != nil {
			return err
		}
	}
	if err := s.apply(); err != nil {
		return err
	}
	c.report = s.report
	c.setup.Layers = s.report.Layers
	if cal.Note != nil {
		cal.Note("bits chosen by the %s search: metric %.4g, ratio %.3f of at most %.3f; bits of weights %v",
			s.report.Chosen.Search, s.report.Chosen.Metric, s.report.Chosen.Ratio, s.report.Largest, s.report.Chosen.Bits)
	}
	return nil
}

func (p *Precision) cost() string       { return cmp.Or(p.Cost, CostMACs) }
func (p *Precision) assignment() string { return cmp.Or(p.Assignment, "liberal") }

// sampleShapes returns the shapes of the inputs for one sample.
func sampleShapes(g *ir.Graph, cal compress.Calibration) (map[string][]int, error) {
	for b, err := range cal.Batches(1) {
		if err != nil {
			return nil, err
		}
		shapes := map[string][]int{}
		for i, v := range g.Inputs {
			s := slices.Clone(b[i].Shape())
			if len(s) > 0 {
				s[0] = 1
				if n, fixed := v.Type.Dims[0].Known(); fixed {
					s[0] = n
				}
			}
			shapes[v.Name] = s
		}
		return shapes, nil
	}
	return nil, errors.New("there were no data")
}

// selection is one choice of bits.
type selection struct {
	c      *Controller
	o      *Precision
	d      *Device
	layers []*layer
	shapes map[string][]int
	report *PrecisionReport
	bits   []int // chosen, by layer
	// seconds are measured latencies: each layer and width is measured once.
	seconds map[latencyKey]float64
}

// traces estimates the traces, or reads them.
func (s *selection) traces(ctx context.Context, r compress.Runner, cal compress.Calibration) error {
	names := make([]string, len(s.layers))
	for i, l := range s.layers {
		n := l.nodes[0]
		names[i] = l.weight.Value
		s.report.Layers = append(s.report.Layers, LayerPrecision{Weight: names[i], Layer: n.Label(), Operator: n.Op.Kind(),
			FLOPs: 2 * l.macs, Perturbation: map[int]float64{}, CostAt: map[int]float64{}})
	}
	if s.o.TracesFile != "" {
		return s.readTraces(s.o.TracesFile)
	}
	res, err := hessian.Traces(ctx, r, s.c.float, names, hessian.Data{Batches: cal.Batches, Labelled: cal.Labelled, Loss: hessian.Loss(cal.Loss), Cache: cal.Cache, Note: cal.Note},
		hessian.Options{Points: s.o.Points, Iterations: s.o.Iterations, Tolerance: s.o.tolerance(), Error: s.o.TraceError})
	if err != nil {
		return err
	}
	s.report.Traces = res
	for i, t := range res.Traces {
		s.report.Layers[i].Trace, s.report.Layers[i].StdErr = t.Mean, t.StdErr
	}
	return nil
}

// readTraces reads traces_per_layer_path.
func (s *selection) readTraces(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("traces_per_layer_path: %w", err)
	}
	var list []float64
	if json.Unmarshal(raw, &list) != nil {
		var f struct {
			Layers []LayerPrecision `json:"layers"`
		}
		if json.Unmarshal(raw, &f) != nil || f.Layers == nil {
			return fmt.Errorf("traces_per_layer_path: %s is neither a JSON list of numbers nor a report of nncf inspect --precision", path)
		}
		for _, l := range f.Layers {
			list = append(list, l.Trace)
		}
	}
	if len(list) != len(s.layers) {
		return fmt.Errorf("traces_per_layer_path: %s has %d traces, want %d", path, len(list), len(s.layers))
	}
	for i, t := range list {
		if math.IsNaN(t) || math.IsInf(t, 0) {
			return fmt.Errorf("traces_per_layer_path: %s: trace %d is %g", path, i, t)
		}
		s.report.Layers[i].Trace = t
	}
	return nil
}

// widths are the bits that a layer may have: those asked for that the device
// runs, or else the bits it has.
func (s *selection) widths(l *layer) []int {
	want := s.o.Bits
	if len(want) == 0 {
		want = []int{2, 4, 8}
	}
	var list []int
	for _, b := range slices.Compact(sorted(want)) {
		ok := true
		for _, n := range l.nodes {
			ok = ok && slices.Contains(s.d.WeightBits(n.Op.Kind()), b)
		}
		if ok {
			list = append(list, b)
		}
	}
	if len(list) == 0 {
		list = []int{l.weight.Bits}
	}
	return list
}

// perturbations measures ‖W - Q_b(W)‖² with the real quantizers, initialised at
// each width as the configuration says.
func (s *selection) perturbations(ctx context.Context, r compress.Runner, cal compress.Calibration) error {
	values, err := s.weights(ctx, r, cal)
	if err != nil {
		return err
	}
	for i, l := range s.layers {
		x := l.weight
		now := *x.Quantizer
		for _, b := range s.widths(l) {
			*x.Quantizer = now.withBits(b)
			if err := s.c.initFrom(x, values[i]); err != nil {
				return err
			}
			p, err := x.perturbation(s.c.setup, values[i])
			if err != nil {
				return err
			}
			s.report.Layers[i].Perturbation[b] = p
		}
		*x.Quantizer = now
		s.report.Layers[i].Elements = values[i].Len()
	}
	return nil
}

// weights returns the values of the weights: stored ones as they are, those that
// other algorithms compute by a run of the model.
func (s *selection) weights(ctx context.Context, r compress.Runner, cal compress.Calibration) ([]*tensor.Tensor, error) {
	values := make([]*tensor.Tensor, len(s.layers))
	var want []*ir.Value
	var at []int
	for i, l := range s.layers {
		if v := l.weight.value; v.IsStored() {
			values[i] = v.Data
		} else {
			want, at = append(want, v), append(at, i)
		}
	}
	if len(want) == 0 {
		return values, nil
	}
	err := r.Run(ctx, s.c.float, want, cal.Take(0, 1), func(got []*tensor.Tensor) error {
		for k, t := range got {
			values[at[k]] = t.Clone()
		}
		return nil
	})
	return values, err
}

// initFrom initialises the range of one weight.
func (c *Controller) initFrom(x *placed, t *tensor.Tensor) error {
	if x.Range.off() {
		return nil
	}
	o := newObserver(x.Range, x.Quantizer, x.layout(t.Shape()))
	for {
		o.batch(t.F32(), 1)
		if !o.again() {
			break
		}
	}
	if err := x.collected(o); err != nil {
		return err
	}
	low, high := x.want.low, x.want.high
	if x.Mode == Symmetric && !x.fixed {
		x.Signed = signIf(x.want.negative).ptr()
	}
	x.want = nil
	x.setRange(low, high, c.setup.ScaleFloor)
	return nil
}

// perturbation is the squared distance between a weight and its quantized form.
func (x *placed) perturbation(setup *Setup, w *tensor.Tensor) (float64, error) {
	in := []*tensor.Tensor{w}
	for _, p := range x.params {
		in = append(in, p.Data)
	}
	out, err := x.operator(setup).(ir.Evaluator).Eval(in)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for i, q := range out[0].F32() {
		d := float64(q) - float64(w.F32()[i])
		sum += d * d
	}
	return sum, nil
}

// search builds the problem and solves it.
func (s *selection) search(ctx context.Context, _ compress.Runner, cal compress.Calibration) error {
	p := &precision.Problem{}
	for i, l := range s.layers {
		r := &s.report.Layers[i]
		x := precision.Layer{Name: r.Layer, Trace: r.Trace}
		for _, b := range s.widths(l) {
			cost, err := s.costOf(ctx, cal, l, b)
			if err != nil {
				return err
			}
			r.CostAt[b] = cost
			x.Choices = append(x.Choices, precision.Choice{Bits: b, Cost: cost, Metric: max(0, r.Trace) * r.Perturbation[b]})
		}
		base, err := s.costOf(ctx, cal, l, 8)
		if err != nil {
			return err
		}
		p.Base += base
		p.Layers = append(p.Layers, x)
	}
	if s.o.assignment() == "strict" {
		if err := s.tie(p); err != nil {
			return err
		}
	}
	res, err := precision.Search(ctx, p, s.o.ratio(), cmp.Or(s.o.Search, precision.Auto))
	if err != nil {
		return err
	}
	s.bits = res.Chosen.Bits
	rep := s.report
	rep.Chosen = Tried{res.Search, res.Chosen}
	rep.Least, rep.Largest, rep.OrderedFront, rep.ExactFront = res.Low, res.High, res.OrderedFront, res.ExactFront
	for _, c := range res.Ordered {
		rep.Configurations = append(rep.Configurations, Tried{precision.ByTrace, c})
	}
	for _, c := range res.ExactFront {
		rep.Configurations = append(rep.Configurations, Tried{precision.OverAll, c})
	}
	return nil
}

// tie adds the groups of strict assignment, and takes from each layer the bits
// that some activation of its group cannot have.
func (s *selection) tie(p *precision.Problem) error {
	groups, acts := s.c.tied(s.layers)
	for i, g := range groups {
		for _, k := range g {
			l := &p.Layers[k]
			l.Choices = slices.DeleteFunc(slices.Clone(l.Choices), func(c precision.Choice) bool {
				return slices.ContainsFunc(acts[i], func(x *placed) bool { return !s.canHave(x, c.Bits) })
			})
		}
		if len(g) > 1 {
			p.Tied = append(p.Tied, g)
		}
	}
	return nil
}

// canHave reports whether the device runs an activation at these bits wherever it
// is read by a layer.
func (s *selection) canHave(x *placed, bits int) bool {
	for _, n := range readers(x.node.Out[0]) {
		if isLayer(n) && !slices.Contains(s.d.ActivationBits(n.Op.Kind()), bits) {
			return false
		}
	}
	return true
}

// inputBits are the bits at which a layer with such a weight reads its input: the
// same, or else the next more that the device has, or its most.
func (s *selection) inputBits(l *layer, bits int) int {
	have := sorted(s.d.ActivationBits(l.nodes[0].Op.Kind()))
	for _, b := range have {
		if b >= bits {
			return b
		}
	}
	if len(have) == 0 {
		return bits
	}
	return have[len(have)-1]
}

// costOf is the cost of a layer at a width.
func (s *selection) costOf(ctx context.Context, cal compress.Calibration, l *layer, bits int) (float64, error) {
	wide := bits
	if len(l.inputs) > 0 {
		wide = max(bits, s.inputBits(l, bits))
	}
	switch s.o.cost() {
	case CostBytes:
		return float64(l.weight.value.Type.MustShape().Numel()) * float64(bits) / 8, nil
	case CostLatency:
		return s.latency(ctx, cal, l, bits, wide)
	}
	return 2 * float64(l.macs) * float64(wide), nil
}
