package quantization_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress/quantization"
)

// TestOptions_JSON reads sections as configurations spell them, old and new.
func TestOptions_JSON(t *testing.T) {
	for _, raw := range []string{
		`{}`,
		`{"algorithm":"quantization"}`,
		`{"preset":"mixed","target_device":"CPU","weights":{"mode":"symmetric","bits":4,"per_channel":true,"ignored_scopes":["a","b"]},"activations":{"mode":"asymmetric","signed":true,"target_scopes":["c"]},"ignored_scopes":["d"],"quantize_inputs":false,"quantize_outputs":true}`,
		`{"initializer":{"range":[{"type":"percentile","num_init_samples":16,"params":{"min_percentile":1,"max_percentile":99}}],"batchnorm_adaptation":{"num_bn_adaptation_samples":0}}}`,
		`{"initializer":{"range":[{"type":"min_max","target_quantizer_group":"weights"},{"type":"mean_min_max","num_init_steps":1,"target_quantizer_group":"activations"}]}}`,
		`{"scope_overrides":{"z":{"bits":4},"a":{"mode":"asymmetric"}}}`,
		`{"scope_overrides":{"weights":{"z":{"bits":4},"a":{"per_channel":false}},"activations":{"b":{"signed":true,"initializer":{"range":[{"type":"min_max"}]}}}}}`,
		`{"overflow_fix":"first_layer_only","disable_saturation_fix":false}`,
	} {
		var o quantization.Options
		if err := json.Unmarshal([]byte(raw), &o); err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if err := o.Validate(); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		got, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var p quantization.Options
		if err := json.Unmarshal(got, &p); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(p)
		if err != nil || string(again) != string(got) {
			t.Errorf("%s: got %s, then %s", raw, got, again)
		}
		if want := strings.ReplaceAll(raw, `,"disable_saturation_fix":false`, ""); len(got) != len(want) {
			t.Errorf("got %s, want %s up to order", got, want)
		}
	}
	var o quantization.Options
	if err := json.Unmarshal([]byte(`{"ignored_scopes":"one","initializer":{"range":{"type":"min_max"}}}`), &o); err != nil || len(o.Ignored) != 1 || len(o.Initializer.Range) != 1 {
		t.Errorf("values without brackets: got %+v, error %v", o, err)
	}
	for _, raw := range []string{`{"initializer":{"range":{"num_steps":1}}}`, `{"scope_overrides":{"a":{"bit":4}}}`, `{"scope_overrides":["a"]}`} {
		if err := json.Unmarshal([]byte(raw), new(quantization.Options)); err == nil {
			t.Errorf("%s: got no error", raw)
		}
	}
}

func TestOptions_ValidateReportsEverything(t *testing.T) {
	var o quantization.Options
	err := json.Unmarshal([]byte(`{"preset":"fast","target_device":"TPU","overflow_fix":"on","params":{"activations_quant_start_epoch":-1},
		"weights":{"bits":1,"mode":"log","gradient":"sgd"},"zero_point":"x","activations":{"unified_scale_ops":[["a","b"]]},"quantizable_subgraph_patterns":["a"],
		"initializer":{"precision":{"type":"hawk","compression_ratio":0.5,"bitwidth_per_scope":[[1,"a"]]},"range":{"type":"max","num_init_samples":-1,"min_percentile":50,"max_percentile":10},"batchnorm_adaptation":{"num_bn_adaptation_samples":-1}},
		"scope_overrides":{"fc":{"bits":17}}}`), &o)
	if err != nil {
		t.Fatal(err)
	}
	got := o.Validate()
	for _, want := range []string{`preset: got "fast"`, `target_device: got "TPU", want one of ANY, CPU, GPU, NPU, VPU, TRIAL`, `overflow_fix: got "on"`, "params: activations_quant_start_epoch: got -1",
		"weights.bits: got 1, want 2 to 16; one bit is algorithm binarization", `weights.mode: got "log"`, `weights.gradient: got "sgd"`, `zero_point: got "x"`,
		`initializer.precision: type: got "hawk"`, "compression_ratio: got 0.5", "bitwidth_per_scope[0]: got 1 bits", `initializer.range: type: got "max"`,
		"num_init_samples: got -1", "percentiles: got 50 and 10", "initializer.batchnorm_adaptation: num_bn_adaptation_samples: got -1", "scope_overrides.fc.bits: got 17"} {
		if got == nil || !strings.Contains(got.Error(), want) {
			t.Errorf("missing: %s", want)
		}
	}
	t.Logf("%v", got)
	if err := (quantization.Options{}).Validate(); err != nil {
		t.Errorf("zero value: %v", err)
	}
}
