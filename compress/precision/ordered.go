package precision

import (
	"cmp"
	"fmt"
	"slices"
)

// Ordered returns the configurations of the paper: layers sorted by ascending
// trace get bits that never fall along that order. With m widths and L layers
// there are Σ_j C(m,j)·C(L-1,j-1). A layer that does not have a width takes the
// nearest it has, the larger of two; configurations that become equal by it count
// once, and those that part tied layers are left out.
func Ordered(p *Problem) []Config {
	var widths []int
	for _, l := range p.Layers {
		for _, c := range l.Choices {
			if !slices.Contains(widths, c.Bits) {
				widths = append(widths, c.Bits)
			}
		}
	}
	slices.Sort(widths)
	order := make([]int, len(p.Layers))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p.Layers[a].Trace, p.Layers[b].Trace) })

	var out []Config
	seen := map[string]bool{}
	bits := make([]int, len(p.Layers))
	var fill func(at, width int)
	fill = func(at, width int) {
		if at == len(order) {
			if key := fmt.Sprint(bits); !seen[key] && p.keepsTied(bits) {
				seen[key] = true
				out = append(out, p.Evaluate(bits))
			}
			return
		}
		for w := width; w < len(widths); w++ {
			bits[order[at]] = p.Layers[order[at]].nearest(widths[w])
			fill(at+1, w)
		}
	}
	fill(0, 0)
	return out
}

func (l *Layer) nearest(bits int) int {
	best := l.Choices[0].Bits
	for _, c := range l.Choices {
		if d, e := abs(c.Bits-bits), abs(best-bits); d < e || d == e && c.Bits > best {
			best = c.Bits
		}
	}
	return best
}

func abs(x int) int { return max(x, -x) }

func (p *Problem) keepsTied(bits []int) bool {
	for _, g := range p.Tied {
		for _, k := range g {
			if bits[k] != bits[g[0]] {
				return false
			}
		}
	}
	return true
}
