package layout

import "github.com/go-nncf/nncf/internal/cpu"

// variant is one row of the family's table.
type variant struct {
	name string
	need cpu.Feature

	transpose func(dst []float32, dstStride int, src []float32, srcStride, rows, cols int)
	add       func(dst, src []float32)
	// stream is copy past the caches, for len(dst) a multiple of 64 and dst at a
	// multiple of 64 bytes.
	stream func(dst, src []float32)
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
	panic("layout: no generic variant")
}
