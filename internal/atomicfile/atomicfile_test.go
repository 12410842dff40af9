package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

func want(t *testing.T, path, text string) {
	t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != text {
		t.Errorf("got %q, %v, want %q", b, err, text)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	if err := WriteBytes(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	want(t, path, "one")
	if runtime.GOOS != "windows" {
		if info, _ := os.Stat(path); info.Mode().Perm() != 0o644 {
			t.Errorf("a new file has mode %v, want 0644", info.Mode())
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteBytes(path, []byte("two")); err != nil {
		t.Fatal(err)
	}
	want(t, path, "two")
	if info, _ := os.Stat(path); runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("a replaced file has mode %v, want that it had, 0600", info.Mode())
	}

	// While the content is written, and when it fails, the old file is there.
	broken := errors.New("broken")
	err := Write(path, func(w io.Writer) error {
		if _, err := io.WriteString(w, "thr"); err != nil {
			return err
		}
		want(t, path, "two")
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("got error %v, want %v", err, broken)
	}
	want(t, path, "two")
	if n := names(t, dir); len(n) != 1 {
		t.Errorf("the folder holds %q, want a.json alone", n)
	}
	if err := WriteBytes(filepath.Join(dir, "no", "a.json"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a folder that does not exist: got %v, want %v", err, os.ErrNotExist)
	}
}

func TestRemovePartial(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"a.json", ".a.json.partial-1", ".a.json.partial-22", ".b.json.partial-1"} {
		if err := os.WriteFile(filepath.Join(dir, n), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemovePartial(filepath.Join(dir, "a.json")); err != nil {
		t.Fatal(err)
	}
	if n := names(t, dir); len(n) != 2 || n[0] != ".b.json.partial-1" || n[1] != "a.json" {
		t.Errorf("left %q, want the file and the other's part", n)
	}
}
