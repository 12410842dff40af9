package quant

import (
	"unsafe"

	"github.com/go-nncf/nncf/internal/cpu"
)

const (
	// rowLanes partial sums of a row are kept, element i in lane i mod rowLanes:
	// one AVX-512 vector, two AVX2 vectors.
	rowLanes = 16
	// rowBlock elements are summed in float32 before folding to float64.
	rowBlock = 1024 * rowLanes
)

// variant is one row of the family's table.
type variant struct {
	name string
	need cpu.Feature

	forward     func(dst, x, low, high, scale, zero []float32)
	backward    func(dx, dy, x, low, high, scale, zero, inside, above, below []float32) // whole rows; adds to the sums
	forwardRow  func(dst, x []float32, low, high, scale, zero float32)
	backwardRow func(dx, dy, x []float32, low, high, scale, zero float32, inside, above, below *[rowLanes]float32)
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
	panic("quant: no generic variant")
}

// noescape hides p from escape analysis: an argument of a call through the
// table would move to the heap, but no kernel keeps its arguments.
//
// Checks of pointers, which come with the race detector, would call between the
// two conversions, and the stack may move then.
//
//go:nocheckptr
func noescape[T any](p *T) *T {
	x := uintptr(unsafe.Pointer(p))
	return *(**T)(unsafe.Pointer(&x))
}
