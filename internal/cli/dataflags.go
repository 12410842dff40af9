package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/go-nncf/nncf/data"
)

// dataFlags name a data set and how its images become the model's input.
type dataFlags struct {
	Dataset string    `required:"" help:"Data set as kind:path: cifar10:DIR, cifar100:DIR, idx:DIR, imagefolder:DIR, npz:FILE." placeholder:"KIND:PATH"`
	Split   string    `help:"Part of the data set: train, val or test." enum:"train,val,test,default" default:"default"`
	Mean    floatList `help:"Mean per channel, of pixels scaled to 0..1." placeholder:"M,M,M"`
	Std     floatList `help:"Standard deviation per channel, of pixels scaled to 0..1." placeholder:"S,S,S"`
	Raw     bool      `help:"Pixels are 0..255 for the model; --mean and --std then count in that scale."`
	BGR     bool      `name:"bgr" help:"Reverse the colour channels."`
	Resize  int       `help:"Resize the shorter side to this length (bilinear)." placeholder:"N"`
	Crop    int       `help:"Crop the centre to a square of this length." placeholder:"N"`
	Batch   int       `help:"Batch size." default:"250"`
	Seed    uint64    `help:"Seed of random choices." default:"0"`
}

// loader opens the data set; split is the default part, limit keeps so many
// samples (0: all).
func (f dataFlags) loader(split data.Split, limit int, shuffle bool) (*data.Loader, error) {
	if f.Split != "default" && f.Split != "" {
		split = data.Split(f.Split)
	}
	ds, err := data.Open(f.Dataset, data.Options{Split: split})
	if err != nil {
		return nil, err
	}
	if limit > 0 && !shuffle {
		ds = data.First(ds, limit)
	}
	l := &data.Loader{Dataset: ds, Batch: f.Batch, Shuffle: shuffle, Seed: f.Seed,
		Normalize: data.Normalize{Mean: f.Mean, Std: f.Std, Raw: f.Raw, BGR: f.BGR}}
	if f.Resize > 0 {
		l.Transforms = append(l.Transforms, data.Resize{Short: f.Resize})
	}
	if f.Crop > 0 {
		l.Transforms = append(l.Transforms, data.CentreCrop{Height: f.Crop, Width: f.Crop})
	}
	return l, l.Validate()
}

// floatList is numbers separated by commas.
type floatList []float64

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *floatList) UnmarshalText(b []byte) error {
	for _, s := range strings.Split(string(b), ",") {
		v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil {
			return fmt.Errorf("got %q, want numbers separated by commas", b)
		}
		*l = append(*l, v)
	}
	return nil
}
