package config

import (
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/ptq"
)

// PostTraining are the options of quantization after training, which nncf
// quantize reads and training does not. The names are those of the parameters of
// NNCF's quantize and quantize_with_accuracy_control; keys marked ours are beside
// them. The zero value is a good default.
type PostTraining struct {
	// SubsetSize is the number of calibration samples; default 300.
	SubsetSize int `json:"subset_size,omitempty"`
	// Preset is performance (symmetric activations) or mixed (asymmetric ones); it
	// replaces that of the quantization section.
	Preset string `json:"preset,omitempty"`
	// FastBiasCorrection: true (default) corrects biases by the mean inputs of
	// layers, false layer after layer on the quantized model.
	FastBiasCorrection *bool                `json:"fast_bias_correction,omitempty"`
	Advanced           AdvancedPostTraining `json:"advanced_parameters,omitzero"`
	AccuracyControl    PostTrainingControl  `json:"accuracy_control,omitzero"`
}

// AdvancedPostTraining are the advanced parameters of [PostTraining].
type AdvancedPostTraining struct {
	DisableBiasCorrection bool `json:"disable_bias_correction,omitempty"`
	// BiasSamples are those that the full bias correction runs on; default a fifth of
	// the subset. Ours.
	BiasSamples int `json:"bias_correction_samples,omitempty"`
	// DisableChannelAlignment is false by default, unlike in the original. AlignChannels
	// says which channels are evened out: depthwise (default), all or none. Ours.
	DisableChannelAlignment *bool             `json:"disable_channel_alignment,omitempty"`
	AlignChannels           string            `json:"align_channels,omitempty"`
	SmoothQuantAlphas       SmoothQuantAlphas `json:"smooth_quant_alphas,omitzero"`
	// LearnedRounding chooses for every weight whether it is rounded up or down. Ours.
	LearnedRounding bool `json:"learned_rounding,omitempty"`
}

// SmoothQuantAlphas are exponents, of which -1 is off, as it is by default.
type SmoothQuantAlphas struct {
	MatMul      *float64 `json:"matmul,omitempty"`
	Convolution *float64 `json:"convolution,omitempty"` // -1 only
}

// PostTrainingControl is a budget for which layers are given back.
type PostTrainingControl struct {
	// MaxDrop is a budget of top-1, in points; MaxError (ours) one of the relative
	// error of the outputs, for models without labels. At most one is given.
	MaxDrop  *float64 `json:"max_drop,omitempty"`
	MaxError *float64 `json:"max_error,omitempty"`
	// ReturnTo is float (default) or 16bit. Ours.
	ReturnTo string `json:"return_to,omitempty"`
	// MaxIterations bounds the models tried; 0 does not.
	MaxIterations int `json:"max_num_iterations,omitempty"`
	// RankingSubset is the number of samples that layers are ranked on; default 50, for
	// MaxError 16.
	RankingSubset int `json:"ranking_subset_size,omitempty"`
	// HeldOut is the number of samples that MaxError is measured on; default 100. Ours.
	HeldOut int `json:"held_out,omitempty"`
}

// Samples is the number of calibration samples.
func (p PostTraining) Samples() int {
	if p.SubsetSize == 0 {
		return ptq.DefaultSubset
	}
	return p.SubsetSize
}

// HeldOutSamples is how many samples output errors are measured on.
func (p PostTraining) HeldOutSamples() int {
	if p.AccuracyControl.HeldOut == 0 {
		return 100
	}
	return p.AccuracyControl.HeldOut
}

// Options returns what package ptq takes.
func (p PostTraining) Options() ptq.Options {
	a := p.Advanced
	o := ptq.Options{Subset: p.SubsetSize, Preset: p.Preset, BiasSamples: a.BiasSamples, AlignChannels: a.AlignChannels, LearnRounding: a.LearnedRounding}
	switch {
	case a.DisableBiasCorrection:
		o.BiasCorrection = ptq.NoBias
	case p.FastBiasCorrection == nil:
	case *p.FastBiasCorrection:
		o.BiasCorrection = ptq.FastBias
	default:
		o.BiasCorrection = ptq.FullBias
	}
	if a.AlignChannels == "" && compress.ValueOr(a.DisableChannelAlignment, false) {
		o.AlignChannels = ptq.AlignNone
	}
	o.SmoothQuant = max(0, compress.ValueOr(a.SmoothQuantAlphas.MatMul, 0))
	return o
}

// Validate reports all problems.
func (p PostTraining) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	a, c := p.Advanced, p.AccuracyControl
	if d := a.DisableChannelAlignment; d != nil && *d && a.AlignChannels != "" && a.AlignChannels != ptq.AlignNone {
		fail("advanced_parameters: disable_channel_alignment contradicts align_channels %q", a.AlignChannels)
	}
	if a.DisableBiasCorrection && p.FastBiasCorrection != nil {
		fail("fast_bias_correction: contradicts advanced_parameters.disable_bias_correction")
	}
	alphas := a.SmoothQuantAlphas
	if v := alphas.MatMul; v != nil && *v != -1 && !(*v >= 0 && *v <= 1) {
		fail("advanced_parameters.smooth_quant_alphas.matmul: got %g, want 0 to 1, or -1 for none", *v)
	}
	if v := alphas.Convolution; v != nil && *v != -1 {
		fail("advanced_parameters.smooth_quant_alphas.convolution: got %g, want -1: %s, channel alignment does it for convolutions", *v, unsupported)
	}
	if c.MaxDrop != nil && c.MaxError != nil {
		fail("accuracy_control: got max_drop and max_error, want one budget")
	}
	if c.MaxError != nil && !(*c.MaxError > 0) {
		fail("accuracy_control.max_error: got %g, want more than 0, such as 0.02", *c.MaxError)
	}
	return errors.Join(append(errs, p.Options().Validate())...)
}
