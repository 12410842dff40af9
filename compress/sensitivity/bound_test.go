package sensitivity

import "testing"

// The ranks of the one-sided 95 % bound of a median, from tables of the binomial
// distribution: the sign test rejects k-1 or fewer on the other side.
func TestBoundRank(t *testing.T) {
	for n, want := range map[int]int{1: 1, 4: 4, 5: 5, 8: 7, 10: 9, 20: 15, 24: 17, 100: 59} {
		if got := boundRank(n); got != want {
			t.Errorf("%d samples: got rank %d, want %d", n, got, want)
		}
	}
}
