package cli

import (
	"cmp"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/ptq"
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/job"
)

type quantizeCmd struct {
	Model   string `arg:"" help:"ONNX file."`
	Output  string `short:"o" required:"" help:"ONNX file to write." placeholder:"FILE"`
	Samples *int   `help:"Calibration samples, drawn from the training part; default 300." placeholder:"N"`
	Config  string `help:"Configuration whose compression section to use, instead of the default INT8; also for the data set, the preprocessing, and post_training, which has most of these flags as keys. Flags go first." placeholder:"FILE"`
	Format  string `help:"Form of the output: qdq or fakequantize." enum:"qdq,fakequantize" default:"qdq"`
	Opset   int    `help:"Opset of the output; 0 keeps the model's, at least 13." default:"0" placeholder:"N"`
	Preset  string `help:"performance: symmetric activations; mixed: asymmetric ones. Replaces the configuration's." enum:",performance,mixed" default:"" placeholder:"NAME"`

	BiasCorrection  string   `help:"fast (default): by the mean inputs of layers; full: layer after layer on the quantized model; none." enum:",fast,full,none" default:"" placeholder:"HOW" group:"accuracy"`
	AlignChannels   string   `help:"Even out channels of activations between convolutions, exactly, by moving factors into weights: depthwise (default): where only depthwise convolutions read them; all; none." enum:",depthwise,all,none" default:"" placeholder:"WHICH" group:"accuracy"`
	SmoothQuant     *float64 `help:"Move outliers of activations into the weights of matrix products: the exponent, 0.5 to 0.95 for transformers; 0 is off, as it is by default." placeholder:"ALPHA" group:"accuracy"`
	LearnedRounding *bool    `help:"Round every weight up or down by the error of its layer's result." negatable:"" group:"accuracy"`

	MaxDrop  *float64 `help:"Return layers to more bits or to float, the most sensitive first, until top-1 is at most so many points below float's. What was tried is kept in NAME.search.json, from which the same command goes on." placeholder:"POINTS" group:"accuracy"`
	MaxError *float64 `help:"Return layers until the relative error of every output against the float model is at most this, such as 0.02, in the median image, with 95 % confidence by the held-out samples. Needs no labels; accuracies are not measured." placeholder:"RATIO" group:"accuracy"`
	HeldOut  *int     `help:"Samples of the test part that --max-error measures on; default 100." placeholder:"N" group:"accuracy"`
	ReturnTo string   `help:"Where --max-drop and --max-error return layers to: float (default); or 16bit, activations of 16 bits with weights as they are (opset 21), and float where that is not enough." enum:",float,16bit" default:"" placeholder:"WHERE" group:"accuracy"`
	MaxSteps *int     `help:"Models that --max-drop and --max-error try at most; 0 means as many as it takes, as by default." placeholder:"N" group:"accuracy"`

	NoEval bool `help:"Do not measure accuracies."`

	Confusion bool `help:"Report confusion matrices too."`
	dataFlags
}

func (quantizeCmd) Help() string {
	return `Collects the ranges of activations on calibration samples and writes an INT8
model. Accuracies of both models are measured on the test part unless --no-eval; of
data without labels, how far the outputs are from the float model's.

Examples:
  nncf quantize resnet20.onnx --dataset cifar10:data -o int8.onnx --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
  nncf quantize model.onnx --dataset imagefolder:images -o int8.onnx --resize 256 --crop 224
  nncf quantize model.onnx --config int4.json -o int4.onnx --max-drop 0.5
  nncf quantize detector.onnx --dataset npz:images.npz --raw --bgr -o int8.onnx --max-error 0.02`
}

// defaultCompression is INT8 with weights quantized per channel.
const defaultCompression = `{"compression": {"algorithm": "quantization", "weights": {"per_channel": true}}}`

// compression reads a configuration for its algorithms, the default one if no
// file is named or it has none.
func compression(file string) (*config.Config, []compress.Algorithm, error) {
	c, err := config.Parse("default", []byte(defaultCompression))
	if err == nil && file != "" {
		sections := c.Compression
		if c, err = config.Load(file); err == nil && len(c.Compression) == 0 {
			c.Compression = sections
		}
	}
	if err != nil {
		return nil, nil, err
	}
	algorithms, err := c.Algorithms()
	return c, algorithms, err
}

// postTraining returns the section of the configuration with the flags in place of
// its keys.
func (c *quantizeCmd) postTraining(p config.PostTraining) (config.PostTraining, error) {
	set := func(to *int, flag *int, name string, least int) error {
		if flag == nil {
			return nil
		}
		if *flag < least {
			return usagef("--%s: got %d, want %d or more", name, *flag, least)
		}
		*to = *flag
		return nil
	}
	a, k := &p.Advanced, &p.AccuracyControl
	if c.MaxDrop != nil || c.MaxError != nil {
		k.MaxDrop, k.MaxError = c.MaxDrop, c.MaxError
	}
	for _, err := range []error{
		set(&p.SubsetSize, c.Samples, "samples", 1),
		set(&k.HeldOut, c.HeldOut, "held-out", 1),
		set(&k.MaxIterations, c.MaxSteps, "max-steps", 0),
	} {
		if err != nil {
			return p, err
		}
	}
	p.Preset = cmp.Or(c.Preset, p.Preset)
	k.ReturnTo = cmp.Or(c.ReturnTo, k.ReturnTo)
	switch yes := c.BiasCorrection == ptq.FastBias; c.BiasCorrection {
	case ptq.NoBias:
		p.FastBiasCorrection, a.DisableBiasCorrection = nil, true
	case ptq.FastBias, ptq.FullBias:
		p.FastBiasCorrection, a.DisableBiasCorrection = &yes, false
	}
	if c.AlignChannels != "" {
		a.DisableChannelAlignment, a.AlignChannels = nil, c.AlignChannels
	}
	if c.SmoothQuant != nil {
		a.SmoothQuantAlphas.MatMul = c.SmoothQuant
	}
	if c.LearnedRounding != nil {
		a.LearnedRounding = *c.LearnedRounding
	}
	switch {
	case k.MaxDrop == nil && k.MaxError == nil && (c.MaxSteps != nil || c.ReturnTo != ""):
		return p, usagef("--max-steps and --return-to go with --max-drop or --max-error")
	case k.MaxError == nil && c.HeldOut != nil:
		return p, usagef("--held-out goes with --max-error")
	case c.MaxDrop != nil && c.MaxError != nil:
		return p, usagef("got --max-drop and --max-error, want one budget")
	case k.MaxError != nil && !(*k.MaxError > 0):
		return p, usagef("--max-error: got %g, want more than 0, such as 0.02", *k.MaxError)
	case k.MaxDrop != nil && !(*k.MaxDrop >= 0):
		return p, usagef("--max-drop: got %g, want 0 or more", *k.MaxDrop)
	case k.MaxDrop != nil && c.NoEval:
		return p, usagef("--max-drop: accuracy has to be measured, leave out --no-eval")
	}
	return p, nil
}

func (c *quantizeCmd) Run(s *session) error {
	cfg, algorithms, err := compression(c.Config)
	if err != nil {
		return err
	}
	p, err := c.postTraining(cfg.PostTraining)
	if err != nil {
		return err
	}
	o := job.QuantizeOptions{Model: c.Model, Output: c.Output, Algorithms: algorithms, Samples: p.Samples(),
		Export: job.ExportOptions{Format: c.Format, Opset: c.Opset}, Threads: s.Threads, Recovery: p.Options()}
	if o.Data, err = c.loader(cfg, data.Train, 0, true); err != nil {
		return err
	}
	k := p.AccuracyControl
	switch {
	case k.MaxError != nil: // needs no labels
		o.Control = &job.AccuracyControl{MaxError: *k.MaxError}
		o.Held, err = c.loader(cfg, data.Test, p.HeldOutSamples(), false)
	case k.MaxDrop != nil:
		o.Control = &job.AccuracyControl{MaxDrop: *k.MaxDrop}
		fallthrough
	default:
		if !c.NoEval {
			o.Eval, err = c.loader(cfg, data.Test, 0, false)
		}
	}
	if err != nil {
		return err
	}
	if o.Control != nil {
		o.Control.Return, o.Control.MaxSteps, o.Control.Probe = k.ReturnTo, k.MaxIterations, k.RankingSubset
	}
	bar := newProgress(s.Err)
	o.Options = job.Options{Logger: s.log, Progress: bar.report, Note: bar.note}
	r, err := job.Quantize(s.ctx, o)
	bar.end()
	if err != nil {
		return err
	}
	return s.printResult(r, c.Confusion)
}
