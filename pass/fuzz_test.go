package pass_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
)

// FuzzCanonicalize: whatever graph it gets, it panics never, keeps the outputs'
// names and leaves a valid graph.
func FuzzCanonicalize(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(a.Files[0].Data))
		f.Add(string(a.Files[1].Data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<14 {
			return
		}
		g, err := ir.Parse(text, nil, op.New)
		if err != nil || ir.Verify(g) != nil {
			return
		}
		before := g.Clone()
		if err := pass.Canonicalize(g, nil); err != nil {
			return
		}
		if err := ir.Verify(g); err != nil {
			t.Fatal(err)
		}
		for i, v := range g.Outputs {
			if w := before.Outputs[i]; v.Name != w.Name {
				t.Fatalf("output %d is named %q, was %q", i, v.Name, w.Name)
			}
		}
		for _, run := range passes {
			_ = run(g.Clone(), nil)
		}
	})
}

// TestFold_Budget: a chain of doublings does not fill the memory.
func TestFold_Budget(t *testing.T) {
	var text strings.Builder
	text.WriteString("input x float32[1]\nconst c0 float32[512]\n")
	const steps = 35
	for i := range steps {
		fmt.Fprintf(&text, "c%d = Concat(c%d, c%d) {\"Axis\":0}\n", i+1, i, i)
	}
	fmt.Fprintf(&text, "y = Add(x, c%d)\noutput y\n", steps)
	g := read(t, text.String())
	if err := pass.Canonicalize(g, nil); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, v := range g.Stored() {
		total += v.Data.Len()
	}
	if total > 1<<20 {
		t.Errorf("%d elements are stored", total)
	}
}

// TestFuse_LongChains: rules that look at whole products do not take
// exponential time over them.
func TestFuse_LongChains(t *testing.T) {
	var text strings.Builder
	text.WriteString("input x float32[4]\nconst three float32[] = 3\ny0 = Relu(x)\n")
	for i := range 300 {
		if i%2 == 0 {
			fmt.Fprintf(&text, "y%d = Pow(y%d, three)\n", i+1, i)
		} else {
			fmt.Fprintf(&text, "y%d = Mul(y%d, y%d)\n", i+1, i, i)
		}
	}
	text.WriteString("output y300\n")
	g := read(t, text.String())
	if err := pass.Canonicalize(g, nil); err != nil {
		t.Fatal(err)
	}
	if len(g.Nodes()) != 301 {
		t.Errorf("%d nodes left, want 301", len(g.Nodes()))
	}
}
