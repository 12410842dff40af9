package layering

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTableIsUsed finds rows about packages and modules that are gone.
func TestTableIsUsed(t *testing.T) {
	var pkgs, imports []string
	for _, s := range sources(t) {
		pkgs = append(pkgs, s.pkg)
		imports = append(imports, s.imports()...)
	}
	for _, r := range ranks { // patterns also stand for what may come
		if !strings.HasSuffix(r.pattern, "*") && !strings.HasSuffix(r.pattern, "...") && !slices.ContainsFunc(pkgs, func(p string) bool { return matches(r.pattern, p) }) {
			t.Errorf("ranks has a row for %q, and no package is there", r.pattern)
		}
	}
	for name := range external {
		if !slices.ContainsFunc(imports, func(imp string) bool { return imp == name || strings.HasPrefix(imp, name+"/") }) {
			t.Errorf("external has a row for %s, which nothing imports", name)
		}
	}
}

// TestArchitectureNamesPackages holds the list of packages of
// docs/architecture.md against the module: it names each, itself or by
// FOLDER/…, and none that is gone.
func TestArchitectureNamesPackages(t *testing.T) {
	top, err := root()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(top, "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(doc), "\n| packages |")
	section, _, _ = strings.Cut(section, "\n\n")
	if !found {
		t.Fatal("docs/architecture.md has no table of packages")
	}
	var named []string
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			name := strings.Replace(m[1], "/…", "/...", 1)
			if name == "nncf" {
				name = ""
			}
			named = append(named, name)
		}
	}
	pkgs := map[string]bool{}
	for _, s := range sources(t) {
		if !s.test {
			pkgs[s.pkg] = true
		}
	}
	for p := range pkgs {
		if !matchesAny(named, p) {
			t.Errorf("the table of docs/architecture.md lacks %q", p)
		}
	}
	for _, n := range named {
		gone := true
		for p := range pkgs {
			gone = gone && !matches(n, p)
		}
		if gone {
			t.Errorf("the table of docs/architecture.md names %q, and no package is there", n)
		}
	}
}
