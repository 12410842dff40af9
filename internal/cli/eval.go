package cli

import (
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/job"
)

type evalCmd struct {
	Model   string `arg:"" help:"ONNX file." type:"path"`
	Samples int    `help:"Use the first so many samples; 0 means all." default:"0" placeholder:"N"`
	dataFlags
}

func (evalCmd) Help() string {
	return `Examples:
  nncf eval resnet20.onnx --dataset cifar10:data --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
  nncf eval squeezenet.onnx --dataset imagefolder:val --resize 256 --crop 227 --raw --bgr --mean 104,117,123`
}

func (c *evalCmd) Run(s *session) error {
	l, err := c.loader(data.Test, c.Samples, false)
	if err != nil {
		return err
	}
	p := newProgress(s.Err)
	r, err := job.Evaluate(s.ctx, c.Model, l, s.Threads, job.Options{Logger: s.log, Progress: p.report, Note: p.note})
	if err != nil {
		return err
	}
	return s.printResult(r)
}
