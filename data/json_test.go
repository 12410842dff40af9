package data

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestOptions_JSON(t *testing.T) {
	for _, want := range []Options{
		{},
		{Split: Val, First: 7, Sample: 5, Seed: 1 << 63, Coarse: true, Layout: NHWC, SkipCheck: true},
	} {
		var got Options
		if b := roundTrip(t, want, &got); got != want {
			t.Errorf("%s: got %+v, want %+v", b, got, want)
		}
	}
}

func TestLoader_JSON(t *testing.T) {
	for _, want := range []*Loader{
		{},
		{Transforms: Transforms{HorizontalFlip{P: 0.2}}, Normalize: Normalize{Mean: []float64{1}, Std: []float64{2}, Raw: true, BGR: true},
			Batch: 3, Shuffle: true, DropLast: true, ChannelsLast: true, Seed: 4, Workers: 5, Prefetch: 6},
	} {
		got := &Loader{}
		b := roundTrip(t, want, got)
		if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Loader{})); d != "" {
			t.Errorf("%s came back different (-want +got):\n%s", b, d)
		}
	}
}

func roundTrip(t *testing.T, from, to any) []byte {
	t.Helper()
	b, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, to); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return b
}
