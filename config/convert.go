package config

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/binarization"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/train"
)

// Path makes a path of the file absolute to the file's folder.
func (c *Config) Path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.Dir, p)
}

// Spec does the same within a kind:path data set name.
func (c *Config) Spec(s string) string {
	kind, path, ok := strings.Cut(s, ":")
	if !ok {
		return s
	}
	return kind + ":" + c.Path(path)
}

// TrainOptions returns the options of training. The defaults are the
// reference's: adam, learning rate 1e-4, weight decay 1e-4 (0 with
// rb_sparsity), momentum 0.9 for sgd, learning rate steps of 30 epochs. Training
// in stages without an optimizer section takes adam with base_lr (1e-3) and
// base_wd (1e-5) of the algorithm's params at a constant rate, as the original
// does; with one, base_lr and base_wd replace its rate and weight decay.
func (c *Config) TrainOptions() train.Options {
	o := c.Optimizer
	kind := strings.ToLower(o.Type)
	if kind == "" {
		kind = "adam"
	}
	decay := 1e-4
	if slices.ContainsFunc(c.Compression, func(s Section) bool { return s.Algorithm == "rb_sparsity" }) {
		decay = 0
	}
	for _, v := range []*float64{o.WeightDecay, o.Params.WeightDecay} {
		if v != nil {
			decay = *v
		}
	}
	momentum := 0.0
	if kind == "sgd" {
		momentum = 0.9
	}
	if o.Params.Momentum != nil {
		momentum = *o.Params.Momentum
	}
	lr := first(o.Params.LR, o.BaseLR, 1e-4)
	schedule := o.ScheduleType
	if schedule == "" {
		schedule = "step"
	}
	stages, staged := c.stages()
	if staged && reflect.ValueOf(o).IsZero() { // the original's, which then ignores the section
		lr, decay, schedule = 1e-3, 1e-5, "constant"
	}
	if stages.BaseLR != nil {
		lr = *stages.BaseLR
	}
	if stages.BaseDecay != nil {
		decay = *stages.BaseDecay
	}
	opt := train.Options{
		Optimizer: train.OptimizerOptions{Type: kind, WeightDecay: decay, Momentum: momentum, Nesterov: o.Params.Nesterov,
			Betas: o.Params.Betas, Epsilon: o.Params.Epsilon, Alpha: o.Params.Alpha},
		Schedule: train.ScheduleOptions{Type: schedule, LR: lr, Epochs: float64(c.Epochs),
			Gamma: first(o.Gamma, o.SchedulerParams.Gamma), StepSize: first(o.Step, o.SchedulerParams.StepSize),
			Steps: o.Steps, Power: first(o.Power, o.SchedulerParams.Power), MinLR: o.MinLR, WarmupEpochs: o.WarmupEpochs,
			Patience: o.SchedulerParams.Patience, Cooldown: o.SchedulerParams.Cooldown, Threshold: o.SchedulerParams.Threshold},
		Loss:       train.LossOptions{Type: c.Loss.Type, LabelSmoothing: c.Loss.LabelSmoothing, Temperature: c.Loss.Temperature},
		Accumulate: c.Accumulate,
		ClipNorm:   c.GradientClip,
		BatchNorm:  pass.TrainingOptions{FreezeBatchNorm: c.BatchNorm.Freeze, Momentum: c.BatchNorm.Momentum},
		Threads:    c.Threads,
		MaxMemory:  c.MaxMemory,
	}
	if start, epochs, ok := stages.Drop(); ok {
		opt.Schedule.Drop.Start, opt.Schedule.Drop.Epochs = float64(start), float64(epochs)
	}
	if e := stages.NoDecayStart; e != nil {
		opt.Schedule.Drop.NoDecayAfter, opt.Schedule.Drop.EndDecay = float64(*e), true
	}
	if opt.Accumulate == 0 {
		opt.Accumulate = int(stages.BatchMultiplier)
	}
	if o.Steps == nil {
		opt.Schedule.Steps = o.SchedulerParams.Milestone
	}
	for _, g := range o.ParameterGroups {
		p := train.ParameterGroup{Pattern: g.Pattern, WeightDecay: g.WeightDecay}
		if g.LR != nil {
			scale := *g.LR / lr
			p.LRScale = &scale
		}
		opt.Optimizer.Groups = append(opt.Optimizer.Groups, p)
	}
	return opt
}

// stages returns the parameters of training in stages, from the first algorithm
// that is trained so: binarization always is.
func (c *Config) stages() (s compress.Stages, staged bool) {
	for _, section := range c.Compression {
		var keys struct {
			Params *json.RawMessage `json:"params"`
		}
		if section.Algorithm != binarization.Name && section.Algorithm != quantization.Name || json.Unmarshal(section.JSON, &keys) != nil {
			continue
		}
		if keys.Params != nil {
			s = compress.Stages{}
			if json.Unmarshal(*keys.Params, &s) != nil { // told when the algorithm is made
				s = compress.Stages{}
			}
			staged = staged || s != (compress.Stages{}) // as package quantization decides
		}
		if staged = staged || section.Algorithm == binarization.Name; staged {
			return s, true
		}
	}
	return compress.Stages{}, false
}

// first returns the first value that is not zero.
func first[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}
