package data

import (
	"errors"
	"fmt"
	"math"
)

// CentreCrop keeps the middle Height×Width pixels; Width 0 means Height. A
// smaller image is surrounded with zeros. Offsets round half to even, as
// torchvision's do.
type CentreCrop struct {
	Height int `json:"height"`
	Width  int `json:"width,omitempty"`
}

// Validate reports a size that is not positive.
func (t CentreCrop) Validate() error { return validSize(t.Height, t.Width) }

// Apply crops m.
func (t CentreCrop) Apply(m *Image, s *Scratch) error {
	h, w := size(t.Height, t.Width)
	crop(m, s, middle(m.H, h), middle(m.W, w), h, w, 0)
	return nil
}

func middle(have, want int) int {
	if want > have {
		return -((want - have) / 2)
	}
	return int(math.RoundToEven(float64(have-want) / 2))
}

// RandomCrop surrounds the image with Padding pixels of the value Fill on each
// side and keeps Height×Width pixels (Width 0 means Height) at a position
// where all are equally likely. Fill is in the units of the image: 0..255 for
// bytes.
type RandomCrop struct {
	Height  int     `json:"height"`
	Width   int     `json:"width,omitempty"`
	Padding int     `json:"padding,omitempty"`
	Fill    float64 `json:"fill,omitempty"`
}

// Validate reports all invalid fields.
func (t RandomCrop) Validate() error {
	err := validSize(t.Height, t.Width)
	if t.Padding < 0 {
		err = errors.Join(err, fmt.Errorf("padding: got %d, want 0 or more", t.Padding))
	}
	return err
}

// Apply crops m; an image smaller than the crop is an error.
func (t RandomCrop) Apply(m *Image, s *Scratch) error {
	h, w := size(t.Height, t.Width)
	dy, dx := m.H+2*t.Padding-h, m.W+2*t.Padding-w
	if dy < 0 || dx < 0 {
		return fmt.Errorf("got an image of %d×%d pixels with padding %d, want at least %d×%d: resize before", m.H, m.W, t.Padding, h, w)
	}
	y, x := s.Rand.IntN(dy+1), s.Rand.IntN(dx+1)
	crop(m, s, y-t.Padding, x-t.Padding, h, w, t.Fill)
	return nil
}

// RandomResizedCrop cuts out a rectangle whose area is a share between
// Scale[0] and Scale[1] (default 0.08 and 1) of the image and whose ratio of
// width to height is between Ratio[0] and Ratio[1] (default 3/4 and 4/3,
// uniform in the logarithm), and resizes it to Height×Width. If ten tries do
// not fit, it takes the largest middle rectangle with an allowed ratio. These
// are torchvision's rules; Szegedy et al. 2015, arXiv:1409.4842 §6.
type RandomResizedCrop struct {
	Height int        `json:"height"`
	Width  int        `json:"width,omitempty"`
	Scale  [2]float64 `json:"scale,omitzero"`
	Ratio  [2]float64 `json:"ratio,omitzero"`
	Filter Filter     `json:"filter,omitempty"`
}

// Validate reports all invalid fields.
func (t RandomResizedCrop) Validate() error {
	err := errors.Join(validSize(t.Height, t.Width), t.Filter.Validate())
	scale, ratio := t.ranges()
	if !(scale[0] > 0 && scale[0] <= scale[1] && scale[1] <= 1) {
		err = errors.Join(err, fmt.Errorf("scale: got %v, want 0 < lower ≤ upper ≤ 1", t.Scale))
	}
	if !(ratio[0] > 0 && ratio[0] <= ratio[1] && !math.IsInf(ratio[1], 0)) {
		err = errors.Join(err, fmt.Errorf("ratio: got %v, want 0 < lower ≤ upper", t.Ratio))
	}
	return err
}

func (t RandomResizedCrop) ranges() (scale, ratio [2]float64) {
	scale, ratio = t.Scale, t.Ratio
	if scale == [2]float64{} {
		scale = [2]float64{0.08, 1}
	}
	if ratio == [2]float64{} {
		ratio = [2]float64{3. / 4, 4. / 3}
	}
	return scale, ratio
}

// Apply crops and resizes m.
func (t RandomResizedCrop) Apply(m *Image, s *Scratch) error {
	y, x, h, w := t.rectangle(m, s)
	crop(m, s, y, x, h, w, 0)
	outH, outW := size(t.Height, t.Width)
	resize(m, s, outH, outW, t.Filter)
	return nil
}

func (t RandomResizedCrop) rectangle(m *Image, s *Scratch) (y, x, h, w int) {
	scale, ratio := t.ranges()
	area := float64(m.H * m.W)
	low, high := math.Log(ratio[0]), math.Log(ratio[1])
	for range 10 {
		a := area * uniform(s, scale[0], scale[1])
		r := math.Exp(uniform(s, low, high))
		w, h = int(math.RoundToEven(math.Sqrt(a*r))), int(math.RoundToEven(math.Sqrt(a/r)))
		if 0 < w && w <= m.W && 0 < h && h <= m.H {
			return s.Rand.IntN(m.H - h + 1), s.Rand.IntN(m.W - w + 1), h, w
		}
	}
	h, w = m.H, m.W
	switch r := float64(w) / float64(h); {
	case r < ratio[0]:
		h = min(m.H, max(1, int(math.RoundToEven(float64(w)/ratio[0]))))
	case r > ratio[1]:
		w = min(m.W, max(1, int(math.RoundToEven(float64(h)*ratio[1]))))
	}
	return (m.H - h) / 2, (m.W - w) / 2, h, w
}

func uniform(s *Scratch, low, high float64) float64 {
	return low + float64((high-low)*s.Rand.Float64())
}

// HorizontalFlip mirrors the image left to right with probability P; 0 means
// one half.
type HorizontalFlip struct {
	P float64 `json:"p,omitempty"`
}

// Validate reports a probability outside 0..1.
func (t HorizontalFlip) Validate() error {
	if !(t.P >= 0 && t.P <= 1) {
		return fmt.Errorf("p: got %v, want 0 to 1", t.P)
	}
	return nil
}

// Apply mirrors m, or not.
func (t HorizontalFlip) Apply(m *Image, s *Scratch) error {
	p := t.P
	if p == 0 {
		p = 0.5
	}
	if s.Rand.Float64() >= p {
		return nil
	}
	if m.IsFloat() {
		flip(m.Values, m)
	} else {
		flip(m.Pix, m)
	}
	return nil
}

func flip[T any](pix []T, m *Image) {
	for y := range m.H {
		row := pix[y*m.W*m.C:][:m.W*m.C]
		for i, j := 0, len(row)-m.C; i < j; i, j = i+m.C, j-m.C {
			for c := range m.C {
				row[i+c], row[j+c] = row[j+c], row[i+c]
			}
		}
	}
}

// crop makes m the h×w pixels from row y and column x on; what lies outside
// is fill.
func crop(m *Image, s *Scratch, y, x, h, w int, fill float64) {
	if y == 0 && x == 0 && h == m.H && w == m.W {
		return
	}
	d := s.next(m, h, w, m.C)
	if m.IsFloat() {
		cropTo(d.Values, m.Values, d, m, y, x, float32(fill))
	} else {
		cropTo(d.Pix, m.Pix, d, m, y, x, uint8(max(0, min(255, fill))))
	}
	s.swap(m)
}

func cropTo[T any](dst, src []T, d, m *Image, y, x int, fill T) {
	left := min(max(0, -x), d.W)        // columns of dst before the image
	right := max(left, min(d.W, m.W-x)) // first column of dst after it
	for row := range d.H {
		to := dst[row*d.W*d.C:][:d.W*d.C]
		from := y + row
		if from < 0 || from >= m.H {
			fillAll(to, fill)
			continue
		}
		fillAll(to[:left*d.C], fill)
		if right > left {
			copy(to[left*d.C:right*d.C], src[(from*m.W+x+left)*m.C:])
		}
		fillAll(to[right*d.C:], fill)
	}
}

func fillAll[T any](s []T, v T) {
	for i := range s {
		s[i] = v
	}
}

func size(h, w int) (int, int) {
	if w == 0 {
		w = h
	}
	return h, w
}

// maxSide bounds what a configuration may ask for.
const maxSide = 1 << 14

func validSize(h, w int) error {
	var errs []error
	if h <= 0 || h > maxSide {
		errs = append(errs, fmt.Errorf("height: got %d, want 1 to %d", h, maxSide))
	}
	if w < 0 || w > maxSide {
		errs = append(errs, fmt.Errorf("width: got %d, want 1 to %d, or 0 for the height", w, maxSide))
	}
	return errors.Join(errs...)
}
