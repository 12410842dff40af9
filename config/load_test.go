package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/internal/testkit"
)

// All configurations of the original are read as they are; what is not built
// yet is reported when they are to be run.
func TestLoad_Original(t *testing.T) {
	root := testkit.Shared(t, "data", "nncf-configs")
	files, warned := 0, []string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".json" {
			return err
		}
		files++
		c, err := config.Load(path)
		if err != nil {
			t.Errorf("%v", err)
			return nil
		}
		for _, w := range c.Warnings {
			warned = append(warned, filepath.Base(w.File)+": "+w.Reason)
		}
		checkOriginal(t, path, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 44 {
		t.Errorf("got %d files, want at least 44", files)
	}
	if len(warned) != 1 || !strings.Contains(warned[0], `got "manuak", want one of manual, hawq, autoq`) {
		t.Errorf("got warnings %q, want one about manuak", warned)
	}
}

// Every example is a configuration without mistakes, whose algorithms are built.
func TestLoad_Examples(t *testing.T) {
	files := 0
	root := filepath.Join(testkit.RepoRoot(), "examples")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".json" || strings.Contains(path, string(filepath.Separator)+"runs"+string(filepath.Separator)) {
			return err
		}
		files++
		c, err := config.Load(path)
		if err != nil {
			t.Errorf("%v", err)
			return nil
		}
		if _, err := c.Algorithms(); err != nil || len(c.Warnings) > 0 {
			t.Errorf("%s: %v, warnings %v", path, err, c.Warnings)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 5 {
		t.Errorf("got %d examples, want at least 5", files)
	}
}

// checkOriginal holds a few facts that the file's name and text tell against
// what was read.
func checkOriginal(t *testing.T, path string, c *config.Config) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Count(string(b), `"algorithm"`); len(c.Compression) != want {
		t.Errorf("%s: got %d algorithms, want %d", path, len(c.Compression), want)
	}
	algorithms, err := c.Algorithms()
	for _, name := range []string{"binarization", "const_sparsity", "filter_pruning", "magnitude_sparsity", "rb_sparsity"} {
		_, unknown := config.RestoreSetup(name, []byte("{}"))
		built := unknown == nil || !strings.Contains(unknown.Error(), "unknown algorithm")
		if strings.Contains(string(b), `"`+name+`"`) && !built && (err == nil || !strings.Contains(err.Error(), name)) {
			t.Errorf("%s: got %v, want %s reported as not supported yet", path, err, name)
		}
	}
	if err != nil || len(algorithms) != len(c.Compression) {
		t.Errorf("%s: got %d algorithms, %v, want %d", path, len(algorithms), err, len(c.Compression))
	}
	if err := c.TrainOptions().Validate(); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	if c.Optimizer.Type != "" && !strings.EqualFold(c.TrainOptions().Optimizer.Type, c.Optimizer.Type) {
		t.Errorf("%s: got optimizer %q", path, c.TrainOptions().Optimizer.Type)
	}
	saved := filepath.Join(t.TempDir(), "saved.json")
	if err := c.Save(saved); err != nil {
		t.Fatal(err)
	}
	if again, err := config.Load(saved); err != nil {
		t.Errorf("%s: saved and loaded: %v", path, err)
	} else if len(again.Compression) != len(c.Compression) || again.Epochs != c.Epochs {
		t.Errorf("%s: got %+v back from %+v", path, again, c)
	}
}

func TestParse_Problems(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string // lines of the error
	}{
		{"three mistakes", `{
  "model": "resnet20",
  "bath_size": 128, // one
  "epochs": "5",
  "compression": {
    "algorithm": "quantization",
    "weights": {"mode": "symetric"},
  },
}`, []string{
			`x.json:3:3: bath_size: unknown key; did you mean "batch_size"?`,
			`x.json:4:13: epochs: got "5", want an integer`,
			`x.json:7:25: compression.weights.mode: got "symetric", want one of symmetric, asymmetric; did you mean "symmetric"?`,
		}},
		{"unknown algorithm", `{"compression": [{"algorithm": "quantisation"}]}`, []string{
			`x.json:1:32: compression[0].algorithm: got "quantisation", want one of quantization, binarization, const_sparsity, magnitude_sparsity, rb_sparsity, filter_pruning, knowledge_distillation, movement_sparsity; did you mean "quantization"?`,
		}},
		{"no algorithm", `{"compression": {"weights": {}}}`, []string{`x.json:1:17: compression: "algorithm" is missing`}},
		{"misplaced", `{"compression": {"algorithm": "quantization", "num_init_steps": 3}}`, []string{
			`x.json:1:47: compression.num_init_steps: unknown key; it belongs in initializer.range`,
		}},
		{"unknown in params", `{"compression": {"algorithm": "rb_sparsity", "params": {"weight_importance": "abs"}}}`, []string{
			`x.json:1:57: compression.params.weight_importance: unknown key`,
		}},
		{"range", `{"compression": {"algorithm": "quantization", "weights": {"bits": 1}}, "batch_size": 0, "optimizer": {"base_lr": 0, "optimizer_params": {"momentum": 1}}, "validation_split": 1.5}`, []string{
			`x.json:1:67: compression.weights.bits: got 1, want 2 or more`,
			`x.json:1:86: batch_size: got 0, want 1 or more`,
			`x.json:1:114: optimizer.base_lr: got 0, want more than 0`,
			`x.json:1:150: optimizer.optimizer_params.momentum: got 1, want less than 1`,
			`x.json:1:175: validation_split: got 1.5, want less than 1`,
		}},
		{"duplicate", "{\"epochs\": 1,\n \"seed\": 2, \"epochs\": 3}", []string{`x.json:2:13: epochs: duplicate key; the first is in line 1`}},
		{"syntax", "{\n  \"epochs\": 1\n  \"seed\": 2\n}", []string{`x.json:3:3: a comma is missing before this`}},
		{"commas", "{\n  \"epochs\": -1\n  \"input_info\": {\"sample_size\": [1 3]}\n  \"sed\": 2}", []string{
			`x.json:2:13: epochs: got -1, want 0 or more`,
			`x.json:3:3: a comma is missing before this`,
			`x.json:3:36: a comma is missing before this`,
			`x.json:4:3: a comma is missing before this`,
			`x.json:4:3: sed: unknown key; did you mean "seed"?`,
		}},
		{"brace", "{\n  \"epochs\": 1]", []string{`x.json:2:14: invalid character ']' after object key:value pair`}},
		{"cut off", "{\n  \"epochs\": ", []string{`x.json:2:12: unexpected end of JSON input`}},
		{"more text", "{} {}", []string{`x.json:1:4: invalid character '{' after top-level value`}},
		{"empty", "// nothing\n", []string{`x.json:1:1: got an empty file, want an object; nncf config init writes a starter`}},
		{"list", "[]", []string{`x.json:1:1: got [], want an object`}},
		{"regular expressions", `{"ignored_scopes": ["{re}conv(", "a"], "compression": {"algorithm": "quantization", "scope_overrides": {"{re}[": {}}}}`, []string{
			"x.json:1:21: ignored_scopes[0]: got \"{re}conv(\": error parsing regexp: missing closing ): `conv(`",
			"x.json:1:105: compression.scope_overrides[\"{re}[\"]: error parsing regexp: missing closing ]: `[`",
		}},
		{"of all kinds", `{"optimizer": {"type": "sgd", "schedule_type": "multistep"}, "epochs": -1, "epochs": 2, "compression": [
			{"algorithm": "quantization", "initializer": {"range": {"num_init_samples": 1, "num_init_steps": 1}}},
			{"algorithm": "quantization", "weights": {"bits": 12}, "initialiser": {}}]}`, []string{
			"x.json:1:2: optimizer: steps",
			"x.json:1:72: epochs: got -1, want 0 or more",
			"x.json:1:76: epochs: duplicate key; the first is in line 1",
			"x.json:2:4: compression[0]: initializer.range: num_init_samples and num_init_steps: got both, want one",
			`x.json:3:59: compression[1].initialiser: unknown key; did you mean "initializer"?`,
		}},
		{"overrides", `{"compression": {"algorithm": "quantization", "scope_overrides": {"{re}[": {}}}}`, []string{
			"x.json:1:67: compression.scope_overrides[\"{re}[\"]: error parsing regexp: missing closing ]: `[`",
		}},
		{"transforms", `{"train_transforms": [{"random_crop": {"hight": 3}}, {}, {"resize": {"short": 1}, "channels": {"count": 3}}, {"flip": {}}]}`, []string{
			`x.json:1:39: train_transforms[0].random_crop: "height" is missing`,
			`x.json:1:40: train_transforms[0].random_crop.hight: unknown key; did you mean "height"?`,
			`x.json:1:54: train_transforms[1]: got no key, want one of centre_crop, channels, color_jitter, horizontal_flip, random_crop, random_resized_crop, resize`,
			`x.json:1:58: train_transforms[2]: got 2 keys, want one`,
			`x.json:1:111: train_transforms[3].flip: unknown key; valid keys: centre_crop, channels, color_jitter, horizontal_flip, random_crop, random_resized_crop, resize`,
		}},
		{"number", `{"seed": 1e1000000000, "epochs": 1e-999999999}`, []string{
			`x.json:1:10: seed: got 1e1000000000, want a number that fits 64 bits`,
			`x.json:1:34: epochs: got 1e-999999999, want a number that fits 64 bits`,
		}},
		{"depth", `{"ssd_params": ` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}", []string{`x.json:1:80: got more than 64 levels of nesting`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := config.Parse("x.json", []byte(c.text))
			if err == nil {
				t.Fatal("got no error")
			}
			got := strings.Split(err.Error(), "\n")
			if len(got) > 0 && strings.HasPrefix(got[0], "x.json:1:2: optimizer: steps") {
				got[0] = "x.json:1:2: optimizer: steps" // the text is another package's
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			var e *config.Error
			if !errors.As(err, &e) || e.Line == 0 {
				t.Errorf("got %#v, want a *config.Error with a line", err)
			}
		})
	}
}

// What the schema cannot say is reported at the section it is about.
func TestParse_Options(t *testing.T) {
	for _, text := range []string{
		`{"optimizer": {"schedule_type": "multistep"}}`,
		`{"optimizer": {"type": "SGD", "optimizer_params": {"momentum": 0, "nesterov": true}}}`,
		`{"train_transforms": [{"resize": {}}]}`,
	} {
		_, err := config.Parse("x.json", []byte(text))
		var e *config.Error
		if !errors.As(err, &e) || e.Line != 1 || e.Col != 2 || !strings.HasPrefix(text, `{"`+e.Path) {
			t.Errorf("%s: got %v, want a problem of the section", text, err)
		}
	}
}

// The original's other ways to say things.
func TestParse_Synonyms(t *testing.T) {
	c, err := config.Parse("x.json", []byte(`{
		"model": "resnet18", "num_classes": 7, "dataset": "CIFAR100", "dataset_dir": "d", "hw_config_type": "vpu",
		"preprocessing": {"normalize": {"mean": [0.5], "std": [0.25]}, "resize": {"height": 4, "width": 6}, "rgb": false, "normalize_coef": 1},
		"checkpoint_save_dir": "ck", "eval_transforms": [{"channels": {"count": 3}}], "save_freq": 3, "bootstrapNAS": {},
		"compression": {}, "seed": 1e3, "model_params": {"chanels": 3}}`))
	if err != nil {
		t.Fatal(err)
	}
	p := c.Preprocessing
	if c.ModelParams.Classes != 7 || c.Dataset.Train != "cifar100:d" || c.TargetDevice != "VPU" || c.Checkpoint.Dir != "ck" || c.Seed != 1000 || len(c.Compression) != 0 {
		t.Errorf("got %+v", c)
	}
	if !slices.Equal(p.Mean, []float64{0.5}) || !slices.Equal(p.Std, []float64{0.25}) || !p.BGR || !p.Raw {
		t.Errorf("got preprocessing %+v", p)
	}
	if r, ok := c.EvalTransforms[0].(data.Resize); !ok || r.Height != 4 || r.Width != 6 || len(c.EvalTransforms) != 2 || len(c.TrainTransforms) != 1 {
		t.Errorf("got transforms %+v, %+v", c.TrainTransforms, c.EvalTransforms)
	}
	if !slices.Equal(c.Unused, []string{"save_freq"}) || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].Error(), `did you mean "channels"?`) {
		t.Errorf("got unused %v, warnings %v", c.Unused, c.Warnings)
	}
	if err := c.Ready(); err == nil || !strings.Contains(err.Error(), "bootstrapNAS: not supported yet") {
		t.Errorf("got %v, want bootstrapNAS reported", err)
	}
}

// Options of the root reach the algorithms; what is not built is placed.
func TestAlgorithms(t *testing.T) {
	c, err := config.Parse("x.json", []byte("{\"target_device\": \"npu\", \"compression\": [{\"algorithm\": \"quantization\", \"initializer\": {\"precision\": {\"type\": \"autoq\"}}},\n {\"algorithm\": \"quantization\", \"initializer\": {\"precision\": {\"type\": \"autoq\"}}}]}"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Algorithms()
	if err == nil {
		t.Fatal("got no error")
	}
	want := []string{
		"x.json:1:42: compression[0]: not supported yet: initializer.precision.type autoq; hawq chooses bits too",
		"x.json:2:2: compression[1]: not supported yet: initializer.precision.type autoq; hawq chooses bits too",
	}
	if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// Widths that the exported form cannot hold are reported before training.
func TestAlgorithms_WidthOfTheFile(t *testing.T) {
	for format, want := range map[string]string{"fakequantize": "weights.bits: got 12, want at most 8 with output.format fakequantize", "qdq": ""} {
		c, err := config.Parse("x.json", []byte(`{"output": {"format": "`+format+`"}, "compression": {"algorithm": "quantization", "weights": {"bits": 12}}}`))
		if err == nil {
			_, err = c.Algorithms()
		}
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", format, err, want)
		}
	}
}

// What is not there is told with the place of the key, unless the value is no
// longer the file's.
func TestReady(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "x.json")
	if err := os.WriteFile(name, []byte("{\"model\": \"nosuch.onnx\",\n\"dataset\": {\"train\": \"idx:.\", \"test\": \"CIFAR10\"}}"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Ready()
	if err == nil {
		t.Fatal("got no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], name+":1:11: model: ") || !strings.HasPrefix(lines[1], name+`:2:12: dataset: got "CIFAR10", want kind:path`) {
		t.Errorf("got %q", lines)
	}
	c.Model, c.Dataset.Test, c.Pretrained = "resnet20", "idx:"+dir, true
	if err := c.Ready(); err == nil || !strings.HasPrefix(err.Error(), "pretrained: ") {
		t.Errorf("got %v, want a problem of pretrained only", err)
	}
}
