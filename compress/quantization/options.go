package quantization

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
)

// Name is the algorithm's name in configurations.
const Name = "quantization"

// maxBits is the widest grid.
const maxBits = 16

// Mode is how a quantizer maps numbers to its grid.
type Mode string

// The modes.
const (
	Symmetric  Mode = "symmetric"  // a trained scale; zero is in the middle, or at the end
	Asymmetric Mode = "asymmetric" // a trained interval
)

// The placements, see [Options].
const (
	PlacementComplete = "complete"
	PlacementNNCF     = "nncf"
)

// Gradient is the form of the gradients of scales and ranges. All let elements
// outside the grid move its ends; they differ in what the elements inside do,
// whose error is q-x:
//
//	""/"nncf"   inside, divided by the width of the grid, as the original does
//	"exact"     the derivative of the straight-through form: a symmetric scale
//	            counts the inside twice as much if the grid is signed
//	"lsq"       exact, times what makes the relative change of a step as large as
//	            that of weights: 1/√(N·H) for the gradient of the step, with N
//	            elements per range and sample, and H the highest point (arXiv 1902.08153)
//	"pact"      the inside does not count (arXiv 1805.06085). Weight decay on the
//	            ranges, a parameter group of the optimizer, is the other half of PACT
type Gradient string

// The gradients.
const (
	GradientNNCF  Gradient = "nncf"
	GradientExact Gradient = "exact"
	GradientLSQ   Gradient = "lsq"
	GradientPACT  Gradient = "pact"
)

// The rules for the interval of asymmetric quantizers, see [Options].
const (
	ZeroPointExact = "exact"
	ZeroPointNNCF  = "nncf"
)

// Options is the quantization section of an NNCF configuration. The zero value
// is a good default.
type Options struct {
	Algorithm string `json:"algorithm,omitempty"` // "quantization" or empty

	// Preset is "performance" (default) or "mixed", which makes activations
	// asymmetric.
	Preset string `json:"preset,omitempty"`

	// TargetDevice is ANY (default), CPU, GPU, NPU (or VPU) or TRIAL, see [Device].
	// TRIAL quantizes the inputs of activation functions too, shares no ranges, and
	// has per-tensor weights by default.
	TargetDevice string `json:"target_device,omitempty"`

	// Placement is "complete" (default): besides the inputs of operators that run
	// on integers, the result of every convolution is quantized, without which ONNX
	// Runtime computes the convolution in float. "nncf" is the original
	// implementation's placement, which leaves convolutions in front of SiLU, of
	// gates and of concatenations in float.
	Placement string `json:"placement,omitempty"`

	Weights     Group `json:"weights,omitzero"`
	Activations Group `json:"activations,omitzero"`

	compress.Scopes

	QuantizeInputs *bool `json:"quantize_inputs,omitempty"` // default true
	// QuantizeOutputs quantizes all outputs of the graph. If it is not given, those
	// that are the result of a convolution are, see Placement.
	QuantizeOutputs *bool `json:"quantize_outputs,omitempty"`

	ScopeOverrides Overrides `json:"scope_overrides,omitzero"`

	Initializer Initializer `json:"initializer,omitzero"`

	// OverflowFix keeps 8-bit weights to 7 bits, for processors whose integer
	// products saturate (x86 without VNNI): "disable" (default), "enable" for all
	// weights, "first_layer_only". The original implementation enables it unless
	// told otherwise.
	OverflowFix          string `json:"overflow_fix,omitempty"`
	DisableSaturationFix bool   `json:"disable_saturation_fix,omitempty"` // older key

	// DepthwisePerChannel gives the input of a depthwise convolution one range per
	// channel, as the original implementation does. ONNX Runtime cannot run that.
	DepthwisePerChannel bool `json:"depthwise_per_channel,omitempty"`

	// ExactGradient is gradient "exact" for weights and activations.
	ExactGradient bool `json:"exact_gradient,omitempty"`

	// ZeroPoint is "exact" (default): zero is always a point of an asymmetric grid;
	// or "nncf", the original's rule, which misses it when it lies within half a step
	// of an end.
	ZeroPoint string `json:"zero_point,omitempty"`

	// ScaleFloor is the smallest scale that initialisation gives a symmetric
	// quantizer; 0 (default) for none but what keeps dead channels finite. The
	// original implementation's is 0.1, which costs networks with small weights or
	// activations most of their grid.
	ScaleFloor float64 `json:"scale_floor,omitempty"`

	// ONNXStandardOps is accepted: files are written with QuantizeLinear and
	// DequantizeLinear unless the export says otherwise.
	ONNXStandardOps bool `json:"export_to_onnx_standard_ops,omitempty"`

	// Patterns have no effect: placement follows the graph. The original ignores
	// them too since version 2.
	Patterns json.RawMessage `json:"quantizable_subgraph_patterns,omitempty"`

	// Params, unless empty, train in stages: activations are quantized from one
	// epoch on, weights from another.
	Params *compress.Stages `json:"params,omitempty"`
}

// Group are the options of weights or of activations.
type Group struct {
	Mode       Mode  `json:"mode,omitempty"` // default symmetric
	Bits       int   `json:"bits,omitempty"` // 2 to 16, default 8
	Signed     *bool `json:"signed,omitempty"`
	PerChannel *bool `json:"per_channel,omitempty"`
	LogScale   bool  `json:"logarithm_scale,omitempty"` // train the logarithm of the scale

	// NarrowRange leaves the lowest point out of the grid, so that it is as wide to
	// both sides: by default of weights of 8 bits, as runtimes want them.
	NarrowRange *bool `json:"narrow_range,omitempty"`

	// Gradient chooses how scales and ranges learn, see [Gradient].
	Gradient Gradient `json:"gradient,omitempty"`

	compress.Scopes

	// UnifiedScaleOps, of activations, are groups of operators whose inputs share one
	// range; each is named as in [compress.Scopes]. LinkedScopes is the older name.
	UnifiedScaleOps [][]string `json:"unified_scale_ops,omitempty"`
	LinkedScopes    [][]string `json:"linked_quantizer_scopes,omitempty"`
}

// Initializer says how ranges and statistics are initialised.
type Initializer struct {
	Range     Ranges                       `json:"range,omitempty"`
	BatchNorm compress.BatchNormAdaptation `json:"batchnorm_adaptation,omitzero"`
	Precision Precision                    `json:"precision,omitzero"`
}

// Validate reports all problems of the options that do not depend on a graph.
func (o Options) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	oneOf := func(key, got string, want ...string) {
		if got != "" && !slices.Contains(want, got) {
			fail("%s: got %q, want one of %s", key, got, strings.Join(want, ", "))
		}
	}
	oneOf("algorithm", o.Algorithm, Name)
	oneOf("preset", o.Preset, "performance", "mixed")
	if d, err := DeviceFor(o.TargetDevice); err != nil {
		errs = append(errs, err)
	} else {
		errs = append(errs, d.check(o)...)
	}
	oneOf("placement", o.Placement, PlacementComplete, PlacementNNCF)
	oneOf("zero_point", o.ZeroPoint, ZeroPointExact, ZeroPointNNCF)
	oneOf("overflow_fix", o.OverflowFix, "enable", "disable", "first_layer_only")
	if o.DisableSaturationFix && o.OverflowFix != "" && o.OverflowFix != "disable" {
		fail("disable_saturation_fix: contradicts overflow_fix %q", o.OverflowFix)
	}
	if !(o.ScaleFloor >= 0 && o.ScaleFloor <= math.MaxFloat32) {
		fail("scale_floor: got %g, want 0 or more", o.ScaleFloor)
	}
	if o.Params != nil {
		errs = append(errs, prefix("params", o.Params.Validate()))
	}
	if o.Initializer.Precision.Type == "autoq" {
		fail("not supported yet: initializer.precision.type autoq; hawq chooses bits too")
	}
	errs = append(errs, prefix("initializer.precision", o.Initializer.Precision.Validate()))
	for _, g := range []struct {
		key string
		Group
	}{{"weights", o.Weights}, {"activations", o.Activations}} {
		errs = append(errs, validateQuantizer(g.key, g.Mode, g.Bits, g.Gradient)...)
	}
	for _, l := range []struct {
		key  string
		list []Override
	}{{"scope_overrides", o.ScopeOverrides.Both}, {"scope_overrides.weights", o.ScopeOverrides.Weights}, {"scope_overrides.activations", o.ScopeOverrides.Activations}} {
		for _, v := range l.list {
			key := l.key + "." + v.Scope
			errs = append(errs, validateQuantizer(key, v.Mode, v.Bits, v.Gradient)...)
			if !v.Initializer.Precision.IsZero() {
				fail("%s.initializer.precision: got mixed precision for one scope, want it once, in initializer.precision", key)
			}
			for _, r := range v.Initializer.Range {
				errs = append(errs, prefix(key+".initializer.range", r.Validate()))
			}
		}
	}
	for i, r := range o.Initializer.Range {
		key := "initializer.range"
		if len(o.Initializer.Range) > 1 {
			key = fmt.Sprintf("%s[%d]", key, i)
		}
		errs = append(errs, prefix(key, r.Validate()))
	}
	errs = append(errs, prefix("initializer.batchnorm_adaptation", o.Initializer.BatchNorm.Validate()))
	return errors.Join(errs...)
}

func prefix(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", key, err)
}

func validateQuantizer(key string, m Mode, bits int, grad Gradient) (errs []error) {
	if !slices.Contains([]Gradient{"", GradientNNCF, GradientExact, GradientLSQ, GradientPACT}, grad) {
		errs = append(errs, fmt.Errorf("%s.gradient: got %q, want nncf, exact, lsq or pact", key, grad))
	}
	if m != "" && m != Symmetric && m != Asymmetric {
		errs = append(errs, fmt.Errorf("%s.mode: got %q, want symmetric or asymmetric", key, m))
	}
	if bits != 0 && (bits < 2 || bits > maxBits) {
		hint := ""
		if bits == 1 {
			hint = "; one bit is algorithm binarization"
		}
		errs = append(errs, fmt.Errorf("%s.bits: got %d, want 2 to %d%s", key, bits, maxBits, hint))
	}
	return errs
}

// checkScopes reports scope entries that match nothing in g.
func (o Options) checkScopes(g *ir.Graph) error {
	var errs []error
	add := func(key string, s compress.Scopes) { errs = append(errs, prefixAll(key, s.Check(g))) }
	add("", o.Scopes)
	add("weights", o.Weights.Scopes)
	add("activations", o.Activations.Scopes)
	for _, group := range o.unified() {
		add("activations.unified_scale_ops", compress.Scopes{Target: group})
	}
	if len(o.Weights.UnifiedScaleOps)+len(o.Weights.LinkedScopes) > 0 {
		errs = append(errs, errors.New("weights.unified_scale_ops: only activations share ranges; shared weights have one quantizer"))
	}
	for i, r := range o.Initializer.Range {
		add(fmt.Sprintf("initializer.range[%d]", i), r.Scopes)
	}
	for _, list := range [][]Override{o.ScopeOverrides.Both, o.ScopeOverrides.Weights, o.ScopeOverrides.Activations} {
		for _, v := range list {
			add("scope_overrides", compress.Scopes{Target: compress.Entries{v.Scope}})
		}
	}
	return errors.Join(errs...)
}

func prefixAll(key string, err error) error {
	if err == nil || key == "" {
		return err
	}
	return fmt.Errorf("%s.%w", key, err)
}

// device is that of a validated configuration.
func (o Options) device() Device {
	d, err := DeviceFor(o.TargetDevice)
	if err != nil {
		return Device{}
	}
	return *d
}

func (o Options) quantizeOutputs() bool { return o.QuantizeOutputs != nil && *o.QuantizeOutputs }

func (o Options) unified() [][]string {
	return append(slices.Clone(o.Activations.UnifiedScaleOps), o.Activations.LinkedScopes...)
}

func (o Options) quantizeInputs() bool { return o.QuantizeInputs == nil || *o.QuantizeInputs }

// considered reports whether a group of quantizers includes the node: with
// target scopes of the algorithm or the group, whether either list has it;
// otherwise whether neither list of ignored scopes has it.
func (o Options) considered(g Group, n *ir.Node) bool {
	if o.Target != nil || g.Target != nil {
		return compress.MatchAny(o.Target, n) || compress.MatchAny(g.Target, n)
	}
	return !compress.MatchAny(o.Ignored, n) && !compress.MatchAny(g.Ignored, n)
}
