package pooling

import "github.com/go-nncf/nncf/internal/cpu"

// variant is one row of the family's table. len(y) is the number of channels.
type variant struct {
	name string
	need cpu.Feature

	// The part of a window that lies in the image: rows and cols, at least 1,
	// and the floats from one pixel to the next. tap is the index of the first
	// position, tapRow what a row adds to it.
	max      func(y, x []float32, rows, cols, rowStep, colStep int)
	maxIndex func(y []float32, idx []uint8, x []float32, rows, cols, rowStep, colStep, tap, tapRow int)
	// maxScatter adds g where x, and dx alike, has the largest of the window.
	maxScatter func(dx, g, x []float32, rows, cols, rowStep, colStep int)
	average    func(y, x []float32, rows, cols, rowStep, colStep int, scale float32)
	addWhere   func(dx, g []float32, idx []uint8, tap uint8)
	addScaled  func(dx, g []float32, scale float32)
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
	panic("pooling: no generic variant")
}
