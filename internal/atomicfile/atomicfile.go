// Package atomicfile writes files that appear at once: a reader, and a process
// that is killed at any moment, finds either the old file or the new one,
// whole. What a killed process leaves is a file .NAME.partial-NUMBER beside it,
// which [RemovePartial] removes.
//
// It does not lock: of two that write the same file, the last one wins. Start at
// [Write].
package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Write makes a file with the given content appear under the path: it is written
// beside it, flushed to the disk and renamed. A file that was there keeps its
// mode; a new one has mode 0644. If content or the disk fails, what was there
// stays as it was.
func Write(path string, content func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, partialPrefix(path)+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := content(f); err != nil {
		return err
	}
	mode := os.FileMode(0o644) // CreateTemp's 0600 is for secrets
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	// The name survives a loss of power once the folder is written; systems
	// that cannot sync folders write them soon anyway.
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		d.Close()
	}
	return nil
}

// WriteBytes is [Write] for content that is at hand.
func WriteBytes(path string, b []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// partialPrefix begins the names of files that are not finished.
func partialPrefix(path string) string { return "." + filepath.Base(path) + ".partial-" }

// RemovePartial removes what killed processes left of unfinished writes to path.
// No other process may be writing there.
func RemovePartial(path string) error {
	list, err := os.ReadDir(filepath.Dir(path))
	for _, e := range list {
		if strings.HasPrefix(e.Name(), partialPrefix(path)) {
			err = errors.Join(err, os.Remove(filepath.Join(filepath.Dir(path), e.Name())))
		}
	}
	return err
}
