package onnx_test

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/tensor"
)

var (
	update  = flag.Bool("update", false, "rewrite testdata/conformance.tsv from all vectors")
	sampled = flag.Bool("sample", false, "choose testdata/vectors.tar.gz anew from the vectors that pass")
)

const (
	vectorFile  = "testdata/vectors.tar.gz"
	summaryFile = "testdata/conformance.tsv"
)

// incomparable are vectors whose result is not what the operator is defined to
// give. The matrix products exceed int8, which the definition saturates, as ONNX
// Runtime does (-236 to -128), while the vectors wrap it (to 20).
var incomparable = map[string]string{
	"test_training_dropout_default":      "random",
	"test_training_dropout_default_mask": "random",
	"test_training_dropout":              "random",
	"test_training_dropout_mask":         "random",
	"test_qlinearmatmul_2D_int8_float32": "the vector wraps where the operator saturates",
	"test_qlinearmatmul_3D_int8_float32": "the vector wraps where the operator saturates",
}

// TestConformance runs the vectors that lie beside the tests; all must pass.
func TestConformance(t *testing.T) {
	if _, err := os.Stat(vectorFile); *sampled && err != nil {
		t.Skip("not chosen yet")
	}
	for _, v := range readVectors(t, vectorFile) {
		t.Run(v.name, func(t *testing.T) {
			g, results, err := v.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			rewrite(t, v, g, results)
		})
	}
}

// severalOperators stands for the operator of vectors that are graphs.
const severalOperators = "(graph of several)"

// outcome counts the vectors of one operator at one opset.
type outcome struct {
	operator        string
	opset           int
	passed, refused int
	reason          string // of the first refusal
}

// TestConformance_Shared runs all vectors there are. Each must be right or
// refused, and no operator may lose vectors that it once passed.
func TestConformance_Shared(t *testing.T) {
	dir := testkit.Shared(t, "data", "onnx-node-tests")
	archives, err := filepath.Glob(filepath.Join(dir, "*.tar.gz"))
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	counts := map[string]*outcome{}
	var passed []vector
	total, written := 0, 0
	for _, file := range archives {
		for _, v := range readVectors(t, file) {
			total++
			kinds, opset := operators(t, v.model)
			operator := strings.Join(kinds, " ")
			if len(kinds) != 1 {
				operator, opset = severalOperators, 0
			}
			key := operator + " " + strconv.Itoa(opset)
			c := counts[key]
			if c == nil {
				c = &outcome{operator: operator, opset: opset}
				counts[key] = c
			}
			g, results, err := v.run(t.Context())
			var r refused
			switch {
			case incomparable[v.name] != "":
				c.refused++
				c.reason = cmp.Or(c.reason, incomparable[v.name])
			case errors.As(err, &r):
				c.refused++
				c.reason = cmp.Or(c.reason, reason(r))
			case err != nil:
				t.Errorf("%s (%s at opset %d): %v", v.name, operator, opset, err)
			default:
				c.passed++
				passed = append(passed, v)
				written += rewrite(t, v, g, results)
			}
		}
	}
	t.Logf("%d of %d vectors pass; read back after %d writes", len(passed), total, written)
	if *sampled {
		sample(t, passed)
	}
	outcomes := slices.SortedFunc(maps.Values(counts), func(a, b *outcome) int {
		return cmp.Or(strings.Compare(a.operator, b.operator), cmp.Compare(a.opset, b.opset))
	})
	compareSummary(t, outcomes)
}

// reason shortens a refusal to its last, most specific part.
func reason(err error) string {
	var e *onnx.Error
	if errors.As(err, &e) {
		return firstLine(e.Problems[0].Reason)
	}
	var n *ir.NodeError
	if errors.As(err, &n) {
		return firstLine(n.Err)
	}
	return firstLine(err)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return strings.ReplaceAll(line, "\t", " ")
}

const summaryHeader = "operator\topset\tpassed\trefused\treason\n"

func compareSummary(t *testing.T, outcomes []*outcome) {
	t.Helper()
	var b strings.Builder
	b.WriteString(summaryHeader)
	for _, o := range outcomes {
		fmt.Fprintf(&b, "%s\t%d\t%d\t%d\t%s\n", o.operator, o.opset, o.passed, o.refused, o.reason)
	}
	if *update {
		if err := os.WriteFile(summaryFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	golden, err := os.ReadFile(summaryFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(golden) == b.String() {
		return
	}
	got := map[string]int{}
	for _, o := range outcomes {
		got[o.operator+"\t"+strconv.Itoa(o.opset)] = o.passed
	}
	for line := range strings.Lines(string(golden)) {
		f := strings.Split(line, "\t")
		if want, err := strconv.Atoi(f[2]); err == nil && got[f[0]+"\t"+f[1]] < want {
			t.Errorf("%s at opset %s: %d vectors pass, want %d", f[0], f[1], got[f[0]+"\t"+f[1]], want)
		}
	}
	t.Logf("%s is out of date: run the test with -update", summaryFile)
}

// writeOpsets are tried for every vector that passes.
var writeOpsets = []int{0, 7, 10, 11, 13, 18, 21, 25}

// rewrite writes the graph at each opset where that is possible, reads the file
// and demands the same results, bit for bit. Its own opset must be possible.
func rewrite(t *testing.T, v vector, g *ir.Graph, results [][]*tensor.Tensor) (written int) {
	t.Helper()
	for _, opset := range writeOpsets {
		var b bytes.Buffer
		if err := onnx.Write(&b, g, onnx.Options{Opset: opset, Types: true}); err != nil {
			if opset == 0 || opset == g.Meta.Opset {
				t.Errorf("%s: %v", v.name, err)
			}
			continue
		}
		written++
		back, err := onnx.Read(b.Bytes(), "")
		if err != nil {
			t.Errorf("%s: written at opset %d: %v", v.name, opset, err)
			continue
		}
		for i, set := range v.sets {
			got, err := ir.Eval(t.Context(), back, set.inputs)
			if err != nil {
				t.Errorf("%s: written at opset %d: %v", v.name, opset, err)
				break
			}
			for k := range got {
				if !got[k].Equal(results[i][k]) {
					t.Errorf("%s: written at opset %d, output %d differs: %v", v.name, opset, k, near(got[k], results[i][k]))
				}
			}
		}
	}
	return written
}

// sample writes the committed selection: for each operator and opset the smallest
// vectors that pass.
func sample(t *testing.T, passed []vector) {
	t.Helper()
	const perKey, maxRaw = 1, 16 << 10
	size := func(v vector) (n int) {
		for _, b := range v.files {
			n += len(b)
		}
		return n
	}
	slices.SortStableFunc(passed, func(a, b vector) int {
		return cmp.Or(cmp.Compare(size(a), size(b)), strings.Compare(a.name, b.name))
	})
	count := map[string]int{}
	names := map[string]bool{}
	var chosen []vector
	for _, v := range passed {
		kinds, opset := operators(t, v.model)
		key := fmt.Sprint(kinds, opset)
		if count[key] >= perKey || names[v.name] || size(v) > maxRaw {
			continue
		}
		count[key]++
		names[v.name] = true
		chosen = append(chosen, v)
	}
	slices.SortFunc(chosen, func(a, b vector) int { return strings.Compare(a.name, b.name) })
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, v := range chosen {
		for _, name := range slices.Sorted(maps.Keys(v.files)) {
			b := v.files[name]
			if err := errors.Join(w.WriteHeader(&tar.Header{Name: v.name + "/" + name, Mode: 0o644, Size: int64(len(b)), Format: tar.FormatUSTAR}), second(w.Write(b))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), z.Close(), os.MkdirAll("testdata", 0o755), os.WriteFile(vectorFile, out.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d vectors chosen, %d bytes", len(chosen), out.Len())
}

func second(_ int, err error) error { return err }
