package pooling

import (
	"errors"
	"fmt"
)

// Window is the geometry of a pooling over one image. Strides and dilations of
// zero count as one. Output pixel (oy, ox) covers the pixels
// (oy·SH − PT + ky·DH, ox·SW − PL + kx·DW) for ky < KH and kx < KW.
type Window struct {
	H, W, C        int // image
	OH, OW         int // output
	KH, KW         int // window
	SH, SW         int // stride
	DH, DW         int // dilation
	PT, PL, PB, PR int // padding: top, left, bottom, right
	// CountPad makes averages divide by the number of window positions inside
	// the padded image (ONNX count_include_pad), not inside the image.
	CountPad bool
}

// Global returns the window that covers a whole image.
func Global(h, w, c int) Window {
	return Window{H: h, W: w, C: c, OH: 1, OW: 1, KH: h, KW: w}
}

// Out returns the usual number of outputs along one axis: floor or ceil of
// (n + padding − dilation·(k−1) − 1) / stride, plus one; with ceil, windows that
// would start in the end padding are dropped.
func Out(n, k, stride, dilation, begin, end int, ceil bool) int {
	stride, dilation = max(1, stride), max(1, dilation)
	span := n + begin + end - dilation*(k-1) - 1
	if span < 0 {
		return 0
	}
	if !ceil {
		return span/stride + 1
	}
	out := (span+stride-1)/stride + 1
	if (out-1)*stride >= n+begin {
		out--
	}
	return out
}

// Validate reports every setting that the functions of this package refuse.
func (w Window) Validate() error {
	w = w.withDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if w.H < 1 || w.W < 1 || w.C < 1 || w.OH < 1 || w.OW < 1 || w.KH < 1 || w.KW < 1 {
		bad("got image %d×%d×%d, output %d×%d, window %d×%d, want sizes of at least 1", w.H, w.W, w.C, w.OH, w.OW, w.KH, w.KW)
		return errors.Join(errs...)
	}
	if w.SH < 1 || w.SW < 1 || w.DH < 1 || w.DW < 1 {
		bad("got strides %d,%d and dilations %d,%d, want at least 1", w.SH, w.SW, w.DH, w.DW)
		return errors.Join(errs...)
	}
	if w.PT < 0 || w.PL < 0 || w.PB < 0 || w.PR < 0 {
		bad("got padding %d,%d,%d,%d, want none negative", w.PT, w.PL, w.PB, w.PR)
		return errors.Join(errs...)
	}
	for o := range w.OH {
		if k0, k1 := w.rowTaps(o); k0 >= k1 {
			bad("output row %d covers no pixel of the image", o)
			break
		}
	}
	for o := range w.OW {
		if k0, k1 := w.colTaps(o); k0 >= k1 {
			bad("output column %d covers no pixel of the image", o)
			break
		}
	}
	return errors.Join(errs...)
}

func (w Window) withDefaults() Window {
	for _, p := range []*int{&w.SH, &w.SW, &w.DH, &w.DW} {
		if *p == 0 {
			*p = 1
		}
	}
	return w
}

// taps returns the range of k with 0 ≤ start + k·dilation < n.
func taps(start, dilation, kernel, n int) (k0, k1 int) {
	if start < 0 {
		k0 = (-start + dilation - 1) / dilation
	}
	k1 = 0
	if start < n {
		k1 = min(kernel, (n-start+dilation-1)/dilation)
	}
	return k0, k1
}

func (w *Window) rowTaps(oy int) (int, int) { return taps(oy*w.SH-w.PT, w.DH, w.KH, w.H) }
func (w *Window) colTaps(ox int) (int, int) { return taps(ox*w.SW-w.PL, w.DW, w.KW, w.W) }

// divisor returns 1 over what the average of output (oy, ox) is divided by.
func (w *Window) divisor(oy, ox int) float32 {
	var r0, r1, c0, c1 int
	if w.CountPad {
		// Positions in the image and its padding; a window in ceil mode may
		// reach beyond the padding.
		r0, r1 = taps(oy*w.SH, w.DH, w.KH, w.H+w.PT+w.PB)
		c0, c1 = taps(ox*w.SW, w.DW, w.KW, w.W+w.PL+w.PR)
	} else {
		r0, r1 = w.rowTaps(oy)
		c0, c1 = w.colTaps(ox)
	}
	return 1 / float32((r1-r0)*(c1-c0))
}

// covering returns the outputs o and taps k of one axis that read position p:
// o·stride − pad + k·dilation = p, as o from lo to hi (exclusive); only those
// with a remainder of zero modulo dilation count.
func covering(p, pad, stride, dilation, kernel, outs int) (lo, hi int) {
	first := p + pad - (kernel-1)*dilation
	if first > 0 {
		lo = (first + stride - 1) / stride
	}
	return lo, min(outs, (p+pad)/stride+1)
}
