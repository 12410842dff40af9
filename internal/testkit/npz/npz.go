// Package npz reads arrays of NumPy files in tests. It is a package of its
// own because the tests of package data use testkit. Start with [Read].
package npz

import (
	"os"
	"testing"

	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/tensor"
)

// Read returns the arrays of an .npz file by name.
func Read(t testing.TB, path string) map[string]*tensor.Tensor {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	arrays, err := data.ReadNPZ(f, info.Size())
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	m := map[string]*tensor.Tensor{}
	for _, a := range arrays {
		m[a.Name] = a.Tensor
	}
	return m
}
