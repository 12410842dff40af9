package data_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-nncf/nncf/data"
)

// A training part, cropped and mirrored at random, in batches of 64.
func Example() {
	ds, err := data.Open("idx:../examples/quickstart/data", data.Options{Split: data.Train, First: 1000})
	if err != nil {
		log.Fatal(err)
	}
	loader := &data.Loader{
		Dataset:    ds,
		Transforms: data.Transforms{data.RandomCrop{Height: 28, Padding: 2}, data.HorizontalFlip{}},
		Normalize:  data.Normalize{Mean: []float64{0.302}, Std: []float64{0.269}},
		Batch:      64,
		Shuffle:    true,
		Seed:       1,
	}
	fmt.Println(loader.Len(), "batches")
	for b, err := range loader.Batches(context.Background(), 0) {
		if err != nil {
			log.Fatal(err)
		}
		if b.Index == loader.Len()-1 {
			fmt.Println(b.Images, b.Labels)
		}
	}
	// Output:
	// 16 batches
	// float32[40 1 28 28] int64[40]
}
