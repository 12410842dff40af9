package data

import (
	"archive/zip"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/tensor"
)

// Array is one named array of an npz file.
type Array struct {
	Name   string
	Tensor *tensor.Tensor
}

// ReadNPZ reads all arrays of an npz file (a zip archive of .npy files), in
// the order of the archive. Other members are skipped. Errors name the array;
// all bad arrays are reported together.
func ReadNPZ(r io.ReaderAt, size int64) ([]Array, error) {
	return readNPZ(r, size, func(string) bool { return true })
}

func readNPZ(r io.ReaderAt, size int64, want func(name string) bool) ([]Array, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("npz: %w", err)
	}
	left := inflateLimit(size)
	var arrays []Array
	var errs []error
	for _, f := range z.File {
		name, ok := strings.CutSuffix(f.Name, ".npy")
		if !ok || !want(name) {
			continue
		}
		t, err := readNPZMember(f, &left)
		if err != nil {
			errs = append(errs, fmt.Errorf("npz array %q: %w", name, err))
			if left <= 0 {
				break
			}
			continue
		}
		arrays = append(arrays, Array{name, t})
	}
	return arrays, errors.Join(errs...)
}

// readNPZMember reads one array and takes the bytes off left.
func readNPZMember(f *zip.File, left *int64) (*tensor.Tensor, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	limited := &io.LimitedReader{R: r, N: *left}
	t, err := ReadNPY(limited)
	*left = limited.N
	if err != nil && limited.N <= 0 {
		return nil, errors.New("the archive grows too much; store it uncompressed if that is right")
	}
	if err != nil {
		return nil, err
	}
	// To the end, which also checks the member's CRC.
	if n, err := io.Copy(io.Discard, limited); err != nil {
		return nil, err
	} else if n > 0 {
		return nil, fmt.Errorf("%d bytes after the elements of shape %v", n, t.Shape())
	}
	return t, nil
}

// WriteNPZ writes the arrays as a compressed npz file.
func WriteNPZ(w io.Writer, arrays ...Array) error {
	z := zip.NewWriter(w)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestCompression)
	})
	for _, a := range arrays {
		m, err := z.Create(a.Name + ".npy")
		if err != nil {
			return err
		}
		if err := WriteNPY(m, a.Tensor); err != nil {
			return fmt.Errorf("npz array %q: %w", a.Name, err)
		}
	}
	return z.Close()
}

// npzNames gives the names under which images and labels of a part are looked
// for, best first.
func npzNames(s Split) (images, labels []string) {
	for _, n := range []string{"images", "x", "X", "data"} {
		images = append(images, affixed(n, s)...)
	}
	for _, n := range []string{"labels", "y", "Y", "label", "targets"} {
		labels = append(labels, affixed(n, s)...)
	}
	return images, labels
}

// affixed returns the names of an array for a part: x_train, train_x.
func affixed(name string, s Split) []string {
	if s == "" {
		return []string{name}
	}
	return []string{name + "_" + string(s), string(s) + "_" + name}
}

func openNPZ(path string, o Options) (Dataset, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: want an npz file, not a folder", path)
	}
	z, err := zip.NewReader(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w; want an npz file as numpy.savez writes it", path, err)
	}
	var have []string
	for _, m := range z.File {
		if name, ok := strings.CutSuffix(m.Name, ".npy"); ok {
			have = append(have, name)
		}
	}
	images, labels := pickNPZ(have, o.Split)
	if images == "" {
		return openNPZArrays(path, f, info.Size(), have, o.Split)
	}
	arrays, err := readNPZ(f, info.Size(), func(name string) bool { return name == images || name == labels })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var x, y *tensor.Tensor
	for _, a := range arrays {
		if a.Name == images {
			x = a.Tensor
		} else {
			y = a.Tensor
		}
	}
	entry := func(i int) string { return fmt.Sprintf("%s array %s entry %d", path, images, i) }
	if x.Rank() > 4 { // volumes and films
		ds, err := FromArrays([]Array{{images, x}}, y, nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		ds.(*arraySet).name = entry
		return ds, nil
	}
	ds, err := FromTensors(x, y, o.Layout, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: arrays %s and %s: %w", path, images, labels, err)
	}
	ds.(*memory).name = entry
	return ds, nil
}

// openNPZArrays opens an npz file without images: examples are its arrays, named
// like the inputs of a model.
func openNPZArrays(path string, f io.ReaderAt, size int64, have []string, s Split) (Dataset, error) {
	names, labels := pickArrays(have, s)
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: no arrays for the %s part: got %s, want images or x, or one named like each input of the model, with labels or y (or x_%s, y_%s)",
			path, s, strings.Join(have, ", "), s, s)
	}
	read, err := readNPZ(f, size, func(name string) bool { return name == labels || names[name] != "" })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var arrays []Array
	var y *tensor.Tensor
	for _, a := range read {
		if a.Name == labels {
			y = a.Tensor
			continue
		}
		arrays = append(arrays, Array{names[a.Name], a.Tensor})
	}
	ds, err := FromArrays(arrays, y, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	ds.(*arraySet).name = func(i int) string { return fmt.Sprintf("%s entry %d", path, i) }
	return ds, nil
}

// pickArrays chooses the arrays of a part that are not labels, by their names
// without the part's: those with its name, or those without the name of any.
func pickArrays(have []string, s Split) (names map[string]string, labels string) {
	_, isLabel := npzNames("")
	for _, part := range append(s.candidates(), "") {
		names, labels = map[string]string{}, ""
		for _, h := range have {
			name, ok := unaffixed(h, part)
			switch {
			case !ok:
			case slices.Contains(isLabel, name):
				labels = h
			default:
				names[h] = name
			}
		}
		if len(names) > 0 {
			return names, labels
		}
	}
	return nil, ""
}

// unaffixed undoes affixed: it returns the name of an array without that of the
// part; for no part, names that have one of any part are not ok.
func unaffixed(name string, s Split) (string, bool) {
	if s == "" {
		for _, part := range []Split{Train, Val, Test} {
			if _, ok := unaffixed(name, part); ok {
				return "", false
			}
		}
		return name, true
	}
	if n, ok := strings.CutSuffix(name, "_"+string(s)); ok {
		return n, true
	}
	return strings.CutPrefix(name, string(s)+"_")
}

// pickNPZ chooses the arrays of a part: those with its name, or those without
// the name of any. Labels are optional.
func pickNPZ(have []string, s Split) (images, labels string) {
	in := func(names []string) string {
		for _, n := range names {
			for _, h := range have {
				if n == h {
					return h
				}
			}
		}
		return ""
	}
	for _, part := range append(s.candidates(), "") {
		x, y := npzNames(part)
		if images = in(x); images != "" {
			return images, in(y)
		}
	}
	return "", ""
}
