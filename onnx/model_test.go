package onnx_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
)

// text prints everything of a graph but the elements of its stored values.
func text(g *ir.Graph) string {
	var b strings.Builder
	fmt.Fprintf(&b, "graph %q %+v\n", g.Name, g.Meta)
	values := func(list []*ir.Value) {
		for _, v := range list {
			if v == nil {
				b.WriteString(" -")
				continue
			}
			fmt.Fprintf(&b, " %s:%v", v.Name, v.Type)
		}
		b.WriteByte('\n')
	}
	values(g.Inputs)
	for _, n := range g.Nodes() {
		fmt.Fprintf(&b, "%q %s %+v in", n.Name, n.Op.Kind(), n.Op)
		values(n.In)
		b.WriteString("\tout")
		values(n.Out)
	}
	values(g.Outputs)
	return b.String()
}

// TestModels_RoundTrip reads real models, writes and reads them again: names,
// attributes, types and every element stay.
func TestModels_RoundTrip(t *testing.T) {
	for _, file := range sharedModels(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			g, err := onnx.Load(file)
			if err != nil {
				var e *onnx.Error
				if errors.As(err, &e) {
					t.Fatalf("%d problems, the first: %v", len(e.Problems), e.Problems[0])
				}
				t.Fatal(err)
			}
			if err := ir.Verify(g); err != nil {
				t.Fatal(err)
			}
			for _, opset := range []int{g.Meta.Opset, 0, 18, 23} {
				var b bytes.Buffer
				if err := onnx.Write(&b, g, onnx.Options{Opset: opset}); err != nil {
					t.Errorf("opset %d: %v", opset, err)
					continue
				}
				back, err := onnx.Read(b.Bytes(), "")
				if err != nil {
					t.Errorf("opset %d: %v", opset, err)
					continue
				}
				if len(back.Stored()) < len(g.Stored()) {
					t.Errorf("opset %d: %d stored values, want %d", opset, len(back.Stored()), len(g.Stored()))
				}
				for _, v := range g.Stored() {
					if w := back.Value(v.Name); w == nil || !w.IsStored() || !w.Data.Equal(v.Data) {
						t.Errorf("opset %d: stored value %q changed", opset, v.Name)
					}
				}
				back.Meta.Opset = g.Meta.Opset
				if diff := cmp.Diff(strings.Split(text(g), "\n"), strings.Split(text(back), "\n")); diff != "" {
					t.Errorf("opset %d (-first +second):\n%s", opset, diff)
				}
			}
		})
	}
}

// TestModels_References compares the reference evaluation of the small models
// with outputs computed by ONNX Runtime.
func TestModels_References(t *testing.T) {
	if testing.Short() {
		t.Skip("plain loops are slow")
	}
	for _, c := range []struct{ model, input string }{
		{"mlperf-tiny/resnet8_jpeg_bn", "resnet8_input"},
		{"mlperf-tiny/kws_dscnn_folded", "kws_input"},
	} {
		t.Run(filepath.Base(c.model), func(t *testing.T) {
			file := testkit.Shared(t, "models", c.model+".onnx")
			refs := filepath.Join(filepath.Dir(file), "refs")
			g, err := onnx.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			tensors := map[string][]byte{}
			for _, name := range []string{c.input, filepath.Base(c.model) + ".out"} {
				if tensors[name], err = os.ReadFile(filepath.Join(refs, name+".pb")); err != nil {
					t.Fatal(err)
				}
			}
			set := numbered(t, map[string][]byte{"0.pb": tensors[c.input], "1.pb": tensors[filepath.Base(c.model)+".out"]}, "")
			got, err := ir.Eval(t.Context(), g, set[:1])
			if err != nil {
				t.Fatal(err)
			}
			if err := near(got[0], set[1]); err != nil {
				t.Error(err)
			}
		})
	}
}
