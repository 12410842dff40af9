package period_test

import (
	"testing"

	"github.com/go-nncf/nncf/internal/kernel/period"
)

func TestLen(t *testing.T) {
	for c, want := range map[int]int{0: 0, 1: 64, 3: 96, 8: 64, 10: 80, 16: 64, 17: 272, 24: 96, 48: 96, 64: 64, 63: 1008, 65: 65, 80: 80, 96: 96, 144: 144, 960: 960, 1000: 1000, 1280: 1280} {
		if got := period.Len(c); got != want {
			t.Errorf("Len(%d) = %d, want %d", c, got, want)
		}
	}
	for c := 1; c < 3000; c++ {
		n := period.Len(c)
		if n%c != 0 || n > max(1024, c) {
			t.Errorf("Len(%d) = %d", c, n)
		}
		if c < 64 && (n%16 != 0 || n < 64) {
			t.Errorf("Len(%d) = %d, want a multiple of 16, at least 64", c, n)
		}
	}
}

func TestExpandFold(t *testing.T) {
	for c := 1; c < 70; c++ {
		src := make([]float32, c)
		for i := range src {
			src[i] = float32(i + 1)
		}
		dst := make([]float32, period.Len(c))
		period.Expand(dst, src)
		sum := make([]float64, c)
		period.Fold(sum, dst)
		for i, v := range dst {
			if v != src[i%c] {
				t.Fatalf("C=%d: element %d is %v, want %v", c, i, v, src[i%c])
			}
		}
		for i, v := range sum {
			if want := float64(src[i]) * float64(len(dst)/c); v != want {
				t.Fatalf("C=%d: fold of channel %d is %v, want %v", c, i, v, want)
			}
		}
	}
}
