package onnx

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/go-nncf/nncf/internal/onnxpb"
)

// writeFile makes a file with the given content appear under the path at once:
// it is written beside it, flushed to the disk and renamed. A killed process may
// leave .NAME.partial-NUMBER.
func writeFile(path string, content func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".partial-*")
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
	if d, err := os.Open(dir); err == nil { // makes the rename durable where folders can be synced
		d.Sync()
		d.Close()
	}
	return nil
}

// Tensors in an external file begin on pages, so that readers can map them;
// small ones stay in the model.
const (
	externalAlign = 4096
	externalMin   = 1024
)

// externalLayout is the content of an external file.
type externalLayout struct {
	payloads []onnxpb.Payload
	offsets  []int64
}

// moveOut lays out the model's large tensors in an external file of the given
// name and makes the model refer to it.
func moveOut(m *onnxpb.Model, name string) *externalLayout {
	x := new(externalLayout)
	end := int64(0)
	for _, t := range m.Graph.Initializers {
		if t.Payload == nil || t.Payload.Size() < externalMin {
			continue
		}
		offset := (end + externalAlign - 1) / externalAlign * externalAlign
		size := int64(t.Payload.Size())
		x.payloads, x.offsets = append(x.payloads, t.Payload), append(x.offsets, offset)
		end = offset + size
		t.Payload, t.External = nil, true
		t.ExternalData = []onnxpb.Entry{
			{Key: "location", Value: name},
			{Key: "offset", Value: strconv.FormatInt(offset, 10)},
			{Key: "length", Value: strconv.FormatInt(size, 10)},
		}
	}
	return x
}

func (x *externalLayout) writeTo(w io.Writer) error {
	b := bufio.NewWriterSize(w, 1<<16)
	at := int64(0)
	for i, p := range x.payloads {
		if _, err := b.Write(make([]byte, x.offsets[i]-at)); err != nil {
			return err
		}
		n, err := p.WriteTo(b)
		if err != nil {
			return err
		}
		at = x.offsets[i] + n
	}
	return b.Flush()
}
