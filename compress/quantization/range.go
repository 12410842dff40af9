package quantization

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/compress"
)

// Kind is what a quantizer quantizes.
type Kind string

// The kinds, as in target_quantizer_group but singular.
const (
	Weight     Kind = "weight"
	Activation Kind = "activation"
)

// Range says how the ranges of quantizers are initialised. Type is one of
//
//	mixed_min_max    (default) one range per tensor: the highest of a symmetric
//	                 quantizer is the mean over samples of each sample's largest
//	                 |x|, its lowest that of all values; of an asymmetric one both
//	                 are means over samples. Per channel and for weights: min_max
//	min_max          the extremes of all values
//	mean_min_max     the mean over samples of each sample's extremes, the highest of
//	                 |x| if symmetric
//	median_min_max   the median over samples of the same
//	percentile       percentiles of all values, interpolated, exact
//	mean_percentile  the mean over samples of each sample's percentiles
//	threesigma       median ± 3·1.4826·MAD of all values that are not zero, where
//	                 MAD is the median distance from the median
//	mse              the range whose grid has the least mean square error
//	kl               the range whose grid keeps the distribution of the values
//	                 best: the least Kullback–Leibler divergence between them
//
// "median", "histogram" and "three_sigma" are other names of median_min_max, mse
// and threesigma.
//
// Weights are one sample. Everything works in constant memory, but for two
// numbers per sample and channel of the median: what needs to know more runs over
// the data twice or three times instead of keeping them. No result depends on how
// samples are cut into batches, unless Params.PerBatch asks for it.
type Range struct {
	Type    string `json:"type,omitempty"`
	Samples *int   `json:"num_init_samples,omitempty"` // default 256, 0 leaves ranges alone
	Steps   *int   `json:"num_init_steps,omitempty"`   // batches instead of samples
	Params  Params `json:"params,omitzero"`

	// Percentiles as old configurations give them, beside the type.
	MinPercentile *float64 `json:"min_percentile,omitempty"`
	MaxPercentile *float64 `json:"max_percentile,omitempty"`

	// Which quantizers, if there are several entries.
	compress.Scopes
	Group string `json:"target_quantizer_group,omitempty"`
}

// Params are the parameters of some range types.
type Params struct {
	MinPercentile *float64 `json:"min_percentile,omitempty"` // default 0.1
	MaxPercentile *float64 `json:"max_percentile,omitempty"` // default 99.9

	// ZerosInDeviation takes threesigma's MAD over all values, zeros included,
	// around the median of the others, as NNCF 2.14 does.
	ZerosInDeviation bool `json:"zeros_in_deviation,omitempty"`

	// PerBatch takes mean_min_max and mean_percentile over batches instead of
	// samples, as the original does.
	PerBatch bool `json:"per_batch,omitempty"`
}

// Ranges is one Range or a list of them.
type Ranges []Range

// UnmarshalJSON implements json.Unmarshaler.
func (r *Ranges) UnmarshalJSON(b []byte) error {
	*r = nil
	if s := strings.TrimSpace(string(b)); strings.HasPrefix(s, "[") {
		var list []Range
		if err := compress.DecodeStrict(b, &list); err != nil {
			return err
		}
		*r = list
		return nil
	}
	var one Range
	if err := compress.DecodeStrict(b, &one); err != nil {
		return err
	}
	*r = Ranges{one}
	return nil
}

const defaultSamples = 256

var rangeTypes = []string{"mixed_min_max", "min_max", "mean_min_max", "median_min_max", "percentile", "mean_percentile", "threesigma", "mse", "kl"}

// rangeAliases are other names of range types.
var rangeAliases = map[string]string{"median": "median_min_max", "histogram": "mse", "three_sigma": "threesigma"}

// Validate reports all problems.
func (r Range) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if r.Type != "" && !slices.Contains(rangeTypes, r.name()) {
		fail("type: got %q, want one of %s", r.Type, strings.Join(rangeTypes, ", "))
	}
	if r.Samples != nil && *r.Samples < 0 {
		fail("num_init_samples: got %d, want 0 or more", *r.Samples)
	}
	if r.Steps != nil && *r.Steps < 0 {
		fail("num_init_steps: got %d, want 0 or more", *r.Steps)
	}
	if r.Samples != nil && r.Steps != nil {
		fail("num_init_samples and num_init_steps: got both, want one")
	}
	if lo, hi := r.percentiles(); !(lo >= 0 && lo < hi && hi <= 100) {
		fail("percentiles: got %g and %g, want 0 ≤ min < max ≤ 100", lo, hi)
	}
	if !slices.Contains([]string{"", "weights", "activations"}, r.Group) {
		fail("target_quantizer_group: got %q, want weights or activations", r.Group)
	}
	return errors.Join(errs...)
}

// Name is the type, with the default.
func (r Range) name() string {
	if r.Type == "" {
		return rangeTypes[0]
	}
	if name, ok := rangeAliases[r.Type]; ok {
		return name
	}
	return r.Type
}

func (r Range) percentiles() (lo, hi float64) {
	lo, hi = 0.1, 99.9
	for _, p := range []*float64{r.MinPercentile, r.Params.MinPercentile} {
		if p != nil {
			lo = *p
		}
	}
	for _, p := range []*float64{r.MaxPercentile, r.Params.MaxPercentile} {
		if p != nil {
			hi = *p
		}
	}
	return lo, hi
}

// amount returns how many samples, or else batches, to take.
func (r Range) amount() (samples, steps int) {
	switch {
	case r.Steps != nil:
		return 0, *r.Steps
	case r.Samples != nil:
		return *r.Samples, 0
	}
	return defaultSamples, 0
}

// off reports whether nothing is to be initialised.
func (r Range) off() bool {
	samples, steps := r.amount()
	return samples == 0 && steps == 0
}
