package gemm

import (
	"math/rand/v2"
	"testing"
)

// FuzzRun compares every kernel set with the definition.
func FuzzRun(f *testing.F) {
	f.Add(uint8(7), uint8(33), uint16(65), uint8(0))
	f.Add(uint8(40), uint8(9), uint16(600), uint8(7))
	f.Add(uint8(1), uint8(0), uint16(0), uint8(10))
	f.Fuzz(func(t *testing.T, m, n uint8, k uint16, flags uint8) {
		s := Shape{M: int(m % 80), N: int(n % 80), K: int(k % 1100), TransA: flags&1 != 0, TransB: flags&2 != 0}
		var fuse Fusion
		switch flags >> 2 & 3 {
		case 1:
			fuse.Bias = []float32{}
		case 2:
			fuse.Accumulate = true
		case 3:
			fuse = Fusion{Bias: []float32{}, Clip: true, Lo: -2, Hi: 1}
		}
		for _, set := range sets() {
			testRun(t, rand.New(rand.NewPCG(uint64(m), uint64(k))), set, s, fuse)
		}
	})
}
