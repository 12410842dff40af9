package reduce

import (
	"unsafe"

	"github.com/go-nncf/nncf/internal/cpu"
)

// variant is one row of the family's table. The slice functions overwrite acc
// with their lanes; the channel functions take
// whole rows and add to theirs.
type variant struct {
	name string
	need cpu.Feature

	sum, sumAbs, sumSquares func(acc *[lanes]float32, x []float32)
	sumSquaresAbout         func(acc *[lanes]float32, x []float32, m float32)
	dot                     func(acc *[lanes]float32, x, y []float32)
	dotAbout                func(acc *[lanes]float32, x, y []float32, m float32)
	max, min, maxAbs        func(acc *[lanes]float32, x []float32)

	sumChannels    func(acc, x []float32)
	dotChannels    func(acc, x, y []float32)
	slopeChannels  func(acc, g, x []float32)
	maxChannels    func(acc, x []float32)
	minMaxChannels func(lo, hi, x []float32)
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
	panic("reduce: no generic variant")
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
