package depthwise

import "testing"

// FuzzPlan compares all passes of every kernel set with the definition, on
// small geometries.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{1, 8, 13, 20, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1})
	f.Add([]byte{2, 9, 25, 9, 2, 4, 2, 2, 0, 3, 2, 1, 2, 1})
	f.Add([]byte{1, 5, 7, 33, 4, 4, 1, 1, 3, 3, 3, 3, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 14 {
			return
		}
		in := func(i, lo, hi int) int { return lo + int(b[i])%(hi-lo+1) }
		g := Geometry{
			N: in(0, 1, 3), H: in(1, 1, 14), W: in(2, 1, 30), C: in(3, 1, 70), KH: in(4, 1, 6), KW: in(5, 1, 6),
			StrideH: in(6, 1, 3), StrideW: in(7, 1, 3), PadT: in(8, -1, 5), PadL: in(9, -1, 5), PadB: in(10, -1, 5), PadR: in(11, -1, 5),
			DilationH: in(12, 1, 3), DilationW: in(13, 1, 3),
		}
		if g.Validate() != nil {
			return
		}
		for _, set := range supported() {
			k := newWork(t, g, set)
			k.run(ascending, Fusion{})
			y, dx, dw, db := reference(g, k.x.s, k.w.s, k.dy.s)
			compare(t, set.Name+" y", k.y.s, y)
			compare(t, set.Name+" dx", k.dx.s, dx)
			compare(t, set.Name+" dw", k.dw.s, dw)
			compare(t, set.Name+" db", k.db.s, db)
			k.scratch.check(t, "scratch")
			k.parts.check(t, "partials")
			if t.Failed() {
				t.Fatalf("geometry %+v", g)
			}
		}
	})
}
