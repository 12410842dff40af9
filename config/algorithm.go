package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/binarization"
	"github.com/go-nncf/nncf/compress/distillation"
	"github.com/go-nncf/nncf/compress/pruning"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/compress/sparsity"
	"github.com/go-nncf/nncf/internal/cpu"
)

// algorithm is a row of the table of algorithms.
type algorithm struct {
	name string
	// make builds the algorithm from its section and the whole configuration.
	make func(section json.RawMessage, c *Config) (compress.Algorithm, error)
	// restore decodes a setup that a checkpoint kept.
	restore func(setup json.RawMessage) (compress.Setup, error)
}

var algorithms = []algorithm{
	{pruning.Name, makePruning, pruning.Restore},
	{quantization.Name, makeQuantization, quantization.Restore},
	{sparsity.Magnitude, makeMagnitude, sparsity.RestoreMagnitude},
	{sparsity.RB, makeRB, sparsity.RestoreRB},
	{sparsity.Constant, makeConstant, sparsity.RestoreConstant},
	{sparsity.Movement, makeMovement, sparsity.RestoreMovement},
	{binarization.Name, makeBinarization, binarization.Restore},
	{distillation.Name, makeDistillation, distillation.Restore},
}

func makeQuantization(section json.RawMessage, c *Config) (compress.Algorithm, error) {
	o, err := decodeSection[quantization.Options](section)
	if err != nil {
		return nil, err
	}
	if o.TargetDevice == "" {
		o.TargetDevice = c.TargetDevice
	}
	o.Ignored = append(slices.Clone(c.IgnoredScopes), o.Ignored...)
	if p := &o.Initializer.Precision; p.TracesFile != "" {
		p.TracesFile = c.Path(p.TracesFile)
	}
	if o.OverflowFix == "" || o.OverflowFix == "auto" {
		d, err := quantization.DeviceFor(o.TargetDevice)
		if err != nil {
			return nil, err
		}
		o.OverflowFix = overflowFix(o, d)
	}
	return quantization.New(o), errors.Join(o.Validate(), writable(o, c.Output.Format))
}

// writable reports widths that the format of the exported file cannot hold, which
// would otherwise show after training.
func writable(o quantization.Options, format string) error {
	if format != "fakequantize" {
		return nil
	}
	var errs []error
	check := func(key string, bits int) {
		if bits > 8 {
			errs = append(errs, fmt.Errorf("%s.bits: got %d, want at most 8 with output.format fakequantize: OpenVINO drops wider quantizers", key, bits))
		}
	}
	check("weights", o.Weights.Bits)
	check("activations", o.Activations.Bits)
	for _, v := range slices.Concat(o.ScopeOverrides.Both, o.ScopeOverrides.Weights, o.ScopeOverrides.Activations) {
		check("scope_overrides."+v.Scope, v.Bits)
	}
	return errors.Join(errs...)
}

func makeBinarization(section json.RawMessage, c *Config) (compress.Algorithm, error) {
	o, err := decodeSection[binarization.Options](section)
	if err != nil {
		return nil, err
	}
	o.Ignored = append(slices.Clone(c.IgnoredScopes), o.Ignored...)
	return binarization.New(o), o.Validate()
}

// overflowFix decides what a configuration leaves open: runtimes on x86
// processors without VNNI saturate full-range 8-bit weights, and lose points of
// accuracy by it; elsewhere 7 bits would only lose precision. The machine at
// hand stands for the one that will run the model.
func overflowFix(o quantization.Options, d *quantization.Device) string {
	if cpu.Int8Saturates() && !o.DisableSaturationFix && d.Saturates {
		return "enable"
	}
	return "disable"
}

// decodeSection decodes an algorithm's section, whose keys are all known; the
// name of the algorithm is left out.
func decodeSection[T any](section json.RawMessage) (o T, err error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(section, &keys); err != nil {
		return o, err
	}
	delete(keys, "algorithm")
	rest, err := json.Marshal(keys)
	if err != nil {
		return o, err
	}
	d := json.NewDecoder(bytes.NewReader(rest))
	d.DisallowUnknownFields()
	err = d.Decode(&o)
	if key, ok := strings.CutPrefix(fmt.Sprint(err), "json: unknown field "); ok { // the schema knows it
		err = fmt.Errorf("%s: %s", unsupported, strings.Trim(key, `"`))
	}
	return o, err
}

// Algorithms makes the algorithms of the compression section, in its order.
// Those of the original that are not built yet, and options that are refused,
// are reported together.
func (c *Config) Algorithms() ([]compress.Algorithm, error) {
	var list []compress.Algorithm
	var errs []error
	for i, s := range c.Compression {
		fail := func(err error) {
			e := s.place
			if e.Path == "" { // not read from a file
				e.File, e.Path = "configuration", fmt.Sprintf("compression[%d]", i)
			}
			e.Reason = err.Error()
			errs = append(errs, &e)
		}
		k := slices.IndexFunc(algorithms, func(a algorithm) bool { return a.name == s.Algorithm })
		if k < 0 {
			fail(fmt.Errorf("%s: algorithm %s", unsupported, s.Algorithm))
			continue
		}
		a, err := algorithms[k].make(s.JSON, c)
		if err != nil {
			for _, err := range split(err) {
				fail(err)
			}
			continue
		}
		list = append(list, a)
	}
	return list, errors.Join(errs...)
}

// RestoreSetup decodes the setup of an algorithm that a checkpoint kept.
func RestoreSetup(name string, setup json.RawMessage) (compress.Setup, error) {
	for _, a := range algorithms {
		if a.name == name {
			return a.restore(setup)
		}
	}
	return nil, fmt.Errorf("unknown algorithm %q", name)
}
