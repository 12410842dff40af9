package cli

import (
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/job"
)

type trainCmd struct {
	Config string  `arg:"" help:"Configuration file (JSON with comments)." type:"path"`
	Resume bool    `help:"Go on from the last checkpoint, if there is one."`
	Seed   *uint64 `help:"Seed of weights, order and augmentation, instead of the configuration's." placeholder:"N"`
	Epochs *int    `help:"Epochs, instead of the configuration's." placeholder:"N"`
}

func (trainCmd) Help() string {
	return `Loads the model, inserts what the configuration's compression section says,
initialises it from data, fine-tunes, evaluates, exports ONNX and compares the
exported file with the model that was trained.

Ctrl-C stops after the current step and writes a checkpoint.

Examples:
  nncf train examples/quickstart/int8.json
  nncf train int8.json --resume
  nncf train int8.json --json > result.json`
}

func (c *trainCmd) Run(s *session) error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	if c.Seed != nil {
		cfg.Seed = *c.Seed
	}
	if c.Epochs != nil {
		cfg.Epochs = *c.Epochs
	}
	if s.Threads > 0 {
		cfg.Threads = s.Threads
	}
	p := newProgress(s.Err)
	r, err := job.Train(s.ctx, cfg, job.Options{Resume: c.Resume, Logger: s.log, Progress: p.report, Note: p.note})
	if err != nil {
		return err
	}
	return s.printResult(r)
}

// printResult writes a result as JSON or as a table.
func (s *session) printResult(r *job.Result) error {
	if s.JSON {
		return s.printJSON(r)
	}
	return r.WriteTable(s.Out)
}
