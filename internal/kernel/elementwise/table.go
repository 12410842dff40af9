package elementwise

import "github.com/go-nncf/nncf/internal/cpu"

// variant is one row of the family's table: every function for one
// instruction set.
type variant struct {
	name string
	need cpu.Feature

	unary  [numUnary]func(dst, x []float32)
	unary1 [numUnary1]func(dst, x []float32, a float32)
	unary2 [numUnary2]func(dst, x []float32, a, b float32)

	binary       [numBinary]func(dst, a, b []float32)
	scalar       [numBinary]func(dst, x []float32, s float32)
	scalarLeft   [numBinary]func(dst, x []float32, s float32)
	channels     [numBinary]func(dst, x, p []float32)
	channelsLeft [numBinary]func(dst, x, p []float32)
	addRelu      func(dst, a, b []float32)

	grad  [numGrad]func(dx, g, xy []float32)
	grad1 [numGrad1]func(dx, g, x []float32, a float32)
	grad2 [numGrad2]func(dx, g, x []float32, a, b float32)

	scaleShift func(dst, x, scale, shift []float32)
	prelu      func(dst, x, slope []float32)
	preluGrad  func(dx, g, x, slope []float32)
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
	panic("elementwise: no generic variant")
}
