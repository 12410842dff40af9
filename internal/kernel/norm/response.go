package norm

import (
	"math"

	"github.com/go-nncf/nncf/internal/kernel/elementwise"
)

// Response is local response normalization across channels (Krizhevsky et al.,
// ImageNet Classification with Deep Convolutional Neural Networks, 2012, §3.3), of
// rows of channels:
//
//	y = x·s^-Beta, s[c] = Bias + Alpha/Size·Σ x[k]², c-⌊(Size-1)/2⌋ ≤ k ≤ c+⌊Size/2⌋
type Response struct {
	Alpha, Beta, Bias float32
	Size              int
}

// responseTile is the number of elements taken at a time: all that belongs to
// them fits the first-level cache.
const responseTile = 1024

// tileRows returns the number of rows of a tile.
func (r Response) tileRows(c int) int { return max(1, responseTile/c) }

// stride is the length of a row with the zeros around it.
func (r Response) stride(c int) int { return c + r.Size - 1 }

// Scratch returns the number of elements of scratch memory for rows of c channels.
func (r Response) Scratch(c int) int {
	rows := r.tileRows(c)
	return 2*rows*r.stride(c) + r.Size - 1 + 3*rows*c
}

// Apply normalizes rows of c channels. y may be x.
func (r Response) Apply(y, x []float32, c int, scratch []float32) {
	checkRows(len(y), c)
	n := r.tileRows(c) * c
	for lo := 0; lo < len(y); lo += n {
		xs := x[lo:min(len(y), lo+n)]
		t := r.tile(scratch, len(xs), c)
		t.normalize(xs)
		elementwise.Mul.Run(y[lo:lo+len(xs)], xs, t.power)
	}
}

// Grad computes the gradient of [Response.Apply]:
//
//	dx = g·s^-Beta - 2·Alpha·Beta/Size·x·Σ g·x·s^(-Beta-1)
//
// over the channels whose window contains the one at hand. dx may be g, not x.
func (r Response) Grad(dx, g, x []float32, c int, scratch []float32) {
	checkRows(len(dx), c)
	n := r.tileRows(c) * c
	f := 2 * r.Alpha * r.Beta / float32(r.Size)
	for lo := 0; lo < len(dx); lo += n {
		xs := x[lo:min(len(dx), lo+n)]
		gs, ds := g[lo:lo+len(xs)], dx[lo:lo+len(xs)]
		t := r.tile(scratch, len(xs), c)
		t.normalize(xs)
		elementwise.Mul.Run(t.base, gs, t.power) // free once the power is known
		elementwise.Mul.Run(ds, t.base, xs)
		elementwise.Div.Run(ds, ds, t.sum)
		t.window(t.sum, ds, r.Size/2)
		elementwise.Mul.Run(t.sum, t.sum, xs)
		elementwise.ScaleShift.Run(t.sum, t.sum, -f, 0)
		elementwise.Add.Run(ds, t.base, t.sum)
	}
}

// responseRows is what belongs to the rows of a tile.
type responseRows struct {
	Response
	c               int
	padded, shifted []float32 // rows with zeros around them
	sum             []float32 // over windows; s once normalized
	base, power     []float32
}

// tile cuts the scratch memory for n elements.
func (r Response) tile(scratch []float32, n, c int) responseRows {
	cut := func(n int) (part []float32) {
		part, scratch = scratch[:n:n], scratch[n:]
		return part
	}
	rows := n / c * r.stride(c)
	return responseRows{r, c, cut(rows + r.Size - 1), cut(rows), cut(n), cut(n), cut(n)}
}

// normalize sets sum to s and power to s^-Beta.
func (t *responseRows) normalize(x []float32) {
	elementwise.Square.Run(t.base, x)
	t.window(t.sum, t.base, (t.Size-1)/2)
	elementwise.ScaleShift.Run(t.sum, t.sum, t.Alpha/float32(t.Size), t.Bias)
	switch t.Beta {
	case 0.75: // √s·√√s, which is what networks have
		elementwise.Sqrt.Run(t.base, t.sum)
		elementwise.Sqrt.Run(t.power, t.base)
		elementwise.Mul.Run(t.power, t.power, t.base)
		elementwise.Reciprocal.Run(t.power, t.power)
	case 0.5:
		elementwise.Sqrt.Run(t.power, t.sum)
		elementwise.Reciprocal.Run(t.power, t.power)
	default:
		for i, s := range t.sum {
			t.power[i] = float32(math.Pow(float64(s), -float64(t.Beta)))
		}
	}
}

// window sets dst to the sums of src over windows that begin so many channels
// before.
func (t *responseRows) window(dst, src []float32, before int) {
	clear(t.padded)
	stride, rows := t.stride(t.c), len(src)/t.c
	for r := range rows {
		copy(t.padded[r*stride+before:][:t.c], src[r*t.c:])
	}
	n := len(t.shifted)
	copy(t.shifted, t.padded)
	for k := 1; k < t.Size; k++ {
		elementwise.Add.Run(t.shifted, t.shifted, t.padded[k:k+n])
	}
	for r := range rows {
		copy(dst[r*t.c:][:t.c], t.shifted[r*stride:])
	}
}
