package pass_test

import (
	"bytes"
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

var update = flag.Bool("update", false, "rewrite golden files")

// passes are what the goldens' run line names.
var passes = map[string]func(g *ir.Graph, t *rewrite.Trace) error{
	"canonicalize":    pass.Canonicalize,
	"mark-trainable":  pass.MarkTrainable,
	"inference-mode":  pass.InferenceMode,
	"fold-batchnorm":  pass.FoldBatchNorm,
	"to-qdq":          pass.ToQDQ,
	"to-fakequantize": pass.ToFakeQuantize,
	"for-opset-13":    func(g *ir.Graph, t *rewrite.Trace) error { return pass.ForOpset(g, 13, t) },
	"training-mode": func(g *ir.Graph, t *rewrite.Trace) error {
		return pass.TrainingMode(g, pass.TrainingOptions{}, t)
	},
	"training-mode-momentum": func(g *ir.Graph, t *rewrite.Trace) error {
		return pass.TrainingMode(g, pass.TrainingOptions{Momentum: 0.5}, t)
	},
	"training-mode-frozen": func(g *ir.Graph, t *rewrite.Trace) error {
		return pass.TrainingMode(g, pass.TrainingOptions{FreezeBatchNorm: true}, t)
	},
}

var storedLine = regexp.MustCompile(`^(?:const|param|state) ("[^"]*"|\S+) (\S+)\[([0-9 ]*)\]$`)

// read parses a graph's text. Stored tensors without elements get random ones,
// which depend on the name alone.
func read(t *testing.T, text string) *ir.Graph {
	t.Helper()
	data := map[string]*tensor.Tensor{}
	for line := range strings.Lines(text) {
		m := storedLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		name := strings.Trim(m[1], `"`)
		var shape []int
		for f := range strings.FieldsSeq(m[3]) {
			n := 0
			fmt.Sscan(f, &n)
			shape = append(shape, n)
		}
		h := fnv.New64()
		h.Write([]byte(name))
		if m[2] == "float32" {
			data[name] = random(h.Sum64(), 1, shape...)
		}
	}
	g, err := ir.Parse(text, data, op.New)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestGolden runs the passes of each file's first line over its graph and
// compares graph and trace. Unless the line says "other values", the outputs
// must stay what they were.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	fired := map[string]bool{}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			run, rest, _ := strings.Cut(strings.TrimSpace(string(a.Comment)), "\n")
			_ = rest
			run, other := strings.CutSuffix(run, " (other values)")
			run, ok := strings.CutPrefix(run, "run: ")
			if !ok || len(a.Files) == 0 || a.Files[0].Name != "before" {
				t.Fatalf("want a line run: PASS… and a file before")
			}
			g := read(t, string(a.Files[0].Data))
			before := g.Clone()
			var trace rewrite.Trace
			for name := range strings.FieldsSeq(run) {
				f := passes[name]
				if f == nil {
					t.Fatalf("no pass %q", name)
				}
				if err := f(g, &trace); err != nil {
					t.Fatal(err)
				}
				if err := ir.Verify(g); err != nil {
					t.Fatalf("after %s: %v", name, err)
				}
			}
			after, err := ir.Print(g)
			if err != nil {
				t.Fatal(err)
			}
			var notes strings.Builder
			for _, c := range trace.Changes {
				fired[c.Rule] = true
				fmt.Fprintf(&notes, "%s: %s\n", c.Rule, c.What)
			}
			a.Files = append(a.Files[:1], txtar.File{Name: "after", Data: []byte(after)}, txtar.File{Name: "trace", Data: []byte(notes.String())})
			got := txtar.Format(a)
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("(-want +got):\n%s", cmp.Diff(string(want), string(got)))
			}
			if !other {
				compare(t, before, g)
			}
			if run == "canonicalize" {
				if err := pass.Canonicalize(g, nil); err != nil {
					t.Fatal(err)
				}
				if again, _ := ir.Print(g); again != after {
					t.Errorf("a second run changes the graph:\n%s", cmp.Diff(after, again))
				}
			}
		})
	}
	// Every rule has a golden.
	for _, p := range pass.CanonicalPasses() {
		for _, r := range p.Rules {
			if !fired[r.Name] {
				t.Errorf("no golden shows rule %s", r.Name)
			}
		}
	}
}

// compare evaluates two graphs on the same random inputs.
func compare(t *testing.T, a, b *ir.Graph) {
	t.Helper()
	var in []*tensor.Tensor
	for i, v := range a.Inputs {
		shape := []int{}
		for _, d := range v.Type.Dims {
			n, known := d.Known()
			if !known {
				n *= 2
			}
			shape = append(shape, n)
		}
		if v.Type.DType != tensor.Float32 {
			in = append(in, tensor.New(v.Type.DType, shape...))
			continue
		}
		in = append(in, random(uint64(i)+11, 4, shape...))
	}
	want, got := eval(t, a, in...), eval(t, b, in...)
	for i, v := range a.Outputs {
		if v.Name != b.Outputs[i].Name {
			t.Errorf("output %d is named %q, want %q", i, b.Outputs[i].Name, v.Name)
		}
		if d, size := worst(t, got[i], want[i]); !(d <= 1e-5*max(1, size)) {
			t.Errorf("%s differs by %g, values up to %g", v.Name, d, size)
		}
	}
}

// TestCanonicalOrder: each reason names two passes, and the list keeps it.
func TestCanonicalOrder(t *testing.T) {
	at := map[string]int{}
	for i, p := range pass.CanonicalPasses() {
		if _, twice := at[p.Name]; twice || p.Doc == "" {
			t.Errorf("pass %q: named twice, or without a sentence", p.Name)
		}
		at[p.Name] = i
	}
	for _, o := range pass.CanonicalOrder() {
		first, ok1 := at[o.First]
		then, ok2 := at[o.Then]
		if !ok1 || !ok2 || first >= then || o.Reason == "" {
			t.Errorf("%s must run before %s (%s): positions %d and %d", o.First, o.Then, o.Reason, first, then)
		}
	}
}
