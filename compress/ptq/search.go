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
	// Activations: Bits are those of the input and the result; the weight keeps its.
	Activations bool `json:"activations,omitempty"`
}

// Rules of reverts.
const (
	RuleWiden       = "more-bits"               // weight and input get 8 bits
	RuleActivations = "sixteen-bit-activations" // the input gets 16 bits, the weight keeps its own
	RuleFloat       = "return-to-float"
)

// Rule names what is done.
func (r Revert) Rule() string {
	switch {
	case r.Bits == 0:
		return RuleFloat
	case r.Activations:
		return RuleActivations
	}
	return RuleWiden
}

// Candidate is a revert that may be tried, and what is known about it.
type Candidate struct {
	Revert
	// Error is what quantizing this layer alone does to the outputs, a relative
	// error, and Output the one it does most to. Errors has those of all outputs.
	Error  float64   `json:"error,omitempty"`
	Output string    `json:"output,omitempty"`
	Errors []float64 `json:"errors,omitempty"`
	MACs   int64     `json:"macs,omitempty"` // multiplications that leave integers
}

// Objective says what is measured of a model and when it is enough.
type Objective interface {
	// Within reports whether a measure keeps the budget.
	Within(measure float64) bool
	// Better reports whether a is better than b.
	Better(a, b float64) bool
	// Limit is the budget of each output in a [Trial], 0 if it has none.
	Limit() float64
}

// AccuracyDrop is a budget of accuracy, in its unit: larger is better.
type AccuracyDrop struct{ Float, Budget float64 }

// Within implements [Objective].
func (o AccuracyDrop) Within(m float64) bool { return m >= o.Float-o.Budget }

// Better implements [Objective].
func (AccuracyDrop) Better(a, b float64) bool { return a > b }

// Limit implements [Objective].
func (AccuracyDrop) Limit() float64 { return 0 }

// OutputError is a budget of the relative error of the outputs: smaller is
// better, and squares of independent errors add up.
type OutputError struct{ Budget float64 }

// Within implements [Objective].
func (o OutputError) Within(m float64) bool { return m <= o.Budget }

// Better implements [Objective].
func (OutputError) Better(a, b float64) bool { return a < b }

// Limit implements [Objective].
func (o OutputError) Limit() float64 { return o.Budget }

// Trial is what a model measures.
type Trial struct {
	Measure float64
	// Outputs are the errors of the outputs, of which Measure is the largest, for
	// objectives with a limit.
	Outputs []float64
	// Integer is the share of multiplications on integers of at most 8 bits, 0 to 1.
	Integer float64
}

// SearchStep is one model that was tried.
type SearchStep struct {
	Reverts []Revert `json:"reverts"`
	Metric  float64  `json:"metric"`
	// Outputs and Integer, see [Trial].
	Outputs []float64 `json:"outputs,omitempty"`
	Integer float64   `json:"integer_macs,omitempty"`
	// Accepted: it was the best so far.
	Accepted bool `json:"accepted"`
}

// SearchState is all a search needs to go on: it is saved after each step.
type SearchState struct {
	// Fingerprint is what the search belongs to, for the caller to compare.
	Fingerprint string  `json:"fingerprint"`
	Float       float64 `json:"float"` // metric
	// Candidates are the reverts left to try, most promising first; null until
	// layers are ranked.
	Candidates []Candidate `json:"candidates"`
	// Ranking are all candidates as they were ranked.
	Ranking []Candidate `json:"ranking,omitempty"`
	// Postponed are those that made it worse at their first try. They get a second
	// one, after which they stay whatever they do: with all layers in float the
	// metric is the float model's.
	Postponed []Candidate `json:"postponed,omitempty"`
	// Base is what the next model is tried with, besides one revert.
	Base   []Revert     `json:"base,omitempty"`
	Ranked bool         `json:"ranked"`
	Steps  []SearchStep `json:"steps"`
	// Reached: the best model is within the budget.
	Reached bool `json:"reached"`
}

// Best returns the step that was accepted last, nil before the first.
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
	Objective Objective
	// Bisect gives back as many candidates at a time as it takes, which suits
	// measures that fall with each of them; otherwise one at a time.
	Bisect bool
	// MaxSteps bounds the models tried; 0 does not.
	MaxSteps int

	// Try quantizes with the given reverts and measures.
	Try func(ctx context.Context, reverts []Revert) (Trial, error)
	// Rank lists reverts by what they promise. It is called once, if the plain
	// model is outside the budget.
	Rank func(ctx context.Context) ([]Candidate, error)
	// Save is called after each step; keep says that the model just tried is the
	// best so far.
	Save func(s *SearchState, keep bool) error
}

// Search tries the model as it is and then, while the metric is short of the
// budget, the candidates one after another: what improves the metric stays, what
// does not is taken back and tried again at the end, to stay then. It ends when
// the budget is met, nothing is left to try, or the steps are used up; the state
// tells which. A state that was saved goes on where it ended.
//
// With Bisect it looks for the shortest part of the list that meets the budget,
// and then for what of that can be taken back.
func (x *Searcher) Search(ctx context.Context, s *SearchState) error {
	if x.Bisect {
		return x.bisect(ctx, s)
	}
	for {
		best := s.Best()
		if s.Reached = best != nil && x.Objective.Within(best.Metric); s.Reached {
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
				s.Candidates, s.Ranking, s.Ranked = slices.Clone(list), list, true
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
		trial, err := x.Try(ctx, try)
		if err != nil {
			return err
		}
		step := SearchStep{Reverts: try, Metric: trial.Measure, Outputs: trial.Outputs, Integer: trial.Integer, Accepted: best == nil || x.Objective.Better(trial.Measure, best.Metric)}
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
		s.Reached = step.Accepted && x.Objective.Within(step.Metric)
		if err := x.Save(s, step.Accepted); err != nil {
			return err
		}
	}
}

// next returns the revert to try, and drops those that the base makes void.
func (s *SearchState) next() (Revert, bool) {
	for _, list := range []*[]Candidate{&s.Candidates, &s.Postponed} {
		for len(*list) > 0 {
			r := (*list)[0].Revert
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

// Where layers return to.
const (
	ReturnToFloat = "float"
	ReturnTo16    = "16bit" // activations of 16 bits first, float where these do not suffice
)

// Candidates turns layers, in the order in which they are to be given back, into
// reverts: a layer of fewer than 8 bits first gets 8; then, with [ReturnTo16], its
// activations get 16; layers return to float after all that can be had by bits.
// bits has the narrower of the layers' weights and inputs.
func Candidates(layers []Candidate, bits []int, to string) []Candidate {
	var more, sixteen, float []Candidate
	for i, c := range layers {
		if bits[i] > 0 && bits[i] < wide-1 { // 7 is 8 bits kept from saturating
			x := c
			x.Revert = Revert{Scope: c.Scope, Bits: wide}
			more = append(more, x)
		}
		if to == ReturnTo16 && bits[i] <= wide {
			x := c
			x.Revert = Revert{Scope: c.Scope, Bits: 16, Activations: true}
			sixteen = append(sixteen, x)
		}
		c.Revert = Revert{Scope: c.Scope}
		float = append(float, c)
	}
	return slices.Concat(more, sixteen, float)
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
		o.ScopeOverrides.Activations = slices.Clone(o.ScopeOverrides.Activations)
		for _, r := range reverts {
			if r.Bits > 0 && r.Activations {
				o.ScopeOverrides.Activations = append(o.ScopeOverrides.Activations, quantization.Override{Scope: r.Scope, Bits: r.Bits})
				continue
			}
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
