// Package config reads the JSON that describes a run: the configurations of
// the original NNCF, unchanged, with keys of our own where it has none.
//
// Comments and trailing commas are allowed. All problems of a file are reported
// together, each with its line and the nearest valid key. The package decides
// nothing about models or data; it turns text into the options of the packages
// that do. docs/config.md lists every key. Start at [Load].
package config

import (
	"encoding/json"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/zoo"
)

// Config describes a run. Keys marked NNCF have the original's meaning.
type Config struct {
	// Dir is the folder of the file; relative paths are relative to it.
	Dir string `json:"-"`
	// Warnings are mistakes that do no harm, Unused the keys that were accepted
	// and have no effect here.
	Warnings Errors   `json:"-"`
	Unused   []string `json:"-"`
	later    Errors   // keys that are not supported yet
	read     source

	// Model is the path of an .onnx file or the name of a built-in network (NNCF: model).
	Model string `json:"model,omitempty"`
	// ModelParams are the settings of a built-in network.
	ModelParams zoo.Options `json:"model_params,omitzero"`
	// Pretrained asks for the original's trained weights (NNCF); see Ready.
	Pretrained bool `json:"pretrained,omitempty"`
	// InputInfo describes the model's inputs (NNCF).
	InputInfo InputInfos `json:"input_info,omitempty"`

	// Dataset names the data: one kind:path, or train and test.
	Dataset DatasetSpec `json:"dataset,omitzero"`
	// Preprocessing turns pixels into what the network gets.
	Preprocessing data.Normalize `json:"preprocessing,omitzero"`
	// TrainTransforms change training images, EvalTransforms those of evaluation and calibration.
	TrainTransforms data.Transforms `json:"train_transforms,omitempty"`
	EvalTransforms  data.Transforms `json:"eval_transforms,omitempty"`
	// TrainSamples and EvalSamples limit the data to the first so many; 0 is all.
	TrainSamples int `json:"train_samples,omitempty"`
	EvalSamples  int `json:"eval_samples,omitempty"`
	// ValidationSplit holds back this share of the training data for evaluation.
	ValidationSplit float64 `json:"validation_split,omitempty"`
	// Workers is the number of goroutines that prepare batches; default 1.
	Workers int `json:"workers,omitempty"`

	// BatchSize of training (NNCF; default 128) and EvalBatchSize (default 250).
	BatchSize     int `json:"batch_size,omitempty"`
	EvalBatchSize int `json:"eval_batch_size,omitempty"`
	// Epochs of training (NNCF).
	Epochs int `json:"epochs,omitempty"`
	// Seed of weights, order and augmentation (NNCF).
	Seed uint64 `json:"seed,omitempty"`
	// Threads of the engine; default one per core.
	Threads int `json:"threads,omitempty"`
	// MaxMemory bounds the memory of a training step in bytes, 0 means not at
	// all. Like threads it changes no result; files do not set it.
	MaxMemory int64 `json:"-"`

	Optimizer    Optimizer `json:"optimizer,omitzero"` // NNCF
	Loss         Loss      `json:"loss,omitzero"`
	GradientClip float64   `json:"gradient_clip,omitempty"` // global L2 norm
	Accumulate   int       `json:"accumulate,omitempty"`    // batches per update
	BatchNorm    BatchNorm `json:"batch_norm,omitzero"`

	// Compression is one algorithm's section or a list of them (NNCF).
	Compression Sections `json:"compression,omitempty"`
	// AccuracyAware trains until the accuracy is good enough, or the level is as high
	// as that allows (NNCF).
	AccuracyAware *AccuracyAware `json:"accuracy_aware_training,omitempty"`
	// PostTraining are the options of quantization after training.
	PostTraining PostTraining `json:"post_training,omitzero"`
	// TargetDevice chooses the hardware rules (NNCF).
	TargetDevice string `json:"target_device,omitempty"`
	// IgnoredScopes are ignored by every algorithm (NNCF).
	IgnoredScopes compress.Entries `json:"ignored_scopes,omitempty"`

	// LogDir is where files of a run go (NNCF; default runs/ beside the file).
	LogDir string `json:"log_dir,omitempty"`
	// Output is the exported model.
	Output Output `json:"output,omitzero"`
	// Checkpoint says when to save.
	Checkpoint Checkpoint `json:"checkpoint,omitzero"`
}

// source is what the file said where, for problems that show only later.
type source struct {
	places  map[string]Error // of the keys of the root
	model   string
	dataset DatasetSpec
}

// InputInfo describes one input of the model.
type InputInfo struct {
	SampleSize []int  `json:"sample_size,omitempty"` // with the batch axis
	Type       string `json:"type,omitempty"`        // float or long
	Filler     string `json:"filler,omitempty"`      // of mock inputs; not used
	Keyword    string `json:"keyword,omitempty"`     // of mock inputs; not used
}

// InputInfos is one object or a list of them.
type InputInfos []InputInfo

// UnmarshalJSON accepts an object or a list.
func (l *InputInfos) UnmarshalJSON(b []byte) error { return oneOrMany(b, (*[]InputInfo)(l)) }

// Section is the configuration of one algorithm, as written.
type Section struct {
	Algorithm string
	JSON      json.RawMessage
	place     Error // where it stands
}

// Sections is one algorithm or a list of them.
type Sections []Section

// UnmarshalJSON accepts an object or a list; an empty object means none.
func (l *Sections) UnmarshalJSON(b []byte) error {
	var raw []json.RawMessage
	if err := oneOrMany(b, &raw); err != nil {
		return err
	}
	for _, r := range raw {
		var head struct {
			Algorithm string `json:"algorithm"`
		}
		if err := json.Unmarshal(r, &head); err != nil {
			return err
		}
		if head.Algorithm == "" { // an empty object; the schema lets no other through
			continue
		}
		*l = append(*l, Section{Algorithm: head.Algorithm, JSON: r})
	}
	return nil
}

// MarshalJSON writes the sections as they were read.
func (l Sections) MarshalJSON() ([]byte, error) {
	raw := make([]json.RawMessage, len(l))
	for i, s := range l {
		raw[i] = s.JSON
	}
	return json.Marshal(raw)
}

func oneOrMany[T any](b []byte, list *[]T) error {
	for _, c := range b {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case '[':
			return json.Unmarshal(b, list)
		}
		break
	}
	var one T
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	*list = append(*list, one)
	return nil
}

// DatasetSpec names the data sets: kind:path, see data.Open.
type DatasetSpec struct {
	Train string `json:"train,omitempty"`
	Test  string `json:"test,omitempty"`
}

// UnmarshalJSON accepts a string, which names a set with both parts, or an object.
func (d *DatasetSpec) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		d.Train, d.Test = s, s
		return nil
	}
	type plain DatasetSpec
	return json.Unmarshal(b, (*plain)(d))
}

// Optimizer is the original's optimizer section, with cosine schedules and
// warm-up added.
type Optimizer struct {
	Type            string           `json:"type,omitempty"`    // sgd, adam, adamw, rmsprop; any case; default adam
	BaseLR          float64          `json:"base_lr,omitempty"` // default 1e-4
	WeightDecay     *float64         `json:"weight_decay,omitempty"`
	Params          OptimizerParams  `json:"optimizer_params,omitzero"`
	ParameterGroups []ParameterGroup `json:"parameter_groups,omitempty"`
	ScheduleType    string           `json:"schedule_type,omitempty"` // step, multistep, plateau, poly, exp, cosine, constant
	Steps           []float64        `json:"steps,omitempty"`
	Step            float64          `json:"step,omitempty"`
	Gamma           float64          `json:"gamma,omitempty"`
	Power           float64          `json:"power,omitempty"`
	SchedulerParams SchedulerParams  `json:"scheduler_params,omitzero"`
	WarmupEpochs    float64          `json:"warmup_epochs,omitempty"`
	MinLR           float64          `json:"min_lr,omitempty"`
}

// OptimizerParams are passed to the optimizer as they are.
type OptimizerParams struct {
	LR          float64    `json:"lr,omitempty"`
	Momentum    *float64   `json:"momentum,omitempty"`
	Nesterov    bool       `json:"nesterov,omitempty"`
	WeightDecay *float64   `json:"weight_decay,omitempty"`
	Betas       [2]float64 `json:"betas,omitzero"`
	Epsilon     float64    `json:"eps,omitempty"`
	Alpha       float64    `json:"alpha,omitempty"`
	AMSGrad     bool       `json:"amsgrad,omitempty"`
}

// SchedulerParams are passed to the schedule as they are.
type SchedulerParams struct {
	Threshold float64   `json:"threshold,omitempty"`
	Cooldown  int       `json:"cooldown,omitempty"`
	Patience  int       `json:"patience,omitempty"`
	Gamma     float64   `json:"gamma,omitempty"`
	StepSize  float64   `json:"step_size,omitempty"`
	Milestone []float64 `json:"milestones,omitempty"`
	Power     float64   `json:"power,omitempty"`
}

// ParameterGroup is the settings of parameters whose names match.
type ParameterGroup struct {
	Pattern     string   `json:"re,omitempty"`
	LR          *float64 `json:"lr,omitempty"`
	WeightDecay *float64 `json:"weight_decay,omitempty"`
}

// Loss is the task loss.
type Loss struct {
	Type           string  `json:"type,omitempty"`
	LabelSmoothing float64 `json:"label_smoothing,omitempty"`
	Temperature    float64 `json:"temperature,omitempty"`
}

// BatchNorm says how batch normalization is trained.
type BatchNorm struct {
	Freeze   bool    `json:"freeze,omitempty"`
	Momentum float32 `json:"momentum,omitempty"` // weight of the old value

	// Insert puts normalization behind convolutions that have none, with the
	// statistics of InsertSamples samples (2000 by default).
	Insert        bool `json:"insert,omitempty"`
	InsertSamples int  `json:"insert_samples,omitempty"`
}

// Output is the exported model.
type Output struct {
	Path   string `json:"path,omitempty"`   // default model.onnx in the log folder
	Format string `json:"format,omitempty"` // qdq (default), fakequantize
	Opset  int    `json:"opset,omitempty"`
}

// Checkpoint says when and where to save.
type Checkpoint struct {
	Dir string `json:"dir,omitempty"` // default the log folder
	// EverySteps saves within epochs too; 0 saves after each epoch only.
	EverySteps int `json:"every_steps,omitempty"`
}
