package pruning

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit"
)

// TestGolden_Schedules: the levels of NNCF 2.14 in every epoch.
func TestGolden_Schedules(t *testing.T) {
	b, err := os.ReadFile(testkit.Shared(t, "data", "nncf-goldens", "pruning", "schedules.json"))
	if err != nil {
		t.Fatal(err)
	}
	var gold struct {
		Schedules map[string]struct {
			Params Params
			Init   float64 `json:"pruning_init"`
			Trace  []struct {
				Epoch  int
				Level  float64
				Frozen bool
			}
		}
	}
	if err := json.Unmarshal(b, &gold); err != nil {
		t.Fatal(err)
	}
	if len(gold.Schedules) < 5 {
		t.Fatalf("got %d schedules", len(gold.Schedules))
	}
	for name, s := range gold.Schedules {
		o := Options{Params: s.Params, PruningInit: s.Init}
		for _, e := range s.Trace {
			level, frozen := o.level(e.Epoch)
			if math.Abs(level-e.Level) > 2e-7 || frozen != e.Frozen {
				t.Errorf("%s, epoch %d: got %.9f, frozen %t, want %.9f, %t", name, e.Epoch, level, frozen, e.Level, e.Frozen)
			}
		}
	}
}

// The general solver gives the numbers of the original's example: 20 epochs to
// one half (its test, a = -b = 0.5, k = 0.5544).
func TestBiasedCoefficients(t *testing.T) {
	a, b, k := biasedCoefficients(0, 0.5, 20)
	for _, x := range []struct{ got, want float64 }{{a, -0.500008}, {b, 0.500008}, {k, 0.554499}} {
		if math.Abs(x.got-x.want) > 1e-5 {
			t.Errorf("got %.6f, want %.6f", x.got, x.want)
		}
	}
	for i, want := range []float64{0, .212823, .335061} {
		if got := biased(0, 0.5, 20, i); math.Abs(got-want) > 1e-6 {
			t.Errorf("epoch %d: got %.6f, want %.6f", i, got, want)
		}
	}
}

// Numbers of the original's tests, and of a table in its documentation.
func TestUp(t *testing.T) {
	for _, c := range []struct {
		filters  int
		level    float64
		multiple int
		pruned   int
	}{{20, .2, 8, 4}, {20, .1, 5, 0}, {20, .5, 8, 4}, {16, .5, 8, 8}, {32, .5, 8, 16}, {64, .3, 8, 16}, {512, .3, 8, 152}, {8, .5, 8, 0}, {10, .5, 8, 2}} {
		r := newRanked(make([]float64, c.filters), nil, c.multiple, 1)
		if got := c.filters - r.up(c.level); got != c.pruned {
			t.Errorf("%d filters, level %g, multiple %d: got %d pruned, want %d", c.filters, c.level, c.multiple, got, c.pruned)
		}
	}
}

// Balanced rounding removes what the level says as nearly as blocks allow, from
// where it costs least; rounding up leaves the narrow layers whole.
func TestBalanced(t *testing.T) {
	cluster := func(n int, weakest float64) ranked {
		s := make([]float64, n)
		for i := range s {
			s[i] = 1
			if i < 8 {
				s[i] = weakest
			}
		}
		return newRanked(s, nil, 8, 1)
	}
	list := []ranked{cluster(16, 0.1), cluster(16, 1), cluster(32, 1), cluster(64, 1)}
	up, balanced := local(list, 0.3, Up), local(list, 0.3, Balanced)
	if got, want := up, []int{16, 16, 24, 48}; !equal(got, want) {
		t.Errorf("up: got %v, want %v", got, want)
	}
	// 38.4 of 128 shall go; up takes 24, so one block more fits: where the
	// weakest eight filters are.
	if got, want := balanced, []int{8, 16, 24, 48}; !equal(got, want) {
		t.Errorf("balanced: got %v, want %v", got, want)
	}
	if got := local(list, 0.9, Balanced); got[0] != 8 || got[3] != 8 {
		t.Errorf("level 0.9: got %v, want 8 left everywhere", got)
	}
}

func equal(a, b []int) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

// The geometric-median example of the original's tests: three filters of 40
// consecutive integers.
func TestGeometricMedian(t *testing.T) {
	x := make([][]float64, 3)
	for i := range x {
		for k := range 40 {
			x[i] = append(x[i], float64(40*i+k))
		}
	}
	got := make([]float64, 3)
	distances(x, got)
	for i, want := range []float64{758.9466, 505.9644, 758.9466} {
		if math.Abs(got[i]-want) > 1e-3 {
			t.Errorf("filter %d: got %.4f, want %.4f", i, got[i], want)
		}
	}
}
