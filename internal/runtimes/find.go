package runtimes

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// A Library says how the shared library of a runtime can be found.
type Library struct {
	Name string // file name without suffix and version, "libonnxruntime"
	Env  string // environment variable that names the file, "NNCF_ORT_LIB"
	// Wheel is the folder of the library inside Python's site-packages,
	// "onnxruntime/capi".
	Wheel string
	// Folders are the places where installers put it; glob patterns.
	Folders []string
}

// Find returns the library's file, all symbolic links resolved: a library that
// is opened by a link does not find the libraries beside it.
//
// The first of these that exists is taken: explicit; the file that the
// environment variable names; the active Python environment (VIRTUAL_ENV); the
// folders of LD_LIBRARY_PATH or DYLD_LIBRARY_PATH; the installers' folders. A
// file that was named and does not exist is an error, not a reason to look
// further. Among several versions in one folder the highest wins.
func (l Library) Find(explicit string) (string, error) {
	for _, named := range []struct{ what, file string }{
		{"the option Library", explicit},
		{l.Env, os.Getenv(l.Env)},
	} {
		if named.file == "" {
			continue
		}
		file, err := filepath.EvalSymlinks(named.file)
		if err != nil {
			return "", fmt.Errorf("%s, named by %s: %w: %w", l.Name, named.what, ErrNoLibrary, err)
		}
		return file, nil
	}
	folders := l.folders()
	for _, pattern := range folders {
		dirs, _ := filepath.Glob(pattern) // only a malformed pattern errors
		slices.SortFunc(dirs, func(a, b string) int { return compareVersions(b, a) })
		for _, dir := range dirs {
			if file := l.in(dir); file != "" {
				return filepath.EvalSymlinks(file)
			}
		}
	}
	return "", fmt.Errorf("%s: %w in %s; name the file in %s", l.Name, ErrNoLibrary, strings.Join(folders, ", "), l.Env)
}

// Places returns the folders that are searched, in order, glob patterns among
// them.
func (l Library) Places() []string { return l.folders() }

func (l Library) folders() []string {
	var out []string
	if venv := os.Getenv("VIRTUAL_ENV"); venv != "" {
		out = append(out, filepath.Join(venv, "lib", "python3*", "site-packages", filepath.FromSlash(l.Wheel)))
	}
	for _, env := range []string{"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		out = append(out, filepath.SplitList(os.Getenv(env))...)
	}
	out = slices.DeleteFunc(out, func(dir string) bool { return dir == "" })
	return append(out, l.Folders...)
}

// in returns the library's file in dir, or "". Files are called name.so,
// name.so.1.2, name.dylib or name.1.2.dylib.
func (l Library) in(dir string) string {
	patterns := []string{l.Name + ".so", l.Name + ".so.[0-9]*"}
	if runtime.GOOS == "darwin" {
		patterns = []string{l.Name + ".dylib", l.Name + ".[0-9]*.dylib"}
	}
	var files []string
	for _, p := range patterns {
		found, _ := filepath.Glob(filepath.Join(dir, p))
		files = append(files, found...)
	}
	if len(files) == 0 {
		return ""
	}
	return slices.MaxFunc(files, compareVersions)
}

// compareVersions orders names by the numbers in them: 1.9 before 1.10.
func compareVersions(a, b string) int {
	return cmp.Or(slices.Compare(numbers(a), numbers(b)), cmp.Compare(a, b))
}

func numbers(s string) []int {
	var out []int
	for f := range strings.FieldsFuncSeq(filepath.Base(s), func(r rune) bool { return r < '0' || r > '9' }) {
		n, _ := strconv.Atoi(f) // out of range: the largest int, which is order enough
		out = append(out, n)
	}
	return out
}
