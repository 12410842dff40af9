package onnx_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/engine/native"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

// docs/ops.md is made from the operator table and from what the conformance
// vectors showed; -update writes it.
func TestOpsDoc(t *testing.T) {
	type tally struct{ passed, refused int }
	vectors := map[string]tally{}
	f, err := os.Open(filepath.Join("testdata", "conformance.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		cols := strings.Split(sc.Text(), "\t")
		if len(cols) < 4 || cols[0] == "operator" {
			continue
		}
		passed, err1 := strconv.Atoi(cols[2])
		refused, err2 := strconv.Atoi(cols[3])
		if err1 != nil || err2 != nil {
			t.Fatalf("line %q: want numbers", sc.Text())
		}
		v := vectors[cols[0]]
		vectors[cols[0]] = tally{v.passed + passed, v.refused + refused}
	}
	var b strings.Builder
	b.WriteString(`# Operators

Made by ` + "`go test ./onnx -run TestOpsDoc -update`" + ` from the operator table and ` + "`onnx/testdata/conformance.tsv`" + `; do not edit.

*Vectors* counts ONNX's own conformance tests of the operator that passed, and those that are refused with a reason. *Engine* says
whether the CPU engine has kernels for it, computes it element by element within what surrounds it, or runs the reference evaluator.

| operator | domain | vectors | gradient | engine |
|---|---|---|---|---|
`)
	for _, d := range op.All() {
		if d.Domain == op.Internal {
			continue
		}
		v := vectors[d.Kind()]
		counts := "–"
		if v.passed+v.refused > 0 {
			counts = fmt.Sprintf("%d, %d refused", v.passed, v.refused)
			if v.refused == 0 {
				counts = strconv.Itoa(v.passed)
			}
		}
		grad := "–"
		if _, ok := d.Op.(ir.Differentiable); ok {
			grad = "yes"
		} else if n, ok := d.Op.(ir.NonDifferentiable); ok {
			grad = "no: " + n.NoGrad()
		}
		engine := "reference"
		switch _, elementwise := d.Op.(ir.Elementwise); {
		case native.HasKernel(d.Kind()):
			engine = "kernels"
		case elementwise:
			engine = "elements"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", d.Kind(), d.Domain, counts, grad, engine)
	}
	path := filepath.Join(testkit.RepoRoot(), "docs", "ops.md")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Error("docs/ops.md is out of date: go test ./onnx -run TestOpsDoc -update")
	}
}
