package binarization

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-nncf/nncf/compress"
)

// Name is the algorithm's name in configurations.
const Name = "binarization"

// Mode is how weights are scaled.
type Mode string

// The modes.
const (
	XNOR   Mode = "xnor"   // a mean size of each filter (Rastegari et al. 2016)
	DoReFa Mode = "dorefa" // one of the whole tensor (Zhou et al. 2016)
)

// Options is the binarization section of an NNCF configuration. The zero value
// binarizes everything from epoch 1 on.
type Options struct {
	Algorithm string `json:"algorithm,omitempty"` // "binarization" or empty
	Mode      Mode   `json:"mode,omitempty"`      // default xnor
	compress.Scopes
	Initializer Initializer     `json:"initializer,omitzero"`
	Params      compress.Stages `json:"params,omitzero"`
}

// Initializer says how statistics are adapted at each switch.
type Initializer struct {
	BatchNorm compress.BatchNormAdaptation `json:"batchnorm_adaptation,omitzero"`

	// Refused: there are neither ranges nor bit widths to choose.
	Range     json.RawMessage `json:"range,omitempty"`
	Precision json.RawMessage `json:"precision,omitempty"`
}

// Validate reports all problems of the options that do not depend on a graph.
func (o Options) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Algorithm != "" && o.Algorithm != Name {
		fail("algorithm: got %q, want %s", o.Algorithm, Name)
	}
	if o.Mode != "" && o.Mode != XNOR && o.Mode != DoReFa {
		fail("mode: got %q, want %s or %s", o.Mode, XNOR, DoReFa)
	}
	for _, f := range []struct {
		key string
		raw json.RawMessage
	}{{"range", o.Initializer.Range}, {"precision", o.Initializer.Precision}} {
		if s := strings.TrimSpace(string(f.raw)); s != "" && s != "null" && s != "{}" {
			fail("initializer.%s: binarization has nothing to initialise by it; leave it out", f.key)
		}
	}
	if err := o.Initializer.BatchNorm.Validate(); err != nil {
		fail("initializer.batchnorm_adaptation: %w", err)
	}
	if err := o.Params.Validate(); err != nil {
		fail("params: %w", err)
	}
	return errors.Join(errs...)
}
