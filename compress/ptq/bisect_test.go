package ptq_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/go-nncf/nncf/compress/ptq"
)

// noisy is a model of many layers whose errors add up as squares, as independent
// ones do. All layers have the same number of multiplications.
type noisy struct {
	errors []float64
	tried  int
	failAt int
	saved  []byte
}

func (y *noisy) searcher(budget float64) *ptq.Searcher {
	return &ptq.Searcher{Objective: ptq.OutputError{Budget: budget}, Bisect: true,
		Try: func(_ context.Context, list []ptq.Revert) (ptq.Trial, error) {
			if y.tried++; y.tried == y.failAt {
				return ptq.Trial{}, errors.New("the power went")
			}
			gone := map[string]bool{}
			for _, r := range list {
				gone[r.Scope] = true
			}
			sum, n := 0.0, 0
			for i, e := range y.errors {
				if !gone[fmt.Sprint(i)] {
					sum += e * e
					n++
				}
			}
			return ptq.Trial{Measure: math.Sqrt(sum), Outputs: []float64{math.Sqrt(sum)}, Integer: float64(n) / float64(len(y.errors))}, nil
		},
		Rank: func(context.Context) ([]ptq.Candidate, error) {
			var list []ptq.Candidate
			for i, e := range y.errors {
				list = append(list, ptq.Candidate{Revert: ptq.Revert{Scope: fmt.Sprint(i)}, Error: e, Errors: []float64{e}})
			}
			return ptq.Candidates(list, make([]int, len(list)), ptq.ReturnToFloat), nil
		},
		Save: func(s *ptq.SearchState, _ bool) (err error) {
			y.saved, err = json.Marshal(s)
			return err
		}}
}

// falling has n errors, each 0.95 of the one before.
func falling(n int) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = 0.05 * math.Pow(0.95, float64(i))
	}
	return list
}

func TestSearch_Bisect(t *testing.T) {
	const budget = 0.02
	y := &noisy{errors: falling(100)}
	s := &ptq.SearchState{}
	if err := y.searcher(budget).Search(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	// The fewest layers that meet the budget, counted one by one.
	want, left := 0, 0.0
	for _, e := range y.errors {
		left += e * e
	}
	for left > budget*budget {
		left -= y.errors[want] * y.errors[want]
		want++
	}
	best := s.Best()
	if !s.Reached || best.Metric > budget || len(best.Reverts) != want || math.Abs(best.Integer-(1-float64(want)/100)) > 1e-9 {
		t.Errorf("got %d reverts with error %g, reached %v; want %d within %g", len(best.Reverts), best.Metric, s.Reached, want, budget)
	}
	if y.tried > 12 {
		t.Errorf("got %d models for 100 layers, want few", y.tried)
	}

	t.Run("resumed", func(t *testing.T) {
		for fail := 1; fail <= y.tried; fail++ {
			z := &noisy{errors: y.errors, failAt: fail}
			if err := z.searcher(budget).Search(t.Context(), &ptq.SearchState{}); err == nil {
				t.Fatal("got no error from a failing try")
			}
			again := &ptq.SearchState{}
			if z.saved != nil {
				if err := json.Unmarshal(z.saved, again); err != nil {
					t.Fatal(err)
				}
			}
			if err := z.searcher(budget).Search(t.Context(), again); err != nil || z.tried != y.tried+1 || string(z.saved) != string(y.saved) {
				t.Errorf("failed at %d: got %v after %d models and state\n%s, want %d and\n%s", fail, err, z.tried, z.saved, y.tried+1, y.saved)
			}
		}
	})
	t.Run("another budget", func(t *testing.T) {
		again := &ptq.SearchState{}
		if err := json.Unmarshal(y.saved, again); err != nil {
			t.Fatal(err)
		}
		before := y.tried
		if err := y.searcher(0.04).Search(t.Context(), again); err != nil || !again.Reached {
			t.Fatalf("got %v, reached %v", err, again.Reached)
		}
		if b := again.Best(); b.Metric > 0.04 || len(b.Reverts) >= want || y.tried-before > 12 {
			t.Errorf("got %d reverts with error %g after %d more models, want fewer than %d", len(b.Reverts), b.Metric, y.tried-before, want)
		}
	})
	t.Run("one that ranking got wrong is taken back", func(t *testing.T) {
		e := falling(40)
		z := &noisy{errors: slices.Clone(e)}
		x := z.searcher(budget)
		rank := x.Rank
		x.Rank = func(ctx context.Context) ([]ptq.Candidate, error) {
			list, err := rank(ctx)
			i := len(list) - 1 // does nothing, and stands first
			last := list[i]
			last.Errors = []float64{0.0005}
			return slices.Insert(slices.Delete(list, i, i+1), 0, last), err
		}
		z.errors[39] = 1e-6
		s := &ptq.SearchState{}
		if err := x.Search(t.Context(), s); err != nil || !s.Reached {
			t.Fatalf("got %v, reached %v", err, s.Reached)
		}
		if slices.Contains(scopes(s.Best().Reverts), "39") {

			t.Errorf("got %v, want all of these but 39", scopes(s.Best().Reverts))
		}
	})
	t.Run("an output of its own", func(t *testing.T) {
		// Ten layers that nothing but a second output sees, all of which fit its budget,
		// stand before those of the first.
		z := &noisy{errors: falling(40)}
		x := z.searcher(budget)
		try, rank := x.Try, x.Rank
		x.Try = func(ctx context.Context, list []ptq.Revert) (ptq.Trial, error) {
			r, err := try(ctx, list)
			heads := 10
			for _, l := range list {
				if l.Scope[0] == 'h' {
					heads--
				}
			}
			second := 0.006 * math.Sqrt(float64(heads))
			r.Measure, r.Outputs, r.Integer = max(r.Measure, second), append(r.Outputs, second), (40*r.Integer+float64(heads))/50
			return r, err
		}
		x.Rank = func(ctx context.Context) ([]ptq.Candidate, error) {
			var list []ptq.Candidate
			for i := range 10 {
				list = append(list, ptq.Candidate{Revert: ptq.Revert{Scope: fmt.Sprint("h", i)}, Error: 0.006, Errors: []float64{0, 0.006}})
			}
			more, err := rank(ctx)
			for _, c := range more {
				c.Errors = append(c.Errors, 0)
				list = append(list, c)
			}
			return list, err
		}
		s := &ptq.SearchState{}
		if err := x.Search(t.Context(), s); err != nil || !s.Reached {
			t.Fatalf("got %v, reached %v", err, s.Reached)
		}
		if got := scopes(s.Best().Reverts); slices.ContainsFunc(got, func(s string) bool { return s[0] == 'h' }) || z.tried > 10 {
			t.Errorf("got %v after %d models, want none of the second output's", got, z.tried)
		}
	})
	t.Run("out of reach", func(t *testing.T) {
		z := &noisy{errors: falling(10)}
		x := z.searcher(budget)
		try := x.Try
		x.Try = func(ctx context.Context, list []ptq.Revert) (ptq.Trial, error) {
			r, err := try(ctx, list)
			r.Measure = math.Hypot(r.Measure, 0.1)
			r.Outputs = []float64{r.Measure}
			return r, err
		}
		s := &ptq.SearchState{}
		if err := x.Search(t.Context(), s); err != nil || s.Reached || len(s.Best().Reverts) != 10 {
			t.Errorf("got %v, reached %v with %d reverts; want the best of what there is, all 10", err, s.Reached, len(s.Best().Reverts))
		}
	})
	t.Run("steps", func(t *testing.T) {
		z := &noisy{errors: falling(100)}
		x := z.searcher(budget)
		x.MaxSteps = 3
		if err := x.Search(t.Context(), &ptq.SearchState{}); err != nil || z.tried != 3 {
			t.Errorf("got %v and %d models, want 3", err, z.tried)
		}
	})
}
