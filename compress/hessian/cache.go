package hessian

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-nncf/nncf/internal/atomicfile"
	"github.com/go-nncf/nncf/ir"
)

// cacheVersion changes when equal keys would give other results.
const cacheVersion = "hessian traces 2"

// cacheKey is a hash of everything the traces follow from: the graph with its
// stored tensors, the samples with their targets, and the options.
func cacheKey(g *ir.Graph, weights []string, d *points, opt Options) (string, error) {
	h := sha256.New()
	text, err := ir.Print(g)
	if err != nil {
		return "", err
	}
	fmt.Fprintln(h, cacheVersion, opt, weights, d.ownLabels, text)
	for _, v := range g.Stored() {
		fmt.Fprintln(h, v.Name, v.Kind)
		v.Data.Hash(h)
	}
	for _, c := range d.chunks {
		for _, t := range c {
			t.Hash(h)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func cachePath(dir, key string) string { return filepath.Join(dir, "hessian-"+key[:32]+".json") }

// readCache returns nil unless a whole result of the same key is there.
func readCache(dir, key string) *Result {
	if dir == "" {
		return nil
	}
	raw, err := os.ReadFile(cachePath(dir, key))
	if err != nil {
		return nil
	}
	var f struct {
		Key string `json:"key"`
		Result
	}
	if json.Unmarshal(raw, &f) != nil || f.Key != key || len(f.Traces) == 0 {
		return nil
	}
	f.Cached = true
	return &f.Result
}

// writeCache keeps a result; the file appears whole. A folder that cannot be
// written is an error: who named it wants to know.
func writeCache(dir, key string, r *Result) error {
	if dir == "" {
		return nil
	}
	raw, err := json.MarshalIndent(struct {
		Key string `json:"key"`
		*Result
	}{key, r}, "", "  ")
	if err != nil {
		return err
	}
	if err = os.MkdirAll(dir, 0o755); err == nil {
		err = atomicfile.WriteBytes(cachePath(dir, key), raw)
	}
	if err != nil {
		return fmt.Errorf("cache of Hessian traces: %w", err)
	}
	return nil
}
