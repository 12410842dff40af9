package config

import (
	"encoding/json"
	"slices"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/pruning"
)

func makePruning(section json.RawMessage, c *Config) (compress.Algorithm, error) {
	o, err := decodeSection[pruning.Options](section)
	if err != nil {
		return nil, err
	}
	o.Ignored = append(slices.Clone(c.IgnoredScopes), o.Ignored...)
	if o.Params.PruningSteps == 0 && c.Epochs > 0 {
		o.Params.PruningSteps = pruningSteps(c.Epochs - o.Params.NumInitSteps)
	}
	for _, path := range []*string{&o.Params.LoadCoeffs, &o.Params.SaveCoeffs} {
		if *path != "" {
			*path = c.Path(*path)
		}
	}
	return pruning.New(o), o.Validate()
}

// pruningSteps is the number of epochs until the target that a configuration
// leaves open: the first half of training, so that the second half recovers.
func pruningSteps(epochs int) int {
	return min(pruning.DefaultSteps, max(1, (epochs+1)/2))
}
