package config

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/data"
)

// reference are keys of the original that say in another way what keys of
// Config say.
type reference struct {
	NumClasses        int    `json:"num_classes"`
	DatasetDir        string `json:"dataset_dir"`
	HWConfigType      string `json:"hw_config_type"`
	CheckpointSaveDir string `json:"checkpoint_save_dir"`
	Preprocessing     struct {
		Coefficient float64 `json:"normalize_coef"`
		RGB         *bool   `json:"rgb"`
		Normalize   *struct {
			Mean []float64 `json:"mean"`
			Std  []float64 `json:"std"`
		} `json:"normalize"`
		Resize *struct {
			Height int `json:"height"`
			Width  int `json:"width"`
		} `json:"resize"`
	} `json:"preprocessing"`
}

// complete fills fields of c that are not set from the original's keys.
func (c *Config) complete(text []byte) error {
	var r reference
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	if c.ModelParams.Classes == 0 {
		c.ModelParams.Classes = r.NumClasses
	}
	if c.TargetDevice == "" {
		c.TargetDevice = r.HWConfigType
	}
	c.TargetDevice = strings.ToUpper(c.TargetDevice)
	if c.Checkpoint.Dir == "" {
		c.Checkpoint.Dir = r.CheckpointSaveDir
	}
	if r.DatasetDir != "" {
		c.Dataset.Train = named(c.Dataset.Train, r.DatasetDir)
		c.Dataset.Test = named(c.Dataset.Test, r.DatasetDir)
	}
	p := r.Preprocessing
	c.Preprocessing.Raw = c.Preprocessing.Raw || p.Coefficient == 1
	c.Preprocessing.BGR = c.Preprocessing.BGR || p.RGB != nil && !*p.RGB
	if n := p.Normalize; n != nil {
		if c.Preprocessing.Mean == nil {
			c.Preprocessing.Mean = n.Mean
		}
		if c.Preprocessing.Std == nil {
			c.Preprocessing.Std = n.Std
		}
	}
	if s := p.Resize; s != nil {
		t := data.Resize{Height: s.Height, Width: s.Width}
		c.TrainTransforms = slices.Insert(c.TrainTransforms, 0, data.Transform(t))
		c.EvalTransforms = slices.Insert(c.EvalTransforms, 0, data.Transform(t))
	}
	return nil
}

// named turns the original's name of a data set into kind:path.
func named(name, dir string) string {
	switch strings.ToLower(name) {
	case "cifar10", "cifar100":
		return strings.ToLower(name) + ":" + dir
	case "imagenet":
		return "imagefolder:" + dir
	}
	return name
}
