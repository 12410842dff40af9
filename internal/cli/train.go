package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/job"
)

type trainCmd struct {
	Config    string  `arg:"" help:"Configuration file (JSON with comments)."`
	Resume    bool    `help:"Go on from the last checkpoint, if there is one."`
	Model     string  `help:"ONNX file or built-in network, instead of the configuration's." placeholder:"MODEL"`
	Dataset   string  `help:"Data set, instead of the configuration's." placeholder:"KIND:PATH"`
	Epochs    *int    `help:"Epochs, instead of the configuration's." placeholder:"N"`
	Seed      *uint64 `help:"Seed of weights, order and augmentation, instead of the configuration's." placeholder:"N"`
	LogDir    string  `help:"Folder for checkpoints and the exported model, instead of the configuration's." placeholder:"DIR"`
	Confusion bool    `help:"Report confusion matrices too."`
	memoryFlag
}

func (trainCmd) Help() string {
	return `Loads the model, inserts what the configuration's compression section says,
initialises it from data, fine-tunes, evaluates, exports ONNX and compares the
exported file with the model that was trained.

Ctrl-C stops after the current step and writes a checkpoint, from which --resume
goes on to the same bits as an uninterrupted run. A second Ctrl-C stops at once.

Examples:
  nncf train examples/quickstart/int8.json
  nncf train int8.json --resume
  nncf train int8.json --max-memory 512MiB
  nncf train resnet50_imagenet_int8.json --model resnet50.onnx --dataset imagefolder:imagenet
  nncf train int8.json --json > result.json`
}

func (c *trainCmd) Run(s *session) error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	if err := c.override(cfg); err != nil {
		return err
	}
	if s.Threads > 0 {
		cfg.Threads = s.Threads
	}
	if cfg.MaxMemory, err = c.bytes(); err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintf(s.Err, "warning: %v\n", w)
	}
	if len(cfg.Unused) > 0 {
		fmt.Fprintf(s.Err, "keys without effect here: %s\n", strings.Join(cfg.Unused, ", "))
	}
	if err := cfg.Ready(); err != nil {
		return err
	}
	p := newProgress(s.Err)
	r, err := job.Train(s.ctx, cfg, job.Options{Resume: c.Resume, Logger: s.log, Progress: p.report, Note: p.note})
	p.end()
	if errors.Is(err, job.ErrInterrupted) && !errors.Is(err, job.ErrNotBegun) {
		return fmt.Errorf("%w; go on with: nncf train %s --resume", err, c.Config)
	}
	if err != nil {
		return err
	}
	return s.printResult(r, c.Confusion)
}

// override puts flags in place of what the file says. Paths of flags are
// relative to the working folder, those of the file to its own.
func (c *trainCmd) override(cfg *config.Config) error {
	absolute := func(p string) string {
		if a, err := filepath.Abs(p); err == nil {
			return a
		}
		return p
	}
	if c.Model != "" {
		cfg.Model = c.Model
		if strings.EqualFold(filepath.Ext(c.Model), ".onnx") {
			cfg.Model = absolute(c.Model)
		}
	}
	if c.Dataset != "" {
		kind, path, ok := strings.Cut(c.Dataset, ":")
		if !ok {
			return usagef("--dataset: got %q, want KIND:PATH", c.Dataset)
		}
		spec := kind + ":" + absolute(path)
		cfg.Dataset = config.DatasetSpec{Train: spec, Test: spec}
	}
	if c.Epochs != nil {
		if *c.Epochs < 0 {
			return usagef("--epochs: got %d, want 0 or more", *c.Epochs)
		}
		cfg.Epochs = *c.Epochs
	}
	if c.Seed != nil {
		cfg.Seed = *c.Seed
	}
	if c.LogDir != "" {
		cfg.LogDir = absolute(c.LogDir)
	}
	return nil
}
