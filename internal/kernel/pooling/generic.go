package pooling

// The plain Go variant: the definition of the kernels.

func maxGeneric(y, x []float32, r *rect) {
	copy(y, x)
	for row := range r.rows {
		for col := range r.cols {
			for c, v := range x[row*r.rowStep+col*r.colStep:][:len(y)] {
				if v > y[c] || v != v {
					y[c] = v
				}
			}
		}
	}
}

func maxIndexGeneric(y []float32, idx []uint8, x []float32, r *rect) {
	copy(y, x)
	idx = idx[:len(y)]
	for c := range idx {
		idx[c] = uint8(r.tap)
	}
	for row := range r.rows {
		for col := range r.cols {
			tap := uint8(r.tap + row*r.tapRow + col)
			for c, v := range x[row*r.rowStep+col*r.colStep:][:len(y)] {
				if v > y[c] || v != v && y[c] == y[c] {
					y[c], idx[c] = v, tap
				}
			}
		}
	}
}

func averageGeneric(y, x []float32, r *rect, scale float32) {
	for c := range y {
		var total float32
		for row := range r.rows {
			var sum float32
			at := row*r.rowStep + c
			for range r.cols {
				sum += x[at]
				at += r.colStep
			}
			total += sum
		}
		y[c] = total * scale
	}
}

func addWhereGeneric(dx, g []float32, idx []uint8, tap uint8) {
	g, idx = g[:len(dx)], idx[:len(dx)]
	for c, t := range idx {
		if t == tap {
			dx[c] += g[c]
		}
	}
}

func addScaledGeneric(dx, g []float32, scale float32) {
	g = g[:len(dx)]
	for c, v := range g {
		dx[c] += float32(v * scale)
	}
}

var generic = variant{
	name:      "generic",
	max:       maxGeneric,
	maxIndex:  maxIndexGeneric,
	average:   averageGeneric,
	addWhere:  addWhereGeneric,
	addScaled: addScaledGeneric,
}
