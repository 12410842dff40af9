package sensitivity

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// Ratio is a number of 0 or more that JSON may not have: infinity is null.
type Ratio float64

// MarshalJSON implements json.Marshaler.
func (v Ratio) MarshalJSON() ([]byte, error) { return Decibels(v).MarshalJSON() }

// UnmarshalJSON implements json.Unmarshaler.
func (v *Ratio) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*v = Ratio(math.Inf(1))
		return nil
	}
	return json.Unmarshal(b, (*float64)(v))
}

// BySample are the relative errors ‖y−x‖₂/‖x‖₂ of a value y against x, sample by
// sample: one odd image says nothing about the others, as it does where the
// squares of all samples are added up.
type BySample struct {
	Median Ratio `json:"median_error"`
	// Bound is what the median over all images that the samples are drawn from does
	// not exceed, with a confidence of 95 %: that order statistic of the samples; of
	// fewer than 5 the worst.
	Bound Ratio `json:"median_bound"`
	Worst Ratio `json:"worst_error"`
	// WorstSample counts from 0 in the order in which samples were run.
	WorstSample int `json:"worst_sample"`
	Samples     int `json:"error_samples"` // 0: values have no axis of samples, and were counted by batch
}

// SQNR is that of the median sample, in decibels.
func (b BySample) SQNR() Decibels { return Decibels(-20 * math.Log10(float64(b.Median))) }

// OutputError is how far one output of a model is from the float model's.
type OutputError struct {
	Output string `json:"output"`
	BySample
	// SQNR is that of the median sample, in decibels.
	SQNR Decibels `json:"sqnr_db"`
}

// samples collects errors sample by sample.
type samples struct {
	all    Difference // of all samples together
	errors []float64
	rows   bool
}

// add compares a batch of n samples; values whose first axis is not n long count
// as one.
func (s *samples) add(x, y *tensor.Tensor, n int) {
	rows := 1
	if x.Rank() > 0 && x.Shape()[0] == n {
		rows = n
	}
	s.rows = s.rows || rows == n
	if x.Len() == 0 {
		return
	}
	row := x.Len() / rows
	for i := range rows {
		var d Difference
		d.Add(x.F32()[i*row:][:row], y.F32()[i*row:][:row])
		s.errors = append(s.errors, d.RelativeError())
		s.all.join(d)
	}
}

// summary is the median, and the worst sample.
func (s *samples) summary() (b BySample) {
	if len(s.errors) == 0 {
		return b
	}
	if s.rows {
		b.Samples = len(s.errors)
	}
	for i, e := range s.errors {
		if Ratio(e) > b.Worst {
			b.Worst, b.WorstSample = Ratio(e), i
		}
	}
	sorted := slices.Sorted(slices.Values(s.errors))
	k := len(sorted) / 2
	b.Median = Ratio(sorted[k])
	if len(sorted)%2 == 0 {
		b.Median = Ratio((sorted[k-1] + sorted[k]) / 2)
	}
	b.Bound = Ratio(sorted[boundRank(len(sorted))-1])
	return b
}

// boundRank returns the smallest k for which the median of a distribution exceeds
// the k-th smallest of n samples with a probability of at most 5 %: at least k of
// them then lie below the median, each with probability ½.
func boundRank(n int) int {
	below := 0.0 // probability of fewer than k
	for k := 1; k < n; k++ {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(k))
		c, _ := math.Lgamma(float64(n - k + 2))
		below += math.Exp(a - b - c - float64(n)*math.Ln2) // exactly k-1
		if below >= 0.95 {
			return k
		}
	}
	return n
}

// Reference is what the outputs of a float model are on samples, which other
// graphs are compared with. All of them are in memory.
type Reference struct {
	r       compress.Runner
	names   []string
	data    func() compress.Batches
	batches [][]*tensor.Tensor // outputs, nil for those that are not float
	counts  []int              // samples
	Samples int
	shapes  map[string][]int // of the inputs
}

// NewReference runs the float model once over data, which starts over at each
// call.
func NewReference(ctx context.Context, r compress.Runner, float *ir.Graph, data func() compress.Batches) (*Reference, error) {
	ref := &Reference{r: r, data: data}
	for _, v := range float.Outputs {
		ref.names = append(ref.names, v.Name)
	}
	watched := func(yield func([]*tensor.Tensor, error) bool) {
		for x, err := range data() {
			if err == nil {
				n := 1
				if len(x) > 0 && x[0].Rank() > 0 {
					n = x[0].Shape()[0]
				}
				ref.counts = append(ref.counts, n)
				ref.Samples += n
				if ref.shapes == nil {
					ref.shapes = map[string][]int{}
					for i, v := range float.Inputs {
						ref.shapes[v.Name] = x[i].Shape().Clone()
					}
				}
			}
			if !yield(x, err) {
				return
			}
		}
	}
	var err error
	if ref.batches, err = outputs(ctx, r, float, watched); err != nil {
		return nil, fmt.Errorf("sensitivity: float model: %w", err)
	}
	if len(ref.batches) == 0 {
		return nil, fmt.Errorf("sensitivity: float model: there are no samples")
	}
	return ref, nil
}

// Errors runs g, which has the float model's outputs in their order, and compares
// the float ones.
func (ref *Reference) Errors(ctx context.Context, g *ir.Graph) ([]OutputError, error) {
	if len(g.Outputs) != len(ref.names) {
		return nil, fmt.Errorf("sensitivity: got a model with %d outputs, want %d", len(g.Outputs), len(ref.names))
	}
	all := make([]samples, len(ref.names))
	batch := 0
	err := ref.r.Run(ctx, g, g.Outputs, ref.data(), func(got []*tensor.Tensor) error {
		for i, y := range got {
			x := ref.batches[batch][i]
			if x.DType() != tensor.Float32 {
				continue
			}
			if !x.Shape().Equal(y.Shape()) || y.DType() != tensor.Float32 {
				return fmt.Errorf("output %q: got %v %v, want %v %v", ref.names[i], y.DType(), y.Shape(), x.DType(), x.Shape())
			}
			all[i].add(x, y, ref.counts[batch])
		}
		batch++
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sensitivity: %w", err)
	}
	var list []OutputError
	for i := range all {
		if len(all[i].errors) == 0 {
			continue
		}
		b := all[i].summary()
		list = append(list, OutputError{Output: ref.names[i], BySample: b, SQNR: b.SQNR()})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("sensitivity: the model has no output of type float32")
	}
	return list, nil
}

// WorstOutput returns the output with the largest error, see [BySample].Bound.
func WorstOutput(list []OutputError) OutputError {
	return slices.MaxFunc(list, func(a, b OutputError) int {
		switch {
		case a.Bound < b.Bound:
			return -1
		case a.Bound > b.Bound:
			return 1
		}
		return 0
	})
}

// Unit is an operator that reads quantized values, and what that alone does to
// the outputs.
type Unit struct {
	Scope  string // for ignored_scopes
	Result string
	Bits   int // the least of what it reads
	Errors []OutputError
	// Worst is the one with the largest error.
	Worst OutputError
	// Layers are those that leave integers if the operator returns to float: itself,
	// if it is one, and those whose results it reads; MACs are their multiplications
	// of one sample.
	Layers []LayerMACs
	MACs   int64
}

// LayerMACs are the multiplications of the layer with a result.
type LayerMACs struct {
	Result string
	MACs   int64
}

func (u *Unit) take(n *ir.Node, macs map[string]int64) {
	l := LayerMACs{n.Out[0].Name, macs[n.Out[0].Name]}
	if l.MACs > 0 && !slices.Contains(u.Layers, l) {
		u.Layers = append(u.Layers, l)
		u.MACs += l.MACs
	}
}

// Units measures, one after another, every operator with quantized inputs,
// against the float model that the quantized one was made from. ref may be that
// of another graph that computes the same.
func Units(ctx context.Context, ref *Reference, float, quantized *ir.Graph, progress func(done, all int, scope string)) ([]Unit, error) {
	macs := costs(float, ref.shapes)
	var list []Unit
	for _, n := range float.Nodes() {
		if len(n.Out) == 0 || n.Out[0] == nil {
			continue
		}
		w := quantized.Value(n.Out[0].Name)
		if w == nil || w.Def == nil || w.Def.Op.Kind() != n.Op.Kind() || moves(w.Def) {
			continue
		}
		u := Unit{Scope: n.Label(), Result: n.Out[0].Name}
		if isProduct(n) {
			u.take(n, macs)
		}
		for _, in := range w.Def.In {
			if in == nil {
				continue
			}
			q := feeding(in)
			if q == nil {
				continue
			}
			if b := bits(q); u.Bits == 0 || b < u.Bits {
				u.Bits = b
			}
			if l := layerBefore(q.In[0]); l != nil {
				u.take(l, macs)
			}
		}
		if u.Bits > 0 {
			list = append(list, u)
		}
	}
	for i := range list {
		u := &list[i]
		if progress != nil {
			progress(i, len(list), u.Scope)
		}
		g, err := Isolate(float, quantized, u.Result)
		if err != nil {
			return nil, fmt.Errorf("sensitivity: %w", err)
		}
		errs, err := ref.Errors(ctx, g)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", u.Scope, err)
		}
		u.Errors, u.Worst = errs, WorstOutput(errs)
	}
	return list, nil
}

// moves reports whether n only moves values, so that what is quantized in front
// of it is meant for its readers.
func moves(n *ir.Node) bool {
	t, ok := n.Op.(ir.QuantTraited)
	return ok && (t.QuantTrait() == ir.QuantAgnostic || t.QuantTrait() == ir.QuantConcat)
}

// layerBefore returns the layer whose result v is, perhaps normalized, cut off or
// moved; nil if there is none.
func layerBefore(v *ir.Value) *ir.Node {
	for v.Def != nil {
		if isProduct(v.Def) {
			return v.Def
		}
		switch v.Def.Op.Kind() {
		case "BatchNormalization", "Relu", "Clip":
		default:
			if !moves(v.Def) {
				return nil
			}
		}
		if v.Def.In[0] == nil {
			return nil
		}
		v = v.Def.In[0]
	}
	return nil
}

// IntegerMACs counts the multiplications of one sample that runtimes carry out on
// integers of at most 8 bits, and all: those of layers whose weight and input lie
// on such grids, of convolutions with a result that nothing reads otherwise.
func (ref *Reference) IntegerMACs(g *ir.Graph) (integer, all int64) {
	for name, n := range costs(g, ref.shapes) {
		v := g.Value(name)
		if v == nil || v.Def == nil || !isProduct(v.Def) {
			continue
		}
		all += n
		if onIntegers(g, v.Def) {
			integer += n
		}
	}
	return integer, all
}

// isProduct reports whether n is a layer, whatever its operands.
func isProduct(n *ir.Node) bool {
	switch n.Op.(type) {
	case op.Conv, op.ConvTranspose, op.Gemm, op.MatMul:
		return true
	}
	return false
}

const integerBits = 8

func onIntegers(g *ir.Graph, n *ir.Node) bool {
	if _, transposed := n.Op.(op.ConvTranspose); transposed { // runtimes compute it in float
		return false
	}
	for _, in := range n.In[:2] {
		if q := feeding(in); q == nil || bits(q) > integerBits {
			return false
		}
	}
	_, conv := n.Op.(op.Conv)
	return !conv || readOnIntegers(g, n.Out[0])
}

// readOnIntegers reports whether v, perhaps normalized or cut off, is quantized
// to at most 8 bits for whoever reads it.
func readOnIntegers(g *ir.Graph, v *ir.Value) bool {
	if slices.Contains(g.Outputs, v) || len(v.Uses()) == 0 {
		return false
	}
	for _, u := range v.Uses() {
		switch u.Node.Op.Kind() {
		case "BatchNormalization", "Relu", "Clip":
			if len(v.Uses()) != 1 || !readOnIntegers(g, u.Node.Out[0]) {
				return false
			}
		default:
			if !op.ReadsShape(u.Node) && (!op.IsFakeQuantizer(u.Node) || bits(u.Node) > integerBits) {
				return false
			}
		}
	}
	return true
}
