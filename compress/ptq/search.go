package ptq

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/quantization"
)

// Revert gives one layer more bits, or returns it to float.
type Revert struct {
	Scope string `json:"scope"`
	Bits  int    `json:"bits"` // of weight and input; 0: float
}

// SearchStep is one model that was tried.
type SearchStep struct {
	Reverts  []Revert `json:"reverts"`
	Metric   float64  `json:"metric"`
	Accepted bool     `json:"accepted"`
}

// SearchState is all a search needs to go on: it is saved after each step.
type SearchState struct {
	// Fingerprint is what the search belongs to, for the caller to compare.
	Fingerprint string  `json:"fingerprint"`
	Float       float64 `json:"float"` // metric
	// Candidates are the reverts left to try, most promising first; null until
	// layers are ranked.
	Candidates []Revert `json:"candidates"`
	// Postponed are those that made it worse at their first try. They get a second
	// one, after which they stay whatever they do: with all layers in float the
	// metric is the float model's.
	Postponed []Revert `json:"postponed,omitempty"`
	// Base is what the next model is tried with, besides one revert.
	Base   []Revert     `json:"base,omitempty"`
	Ranked bool         `json:"ranked"`
	Steps  []SearchStep `json:"steps"`
	// Reached: the best model is within the budget.
	Reached bool `json:"reached"`
}

// Best returns the accepted step with the best metric, nil before the first.
func (s *SearchState) Best() *SearchStep {
	for i := len(s.Steps) - 1; i >= 0; i-- {
		if s.Steps[i].Accepted {
			return &s.Steps[i]
		}
	}
	return nil
}

// Searcher is what a search drives.
type Searcher struct {
	// Budget is how far below the float model's metric the result may be.
	Budget float64
	// MaxSteps bounds the models tried; 0 does not.
	MaxSteps int

	// Try quantizes with the given reverts and measures. Larger is better.
	Try func(ctx context.Context, reverts []Revert) (metric float64, err error)
	// Rank lists reverts by what they promise. It is called once, if the plain
	// model is outside the budget.
	Rank func(ctx context.Context) ([]Revert, error)
	// Save is called after each step; keep says that the model just tried is the
	// best so far.
	Save func(s *SearchState, keep bool) error
}

// Search tries the model as it is and then, while the metric is short of the
// budget, the candidates one after another: what improves the metric stays, what
// does not is taken back and tried again at the end, to stay then. It ends when
// the budget is met, nothing is left to try, or the steps are used up; the state
// tells which. A state that was saved goes on where it ended.
func (x *Searcher) Search(ctx context.Context, s *SearchState) error {
	for {
		best := s.Best()
		if s.Reached = best != nil && best.Metric >= s.Float-x.Budget; s.Reached {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if x.MaxSteps > 0 && len(s.Steps) >= x.MaxSteps {
			return nil
		}
		var try []Revert
		if best != nil {
			if !s.Ranked {
				list, err := x.Rank(ctx)
				if err != nil {
					return err
				}
				s.Candidates, s.Ranked = list, true
				if err := x.Save(s, false); err != nil {
					return err
				}
			}
			r, ok := s.next()
			if !ok {
				return nil
			}
			try = merge(s.Base, r)
		}
		metric, err := x.Try(ctx, try)
		if err != nil {
			return err
		}
		step := SearchStep{Reverts: try, Metric: metric, Accepted: best == nil || metric > best.Metric}
		switch {
		case best == nil:
		case len(s.Candidates) == 0: // a second try
			s.Base, s.Postponed = try, s.Postponed[1:]
		case step.Accepted:
			s.Base, s.Candidates = try, s.Candidates[1:]
		default:
			s.Postponed, s.Candidates = append(s.Postponed, s.Candidates[0]), s.Candidates[1:]
		}
		s.Steps = append(s.Steps, step)
		s.Reached = step.Accepted && metric >= s.Float-x.Budget
		if err := x.Save(s, step.Accepted); err != nil {
			return err
		}
	}
}

// next returns the revert to try, and drops those that the base makes void.
func (s *SearchState) next() (Revert, bool) {
	for _, list := range []*[]Revert{&s.Candidates, &s.Postponed} {
		for len(*list) > 0 {
			r := (*list)[0]
			if !slices.ContainsFunc(s.Base, func(x Revert) bool { return x.Scope == r.Scope && (x.Bits == 0 || x.Bits == r.Bits) }) {
				return r, true
			}
			*list = (*list)[1:]
		}
	}
	return Revert{}, false
}

// merge adds a revert, which replaces an earlier one of the same layer.
func merge(list []Revert, r Revert) []Revert {
	out := slices.DeleteFunc(slices.Clone(list), func(x Revert) bool { return x.Scope == r.Scope })
	return append(out, r)
}

// wide is the number of bits that a layer of fewer bits gets before it is
// returned to float.
const wide = 8

// Candidates turns layers, worst first, into reverts: a layer of fewer than 8
// bits first gets 8; layers return to float after all that can be had by bits.
func Candidates(scopes []string, bits []int) []Revert {
	var more, float []Revert
	for i, s := range scopes {
		if bits[i] > 0 && bits[i] < wide-1 { // 7 is 8 bits kept from saturating
			more = append(more, Revert{s, wide})
		}
		float = append(float, Revert{s, 0})
	}
	return append(more, float...)
}

// Apply returns the algorithms with reverts in the options of quantization.
func Apply(list []compress.Algorithm, reverts []Revert) ([]compress.Algorithm, error) {
	if len(reverts) == 0 {
		return list, nil
	}
	out := slices.Clone(list)
	for i, a := range out {
		q, ok := a.(quantization.Algorithm)
		if !ok {
			continue
		}
		o := q.Options
		o.Ignored = slices.Clone(o.Ignored)
		o.ScopeOverrides.Both = slices.Clone(o.ScopeOverrides.Both)
		for _, r := range reverts {
			if r.Bits > 0 {
				o.ScopeOverrides.Both = append(o.ScopeOverrides.Both, quantization.Override{Scope: r.Scope, Bits: r.Bits})
				continue
			}
			if o.Target != nil {
				return nil, fmt.Errorf("layer %q cannot be returned to float: the algorithm has target_scopes, with which ignored_scopes have no effect", r.Scope)
			}
			o.Ignored = append(o.Ignored, r.Scope)
		}
		out[i] = quantization.Algorithm{Options: o}
		return out, nil
	}
	return nil, errors.New("accuracy control: no algorithm quantizes")
}
