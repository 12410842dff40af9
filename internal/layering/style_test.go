package layering

import (
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPackageComments asks each package for a comment that says what it is for.
func TestPackageComments(t *testing.T) {
	has, want := map[string]bool{}, map[string]string{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		want[s.pkg] = s.ast.Name.Name
		if s.ast.Doc != nil {
			text := s.ast.Doc.Text()
			if strings.HasPrefix(text, "Package "+s.ast.Name.Name) || s.ast.Name.Name == "main" {
				has[s.pkg] = true
			}
		}
	}
	for pkg, name := range want {
		if !has[pkg] {
			t.Errorf("package %s in %q has no comment that begins %q", name, pkg, "Package "+name)
		}
	}
}

// TestPackageNames refuses names that say nothing.
func TestPackageNames(t *testing.T) {
	empty := []string{"util", "utils", "common", "helper", "helpers", "base", "misc", "pkg", "lib", "shared"}
	for _, s := range sources(t) {
		if slices.Contains(empty, path.Base(s.pkg)) {
			t.Errorf("%s: a package is named for what it holds, not %q", s.path, path.Base(s.pkg))
		}
	}
}

// TestFileLength keeps a file at one subject.
func TestFileLength(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		seen[s.path] = true
		if reason := long[s.path]; s.lines > maxLines && !s.generated && reason == "" {
			t.Errorf("%s has %d lines, more than %d: split it by subject", s.path, s.lines, maxLines)
		}
	}
	for name := range long {
		if !seen[name] {
			t.Errorf("table long names %s, which does not exist", name)
		}
	}
}

// TestNoInit refuses init functions: what runs is called.
func TestNoInit(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.ast.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init: build the value where it is declared, or in a constructor", s.at(f))
			}
		}
	}
}

// TestNoMutableState refuses assignments to package-level variables outside
// their declaration.
func TestNoMutableState(t *testing.T) {
	files := sources(t)
	vars := map[string]map[string]bool{} // package → its variables
	for _, s := range files {
		for _, d := range s.ast.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR || s.test {
				continue
			}
			for _, spec := range g.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					if vars[s.pkg] == nil {
						vars[s.pkg] = map[string]bool{}
					}
					vars[s.pkg][name.Name] = true
				}
			}
		}
	}
	for _, s := range files {
		if s.test || matchesAny(mutable, s.pkg) {
			continue
		}
		// The parser resolves a name that is declared in the same file; one
		// that it leaves unresolved belongs to the package.
		global := func(e ast.Expr) bool {
			id := rootIdent(e)
			if id == nil || id.Name == "_" || !vars[s.pkg][id.Name] {
				return false
			}
			return id.Obj == nil || s.ast.Scope.Lookup(id.Name) == id.Obj
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, l := range n.Lhs {
					if n.Tok != token.DEFINE && global(l) {
						t.Errorf("%s: assignment to a package-level variable", s.at(n))
					}
				}
			case *ast.IncDecStmt:
				if global(n.X) {
					t.Errorf("%s: assignment to a package-level variable", s.at(n))
				}
			}
			return true
		})
	}
}

// rootIdent returns x for x, x.f, x[i] and *x.
func rootIdent(e ast.Expr) *ast.Ident {
	for {
		switch n := e.(type) {
		case *ast.Ident:
			return n
		case *ast.SelectorExpr:
			e = n.X
		case *ast.IndexExpr:
			e = n.X
		case *ast.StarExpr:
			e = n.X
		case *ast.ParenExpr:
			e = n.X
		default:
			return nil
		}
	}
}

// TestNoPrinting keeps libraries from writing to the process's streams.
func TestNoPrinting(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || matchesAny(printing, s.pkg) {
			continue
		}
		if slices.Contains(s.imports(), "log") {
			t.Errorf("%s imports log: take a *slog.Logger", s.path)
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				x, _ := sel.X.(*ast.Ident)
				switch {
				case x == nil:
				case x.Name == "fmt" && strings.HasPrefix(sel.Sel.Name, "Print"),
					x.Name == "os" && (sel.Sel.Name == "Stdout" || sel.Sel.Name == "Stderr" || sel.Sel.Name == "Exit"):
					t.Errorf("%s: %s.%s in a library", s.at(n), x.Name, sel.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestSeededRandomness refuses the global random source: every stream has a
// seed that is written down.
func TestSeededRandomness(t *testing.T) {
	allowed := []string{"New", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "PCG", "ChaCha8", "Zipf"}
	for _, s := range sources(t) {
		if slices.Contains(s.imports(), "math/rand") {
			t.Errorf("%s imports math/rand: use math/rand/v2", s.path)
		}
		if !slices.Contains(s.imports(), "math/rand/v2") {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "rand" && x.Obj == nil && !slices.Contains(allowed, sel.Sel.Name) {
					t.Errorf("%s: rand.%s draws from the global source", s.at(n), sel.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestErrorWording asks for errors that give the operation and the reason.
func TestErrorWording(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && strings.Contains(lit.Value, "failed to ") {
				t.Errorf("%s: %s: name the operation and the reason instead of \"failed to\"", s.at(n), lit.Value)
			}
			return true
		})
	}
}

// TestNoMachinePaths keeps the paths of a developer's machine and unfinished
// work out of every text file.
func TestNoMachinePaths(t *testing.T) {
	folders := []string{"home", "Users", "root", "tmp", "work"}
	machine := regexp.MustCompile(`(^|[^\w.})])/(` + strings.Join(folders, "|") + `)/\w`)
	unfinished := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	text := []string{".go", ".md", ".json", ".s", ".sh", ".mod", ".txt", ".txtar", ".golden", ""}
	top, err := root()
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(top, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(top, file)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel == ".git" || rel == "runs" || rel == "bin" {
				return fs.SkipDir
			}
			return nil
		}
		if !slices.Contains(text, path.Ext(rel)) {
			return nil
		}
		if info, err := d.Info(); err != nil || info.Size() > 1<<20 || !info.Mode().IsRegular() {
			return err
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		n := 0
		for line := range strings.Lines(string(b)) {
			n++
			if m := machine.FindString(line); m != "" {
				t.Errorf("%s:%d: path of one machine: %s", rel, n, strings.TrimSpace(line))
			}
			if m := unfinished.FindString(line); m != "" {
				t.Errorf("%s:%d: unfinished: %s", rel, n, strings.TrimSpace(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
