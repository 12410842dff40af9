package layout

import (
	"fmt"
	"unsafe"
)

// Transpose sets dst[b][c][r] = src[b][r][c] for a batch of matrices of the
// given rows and columns. To share one matrix among tasks use [Transpose2D].
func Transpose(dst, src []float32, batch, rows, cols int) {
	n := rows * cols
	if len(dst) < batch*n || len(src) < batch*n {
		panic(fmt.Sprintf("layout: transpose of %d·%d·%d from %d to %d elements", batch, rows, cols, len(src), len(dst)))
	}
	for b := range batch {
		Transpose2D(dst[b*n:(b+1)*n], rows, src[b*n:(b+1)*n], cols, rows, cols)
	}
}

// NCHWToNHWC reorders n images of c channels of hw pixels to channels last.
func NCHWToNHWC(dst, src []float32, n, c, hw int) { Transpose(dst, src, n, c, hw) }

// NHWCToNCHW reorders n images of hw pixels of c channels to channels first.
func NHWCToNCHW(dst, src []float32, n, c, hw int) { Transpose(dst, src, n, hw, c) }

// Transpose2D sets dst[c·dstStride + r] = src[r·srcStride + c] for r < rows and
// c < cols. A task that owns rows [r0, r1) passes dst[r0:] and src[r0·srcStride:].
func Transpose2D(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	check("destination", len(dst), dstStride, cols, rows)
	check("source", len(src), srcStride, rows, cols)
	switch {
	case rows == 1 && dstStride == 1, cols == 1 && srcStride == 1:
		copy(dst[:rows*cols], src)
		return
	}
	active.transpose(dst, dstStride, src, srcStride, rows, cols)
}

// Stream is copy(dst, src[:len(dst)]) that writes past the caches where it can.
// It saves the read of the destination's lines that ordinary stores cost, a
// third of the traffic of a one-input kernel, and does not push other data out
// of the caches. Use it for results that will not be read again soon: compute a
// tile in the first-level cache, then stream it to memory. Whether it pays
// depends on the machine (on an early Zen it does not): measure, see
// BenchmarkStream. The slices do not overlap.
func Stream(dst, src []float32) {
	src = src[:len(dst)]
	head := min(len(dst), ahead(dst))
	body := (len(dst) - head) &^ 63
	if body == 0 {
		copy(dst, src)
		return
	}
	copy(dst[:head], src)
	active.stream(dst[head:head+body], src[head:head+body])
	copy(dst[head+body:], src[head+body:])
}

// ahead returns the number of floats before the next multiple of 64 bytes.
func ahead(x []float32) int {
	return int(-uintptr(unsafe.Pointer(unsafe.SliceData(x)))%64) / 4
}

// CopyRows copies rows of cols floats.
func CopyRows(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	check("destination", len(dst), dstStride, rows, cols)
	check("source", len(src), srcStride, rows, cols)
	if dstStride == cols && srcStride == cols {
		copy(dst[:rows*cols], src)
		return
	}
	if cols <= 16 { // a call of memmove costs more than the row
		for r := range rows {
			d, s := dst[r*dstStride:][:cols], src[r*srcStride:][:cols]
			//lint:ignore S1001 the point is not to call copy
			for i, v := range s {
				d[i] = v
			}
		}
		return
	}
	for r := range rows {
		copy(dst[r*dstStride:][:cols], src[r*srcStride:])
	}
}

// AddRows adds rows of cols floats to dst: the gradient of a slice, or of one
// part of a concatenation that has other uses.
func AddRows(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	check("destination", len(dst), dstStride, rows, cols)
	check("source", len(src), srcStride, rows, cols)
	if dstStride == cols && srcStride == cols {
		rows, cols = 1, rows*cols
	}
	for r := range rows {
		active.add(dst[r*dstStride:][:cols], src[r*srcStride:][:cols])
	}
}

// Fill sets every element of dst to v.
func Fill(dst []float32, v float32) {
	if v == 0 && 1/v > 0 {
		clear(dst)
		return
	}
	if len(dst) == 0 {
		return
	}
	dst[0] = v
	for n := 1; n < len(dst); {
		n += copy(dst[n:], dst[:min(n, 4096)]) // a part that stays in the first-level cache
	}
}

// FillRows sets rows of cols floats to v: the border of a padded tensor.
func FillRows(dst []float32, stride, rows, cols int, v float32) {
	if rows <= 0 || cols <= 0 {
		return
	}
	check("destination", len(dst), stride, rows, cols)
	for r := range rows {
		Fill(dst[r*stride:][:cols], v)
	}
}

// MaxRank is the largest number of dimensions of [Permute].
const MaxRank = 8

// Permute reorders the dimensions of a dense tensor: dimension i of dst is
// dimension perm[i] of src, whose sizes are dims.
func Permute(dst, src []float32, dims, perm []int) {
	n := 1
	for _, d := range dims {
		n *= d
	}
	if len(dims) > MaxRank || len(perm) != len(dims) || len(dst) < n || len(src) < n {
		panic(fmt.Sprintf("layout: permute %v by %v from %d to %d elements", dims, perm, len(src), len(dst)))
	}
	if n == 0 {
		return
	}
	// Drop dimensions of size 1 and merge those that stay neighbours.
	var stride, size, step [MaxRank]int
	s := 1
	for i := len(dims) - 1; i >= 0; i-- {
		stride[i], s = s, s*dims[i]
	}
	k := 0
	for _, p := range perm {
		if dims[p] == 1 {
			continue
		}
		if k > 0 && step[k-1] == dims[p]*stride[p] {
			size[k-1] *= dims[p]
			step[k-1] = stride[p]
			continue
		}
		size[k], step[k] = dims[p], stride[p]
		k++
	}
	if k == 0 {
		dst[0] = src[0]
		return
	}
	if k == 1 {
		copy(dst[:n], src)
		return
	}
	// The two innermost dimensions go together: as row copies or transposes.
	rows, cols := size[k-2], size[k-1]
	var at [MaxRank]int
	off := 0
	for o := 0; o < n; o += rows * cols {
		d := dst[o : o+rows*cols]
		switch {
		case step[k-1] == 1:
			CopyRows(d, cols, src[off:], step[k-2], rows, cols)
		case step[k-2] == 1:
			Transpose2D(d, cols, src[off:], step[k-1], cols, rows)
		default:
			for r := range rows {
				row := off + r*step[k-2]
				for c := range cols {
					d[r*cols+c] = src[row+c*step[k-1]]
				}
			}
		}
		for i := k - 3; i >= 0; i-- {
			at[i]++
			off += step[i]
			if at[i] < size[i] {
				break
			}
			off -= at[i] * step[i]
			at[i] = 0
		}
	}
}

func check(what string, n, stride, rows, cols int) {
	if stride < 0 || (rows-1)*stride+cols > n {
		panic(fmt.Sprintf("layout: %s of %d elements, want %d rows of %d at stride %d", what, n, rows, cols, stride))
	}
}
