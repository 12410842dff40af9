package cli

import (
	"fmt"

	"github.com/go-nncf/nncf/job"
)

type exportCmd struct {
	Checkpoint string `arg:"" help:"Checkpoint file of a run."`
	Output     string `short:"o" help:"ONNX file to write; default model.onnx beside the checkpoint." placeholder:"FILE"`
	Format     string `help:"Form of quantized models: qdq or fakequantize." enum:"qdq,fakequantize" default:"qdq"`
	Opset      int    `help:"Opset of the output; 0 keeps the model's, at least 13." default:"0" placeholder:"N"`
}

func (exportCmd) Help() string {
	return `A checkpoint holds all that is needed; the run's configuration is not read.

Examples:
  nncf export runs/best.ckpt -o model.onnx
  nncf export runs/best.ckpt -o openvino.onnx --format fakequantize`
}

func (c *exportCmd) Run(s *session) error {
	r, err := job.Export(s.ctx, c.Checkpoint, c.Output, job.ExportOptions{Format: c.Format, Opset: c.Opset}, nil, s.Threads)
	if err != nil {
		return err
	}
	if s.JSON {
		return s.printJSON(r)
	}
	_, err = fmt.Fprintf(s.Out, "%s: %s, %s bits, %d bytes\n", r.Path, r.Format, r.Bits, r.Bytes)
	return err
}
