package probe

import (
	"testing"

	"github.com/go-nncf/nncf/internal/par"
)

// TestRates: any machine this runs on adds and moves more than a million
// numbers a second, and less than 10¹⁶.
func TestRates(t *testing.T) {
	pool := par.New(2)
	defer pool.Close()
	for name, rate := range map[string]float64{"Arithmetic": Arithmetic(pool, 0), "Bandwidth": Bandwidth(pool, 0)} {
		if !(rate > 1e6 && rate < 1e16) {
			t.Errorf("%s = %g per second", name, rate)
		}
	}
}
