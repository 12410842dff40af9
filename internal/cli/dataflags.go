package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/data"
)

// dataFlags name a data set and how its images become the model's input. What
// is not given is taken from a configuration, for commands that read one.
type dataFlags struct {
	Dataset string    `help:"Data set as kind:path: cifar10:DIR, cifar100:DIR, idx:DIR, imagefolder:DIR, npz:FILE." placeholder:"KIND:PATH"`
	Split   string    `help:"Part of the data set: train, val or test." placeholder:"PART"`
	Mean    floatList `help:"Mean per channel, of pixels scaled to 0..1." placeholder:"M,M,M"`
	Std     floatList `help:"Standard deviation per channel, of pixels scaled to 0..1." placeholder:"S,S,S"`
	Raw     bool      `help:"Pixels are 0..255 for the model; --mean and --std then count in that scale."`
	BGR     bool      `name:"bgr" help:"Reverse the colour channels."`
	Resize  int       `help:"Resize the shorter side to this length (bilinear)." placeholder:"N"`
	Crop    int       `help:"Crop the centre to a square of this length." placeholder:"N"`
	Size    sizeFlag  `help:"Resize to exactly this height and width (bilinear)." placeholder:"HxW"`
	Batch   int       `help:"Batch size." default:"250"`
	Seed    uint64    `help:"Seed of random choices." default:"0"`
}

// loader opens the data set; split is the default part, limit keeps so many
// samples (0: all). c may be nil.
func (f dataFlags) loader(c *config.Config, split data.Split, limit int, shuffle bool) (*data.Loader, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if c == nil {
		c = &config.Config{}
	}
	spec := f.Dataset
	if spec == "" {
		spec = c.Spec(cmp.Or(c.Dataset.Test, c.Dataset.Train))
		if split == data.Train {
			spec = c.Spec(cmp.Or(c.Dataset.Train, c.Dataset.Test))
		}
	}
	if spec == "" {
		return nil, usagef("no data set: give --dataset KIND:PATH")
	}
	if f.Split != "" {
		split = data.Split(f.Split)
	}
	if shuffle {
		limit = 0
	}
	ds, err := data.Open(spec, data.Options{Split: split, First: limit})
	if err != nil {
		return nil, err
	}
	l := &data.Loader{Dataset: ds, Batch: f.Batch, Shuffle: shuffle, Seed: f.Seed, Normalize: c.Preprocessing, Transforms: slices.Clone(c.EvalTransforms)}
	if f.Mean != nil {
		l.Normalize.Mean = f.Mean
	}
	if f.Std != nil {
		l.Normalize.Std = f.Std
	}
	l.Normalize.Raw = l.Normalize.Raw || f.Raw
	l.Normalize.BGR = l.Normalize.BGR || f.BGR
	if f.Size.height > 0 {
		l.Transforms = append(l.Transforms, data.Resize{Height: f.Size.height, Width: f.Size.width})
	}
	if f.Resize > 0 {
		l.Transforms = append(l.Transforms, data.Resize{Short: f.Resize})
	}
	if f.Crop > 0 {
		l.Transforms = append(l.Transforms, data.CentreCrop{Height: f.Crop, Width: f.Crop})
	}
	return l, l.Validate()
}

// check reports flags that can be seen to be wrong without data.
func (f dataFlags) check() error {
	switch {
	case f.Dataset != "" && !strings.Contains(f.Dataset, ":"):
		return usagef("--dataset: got %q, want KIND:PATH, such as cifar10:%s", f.Dataset, f.Dataset)
	case !slices.Contains([]string{"", "train", "val", "test"}, f.Split):
		return usagef("--split: got %q, want train, val or test", f.Split)
	case f.Batch < 1:
		return usagef("--batch: got %d, want 1 or more", f.Batch)
	case f.Resize < 0 || f.Crop < 0:
		return usagef("--resize, --crop: got %d and %d, want 0 or more", f.Resize, f.Crop)
	case slices.ContainsFunc(f.Std, func(v float64) bool { return !(v > 0) }):
		return usagef("--std: got %v, want numbers above 0", f.Std)
	}
	return nil
}

// loadConfig reads a configuration, or none if no file is named.
func loadConfig(file string) (*config.Config, error) {
	if file == "" {
		return nil, nil
	}
	return config.Load(file)
}

// sizeFlag is HEIGHTxWIDTH.
type sizeFlag struct{ height, width int }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *sizeFlag) UnmarshalText(b []byte) error {
	h, w, ok := strings.Cut(string(b), "x")
	var err1, err2 error
	f.height, err1 = strconv.Atoi(h)
	f.width, err2 = strconv.Atoi(w)
	if !ok || err1 != nil || err2 != nil || f.height < 1 || f.width < 1 {
		return fmt.Errorf("got %q, want HEIGHTxWIDTH, such as 240x320", b)
	}
	return nil
}

// floatList is numbers separated by commas.
type floatList []float64

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *floatList) UnmarshalText(b []byte) error {
	*l = nil
	for s := range strings.SplitSeq(string(b), ",") {
		v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil {
			return fmt.Errorf("got %q, want numbers separated by commas", b)
		}
		*l = append(*l, v)
	}
	return nil
}
