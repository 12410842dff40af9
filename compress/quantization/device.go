package quantization

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
)

//go:embed devices/*.json
var deviceFiles embed.FS

// Device is what a target device runs on integers. The table of devices is the
// folder devices, one JSON file each; these are its fields.
type Device struct {
	Name    string   `json:"target_device"`
	Aliases []string `json:"aliases,omitempty"`
	Comment string   `json:"comment,omitempty"`

	// Weights and Activations hold for every operator that Operators does not name.
	Weights     Widths `json:"weights"`
	Activations Widths `json:"activations"`

	// Operators are exceptions, by ONNX operator.
	Operators map[string]struct {
		Weights     *Widths `json:"weights,omitempty"`
		Activations *Widths `json:"activations,omitempty"`
	} `json:"operators,omitempty"`

	// Unified names operators whose inputs must share one range.
	Unified []string `json:"unified,omitempty"`

	// Float names operators that compute in float although others run them on
	// integers.
	Float []string `json:"float,omitempty"`

	// FunctionInputs quantizes the inputs of activation functions and of arithmetic
	// behind the last layer too.
	FunctionInputs bool `json:"function_inputs,omitempty"`

	// Saturates: 8-bit weights may overflow on processors of this kind that lack
	// VNNI, see [Options.OverflowFix].
	Saturates bool `json:"saturates,omitempty"`
}

// Widths are the bits that may be asked for, and the defaults of a group.
type Widths struct {
	Bits       []int `json:"bits"`
	PerChannel bool  `json:"per_channel,omitempty"`
	Signed     bool  `json:"signed,omitempty"` // unless the configuration says otherwise
}

// Devices returns the known devices by name.
func Devices() ([]Device, error) {
	files, err := deviceFiles.ReadDir("devices")
	if err != nil {
		return nil, err
	}
	var list []Device
	for _, f := range files {
		b, err := deviceFiles.ReadFile(path.Join("devices", f.Name()))
		if err != nil {
			return nil, err
		}
		var d Device
		if err := compress.DecodeStrict(b, &d); err != nil {
			return nil, fmt.Errorf("devices/%s: %w", f.Name(), err)
		}
		list = append(list, d)
	}
	return list, nil
}

// DeviceFor returns the device of that name or alias, in any case; no name is
// ANY.
func DeviceFor(name string) (*Device, error) {
	if name == "" {
		name = "ANY"
	}
	list, err := Devices()
	if err != nil {
		return nil, err
	}
	var names []string
	for i, d := range list {
		for _, s := range append([]string{d.Name}, d.Aliases...) {
			if strings.EqualFold(s, name) {
				return &list[i], nil
			}
			names = append(names, s)
		}
	}
	return nil, fmt.Errorf("target_device: got %q, want one of %s", name, strings.Join(names, ", "))
}

// WeightBits and ActivationBits return the widths that the device runs for an
// operator, in the order of the file.
func (d *Device) WeightBits(operator string) []int {
	if o, ok := d.Operators[operator]; ok && o.Weights != nil {
		return o.Weights.Bits
	}
	return d.Weights.Bits
}

// ActivationBits is documented with WeightBits.
func (d *Device) ActivationBits(operator string) []int {
	if o, ok := d.Operators[operator]; ok && o.Activations != nil {
		return o.Activations.Bits
	}
	return d.Activations.Bits
}

// check reports widths that no operator of the device has.
func (d *Device) check(o Options) (errs []error) {
	weights, activations := d.all(d.Weights.Bits, d.WeightBits), d.all(d.Activations.Bits, d.ActivationBits)
	want := func(key string, bits int, some []int) {
		if bits >= 2 && bits <= maxBits && !slices.Contains(some, bits) {
			errs = append(errs, fmt.Errorf("%s.bits: got %d, want one of %v for target_device %s", key, bits, some, d.Name))
		}
	}
	want("weights", o.Weights.Bits, weights)
	want("activations", o.Activations.Bits, activations)
	for _, v := range o.ScopeOverrides.Both {
		want("scope_overrides."+v.Scope, v.Bits, slices.Compact(slices.Sorted(slices.Values(slices.Concat(weights, activations)))))
	}
	for _, v := range o.ScopeOverrides.Weights {
		want("scope_overrides.weights."+v.Scope, v.Bits, weights)
	}
	for _, v := range o.ScopeOverrides.Activations {
		want("scope_overrides.activations."+v.Scope, v.Bits, activations)
	}
	return errs
}

// all returns the widths of any operator, in order.
func (d *Device) all(bits []int, of func(operator string) []int) []int {
	all := slices.Clone(bits)
	for op := range d.Operators {
		all = append(all, of(op)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// unifies reports whether all inputs of n share one range.
func (p *placer) unifies(n *ir.Node) bool {
	return slices.Contains(p.device.Unified, n.Op.Kind())
}

// sharing says why quantizers share a range, for rules.
func (p *placer) sharing(members []*Quantizer) string {
	for _, q := range members {
		for _, id := range p.groups[q] {
			if id < 0 {
				return "unified_scale_ops asks"
			}
		}
	}
	if len(p.device.Unified) == 1 && p.device.Unified[0] == "Concat" {
		return "all inputs of a concatenation do"
	}
	return "all inputs of " + strings.Join(p.device.Unified, ", ") + " do"
}
