package cli

import (
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/job"
)

// sensitivityFlags are those of inspect --sensitivity.
type sensitivityFlags struct {
	Sensitivity bool `help:"Quantize as nncf quantize does and rank the layers by the error of the outputs when each alone is quantized; with noise in place, clipping, cost, and a list of ignored_scopes." xor:"form" group:"quantization"`
	Probe       int  `help:"Samples to measure --sensitivity on." default:"50" placeholder:"N" group:"quantization"`
	Accuracy    int  `help:"Measure the accuracy for each layer of --sensitivity too, on so many samples of the test part; 0 does not." default:"0" placeholder:"N" group:"quantization"`
}

func (f sensitivityFlags) check() error {
	switch {
	case f.Probe < 1:
		return usagef("--probe: got %d, want 1 or more", f.Probe)
	case f.Accuracy < 0:
		return usagef("--accuracy: got %d, want 0 or more", f.Accuracy)
	case f.Accuracy > 0 && !f.Sensitivity:
		return usagef("--accuracy: it is measured by --sensitivity")
	}
	return nil
}

// sensitivity prints the report.
func (c *inspectCmd) sensitivity(s *session) error {
	cfg, algorithms, err := compression(c.Config)
	if err != nil {
		return err
	}
	recovery := cfg.PostTraining.Options()
	recovery.Subset = c.Samples
	o := job.SensitivityOptions{Model: c.Model, Algorithms: algorithms, Recovery: recovery, Probe: c.Probe, Threads: s.Threads}
	if o.Data, err = c.loader(cfg, data.Train, 0, true); err != nil {
		return err
	}
	if c.Accuracy > 0 {
		if o.Eval, err = c.loader(cfg, data.Test, c.Accuracy, false); err != nil {
			return err
		}
	}
	p := newProgress(s.Err)
	o.Options = job.Options{Logger: s.log, Progress: p.report, Note: p.note}
	r, err := job.Sensitivity(s.ctx, o)
	p.end()
	if err != nil {
		return err
	}
	if s.JSON {
		return s.printJSON(r)
	}
	return r.WriteTable(s.Out)
}
