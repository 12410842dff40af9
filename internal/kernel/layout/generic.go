package layout

// The plain Go variant: the definition of the kernels.

// transposeGeneric walks blocks so that both sides stay in the first-level cache.
func transposeGeneric(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	switch { // long, thin matrices: keep the long loop innermost
	case cols < 8:
		for c := range cols {
			d, at := dst[c*dstStride:][:rows], c
			for r := range d {
				d[r] = src[at]
				at += srcStride
			}
		}
		return
	case rows < 8:
		for r := range rows {
			at := r
			for _, v := range src[r*srcStride:][:cols] {
				dst[at] = v
				at += dstStride
			}
		}
		return
	}
	const b = 32
	for r0 := 0; r0 < rows; r0 += b {
		r1 := min(r0+b, rows)
		for c0 := 0; c0 < cols; c0 += b {
			c1 := min(c0+b, cols)
			for c := c0; c < c1; c++ {
				d := dst[c*dstStride+r0 : c*dstStride+r1]
				s := src[r0*srcStride+c:]
				for i := range d {
					d[i] = s[i*srcStride]
				}
			}
		}
	}
}

func addGeneric(dst, src []float32) {
	src = src[:len(dst)]
	for i, v := range src {
		dst[i] += v
	}
}

var generic = variant{
	name:      "generic",
	transpose: transposeGeneric,
	add:       addGeneric,
	stream:    func(dst, src []float32) { copy(dst, src) },
}
