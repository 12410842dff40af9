package pruning

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// ranked is a cluster with the order in which its channels go.
type ranked struct {
	channels int
	unit     int       // channels that go or stay together, so that survivors are a multiple
	score    []float64 // importance of each channel
	order    []int     // channels, the least important first
	share    []float64 // of the importance that goes with the first k channels
}

// newRanked orders the channels by score; those pruned already come first.
// filters is how many filters a channel is.
func newRanked(score []float64, pruned []bool, multiple, filters int) ranked {
	r := ranked{channels: len(score), score: score, unit: multiple / gcd(multiple, filters)}
	total := 0.0
	for i, s := range score {
		r.order = append(r.order, i)
		if !gone(pruned, i) {
			total += max(0, s)
		}
	}
	slices.SortStableFunc(r.order, func(a, b int) int {
		if x, y := gone(pruned, a), gone(pruned, b); x != y {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Compare(score[a], score[b])
	})
	r.share = make([]float64, len(score)+1)
	for k, i := range r.order {
		r.share[k+1] = r.share[k]
		if !gone(pruned, i) && total > 0 {
			r.share[k+1] += max(0, score[i]) / total
		}
	}
	return r
}

func gone(pruned []bool, i int) bool { return pruned != nil && pruned[i] }

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// least is the smallest number of channels that may be left.
func (r ranked) least() int { return min(r.unit, r.channels) }

// up is the number of survivors at a level, rounded up.
func (r ranked) up(level float64) int {
	exact := float64(r.channels) - float64(r.channels)*level
	blocks := int(exact / float64(r.unit))
	if float64(blocks*r.unit) < exact-1e-9 {
		blocks++
	}
	return min(r.channels, max(r.least(), blocks*r.unit))
}

// local returns how many channels each cluster keeps when all lose the same
// share.
func local(list []ranked, level float64, how Rounding) []int {
	kept := make([]int, len(list))
	want, have := 0.0, 0
	for i, r := range list {
		kept[i] = r.up(level)
		if how == Nearest && level > 0 {
			if down := kept[i] - r.unit; down >= r.least() && float64(r.channels)*(1-level)-float64(down) < float64(kept[i])-float64(r.channels)*(1-level) {
				kept[i] = down
			}
		}
		want += level * float64(r.channels)
		have += r.channels - kept[i]
	}
	if how != Balanced {
		return kept
	}
	rounded := make([]bool, len(list))
	for {
		best := -1
		loss := func(i int) float64 {
			r := list[i]
			n := r.channels - kept[i]
			return r.share[n+r.unit] - r.share[n]
		}
		for i, r := range list {
			exact := float64(r.channels) * (1 - level)
			if rounded[i] || kept[i]-r.unit < r.least() || float64(kept[i]) < exact+1e-9 || float64(have+r.unit) > want+1e-9 {
				continue
			}
			if best < 0 || loss(i) < loss(best) {
				best = i
			}
		}
		if best < 0 {
			return kept
		}
		rounded[best] = true
		kept[best] -= list[best].unit
		have += list[best].unit
	}
}

// global returns how many channels each cluster keeps when blocks of unit
// channels of all clusters go in the order of their mean importance, until done
// says so. No cluster is emptied; whether done was reached is the second result.
func global(list []ranked, done func(kept []int, removed int) bool) ([]int, bool) {
	kept := make([]int, len(list))
	for i, r := range list {
		kept[i] = r.channels
	}
	removed := 0
	for !done(kept, removed) {
		best, lowest, size := -1, 0.0, 0
		for i, r := range list {
			n := r.channels - kept[i]
			// The first block leaves a multiple.
			block := kept[i] % r.unit
			if block == 0 {
				block = r.unit
			}
			if kept[i]-block < r.least() {
				continue
			}
			mean := 0.0
			for _, c := range r.order[n : n+block] {
				mean += r.score[c]
			}
			mean /= float64(block)
			if best < 0 || mean < lowest {
				best, lowest, size = i, mean, block
			}
		}
		if best < 0 {
			return kept, false
		}
		kept[best] -= size
		removed += size
	}
	return kept, true
}

// quantity is what of a [Cost] a level is a share of.
type quantity struct {
	name string
	of   func(Cost) int64
}

// choose returns how many channels each cluster keeps at a level, of filters or
// of the quantity that the options name.
func (o Options) choose(list []ranked, level float64, c *costs) ([]int, error) {
	p := o.Params
	full := c.of(nil)
	var q *quantity
	switch {
	case p.FLOPsTarget != nil:
		if !c.known {
			return nil, errors.New("pruning_flops_target: the model has inputs of unknown size, so its FLOPs are unknown; give input sizes, or use pruning_target or pruning_params_target")
		}
		q = &quantity{"pruning_flops_target", func(c Cost) int64 { return c.FLOPs }}
	case p.ParamsTarget != nil:
		q = &quantity{"pruning_params_target", func(c Cost) int64 { return c.Params }}
	}
	reached := func(kept []int) bool {
		return float64(q.of(c.of(kept))) <= (1-level)*float64(q.of(full))
	}
	switch {
	case level == 0:
		kept := make([]int, len(list))
		for i, r := range list {
			kept[i] = r.channels
		}
		return kept, nil
	case q == nil && !p.global():
		return local(list, level, p.rounding()), nil
	case q == nil:
		total := 0
		for _, r := range list {
			total += r.channels
		}
		want := int(level * float64(total))
		kept, _ := global(list, func(_ []int, removed int) bool { return removed >= want })
		return kept, nil
	case !p.global():
		for i := 1; i <= searchSteps; i++ {
			if kept := local(list, float64(i)/searchSteps, p.rounding()); reached(kept) {
				return kept, nil
			}
		}
	default:
		if kept, ok := global(list, func(kept []int, _ int) bool { return reached(kept) }); ok {
			return kept, nil
		}
	}
	most, _ := global(list, func([]int, int) bool { return false })
	return nil, fmt.Errorf("%s: got %g, but the prunable filters allow at most %.3g; prune first and downsampling convolutions too, or lower multiple",
		q.name, level, 1-float64(q.of(c.of(most)))/float64(q.of(full)))
}

// searchSteps is the number of levels at which a target is tried. Survivors are
// few multiples, so the costs of neighbouring levels are mostly equal.
const searchSteps = 1000
