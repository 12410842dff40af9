package data

import (
	"errors"
	"fmt"
	"math"
)

// Normalize turns elements into what the network gets: (x − Mean)/Std per
// channel in float32, where x is a byte divided by 255, or a real value as it
// is. The zero value only divides bytes by 255.
type Normalize struct {
	// Mean and Std have one entry for all channels or one for each, in the
	// order in which the network gets them; nil is 0 and 1.
	Mean []float64 `json:"mean,omitempty"`
	Std  []float64 `json:"std,omitempty"`
	// Raw takes bytes as 0..255, without the division.
	Raw bool `json:"raw,omitempty"`
	// BGR reverses the channels first.
	BGR bool `json:"bgr,omitempty"`
}

// Validate reports all invalid fields.
func (n Normalize) Validate() error {
	var errs []error
	for c, v := range n.Mean {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			errs = append(errs, fmt.Errorf("mean of channel %d: got %v, want a number", c, v))
		}
	}
	for c, v := range n.Std {
		if !(v > 0) || math.IsInf(v, 0) {
			errs = append(errs, fmt.Errorf("std of channel %d: got %v, want a number above 0", c, v))
		}
	}
	return errors.Join(errs...)
}

// channels reports lists that do not fit an image of c channels.
func (n Normalize) channels(c int) error {
	var errs []error
	for _, l := range []struct {
		name string
		v    []float64
	}{{"mean", n.Mean}, {"std", n.Std}} {
		if len(l.v) > 1 && len(l.v) != c {
			errs = append(errs, fmt.Errorf("%s: got %d entries for images of %d channels, want 1 or %d", l.name, len(l.v), c, c))
		}
	}
	return errors.Join(errs...)
}

// normalizer is a Normalize made ready for images of c channels.
type normalizer struct {
	bgr       bool
	mean, std []float32
	bytes     [][256]float32 // per output channel
}

func (n Normalize) prepare(c int) normalizer {
	p := normalizer{bgr: n.BGR, mean: make([]float32, c), std: make([]float32, c), bytes: make([][256]float32, c)}
	at := func(v []float64, c int, none float32) float32 {
		switch len(v) {
		case 0:
			return none
		case 1:
			return float32(v[0])
		}
		return float32(v[c])
	}
	for i := range c {
		p.mean[i], p.std[i] = at(n.Mean, i, 0), at(n.Std, i, 1)
		for b := range 256 {
			x := float32(b)
			if !n.Raw {
				x /= 255
			}
			p.bytes[i][b] = (x - p.mean[i]) / p.std[i]
		}
	}
	return p
}

// write puts m into dst, planar or with the channels last.
func (p *normalizer) write(dst []float32, m *Image, channelsLast bool) {
	step, plane := 1, m.H*m.W
	if channelsLast {
		step, plane = m.C, 1
	}
	for c := range m.C {
		from := c
		if p.bgr {
			from = m.C - 1 - c
		}
		o := c * plane
		if m.IsFloat() {
			mean, std := p.mean[c], p.std[c]
			for i := from; i < len(m.Values); i += m.C {
				dst[o] = (m.Values[i] - mean) / std
				o += step
			}
			continue
		}
		table := &p.bytes[c]
		for i := from; i < len(m.Pix); i += m.C {
			dst[o] = table[m.Pix[i]]
			o += step
		}
	}
}
