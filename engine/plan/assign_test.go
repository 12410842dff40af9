package plan

import (
	"math/rand/v2"
	"testing"
)

func TestAssign_NoOverlap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var bufs []*Buffer
		peak := make([]int, 40)
		for range 1 + r.IntN(60) {
			b := &Buffer{Size: r.IntN(5000)}
			first := r.IntN(40)
			last := min(39, first+r.IntN(8))
			b.Touch(last)
			b.Touch(first)
			for s := first; s <= last; s++ {
				peak[s] += b.span()
			}
			bufs = append(bufs, b)
		}
		size := Assign(bufs)
		for i, a := range bufs {
			if a.Offset%Align != 0 || a.Offset+a.Size+Slack > size {
				t.Fatalf("buffer %+v outside an arena of %d bytes, or not aligned", a, size)
			}
			for _, b := range bufs[:i] {
				live := a.First <= b.Last && b.First <= a.Last
				memory := a.Offset < b.Offset+b.span() && b.Offset < a.Offset+a.span()
				if live && memory {
					t.Fatalf("buffers %+v and %+v are live together and overlap", a, b)
				}
			}
		}
		lower := 0
		for _, p := range peak {
			lower = max(lower, p)
		}
		if size < lower || size > 2*lower+Align {
			t.Fatalf("arena of %d bytes for a peak of %d", size, lower)
		}
	}
}
