package quant

import "math"

// Grid holds the grids of some channels, one entry per channel (or a period of
// repeated channels). The slices have the same length.
type Grid struct {
	Low, High []float32 // first and last point
	Scale     []float32 // grid points per unit
	Zero      []float32 // index of the point nearest to zero
}

// NewGrid cuts a buffer of at least 4·n floats into a grid of n entries.
func NewGrid(buf []float32, n int) Grid {
	return Grid{Low: buf[:n:n], High: buf[n : 2*n : 2*n], Scale: buf[2*n : 3*n : 3*n], Zero: buf[3*n : 4*n : 4*n]}
}

// Len returns the number of entries.
func (g Grid) Len() int { return len(g.Low) }

func (g Grid) check() {
	if n := len(g.Low); n == 0 || len(g.High) != n || len(g.Scale) != n || len(g.Zero) != n {
		panic("quant: grid slices are empty or of different lengths")
	}
}

// set makes entry i the grid of n+1 points over [low, low+width].
func (g Grid) set(i int, low, width float32, n int) {
	s := float32(n) / width
	g.Low[i], g.High[i] = low, low+width
	g.Scale[i], g.Zero[i] = s, rne32(-low*s)
}

// epsilon keeps a trained scale or range away from zero; the value is the
// reference's and disappears beside any ordinary float32.
const epsilon = 1e-16

// Symmetric fills g from trained scales, one grid entry per entry of scale:
// with S = |scale|+1e-16, Low = S·levelLow/levelHigh, High = S (up to rounding),
// levelHigh−levelLow+1 points.
func (g Grid) Symmetric(scale []float32, levelLow, levelHigh int) {
	g.check()
	ratio := float32(float64(levelLow) / float64(levelHigh))
	for i, v := range scale[:g.Len()] {
		s := abs32(v) + epsilon
		low := s * ratio
		g.set(i, low, s-low, levelHigh-levelLow)
	}
}

// Asymmetric fills g from ranges already tuned to contain zero: entry i has
// levels points over [low, low+width].
func (g Grid) Asymmetric(low, width []float32, levels int) {
	g.check()
	for i, v := range low[:g.Len()] {
		g.set(i, v, width[i], levels-1)
	}
}

// Tune returns the interval that quantizes [low, low+|width|] extended to
// contain zero, with zero on the grid of n+1 = levels points.
//
// The zero point is clamped to 1…n−1 when the interval crosses zero; if it does
// not, one end of the result is zero. With reference true the zero point is
// not clamped, as in the original implementation: then zero can be off the grid
// when it lies within half a step of an end.
func Tune(low, width float32, levels int, reference bool) (tunedLow, tunedWidth float32) {
	r := abs32(width) + epsilon
	n := float32(levels - 1)
	lo, hi := min(low, 0), max(low+r, 0)
	zp := rne32(-lo * n / (hi - lo))
	if !reference {
		switch {
		case lo == 0:
			return 0, hi
		case hi == 0:
			return lo, -lo
		}
		zp = min(max(zp, 1), n-1)
	}
	newLo, newHi := lo, hi
	if zp < n {
		newLo = zp / (zp - n) * hi
	}
	if zp > 0 {
		newHi = (zp - n) / zp * lo
	}
	if hi-newLo > newHi-lo {
		return newLo, hi - newLo
	}
	return lo, newHi - lo
}

// Sums are the three sums parameter gradients are made of, for one channel.
type Sums struct {
	Inside float64 // Σ g·(y−x) over Low ≤ x ≤ High
	Above  float64 // Σ g over x > High
	Below  float64 // Σ g over x < Low
}

// Add adds t to s.
func (s *Sums) Add(t Sums) {
	s.Inside += t.Inside
	s.Above += t.Above
	s.Below += t.Below
}

// ScaleGrad returns the gradient of a symmetric scale. By default the inside
// term is divided by the width of the grid, as the reference does; exact divides
// by the scale, which is the true straight-through gradient.
func (s Sums) ScaleGrad(scale float32, levelLow, levelHigh int, exact bool) float32 {
	alpha := float64(levelLow) / float64(levelHigh)
	width := float64(abs32(scale) + epsilon)
	if !exact {
		width *= 1 - alpha
	}
	return sign(scale) * float32(s.Inside/width+s.Above+alpha*s.Below)
}

// RangeGrad returns the gradients of an asymmetric grid's low end and of the
// raw trained width (whose absolute value is the width before tuning); tuned is
// the width the grid was made with.
func (s Sums) RangeGrad(width, tuned float32) (low, raw float32) {
	return float32(s.Above + s.Below), sign(width) * float32(s.Inside/float64(tuned)+s.Above)
}

// sign is that of the derivative of |x|: 0 at 0.
func sign(x float32) float32 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

func abs32(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

func rne32(x float32) float32 { return float32(math.RoundToEven(float64(x))) }
