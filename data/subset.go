package data

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Subset returns the examples of ds at the given indices, in that order.
// It panics on an index outside ds. It keeps indices, without copying.
func Subset(ds Dataset, indices []int) Dataset {
	for _, i := range indices {
		if i < 0 || i >= ds.Len() {
			panic(fmt.Sprintf("data: subset index %d of %d examples", i, ds.Len()))
		}
	}
	return &subset{ds, indices}
}

// First returns the first n examples of ds, or all if there are fewer.
func First(ds Dataset, n int) Dataset {
	if n >= ds.Len() {
		return ds
	}
	indices := make([]int, n)
	for i := range indices {
		indices[i] = i
	}
	return &subset{ds, indices}
}

// Sample returns n examples of ds chosen at random without repetition, in
// ascending order, or all if there are fewer. The choice depends on seed, n
// and the length of ds only.
func Sample(ds Dataset, n int, seed uint64) Dataset {
	if n >= ds.Len() {
		return ds
	}
	chosen := permutation(nil, ds.Len(), rand.New(rand.NewPCG(mix(seed), streamSample)))[:n]
	slices.Sort(chosen)
	return &subset{ds, slices.Clip(chosen)}
}

// Holdout splits ds at random: held gets the given fraction of the examples,
// rounded to the nearest number, rest the others, both in ascending order.
// The split depends on seed, fraction and the length of ds only. It panics on
// a fraction outside 0..1.
func Holdout(ds Dataset, fraction float64, seed uint64) (rest, held Dataset) {
	if !(fraction >= 0 && fraction <= 1) {
		panic(fmt.Sprintf("data: holdout fraction %v", fraction))
	}
	n := int(math.Round(fraction * float64(ds.Len())))
	order := permutation(nil, ds.Len(), rand.New(rand.NewPCG(mix(seed), streamHoldout)))
	slices.Sort(order[:n])
	slices.Sort(order[n:])
	return &subset{ds, slices.Clip(order[n:])}, &subset{ds, order[:n:n]}
}

type subset struct {
	ds      Dataset
	indices []int
}

func (s *subset) Len() int                      { return len(s.indices) }
func (s *subset) Classes() []string             { return s.ds.Classes() }
func (s *subset) Label(i int) int               { return s.ds.Label(s.indices[i]) }
func (s *subset) Name(i int) string             { return Name(s.ds, s.indices[i]) }
func (s *subset) Image(i int, dst *Image) error { return s.ds.Image(s.indices[i], dst) }
