package depthwise

import (
	"fmt"
	"slices"
	"testing"
)

// TestLoad computes the input by a loader that copies it, in windows of one row
// of output and of several. The forward pass gives the same bits as from memory,
// the gradient of the weights sums within its bound; each element is asked for
// once by a task, but for rows between two tasks.
func TestLoad(t *testing.T) {
	tall := geometries[:len(geometries):len(geometries)]
	tall = append(tall, struct {
		name string
		g    Geometry
	}{"windows", Geometry{N: 2, H: 23, W: 40, C: 130, KH: 3, KW: 3, StrideH: 2, PadT: 1, PadL: 1, PadB: 1, PadR: 1}})
	for _, set := range supported() {
		for _, c := range tall {
			t.Run(fmt.Sprintf("impl=%s/%s", set.Name, c.name), func(t *testing.T) {
				k := newWork(t, c.g, set)
				k.run(ascending, Fusion{})
				asked := 0
				load := func(dst []float32, at int) {
					asked += len(dst)
					copy(dst, k.x.s[at:at+len(dst)])
				}
				y := newGuarded(len(k.y.s))
				scratch := newGuarded(k.s.ForwardScratch)
				for i := range k.s.ForwardTasks {
					asked = 0
					for j := range scratch.s {
						scratch.s[j] = nan
					}
					k.p.ForwardLoad(i, scratch.s, k.wp.s, Fusion{Load: load}, y.s)
					n0, n1, q0, q1 := k.p.fwd.part(i)
					if most := (n1 - n0) * min(k.p.fwd.ih, (q1-q0-1)*k.p.fwd.hs.Step+k.p.fwd.window().hi-k.p.fwd.window().lo+1) * k.p.fwd.iw * c.g.C; asked > most {
						t.Errorf("task %d asked for %d elements, it needs %d", i, asked, most)
					}
				}
				y.check(t, "y")
				scratch.check(t, "scratch")
				if !slices.Equal(y.s, k.y.s) {
					t.Error("the loader gives other bits than memory")
				}
				part := newGuarded(k.s.Partials)
				scratch = newGuarded(k.s.BackwardWeightsScratch + k.s.BackwardWeightsLoad)
				for i := range k.s.BackwardWeightsTasks {
					for j := range scratch.s {
						scratch.s[j] = nan
					}
					k.p.BackwardWeightsLoad(i, scratch.s, nil, load, k.dy.s, part.s)
				}
				part.check(t, "partials")
				scratch.check(t, "scratch")
				dw, db := newGuarded(len(k.dw.s)), newGuarded(len(k.db.s))
				k.p.ReduceWeights(part.s, dw.s, db.s)
				_, _, wantW, wantB := reference(c.g, k.x.s, k.w.s, k.dy.s)
				compare(t, "dw", dw.s, wantW)
				compare(t, "db", db.s, wantB)
			})
		}
	}
}
