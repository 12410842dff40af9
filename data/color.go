package data

import (
	"errors"
	"fmt"
	"math"
)

// ColorJitter changes brightness, contrast, saturation and hue by random
// amounts, in random order. The first three multiply by a factor uniform in
// max(0, 1−x)…1+x; hue turns the colour circle by a share uniform in −Hue…Hue.
// Zero fields change nothing. Images have one channel (on which saturation and
// hue do nothing) or three, red first; real values are in 0..1.
//
// Distributions are those of torchvision's ColorJitter, byte arithmetic that of
// PIL's ImageEnhance and HSV conversion.
type ColorJitter struct {
	Brightness float64 `json:"brightness,omitempty"`
	Contrast   float64 `json:"contrast,omitempty"`
	Saturation float64 `json:"saturation,omitempty"`
	Hue        float64 `json:"hue,omitempty"` // at most 0.5
}

// Validate reports all invalid fields.
func (t ColorJitter) Validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		v, at float64
	}{
		{"brightness", t.Brightness, math.MaxFloat32}, {"contrast", t.Contrast, math.MaxFloat32},
		{"saturation", t.Saturation, math.MaxFloat32}, {"hue", t.Hue, 0.5},
	} {
		if !(f.v >= 0 && f.v <= f.at) {
			errs = append(errs, fmt.Errorf("%s: got %v, want 0 to %g", f.name, f.v, f.at))
		}
	}
	return errors.Join(errs...)
}

// Apply changes the colours of m.
func (t ColorJitter) Apply(m *Image, s *Scratch) error {
	if m.C != 1 && m.C != 3 {
		return fmt.Errorf("got %d channels, want 1 or 3", m.C)
	}
	s.order = [...]int{0, 1, 2, 3}
	s.Rand.Shuffle(len(s.order), func(i, j int) { s.order[i], s.order[j] = s.order[j], s.order[i] })
	factor := func(x float64) float64 { return uniform(s, max(0, 1-x), 1+x) }
	brightness, contrast, saturation := factor(t.Brightness), factor(t.Contrast), factor(t.Saturation)
	hue := uniform(s, -t.Hue, t.Hue)
	for _, o := range s.order {
		switch {
		case o == 0 && t.Brightness > 0:
			adjustBrightness(m, brightness)
		case o == 1 && t.Contrast > 0:
			adjustContrast(m, contrast)
		case o == 2 && t.Saturation > 0:
			adjustSaturation(m, saturation)
		case o == 3 && t.Hue > 0:
			adjustHue(m, hue)
		}
	}
	return nil
}

// luma is the gray value of a colour by ITU-R BT.601, in 16-bit fixed point.
func luma(r, g, b uint8) uint8 {
	return uint8((uint32(r)*19595 + uint32(g)*38470 + uint32(b)*7471 + 1<<15) >> 16)
}

func lumaFloat(r, g, b float32) float32 {
	return float32(0.299*r) + float32(0.587*g) + float32(0.114*b)
}

// blend goes from a towards b by f, and beyond it for f > 1.
func blend(a, b uint8, f float32) uint8 {
	v := float32(a) + float32(f*(float32(b)-float32(a)))
	return uint8(max(0, min(255, v)))
}

func blendFloat(a, b, f float32) float32 { return max(0, min(1, a+float32(f*(b-a)))) }

func adjustBrightness(m *Image, f float64) {
	for i, v := range m.Pix {
		m.Pix[i] = blend(0, v, float32(f))
	}
	for i, v := range m.Values {
		m.Values[i] = blendFloat(0, v, float32(f))
	}
}

func adjustContrast(m *Image, f float64) {
	if m.IsFloat() {
		sum := 0.0
		for i := 0; i < len(m.Values); i += m.C {
			if p := m.Values[i:]; m.C == 3 {
				sum += float64(lumaFloat(p[0], p[1], p[2]))
			} else {
				sum += float64(p[0])
			}
		}
		mean := float32(sum / float64(m.H*m.W))
		for i, v := range m.Values {
			m.Values[i] = blendFloat(mean, v, float32(f))
		}
		return
	}
	sum := 0
	for i := 0; i < len(m.Pix); i += m.C {
		if p := m.Pix[i:]; m.C == 3 {
			sum += int(luma(p[0], p[1], p[2]))
		} else {
			sum += int(p[0])
		}
	}
	mean := uint8(float64(sum)/float64(m.H*m.W) + 0.5)
	for i, v := range m.Pix {
		m.Pix[i] = blend(mean, v, float32(f))
	}
}

func adjustSaturation(m *Image, f float64) {
	if m.C != 3 {
		return
	}
	for i := 0; i < len(m.Pix); i += 3 {
		p := m.Pix[i:][:3]
		gray := luma(p[0], p[1], p[2])
		for c, v := range p {
			p[c] = blend(gray, v, float32(f))
		}
	}
	for i := 0; i < len(m.Values); i += 3 {
		p := m.Values[i:][:3]
		gray := lumaFloat(p[0], p[1], p[2])
		for c, v := range p {
			p[c] = blendFloat(gray, v, float32(f))
		}
	}
}

// adjustHue turns the hue by f of the circle. Bytes have 256 hues, so f is
// rounded to a 255th towards zero, as torchvision does.
func adjustHue(m *Image, f float64) {
	if m.C != 3 {
		return
	}
	turn := uint8(int(f * 255))
	for i := 0; i < len(m.Pix); i += 3 {
		p := m.Pix[i:][:3]
		h, s, v := toHSV(p[0], p[1], p[2])
		p[0], p[1], p[2] = fromHSV(h+turn, s, v)
	}
	for i := 0; i < len(m.Values); i += 3 {
		p := m.Values[i:][:3]
		h, s, v := hsv(p[0], p[1], p[2])
		h += float32(f)
		p[0], p[1], p[2] = rgb(h-float32(math.Floor(float64(h))), s, v)
	}
}

// toHSV converts to hue, saturation and value in 0..255; hue 0 is red, and
// fractions are cut off.
func toHSV(r, g, b uint8) (h, s, v uint8) {
	high, low := max(r, g, b), min(r, g, b)
	if high == low {
		return 0, 0, high
	}
	fh, fs, _ := hsv(float32(r), float32(g), float32(b))
	return uint8(float64(fh) * 255), uint8(float64(fs) * 255), high
}

// fromHSV is the inverse of toHSV, rounding half away from zero.
func fromHSV(h, s, v uint8) (r, g, b uint8) {
	fr, fg, fb := rgb(float32(float64(h)/255), float32(float64(s)/255), float32(v))
	round := func(x float32) uint8 { return uint8(max(0, min(255, math.Round(float64(x))))) }
	return round(fr), round(fg), round(fb)
}

// hsv gives hue and saturation in 0..1 and the value in the unit of r, g, b.
// Smith 1978, Color gamut transform pairs.
func hsv(r, g, b float32) (h, s, v float32) {
	high, low := max(r, g, b), min(r, g, b)
	if high == low {
		return 0, 0, high
	}
	d := high - low
	rc, gc, bc := (high-r)/d, (high-g)/d, (high-b)/d
	switch high {
	case r:
		h = bc - gc
	case g:
		h = 2 + rc - bc
	default:
		h = 4 + gc - rc
	}
	return float32(math.Mod(float64(h)/6+1, 1)), d / high, high
}

// rgb is the inverse of hsv, for h in 0..1.
func rgb(h, s, v float32) (r, g, b float32) {
	if s == 0 {
		return v, v, v
	}
	sector := math.Floor(float64(h) * 6)
	f := float32(float64(h)*6 - sector)
	p, q, t := v*(1-s), v*(1-float32(s*f)), v*(1-float32(s*(1-f)))
	switch int(sector) % 6 {
	case 0:
		return v, t, p
	case 1:
		return q, v, p
	case 2:
		return p, v, t
	case 3:
		return p, q, v
	case 4:
		return t, p, v
	}
	return v, p, q
}

// Channels makes an image have Count channels: one is repeated, three become
// one by 0.299 R + 0.587 G + 0.114 B, a fourth (transparency) is dropped.
type Channels struct {
	Count int `json:"count"`
}

// Validate reports a number of channels that is not 1 or 3.
func (t Channels) Validate() error {
	if t.Count != 1 && t.Count != 3 {
		return fmt.Errorf("count: got %d, want 1 or 3", t.Count)
	}
	return nil
}

// Apply converts m.
func (t Channels) Apply(m *Image, s *Scratch) error {
	if m.C == t.Count {
		return nil
	}
	if m.C != 1 && m.C != 3 && m.C != 4 {
		return fmt.Errorf("got %d channels, want 1, 3 or 4", m.C)
	}
	d := s.next(m, m.H, m.W, t.Count)
	if m.IsFloat() {
		convertChannels(d.Values, m.Values, t.Count, m.C, lumaFloat)
	} else {
		convertChannels(d.Pix, m.Pix, t.Count, m.C, luma)
	}
	s.swap(m)
	return nil
}

func convertChannels[T any](dst, src []T, to, from int, gray func(r, g, b T) T) {
	for i, j := 0, 0; i < len(dst); i, j = i+to, j+from {
		switch {
		case from == 1:
			fillAll(dst[i:i+to], src[j])
		case to == 1:
			dst[i] = gray(src[j], src[j+1], src[j+2])
		default:
			copy(dst[i:i+to], src[j:])
		}
	}
}
