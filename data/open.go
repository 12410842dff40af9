package data

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Split names a part of a data set.
type Split string

// The parts. The empty Split means Train.
const (
	Train Split = "train"
	Val   Split = "val"
	Test  Split = "test"
)

// Options says what [Open] returns of a data set. The zero value is the whole
// training part.
type Options struct {
	// Split is the part; Val and Test stand for each other where a data set
	// has only one of them, and a data set without parts is returned whole.
	Split Split `json:"split,omitempty"`
	// First keeps the first examples only, Sample that many at random (by
	// Seed); 0 keeps all. First is applied before Sample.
	First  int    `json:"first,omitempty"`
	Sample int    `json:"sample,omitempty"`
	Seed   uint64 `json:"seed,omitempty"`
	// Coarse takes the 20 coarse labels of CIFAR-100 instead of the 100 fine.
	Coarse bool `json:"coarse,omitempty"`
	// Layout is the order of the axes in npz files.
	Layout Layout `json:"layout,omitempty"`
	// SkipCheck opens an image folder without looking into every file; bad
	// files then fail when they are read.
	SkipCheck bool `json:"skip_check,omitempty"`
}

// Validate reports all invalid fields.
func (o Options) Validate() error {
	var errs []error
	switch o.Split {
	case "", Train, Val, Test:
	default:
		errs = append(errs, fmt.Errorf("split: got %q, want train, val or test", string(o.Split)))
	}
	if o.First < 0 {
		errs = append(errs, fmt.Errorf("first: got %d, want 0 (all) or more", o.First))
	}
	if o.Sample < 0 {
		errs = append(errs, fmt.Errorf("sample: got %d, want 0 (all) or more", o.Sample))
	}
	return errors.Join(append(errs, o.Layout.Validate())...)
}

var kinds = []struct {
	name string
	open func(path string, o Options) (Dataset, error)
}{
	{"cifar10", openCIFAR10},
	{"cifar100", openCIFAR100},
	{"idx", openIDX},
	{"imagefolder", openImageFolder},
	{"npz", openNPZ},
}

// Open reads the data set named by spec:
//
//	cifar10:DIR      data_batch_*.bin and test_batch.bin (or .bin.gz); also one such file
//	cifar100:DIR     train.bin and test.bin, the same way
//	idx:DIR          MNIST-style pairs …images… and …labels…, plain or .gz
//	imagefolder:DIR  one sub-folder of JPEG and PNG files per class, optionally
//	                 below train/, val/ and test/; labels by the sorted names, or
//	                 by the lines of DIR/classes.txt; always three channels
//	npz:FILE         arrays images or x, and labels or y, optionally per part
//	                 (x_train, train_images, …); without images, arrays named
//	                 like the inputs of a model, see [Fields]
func Open(spec string, o Options) (Dataset, error) {
	kind, path, ok := strings.Cut(spec, ":")
	names := make([]string, len(kinds))
	open := func(string, Options) (Dataset, error) { return nil, nil }
	known := false
	for i, k := range kinds {
		names[i] = k.name
		if k.name == kind {
			open, known = k.open, true
		}
	}
	switch {
	case !ok || path == "":
		return nil, fmt.Errorf("data set: got %q, want kind:path, kind one of %s", spec, strings.Join(names, ", "))
	case !known:
		return nil, fmt.Errorf("data set %q: got kind %q, want one of %s", spec, kind, strings.Join(names, ", "))
	}
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("data set %q: %w", spec, err)
	}
	if o.Split == "" {
		o.Split = Train
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("data set %q: %w", spec, err)
	}
	ds, err := open(path, o)
	if err != nil {
		return nil, fmt.Errorf("data set %q: %w", spec, err)
	}
	if ds.Len() == 0 {
		return nil, fmt.Errorf("data set %q: the %s part has no examples", spec, o.Split)
	}
	if o.First > 0 {
		ds = First(ds, o.First)
	}
	if o.Sample > 0 {
		ds = Sample(ds, o.Sample, o.Seed)
	}
	return ds, nil
}

// candidates lists the parts to look for, best first.
func (s Split) candidates() []Split {
	switch s {
	case Val:
		return []Split{Val, Test}
	case Test:
		return []Split{Test, Val}
	}
	return []Split{Train}
}
