package depthwise

import "unsafe"

const genericLanes = 8

func floats(p unsafe.Pointer, bytes, n int) []float32 {
	return unsafe.Slice((*float32)(unsafe.Add(p, bytes)), n)
}

// rowGeneric defines the row kernels for kw taps at distance 1, pixels at
// distance step, and tw outputs.
func rowGeneric(a *RowArgs, kw, step, tw, lanes int) {
	var buf [16]float32
	for v := 0; v*lanes < a.Vecs*lanes+a.Tail; v++ {
		n, off := lanes, 4*v*lanes
		if v == a.Vecs {
			n = a.Tail
		}
		acc := buf[:n]
		for t := range tw {
			clear(acc)
			if a.C != nil {
				copy(acc, floats(a.C, t*a.CS+off, n))
			}
			for r := range a.Rows {
				for k := range kw {
					x := floats(a.X, r*a.XRow+(t*step+k)*a.XS+off, n)
					w := floats(a.W, v*a.WVec+(r*kw+k)*lanes*4, n)
					for i := range acc {
						acc[i] += x[i] * w[i]
					}
				}
			}
			if a.Clip != 0 {
				clip(acc, a.Lo, a.Hi)
			}
			copy(floats(a.Y, t*a.YS+off, n), acc)
		}
	}
}

// pixelGeneric defines the pixel kernel.
func pixelGeneric(a *PixelArgs, lanes int) {
	var buf [16]float32
	for v := 0; v*lanes < a.Vecs*lanes+a.Tail; v++ {
		n, off := lanes, 4*v*lanes
		if v == a.Vecs {
			n = a.Tail
		}
		acc := buf[:n]
		clear(acc)
		if a.C != nil {
			copy(acc, floats(a.C, off, n))
		}
		for r := range a.Rows {
			for k := range a.Cols {
				x := floats(a.X, r*a.XRow+k*a.XCol+off, n)
				w := floats(a.W, v*a.WVec+r*a.WRow+k*lanes*4, n)
				for i := range acc {
					acc[i] += x[i] * w[i]
				}
			}
		}
		if a.Clip != 0 {
			clip(acc, a.Lo, a.Hi)
		}
		copy(floats(a.Y, off, n), acc)
	}
}

// gradGeneric defines the grad kernels for kh × kw taps and nv vectors.
func gradGeneric(a *GradArgs, kh, kw, nv, lanes int) {
	for v := range nv {
		n := lanes
		if v == nv-1 {
			n = a.Tail
		}
		for r := range kh {
			for k := range kw {
				d := floats(a.D, v*a.DVec+(r*kw+k)*lanes*4, n)
				xo, yo := v*lanes*4+r*a.TapRow+k*a.TapX, v*lanes*4
				for range a.R {
					for range a.P {
						x, y := floats(a.X, xo, n), floats(a.Y, yo, n)
						for i := range d {
							d[i] += x[i] * y[i]
						}
						xo += a.XS
						yo += a.YS
					}
					xo += a.XRow
					yo += a.YRow
				}
			}
		}
	}
}

// clip bounds y in place; NaN passes.
func clip(y []float32, lo, hi float32) {
	for i, v := range y {
		if v < lo {
			v = lo
		}
		if v > hi {
			v = hi
		}
		y[i] = v
	}
}
