package onnx_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/internal/onnxpb"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/tensor"
)

// vector is one conformance test of the ONNX project: a model, and inputs with
// the outputs that they must give.
type vector struct {
	name  string
	files map[string][]byte // by path below the test's folder
	model []byte
	sets  []dataset
}

type dataset struct{ inputs, outputs []*tensor.Tensor }

// readVectors reads an archive TEST/model.onnx, TEST/test_data_set_N/input_K.pb,
// TEST/test_data_set_N/output_K.pb.
func readVectors(t testing.TB, file string) []vector {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		test, rest, ok := strings.Cut(path.Clean(h.Name), "/")
		if !ok || h.Typeflag != tar.TypeReg {
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if tests[test] == nil {
			tests[test] = map[string][]byte{}
		}
		tests[test][rest] = b
	}
	var list []vector
	for name, files := range tests {
		v := vector{name: name, files: files, model: files["model.onnx"]}
		for n := 0; ; n++ {
			folder := "test_data_set_" + strconv.Itoa(n)
			set := dataset{numbered(t, files, folder+"/input_"), numbered(t, files, folder+"/output_")}
			if len(set.outputs) == 0 {
				break
			}
			v.sets = append(v.sets, set)
		}
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b vector) int { return strings.Compare(a.name, b.name) })
	return list
}

func numbered(t testing.TB, files map[string][]byte, prefix string) []*tensor.Tensor {
	t.Helper()
	var list []*tensor.Tensor
	for k := 0; ; k++ {
		b, ok := files[prefix+strconv.Itoa(k)+".pb"]
		if !ok {
			return list
		}
		_, x, err := onnx.ReadTensor(b)
		if err != nil {
			t.Fatalf("%s%d: %v", prefix, k, err)
		}
		list = append(list, x)
	}
}

// refused marks a vector that is declined with a reason, by the reader or by the
// reference evaluation; anything else that goes wrong is a defect.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

// run reads the model and compares what it computes with the expected outputs.
// It returns the graph for further checks.
func (v vector) run(ctx context.Context) (g *ir.Graph, results [][]*tensor.Tensor, err error) {
	defer func() {
		if p := recover(); p != nil { // so that one defect does not hide the others
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	g, err = onnx.Read(v.model, "")
	if err != nil {
		var e *onnx.Error
		if !errors.As(err, &e) {
			return nil, nil, fmt.Errorf("unlocated error: %w", err)
		}
		return nil, nil, refused{err}
	}
	if err := ir.Verify(g); err != nil {
		return nil, nil, err
	}
	for i, set := range v.sets {
		got, err := eval(ctx, g, set.inputs)
		if err != nil {
			return nil, nil, err
		}
		for k, want := range set.outputs {
			if err := near(got[k], want); err != nil {
				return nil, nil, fmt.Errorf("data set %d, output %d: %w", i, k, err)
			}
		}
		results = append(results, got)
	}
	return g, results, nil
}

// eval is the reference evaluation. Errors of nodes are refusals.
func eval(ctx context.Context, g *ir.Graph, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	// Vectors give the inputs in order and leave out trailing optional ones.
	got, err := ir.Eval(ctx, g, in)
	var located *ir.NodeError
	if errors.As(err, &located) {
		return nil, refused{err}
	}
	return got, err
}

// The tolerances for floats; everything else must be equal.
const (
	rtol = 1e-3
	atol = 1e-5
)

func near(got, want *tensor.Tensor) error {
	if got.DType() != want.DType() || !got.Shape().Equal(want.Shape()) {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	if !got.DType().IsFloat() {
		if !got.Equal(want) {
			return fmt.Errorf("%v: got other elements than wanted", got)
		}
		return nil
	}
	a, err := got.Float64s()
	if err != nil {
		return err
	}
	b, err := want.Float64s()
	if err != nil {
		return err
	}
	for i := range a {
		same := a[i] == b[i] || math.IsNaN(a[i]) && math.IsNaN(b[i])
		if !same && !(math.Abs(a[i]-b[i]) <= atol+rtol*math.Abs(b[i])) {
			return fmt.Errorf("%v: element %d is %v, want %v", got, i, a[i], b[i])
		}
	}
	return nil
}

// operators lists the distinct operators of a model's nodes, Constant aside, and
// the opset of the last one's domain.
func operators(t testing.TB, model []byte) (kinds []string, opset int) {
	t.Helper()
	m, err := onnxpb.DecodeModel(model)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range m.Graph.Nodes {
		kind := n.OpType
		if n.Domain != "" && n.Domain != "ai.onnx" {
			kind = n.Domain + "." + kind
		}
		if kind == "Constant" && len(m.Graph.Nodes) > 1 {
			continue
		}
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
		for _, s := range m.OpsetImport {
			if s.Domain == n.Domain || s.Domain == "" && n.Domain == "ai.onnx" || s.Domain == "ai.onnx" && n.Domain == "" {
				opset = int(s.Version)
			}
		}
	}
	return kinds, opset
}

// sharedModels lists real models from several exporters.
func sharedModels(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testkit.Shared(t, "models"), "*", "*.onnx"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no models: %v", err)
	}
	return files
}
