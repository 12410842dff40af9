package config_test

import (
	"strings"
	"testing"

	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/train"
)

// The original's configurations for binarization train as its staged worker does:
// Adam at 1e-3, a fall to 0 over the last 30 of 90 epochs, weight decay until 60.
func TestTrainOptions_Binarization(t *testing.T) {
	for _, mode := range []string{"xnor", "dorefa"} {
		c, err := config.Load(testkit.Shared(t, "data", "nncf-configs", "classification", "configs", "binarization", "resnet18_imagenet_binarization_"+mode+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if algorithms, err := c.Algorithms(); err != nil || len(algorithms) != 1 || algorithms[0].Name() != "binarization" {
			t.Errorf("%s: got %v, %v", mode, algorithms, err)
		}
		o := c.TrainOptions()
		want := train.Drop{Start: 60, Epochs: 30, NoDecayAfter: 60, EndDecay: true}
		if o.Optimizer.Type != "adam" || o.Optimizer.WeightDecay != 1e-5 || o.Schedule.Type != "constant" || o.Schedule.LR != 1e-3 || o.Schedule.Drop != want || o.Accumulate != 1 {
			t.Errorf("%s: got %+v", mode, o)
		}
	}
}

// An optimizer section counts, and base_lr and base_wd override it; other
// algorithms do not train in stages.
func TestTrainOptions_Stages(t *testing.T) {
	for _, c := range []struct {
		name, text string
		kind       string
		lr, decay  float64
		drop       float64 // epochs
	}{
		{"optimizer", `"optimizer": {"type": "SGD", "base_lr": 0.1}, "compression": {"algorithm": "binarization", "params": {"lr_poly_drop_start_epoch": 3}}`, "sgd", 0.1, 1e-4, 30},
		{"both", `"optimizer": {"type": "SGD", "base_lr": 0.1}, "compression": {"algorithm": "binarization", "params": {"base_lr": 0.2, "base_wd": 0}}`, "sgd", 0.2, 0, 0},
		{"neither", `"compression": {"algorithm": "binarization"}`, "adam", 1e-3, 1e-5, 0},
		{"second of two", `"compression": [{"algorithm": "quantization"}, {"algorithm": "binarization", "params": {"base_lr": 0.5}}]`, "adam", 0.5, 1e-5, 0},
		{"quantization", `"compression": {"algorithm": "quantization"}`, "adam", 1e-4, 1e-4, 0},
		{"empty params", `"compression": {"algorithm": "quantization", "params": { }}`, "adam", 1e-4, 1e-4, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, err := config.Parse("x.json", []byte("{"+c.text+"}"))
			if err != nil {
				t.Fatal(err)
			}
			o := k.TrainOptions()
			if o.Optimizer.Type != c.kind || o.Schedule.LR != c.lr || o.Optimizer.WeightDecay != c.decay || o.Schedule.Drop.Epochs != c.drop {
				t.Errorf("got %+v", o)
			}
		})
	}
	for _, c := range [][2]string{
		{`"params": {"batch_multiplier": 1.5}`, "batch_multiplier: got 1.5"},
		{`"initializer": {"range": {"type": "min_max"}}`, "initializer.range"},
		{`"initializer": {"scale": "max"}`, "want one of top, mse"},
	} {
		k, err := config.Parse("x.json", []byte(`{"compression": {"algorithm": "binarization", `+c[0]+`}}`))
		if err == nil {
			_, err = k.Algorithms()
		}
		if err == nil || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%s: got %v, want %q", c[0], err, c[1])
		}
	}
}
