package compress

import "fmt"

// Stage says how much of the compression is in effect. Checkpoints compare by
// stage first and by accuracy second.
type Stage uint8

// The stages.
const (
	Uncompressed Stage = iota
	PartiallyCompressed
	FullyCompressed
)

var stageNames = [...]string{"uncompressed", "partial", "full"}

// String returns uncompressed, partial or full.
func (s Stage) String() string { return stageNames[min(int(s), len(stageNames)-1)] }

// MarshalText implements encoding.TextMarshaler.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Stage) UnmarshalText(b []byte) error {
	for i, n := range stageNames {
		if n == string(b) {
			*s = Stage(i)
			return nil
		}
	}
	return fmt.Errorf("got compression stage %q, want one of %v", b, stageNames)
}

// And combines the stages of stacked algorithms: equal stages stay, different
// ones are partial.
func (s Stage) And(t Stage) Stage {
	if s == t {
		return s
	}
	return PartiallyCompressed
}

// Better reports whether a model at stage s with the given metric (larger is
// better) beats one at stage best with metric bestMetric.
func Better(s Stage, metric float64, best Stage, bestMetric float64) bool {
	return s > best || s == best && metric > bestMetric
}
