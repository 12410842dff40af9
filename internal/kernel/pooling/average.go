package pooling

// Average computes rows [row0, row1) of y: sums of windows times one over their
// size. A window is summed by rows, then over rows, in float32.
func Average(y, x []float32, w Window, row0, row1 int) {
	w = w.withDefaults()
	w.check(len(x), len(y))
	c := w.C
	rowStep, colStep := w.DH*w.W*c, w.DW*c
	for oy := row0; oy < row1; oy++ {
		ky0, ky1 := w.rowTaps(oy)
		for ox := range w.OW {
			kx0, kx1 := w.colTaps(ox)
			from := x[((oy*w.SH-w.PT+ky0*w.DH)*w.W+ox*w.SW-w.PL+kx0*w.DW)*c:]
			o := (oy*w.OW + ox) * c
			active.average(y[o:o+c], from, ky1-ky0, kx1-kx0, rowStep, colStep, w.divisor(oy, ox))
		}
	}
}

// AverageGrad computes rows [row0, row1) of dx, overwriting them: every pixel
// collects its share from the windows that cover it, in their order.
func AverageGrad(dx, g []float32, w Window, row0, row1 int) {
	w = w.withDefaults()
	w.check(len(dx), len(g))
	c := w.C
	for iy := row0; iy < row1; iy++ {
		oy0, oy1 := covering(iy, w.PT, w.SH, w.DH, w.KH, w.OH)
		for ix := range w.W {
			d := dx[(iy*w.W+ix)*c:][:c]
			ox0, ox1 := covering(ix, w.PL, w.SW, w.DW, w.KW, w.OW)
			clear(d)
			for oy := oy0; oy < oy1; oy++ {
				if (iy+w.PT-oy*w.SH)%w.DH != 0 {
					continue
				}
				for ox := ox0; ox < ox1; ox++ {
					if (ix+w.PL-ox*w.SW)%w.DW != 0 {
						continue
					}
					o := (oy*w.OW + ox) * c
					active.addScaled(d, g[o:o+c], w.divisor(oy, ox))
				}
			}
		}
	}
}
