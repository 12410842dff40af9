package sparsity

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-nncf/nncf/tensor"
)

// Pattern is a rule about where zeros may be. The zero value is none: every
// weight by itself. In JSON and text it is one of
//
//	"2:4"   keep at most 2 of every 4 consecutive weights along the input channels;
//	        a last group that is not whole stays dense
//	"4x1"   blocks of 4 output and 1 input channels are zero or kept as a whole
type Pattern struct {
	Keep, Of   int // N:M
	Rows, Cols int // blocks of output × input channels
}

// IsZero reports whether there is no pattern.
func (p Pattern) IsZero() bool { return p == Pattern{} }

// String returns the text form, empty for none.
func (p Pattern) String() string {
	switch {
	case p.Of > 0:
		return fmt.Sprintf("%d:%d", p.Keep, p.Of)
	case p.Rows > 0:
		return fmt.Sprintf("%dx%d", p.Rows, p.Cols)
	}
	return ""
}

// largestPattern bounds the sides of groups and blocks.
const largestPattern = 1024

// ParsePattern reads the text form.
func ParsePattern(s string) (Pattern, error) {
	bad := fmt.Errorf(`pattern: got %q, want N:M such as "2:4", RxC such as "4x1", or "unstructured"`, s)
	if s == "" || s == "unstructured" {
		return Pattern{}, nil
	}
	for _, sep := range []string{":", "x"} {
		a, b, ok := strings.Cut(s, sep)
		if !ok {
			continue
		}
		n, err1 := strconv.Atoi(a)
		m, err2 := strconv.Atoi(b)
		if err1 != nil || err2 != nil || n < 1 || m < 1 || n > largestPattern || m > largestPattern {
			return Pattern{}, bad
		}
		if sep == "x" {
			return Pattern{Rows: n, Cols: m}, nil
		}
		if n >= m {
			return Pattern{}, fmt.Errorf("pattern: got %q, want to keep fewer than there are in a group", s)
		}
		return Pattern{Keep: n, Of: m}, nil
	}
	return Pattern{}, bad
}

// MarshalText implements encoding.TextMarshaler.
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Pattern) UnmarshalText(b []byte) (err error) {
	*p, err = ParsePattern(string(b))
	return err
}

// Level is the level that the pattern reaches at most: 1-N/M, 0 for others,
// which set no limit.
func (p Pattern) Level() float64 {
	if p.Of == 0 {
		return 0
	}
	return 1 - float64(p.Keep)/float64(p.Of)
}

// groups calls f with the indices of each group of Of weights along axis.
func (p Pattern) groups(s tensor.Shape, axis int, f func(at []int)) {
	inner, n := s[axis+1:].Numel(), s[axis]
	at := make([]int, p.Of)
	for outer := range s[:axis].Numel() {
		for first := 0; first+p.Of <= n; first += p.Of {
			for i := range inner {
				for k := range at {
					at[k] = (outer*n+first+k)*inner + i
				}
				f(at)
			}
		}
	}
}

// nOfM drops the least important weights of every group: so many as the level
// asks for, rounded down, and at most Of-Keep. Of equals the later one goes.
func (p Pattern) nOfM(mask []uint8, f importance, s tensor.Shape, axis int, level float64) {
	for i := range mask {
		mask[i] = 1
	}
	drop := min(p.Of-p.Keep, int(level*float64(p.Of)+1e-6))
	if drop == 0 {
		return
	}
	order := make([]int, p.Of)
	p.groups(s, axis, func(at []int) {
		copy(order, at)
		slices.SortStableFunc(order, func(a, b int) int {
			return cmp.Or(cmp.Compare(f.at(a), f.at(b)), cmp.Compare(b, a))
		})
		for _, i := range order[:drop] {
			mask[i] = 0
		}
	})
}

// blocks returns the number of blocks of a weight, and the block of each element.
func (p Pattern) blocks(s tensor.Shape, out, in int) (n int, of func(i int) int) {
	stride := func(axis int) int { return s[axis+1:].Numel() }
	so, si := stride(out), stride(in)
	rows, cols := (s[out]+p.Rows-1)/p.Rows, (s[in]+p.Cols-1)/p.Cols
	rest := s.Numel() / (s[out] * s[in])
	// the position apart from both axes, as one number
	hi, lo := max(so, si), min(so, si)
	hiDim, loDim := s[out], s[in]
	if hi == si {
		hiDim, loDim = s[in], s[out]
	}
	return rows * cols * rest, func(i int) int {
		o, c := i/so%s[out], i/si%s[in]
		inner := i % lo
		middle := i / (lo * loDim) % (hi / (lo * loDim))
		outer := i / (hi * hiDim)
		r := (outer*(hi/(lo*loDim))+middle)*lo + inner
		return (r*rows+o/p.Rows)*cols + c/p.Cols
	}
}
