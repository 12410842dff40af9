package job_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/job"
)

// staged is small with a network that is binarized in stages: activations from
// the second epoch, weights from the third.
func staged(t testing.TB) string {
	return float(t)[:len(float(t))-1] + `,
	"compression": {
		"algorithm": "binarization",
		"ignored_scopes": ["ResNet/Conv2d[conv1]"],
		"initializer": {"batchnorm_adaptation": {"num_bn_adaptation_samples": 32}},
		"params": {"activations_quant_start_epoch": 1, "weights_quant_start_epoch": 2, "lr_poly_drop_start_epoch": 2, "lr_poly_drop_duration_epochs": 1, "disable_wd_start_epoch": 1}
	}
}`
}

// TestTrain_Staged interrupts a training in stages before, in and after each
// switch, and compares what the resumed run leaves, with another number of
// threads, with that of an uninterrupted one. The file computes what was trained,
// but for the first layer, which is float and has its normalization folded.
func TestTrain_Staged(t *testing.T) {
	text := staged(t)
	c := parse(t, t.TempDir(), text)
	c.Epochs = 3
	r := mustTrain(t, c, job.Options{})
	want := outcomeOf(t, c, r)
	if r.Stage != compress.FullyCompressed {
		t.Errorf("got stage %v, want full", r.Stage)
	}
	if r.Export.MaxRelativeDifference > 1e-6 || r.Export.Compared == 0 {
		t.Errorf("got a difference of %g over %d samples, want that of rounding", r.Export.MaxRelativeDifference, r.Export.Compared)
	}
	var rates []float64
	for _, e := range r.Epochs {
		rates = append(rates, e.LR)
	}
	if len(rates) != 3 || rates[0] <= 0 {
		t.Errorf("got rates %v", rates)
	}
	steps := 12 // of an epoch
	for _, after := range [][]int{{steps}, {steps + 1}, {2 * steps}, {2*steps + 2}, {3, steps, steps + 5}} {
		cfg := parse(t, t.TempDir(), text)
		cfg.Epochs = 3
		for i, n := range after {
			ctx, cancel := context.WithCancel(t.Context())
			_, err := job.Train(ctx, cfg, job.Options{Resume: i > 0, Progress: stopper(cancel, "train", n)})
			cancel()
			if !errors.Is(err, job.ErrInterrupted) {
				t.Fatalf("%v: got error %v, want ErrInterrupted", after, err)
			}
		}
		cfg.Threads = 3
		if d := cmp.Diff(want, outcomeOf(t, cfg, mustTrain(t, cfg, job.Options{Resume: true}))); d != "" {
			t.Errorf("stopped after %v steps: -uninterrupted +resumed:\n%s", after, d)
		}
	}
}
