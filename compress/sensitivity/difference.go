package sensitivity

import (
	"encoding/json"
	"math"
	"strconv"
)

// Difference is how far values y are from reference values x, over everything
// that was added.
type Difference struct {
	Elements  int64
	signal    float64 // Σ x²
	noise     float64 // Σ (y-x)²
	absolute  float64 // Σ |y-x|
	Largest   float64 // of |y-x|
	Peak      float64 // the largest |x|
	NotFinite int64   // elements of y that are NaN or infinite where x is not
}

// Add takes elements at the same places of both.
func (d *Difference) Add(x, y []float32) {
	for i, v := range x {
		a, b := float64(v), float64(y[i])
		e := math.Abs(b - a)
		if math.IsNaN(e) || math.IsInf(e, 0) {
			if a == b || a != a && b != b {
				continue
			}
			d.NotFinite++
			continue
		}
		d.signal += a * a
		d.noise += e * e
		d.absolute += e
		d.Largest = max(d.Largest, e)
		d.Peak = max(d.Peak, math.Abs(a))
	}
	d.Elements += int64(len(x))
}

// join adds what e has seen.
func (d *Difference) join(e Difference) {
	d.Elements += e.Elements
	d.signal += e.signal
	d.noise += e.noise
	d.absolute += e.absolute
	d.Largest = max(d.Largest, e.Largest)
	d.Peak = max(d.Peak, e.Peak)
	d.NotFinite += e.NotFinite
}

// SQNR is the ratio of signal to quantization noise in decibels,
// 10·log10(Σx²/Σ(y-x)²); +Inf if there is no noise.
func (d *Difference) SQNR() float64 {
	if d.NotFinite > 0 {
		return math.Inf(-1)
	}
	if d.noise == 0 {
		return math.Inf(1)
	}
	return 10 * math.Log10(d.signal/d.noise)
}

// RelativeError is √(Σ(y-x)²/Σx²).
func (d *Difference) RelativeError() float64 {
	switch {
	case d.NotFinite > 0:
		return math.Inf(1)
	case d.noise == 0:
		return 0
	}
	return math.Sqrt(d.noise / d.signal)
}

// Mean is the mean of |y-x|.
func (d *Difference) Mean() float64 { return d.absolute / float64(max(1, d.Elements)) }

// Decibels is a number that JSON may not have: infinities are null.
type Decibels float64

// Text is the number as reports print it.
func (v Decibels) Text() string {
	switch f := float64(v); {
	case math.IsInf(f, 1):
		return "equal"
	case math.IsInf(f, -1):
		return "not finite"
	default:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
}

// MarshalJSON implements json.Marshaler.
func (v Decibels) MarshalJSON() ([]byte, error) {
	f := float64(v)
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return []byte("null"), nil
	}
	return json.Marshal(f)
}
