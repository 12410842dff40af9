package onnx_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
)

// What reading one broken file may take. The memory counts everything allocated,
// garbage included.
const (
	hostileTime       = 3 * time.Second
	hostileBase       = 256 << 20
	hostileMultiplier = 100
)

// readBroken reads a file that may be broken: it must be refused with an
// *onnx.Error or give a graph that can be written.
func readBroken(t testing.TB, b []byte) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	g, err := onnx.Read(b, "")
	if d := time.Since(start); d > hostileTime {
		t.Errorf("reading %d bytes took %v", len(b), d)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > uint64(hostileBase+hostileMultiplier*len(b)) {
		t.Errorf("reading %d bytes allocated %d", len(b), used)
	}
	var e *onnx.Error
	switch {
	case err == nil:
		if err := ir.Verify(g); err != nil {
			t.Errorf("read without error, but: %v", err)
		}
		var out bytes.Buffer
		if err := onnx.Write(&out, g, onnx.Options{}); err != nil && !errors.As(err, &e) {
			t.Errorf("write: %v", err)
		}
	case !errors.As(err, &e) || len(e.Problems) == 0 || e.Error() == "":
		t.Errorf("got %v, want an *onnx.Error", err)
	}
}

// mutate cuts, flips, overwrites or splices, mostly near the beginning, where
// the structure is.
func mutate(rng *rand.Rand, orig []byte) []byte {
	b := bytes.Clone(orig)
	at := func() int {
		if rng.IntN(2) == 0 {
			return rng.IntN(min(len(b), 4000))
		}
		return rng.IntN(len(b))
	}
	switch rng.IntN(5) {
	case 0:
		return b[:rng.IntN(len(b))]
	case 1:
		for range []int{1, 5, 50}[rng.IntN(3)] {
			b[at()] ^= 1 << rng.IntN(8)
		}
	case 2:
		for range 3 {
			b[at()] = []byte{0, 1, 127, 128, 255}[rng.IntN(5)]
		}
	case 3:
		noise := make([]byte, 1+rng.IntN(64))
		for i := range noise {
			noise[i] = byte(rng.Uint32())
		}
		return slices.Insert(b, at(), noise...)
	case 4:
		i, j := at(), at()
		piece := bytes.Clone(b[min(i, j):max(i, j)])
		return slices.Insert(b, at(), piece...)
	}
	return b
}

// TestRead_BrokenVectors breaks small models with every operator.
func TestRead_BrokenVectors(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	vectors := readVectors(t, vectorFile)
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	for _, v := range vectors {
		for range rounds {
			readOrPrint(t, v.name, mutate(rng, v.model))
		}
	}
}

// TestRead_BrokenModels breaks real models.
func TestRead_BrokenModels(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 0))
	rounds := 80
	if testing.Short() {
		rounds = 10
	}
	for _, file := range sharedModels(t) {
		orig, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(orig) > 1<<20 {
			continue
		}
		for range rounds {
			readOrPrint(t, filepath.Base(file), mutate(rng, orig))
		}
	}
}

// readOrPrint is readBroken that keeps the input of a panic.
func readOrPrint(t *testing.T, name string, b []byte) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			stack := make([]byte, 4096)
			stack = stack[:runtime.Stack(stack, false)]
			shown := b[:min(len(b), 2000)]
			t.Errorf("%s: panic: %v\ninput %x\n%s", name, p, shown, stack)
		}
	}()
	readBroken(t, b)
}

func FuzzRead(f *testing.F) {
	for _, v := range readVectors(f, vectorFile) {
		if len(v.model) < 500 {
			f.Add(v.model)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) { readBroken(t, b) })
}
