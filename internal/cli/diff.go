package cli

import (
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/job"
)

type diffCmd struct {
	First   string `arg:"" help:"ONNX file, the reference."`
	Second  string `arg:"" help:"ONNX file to compare with it."`
	Config  string `help:"Configuration to take the data set and the preprocessing from." placeholder:"FILE"`
	Samples int    `help:"Samples to compare on, the first of the test part." default:"100" placeholder:"N"`
	Worst   int    `help:"List only so many values, the most different ones first; 0 lists all in order." default:"0" placeholder:"N"`
	dataFlags
}

func (diffCmd) Help() string {
	return `Runs both models on the same samples and compares the values that both have
under one name: a float model with the INT8 model exported from it, two exports,
a model before and after training. SQNR is 10·log10 of signal over noise: 40 dB
is an error of 1 %, 20 dB of 10 %. The relative error is that of all samples
together; beside it stand the median over the samples and the worst one, with its
number, counted from 0 in the order of the data set.

Examples:
  nncf diff resnet20.onnx int8.onnx --dataset cifar10:data --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
  nncf diff model.onnx int8.onnx --config int8.json --worst 10
  nncf diff qdq.onnx fakequantize.onnx --config int8.json --json`
}

func (c *diffCmd) Run(s *session) error {
	if c.Samples < 1 {
		return usagef("--samples: got %d, want 1 or more", c.Samples)
	}
	if c.Worst < 0 {
		return usagef("--worst: got %d, want 0 or more", c.Worst)
	}
	cfg, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	l, err := c.loader(cfg, data.Test, c.Samples, false)
	if err != nil {
		return err
	}
	p := newProgress(s.Err)
	r, err := job.Diff(s.ctx, c.First, c.Second, l, c.Samples, s.Threads, job.Options{Logger: s.log, Progress: p.report, Note: p.note})
	p.end()
	if err != nil {
		return err
	}
	if s.JSON {
		return s.printJSON(r)
	}
	return r.WriteTable(s.Out, c.Worst)
}
