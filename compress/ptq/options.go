package ptq

import (
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/quantization"
)

// DefaultSubset is how many samples ranges and means are taken from.
const DefaultSubset = 300

// Bias corrections.
const (
	FastBias = "fast" // by mean inputs; the default
	FullBias = "full" // layer after layer, on the quantized model
	NoBias   = "none"
)

// Alignments of channels.
const (
	AlignDepthwise = "depthwise" // those that only depthwise convolutions read; the default
	AlignAll       = "all"
	AlignNone      = "none"
)

// Options of quantization after training. The zero value is a good default.
type Options struct {
	// Subset is the number of samples; 0 means [DefaultSubset].
	Subset int `json:"subset_size,omitempty"`

	// Preset, if given, replaces that of the quantization algorithm: performance
	// (symmetric activations) or mixed (asymmetric ones).
	Preset string `json:"preset,omitempty"`

	// BiasCorrection is fast (default), full or none. Full runs the quantized
	// model on BiasSamples, by default a fifth of the subset.
	BiasCorrection string `json:"bias_correction,omitempty"`
	BiasSamples    int    `json:"bias_correction_samples,omitempty"`

	// AlignChannels says which channels of activations between convolutions are
	// evened out, see [Prepare]: those that only depthwise convolutions read
	// (default), where it costs the weights nothing; all; or none.
	AlignChannels string `json:"align_channels,omitempty"`

	// SmoothQuant moves outliers of activations into the weights of the matrix
	// products behind layer normalizations: 0 is off, otherwise the exponent of
	// the activations' range, 0.95 in the original, 0.5 in the paper.
	SmoothQuant float64 `json:"smooth_quant_alpha,omitempty"`

	// LearnRounding chooses for every weight whether it is rounded up or down, by
	// the error of the layer's result instead of that of the weight.
	LearnRounding bool `json:"learned_rounding,omitempty"`
}

// Validate reports all problems.
func (o Options) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Subset < 0 {
		fail("subset_size: got %d, want 1 or more", o.Subset)
	}
	switch o.Preset {
	case "", "performance", "mixed":
	default:
		fail("preset: got %q, want performance or mixed", o.Preset)
	}
	switch o.BiasCorrection {
	case "", FastBias, FullBias, NoBias:
	default:
		fail("bias_correction: got %q, want fast, full or none", o.BiasCorrection)
	}
	switch o.AlignChannels {
	case "", AlignDepthwise, AlignAll, AlignNone:
	default:
		fail("align_channels: got %q, want depthwise, all or none", o.AlignChannels)
	}
	if o.BiasSamples < 0 {
		fail("bias_correction_samples: got %d, want 0 or more", o.BiasSamples)
	}
	if !(o.SmoothQuant >= 0 && o.SmoothQuant <= 1) {
		fail("smooth_quant_alpha: got %g, want 0 to 1", o.SmoothQuant)
	}
	return errors.Join(errs...)
}

func (o Options) subset() int {
	if o.Subset == 0 {
		return DefaultSubset
	}
	return o.Subset
}

// biasSamples follows NNCF: a fifth of the subset.
func (o Options) biasSamples() int {
	if o.BiasSamples > 0 {
		return o.BiasSamples
	}
	return max(1, o.subset()/5)
}

// Algorithms adapts algorithms to a model that is not trained any further.
// Unless the configuration says otherwise, batch normalization keeps its
// statistics, and ranges are the extremes of the subset: training widens a range
// that clips, here nothing would, and clipping costs more than a coarser grid (on
// ResNet-20 the mean of the samples' extremes loses 14 dB at the scores).
func (o Options) Algorithms(list []compress.Algorithm) []compress.Algorithm {
	out := append([]compress.Algorithm(nil), list...)
	for i, a := range out {
		q, ok := a.(quantization.Algorithm)
		if !ok {
			continue
		}
		if o.Preset != "" {
			q.Options.Preset = o.Preset
		}
		if bn := &q.Options.Initializer.BatchNorm; bn.Samples == nil && bn.Steps == nil {
			bn.Samples = new(int)
		}
		if len(q.Options.Initializer.Range) == 0 {
			n := o.subset()
			q.Options.Initializer.Range = quantization.Ranges{{Type: "min_max", Samples: &n}}
		}
		out[i] = q
	}
	return out
}
