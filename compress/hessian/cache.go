package hessian

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-nncf/nncf/internal/atomicfile"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// cacheVersion changes when equal keys would give other results.
const cacheVersion = "hessian traces 1"

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
		hashTensor(h, v.Data)
	}
	for _, c := range d.chunks {
		for _, t := range c {
			hashTensor(h, t)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashTensor(h hash.Hash, t *tensor.Tensor) {
	fmt.Fprintln(h, t.DType(), t.Shape())
	var buf []byte
	switch t.DType() {
	case tensor.Float32:
		for chunk := range slices.Chunk(t.F32(), 1<<14) {
			buf = buf[:0]
			for _, v := range chunk {
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
			}
			h.Write(buf)
		}
	case tensor.Int64:
		for _, v := range t.I64() {
			buf = binary.LittleEndian.AppendUint64(buf[:0], uint64(v))
			h.Write(buf)
		}
	default:
		fmt.Fprintln(h, t)
	}
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
