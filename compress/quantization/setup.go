package quantization

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

// Algorithm is quantization with its options.
type Algorithm struct{ Options Options }

var _ compress.Algorithm = Algorithm{}

// New returns the algorithm with the given options.
func New(o Options) compress.Algorithm { return Algorithm{o} }

// Name implements [compress.Algorithm].
func (Algorithm) Name() string { return Name }

// Priority implements [compress.Algorithm]: what is quantized is what other
// algorithms made of a weight.
func (Algorithm) Priority() compress.Priority { return compress.PriorityQuantize }

// Setup implements [compress.Algorithm]; the result is a *Setup. The graph must
// be canonical (see package pass).
func (a Algorithm) Setup(g *ir.Graph) (compress.Setup, error) {
	if err := errors.Join(a.Options.Validate(), a.Options.checkScopes(g)); err != nil {
		return nil, err
	}
	s, err := place(g, a.Options)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Setup is where quantizers go and what they are. It is plain data, which
// marshals to JSON and back.
type Setup struct {
	Quantizers []*Quantizer `json:"quantizers"`
	// Float lists the operators with real results that do not ask for quantized
	// inputs.
	Float     []Float                      `json:"float,omitempty"`
	BatchNorm compress.BatchNormAdaptation `json:"batchnorm_adaptation,omitzero"`
	// Precision, if bits are to be chosen by sensitivity, and Device, which says
	// among which. Layers is what was chosen.
	Precision *Precision       `json:"precision,omitempty"`
	Device    string           `json:"target_device,omitempty"`
	Layers    []LayerPrecision `json:"layers,omitempty"`
	// Stages of training, nil for none.
	Stages *compress.Stages `json:"stages,omitempty"`
	// ScaleFloor and ZeroPoint, see [Options].
	ScaleFloor float64 `json:"scale_floor,omitempty"`
	ZeroPoint  string  `json:"zero_point,omitempty"`
}

var _ compress.Setup = (*Setup)(nil)

// Quantizer is one quantizer: all Consumers read the quantized Value.
type Quantizer struct {
	Value string `json:"value"` // name in the graph that was set up
	Kind  Kind   `json:"kind"`
	Mode  Mode   `json:"mode"`
	Bits  int    `json:"bits"`

	// Signed says whether the grid has negative points; null until initialisation
	// decides it. Asymmetric quantizers have none.
	Signed *bool `json:"signed,omitempty"`

	// Axis has one range for each index; -1 for one range.
	Axis int `json:"axis"`

	// Narrow leaves the lowest point out, so that the grid is as wide to both
	// sides. Half uses the grid of one bit less, see [Options.OverflowFix].
	Narrow   bool `json:"narrow,omitempty"`
	Half     bool `json:"half,omitempty"`
	LogScale bool `json:"logarithm_scale,omitempty"`

	// Gradient, see [Gradient]; Elements is how many elements of a sample share a
	// range, of a weight how many in all.
	Gradient Gradient `json:"gradient,omitempty"`
	Elements int      `json:"elements,omitempty"`

	Consumers []Use `json:"consumers,omitempty"`
	// Output: the graph's output is the quantized value.
	Output bool `json:"output,omitempty"`

	// Group is the number that quantizers with the same range share, 0 for none.
	Group int `json:"group,omitempty"`

	// Rule says why it is there.
	Rule string `json:"rule"`

	Range Range `json:"range,omitzero"`
}

// PerChannel reports whether there are several ranges.
func (q *Quantizer) PerChannel() bool { return q.Axis >= 0 }

// Use is input Port of the node whose first result is named Node.
type Use struct {
	Node string `json:"node"`
	Port int    `json:"port"`
}

// Float is an operator that runs in float, and why.
type Float struct {
	Node string `json:"node"`
	Kind string `json:"kind"`
	Why  string `json:"why"`
}

// Algorithm implements [compress.Setup].
func (*Setup) Algorithm() string { return Name }

// Restore decodes a setup that was marshalled.
func Restore(raw json.RawMessage) (compress.Setup, error) {
	s := &Setup{}
	if err := compress.DecodeStrict(raw, s); err != nil {
		return nil, fmt.Errorf("quantization setup: %w", err)
	}
	for i, q := range s.Quantizers {
		if q == nil {
			return nil, fmt.Errorf("quantization setup: quantizer %d is null", i)
		}
		if errs := validateQuantizer(fmt.Sprintf("quantizer %d", i), q.Mode, q.Bits, q.Gradient); len(errs) > 0 || q.Mode == "" || q.Bits == 0 {
			return nil, fmt.Errorf("quantization setup: quantizer %d of %q: got mode %q and %d bits", i, q.Value, q.Mode, q.Bits)
		}
	}
	return s, nil
}

// Grid returns the ends of the integer grid and the number of its points. A
// symmetric grid whose sign is not known yet has negative points.
//
//	symmetric, signed      -2^(b-1) … 2^(b-1)-1, without the lowest if Narrow
//	symmetric, unsigned    0 … 2^b-1
//	asymmetric             0 … 2^b-1, or 1 … 2^b-1 if Narrow
//
// with b = Bits, or one less if Half.
func (q *Quantizer) Grid() (low, high, levels int) {
	b := q.Bits
	if q.Half {
		b--
	}
	signed := q.Mode == Symmetric && (q.Signed == nil || *q.Signed)
	low, high = 0, 1<<b-1
	if signed {
		low, high = -1<<(b-1), 1<<(b-1)-1
	}
	if q.Narrow && (signed || q.Mode == Asymmetric) {
		low++
	}
	return low, high, high - low + 1
}

// operator returns the operator of the quantizer's node.
func (q *Quantizer) operator(s *Setup) ir.Op {
	low, high, levels := q.Grid()
	clip := q.Gradient == GradientPACT
	if q.Mode == Asymmetric {
		o := op.FakeQuantizeAsymmetric{Levels: levels, Axis: q.Axis, LogRange: q.LogScale, ClipGrad: clip, Compatible: s.ZeroPoint == ZeroPointNNCF}
		if q.Gradient == GradientLSQ { // low is a shift, range is levels-1 steps
			o.LowGradScale = lsqFactor(q.Elements, levels-1)
			o.GradScale = float32((levels-1)*(levels-1)) * o.LowGradScale
		}
		return o
	}
	o := op.FakeQuantizeSymmetric{Levels: levels, Low: low, High: high, Axis: q.Axis, LogScale: q.LogScale, ClipGrad: clip,
		ExactSTE: q.Gradient == GradientExact || q.Gradient == GradientLSQ}
	if q.Gradient == GradientLSQ { // the scale is high steps
		o.GradScale = float32(high*high) * lsqFactor(q.Elements, high)
	}
	return o
}

// lsqFactor is LSQ's factor of the gradient of a step. A parameter that is k
// steps changes as the step does with k² times the factor: its gradient is a
// k-th of the step's, and a step of it is k steps.
func lsqFactor(elements, high int) float32 {
	return float32(1 / math.Sqrt(float64(max(1, elements))*float64(high)))
}
