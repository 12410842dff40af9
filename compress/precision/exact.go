package precision

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"
)

// Exact computes the whole front of all configurations by dynamic programming:
// the front of the first k layers follows from that of the first k-1. ok is false
// if a front grows beyond limit states, or ctx ends; there is no result then.
func Exact(ctx context.Context, p *Problem, limit int) (front []Config, ok bool) {
	s := newSolver(p, limit)
	if !s.solve(ctx, nil) {
		return nil, false
	}
	return s.configs(), true
}

// ExactFor is Exact for one ratio: partial configurations are cut off that
// cannot reach it, or whose metric must end above that of the best known
// configuration. The result is the configuration of least metric.
func ExactFor(ctx context.Context, p *Problem, ratio float64, known Config, limit int) (best Config, ok bool) {
	s := newSolver(p, limit)
	if !s.solve(ctx, newBound(s, p.Base/ratio*(1+slack), known.Metric)) {
		return Config{}, false
	}
	if best, ok = Best(s.configs(), ratio); !ok || known.Bits != nil && known.Metric <= best.Metric {
		return known, known.Bits != nil
	}
	return best, true
}

// state is a partial configuration that no other one beats.
type state struct {
	cost, metric float64
	from         int32 // state of the layer before
	choice       int32
}

type solver struct {
	p      *Problem
	groups [][]int
	items  [][]Choice // by group: what a width costs and harms in all its layers
	limit  int
	fronts [][]state
}

func newSolver(p *Problem, limit int) *solver {
	s := &solver{p: p, groups: p.groups(), limit: limit}
	for _, g := range s.groups {
		var list []Choice
		for _, b := range p.shared(g) {
			sum := Choice{Bits: b}
			for _, k := range g {
				c, _ := p.Layers[k].at(b)
				sum.Cost += c.Cost
				sum.Metric += c.Metric
			}
			list = append(list, sum)
		}
		s.items = append(s.items, list)
	}
	return s
}

func (s *solver) solve(ctx context.Context, b *bound) bool {
	front := []state{{}}
	for k, item := range s.items {
		if ctx.Err() != nil {
			return false
		}
		var next []state
		for i, c := range item {
			for j, f := range front {
				n := state{f.cost + c.Cost, f.metric + c.Metric, int32(j), int32(i)}
				if b == nil || b.keeps(k+1, n) {
					next = append(next, n)
				}
			}
		}
		front = undominated(next)
		if len(front) > s.limit {
			return false
		}
		s.fronts = append(s.fronts, front)
	}
	return true
}

// undominated sorts states by cost and keeps those whose metric is below that of
// all cheaper ones.
func undominated(list []state) []state {
	slices.SortStableFunc(list, func(a, b state) int {
		return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.metric, b.metric))
	})
	best := math.Inf(1)
	out := list[:0]
	for _, x := range list {
		if x.metric < best {
			best = x.metric
			out = append(out, x)
		}
	}
	return slices.Clip(out)
}

// configs follows every state of the last front back.
func (s *solver) configs() []Config {
	last := s.fronts[len(s.fronts)-1]
	out := make([]Config, 0, len(last))
	bits := make([]int, len(s.p.Layers))
	for i := range last {
		at := int32(i)
		for k := len(s.groups) - 1; k >= 0; k-- {
			x := s.fronts[k][at]
			for _, l := range s.groups[k] {
				bits[l] = s.items[k][x.choice].Bits
			}
			at = x.from
		}
		out = append(out, s.p.Evaluate(bits))
	}
	slices.Reverse(out) // by ascending ratio
	return out
}

// bound says which partial configurations may still become the best one. For
// each number of decided groups it has the least metric that the others can have
// at a given cost, if widths could be mixed: a convex line that lies below what
// is possible.
type bound struct {
	budget, metric float64
	lines          []line
}

// line is a convex, falling, piecewise linear function from costs to metrics.
type line struct{ cost, metric []float64 }

func newBound(s *solver, budget, metric float64) *bound {
	b := &bound{budget: budget, metric: metric * (1 + slack), lines: make([]line, len(s.items)+1)}
	if metric == 0 {
		b.metric = math.Inf(1)
	}
	for k := range b.lines {
		b.lines[k] = lineOf(s.items[k:])
	}
	return b
}

// lineOf adds up the lower convex hulls of all items: their pieces by steepness.
func lineOf(items [][]Choice) line {
	type piece struct{ cost, metric float64 }
	var pieces []piece
	start := piece{}
	for _, item := range items {
		states := make([]state, len(item))
		for i, c := range item {
			states[i] = state{cost: c.Cost, metric: c.Metric}
		}
		var hull []state
		for _, x := range undominated(states) {
			for len(hull) > 1 {
				a, b := hull[len(hull)-2], hull[len(hull)-1]
				if (b.metric-a.metric)*(x.cost-a.cost) < (x.metric-a.metric)*(b.cost-a.cost) {
					break
				}
				hull = hull[:len(hull)-1]
			}
			hull = append(hull, x)
		}
		start.cost += hull[0].cost
		start.metric += hull[0].metric
		for i := 1; i < len(hull); i++ {
			pieces = append(pieces, piece{hull[i].cost - hull[i-1].cost, hull[i].metric - hull[i-1].metric})
		}
	}
	slices.SortStableFunc(pieces, func(a, b piece) int { return cmp.Compare(a.metric/a.cost, b.metric/b.cost) })
	l := line{[]float64{start.cost}, []float64{start.metric}}
	for _, p := range pieces {
		start.cost += p.cost
		start.metric += p.metric
		l.cost, l.metric = append(l.cost, start.cost), append(l.metric, start.metric)
	}
	return l
}

// at returns the least metric at a cost, false if nothing is that cheap.
func (l line) at(cost float64) (float64, bool) {
	if cost < l.cost[0]*(1-slack) {
		return 0, false
	}
	i := sort.SearchFloat64s(l.cost, cost)
	switch {
	case i == 0:
		return l.metric[0], true
	case i == len(l.cost):
		return l.metric[i-1], true
	}
	t := (cost - l.cost[i-1]) / (l.cost[i] - l.cost[i-1])
	return l.metric[i-1] + t*(l.metric[i]-l.metric[i-1]), true
}

// keeps reports whether a state of the first k groups may lead to the best.
func (b *bound) keeps(k int, s state) bool {
	rest, ok := b.lines[k].at(b.budget - s.cost)
	return ok && s.metric+rest <= b.metric
}
