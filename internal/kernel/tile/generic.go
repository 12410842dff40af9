package tile

import "unsafe"

// The generic set works on tiles of at most genericMR rows of genericLanes floats.
const (
	genericMR    = 4
	genericLanes = 8
)

func at(p unsafe.Pointer, bytes int) *float32 { return (*float32)(unsafe.Add(p, bytes)) }

func floats(p unsafe.Pointer, bytes, n int) []float32 {
	return unsafe.Slice((*float32)(unsafe.Add(p, bytes)), n)
}

// row returns the address of row m of a view given by its two base pointers.
func row(p0, p1 unsafe.Pointer, stride, m, mr int) unsafe.Pointer {
	if half := (mr + 1) / 2; m >= half {
		return unsafe.Add(p1, (m-half)*stride)
	}
	return unsafe.Add(p0, m*stride)
}

// dotGeneric defines the dot kernels, for any tile.
func dotGeneric(a *DotArgs, mr, nv, lanes int) {
	nr := nv * lanes
	width := nr - lanes + a.Tail
	seg := unsafe.Slice((*int)(a.Seg), a.NSeg)
	var buf [64]float32 // 4 vectors of 16 lanes
	acc := buf[:nr]
	for m := range mr {
		x := row(a.X0, a.X1, a.XS, m, mr)
		clear(acc)
		if a.C0 != nil {
			copy(acc, floats(row(a.C0, a.C1, a.CS, m, mr), 0, width))
		}
		w := floats(a.W, 0, a.NSeg*a.Run*nr)
		for _, s := range seg {
			for _, xv := range floats(x, s, a.Run) {
				for v, wv := range w[:nr] {
					acc[v] += xv * wv
				}
				w = w[nr:]
			}
		}
		if a.Clip != 0 {
			clip(acc, a.Lo, a.Hi)
		}
		copy(floats(row(a.Y0, a.Y1, a.YS, m, mr), 0, width), acc)
	}
}

// reuseGeneric defines the reuse kernels, for any tile.
func reuseGeneric(a *DotArgs, mr, nv, lanes int) {
	nr := nv * lanes
	width := nr - lanes + a.Tail
	seg := unsafe.Slice((*int)(a.Seg), a.NSeg)
	var buf [64]float32
	acc := buf[:nr]
	for m := range mr {
		clear(acc)
		if a.C0 != nil {
			copy(acc, floats(row(a.C0, a.C1, a.CS, m, mr), 0, width))
		}
		w := floats(a.W, 0, a.NSeg*a.Run*3*nr)
		for _, s := range seg {
			for k := range a.Run {
				for j := range 3 {
					xv := *at(a.X0, (m+j)*a.XS+s+4*k)
					for v, wv := range w[:nr] {
						acc[v] += xv * wv
					}
					w = w[nr:]
				}
			}
		}
		if a.Clip != 0 {
			clip(acc, a.Lo, a.Hi)
		}
		copy(floats(row(a.Y0, a.Y1, a.YS, m, mr), 0, width), acc)
	}
}

// clip bounds y in place. Comparisons are written so that NaN passes, as in
// the assembly.
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

// outerGeneric defines the outer kernels, for any tile.
func outerGeneric(a *OuterArgs, mr, nv, lanes int) {
	nr := nv * lanes
	width := nr - lanes + a.Tail
	var buf [28 * 64]float32
	acc := buf[:mr*width]
	if a.Zero == 0 {
		for m := range mr {
			copy(acc[m*width:], floats(a.D, m*a.DS, width))
		}
	}
	xo, yo := 0, 0
	for range a.B {
		for range a.R {
			for range a.P {
				y := floats(a.Y, yo, width)
				for m, xv := range floats(a.X, xo, mr) {
					d := acc[m*width:][:len(y)]
					for v, yv := range y {
						d[v] += xv * yv
					}
				}
				xo += a.XS
				yo += a.YS
			}
			xo += a.XRow
			yo += a.YRow
		}
		xo += a.XImg
		yo += a.YImg
	}
	for m := range mr {
		copy(floats(a.D, m*a.DS, width), acc[m*width:])
	}
}

// transposeGeneric defines the transpose kernel.
func transposeGeneric(a *TransposeArgs) {
	for r := range 8 {
		for k, v := range floats(a.Src, r*a.SS, a.N) {
			*at(a.Dst, k*a.DS+4*r) = v
		}
	}
}

// copyGeneric defines the copy kernel.
func copyGeneric(a *CopyArgs, lanes int) {
	for r := range a.N {
		copy(floats(a.Dst, r*a.DS, a.Vecs*lanes), floats(a.Src, r*a.SS, a.Vecs*lanes))
	}
}

// peakGeneric runs n times 8 independent multiply-adds.
func peakGeneric(n int) {
	var a, b, c, d, e, f, g, h float32
	x := float32(n)
	for range n {
		a += x * x
		b += x * x
		c += x * x
		d += x * x
		e += x * x
		f += x * x
		g += x * x
		h += x * x
	}
	peakSink(a + b + c + d + e + f + g + h)
}

//go:noinline
func peakSink(float32) {}
