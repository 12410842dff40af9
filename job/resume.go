package job

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/train"
)

// resume puts the state of a checkpoint back.
func (r *run) resume(ck *train.Checkpoint) (err error) {
	if r.state, r.meta, err = restore(ck); err != nil {
		return err
	}
	if err := r.sameRun(); err != nil {
		return err
	}
	if err := serve(r.state.float.Graph, r.opt.note, r.train, r.eval, r.calibration); err != nil {
		return err
	}
	if r.meta.Result != nil {
		r.result = *r.meta.Result
	}
	if err := r.newTrainer(); err != nil {
		return err
	}
	if err := json.Unmarshal(r.meta.Schedule, r.trainer.Schedule()); err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	if err := r.trainer.LoadOptimizerState(r.meta.OptimizerStep, ck.Tensors); err != nil {
		return err
	}
	at := r.meta.At
	if steps := r.train.Len(); at.Epoch < 0 || at.Step < 0 || at.Step > steps {
		return fmt.Errorf("got step %d of epoch %d, which has %d", at.Step, at.Epoch+1, steps)
	}
	if _, err := os.Stat(r.path(bestName)); errors.Is(err, fs.ErrNotExist) {
		r.opt.note("%s is gone: the model as it is now counts as the best so far", r.path(bestName))
		if err := r.save(bestName); err != nil {
			return err
		}
	}
	if at.Epoch >= r.epochs() || r.meta.Search != nil && r.meta.Search.Done {
		r.opt.note("all %d epochs are done", at.Epoch)
		return nil
	}
	r.opt.note("resuming in epoch %d after step %d", at.Epoch+1, at.Step)
	return nil
}

// Keys of a configuration that may change when a run is resumed. Those that are
// noted change what is trained from here on.
var (
	freeKeys  = []string{"checkpoint", "epochs", "eval_batch_size", "input_info", "log_dir", "output", "threads", "workers"}
	notedKeys = []string{"batch_norm", "dataset", "gradient_clip", "loss", "optimizer"}
)

// settings returns the configuration without the keys that may change.
func (r *run) settings() (json.RawMessage, error) {
	all, err := json.Marshal(r.c)
	if err != nil {
		return nil, err
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(all, &keys); err != nil {
		return nil, err
	}
	// The order of algorithms makes no difference, so it is not part of a run.
	sections := slices.Clone(r.c.Compression)
	slices.SortStableFunc(sections, func(a, b config.Section) int { return cmp.Compare(a.Algorithm, b.Algorithm) })
	if len(sections) > 0 {
		if keys["compression"], err = json.Marshal(sections); err != nil {
			return nil, err
		}
	}
	maps.DeleteFunc(keys, func(k string, _ json.RawMessage) bool { return slices.Contains(freeKeys, k) })
	return json.Marshal(keys)
}

// sameRun reports that a checkpoint is not of the run that the configuration
// describes.
func (r *run) sameRun() error {
	now, err := r.settings()
	if err != nil {
		return err
	}
	var was, is map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(r.meta.Config, &was), json.Unmarshal(now, &is)); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	keys := map[string]json.RawMessage{}
	maps.Copy(keys, was)
	maps.Copy(keys, is)
	var errs []error
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		switch {
		case bytes.Equal(was[k], is[k]), slices.Contains(freeKeys, k):
		case slices.Contains(notedKeys, k):
			r.opt.note("%q has changed since the checkpoint; going on with %s", k, shown(is[k]))
		case k == "model" && r.meta.ModelSum != "" && isFile(r.c):
			// the content counts, see below
		default:
			errs = append(errs, fmt.Errorf("%q was %s, now it is %s", k, shown(was[k]), shown(is[k])))
		}
	}
	var loss config.Loss
	if was["loss"] != nil {
		if err := json.Unmarshal(was["loss"], &loss); err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
	}
	if (loss.Type == train.NoLoss) != unlabelled(r.c) {
		errs = append(errs, fmt.Errorf(`"loss" was %s, now it is %s: models are measured without labels in one of them, so that the best cannot be told`, shown(was["loss"]), shown(is["loss"])))
	}
	sum, err := modelSum(r.c)
	if err != nil {
		return err
	}
	if sum != r.meta.ModelSum {
		errs = append(errs, fmt.Errorf("model file %s is not the one that the run began with", r.c.Path(r.c.Model)))
	}
	if len(errs) > 0 {
		return fmt.Errorf("the checkpoint is of another run; start anew without resuming, or give this run a \"log_dir\" of its own: %w", errors.Join(errs...))
	}
	return nil
}

// shown shortens a setting for a message.
func shown(raw json.RawMessage) string {
	const most = 120
	switch {
	case raw == nil:
		return "not set"
	case len(raw) > most:
		return string(raw[:most]) + "…"
	}
	return string(raw)
}

// modelSum returns the hash of the configuration's model file, empty for
// built-in networks.
func modelSum(c *config.Config) (string, error) {
	if !isFile(c) {
		return "", nil
	}
	f, err := os.Open(c.Path(c.Model))
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
