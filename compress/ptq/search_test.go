package ptq_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/ptq"
	"github.com/go-nncf/nncf/compress/quantization"
)

// toy is a model whose metric is a sum over its layers.
type toy struct {
	gain   map[string]float64 // of returning a layer to float
	tried  int
	ranked int
	failAt int // fails in this call of Try
	saved  []byte
	kept   []bool
}

func (y *toy) searcher(float, budget float64) *ptq.Searcher {
	return &ptq.Searcher{Objective: ptq.AccuracyDrop{Float: float, Budget: budget},
		Try: func(_ context.Context, list []ptq.Revert) (ptq.Trial, error) {
			if y.tried++; y.tried == y.failAt {
				return ptq.Trial{}, errors.New("the power went")
			}
			m := 80.0
			for _, r := range list {
				m += y.gain[r.Scope]
			}
			return ptq.Trial{Measure: m}, nil
		},
		Rank: func(context.Context) ([]ptq.Candidate, error) {
			y.ranked++
			return ptq.Candidates(named("a", "b", "c", "d"), []int{8, 8, 8, 8}, ptq.ReturnToFloat), nil
		},
		Save: func(s *ptq.SearchState, keep bool) (err error) {
			y.kept = append(y.kept, keep)
			y.saved, err = json.Marshal(s)
			return err
		}}
}

func named(scopes ...string) (list []ptq.Candidate) {
	for _, s := range scopes {
		list = append(list, ptq.Candidate{Revert: ptq.Revert{Scope: s}})
	}
	return list
}

func scopes(list []ptq.Revert) (out []string) {
	for _, r := range list {
		out = append(out, r.Scope)
	}
	return out
}

func TestSearch(t *testing.T) {
	gain := map[string]float64{"a": 2, "b": -1, "c": 3, "d": 4}
	y := &toy{gain: gain}
	s := &ptq.SearchState{}
	if err := y.searcher(86, 1).Search(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	// b makes it worse and is taken back; a and c suffice.
	if got := scopes(s.Best().Reverts); !slices.Equal(got, []string{"a", "c"}) || !s.Reached || s.Best().Metric != 85 {
		t.Errorf("got %v with metric %g, reached %v; want a and c with 85", got, s.Best().Metric, s.Reached)
	}
	if want := []bool{true, false, true, false, true}; !slices.Equal(y.kept, want) {
		t.Errorf("saves that keep the model: got %v, want %v", y.kept, want)
	}

	t.Run("resumed", func(t *testing.T) {
		z := &toy{gain: gain, failAt: 3}
		if err := z.searcher(86, 1).Search(t.Context(), &ptq.SearchState{}); err == nil {
			t.Fatal("got no error from a failing try")
		}
		again := &ptq.SearchState{}
		if err := json.Unmarshal(z.saved, again); err != nil {
			t.Fatal(err)
		}
		if err := z.searcher(86, 1).Search(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		if z.ranked != 1 || z.tried != y.tried+1 {
			t.Errorf("got %d rankings and %d tries, want 1 and %d: what was done is not done again", z.ranked, z.tried, y.tried+1)
		}
		if string(z.saved) != string(y.saved) {
			t.Errorf("the state differs from that of an uninterrupted search:\n%s\n%s", z.saved, y.saved)
		}
	})
	t.Run("within budget at once", func(t *testing.T) {
		z := &toy{gain: gain}
		s := &ptq.SearchState{}
		if err := z.searcher(80.5, 1).Search(t.Context(), s); err != nil || z.ranked != 0 || z.tried != 1 || !s.Reached {
			t.Errorf("got %v, %d rankings, %d tries", err, z.ranked, z.tried)
		}
	})
	t.Run("never", func(t *testing.T) {
		z := &toy{gain: gain}
		s := &ptq.SearchState{}
		if err := z.searcher(100, 1).Search(t.Context(), s); err != nil || s.Reached || s.Best().Metric != 89 {
			t.Errorf("got %v, reached %v, best %g; want the best of what there is, 89", err, s.Reached, s.Best().Metric)
		}
	})
	t.Run("second try", func(t *testing.T) {
		// Alone, a and b make it worse; with d, b is what is missing.
		z := &toy{gain: map[string]float64{"a": -1, "b": -1, "c": 1, "d": 1}}
		x := z.searcher(90, 0)
		try := x.Try
		x.Try = func(ctx context.Context, list []ptq.Revert) (ptq.Trial, error) {
			m, err := try(ctx, list)
			if len(list) == 4 {
				m.Measure = 90 // all in float
			}
			return m, err
		}
		s := &ptq.SearchState{}
		if err := x.Search(t.Context(), s); err != nil || !s.Reached || z.tried != 7 {
			t.Errorf("got %v, reached %v after %d models; want the float model after 7", err, s.Reached, z.tried)
		}
	})
	t.Run("steps", func(t *testing.T) {
		z := &toy{gain: gain}
		x := z.searcher(100, 1)
		x.MaxSteps = 2
		if err := x.Search(t.Context(), &ptq.SearchState{}); err != nil || z.tried != 2 {
			t.Errorf("got %v and %d tries, want 2", err, z.tried)
		}
	})
}

func TestApply(t *testing.T) {
	list := []compress.Algorithm{quantization.New(quantization.Options{})}
	got, err := ptq.Apply(list, []ptq.Revert{{Scope: "conv1"}, {Scope: "conv2", Bits: 8}})
	if err != nil {
		t.Fatal(err)
	}
	o := got[0].(quantization.Algorithm).Options
	if !slices.Equal(o.Ignored, compress.Entries{"conv1"}) || len(o.ScopeOverrides.Both) != 1 || o.ScopeOverrides.Both[0].Scope != "conv2" {
		t.Errorf("got ignored %v, overrides %+v", o.Ignored, o.ScopeOverrides.Both)
	}
	if len(list[0].(quantization.Algorithm).Options.Ignored) != 0 {
		t.Error("the algorithms that were given have changed")
	}
	got, err = ptq.Apply(list, []ptq.Revert{{Scope: "conv1", Bits: 16, Activations: true}})
	if o := got[0].(quantization.Algorithm).Options.ScopeOverrides; err != nil || len(o.Both) != 0 || len(o.Activations) != 1 || o.Activations[0].Bits != 16 {
		t.Errorf("activations of 16 bits: got %+v, %v", o, err)
	}
	target := []compress.Algorithm{quantization.New(quantization.Options{Scopes: compress.Scopes{Target: compress.Entries{"x"}}})}
	if _, err := ptq.Apply(target, []ptq.Revert{{Scope: "x"}}); err == nil {
		t.Error("target scopes: got no error")
	}
}

func TestCandidates(t *testing.T) {
	reverts := func(list []ptq.Candidate) (out []ptq.Revert) {
		for _, c := range list {
			out = append(out, c.Revert)
		}
		return out
	}
	got := reverts(ptq.Candidates(named("a", "b"), []int{4, 8}, ptq.ReturnToFloat))
	want := []ptq.Revert{{Scope: "a", Bits: 8}, {Scope: "a"}, {Scope: "b"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	got = reverts(ptq.Candidates(named("a", "b"), []int{8, 16}, ptq.ReturnTo16))
	want = []ptq.Revert{{Scope: "a", Bits: 16, Activations: true}, {Scope: "a"}, {Scope: "b"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
