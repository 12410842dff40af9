package sparsity

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/tensor"
)

// Importance says which weights matter: those of the largest
//
//	normed_abs   |w| / ‖w‖₂, the norm taken over the layer's weight (default)
//	abs          |w|
type Importance string

// The importance functions.
const (
	NormedAbs Importance = "normed_abs"
	Abs       Importance = "abs"
)

// Validate reports an unknown function; empty is the default.
func (i Importance) Validate() error {
	switch i {
	case "", NormedAbs, Abs:
		return nil
	}
	return fmt.Errorf("weight_importance: got %q, want normed_abs or abs", i)
}

// importance is the importance of a layer's weights.
type importance struct {
	w    []float32
	norm float32
}

func (i Importance) of(w *tensor.Tensor) importance {
	f := importance{w.F32(), 1}
	if i == Abs {
		return f
	}
	sum := 0.0
	for _, v := range f.w {
		sum += float64(v) * float64(v)
	}
	if f.norm = float32(math.Sqrt(sum)); f.norm == 0 {
		f.norm = 1
	}
	return f
}

// at returns the importance of element i. It is never below 0; NaN ranks highest.
func (f importance) at(i int) float32 {
	return math.Float32frombits(math.Float32bits(f.w[i])&^(1<<31)) / f.norm
}

// threshold returns the k-th smallest of all values, k from 0, without sorting
// them: it counts the upper halves of their bits, then the lower halves within the
// upper one that holds the k-th. Values that are not negative order as their bits.
func threshold(k int, each func(yield func(float32))) float32 {
	count := make([]int, 1<<16)
	find := func() uint32 {
		for b, n := range count {
			if k < n {
				return uint32(b)
			}
			k -= n
		}
		panic("sparsity: rank beyond the last value")
	}
	each(func(v float32) { count[math.Float32bits(v)>>16]++ })
	hi := find()
	clear(count)
	each(func(v float32) {
		if b := math.Float32bits(v); b>>16 == hi {
			count[b&0xffff]++
		}
	})
	return math.Float32frombits(hi<<16 | find())
}

// rank is the position, in ascending order, of the value that a level's
// threshold is: ⌊(n-1)·level⌋.
func rank(n int, level float64) int { return int(float64(n-1) * level) }
