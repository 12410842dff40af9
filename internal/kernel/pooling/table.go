package pooling

import (
	"unsafe"

	"github.com/go-nncf/nncf/internal/cpu"
)

// rect is the part of a window that lies in the image. Assembly reads it by
// offset.
type rect struct {
	rows, cols       int // ≥ 1
	rowStep, colStep int // floats from one pixel to the next
	tap, tapRow      int // index of the first position, added per row
}

// variant is one row of the family's table. len(y) is the number of channels.
type variant struct {
	name string
	need cpu.Feature

	max       func(y, x []float32, r *rect)
	maxIndex  func(y []float32, idx []uint8, x []float32, r *rect)
	average   func(y, x []float32, r *rect, scale float32)
	addWhere  func(dx, g []float32, idx []uint8, tap uint8)
	addScaled func(dx, g []float32, scale float32)
}

func (v *variant) supported() bool { return cpu.Has(v.need) }

// active is the first row this machine supports.
var active = pick()

func pick() *variant {
	for _, v := range variants() {
		if v.supported() {
			return v
		}
	}
	panic("pooling: no generic variant")
}

// noescape hides p from escape analysis: an argument of a call through the
// table would move to the heap, but no kernel keeps its arguments.
func noescape[T any](p *T) *T {
	x := uintptr(unsafe.Pointer(p))
	return *(**T)(unsafe.Pointer(&x))
}
