package config

import (
	"encoding/json"
	"slices"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/distillation"
	"github.com/go-nncf/nncf/compress/sparsity"
)

func makeMagnitude(section json.RawMessage, c *Config) (compress.Algorithm, error) {
	o, err := decodeSection[sparsity.MagnitudeOptions](section)
	if err != nil {
		return nil, err
	}
	o.Ignored = append(slices.Clone(c.IgnoredScopes), o.Ignored...)
	return sparsity.NewMagnitude(o), o.Validate()
}

func makeRB(section json.RawMessage, c *Config) (compress.Algorithm, error) {
	o, err := decodeSection[sparsity.RBOptions](section)
	if err != nil {
		return nil, err
	}
	o.Ignored = append(slices.Clone(c.IgnoredScopes), o.Ignored...)
	o.Seed = c.Seed
	return sparsity.NewRB(o), o.Validate()
}

func makeConstant(section json.RawMessage, c *Config) (compress.Algorithm, error) {
	o, err := decodeSection[sparsity.ConstantOptions](section)
	if err != nil {
		return nil, err
	}
	o.Ignored = append(slices.Clone(c.IgnoredScopes), o.Ignored...)
	return sparsity.NewConstant(o), o.Validate()
}

func makeDistillation(section json.RawMessage, _ *Config) (compress.Algorithm, error) {
	o, err := decodeSection[distillation.Options](section)
	if err != nil {
		return nil, err
	}
	return distillation.New(o), o.Validate()
}

func makeMovement(section json.RawMessage, c *Config) (compress.Algorithm, error) {
	o, err := decodeSection[sparsity.MovementOptions](section)
	if err != nil {
		return nil, err
	}
	o.Ignored = append(slices.Clone(c.IgnoredScopes), o.Ignored...)
	return sparsity.NewMovement(o), o.Validate()
}
