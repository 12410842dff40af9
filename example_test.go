package nncf_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/data"
)

// A trained float network from ONNX is quantized as a configuration says, its
// ranges initialised from data, fine-tuned for an epoch, and exported.
func Example() {
	dir, err := os.MkdirTemp("", "nncf-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := quantize(context.Background(), filepath.Join(dir, "int8.onnx")); err != nil {
		log.Fatal(err)
	}
	// Output:
	// fine-tuned: within 2 points of the float model: true
	// exported: within 1 point of the simulated model: true
}

func quantize(ctx context.Context, output string) error {
	cfg, err := config.Load("examples/quickstart/int8.json")
	if err != nil {
		return err
	}
	trainSet, err := loader(cfg, data.Train, 128)
	if err != nil {
		return err
	}
	testSet, err := loader(cfg, data.Test, 200)
	if err != nil {
		return err
	}

	m, err := nncf.Load(cfg.Path(cfg.Model))
	if err != nil {
		return err
	}
	algorithms, err := cfg.Algorithms()
	if err != nil {
		return err
	}
	c, err := nncf.Compress(ctx, m, algorithms, nncf.CompressOptions{Calibration: nncf.Calibration(ctx, trainSet)})
	if err != nil {
		return err
	}
	t, err := nncf.NewTrainer(c.Graph, cfg.TrainOptions(), c) // c adds its loss and steps its schedules
	if err != nil {
		return err
	}
	defer t.Close()
	for epoch := range 1 {
		if _, err := t.Epoch(ctx, trainSet, epoch); err != nil {
			return err
		}
	}
	if err := c.Export(output, nncf.ExportOptions{}); err != nil { // QDQ, for ONNX Runtime and OpenVINO
		return err
	}

	float, err := nncf.Evaluate(ctx, m.Graph, testSet, cfg.TrainOptions())
	if err != nil {
		return err
	}
	tuned, err := t.Evaluate(ctx, testSet)
	if err != nil {
		return err
	}
	e, err := nncf.Load(output)
	if err != nil {
		return err
	}
	exported, err := nncf.Evaluate(ctx, e.Graph, testSet, cfg.TrainOptions())
	if err != nil {
		return err
	}
	fmt.Println("fine-tuned: within 2 points of the float model:", tuned.Top1 >= float.Top1-2)
	fmt.Println("exported: within 1 point of the simulated model:", exported.Top1 >= tuned.Top1-1)
	return nil
}

const batch = 32

// loader opens the first n images of a part of the data set.
func loader(cfg *config.Config, split data.Split, n int) (*data.Loader, error) {
	ds, err := data.Open(cfg.Spec(cfg.Dataset.Train), data.Options{Split: split, First: n})
	if err != nil {
		return nil, err
	}
	l := &data.Loader{Dataset: ds, Normalize: cfg.Preprocessing, Batch: batch, Seed: cfg.Seed}
	if split == data.Train {
		l.Shuffle, l.DropLast, l.Transforms = true, true, cfg.TrainTransforms
	}
	return l, nil
}
