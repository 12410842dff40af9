package optim

import (
	"unsafe"

	"github.com/go-nncf/nncf/internal/cpu"
)

// variant is one row of the family's table.
type variant struct {
	name string
	need cpu.Feature

	sgdPlain                 func(w, g []float32, lr, decay, scale float32)
	sgdMomentum, sgdNesterov func(w, g, v []float32, lr, decay, scale, momentum float32)
	adam                     func(w, g, m, v []float32, p *adamParams)
	rmspropPlain             func(w, g, s []float32, p *rmspropParams)
	rmspropMomentum          func(w, g, s, v []float32, p *rmspropParams)
	axpy, lerp               func(y, x []float32, a float32)
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
	panic("optim: no generic variant")
}

// noescape hides p from escape analysis: an argument of a call through the
// table would move to the heap, but no kernel keeps its arguments.
func noescape[T any](p *T) *T {
	x := uintptr(unsafe.Pointer(p))
	return *(**T)(unsafe.Pointer(&x))
}
