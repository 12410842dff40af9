package cli

import (
	"strconv"
	"strings"
)

// memoryFlag bounds the memory of programs.
type memoryFlag struct {
	MaxMemory string `help:"Plan the training step to need at most so much memory for its values, such as 512MiB or 2G: what does not fit is computed again in the backward pass. Results stay the same." placeholder:"SIZE"`
}

// bytes returns the limit, 0 if there is none.
func (m memoryFlag) bytes() (int64, error) {
	if m.MaxMemory == "" {
		return 0, nil
	}
	n, ok := parseBytes(m.MaxMemory)
	if !ok {
		return 0, usagef("--max-memory: got %q, want a size such as 512MiB, 2G or 1500000000", m.MaxMemory)
	}
	return n, nil
}

// byteUnits are powers of 1024, as memory is counted, whatever the spelling.
var byteUnits = []struct {
	name string
	size float64
}{{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"kb", 1 << 10}, {"mb", 1 << 20}, {"gb", 1 << 30}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"b", 1}}

// parseBytes reads a positive size with an optional unit.
func parseBytes(s string) (n int64, ok bool) {
	text, unit := strings.ToLower(strings.TrimSpace(s)), 1.0
	for _, u := range byteUnits {
		if rest, cut := strings.CutSuffix(text, u.name); cut {
			text, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	v, err := strconv.ParseFloat(text, 64)
	if v *= unit; err != nil || !(v >= 1) || v >= 1<<62 {
		return 0, false
	}
	return int64(v), true
}
