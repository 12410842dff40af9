package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/go-nncf/nncf/config"
)

// Whatever the text, there is either a configuration that survives being
// written and read, or a list of problems within the text.
func FuzzParse(f *testing.F) {
	for _, kind := range config.StarterKinds() {
		b, err := config.Starter(kind)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{
		"", "{}", "[]", "nul", "/*", "//", "{/* */}", "\ufeff{}", `{"seed": 1e3, "epochs": 2.0}`, `{"seed": 1e999999999}`, `{"a": 1, "a": 2}`,
		`{"compression": [{}, {"algorithm": "quantization", "scope_overrides": {"weights": {"{re}a": {"bits": 4}}}}]}`,
		`{"compression": {"algorithm": "rb_sparsity", "params": {"sparsity_target": 0.5}}}`,
		`{"input_info": [{"sample_size": [1, 3]}], "dataset": {"train": "idx:a"}, "train_transforms": [{"channels": {"count": 3}}]}`,
		`{"preprocessing": {"normalize": {"mean": [1]}, "resize": {"height": 2, "width": 3}, "rgb": false}}`,
		`{"optimizer": {"parameter_groups": [{"re": "(", "lr": 1}], "optimizer_params": {"betas": [0.1, 0.2]}}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := config.Parse("x.json", b)
		if err != nil {
			var list config.Errors
			if !errors.As(err, &list) || len(list) == 0 {
				t.Fatalf("got %T, want config.Errors", err)
			}
			lines := 1 + bytes.Count(b, []byte("\n"))
			for _, e := range list {
				if e.Line > lines || e.Reason == "" {
					t.Errorf("got %+v in a text of %d lines", e, lines)
				}
			}
			return
		}
		c.Ready()
		saved, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := config.Parse("saved.json", saved); err != nil {
			t.Errorf("%s\nread again: %v", saved, err)
		}
	})
}
