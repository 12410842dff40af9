// Package testkit holds what several packages' tests share: where the large
// test data are and how results are compared. It is imported by tests only.
package testkit

import (
	"os"
	"path/filepath"
	"testing"
)

// Shared returns the path of a file or folder of the shared test data, the
// folder named by NNCF_SHARED or, without it, ../shared beside the repository.
// It skips the test, naming what is absent, if there is none.
func Shared(t testing.TB, elem ...string) string {
	t.Helper()
	root := os.Getenv("NNCF_SHARED")
	if root == "" {
		root = filepath.Join(RepoRoot(), "..", "shared")
	}
	path := filepath.Join(append([]string{root}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("shared test data %s: %v (set NNCF_SHARED to the folder that has them)", filepath.Join(elem...), err)
	}
	return path
}

// RepoRoot returns the folder that holds go.mod, which is above the one that a
// test runs in. It does not rely on paths in the binary: builds may trim them.
func RepoRoot() string {
	dir, err := os.Getwd()
	if err != nil {
		panic("testkit: " + err.Error())
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			panic("testkit: no go.mod above the working directory")
		}
		dir = parent
	}
}
