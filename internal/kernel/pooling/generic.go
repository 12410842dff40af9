package pooling

// The plain Go variant: the definition of the kernels.

func maxGeneric(y, x []float32, rows, cols, rowStep, colStep int) {
	copy(y, x)
	for row := range rows {
		for col := range cols {
			for c, v := range x[row*rowStep+col*colStep:][:len(y)] {
				if v > y[c] || v != v {
					y[c] = v
				}
			}
		}
	}
}

func maxIndexGeneric(y []float32, idx []uint8, x []float32, rows, cols, rowStep, colStep, tap, tapRow int) {
	copy(y, x)
	idx = idx[:len(y)]
	for c := range idx {
		idx[c] = uint8(tap)
	}
	for row := range rows {
		for col := range cols {
			t := uint8(tap + row*tapRow + col)
			for c, v := range x[row*rowStep+col*colStep:][:len(y)] {
				if v > y[c] || v != v && y[c] == y[c] {
					y[c], idx[c] = v, t
				}
			}
		}
	}
}

func maxScatterGeneric(dx, g, x []float32, rows, cols, rowStep, colStep int) {
	for c, u := range g {
		best, at := x[c], c
		for row := range rows {
			i := row*rowStep + c
			for range cols {
				if v := x[i]; v > best || v != v && best == best {
					best, at = v, i
				}
				i += colStep
			}
		}
		dx[at] += u
	}
}

func averageGeneric(y, x []float32, rows, cols, rowStep, colStep int, scale float32) {
	for c := range y {
		var total float32
		for row := range rows {
			var sum float32
			at := row*rowStep + c
			for range cols {
				sum += x[at]
				at += colStep
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
	name:       "generic",
	max:        maxGeneric,
	maxIndex:   maxIndexGeneric,
	maxScatter: maxScatterGeneric,
	average:    averageGeneric,
	addWhere:   addWhereGeneric,
	addScaled:  addScaledGeneric,
}
