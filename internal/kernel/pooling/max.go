package pooling

import "fmt"

// Max computes rows [row0, row1) of y: the largest value of each window; NaN
// counts as larger than any number. With idx, the position of the first winner
// in its window, ky·KW + kx, is stored for [MaxGrad]; then KH·KW must not pass
// 256. idx may be nil.
func Max(y []float32, idx []uint8, x []float32, w Window, row0, row1 int) {
	w = w.withDefaults()
	w.check(len(x), len(y))
	if idx != nil {
		if w.KH*w.KW > 256 {
			panic(fmt.Sprintf("pooling: window %d×%d has more positions than a byte can hold", w.KH, w.KW))
		}
		_ = idx[:w.OH*w.OW*w.C]
	}
	c := w.C
	rowStep, colStep := w.DH*w.W*c, w.DW*c
	for oy := row0; oy < row1; oy++ {
		ky0, ky1 := w.rowTaps(oy)
		for ox := range w.OW {
			kx0, kx1 := w.colTaps(ox)
			from := x[((oy*w.SH-w.PT+ky0*w.DH)*w.W+ox*w.SW-w.PL+kx0*w.DW)*c:]
			o := (oy*w.OW + ox) * c
			if idx == nil {
				active.max(y[o:o+c], from, ky1-ky0, kx1-kx0, rowStep, colStep)
			} else {
				active.maxIndex(y[o:o+c], idx[o:o+c], from, ky1-ky0, kx1-kx0, rowStep, colStep, ky0*w.KW+kx0, w.KW)
			}
		}
	}
}

// MaxGrad computes rows [row0, row1) of dx, overwriting them: each gradient
// goes to the pixel idx names. Rows are independent of each other: every pixel
// collects from the windows that cover it, in their order.
func MaxGrad(dx, g []float32, idx []uint8, w Window, row0, row1 int) {
	w = w.withDefaults()
	w.check(len(dx), len(g))
	_ = idx[:w.OH*w.OW*w.C]
	c := w.C
	for iy := row0; iy < row1; iy++ {
		oy0, oy1 := covering(iy, w.PT, w.SH, w.DH, w.KH, w.OH)
		for ix := range w.W {
			d := dx[(iy*w.W+ix)*c:][:c]
			ox0, ox1 := covering(ix, w.PL, w.SW, w.DW, w.KW, w.OW)
			clear(d)
			for oy := oy0; oy < oy1; oy++ {
				ry := iy + w.PT - oy*w.SH
				if ry%w.DH != 0 {
					continue
				}
				for ox := ox0; ox < ox1; ox++ {
					rx := ix + w.PL - ox*w.SW
					if rx%w.DW != 0 {
						continue
					}
					o := (oy*w.OW + ox) * c
					active.addWhere(d, g[o:o+c], idx[o:o+c], uint8(ry/w.DH*w.KW+rx/w.DW))
				}
			}
		}
	}
}

// MaxGradRecompute computes the whole dx of one image from the input x alone:
// it looks for the first winner of each window again. Windows overlap in dx, so
// an image is one task; where an index was stored, MaxGrad splits further.
func MaxGradRecompute(dx, g, x []float32, w Window) {
	w = w.withDefaults()
	w.check(len(x), len(g))
	n := w.H * w.W * w.C
	dx = dx[:n]
	clear(dx)
	c := w.C
	rowStep, colStep := w.DH*w.W*c, w.DW*c
	for oy := range w.OH {
		ky0, ky1 := w.rowTaps(oy)
		for ox := range w.OW {
			kx0, kx1 := w.colTaps(ox)
			from := ((oy*w.SH-w.PT+ky0*w.DH)*w.W + ox*w.SW - w.PL + kx0*w.DW) * c
			active.maxScatter(dx[from:], g[(oy*w.OW+ox)*c:][:c], x[from:n], ky1-ky0, kx1-kx0, rowStep, colStep)
		}
	}
}

func (w *Window) check(x, y int) {
	if x < w.H*w.W*w.C || y < w.OH*w.OW*w.C {
		panic(fmt.Sprintf("pooling: %d and %d elements for an image of %d×%d×%d and an output of %d×%d", x, y, w.H, w.W, w.C, w.OH, w.OW))
	}
}
