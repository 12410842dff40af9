package job

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/train"
	"github.com/go-nncf/nncf/zoo"
)

// Defaults of batch sizes.
const (
	defaultBatch     = 128
	defaultEvalBatch = 250
)

// loaders opens the data sets of a configuration. eval is in order, calibration
// is the shuffled training data without augmentation.
func loaders(c *config.Config) (training, eval, calibration *data.Loader, err error) {
	if c.Dataset.Train == "" {
		return nil, nil, nil, errors.New(`no training data: set "dataset" to kind:path, such as cifar10:data/cifar10`)
	}
	var errs []error
	open := func(spec string, split data.Split, first int) data.Dataset {
		ds, err := data.Open(c.Spec(spec), data.Options{Split: split, First: first})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s data: %w", split, err))
		}
		return ds
	}
	trainSet := open(c.Dataset.Train, data.Train, c.TrainSamples)
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
		if trainSet.Len() == 0 || evalSet.Len() == 0 {
			return nil, nil, nil, fmt.Errorf(`"validation_split" of %g leaves %d samples for training and %d for evaluation`, c.ValidationSplit, trainSet.Len(), evalSet.Len())
		}
	}
	training = &data.Loader{Dataset: trainSet, Transforms: c.TrainTransforms, Normalize: c.Preprocessing,
		Batch: orDefault(c.BatchSize, defaultBatch), Shuffle: true, DropLast: true, Seed: c.Seed, Workers: c.Workers}
	eval = &data.Loader{Dataset: evalSet, Transforms: c.EvalTransforms, Normalize: c.Preprocessing,
		Batch: orDefault(c.EvalBatchSize, defaultEvalBatch), Seed: c.Seed, Workers: c.Workers}
	if unlabelled(c) {
		if c.EvalSamples == 0 {
			eval.Dataset = data.First(evalSet, unlabelledSamples)
		}
		if c.EvalBatchSize == 0 {
			eval.Batch = unlabelledBatch
		}
	}
	calibration = &data.Loader{Dataset: trainSet, Transforms: c.EvalTransforms, Normalize: c.Preprocessing,
		Batch: orDefault(c.BatchSize, defaultBatch), Shuffle: true, Seed: c.Seed, Workers: c.Workers}
	if trainSet.Len() < training.Batch {
		training.DropLast = false
	}
	return training, eval, calibration, errors.Join(training.Validate(), eval.Validate())
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
		return nil, errors.New(`no model: set "model" to the path of an .onnx file or to one of ` + strings.Join(zoo.Names(), ", "))
	case isFile(c):
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

// isFile reports whether a configuration's model is a file.
func isFile(c *config.Config) bool { return strings.EqualFold(filepath.Ext(c.Model), ".onnx") }

// Fit makes loaders serve m: one that reads sequences gets images of one channel
// as such, one with the channels behind, as TensorFlow has them, gets images so. A
// model whose fixed batch is not that of a loader gets a free one; where that cannot
// be done, loaders get the model's batch. More classes than the model has outputs
// are an error. Loaders may be nil.
func Fit(ctx context.Context, m *nncf.Model, o *Options, threads int, loaders ...*data.Loader) error {
	if n, fixed := m.Graph.FixedBatch(); fixed && n > 0 && slices.ContainsFunc(loaders, func(l *data.Loader) bool { return l != nil && l.BatchSize() != n }) {
		if err := nncf.FreeBatch(ctx, m, engine.Options{Threads: threads, Logger: o.Logger}); err != nil {
			o.note("the model keeps its batch of %d: %v", n, err)
		} else {
			o.note("the model has a fixed batch of %d: it is free here, exported files have it again", n)
		}
	}
	return serve(m.Graph, o.note, loaders...)
}

// arrange chooses the order of axes in which the loader gives images: [H W C] if
// only the last axis of the input in has as many elements as they have channels.
func arrange(l *data.Loader, in ir.Type) error {
	l.ChannelsLast = false
	if in.Rank() != 4 || data.Fields(l.Dataset) != nil {
		return nil
	}
	shape, err := l.Shape()
	if err != nil {
		return err
	}
	channels := ir.Len(shape[0])
	l.ChannelsLast = in.Dims[3].Equal(channels) && !in.Dims[1].Equal(channels)
	return nil
}

// selectArrays gives the loader of a data set of arrays those that the inputs of g
// want; image data sets stay.
func selectArrays(l *data.Loader, g *ir.Graph) error {
	have := data.Fields(l.Dataset)
	if have == nil {
		if len(g.Inputs) != 1 {
			return fmt.Errorf("the model has %d inputs, a data set of images feeds one: use an npz file with an array for each input", len(g.Inputs))
		}
		return nil
	}
	var want []data.Field
	for _, v := range g.Inputs {
		want = append(want, data.Field{Name: v.Name, DType: v.Type.DType})
	}
	ds, err := data.Select(l.Dataset, want)
	if err != nil {
		return fmt.Errorf("the data set does not fit the model: %w", err)
	}
	l.Dataset = ds
	return nil
}

// serve is [Fit] for a graph that stays as it is: with a fixed batch axis loaders
// get its batch, and leave out samples that do not fill one.
func serve(g *ir.Graph, note func(string, ...any), loaders ...*data.Loader) error {
	if len(g.Inputs) == 0 {
		return errors.New("the model has no inputs")
	}
	in := g.Inputs[0].Type
	if in.Rank() == 0 {
		return fmt.Errorf("input %q is %v, want a batch axis", g.Inputs[0].Name, in)
	}
	scores := train.Logits(g)
	batch, fixed := g.FixedBatch()
	for _, l := range loaders {
		if l == nil {
			continue
		}
		if err := selectArrays(l, g); err != nil {
			return err
		}
		l.Sequences = in.Rank() == 3
		if err := arrange(l, in); err != nil {
			return err
		}
		if scores.Type.IsScores() { // the classes of images mean nothing to a detector
			n := len(l.Dataset.Classes())
			if k, known := scores.Type.Dims[1].Known(); known && n > k {
				return fmt.Errorf("the data set has %d classes, output %q of the model has %d: choose the data set that the model is for, or a model with %d outputs", n, scores.Name, k, n)
			}
		}
		if !fixed || batch == l.BatchSize() {
			continue
		}
		if batch == 0 {
			return fmt.Errorf("input %q is %v, want a batch axis of 1 or more", g.Inputs[0].Name, in)
		}
		note("the model has a fixed batch of %d: running in batches of %d instead of %d", batch, batch, l.BatchSize())
		l.Batch = batch
		if rest := l.Dataset.Len() % batch; rest != 0 && !l.DropLast {
			if rest == l.Dataset.Len() {
				return fmt.Errorf("the model has a fixed batch of %d, the data set only %d samples: export the model with a free batch axis", batch, rest)
			}
			note("leaving out the last %d of %d samples, which do not fill a batch", rest, l.Dataset.Len())
			l.Dataset = data.First(l.Dataset, l.Dataset.Len()-rest)
		}
	}
	return nil
}
