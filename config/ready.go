package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-nncf/nncf/zoo"
)

// Ready reports everything that keeps a valid configuration from being run and
// can be told before: algorithms and keys that are not supported yet, models
// and data that are not there.
func (c *Config) Ready() error {
	var errs []error
	for _, e := range c.later {
		errs = append(errs, e)
	}
	if _, err := c.Algorithms(); err != nil {
		errs = append(errs, split(err)...)
	}
	errs = append(errs, c.modelReady(), c.datasetReady())
	return errors.Join(errs...)
}

// modelReady reports a model that cannot be had. None at all is not reported:
// the command may name it.
func (c *Config) modelReady() error {
	fail := func(key, format string, args ...any) error {
		return c.problem(key, c.Model == c.read.model, format, args...)
	}
	switch {
	case c.Model == "":
		return nil
	case strings.EqualFold(filepath.Ext(c.Model), ".onnx"):
		if _, err := os.Stat(c.Path(c.Model)); err != nil {
			return fail("model", "%v", err)
		}
	case !zoo.Known(c.Model):
		return fail("model", "got %q, want the path of an .onnx file or one of %s", c.Model, strings.Join(zoo.Names(), ", "))
	case c.Pretrained:
		return fail("pretrained", "built-in networks have random weights; set model to an .onnx file of a trained %s, or pretrained to false", c.Model)
	}
	return nil
}

// datasetReady reports data that are not there.
func (c *Config) datasetReady() error {
	var errs []error
	specs := []string{c.Dataset.Train}
	if c.Dataset.Test != c.Dataset.Train {
		specs = append(specs, c.Dataset.Test)
	}
	for _, spec := range specs {
		_, path, ok := strings.Cut(c.Spec(spec), ":")
		var err error
		switch {
		case spec == "":
			continue
		case !ok:
			err = fmt.Errorf("got %q, want kind:path, or the original's names with dataset_dir", spec)
		default:
			_, err = os.Stat(path)
		}
		if err != nil {
			errs = append(errs, c.problem("dataset", c.Dataset == c.read.dataset, "%v", err))
		}
	}
	return errors.Join(errs...)
}

// problem is a problem of a key of the root; asRead says that the value is the
// file's.
func (c *Config) problem(key string, asRead bool, format string, args ...any) error {
	if e, ok := c.read.places[key]; ok && asRead {
		e.Reason = fmt.Sprintf(format, args...)
		return &e
	}
	return fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...))
}
