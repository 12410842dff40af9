package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/tensor"
)

// ReadIDX reads one array in IDX form: two zero bytes, a type byte, the number
// of axes, each axis as a big-endian uint32, then the elements, big-endian.
// Bytes after the last element are an error.
// http://yann.lecun.com/exdb/mnist/
func ReadIDX(r io.Reader) (*tensor.Tensor, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("IDX magic number: %w", err)
	}
	if head[0] != 0 || head[1] != 0 {
		return nil, fmt.Errorf("IDX magic number: got % x, want 00 00 and a type", head)
	}
	shape := make(tensor.Shape, head[3])
	for i := range shape {
		var axis uint32
		if err := binary.Read(r, binary.BigEndian, &axis); err != nil {
			return nil, fmt.Errorf("IDX axis %d of %d: %w", i, len(shape), err)
		}
		shape[i] = int(axis)
	}
	if err := shape.Check(); err != nil {
		return nil, fmt.Errorf("IDX header: %w", err)
	}
	t, err := readIDXElements(r, head[2], shape)
	if err != nil {
		return nil, err
	}
	if n, _ := io.ReadFull(r, head[:1]); n > 0 {
		return nil, fmt.Errorf("IDX: bytes after the %d elements of shape %v", t.Len(), shape)
	}
	return t, nil
}

func readIDXElements(r io.Reader, kind byte, shape tensor.Shape) (*tensor.Tensor, error) {
	switch kind {
	case 0x08:
		return readTensor[uint8](r, binary.BigEndian, tensor.Uint8, shape)
	case 0x09:
		return readTensor[int8](r, binary.BigEndian, tensor.Int8, shape)
	case 0x0b:
		return readTensor[int16](r, binary.BigEndian, tensor.Int16, shape)
	case 0x0c:
		return readTensor[int32](r, binary.BigEndian, tensor.Int32, shape)
	case 0x0d:
		return readTensor[float32](r, binary.BigEndian, tensor.Float32, shape)
	case 0x0e:
		return readTensor[float64](r, binary.BigEndian, tensor.Float64, shape)
	}
	return nil, fmt.Errorf("IDX type: got 0x%02x, want 08, 09, 0b, 0c, 0d or 0e", kind)
}

// readTensor reads shape.Numel() elements; shape has passed Check.
func readTensor[T tensor.Element](r io.Reader, order binary.ByteOrder, d tensor.DType, shape tensor.Shape) (*tensor.Tensor, error) {
	e, err := readElements[T](r, order, shape.Numel(), d.Bytes(1))
	if err != nil {
		return nil, err
	}
	return tensor.Wrap(d, e, shape...), nil
}

// WriteIDX writes t, of one of the types that IDX has, in IDX form.
func WriteIDX(w io.Writer, t *tensor.Tensor) error {
	types := []struct {
		d    tensor.DType
		kind byte
	}{
		{tensor.Uint8, 0x08}, {tensor.Int8, 0x09}, {tensor.Int16, 0x0b},
		{tensor.Int32, 0x0c}, {tensor.Float32, 0x0d}, {tensor.Float64, 0x0e},
	}
	for _, x := range types {
		if x.d != t.DType() {
			continue
		}
		head := []byte{0, 0, x.kind, byte(t.Rank())}
		for _, n := range t.Shape() {
			if uint64(n) > 1<<32-1 {
				return fmt.Errorf("IDX: axis of length %d, want below 2³²", n)
			}
			head = binary.BigEndian.AppendUint32(head, uint32(n))
		}
		if _, err := w.Write(head); err != nil {
			return err
		}
		return writeElements(w, binary.BigEndian, t)
	}
	return fmt.Errorf("IDX: got element type %v, want uint8, int8, int16, int32, float32 or float64", t.DType())
}

// idxPair is an images file with its labels file.
type idxPair struct {
	prefix         string // the name before "images"
	images, labels string
}

// split tells by the last word of the prefix which part the pair is.
func (p idxPair) split() Split {
	words := strings.FieldsFunc(strings.ToLower(p.prefix), func(r rune) bool { return strings.ContainsRune("-_. ", r) })
	if len(words) == 0 {
		return ""
	}
	switch w := words[len(words)-1]; {
	case w == "train":
		return Train
	case w == "val" || w == "valid" || w == "validation":
		return Val
	case w == "test" || len(w) > 2 && w[0] == 't' && w[len(w)-1] == 'k' && strings.Trim(w[1:len(w)-1], "0123456789") == "":
		return Test // MNIST calls it t10k, after the number of images
	}
	return ""
}

func openIDX(path string, o Options) (Dataset, error) {
	if !isDir(path) {
		return nil, fmt.Errorf("%s: got a file, want the folder that holds the images and labels files", path)
	}
	pairs, err := findIDX(path)
	if err != nil {
		return nil, err
	}
	var found []idxPair
	for _, s := range o.Split.candidates() {
		for _, p := range pairs {
			if p.split() == s {
				found = append(found, p)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	if len(found) == 0 && len(pairs) == 1 && pairs[0].split() == "" {
		found = pairs // a single set without a part in its name
	}
	switch len(found) {
	case 1:
		return readIDXPair(path, found[0])
	case 0:
		return nil, fmt.Errorf("%s: no images and labels files for the %s part, such as train-images-idx3-ubyte and train-labels-idx1-ubyte (or .gz), or t10k-… for test; %s",
			path, o.Split, listing(path))
	}
	return nil, fmt.Errorf("%s: two sets for the %s part, %s and %s; leave one in the folder",
		path, o.Split, found[0].images, found[1].images)
}

// findIDX pairs the images and labels files of dir by what stands before
// those words. The plain file wins over the compressed.
func findIDX(dir string) ([]idxPair, error) {
	e, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var pairs []idxPair
	at := func(prefix string) *idxPair {
		i := slices.IndexFunc(pairs, func(p idxPair) bool { return p.prefix == prefix })
		if i < 0 {
			i = len(pairs)
			pairs = append(pairs, idxPair{prefix: prefix})
		}
		return &pairs[i]
	}
	set := func(to *string, name string) {
		if *to == "" || strings.HasSuffix(*to, ".gz") && !strings.HasSuffix(name, ".gz") {
			*to = name
		}
	}
	for _, x := range e {
		name := x.Name()
		if x.IsDir() || !strings.Contains(name, "idx") && !strings.HasSuffix(strings.TrimSuffix(name, ".gz"), "ubyte") {
			continue
		}
		if prefix, _, ok := strings.Cut(name, "images"); ok {
			set(&at(prefix).images, name)
		} else if prefix, _, ok := strings.Cut(name, "labels"); ok {
			set(&at(prefix).labels, name)
		}
	}
	return slices.DeleteFunc(pairs, func(p idxPair) bool { return p.images == "" || p.labels == "" }), nil
}

func readIDXPair(dir string, p idxPair) (Dataset, error) {
	images, err1 := readIDXFile(filepath.Join(dir, p.images))
	labels, err2 := readIDXFile(filepath.Join(dir, p.labels))
	classes, err3 := readLines(dir, classesFile)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	ds, err := FromTensors(images, labels, NHWC, classes)
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %w", filepath.Join(dir, p.images), p.labels, err)
	}
	ds.(*memory).name = func(i int) string { return fmt.Sprintf("%s image %d", filepath.Join(dir, p.images), i) }
	return ds, nil
}

func readIDXFile(path string) (*tensor.Tensor, error) {
	b, err := readFile(path)
	if err != nil {
		return nil, err
	}
	t, err := ReadIDX(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w; not an IDX file, or cut off", path, err)
	}
	return t, nil
}
