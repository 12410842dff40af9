package tile_test

import (
	"fmt"
	"testing"
	"unsafe"

	"github.com/go-nncf/nncf/internal/kernel/tile"
	"github.com/go-nncf/nncf/internal/kernel/tile/tiletest"
)

// BenchmarkDot reports the share of the multiply-add peak each tile reaches on
// a run of 144 (3x3 of 16 channels) and operands in the first-level cache.
func BenchmarkDot(b *testing.B) {
	for _, s := range tile.Sets() {
		if !s.Supported() {
			continue
		}
		for nv := 1; nv <= tile.MaxNV; nv++ {
			for mr := 1; mr <= s.MaxMR(nv); mr++ {
				b.Run(fmt.Sprintf("impl=%s/tile=%dx%d", s.Name, mr, nv*s.Lanes), func(b *testing.B) {
					nr, run := nv*s.Lanes, 48
					x, w, y := make([]float32, 3*34*16), make([]float32, 3*run*nr), make([]float32, mr*nr)
					seg := []int{0, 34 * 64, 2 * 34 * 64}
					half := (mr + 1) / 2
					a := tile.DotArgs{X0: ptr(x, 0), X1: ptr(x, half*16), XS: 64, W: ptr(w, 0), Seg: unsafe.Pointer(&seg[0]), NSeg: 3, Run: run,
						Y0: ptr(y, 0), Y1: ptr(y, min(half, mr-1)*nr), YS: 4 * nr, Tail: s.Lanes}
					rep := 1<<20/(mr*nr*3*run) + 1
					tiletest.Report(b, s, rep*mr*nr*3*run, 1, func(int) {
						for range rep {
							s.Dot(mr, nv, &a)
						}
					})
				})
			}
		}
	}
}

func ptr(s []float32, i int) unsafe.Pointer { return unsafe.Pointer(&s[i]) }

func BenchmarkOuter(b *testing.B) {
	for _, s := range tile.Sets() {
		if !s.Supported() {
			continue
		}
		for nv := 1; nv <= tile.MaxNV; nv++ {
			for mr := 1; mr <= s.MaxMR(nv); mr++ {
				b.Run(fmt.Sprintf("impl=%s/tile=%dx%d", s.Name, mr, nv*s.Lanes), func(b *testing.B) {
					nr, p := nv*s.Lanes, 192
					x, y, d := make([]float32, p*16+mr), make([]float32, p*nr), make([]float32, mr*nr)
					a := tile.OuterArgs{X: ptr(x, 0), XS: 64, Y: ptr(y, 0), YS: 4 * nr, P: p, R: 1, B: 1, D: ptr(d, 0), DS: 4 * nr, Tail: s.Lanes}
					rep := 1<<20/(mr*nr*p) + 1
					tiletest.Report(b, s, rep*mr*nr*p, 1, func(int) {
						for range rep {
							s.Outer(mr, nv, &a)
						}
					})
				})
			}
		}
	}
}
