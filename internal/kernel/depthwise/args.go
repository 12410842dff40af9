package depthwise

import "unsafe"

// RowArgs are the operands of a row kernel for TW pixels. Distances are in
// bytes; pointers are to the first channel. The weights of the rows in use
// follow each other.
type RowArgs struct {
	X          unsafe.Pointer // first tap of the first pixel, in the first row
	XS, XRow   int            // to the next pixel, to the next kernel row
	Rows       int            // kernel rows, ≥ 1
	W          unsafe.Pointer // weights of the first row, first vector
	WVec       int            // to the weights of the next vector
	Y          unsafe.Pointer
	YS         int            // to the next output pixel
	C          unsafe.Pointer // like Y: what to add; nil means zero
	CS         int            // 0 repeats one pixel (a bias)
	Vecs, Tail int            // whole vectors, channels after them
	Clip       int            // nonzero: y = min(max(y, Lo), Hi), NaN stays NaN
	Lo, Hi     float32
}

// PixelArgs are the operands of a pixel kernel: one output pixel.
type PixelArgs struct {
	X          unsafe.Pointer // first tap in use
	XRow, XCol int            // to the next kernel row, column
	Rows, Cols int            // taps in use, ≥ 1
	W          unsafe.Pointer // weights of the first tap in use, first vector
	WRow, WVec int            // to the next kernel row, to the next vector
	Y          unsafe.Pointer
	C          unsafe.Pointer // what to add; nil means zero
	Vecs, Tail int
	Clip       int
	Lo, Hi     float32
}

// GradArgs are the operands of a grad kernel: for each tap, the products of x
// and y summed over pixels are added to one vector of d.
type GradArgs struct {
	X            unsafe.Pointer // first tap of the first pixel
	XS, XRow     int            // to the next pixel; added at the end of a row
	TapRow, TapX int            // to the next kernel row, column
	Y            unsafe.Pointer
	YS, YRow     int
	P, R         int            // pixels per row, rows; ≥ 1
	D            unsafe.Pointer // taps in order, L floats each
	DVec         int            // to the sums of the next vector, in kernels for several
	Tail         int            // channels of the last vector that exist, 1…L
}
