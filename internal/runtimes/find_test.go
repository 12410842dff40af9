package runtimes

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestLibrary_Find(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the files are named as on Linux")
	}
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	touch := func(elem ...string) string {
		p := filepath.Join(append([]string{top}, elem...)...)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	explicit := touch("any", "name.so")
	wheel := touch("venv", "lib", "python3.11", "site-packages", "net", "libs", "libnet.so.9")
	path := touch("path", "libnet.so")
	touch("opt", "net-2.9", "libnet.so.1.9")
	newest := touch("opt", "net-2.10", "libnet.so.1.10")
	touch("opt", "net-2.10", "libnet.so.1.9")
	link := filepath.Join(top, "link.so")
	if err := os.Symlink(explicit, link); err != nil {
		t.Fatal(err)
	}
	lib := Library{Name: "libnet", Env: "NET_LIB", Wheel: "net/libs", Folders: []string{filepath.Join(top, "opt", "net-*")}}

	for _, c := range []struct {
		name, explicit, env, venv, ldpath string
		want                              string
		err                               string
	}{
		{name: "explicit first", explicit: explicit, env: path, want: explicit},
		{name: "link resolved", explicit: link, want: explicit},
		{name: "explicit absent", explicit: filepath.Join(top, "no.so"), env: path, err: "option Library"},
		{name: "variable", env: path, venv: filepath.Join(top, "venv"), want: path},
		{name: "variable absent", env: filepath.Join(top, "no.so"), err: "NET_LIB"},
		{name: "environment", venv: filepath.Join(top, "venv"), ldpath: filepath.Join(top, "path"), want: wheel},
		{name: "library path", ldpath: "::" + filepath.Join(top, "path"), want: path},
		{name: "highest version", want: newest},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("NET_LIB", c.env)
			t.Setenv("VIRTUAL_ENV", c.venv)
			t.Setenv("LD_LIBRARY_PATH", c.ldpath)
			got, err := lib.Find(c.explicit)
			if c.err != "" {
				if !errors.Is(err, ErrNoLibrary) || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %q, %v, want ErrNoLibrary with %q", got, err, c.err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Fatalf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}

	t.Run("nowhere", func(t *testing.T) {
		t.Setenv("NET_LIB", "")
		t.Setenv("VIRTUAL_ENV", top)
		t.Setenv("LD_LIBRARY_PATH", "")
		_, err := Library{Name: "libother", Env: "NET_LIB", Wheel: "net/libs"}.Find("")
		if !errors.Is(err, ErrNoLibrary) || !strings.Contains(err.Error(), "site-packages") || !strings.Contains(err.Error(), "NET_LIB") {
			t.Fatalf("got %v, want ErrNoLibrary with the places and the remedy", err)
		}
	})
}
