package job

import (
	"testing"

	"github.com/go-nncf/nncf/compress"
)

func TestBest_BeatenBy(t *testing.T) {
	partial, full := compress.PartiallyCompressed, compress.FullyCompressed
	for _, c := range []struct {
		name   string
		b      *best
		stage  compress.Stage
		metric float64
		want   bool
	}{
		{"nothing before", nil, partial, 0, true},
		{"better", &best{Stage: full, Metric: 50, Epoch: 1}, full, 50.1, true},
		{"as good", &best{Stage: full, Metric: 50, Epoch: 1}, full, 50, false},
		{"as good as before training", &best{Stage: full, Metric: 50, Epoch: -1}, full, 50, true},
		{"worse than before training", &best{Stage: full, Metric: 50, Epoch: -1}, full, 49.9, false},
		{"more compressed, less accurate", &best{Stage: partial, Metric: 50, Epoch: 1}, full, 10, true},
		{"less compressed, more accurate", &best{Stage: full, Metric: 10, Epoch: -1}, partial, 50, false},
	} {
		if got := c.b.beatenBy(c.stage, c.metric); got != c.want {
			t.Errorf("%s: got %t, want %t", c.name, got, c.want)
		}
	}
}
