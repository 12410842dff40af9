package precision

import (
	"context"
	"fmt"
	"slices"
)

// Searches.
const (
	Auto        = "auto"    // exact if it ends in time, else ordered
	ByTrace     = "ordered" // the paper's
	OverAll     = "exact"
	frontStates = 50_000  // of the whole front
	boundStates = 400_000 // towards one ratio
	frontShown  = 200
)

// Result is what a search found.
type Result struct {
	// Search is ordered or exact, whichever chose.
	Search string `json:"search"`
	Chosen Config `json:"chosen"`
	// Ordered holds all configurations that the ordered search tried.
	Ordered []Config `json:"ordered"`
	// OrderedFront and ExactFront are the best of each by ascending ratio; long
	// ones are thinned. ExactFront is empty if it has too many points to compute.
	OrderedFront []Config `json:"ordered_front"`
	ExactFront   []Config `json:"exact_front,omitempty"`
	// Low and High are the least and the largest ratio there is.
	Low  float64 `json:"least_ratio"`
	High float64 `json:"largest_ratio"`
}

// Search finds the configuration of least metric with at least the given ratio.
// A ratio that cannot be reached is a [RatioError].
func Search(ctx context.Context, p *Problem, ratio float64, how string) (*Result, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	r := &Result{Search: ByTrace}
	r.Low, r.High = p.Bounds()
	if err := p.CheckRatio(ratio); err != nil {
		return nil, err
	}
	r.Ordered = Ordered(p)
	best, found := Best(r.Ordered, ratio)
	r.OrderedFront = Front(r.Ordered)
	if how != ByTrace {
		front, whole := Exact(ctx, p, frontStates)
		exact, ok := Config{}, false
		if whole {
			exact, ok = Best(front, ratio)
			r.ExactFront = front
		} else {
			exact, ok = ExactFor(ctx, p, ratio, best, boundStates)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		switch {
		case ok && (!found || exact.Metric <= best.Metric):
			best, found, r.Search = exact, true, OverAll
		case how == OverAll:
			return nil, fmt.Errorf("the exact search needs more than %d states for %d layers; choose search %q", boundStates, len(p.Layers), ByTrace)
		}
	}
	if !found {
		return nil, fmt.Errorf("no configuration in the order of the traces has ratio %.4g; choose search %q", ratio, OverAll)
	}
	r.Chosen = best
	r.OrderedFront, r.ExactFront = thin(r.OrderedFront, best), thin(r.ExactFront, best)
	return r, nil
}

// thin keeps evenly many of a front's configurations, its ends and the chosen
// one among them.
func thin(front []Config, chosen Config) []Config {
	if len(front) <= frontShown {
		return front
	}
	var out []Config
	next := 0.0
	step := float64(len(front)-1) / (frontShown - 1)
	for i, c := range front {
		if float64(i) >= next-slack || i == len(front)-1 || slices.Equal(c.Bits, chosen.Bits) {
			out = append(out, c)
			for next <= float64(i) {
				next += step
			}
		}
	}
	return out
}
