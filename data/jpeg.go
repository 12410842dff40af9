package data

import "image"

// rgbOfYCbCr writes the picture as libjpeg decodes it, which is what networks
// are trained on everywhere: chroma that was sampled at half the resolution is
// interpolated with the weights 3/4 and 1/4 of a triangle (package image/jpeg
// repeats it), and colours follow JFIF in 16-bit fixed point,
//
//	R = Y + 1.402 (Cr-128)
//	G = Y - 0.344136 (Cb-128) - 0.714136 (Cr-128)
//	B = Y + 1.772 (Cb-128)
func rgbOfYCbCr(m *image.YCbCr, pix []uint8) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	cb, cr := make([]uint8, w+1), make([]uint8, w+1)
	sums := make([]int32, w+1)
	for y := range h {
		chromaRow(m, m.Cb, y, sums, cb)
		chromaRow(m, m.Cr, y, sums, cr)
		luma := m.Y[m.YOffset(m.Rect.Min.X, m.Rect.Min.Y+y):][:w]
		row := pix[y*w*3:][:w*3]
		for x, l := range luma {
			const half = 1 << 15
			l, b, r := int32(l), int32(cb[x])-128, int32(cr[x])-128
			row[3*x] = clampByte(l + (91881*r+half)>>16)
			row[3*x+1] = clampByte(l + (-22554*b-46802*r+half)>>16)
			row[3*x+2] = clampByte(l + (116130*b+half)>>16)
		}
	}
}

func clampByte(v int32) uint8 { return uint8(min(max(v, 0), 255)) }

// chromaRow writes row y of a chroma plane at full resolution to dst, whose
// length is the width and one more. Ratios other than 1 and 2 repeat samples,
// and so do pictures of fewer than three samples a row, as libjpeg does it.
func chromaRow(m *image.YCbCr, plane []uint8, y int, sums []int32, dst []uint8) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	hx, hy := 1, 1
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		hx = 2
	case image.YCbCrSubsampleRatio420:
		hx, hy = 2, 2
	case image.YCbCrSubsampleRatio440:
		hy = 2
	case image.YCbCrSubsampleRatio444:
	default:
		for x := range w {
			dst[x] = plane[m.COffset(m.Rect.Min.X+x, m.Rect.Min.Y+y)]
		}
		return
	}
	cw, ch := (w+hx-1)/hx, (h+hy-1)/hy
	at := func(row int) []uint8 { return plane[m.COffset(m.Rect.Min.X, m.Rect.Min.Y)+row*m.CStride:][:cw] }
	near := at(y / hy)
	if hx == 2 && cw <= 2 {
		for x := range w {
			dst[x] = near[x/2]
		}
		return
	}
	if hy == 1 {
		if hx == 1 {
			copy(dst, near)
			return
		}
		triangleRow(near, dst)
		return
	}
	// The other row is the one that this row of pixels lies closer to.
	other, bias := max(y/2-1, 0), int32(1)
	if y%2 == 1 {
		other, bias = min(y/2+1, ch-1), 2
	}
	far := at(other)
	if hx == 1 {
		for x := range cw {
			dst[x] = uint8((3*int32(near[x]) + int32(far[x]) + bias) >> 2)
		}
		return
	}
	for x := range cw {
		sums[x] = 3*int32(near[x]) + int32(far[x])
	}
	for x := range cw {
		left, right := sums[max(x-1, 0)], sums[min(x+1, cw-1)]
		dst[2*x] = uint8((3*sums[x] + left + 8) >> 4)
		if 2*x+1 < len(dst) {
			dst[2*x+1] = uint8((3*sums[x] + right + 7) >> 4)
		}
	}
}

// triangleRow doubles a row; the rounding alternates, so that it has no bias.
func triangleRow(src, dst []uint8) {
	for x, v := range src {
		left, right := src[max(x-1, 0)], src[min(x+1, len(src)-1)]
		dst[2*x] = uint8((3*int32(v) + int32(left) + 1) >> 2)
		if 2*x+1 < len(dst) {
			dst[2*x+1] = uint8((3*int32(v) + int32(right) + 2) >> 2)
		}
	}
}
