package schedule_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/go-nncf/nncf/compress/schedule"
	"github.com/go-nncf/nncf/internal/testkit"
)

// golden is a schedule of the original and what it did; see the README of the
// goldens.
type golden struct {
	Error  string  `json:"error"`
	Init   float64 `json:"sparsity_init"`
	Driven int     `json:"steps_per_epoch_driven"`
	Params struct {
		Schedule string    `json:"schedule"`
		Target   float64   `json:"sparsity_target"`
		Epochs   float64   `json:"sparsity_target_epoch"`
		Power    float64   `json:"power"`
		Concave  *bool     `json:"concave"`
		PerStep  bool      `json:"update_per_optimizer_step"`
		PerEpoch int       `json:"steps_per_epoch"`
		Steps    []int     `json:"multistep_steps"`
		Levels   []float64 `json:"multistep_sparsity_levels"`
		Patience int       `json:"patience"`
	} `json:"params"`
	Trace []struct {
		When     string    `json:"when"`
		Error    string    `json:"error"`
		ByEpoch  []float64 `json:"level_set_by_epoch_step"`
		ByStep   []float64 `json:"level_set_by_each_step"`
		Observed *float64  `json:"observed_sparsity_before"`
	} `json:"trace"`
}

func (g golden) schedule() schedule.Schedule {
	p := g.Params
	switch p.Schedule {
	case "exponential":
		return schedule.Exponential{Init: g.Init, Final: p.Target, Epochs: p.Epochs}
	case "multistep":
		if p.Levels == nil {
			p.Levels = []float64{0.1, 0.5}
		}
		return schedule.Multistep{Steps: p.Steps, Levels: p.Levels}
	}
	if p.Power == 0 {
		p.Power = 0.9
	}
	return schedule.Polynomial{Init: g.Init, Final: p.Target, Epochs: p.Epochs, Power: p.Power, Slow: p.Concave != nil && !*p.Concave}
}

// Every schedule sets the levels of NNCF 2.14.1, epoch by epoch and step by step.
func TestGolden(t *testing.T) {
	raw, err := os.ReadFile(testkit.Shared(t, "data/nncf-goldens/sparsity/schedules.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Schedules map[string]golden `json:"schedules"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Schedules) < 15 {
		t.Fatalf("got %d schedules", len(file.Schedules))
	}
	for name, g := range file.Schedules {
		t.Run(name, func(t *testing.T) {
			switch {
			case g.Error != "":
				if err := (schedule.Multistep{Steps: []int{3}, Levels: []float64{0.1}}).Validate(); err == nil {
					t.Error("got no error for a level too few")
				}
			case g.Params.Schedule == "adaptive":
				adaptive(t, g)
			default:
				follow(t, g)
			}
		})
	}
}

func same(a, b float64) bool { return math.Abs(a-b) < 1e-8 }

func follow(t *testing.T, g golden) {
	s := g.schedule()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	c := schedule.Clock{PerEpoch: g.Params.PerEpoch}
	for _, e := range g.Trace {
		if e.When == "start" {
			continue
		}
		err := c.EpochStep()
		if (err != nil) != (e.Error != "") {
			t.Fatalf("epoch %d: got error %v, the original %q", c.Epoch(), err, e.Error)
		}
		if err != nil {
			return
		}
		for _, want := range e.ByEpoch {
			if got := s.Level(float64(c.Epoch())); !same(got, want) {
				t.Errorf("epoch %d: got level %.9g, want %.9g", c.Epoch(), got, want)
			}
		}
		for k := range g.Driven {
			c.Step()
			if !g.Params.PerStep {
				continue
			}
			at, ok := c.Fraction()
			if ok != (len(e.ByStep) > 0) {
				t.Fatalf("epoch %d: got time known %v, the original set %v", c.Epoch(), ok, e.ByStep)
			}
			if ok && !same(s.Level(at), e.ByStep[k]) {
				t.Errorf("epoch %d step %d: got level %.9g, want %.9g", c.Epoch(), k, s.Level(at), e.ByStep[k])
			}
		}
	}
}

func adaptive(t *testing.T, g golden) {
	p := g.Params
	if p.Target == 0 {
		p.Target = 0.5
	}
	a := schedule.Adaptive{Final: p.Target, Step: 0.05, Tolerance: 0.03, Patience: max(1, p.Patience), Level: g.Init}
	if err := a.Validate(); err != nil {
		t.Fatal(err)
	}
	for i, e := range g.Trace {
		if e.When == "start" {
			continue
		}
		reached := a.Level // magnitude always reaches its level
		if e.Observed != nil {
			reached = *e.Observed
		}
		for _, want := range e.ByEpoch {
			if got := a.Next(reached); !same(got, want) {
				t.Errorf("line %d: got level %g, want %g", i, got, want)
			}
		}
	}
}

// What cannot be followed is said before training, all of it.
func TestValidate(t *testing.T) {
	for _, s := range []schedule.Schedule{
		schedule.Polynomial{Init: 0.6, Final: 0.5, Epochs: 3, Power: 1},
		schedule.Polynomial{Final: 0.5, Epochs: 3},
		schedule.Polynomial{Final: 1, Epochs: 3, Power: 1},
		schedule.Exponential{Init: -0.1, Final: 0.5, Epochs: 3},
		schedule.Exponential{Final: 0.5, Epochs: math.NaN()},
		schedule.Multistep{Steps: []int{-1}, Levels: []float64{0, 0.5}},
		schedule.Multistep{Steps: []int{2}, Levels: []float64{0, 1.5}},
	} {
		if s.Validate() == nil {
			t.Errorf("%#v: got no error", s)
		}
	}
	if err := (schedule.Exponential{Final: 0.5, Epochs: 1}).Validate(); err != nil {
		t.Error(err)
	}
}

// The clock that a checkpoint kept goes on where it was.
func TestClock_JSON(t *testing.T) {
	var a schedule.Clock
	for range 3 {
		if err := a.EpochStep(); err != nil {
			t.Fatal(err)
		}
		a.Fraction()
		a.Step()
		a.Step()
	}
	raw, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var b schedule.Clock
	if err := json.Unmarshal(raw, &b); err != nil {
		t.Fatal(err)
	}
	x, ok1 := a.Fraction()
	y, ok2 := b.Fraction()
	if a != b || x != y || !ok1 || !ok2 || x != 1.5 {
		t.Errorf("got %+v at %g, want %+v at %g", b, y, a, x)
	}
}
