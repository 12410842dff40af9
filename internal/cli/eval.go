package cli

import (
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/internal/runtimes"
	"github.com/go-nncf/nncf/job"
)

type evalCmd struct {
	Model     string `arg:"" help:"ONNX file."`
	Config    string `help:"Configuration to take the data set and the preprocessing from." placeholder:"FILE"`
	Samples   int    `help:"Use the first so many samples; 0 means all." default:"0" placeholder:"N"`
	Confusion bool   `help:"Report the confusion matrix too: rows are labels, columns predictions."`
	runtimeFlags
	dataFlags
}

func (evalCmd) Help() string {
	return `Accuracies are in percent.

Examples:
  nncf eval resnet20.onnx --dataset cifar10:data --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
  nncf eval squeezenet.onnx --dataset imagefolder:val --resize 256 --crop 227 --raw --bgr --mean 104,117,123
  nncf eval runs/int8/model.onnx --config int8.json --json
  nncf eval int8.onnx --config int8.json --runtime onnxruntime`
}

func (c *evalCmd) Run(s *session) error {
	if c.Samples < 0 {
		return usagef("--samples: got %d, want 0 or more", c.Samples)
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
	o := job.Options{Logger: s.log, Progress: p.report, Note: p.note}
	var r *job.Result
	if c.foreign() {
		var f *runtimes.Session
		if f, err = c.open(c.Model, s.Threads, runtimes.Options{}); err != nil {
			return err
		}
		defer f.Close()
		r, err = job.EvaluateIn(s.ctx, f, c.Model, l, o)
	} else {
		r, err = job.Evaluate(s.ctx, c.Model, l, s.Threads, o)
	}
	p.end()
	if err != nil {
		return err
	}
	return s.printResult(r, c.Confusion)
}
