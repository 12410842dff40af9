package data

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Compressed files may grow by this much, so that a small hostile file cannot
// fill the memory: photographs and labels stay far below.
const (
	inflateFloor = 16 << 20
	inflateRatio = 256
)

func inflateLimit(size int64) int64 { return inflateFloor + inflateRatio*size }

// readFile returns the content of a regular file, decompressed if its name
// ends in .gz. Errors name the file.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: got %v, want a regular file", path, info.Mode().Type())
	}
	raw, err := os.ReadFile(path)
	if err != nil || !strings.HasSuffix(path, ".gz") {
		return raw, err
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%s: not a gzip file: %w", path, err)
	}
	limit := inflateLimit(int64(len(raw)))
	b, err := io.ReadAll(io.LimitReader(z, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: after %d decompressed bytes: %w; get the file again", path, len(b), err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: grows from %d to more than %d bytes; decompress it by hand if that is right", path, len(raw), limit)
	}
	return b, nil
}

// readElements reads n elements of the given byte size. The memory grows with
// the bytes that really come.
func readElements[T any](r io.Reader, order binary.ByteOrder, n, size int) ([]T, error) {
	const chunk = 1 << 16 // bytes
	out := make([]T, 0, min(n, chunk/size))
	buf := make([]byte, min(n, chunk/size)*size)
	for len(out) < n {
		k := min(n-len(out), chunk/size)
		if _, err := io.ReadFull(r, buf[:k*size]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("elements %d to %d of %d: %w", len(out), len(out)+k-1, n, err)
		}
		out = slices.Grow(out, k)
		dst := out[len(out) : len(out)+k]
		if _, err := binary.Decode(buf[:k*size], order, dst); err != nil {
			panic(fmt.Sprintf("data: decoding %T: %v", dst, err))
		}
		out = out[:len(out)+k]
	}
	return out, nil
}

// listing is a short description of what a folder holds, for errors.
func listing(dir string) string {
	e, err := os.ReadDir(dir)
	if err != nil {
		return err.Error()
	}
	if len(e) == 0 {
		return "the folder is empty"
	}
	const most = 8
	names := make([]string, 0, most)
	for i, x := range e {
		if i == most {
			return fmt.Sprintf("it holds %s and %d more", strings.Join(names, ", "), len(e)-most)
		}
		names = append(names, x.Name())
	}
	return "it holds " + strings.Join(names, ", ")
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// classesFile, beside the data, names the classes in the order of their labels,
// one a line.
const classesFile = "classes.txt"

// readLines returns the non-empty lines of a small text file beside the data,
// nil if there is none.
func readLines(dir, name string) ([]string, error) {
	b, err := readFile(filepath.Join(dir, name))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, nil
}
