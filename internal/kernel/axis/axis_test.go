package axis

import (
	"fmt"
	"testing"
)

// Forward and Backward name the same pairs of input, output and tap as the
// definition.
func TestAxis(t *testing.T) {
	for _, c := range []struct{ in, k, stride, pad, dilation int }{
		{8, 3, 1, 1, 1}, {9, 3, 2, 1, 1}, {8, 3, 2, 0, 1}, {13, 3, 2, 2, 3}, {10, 1, 3, 0, 1}, {7, 2, 3, -1, 1}, {5, 5, 1, 4, 1}, {2, 1, 5, 0, 1},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			out := (c.in+2*c.pad-c.dilation*(c.k-1)-1)/c.stride + 1
			type pair struct{ in, out, k int }
			want := map[pair]bool{}
			for q := range out {
				for k := range c.k {
					if i := q*c.stride + k*c.dilation - c.pad; i >= 0 && i < c.in {
						want[pair{i, q, k}] = true
					}
				}
			}
			check := func(name string, a Axis, n int, outs int, swap bool) {
				got := map[pair]bool{}
				seen := make([]bool, outs)
				for i := range a.Phases {
					p := &a.Phases[i]
					lo, hi := a.Inside(p, n)
					for q := range p.N {
						o := p.First + q*a.OutStep
						if seen[o] {
							t.Errorf("%s: output %d twice", name, o)
						}
						seen[o] = true
						first, end := a.Valid(p, q, n)
						if all := end-first == len(p.Taps) && end > first; all != (q >= lo && q < hi) {
							t.Errorf("%s: phase %d: output %d has taps %d to %d of %d, Inside says %d to %d", name, i, q, first, end, len(p.Taps), lo, hi)
						}
						for j, tap := range p.Taps {
							x := q*a.Step + tap.Off
							if in := x >= 0 && x < n; in != (j >= first && j < end) {
								t.Errorf("%s: phase %d: tap %d of output %d reads %d of %d, Valid says %d to %d", name, i, j, q, x, n, first, end)
							} else if in && swap {
								got[pair{o, x, tap.K}] = true
							} else if in {
								got[pair{x, o, tap.K}] = true
							}
						}
					}
				}
				for o, s := range seen {
					if !s {
						t.Errorf("%s: output %d missing", name, o)
					}
				}
				if len(got) != len(want) {
					t.Errorf("%s: got %d pairs, want %d", name, len(got), len(want))
				}
				for p := range want {
					if !got[p] {
						t.Errorf("%s: missing %+v", name, p)
					}
				}
			}
			check("forward", Forward(out, c.k, c.stride, c.pad, c.dilation), c.in, out, false)
			check("backward", Backward(c.in, c.k, c.stride, c.pad, c.dilation), out, c.in, true)
		})
	}
}
