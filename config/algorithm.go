package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/quantization"
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
	{quantization.Name, makeQuantization, quantization.Restore},
}

func makeQuantization(section json.RawMessage, c *Config) (compress.Algorithm, error) {
	o, err := decodeSection[quantization.Options](section)
	if err != nil {
		return nil, err
	}
	if o.TargetDevice == "" {
		o.TargetDevice = c.TargetDevice
	}
	return quantization.New(o), o.Validate()
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
	return o, d.Decode(&o)
}

// later lists algorithms of the original that are understood and not built yet.
var later = []string{"binarization", "const_sparsity", "filter_pruning", "magnitude_sparsity", "rb_sparsity"}

// Algorithms makes the algorithms of the compression section, in its order.
func (c *Config) Algorithms() ([]compress.Algorithm, error) {
	var list []compress.Algorithm
	var errs []error
	for i, s := range c.Compression {
		k := slices.IndexFunc(algorithms, func(a algorithm) bool { return a.name == s.Algorithm })
		switch {
		case k >= 0:
			a, err := algorithms[k].make(s.JSON, c)
			if err != nil {
				errs = append(errs, fmt.Errorf("compression[%d] (%s): %w", i, s.Algorithm, err))
				continue
			}
			list = append(list, a)
		case slices.Contains(later, s.Algorithm):
			errs = append(errs, fmt.Errorf("compression[%d]: algorithm %q is not supported yet", i, s.Algorithm))
		default:
			var names []string
			for _, a := range algorithms {
				names = append(names, a.name)
			}
			errs = append(errs, fmt.Errorf("compression[%d]: unknown algorithm %q, want one of %s", i, s.Algorithm, strings.Join(names, ", ")))
		}
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
