package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/go-nncf/nncf/internal/onnxpb"
)

// external reads tensors that a model keeps in other files of its folder.
// Locations are relative, without "..", and may not leave the folder through a
// symbolic link.
type external struct {
	dir   string // empty: the model has no folder
	root  *os.Root
	files map[string]*externalFile

	// Tensors may share bytes, but all together they may not need more than
	// externalFactor times the files, so that a small file cannot fill memory.
	read, present int64
}

const externalFactor = 4

type externalFile struct {
	f    *os.File
	size int64
	err  error
}

func (x *external) close() {
	for _, f := range x.files {
		if f.f != nil {
			f.f.Close()
		}
	}
	if x.root != nil {
		x.root.Close()
	}
}

func (x *external) open(location string) *externalFile {
	if filepath.IsLocal(location) {
		location = filepath.Clean(location) // or one file under many names would count often
	}
	if f := x.files[location]; f != nil {
		return f
	}
	f := new(externalFile)
	if x.files == nil {
		x.files = map[string]*externalFile{}
	}
	x.files[location] = f
	f.f, f.size, f.err = x.openFile(location)
	x.present += f.size
	return f
}

func (x *external) openFile(location string) (*os.File, int64, error) {
	if x.dir == "" {
		return nil, 0, errors.New("has external data, but the model comes from no folder")
	}
	if location == "" || !filepath.IsLocal(location) {
		return nil, 0, fmt.Errorf("external data at %s: want a path inside the model's folder", quote(location))
	}
	if x.root == nil {
		root, err := os.OpenRoot(x.dir)
		if err != nil {
			return nil, 0, fmt.Errorf("external data: %w", err)
		}
		x.root = root
	}
	info, err := x.root.Stat(location)
	if err != nil {
		return nil, 0, fmt.Errorf("external data: %w", err)
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait
		return nil, 0, fmt.Errorf("external data at %s: not a regular file", quote(location))
	}
	f, err := x.root.Open(location)
	if err != nil {
		return nil, 0, fmt.Errorf("external data: %w", err)
	}
	return f, info.Size(), nil
}

// bytes returns the raw data of an external tensor, which must be exactly size
// bytes.
func (x *external) bytes(p *onnxpb.Tensor, size int64) ([]byte, error) {
	var location string
	offset, length := int64(0), size
	for _, e := range p.ExternalData {
		var err error
		switch e.Key {
		case "location":
			location = e.Value
		case "offset":
			offset, err = strconv.ParseInt(e.Value, 10, 64)
		case "length":
			length, err = strconv.ParseInt(e.Value, 10, 64)
		}
		if err != nil || offset < 0 || length < 0 {
			return nil, fmt.Errorf("external data: %s is %s, want a number of bytes", quote(e.Key), quote(e.Value))
		}
	}
	f := x.open(location)
	if f.err != nil {
		return nil, f.err
	}
	if length != size {
		return nil, fmt.Errorf("external data: got %d bytes, want %d", length, size)
	}
	if offset > f.size || length > f.size-offset {
		return nil, fmt.Errorf("external data: bytes %d to %d of %s, which has %d", offset, offset+length, quote(location), f.size)
	}
	if x.read += size; x.read > externalFactor*x.present {
		return nil, fmt.Errorf("external data: the tensors so far need %d bytes, more than %d times the files", x.read, externalFactor)
	}
	b := make([]byte, size)
	if _, err := f.f.ReadAt(b, offset); err != nil {
		return nil, fmt.Errorf("external data: %w", err)
	}
	return b, nil
}
