package layering

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/go-nncf/nncf"

// A source is one parsed Go file of the module.
type source struct {
	path      string // from the module's root, with slashes
	pkg       string // folder from the module's root, "" for the root itself
	test      bool   // a _test.go file
	external  bool   // in package x_test
	generated bool
	lines     int
	text      string
	fset      *token.FileSet
	ast       *ast.File
}

// at prints a position in the file.
func (s *source) at(n ast.Node) string { return s.fset.Position(n.Pos()).String() }

// forTests reports whether the file is seen by tests only.
func (s *source) forTests() bool {
	rank, ok := rankOf(s.pkg)
	return s.test || ok && rank == testHelpers
}

// imports returns the file's import paths.
func (s *source) imports() []string {
	var out []string
	for _, spec := range s.ast.Imports {
		out = append(out, strings.Trim(spec.Path.Value, "\"`"))
	}
	return out
}

// root returns the folder that holds go.mod.
func root() (string, error) {
	dir, err := os.Getwd() // a test runs in the folder of its package
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "..", "..")
	_, err = os.Stat(filepath.Join(dir, "go.mod"))
	return dir, err
}

// skipDir reports whether a folder does not belong to the module's sources, as
// the go command sees them.
func skipDir(base, dir, rel string) bool {
	if rel == "." {
		return false
	}
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || rel == "runs" || rel == "bin" {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod")) // a module of its own
	return err == nil
}

// sources returns every Go file of the module, whatever its build tags.
func sources(t *testing.T) []*source {
	t.Helper()
	out, err := parseOnce()
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatal("no Go file found")
	}
	return out
}

var parseOnce = sync.OnceValues(parse)

func parse() ([]*source, error) {
	top, err := root()
	if err != nil {
		return nil, err
	}
	var out []*source
	err = filepath.WalkDir(top, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(top, file)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if skipDir(d.Name(), file, rel) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		s := &source{
			path:  rel,
			pkg:   strings.TrimPrefix(path.Dir("/"+rel), "/"),
			test:  strings.HasSuffix(rel, "_test.go"),
			lines: strings.Count(string(text), "\n"),
			text:  string(text),
			fset:  token.NewFileSet(),
		}
		s.ast, err = parser.ParseFile(s.fset, rel, text, parser.ParseComments)
		if err != nil {
			return err
		}
		s.external = s.test && strings.HasSuffix(s.ast.Name.Name, "_test")
		s.generated = ast.IsGenerated(s.ast)
		out = append(out, s)
		return nil
	})
	return out, err
}

// matches reports whether a pattern of table_test.go covers a package.
func matches(pattern, pkg string) bool {
	switch {
	case pattern == "...":
		return true
	case strings.HasSuffix(pattern, "/..."):
		p := strings.TrimSuffix(pattern, "/...")
		return pkg == p || strings.HasPrefix(pkg, p+"/")
	case strings.HasSuffix(pattern, "/*"):
		return path.Dir(pkg) == strings.TrimSuffix(pattern, "/*")
	}
	return pattern == pkg
}

func matchesAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, pkg) })
}

// rankOf looks a package up in the table: an exact row first, then the longest
// pattern.
func rankOf(pkg string) (rank int, ok bool) {
	best := -1
	for _, r := range ranks {
		if r.pattern == pkg {
			return r.rank, true
		}
		if n := len(strings.TrimRight(r.pattern, ".*")); matches(r.pattern, pkg) && n > best {
			best, rank, ok = n, r.rank, true
		}
	}
	return rank, ok
}

func TestRankOf(t *testing.T) {
	for _, c := range []struct {
		pkg  string
		rank int
		ok   bool
	}{
		{"tensor", 0, true},
		{"internal/kernel/pooling", 1, true},
		{"internal/kernel/conv", 2, true},
		{"internal/testkit", testHelpers, true},
		{"internal/testkit/gradcheck", testHelpers, true},
		{"examples/quickstart/inner", 10, true},
		{"", 8, true},
		{"internal/kernel", 0, false},
		{"tensor/inner", 0, false},
	} {
		if rank, ok := rankOf(c.pkg); rank != c.rank || ok != c.ok {
			t.Errorf("%q: got rank %d, %v, want %d, %v", c.pkg, rank, ok, c.rank, c.ok)
		}
	}
}
