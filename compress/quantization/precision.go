package quantization

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/precision"
	"github.com/go-nncf/nncf/ir"
)

// Kinds of mixed precision.
const (
	Manual = "manual"
	HAWQ   = "hawq"
)

// What a layer costs, see [Precision].
const (
	CostMACs    = "macs"
	CostBytes   = "bytes"
	CostLatency = "latency"
)

// Precision is mixed precision: different bits for different layers (Kozlov et
// al., 2020, section 3.4). The zero value leaves all bits as they are.
type Precision struct {
	// Type is "manual" (default), bits by scope; or "hawq", bits by sensitivity:
	// Hessian trace times perturbation (see package hessian and package precision).
	Type string `json:"type,omitempty"`

	// BitsPerScope are the entries of manual precision; later ones win. An entry
	// that names a layer stands for its weight and its input, one that names
	// another operator for what it computes.
	BitsPerScope []ScopeBits `json:"bitwidth_per_scope,omitempty"`

	// Bits are the widths that hawq chooses among; default 2, 4, 8, as far as the
	// target device has them.
	Bits []int `json:"bits,omitempty"`
	// Ratio is the least ratio of the cost at 8 bits to the cost; default 1.5.
	Ratio *float64 `json:"compression_ratio,omitempty"`
	// Assignment of activations is "liberal" (default): every layer reads its input
	// at the bits of its weight, or at the nearest that the device has; a value
	// that is read at different bits gets a quantizer for each. "strict": all
	// quantizers around an operator, and around their other operators, have the
	// same bits.
	Assignment string `json:"bitwidth_assignment_mode,omitempty"`
	// Cost is what the ratio counts: "macs" (default), FLOPs times the larger bits of
	// weight and input; "bytes" of the weights; or "latency" of each layer, measured
	// by [compress.Calibration].
	Cost string `json:"cost,omitempty"`
	// Search is "auto" (default), "exact" or "ordered", see [precision.Search].
	Search string `json:"search,omitempty"`

	// How traces are estimated, see [hessian.Options]. The defaults are 100 points,
	// 200 iterations, and a tolerance of 1e-4; a tolerance of 0 never ends it.
	Points     int      `json:"num_data_points,omitempty"`
	Iterations int      `json:"iter_number,omitempty"`
	Tolerance  *float64 `json:"tolerance,omitempty"`
	// TraceError ends the estimation when no trace has a larger relative standard
	// error; default 0.05, negative never.
	TraceError float64 `json:"trace_error,omitempty"`
	// TracesFile has average traces instead: a JSON list of numbers in the order of
	// the layers, or what nncf inspect --precision --json prints.
	TracesFile string `json:"traces_per_layer_path,omitempty"`

	// Dump is accepted: the numbers are always reported.
	Dump bool `json:"dump_init_precision_data,omitempty"`

	// Of the type autoq, which is refused.
	EvalSubset   float64         `json:"eval_subset_ratio,omitempty"`
	WarmUp       int             `json:"warmup_iter_number,omitempty"`
	FineTuning   json.RawMessage `json:"finetuning_params,omitempty"`
	NoConstraint bool            `json:"skip_constraint,omitempty"`
}

// ScopeBits is one entry of bitwidth_per_scope: [bits, scope], or [bits, scope,
// "weights" or "activations"].
type ScopeBits struct {
	Bits  int
	Scope string
	Group string
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *ScopeBits) UnmarshalJSON(b []byte) error {
	var list []json.RawMessage
	bad := func() error { return fmt.Errorf("bitwidth_per_scope: got %.60s, want [bits, scope]", b) }
	if json.Unmarshal(b, &list) != nil || len(list) < 2 || len(list) > 3 {
		return bad()
	}
	*s = ScopeBits{}
	if json.Unmarshal(list[0], &s.Bits) != nil || json.Unmarshal(list[1], &s.Scope) != nil || len(list) == 3 && json.Unmarshal(list[2], &s.Group) != nil {
		return bad()
	}
	return nil
}

// MarshalJSON implements json.Marshaler.
func (s ScopeBits) MarshalJSON() ([]byte, error) {
	if s.Group != "" {
		return json.Marshal([]any{s.Bits, s.Scope, s.Group})
	}
	return json.Marshal([]any{s.Bits, s.Scope})
}

// IsZero reports whether there is no mixed precision.
func (p Precision) IsZero() bool {
	return p.Type == "" && len(p.BitsPerScope) == 0 && len(p.Bits) == 0 && p.Ratio == nil
}

// searches reports whether bits are chosen by sensitivity.
func (p *Precision) searches() bool { return p != nil && p.Type == HAWQ }

// Validate reports all problems.
func (p Precision) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	oneOf := func(key, got string, want ...string) {
		if got != "" && !slices.Contains(want, got) {
			fail("%s: got %q, want one of %s", key, got, strings.Join(want, ", "))
		}
	}
	switch p.Type {
	case "autoq": // told by [Options.Validate]
	case "manuak": // in a configuration that the original shipped
	default:
		oneOf("type", p.Type, Manual, HAWQ)
	}
	oneOf("bitwidth_assignment_mode", p.Assignment, "liberal", "strict")
	oneOf("cost", p.Cost, CostMACs, CostBytes, CostLatency)
	oneOf("search", p.Search, precision.Auto, precision.OverAll, precision.ByTrace)
	for i, e := range p.BitsPerScope {
		if e.Bits < 2 || e.Bits > maxBits {
			fail("bitwidth_per_scope[%d]: got %d bits, want 2 to %d", i, e.Bits, maxBits)
		}
		oneOf(fmt.Sprintf("bitwidth_per_scope[%d]", i), e.Group, "weights", "activations")
		if re, ok := strings.CutPrefix(e.Scope, "{re}"); ok {
			if _, err := regexp.Compile(re); err != nil {
				fail("bitwidth_per_scope[%d]: %w", i, err)
			}
		}
	}
	for _, b := range p.Bits {
		if b < 2 || b > maxBits {
			fail("bits: got %d, want 2 to %d", b, maxBits)
		}
	}
	if p.Type == HAWQ && len(p.BitsPerScope) > 0 {
		fail("bitwidth_per_scope: is for type manual, got type hawq")
	}
	if r := p.Ratio; r != nil && (!(*r >= 1) || math.IsInf(*r, 0)) {
		fail("compression_ratio: got %g, want 1 (8 bits everywhere) or more, up to 8 over the fewest bits", *r)
	}
	if p.Points < 0 || p.Iterations < 0 {
		fail("num_data_points and iter_number: got %d and %d, want 0 or more", p.Points, p.Iterations)
	}
	return errors.Join(errs...)
}

// tolerance is that of package hessian, where 0 is the default.
func (p Precision) tolerance() float64 {
	switch {
	case p.Tolerance == nil:
		return 0
	case *p.Tolerance == 0:
		return -1
	}
	return *p.Tolerance
}

func (p Precision) ratio() float64 {
	if p.Ratio == nil {
		return 1.5
	}
	return *p.Ratio
}

// bitsOf returns the bits that manual entries give a quantizer asked for by n,
// or before. producer is the node that computes the quantized value, nil for
// weights.
func (p Precision) bitsOf(before int, kind Kind, n, producer *ir.Node) int {
	for _, e := range p.BitsPerScope {
		if e.Group != "" && e.Group != string(kind)+"s" {
			continue
		}
		scope := e.scope()
		hit := compress.Match(scope, n) && (kind == Weight || isLayer(n) && reads(n, producer))
		if producer != nil && !isLayer(producer) && compress.Match(scope, producer) {
			hit = true
		}
		if hit {
			before = e.Bits
		}
	}
	return before
}

// reads reports whether n reads what producer computes; a nil producer stands
// for an input of the model.
func reads(n, producer *ir.Node) bool {
	return producer == nil || slices.ContainsFunc(n.In, func(v *ir.Value) bool { return v != nil && v.Def == producer })
}

var (
	originalTarget = regexp.MustCompile(`^TargetType\.\w+ `)
	originalInner  = regexp.MustCompile(`Quantizer\[(.*/.*)\]$`)
	originalWeight = regexp.MustCompile(`/ModuleDict\[pre_ops\].*$`)
)

// scope returns the entry's scope in a form that [compress.Match] knows, without
// what the original's names of quantizers put around it:
//
//	TargetType.OPERATOR_POST_HOOK SCOPE
//	SCOPE/ModuleDict[pre_ops]/UpdateWeight[0]/AsymmetricQuantizer[op]
//	NNCFNetwork/ModuleDict[external_quantizers]/SymmetricQuantizer[SCOPE]
func (e ScopeBits) scope() string {
	s := originalTarget.ReplaceAllString(e.Scope, "")
	if m := originalInner.FindStringSubmatch(s); m != nil {
		return m[1]
	}
	return originalWeight.ReplaceAllString(s, "")
}

// checkPrecision reports manual entries that no quantizer has taken its bits
// from, and bits that the device does not run.
func (p *placer) checkPrecision() error {
	list := p.o.Initializer.Precision.BitsPerScope
	var errs []error
	taken := make([]bool, len(list))
	for _, q := range p.setup.Quantizers {
		var around, layers []*ir.Node // operators that an entry may name
		if d := p.g.Value(q.Value).Def; q.Kind == Activation && d != nil && !isLayer(d) {
			around = append(around, d)
		}
		for _, u := range q.Consumers {
			for _, n := range onTheWay(p.g.Value(u.Node).Def) {
				if isLayer(n) {
					layers = append(layers, n)
				}
				if isLayer(n) || q.Kind == Activation && moves(n) {
					around = append(around, n)
				}
			}
		}
		for i, e := range list {
			if e.Group != "" && e.Group != string(q.Kind)+"s" || !slices.ContainsFunc(around, func(n *ir.Node) bool { return compress.Match(e.scope(), n) }) {
				continue
			}
			taken[i] = true
			for _, n := range layers {
				if have := p.widths(q.Kind, n); q.Bits == e.Bits && !slices.Contains(have, e.Bits) {
					errs = append(errs, fmt.Errorf("bitwidth_per_scope[%d]: got %d bits for the %s of %s (%s), target_device %s runs %v",
						i, e.Bits, map[Kind]string{Weight: "weight", Activation: "input"}[q.Kind], n.Label(), n.Op.Kind(), p.device.Name, sorted(have)))
				}
			}
		}
	}
	for i, e := range list {
		if taken[i] {
			continue
		}
		if err := (compress.Scopes{Target: compress.Entries{e.scope()}}).Check(p.g); err != nil {
			errs = append(errs, fmt.Errorf("bitwidth_per_scope[%d]: %w", i, err))
			continue
		}
		errs = append(errs, fmt.Errorf("bitwidth_per_scope[%d]: no quantizer belongs to %q: it names no quantized layer, and no operator whose result is quantized", i, e.Scope))
	}
	return errors.Join(dedupe(errs)...)
}

func moves(n *ir.Node) bool {
	t := trait(n)
	return t == ir.QuantAgnostic || t == ir.QuantConcat
}

// onTheWay returns n, and if it only moves values, all up to the operators that
// compute with what it moves.
func onTheWay(n *ir.Node) []*ir.Node {
	list := []*ir.Node{n}
	if !moves(n) {
		return list
	}
	for _, v := range n.Out {
		if v != nil {
			for _, u := range v.Uses() {
				list = append(list, onTheWay(u.Node)...)
			}
		}
	}
	return list
}

func (p *placer) widths(kind Kind, n *ir.Node) []int {
	if kind == Weight {
		return p.device.WeightBits(n.Op.Kind())
	}
	return p.device.ActivationBits(n.Op.Kind())
}

func sorted(list []int) []int { return slices.Sorted(slices.Values(list)) }

func dedupe(errs []error) []error {
	slices.SortStableFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return slices.CompactFunc(errs, func(a, b error) bool { return a.Error() == b.Error() })
}

// withBits returns the quantizer at another width, as placement would have made
// it from q: half range is for 8 bits alone.
func (q Quantizer) withBits(bits int) Quantizer {
	if bits == q.Bits {
		return q
	}
	if q.Half {
		q.Half = false
		q.Narrow = q.Mode == Symmetric
	}
	if q.Kind == Weight && q.Mode == Asymmetric {
		q.Narrow = false
	}
	q.Bits = bits
	return q
}
