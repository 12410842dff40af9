package job

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/internal/atomicfile"
)

// Names of the files about how bits were chosen.
const (
	precisionName = "precision.json"
	paretoName    = "precision.svg" // the Pareto fronts
)

// writePrecision writes how bits were chosen by sensitivity, if they were, into
// a folder.
func writePrecision(c *nncf.Compressed, dir string) error {
	for _, x := range compress.All(c.Controller) {
		q, ok := x.(*quantization.Controller)
		if !ok || q.Precision() == nil {
			continue
		}
		raw, err := json.MarshalIndent(q.Precision(), "", "  ")
		if err != nil {
			return fmt.Errorf("precision: %w", err)
		}
		var b bytes.Buffer
		q.Precision().WriteSVG(&b)
		if err := atomicfile.WriteBytes(filepath.Join(dir, precisionName), raw); err != nil {
			return err
		}
		if err := atomicfile.WriteBytes(filepath.Join(dir, paretoName), b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}
