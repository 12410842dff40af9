package hessian

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"os"
	"path/filepath"

	"github.com/go-nncf/nncf/internal/atomicfile"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
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
		hashTensor(h, v.Data)
	}
	for _, c := range d.chunks {
		for _, t := range c {
			hashTensor(h, t)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// hashTensor hashes type, shape and every element.
func hashTensor(h hash.Hash, t *tensor.Tensor) {
	fmt.Fprintln(h, t.DType(), t.Shape())
	if t.DType() == tensor.String {
		fmt.Fprintf(h, "%q", tensor.Data[string](t))
		return
	}
	if err := binary.Write(h, binary.LittleEndian, elements(t)); err != nil {
		panic("hessian: " + err.Error()) // a hash takes all numbers
	}
}

// elements returns the slice of numbers that a tensor holds.
func elements(t *tensor.Tensor) any {
	switch t.DType() {
	case tensor.Float32:
		return t.F32()
	case tensor.Float64:
		return tensor.Data[float64](t)
	case tensor.Int4, tensor.Int8:
		return tensor.Data[int8](t)
	case tensor.Int16:
		return tensor.Data[int16](t)
	case tensor.Int32:
		return tensor.Data[int32](t)
	case tensor.Int64:
		return t.I64()
	case tensor.Uint4, tensor.Uint8:
		return tensor.Data[uint8](t)
	case tensor.Float16, tensor.BFloat16, tensor.Uint16:
		return tensor.Data[uint16](t)
	case tensor.Uint32:
		return tensor.Data[uint32](t)
	case tensor.Uint64:
		return tensor.Data[uint64](t)
	case tensor.Bool:
		return tensor.Data[bool](t)
	}
	panic("hessian: tensor of type " + t.DType().String())
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
