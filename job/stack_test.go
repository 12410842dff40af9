package job_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/job"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/tensor"
)

// int8Section is the compression of small.
const int8Section = `{"algorithm": "quantization", "weights": {"per_channel": true},
	"initializer": {"range": {"num_init_samples": 64}, "batchnorm_adaptation": {"num_bn_adaptation_samples": 64}}}`

// with is small with other compression.
func with(sections ...string) string {
	head, _, _ := strings.Cut(small, `"compression"`)
	return head + `"compression": [` + strings.Join(sections, ",") + "]\n}"
}

const bn64 = `"initializer": {"batchnorm_adaptation": {"num_bn_adaptation_samples": 64}}`

// schedules are sparsity sections whose level changes while a small run trains.
var schedules = map[string]string{
	"polynomial by epoch":  `{"algorithm": "magnitude_sparsity", ` + bn64 + `, "params": {"sparsity_init": 0.2, "sparsity_target_epoch": 1}}`,
	"polynomial by step":   `{"algorithm": "magnitude_sparsity", "params": {"update_per_optimizer_step": true, "sparsity_target_epoch": 2, "sparsity_target": 0.6}}`,
	"exponential":          `{"algorithm": "magnitude_sparsity", "params": {"schedule": "exponential", "sparsity_target_epoch": 1, "sparsity_level_setting_mode": "local"}}`,
	"multistep":            `{"algorithm": "magnitude_sparsity", "params": {"schedule": "multistep", "multistep_steps": [1], "multistep_sparsity_levels": [0.3, 0.5], "mask_update_steps": 3}}`,
	"adaptive":             `{"algorithm": "magnitude_sparsity", "params": {"schedule": "adaptive", "sparsity_init": 0.1, "step": 0.2}}`,
	"frozen":               `{"algorithm": "magnitude_sparsity", "params": {"schedule": "multistep", "multistep_steps": [1], "multistep_sparsity_levels": [0.3, 0.5], "sparsity_freeze_epoch": 1, "pattern": "2:4"}}`,
	"rb":                   `{"algorithm": "rb_sparsity", "params": {"schedule": "polynomial", "sparsity_target_epoch": 1, "mask_lr": 1, "sparsity_freeze_epoch": 1}}`,
	"rb adaptive by layer": `{"algorithm": "rb_sparsity", "params": {"schedule": "adaptive", "sparsity_level_setting_mode": "local", "mask_lr": 1}}`,
	"pruning":              `{"algorithm": "filter_pruning", ` + bn64 + `, "params": {"pruning_steps": 2, "multiple": 2, "prune_first_conv": true, "prune_downsample_convs": true}}`,
	"pruning and cutting":  `{"algorithm": "filter_pruning", ` + bn64 + `, "params": {"schedule": "baseline", "multiple": 2, "removal": "training"}}`,
	"cutting later":        `{"algorithm": "filter_pruning", "params": {"num_init_steps": 1, "pruning_steps": 1, "pruning_target": 0.3, "rounding": "nearest", "multiple": 2, "filter_importance": "geometric_median", "removal": "training"}}`,
	"movement":             `{"algorithm": "movement_sparsity", "params": {"warmup_start_epoch": 0, "warmup_end_epoch": 1, "importance_regularization_factor": 0.1, "mask_lr": 0.1}}`,
	"distillation":         `{"algorithm": "knowledge_distillation", "type": "softmax", "temperature": 2}, {"algorithm": "magnitude_sparsity", "params": {"sparsity_target_epoch": 1}}`,
}

// A run that is stopped in the middle of a schedule and resumed, with other
// threads, leaves what an undisturbed one leaves.
func TestTrain_SchedulesResume(t *testing.T) {
	for name, section := range schedules {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := with(section, int8Section)
			whole := parse(t, t.TempDir(), text)
			whole.Threads = 1
			want := outcomeOf(t, whole, mustTrain(t, whole, job.Options{}))
			cfg := parse(t, t.TempDir(), text)
			cfg.Threads = 3
			for i, after := range []int{7, 9} { // in the first and the second epoch of 12 steps
				ctx, cancel := context.WithCancel(t.Context())
				_, err := job.Train(ctx, cfg, job.Options{Resume: i > 0, Progress: stopper(cancel, "train", after)})
				cancel()
				if !errors.Is(err, job.ErrInterrupted) {
					t.Fatalf("execution %d: got error %v, want ErrInterrupted", i, err)
				}
			}
			if d := cmp.Diff(want, outcomeOf(t, cfg, mustTrain(t, cfg, job.Options{Resume: true}))); d != "" {
				t.Errorf("-uninterrupted +resumed:\n%s", d)
			}
		})
	}
}

// zeros returns the share of zeros of the weights of layers of an exported
// model, integers or floats.
func zeros(t testing.TB, path string) float64 {
	t.Helper()
	g, err := onnx.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	zero, all := 0, 0
	for _, v := range g.Stored() {
		if v.Type.Rank() < 2 || strings.Contains(v.Name, "/") {
			continue
		}
		n, err := v.Data.Float64s()
		if v.Data.DType() == tensor.Int8 {
			ints, e := v.Data.Ints()
			n, err = make([]float64, len(ints)), e
			for i, k := range ints {
				n[i] = float64(k)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range n {
			if all++; x == 0 {
				zero++
			}
		}
	}
	return float64(zero) / float64(max(1, all))
}

// The order of algorithms in a configuration plays no part, and zeros of masks are
// zeros of the integers in the file.
func TestTrain_StackInAnyOrder(t *testing.T) {
	magnitude := `{"algorithm": "magnitude_sparsity", ` + bn64 + `, "params": {"schedule": "multistep", "multistep_steps": [], "multistep_sparsity_levels": [0.5]}}`
	teacher := `{"algorithm": "knowledge_distillation", "type": "softmax"}`
	pruning := `{"algorithm": "filter_pruning", ` + bn64 + `, "params": {"schedule": "baseline", "num_init_steps": 0, "pruning_target": 0.3}}`
	var want outcome
	for i, text := range []string{with(pruning, magnitude, int8Section, teacher), with(int8Section, teacher, magnitude, pruning), with(teacher, magnitude, pruning, int8Section)} {
		c := parse(t, t.TempDir(), text)
		r := mustTrain(t, c, job.Options{})
		if got := zeros(t, r.Output); got < 0.5 {
			t.Errorf("got %.3f zeros in the file, want at least half", got)
		}
		if r.Export.Disagreements != 0 {
			t.Errorf("the file disagrees on %d of %d", r.Export.Disagreements, r.Export.Compared)
		}
		got := outcomeOf(t, c, r)
		if i == 0 {
			want = got
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("-first order +order %d:\n%s", i+1, d)
		}
	}
}

// A sparse model is quantized another day: the configuration of the second run
// knows nothing of the first one's but the file.
func TestTrain_SparseThenQuantized(t *testing.T) {
	magnitude := `{"algorithm": "magnitude_sparsity", ` + bn64 + `, "params": {"schedule": "multistep", "multistep_steps": [], "multistep_sparsity_levels": [0.5]}}`
	first := parse(t, t.TempDir(), with(magnitude))
	r := mustTrain(t, first, job.Options{})
	if got := zeros(t, r.Output); got < 0.499 || got > 0.51 {
		t.Fatalf("got %.3f zeros in the float file, want half", got)
	}
	m, err := nncf.Load(r.Output)
	if err != nil {
		t.Fatal(err)
	}
	s, err := nncf.StateOf(m)
	if err != nil || s == nil || s.Stage != compress.FullyCompressed || len(s.Setups) != 1 || s.Setups[0].Algorithm != "magnitude_sparsity" || s.Progress[0].Level != 0.5 {
		t.Errorf("got state %+v, %v", s, err)
	}
	for _, x := range s.Setups { // it is enough to decode the setups
		if _, err := config.RestoreSetup(x.Algorithm, x.Setup); err != nil {
			t.Error(err)
		}
	}
	text := with(`{"algorithm": "const_sparsity"}`, int8Section)
	text = edit(t, text, `"resnet8_cifar"`, `"`+filepath.ToSlash(r.Output)+`"`, `"model_params": {"width": 4, "size": 8, "channels": 1},`, "")
	second := parse(t, t.TempDir(), text)
	q := mustTrain(t, second, job.Options{})
	if got := zeros(t, q.Output); got < 0.499 {
		t.Errorf("got %.3f zeros in the INT8 file, want half", got)
	}
	if q.Export.Bits != "8" {
		t.Errorf("got %s bits", q.Export.Bits)
	}

	dense := parse(t, t.TempDir(), with(`{"algorithm": "const_sparsity"}`, int8Section))
	_, err = job.Train(t.Context(), dense, job.Options{})
	wantError(t, err, "const_sparsity", "no weight that is zero")
}

// A schedule that the run is too short for is told before the long work.
func TestTrain_ShortSchedule(t *testing.T) {
	c := parse(t, t.TempDir(), with(`{"algorithm": "magnitude_sparsity"}`))
	c.Epochs = 1
	var n notes
	r := mustTrain(t, c, job.Options{Note: n.note})
	if all := strings.Join(n.lines, "\n"); !strings.Contains(all, "magnitude_sparsity reaches its target in epoch 91, and training ends after 1") {
		t.Errorf("got notes %s", all)
	}
	if r.Stage != compress.Uncompressed {
		t.Errorf("got stage %v", r.Stage)
	}
}
