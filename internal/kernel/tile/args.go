package tile

import "unsafe"

// DotArgs are the operands of a dot kernel. Distances are in bytes. Pointers
// must stay inside live allocations; the kernel reads exactly the elements the
// formula names and writes exactly MR rows of NR-L+Tail floats.
type DotArgs struct {
	X0, X1 unsafe.Pointer // rows 0 and (MR+1)/2 of x; X1 is not read when MR is 1
	XS     int            // from a row of x to the next
	W      unsafe.Pointer // packed weights, NSeg·Run rows of NR floats
	Seg    unsafe.Pointer // first of NSeg ints: where the segments start, relative to a row
	NSeg   int            // ≥ 1
	Run    int            // elements of x per segment, ≥ 1
	Y0, Y1 unsafe.Pointer // rows 0 and (MR+1)/2 of y
	YS     int            // from a row of y to the next
	C0, C1 unsafe.Pointer // like Y0, Y1: what to add; nil means zero
	CS     int            // from a row of c to the next; 0 repeats one row (a bias)
	Tail   int            // lanes of the last vector that exist in y and c, 1…L
	Clip   int            // nonzero: y = min(max(y, Lo), Hi), NaN stays NaN
	Lo, Hi float32
}

// OuterArgs are the operands of an outer kernel. Distances are in bytes.
type OuterArgs struct {
	X          unsafe.Pointer // first pixel of x
	XS         int            // from a pixel of x to the next
	XRow, XImg int            // added at the end of each row, of each image
	Y          unsafe.Pointer // first pixel of y
	YS         int
	YRow, YImg int
	P, R, B    int            // pixels per row, rows per image, images; ≥ 1
	D          unsafe.Pointer // MR rows of NR-L+Tail floats
	DS         int            // from a row of d to the next
	Tail       int            // lanes of the last vector that exist in y and d, 1…L
	Zero       int            // nonzero: overwrite d instead of adding to it
}

// TransposeArgs are the operands of the transpose kernel: eight rows of n
// floats become n rows of eight. Distances are in bytes.
type TransposeArgs struct {
	Src unsafe.Pointer
	SS  int // from a row of the source to the next
	Dst unsafe.Pointer
	DS  int // from a row of the result to the next
	N   int // a multiple of 8, ≥ 8
}

// CopyArgs are the operands of the copy kernel: N rows of Vecs vectors.
// Distances are in bytes.
type CopyArgs struct {
	Src     unsafe.Pointer
	SS      int
	Dst     unsafe.Pointer
	DS      int
	N, Vecs int // ≥ 1
}
