package data

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cifarFormat describes the binary version of a CIFAR data set: records
// without a header, label bytes then 1,024 red, green and blue bytes, row by
// row. https://www.cs.toronto.edu/~kriz/cifar.html
type cifarFormat struct {
	name        string
	folder      string // what the official archive unpacks to
	train, test []string
	labels      int // bytes before the pixels
	label       int // the one taken
	classes     int
	names       []string
	namesFile   string
}

const (
	cifarSide   = 32
	cifarPixels = cifarSide * cifarSide
)

func openCIFAR10(path string, o Options) (Dataset, error) {
	return openCIFAR(path, o, cifarFormat{
		name: "CIFAR-10", folder: "cifar-10-batches-bin",
		train: []string{"data_batch_*.bin"}, test: []string{"test_batch.bin"},
		labels: 1, classes: 10, namesFile: "batches.meta.txt",
		names: []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"},
	})
}

func openCIFAR100(path string, o Options) (Dataset, error) {
	f := cifarFormat{
		name: "CIFAR-100", folder: "cifar-100-binary",
		train: []string{"train.bin"}, test: []string{"test.bin"},
		labels: 2, label: 1, classes: 100, namesFile: "fine_label_names.txt",
	}
	if o.Coarse {
		f.label, f.classes, f.namesFile = 0, 20, "coarse_label_names.txt"
	}
	return openCIFAR(path, o, f)
}

func openCIFAR(path string, o Options, f cifarFormat) (Dataset, error) {
	dir, files := filepath.Dir(path), []string{path}
	if isDir(path) {
		dir = path
		if sub := filepath.Join(dir, f.folder); isDir(sub) {
			dir = sub
		}
		patterns := f.train
		if o.Split != Train {
			patterns = f.test
		}
		if files = f.find(dir, patterns); len(files) == 0 {
			return nil, fmt.Errorf("%s: no %s (or .gz) for the %s part; %s; want the binary version of %s",
				dir, strings.Join(patterns, ", "), o.Split, listing(dir), f.name)
		}
	}
	m := &memory{h: cifarSide, w: cifarSide, c: 3}
	var labels []int
	var starts []int
	var errs []error
	for _, file := range files {
		b, err := readFile(file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		starts = append(starts, len(labels))
		if labels, err = f.decode(m, labels, file, b); err != nil {
			errs = append(errs, err)
		}
	}
	names, err := readLines(dir, f.namesFile)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	if len(names) < f.classes {
		names = f.names
	}
	m.n = len(labels)
	m.name = func(i int) string {
		k, exact := slices.BinarySearch(starts, i)
		if !exact {
			k--
		}
		return fmt.Sprintf("%s record %d", files[k], i-starts[k])
	}
	return m, m.setLabels(labels, classList(names, f.classes))
}

// find returns the files of dir that match, each once: the plain file wins
// over the compressed.
func (f cifarFormat) find(dir string, patterns []string) []string {
	e, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var files []string
	for _, x := range e {
		plain := strings.TrimSuffix(x.Name(), ".gz")
		for _, p := range patterns {
			// The patterns are constants, so Match cannot fail.
			if ok, _ := filepath.Match(p, plain); ok && !x.IsDir() {
				files = append(files, filepath.Join(dir, x.Name()))
			}
		}
	}
	return slices.DeleteFunc(files, func(file string) bool {
		if !strings.HasSuffix(file, ".gz") {
			return false
		}
		_, err := os.Stat(strings.TrimSuffix(file, ".gz"))
		return err == nil
	})
}

// decode appends the records of b to m and to labels.
func (f cifarFormat) decode(m *memory, labels []int, file string, b []byte) ([]int, error) {
	size := f.labels + 3*cifarPixels
	if rest := len(b) % size; rest != 0 || len(b) == 0 {
		return labels, fmt.Errorf("%s: got %d bytes after record %d, want records of %d bytes each: not the binary version of %s, or cut off; get the file again",
			file, rest, len(b)/size, size, f.name)
	}
	m.pix = slices.Grow(m.pix, len(b)/size*3*cifarPixels)
	for r := 0; r*size < len(b); r++ {
		rec := b[r*size:][:size]
		l := int(rec[f.label])
		if l >= f.classes {
			return labels, fmt.Errorf("%s: record %d (byte %d): got label %d, want below %d: not %s, or damaged",
				file, r, r*size+f.label, l, f.classes, f.name)
		}
		labels = append(labels, l)
		red, green, blue := rec[f.labels:][:cifarPixels], rec[f.labels+cifarPixels:][:cifarPixels], rec[f.labels+2*cifarPixels:][:cifarPixels]
		for i := range cifarPixels {
			m.pix = append(m.pix, red[i], green[i], blue[i])
		}
	}
	return labels, nil
}
