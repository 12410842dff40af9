package data

import (
	"context"
	"fmt"
	"math"
	"strings"
)

// Statistics describes a data set.
type Statistics struct {
	Examples int `json:"examples"`
	// Sizes of the images, rows × columns × channels: the smallest and largest
	// of each.
	Smallest [3]int `json:"smallest"`
	Largest  [3]int `json:"largest"`
	// Mean, Std, Min and Max of each channel over all pixels; bytes count as
	// 0..1. Std divides by the number of pixels.
	Mean []float64 `json:"mean"`
	Std  []float64 `json:"std"`
	Min  []float64 `json:"min"`
	Max  []float64 `json:"max"`
	// Counts has the number of examples of each class.
	Classes []string `json:"classes,omitempty"`
	Counts  []int    `json:"counts,omitempty"`
}

// moments sums the elements of a channel: bytes exactly, real values in
// float64.
type moments struct {
	n        int
	sum, sq  uint64
	fsum     float64
	fsq      float64
	min, max float64
}

// Describe reads all of ds. Images of different numbers of channels, or bytes
// beside real values, are an error.
func Describe(ctx context.Context, ds Dataset) (*Statistics, error) {
	st := &Statistics{Examples: ds.Len(), Classes: ds.Classes(), Counts: make([]int, len(ds.Classes()))}
	var m Image
	var ms []moments
	float := false
	for i := range ds.Len() {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := ds.Image(i, &m); err != nil {
			return nil, fmt.Errorf("%s: %w", Name(ds, i), err)
		}
		size := [3]int{m.H, m.W, m.C}
		if i == 0 {
			ms, float = make([]moments, m.C), m.IsFloat()
			for c := range ms {
				ms[c].min, ms[c].max = math.Inf(1), math.Inf(-1)
			}
			st.Smallest, st.Largest = size, size
		}
		if len(ms) != m.C || float != m.IsFloat() {
			return nil, fmt.Errorf("%s: got %d channels, real %t, want %d, %t like the first example", Name(ds, i), m.C, m.IsFloat(), len(ms), float)
		}
		for a, n := range size {
			st.Smallest[a], st.Largest[a] = min(st.Smallest[a], n), max(st.Largest[a], n)
		}
		for c := range ms {
			ms[c].add(&m, c)
		}
		if l := ds.Label(i); l >= 0 {
			st.Counts[l]++
		}
	}
	for c := range ms {
		ms[c].finish(st, float)
	}
	return st, nil
}

func (s *moments) add(m *Image, c int) {
	s.n += m.H * m.W
	if m.IsFloat() {
		for i := c; i < len(m.Values); i += m.C {
			v := float64(m.Values[i])
			s.fsum += v
			s.fsq += float64(v * v)
			s.min, s.max = min(s.min, v), max(s.max, v)
		}
		return
	}
	low, high := uint8(255), uint8(0)
	for i := c; i < len(m.Pix); i += m.C {
		v := m.Pix[i]
		s.sum += uint64(v)
		s.sq += uint64(v) * uint64(v)
		low, high = min(low, v), max(high, v)
	}
	s.min, s.max = min(s.min, float64(low)/255), max(s.max, float64(high)/255)
}

func (s *moments) finish(st *Statistics, float bool) {
	n := float64(s.n)
	mean, sq := s.fsum/n, s.fsq/n
	if !float {
		mean, sq = float64(s.sum)/n/255, float64(s.sq)/n/(255*255)
	}
	st.Mean = append(st.Mean, mean)
	st.Std = append(st.Std, math.Sqrt(max(0, sq-mean*mean)))
	st.Min = append(st.Min, s.min)
	st.Max = append(st.Max, s.max)
}

// String formats the statistics in a few lines.
func (s *Statistics) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d examples", s.Examples)
	if s.Examples > 0 {
		fmt.Fprintf(&b, " of %d×%d×%d", s.Smallest[0], s.Smallest[1], s.Smallest[2])
		if s.Smallest != s.Largest {
			fmt.Fprintf(&b, " to %d×%d×%d", s.Largest[0], s.Largest[1], s.Largest[2])
		}
	}
	b.WriteByte('\n')
	for c := range s.Mean {
		fmt.Fprintf(&b, "channel %d: mean %.4f std %.4f min %.4f max %.4f\n", c, s.Mean[c], s.Std[c], s.Min[c], s.Max[c])
	}
	for l, name := range s.Classes {
		fmt.Fprintf(&b, "class %d %s: %d\n", l, name, s.Counts[l])
	}
	return b.String()
}
