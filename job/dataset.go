package job

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/zoo"
)

// Defaults of batch sizes.
const (
	defaultBatch     = 128
	defaultEvalBatch = 250
)

// loaders opens the data sets of a configuration. eval is in order, calibration
// is the shuffled training data without augmentation.
func loaders(c *config.Config) (train, eval, calibration *data.Loader, err error) {
	if c.Dataset.Train == "" && c.Dataset.Test == "" {
		return nil, nil, nil, errors.New(`no data set: set "dataset" to kind:path, such as cifar10:data/cifar10`)
	}
	var errs []error
	open := func(spec string, split data.Split, first int) data.Dataset {
		ds, err := data.Open(c.Spec(spec), data.Options{Split: split, First: first})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s data: %w", split, err))
		}
		return ds
	}
	trainSet := open(first(c.Dataset.Train, c.Dataset.Test), data.Train, c.TrainSamples)
	var evalSet data.Dataset
	if c.ValidationSplit == 0 {
		evalSet = open(first(c.Dataset.Test, c.Dataset.Train), data.Test, c.EvalSamples)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, nil, err
	}
	if c.ValidationSplit > 0 {
		trainSet, evalSet = data.Holdout(trainSet, c.ValidationSplit, c.Seed)
		if c.EvalSamples > 0 {
			evalSet = data.First(evalSet, c.EvalSamples)
		}
	}
	train = &data.Loader{Dataset: trainSet, Transforms: c.TrainTransforms, Normalize: c.Preprocessing,
		Batch: orDefault(c.BatchSize, defaultBatch), Shuffle: true, DropLast: true, Seed: c.Seed, Workers: c.Workers}
	eval = &data.Loader{Dataset: evalSet, Transforms: c.EvalTransforms, Normalize: c.Preprocessing,
		Batch: orDefault(c.EvalBatchSize, defaultEvalBatch), Seed: c.Seed, Workers: c.Workers}
	calibration = &data.Loader{Dataset: trainSet, Transforms: c.EvalTransforms, Normalize: c.Preprocessing,
		Batch: orDefault(c.BatchSize, defaultBatch), Shuffle: true, Seed: c.Seed, Workers: c.Workers}
	if trainSet.Len() < train.Batch {
		train.DropLast = false
	}
	return train, eval, calibration, errors.Join(train.Validate(), eval.Validate())
}

func first(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

func orDefault(n, def int) int {
	if n > 0 {
		return n
	}
	return def
}

// loadModel loads the model a configuration names: a file, or a network of
// package zoo.
func loadModel(c *config.Config) (*nncf.Model, error) {
	switch {
	case c.Model == "":
		return nil, errors.New(`no model: set "model" to an .onnx file or to one of ` + strings.Join(zoo.Names(), ", "))
	case strings.EqualFold(filepath.Ext(c.Model), ".onnx"):
		return nncf.Load(c.Path(c.Model))
	}
	o := c.ModelParams
	if o.Seed == 0 {
		o.Seed = c.Seed
	}
	m, err := nncf.Build(c.Model, o)
	if err != nil {
		return nil, fmt.Errorf(`"model": %w, or the path of an .onnx file`, err)
	}
	return m, nil
}
