package pooling

import "errors"

// Volume is the geometry of a pooling over one volume [D][H][W][C]. A window is a
// box, so maximum and average separate: Planes pools each of the D images, Depth
// the [D][OH][OW][C] results along their first axis, as an image of D rows and one
// column whose pixels are planes.
//
// Maxima and their winners are those of the whole box, the first in row-major
// order. An average is one of averages: it rounds once more than a sum would.
type Volume struct {
	Planes, Depth Window
}

// Flat returns the pooling of images, as volumes of one plane.
func Flat(w Window) Volume { return NewVolume(w, Window{H: 1, OH: 1, KH: 1}) }

// NewVolume returns the pooling of the D images of planes, and along depth, of
// which only H, OH, KH, SH, DH, PT, PB and CountPad are given.
func NewVolume(planes, depth Window) Volume {
	depth.W, depth.OW, depth.KW, depth.SW, depth.DW = 1, 1, 1, 1, 1
	depth.C = planes.OH * planes.OW * planes.C
	return Volume{planes, depth}
}

// Validate reports every setting that the functions of this package refuse.
func (v Volume) Validate() error { return errors.Join(v.Planes.Validate(), v.Depth.Validate()) }

// flat reports whether there is nothing to pool along depth.
func (v Volume) flat() bool {
	d := &v.Depth
	return d.H == 1 && d.OH == 1 && d.KH == 1 && d.PT+d.PB == 0
}

// Scratch is the number of elements that Max, MaxGrad, Average and AverageGrad
// need beside their arguments; MaxGradRecompute needs twice as many.
func (v Volume) Scratch() int {
	if v.flat() {
		return 0
	}
	return v.Depth.H * v.Depth.C
}

// Winners is the number of bytes that say where the maxima were.
func (v Volume) Winners() int { return v.Scratch() + v.Depth.OH*v.Depth.C }

// plane returns image d of x, of n elements each.
func plane[T any](x []T, d, n int) []T { return x[d*n:][:n] }

func (v Volume) in() int { return v.Planes.H * v.Planes.W * v.Planes.C }

// Max is [Max] of a volume; idx, of [Volume.Winners] bytes, may be nil.
func (v Volume) Max(y []float32, idx []uint8, x, scratch []float32) {
	if v.flat() {
		Max(y, idx, x, v.Planes, 0, v.Planes.OH)
		return
	}
	var ofDepth []uint8
	if idx != nil {
		ofDepth = idx[v.Scratch():]
	}
	for d := range v.Depth.H {
		var at []uint8
		if idx != nil {
			at = plane(idx, d, v.Depth.C)
		}
		Max(plane(scratch, d, v.Depth.C), at, plane(x, d, v.in()), v.Planes, 0, v.Planes.OH)
	}
	Max(y, ofDepth, scratch, v.Depth, 0, v.Depth.OH)
}

// MaxGrad is [MaxGrad] of a volume.
func (v Volume) MaxGrad(dx, g []float32, idx []uint8, scratch []float32) {
	if v.flat() {
		MaxGrad(dx, g, idx, v.Planes, 0, v.Planes.H)
		return
	}
	MaxGrad(scratch, g, idx[v.Scratch():], v.Depth, 0, v.Depth.H)
	for d := range v.Depth.H {
		MaxGrad(plane(dx, d, v.in()), plane(scratch, d, v.Depth.C), plane(idx, d, v.Depth.C), v.Planes, 0, v.Planes.H)
	}
}

// MaxGradRecompute is [MaxGradRecompute] of a volume.
func (v Volume) MaxGradRecompute(dx, g, x, scratch []float32) {
	if v.flat() {
		MaxGradRecompute(dx, g, x, v.Planes)
		return
	}
	most, back := scratch[:v.Scratch()], scratch[v.Scratch():]
	for d := range v.Depth.H {
		Max(plane(most, d, v.Depth.C), nil, plane(x, d, v.in()), v.Planes, 0, v.Planes.OH)
	}
	MaxGradRecompute(back, g, most, v.Depth)
	for d := range v.Depth.H {
		MaxGradRecompute(plane(dx, d, v.in()), plane(back, d, v.Depth.C), plane(x, d, v.in()), v.Planes)
	}
}

// Average is [Average] of a volume.
func (v Volume) Average(y, x, scratch []float32) {
	if v.flat() {
		Average(y, x, v.Planes, 0, v.Planes.OH)
		return
	}
	for d := range v.Depth.H {
		Average(plane(scratch, d, v.Depth.C), plane(x, d, v.in()), v.Planes, 0, v.Planes.OH)
	}
	Average(y, scratch, v.Depth, 0, v.Depth.OH)
}

// AverageGrad is [AverageGrad] of a volume.
func (v Volume) AverageGrad(dx, g, scratch []float32) {
	if v.flat() {
		AverageGrad(dx, g, v.Planes, 0, v.Planes.H)
		return
	}
	AverageGrad(scratch, g, v.Depth, 0, v.Depth.H)
	for d := range v.Depth.H {
		AverageGrad(plane(dx, d, v.in()), plane(scratch, d, v.Depth.C), v.Planes, 0, v.Planes.H)
	}
}
