package layering

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestImports holds every import between packages of the module against the
// ranks.
func TestImports(t *testing.T) {
	unranked := map[string]bool{}
	for _, s := range sources(t) {
		rank, ok := rankOf(s.pkg)
		if slices.Contains(outside, s.pkg) {
			continue
		}
		if !ok && !unranked[s.pkg] {
			unranked[s.pkg] = true
			t.Errorf("package %s has no rank: add a line to internal/layering/table_test.go", s.pkg)
		}
		if !ok || s.external || rank == testHelpers { // these may import anything
			continue
		}
		for _, imp := range s.imports() {
			rel, inside := strings.CutPrefix(imp, module)
			if !inside || rel != "" && rel[0] != '/' {
				continue
			}
			target := strings.TrimPrefix(rel, "/")
			to, known := rankOf(target)
			if !known {
				continue // reported for the package itself
			}
			if to == testHelpers && !s.test {
				t.Errorf("%s imports %s, which is for tests only", s.path, target)
			}
			if to >= rank && to != testHelpers {
				t.Errorf("%s (rank %d) imports %s (rank %d): imports must point to a strictly lower rank", s.path, rank, target, to)
			}
		}
	}
}

// TestExternalImports holds imports of other modules against the table, and
// the table against go.mod and docs/dependencies.md.
func TestExternalImports(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		for _, imp := range s.imports() {
			first, _, _ := strings.Cut(imp, "/")
			if !strings.Contains(first, ".") || imp == module || strings.HasPrefix(imp, module+"/") {
				continue
			}
			name := moduleOf(imp)
			allowed, ok := external[name]
			switch {
			case !ok:
				t.Errorf("%s imports %s: no module of the table external provides it", s.path, imp)
			case !matchesAny(allowed, s.pkg) && !s.forTests():
				t.Errorf("%s imports %s: allowed only in %s", s.path, imp, strings.Join(allowed, ", "))
			case slices.Contains(testOnly, name) && !s.forTests():
				t.Errorf("%s imports %s: allowed only in test files", s.path, imp)
			}
			used[name] = true
		}
	}
	top, err := root()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(top, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range used {
		if !strings.Contains(string(doc), name) {
			t.Errorf("docs/dependencies.md does not give the reason for %s", name)
		}
	}
}

// moduleOf returns the row of the table external that an import path falls
// under, or the path itself.
func moduleOf(imp string) string {
	for name := range external {
		if imp == name || strings.HasPrefix(imp, name+"/") {
			return name
		}
	}
	return imp
}

// TestUnsafe keeps unsafe in the packages of the table and cgo out of all.
func TestUnsafe(t *testing.T) {
	for _, s := range sources(t) {
		for _, imp := range s.imports() {
			if imp == "unsafe" && !matchesAny(unsafeAllowed, s.pkg) {
				t.Errorf("%s imports unsafe: allowed only in %s", s.path, strings.Join(unsafeAllowed, ", "))
			}
			if imp == "C" {
				t.Errorf("%s uses cgo: the module builds with CGO_ENABLED=0", s.path)
			}
		}
	}
}

// TestPuregoBehindTag keeps the default build static: a program that imports
// purego is linked dynamically.
func TestPuregoBehindTag(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains(s.imports(), "github.com/ebitengine/purego") && !strings.Contains(s.text, "//go:build runtimes") {
			t.Errorf("%s imports purego without the build tag runtimes", s.path)
		}
	}
}
