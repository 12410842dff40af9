package train_test

import (
	"math"
	"testing"

	"github.com/go-nncf/nncf/train"
)

// TestSchedule_Formula holds rates against formulas written out by hand.
func TestSchedule_Formula(t *testing.T) {
	for _, c := range []struct {
		name  string
		o     train.ScheduleOptions
		epoch float64
		want  float64
	}{
		{"constant", train.ScheduleOptions{LR: 0.5}, 7.5, 0.5},
		{"default step", train.ScheduleOptions{Type: "step", LR: 1}, 29.9, 1},
		{"default step after", train.ScheduleOptions{Type: "step", LR: 1}, 30, 0.1},
		{"step holds within an epoch", train.ScheduleOptions{Type: "exp", LR: 1, Gamma: 0.5}, 2.75, 0.25},
		{"per step", train.ScheduleOptions{Type: "exp", LR: 1, Gamma: 0.5, PerStep: true}, 2.5, math.Pow(0.5, 2.5)},
		{"poly per step", train.ScheduleOptions{Type: "poly", LR: 1, Power: 2, Epochs: 4, PerStep: true}, 1.5, 0.625 * 0.625},
		{"poly after the end", train.ScheduleOptions{Type: "poly", LR: 1, Epochs: 4}, 5, 0},
		{"poly without epochs", train.ScheduleOptions{Type: "poly", LR: 1}, 0, 1},
		{"cosine between epochs", train.ScheduleOptions{Type: "cosine", LR: 1, Epochs: 4}, 0.5, (1 + math.Cos(math.Pi/8)) / 2},
		{"cosine at the end", train.ScheduleOptions{Type: "cosine", LR: 1, Epochs: 4, MinLR: 0.25}, 4, 0.25},
		{"cosine after the end", train.ScheduleOptions{Type: "cosine", LR: 1, Epochs: 4, MinLR: 0.25}, 5, 0.25},
		{"warm-up begins", train.ScheduleOptions{LR: 2, WarmupEpochs: 2}, 0, 0.2},
		{"warm-up half way", train.ScheduleOptions{LR: 2, WarmupEpochs: 2}, 1, 1.1},
		{"warm-up factor", train.ScheduleOptions{LR: 2, WarmupEpochs: 2, WarmupFactor: 0.5}, 0.5, 1.25},
		{"warm-up done", train.ScheduleOptions{LR: 2, WarmupEpochs: 2}, 2, 2},
		{"warm-up, then cosine from its top", train.ScheduleOptions{Type: "cosine", LR: 2, Epochs: 6, WarmupEpochs: 2}, 2, 2},
		{"warm-up, then half of cosine", train.ScheduleOptions{Type: "cosine", LR: 2, Epochs: 6, WarmupEpochs: 2}, 4, 1},
		{"warm-up, then steps by the whole epoch", train.ScheduleOptions{Type: "multistep", LR: 2, Steps: []float64{3}, Gamma: 0.5, WarmupEpochs: 2}, 3, 1},
		{"drop begins", train.ScheduleOptions{LR: 2, Drop: train.Drop{Start: 3, Epochs: 4}}, 3, 2},
		{"before the drop", train.ScheduleOptions{LR: 2, Drop: train.Drop{Start: 3, Epochs: 4}}, 2.9, 2},
		{"drop half way, per step", train.ScheduleOptions{LR: 2, Drop: train.Drop{Start: 3, Epochs: 4}}, 5, 2 * math.Pow(0.5, 2.1)},
		{"drop within an epoch", train.ScheduleOptions{LR: 1, Drop: train.Drop{Start: 60, Epochs: 30}}, 60 + 7/16.0, math.Pow((30-7/16.0)/30, 2.1)},
		{"after the drop", train.ScheduleOptions{LR: 2, Drop: train.Drop{Start: 3, Epochs: 4}}, 7.5, 0},
		{"drop on top of steps", train.ScheduleOptions{Type: "multistep", Steps: []float64{4}, LR: 2, Drop: train.Drop{Start: 3, Epochs: 4}}, 5, 0.2 * math.Pow(0.5, 2.1)},
		{"warm-up longer than training", train.ScheduleOptions{Type: "cosine", LR: 2, Epochs: 1, WarmupEpochs: 2}, 1, 1.1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := train.NewSchedule(c.o)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.LR(c.epoch); math.Abs(got-c.want) > 1e-15*max(1, c.want) {
				t.Errorf("got %.17g at epoch %g, want %.17g", got, c.epoch, c.want)
			}
		})
	}
}

func TestScheduleOptions_Validate(t *testing.T) {
	ok := train.ScheduleOptions{LR: 1}
	with := func(f func(o *train.ScheduleOptions)) train.ScheduleOptions {
		o := ok
		f(&o)
		return o
	}
	for _, c := range []struct {
		name string
		o    train.ScheduleOptions
		want string
	}{
		{"constant", ok, ""},
		{"no rate", train.ScheduleOptions{}, "base_lr: got 0"},
		{"NaN rate", train.ScheduleOptions{LR: math.NaN()}, "base_lr: got NaN"},
		{"infinite rate", train.ScheduleOptions{LR: math.Inf(1)}, "base_lr: got +Inf"},
		{"type", with(func(o *train.ScheduleOptions) { o.Type = "linear" }), `got "linear", want one of [constant`},
		{"no steps", with(func(o *train.ScheduleOptions) { o.Type = "multistep" }), "steps: got none"},
		{"descending", with(func(o *train.ScheduleOptions) { o.Steps = []float64{3, 2} }), "steps: got [3 2]"},
		{"gamma", with(func(o *train.ScheduleOptions) { o.Gamma = -1 }), "gamma: got -1"},
		{"drop", with(func(o *train.ScheduleOptions) { o.Drop.Start = -1 }), "drop start: got -1"},
		{"patience", with(func(o *train.ScheduleOptions) { o.Patience = -1 }), "patience: got -1"},
		{"both are named", with(func(o *train.ScheduleOptions) { o.Power, o.WarmupFactor = -1, -2 }), "warmup_factor: got -2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantError(t, c.o.Validate(), c.want)
			if _, err := train.NewSchedule(c.o); (err == nil) != (c.want == "") {
				t.Errorf("NewSchedule: got error %v", err)
			}
		})
	}
}
