package data

import (
	"errors"
	"fmt"
	"math"
)

// Filter is a resampling filter with the meaning that PIL gives it: when an
// image shrinks, the filter widens with the scale, so that nothing aliases.
// Images come out bit for bit as from Image.resize of Pillow 3.3 to 12; Pillow
// 13 turns the order of the two passes around where the height shrinks much
// more than the width, which moves some bytes by one.
type Filter string

// The filters; the empty Filter is Bilinear.
const (
	Nearest  Filter = "nearest"
	Box      Filter = "box"
	Bilinear Filter = "bilinear"
	Bicubic  Filter = "bicubic" // a = −1/2
	Lanczos  Filter = "lanczos" // three lobes
)

// Validate reports an unknown filter.
func (f Filter) Validate() error {
	switch f {
	case "", Nearest, Box, Bilinear, Bicubic, Lanczos:
		return nil
	}
	return fmt.Errorf("filter: got %q, want nearest, box, bilinear, bicubic or lanczos", string(f))
}

// kernel returns the filter function and its half width.
func (f Filter) kernel() (func(float64) float64, float64) {
	switch f {
	case Box:
		return boxKernel, 0.5
	case Bicubic:
		return bicubicKernel, 2
	case Lanczos:
		return lanczosKernel, 3
	}
	return bilinearKernel, 1
}

func boxKernel(x float64) float64 {
	if x > -0.5 && x <= 0.5 {
		return 1
	}
	return 0
}

func bilinearKernel(x float64) float64 { return max(0, 1-math.Abs(x)) }

// bicubicKernel is Keys 1981 with a = −1/2.
func bicubicKernel(x float64) float64 {
	const a = -0.5
	switch x = math.Abs(x); {
	case x < 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return (((x-5)*x+8)*x - 4) * a
	}
	return 0
}

func lanczosKernel(x float64) float64 {
	if x < -3 || x >= 3 {
		return 0
	}
	return sinc(x) * sinc(x/3)
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}

// Resize changes the size to Height×Width, or, with Short, so that the shorter
// side has Short pixels and the ratio stays (the longer is rounded down, as in
// torchvision).
type Resize struct {
	Short  int    `json:"short,omitempty"`
	Height int    `json:"height,omitempty"`
	Width  int    `json:"width,omitempty"` // 0: Height
	Filter Filter `json:"filter,omitempty"`
}

// Validate reports all invalid fields.
func (t Resize) Validate() error {
	if t.Short == 0 {
		return errors.Join(validSize(t.Height, t.Width), t.Filter.Validate())
	}
	var errs []error
	if t.Short < 0 || t.Short > maxSide {
		errs = append(errs, fmt.Errorf("short: got %d, want 1 to %d", t.Short, maxSide))
	}
	if t.Height != 0 || t.Width != 0 {
		errs = append(errs, errors.New("short: got height or width too, want one or the other"))
	}
	return errors.Join(append(errs, t.Filter.Validate())...)
}

// Apply resizes m.
func (t Resize) Apply(m *Image, s *Scratch) error {
	h, w := size(t.Height, t.Width)
	if t.Short > 0 {
		h, w = t.Short, t.Short
		if m.W < m.H {
			h = t.Short * m.H / m.W
		} else {
			w = t.Short * m.W / m.H
		}
		if max(h, w) > 16*maxSide {
			return fmt.Errorf("got an image of %d×%d pixels, which would become %d×%d", m.H, m.W, h, w)
		}
	}
	resize(m, s, h, w, t.Filter)
	return nil
}

// resize makes m h×w pixels: first along the rows, then along the columns.
func resize(m *Image, s *Scratch, h, w int, f Filter) {
	if f == Nearest {
		if h != m.H || w != m.W {
			nearest(m, s, h, w)
		}
		return
	}
	if w != m.W {
		s.x.build(m.W, w, f)
		d := s.next(m, m.H, w, m.C)
		if m.IsFloat() {
			resampleFloats(d.Values, m.Values, &s.x, m.H, m.C)
		} else {
			resampleBytes(d.Pix, m.Pix, &s.x, m.H, m.C)
		}
		s.swap(m)
	}
	if h != m.H {
		// Along columns a whole row takes the place of one pixel.
		s.y.build(m.H, h, f)
		d := s.next(m, h, m.W, m.C)
		if m.IsFloat() {
			resampleFloats(d.Values, m.Values, &s.y, 1, m.W*m.C)
		} else {
			resampleBytes(d.Pix, m.Pix, &s.y, 1, m.W*m.C)
		}
		s.swap(m)
	}
}

// precision is the number of fraction bits of PIL's weights for bytes.
const precision = 32 - 8 - 2

// filterTable holds the weights of one axis: output i is the sum of inputs
// first[i]+k times weights i·width+k, k < count[i].
type filterTable struct {
	in, out int
	filter  Filter
	width   int
	first   []int
	count   []int
	real    []float64
	fixed   []int32
	sums    []int32
}

func (t *filterTable) build(in, out int, f Filter) {
	if t.in == in && t.out == out && t.filter == f {
		return
	}
	kernel, support := f.kernel()
	scale := float64(in) / float64(out)
	stretch := max(1, scale)
	support *= stretch
	t.in, t.out, t.filter = in, out, f
	t.width = int(math.Ceil(support))*2 + 1
	t.first, t.count = sized(t.first, out), sized(t.count, out)
	t.real, t.fixed = sized(t.real, out*t.width), sized(t.fixed, out*t.width)
	for i := range out {
		centre := (float64(i) + 0.5) * scale
		first := max(0, int(centre-support+0.5))
		count := min(in, int(centre+support+0.5)) - first
		t.first[i], t.count[i] = first, count
		weights := t.real[i*t.width:][:count]
		sum := 0.0
		for k := range weights {
			weights[k] = kernel((float64(k+first) - centre + 0.5) * (1 / stretch))
			sum += weights[k]
		}
		for k := range weights {
			if sum != 0 {
				weights[k] /= sum
			}
			// Half away from zero.
			t.fixed[i*t.width+k] = int32(math.Copysign(0.5, weights[k]) + float64(weights[k]*(1<<precision)))
		}
	}
}

// resampleBytes filters the middle axis of src, outer × t.in × inner.
func resampleBytes(dst, src []uint8, t *filterTable, outer, inner int) {
	const half = 1 << (precision - 1)
	clip := func(sum int32) uint8 { return uint8(max(0, min(255, sum>>precision))) }
	t.sums = sized(t.sums, inner)
	for o := range outer {
		from, to := src[o*t.in*inner:][:t.in*inner], dst[o*t.out*inner:][:t.out*inner]
		for i := range t.out {
			weights := t.fixed[i*t.width:][:t.count[i]]
			window := from[t.first[i]*inner:][:len(weights)*inner]
			line := to[i*inner:][:inner]
			if inner == 3 { // along the rows of a colour image
				var r, g, b int32 = half, half, half
				for k, w := range weights {
					p := window[3*k:][:3]
					r += int32(p[0]) * w
					g += int32(p[1]) * w
					b += int32(p[2]) * w
				}
				line[0], line[1], line[2] = clip(r), clip(g), clip(b)
				continue
			}
			sums := t.sums[:len(line)]
			fillAll(sums, half)
			for k, w := range weights {
				for c, p := range window[k*inner:][:len(sums)] {
					sums[c] += int32(p) * w
				}
			}
			for c, sum := range sums {
				line[c] = clip(sum)
			}
		}
	}
}

func resampleFloats(dst, src []float32, t *filterTable, outer, inner int) {
	for o := range outer {
		from, to := src[o*t.in*inner:][:t.in*inner], dst[o*t.out*inner:][:t.out*inner]
		for i := range t.out {
			weights := t.real[i*t.width:][:t.count[i]]
			window := from[t.first[i]*inner:]
			line := to[i*inner:][:inner]
			for c := range line {
				sum := 0.0
				at := c
				for _, w := range weights {
					sum += float64(float64(window[at]) * w)
					at += inner
				}
				line[c] = float32(sum)
			}
		}
	}
}

// nearest takes the pixel under the centre of each output pixel. Positions are
// summed up, as PIL does, since that decides ties.
func nearest(m *Image, s *Scratch, h, w int) {
	d := s.next(m, h, w, m.C)
	sx, sy := float64(m.W)/float64(w), float64(m.H)/float64(h)
	y := sy * 0.5
	for row := range h {
		from := min(int(y), m.H-1)
		x := sx * 0.5
		for col := range w {
			src, dst := (from*m.W+min(int(x), m.W-1))*m.C, (row*w+col)*m.C
			if m.IsFloat() {
				copy(d.Values[dst:][:m.C], m.Values[src:])
			} else {
				copy(d.Pix[dst:][:m.C], m.Pix[src:])
			}
			x += sx
		}
		y += sy
	}
	s.swap(m)
}
