package ptq

import (
	"context"
	"errors"
	"slices"
)

// bisection is a search that gives back many layers at a time. It is a program of
// nothing but measurements, so that going on means running it again with what was
// measured before.
type bisection struct {
	*Searcher
	s *SearchState
}

// errSteps ends a search whose steps are used up.
var errSteps = errors.New("all steps are used up")

// takeBacks is how many models are tried to take needless reverts back.
const takeBacks = 8

func (x *Searcher) bisect(ctx context.Context, s *SearchState) error {
	b := bisection{x, s}
	b.judge()
	err := b.run(ctx)
	if errors.Is(err, errSteps) {
		err = nil
	}
	best := s.Best()
	s.Reached = best != nil && x.Objective.Within(best.Metric)
	return err
}

func (b bisection) run(ctx context.Context) error {
	plain, err := b.measure(ctx, nil)
	if err != nil || b.Objective.Within(plain.Metric) {
		return err
	}
	if !b.s.Ranked {
		if b.s.Ranking, err = b.Rank(ctx); err != nil {
			return err
		}
		b.s.Ranked = true
		if err := b.Save(b.s, false); err != nil {
			return err
		}
	}
	n, err := b.shortest(ctx, plain)
	if err != nil || n == 0 {
		return err
	}
	return b.takeBack(ctx, plain, n)
}

// shortest returns how many of the candidates meet the budget, assuming that more
// of them are always better; 0 if all do not.
func (b bisection) shortest(ctx context.Context, plain SearchStep) (int, error) {
	list := b.s.Ranking
	low, high := 0, len(list) // low is too few
	at := plain
	for high-low > 1 {
		k := b.guess(low, high, at)
		step, err := b.measure(ctx, reverts(list[:k]))
		if err != nil {
			return 0, err
		}
		if b.Objective.Within(step.Metric) {
			high = k
		} else {
			low, at = k, step
		}
	}
	if high == 0 {
		return 0, nil
	}
	step, err := b.measure(ctx, reverts(list[:high]))
	if err != nil || !b.Objective.Within(step.Metric) {
		return 0, err
	}
	return high, nil
}

// guess returns a number between low and high, of which low measures at: the one
// at which what is left of the errors of single layers fits the budget of every
// output, if they add up as squares, but never so close to an end that nothing is
// learned.
func (b bisection) guess(low, high int, at SearchStep) int {
	list := b.s.Ranking
	left := squares(list[low:])
	room := b.room(at, SearchStep{Outputs: make([]float64, len(at.Outputs))}, left)
	if len(room) == 0 {
		return low + (high-low)/2
	}
	k := low
	for k < high && !fits(left, room) {
		for o, e := range list[k].Errors {
			left[o] -= e * e
		}
		k++
	}
	margin := max(1, (high-low)/8)
	return min(max(k, low+margin), high-margin)
}

// room is what the limits of the outputs leave beside the errors of a model for
// those of single layers, squared, whose sums are all, as plain measures them; nil
// if that is not known.
func (b bisection) room(plain, at SearchStep, all []float64) []float64 {
	limit := b.Objective.Limit()
	if limit == 0 || len(all) == 0 || len(all) != len(plain.Outputs) || len(all) != len(at.Outputs) {
		return nil
	}
	room := make([]float64, len(all))
	for o, m := range at.Outputs {
		scale := 1.0
		if p := plain.Outputs[o]; p > 0 && all[o] > 0 {
			scale = all[o] / (p * p)
		}
		room[o] = max(0, limit*limit-m*m) * scale
	}
	return room
}

// fits reports whether no sum is beyond its room, up to rounding.
func fits(sums, room []float64) bool {
	for o := range sums {
		if sums[o] > room[o]*(1+1e-9) {
			return false
		}
	}
	return true
}

// takeBack tries to do without some of the first n candidates, those first that
// cost most for the error that they save.
func (b bisection) takeBack(ctx context.Context, plain SearchStep, n int) error {
	kept := slices.Clone(b.s.Ranking[:n])
	at, err := b.measure(ctx, reverts(kept))
	if err != nil {
		return err
	}
	all := squares(b.s.Ranking)
	needed := map[Revert]bool{}
	share := 1.0
	for range takeBacks {
		room := b.room(plain, at, all)
		if room == nil {
			return nil
		}
		for o := range room {
			room[o] *= share
		}
		var without, group []Candidate
		for _, c := range slices.Backward(kept) {
			mine := squares([]Candidate{c})
			if needed[c.Revert] || len(mine) != len(room) || !fits(mine, room) {
				without = append(without, c)
				continue
			}
			for o := range room {
				room[o] -= mine[o]
			}
			group = append(group, c)
		}
		if len(group) == 0 {
			return nil
		}
		slices.Reverse(without)
		step, err := b.measure(ctx, reverts(without))
		switch {
		case err != nil:
			return err
		case b.Objective.Within(step.Metric) && step.Integer >= at.Integer:
			kept, at, share = without, step, 1
		case len(group) == 1:
			needed[group[0].Revert] = true
		default:
			share /= 2
		}
	}
	return nil
}

// squares adds up the squared errors of single layers, by output.
func squares(list []Candidate) (sums []float64) {
	seen := map[string]bool{}
	for _, c := range list {
		if sums == nil {
			sums = make([]float64, len(c.Errors))
		}
		if seen[c.Scope] {
			continue
		}
		seen[c.Scope] = true
		for o := range min(len(sums), len(c.Errors)) {
			sums[o] += c.Errors[o] * c.Errors[o]
		}
	}
	return sums
}

// reverts returns what to do with the candidates, of which later ones replace
// earlier ones of the same layer.
func reverts(list []Candidate) []Revert {
	var out []Revert
	for _, c := range list {
		out = merge(out, c.Revert)
	}
	return out
}

// measure tries a model, unless it was tried before.
func (b bisection) measure(ctx context.Context, list []Revert) (SearchStep, error) {
	for _, step := range b.s.Steps {
		if slices.Equal(step.Reverts, list) {
			return step, nil
		}
	}
	if b.MaxSteps > 0 && len(b.s.Steps) >= b.MaxSteps {
		return SearchStep{}, errSteps
	}
	if err := ctx.Err(); err != nil {
		return SearchStep{}, err
	}
	t, err := b.Try(ctx, list)
	if err != nil {
		return SearchStep{}, err
	}
	step := SearchStep{Reverts: list, Metric: t.Measure, Outputs: t.Outputs, Integer: t.Integer}
	step.Accepted = b.better(step, b.s.Best())
	b.s.Steps = append(b.s.Steps, step)
	best := b.s.Best()
	b.s.Reached = b.Objective.Within(best.Metric)
	return step, b.Save(b.s, step.Accepted)
}

// better reports whether a is better than the best so far: within the budget the
// one with more arithmetic on integers, outside the one with the better measure.
func (b bisection) better(a SearchStep, best *SearchStep) bool {
	if best == nil {
		return true
	}
	in, was := b.Objective.Within(a.Metric), b.Objective.Within(best.Metric)
	switch {
	case in != was:
		return in
	case in && a.Integer != best.Integer:
		return a.Integer > best.Integer
	case in && len(a.Reverts) != len(best.Reverts):
		return len(a.Reverts) < len(best.Reverts)
	}
	return b.Objective.Better(a.Metric, best.Metric)
}

// judge says again which steps were the best, since the budget may be another.
func (b bisection) judge() {
	var best *SearchStep
	for i := range b.s.Steps {
		step := &b.s.Steps[i]
		if step.Accepted = b.better(*step, best); step.Accepted {
			best = step
		}
	}
}
