package optim

import "github.com/go-nncf/nncf/internal/cpu"

// variant is one row of the family's table.
type variant struct {
	name string
	need cpu.Feature

	sgdPlain                 func(w, g []float32, lr, decay, scale float32)
	sgdMomentum, sgdNesterov func(w, g, v []float32, lr, decay, scale, momentum float32)
	adam                     func(w, g, m, v []float32, beta1, rest1, beta2, rest2, eps, scale, keep, decay, a, b float32)
	rmspropPlain             func(w, g, s []float32, lr, alpha, rest, eps, decay, scale float32)
	rmspropMomentum          func(w, g, s, v []float32, lr, alpha, rest, eps, decay, scale, momentum float32)
	axpy, lerp               func(y, x []float32, a float32)
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
	panic("optim: no generic variant")
}
