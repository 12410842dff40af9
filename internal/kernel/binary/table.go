package binary

import "github.com/go-nncf/nncf/internal/cpu"

// variant is one row of the family's table.
type variant struct {
	name string
	need cpu.Feature

	nibbles bool // how bits are counted, see the package comment
	lanes   int  // output channels of a block

	above    func(dst, x, at []float32)
	signs    func(dst, x []float32)
	backward func(dx, du, x, at []float32, scale, inverse float32, scaleSums, thresholdSums []float32) // whole rows; adds to the sums
	pack     func(dst []byte, x, at []float32, pitch int)                                              // whole pixels of a multiple of 8 channels
	expand   func(dst, src []byte)
	count    func(b *block)                                         // adds; nil: countWords
	finish   func(y []float32, acc []int16, f []float32, pitch int) // a multiple of 8 channels
}

func (v *variant) supported() bool { return cpu.Has(v.need) }

// active is the first row this machine supports.
var active = pick()

var _ = cpu.Follow(&active, pick)

func pick() *variant {
	for _, v := range variants() {
		if v.supported() {
			return v
		}
	}
	panic("binary: no generic variant")
}

var generic = variant{
	name: "generic", lanes: genericLanes,
	above: aboveGeneric, signs: signsGeneric, backward: backwardGeneric,
	pack: packGeneric, expand: expandGeneric, finish: finishGeneric,
}
