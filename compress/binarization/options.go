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

// Scale is where the scale of binarized activations starts; thresholds start at
// half of it.
type Scale string

// The starts.
const (
	// Top is the original's, and the default: the smallest of the largest
	// thousandth of the values. Few activations are above half of it at first.
	Top Scale = "top"
	// MSE is the scale of the least mean squared error between values and 0 or
	// scale: the mean of the values above half of it (Lloyd's algorithm). Training
	// starts from a better network, which counts in short runs.
	MSE Scale = "mse"
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

// Initializer says how scales start when activations are switched on, and how
// statistics are adapted at each switch.
type Initializer struct {
	// Scale is how the scale of activations is taken from the data, see [Scale].
	// Ours.
	Scale     Scale                        `json:"scale,omitempty"`
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
	if s := o.Initializer.Scale; s != "" && s != Top && s != MSE {
		fail("initializer.scale: got %q, want %s or %s", s, Top, MSE)
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
