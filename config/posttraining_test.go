package config

import (
	"testing"

	"github.com/go-nncf/nncf/compress/ptq"
)

// The names of NNCF's parameters mean what they mean there; -1 is off.
func TestPostTraining(t *testing.T) {
	for _, c := range []struct {
		text string
		want ptq.Options
	}{
		{`{}`, ptq.Options{}},
		{`{"subset_size": 100, "preset": "mixed", "fast_bias_correction": true}`, ptq.Options{Subset: 100, Preset: "mixed", BiasCorrection: ptq.FastBias}},
		{`{"fast_bias_correction": false, "advanced_parameters": {"bias_correction_samples": 7}}`, ptq.Options{BiasCorrection: ptq.FullBias, BiasSamples: 7}},
		{`{"advanced_parameters": {"disable_bias_correction": true, "disable_channel_alignment": true, "learned_rounding": true}}`,
			ptq.Options{BiasCorrection: ptq.NoBias, AlignChannels: ptq.AlignNone, LearnRounding: true}},
		{`{"advanced_parameters": {"disable_channel_alignment": false, "smooth_quant_alphas": {"matmul": 0.95, "convolution": -1}}}`, ptq.Options{SmoothQuant: 0.95}},
		{`{"advanced_parameters": {"align_channels": "all", "smooth_quant_alphas": {"matmul": -1}}}`, ptq.Options{AlignChannels: ptq.AlignAll}},
	} {
		cfg, err := Parse("test", []byte(`{"post_training": `+c.text+`}`))
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := cfg.PostTraining.Options(); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.text, got, c.want)
		}
	}
	for _, text := range []string{
		`{"advanced_parameters": {"disable_channel_alignment": true, "align_channels": "all"}}`,
		`{"fast_bias_correction": false, "advanced_parameters": {"disable_bias_correction": true}}`,
		`{"advanced_parameters": {"smooth_quant_alphas": {"matmul": -0.5}}}`,
		`{"accuracy_control": {"max_error": 0}}`,
		`{"accuracy_control": {"max_drop": 1, "max_error": 0.02}}`,
		`{"max_error": 0.02}`,
	} {
		if _, err := Parse("test", []byte(`{"post_training": `+text+`}`)); err == nil {
			t.Errorf("%s: got no error", text)
		}
	}
	if p := (PostTraining{}); p.Samples() != 300 || p.HeldOutSamples() != 100 {
		t.Errorf("defaults: got %d and %d samples, want 300 and 100", p.Samples(), p.HeldOutSamples())
	}
}
