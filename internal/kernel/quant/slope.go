package quant

// Slope is the derivative of a quantizer with one grid by the size of the grid.
type Slope struct {
	Above, Below float32 // beyond the ends of the grid
	Flat         bool    // 0 inside
	Exact        bool    // inside, the error is divided by High rather than by the width of the grid
}

// Run sets dst to the slope at x: (y−x)/width inside, 0 at NaN.
func (s Slope) Run(dst, x []float32, g Grid) {
	Forward(dst, x, g)
	low, high := g.Low[0], g.High[0]
	inverse := 1 / (high - low)
	if s.Exact {
		inverse = 1 / high
	}
	if s.Flat {
		inverse = 0
	}
	for i, v := range x[:len(dst)] {
		d := float32(dst[i]-v) * inverse
		d = sel(v > high, s.Above, d)
		d = sel(v < low, s.Below, d)
		dst[i] = sel(v == v, d, 0)
	}
}
