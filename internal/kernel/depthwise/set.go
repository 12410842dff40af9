package depthwise

import (
	"unsafe"

	"github.com/go-nncf/nncf/internal/cpu"
)

//go:generate go run -C ../_gen ./depthwise -level avx2 -out ../depthwise/avx2_amd64.s -stubs ../depthwise/avx2_stubs_amd64.go -pkg depthwise -table ../depthwise/avx2_table_amd64.go
//go:generate go run -C ../_gen ./depthwise -level avx512 -out ../depthwise/avx512_amd64.s -stubs ../depthwise/avx512_stubs_amd64.go -pkg depthwise -table ../depthwise/avx512_table_amd64.go

const (
	maxStep = 2 // of row kernels
	maxKW   = 5 // of row kernels
	maxTW   = 8
	gradNV  = 4 // vectors of the single-tap grad kernel
)

// A Set is one row of the table of variants.
type Set struct {
	Name     string
	Level    cpu.Level
	Features cpu.Feature
	Lanes    int

	row   [maxStep + 1][maxKW + 1][maxTW + 1]func(*RowArgs) // [step][KW][TW]
	pixel func(*PixelArgs)
	grad3 func(*GradArgs)            // 3×3 taps
	grad  [maxKW + 1]func(*GradArgs) // 1×KW taps
	gradN func(*GradArgs)            // one tap, gradNV vectors
}

// Supported reports whether plans may use the set now: this machine can run it,
// or is assumed to (see [cpu.Assume]).
func (s *Set) Supported() bool { return cpu.Plannable(s.Features) }

// Sets returns every variant built into the program, fastest first.
func Sets() []*Set { return sets }

// Best returns the fastest supported set.
func Best() *Set {
	for _, s := range sets {
		if s.Supported() {
			return s
		}
	}
	panic("depthwise: no generic set")
}

// hasRow reports whether there are row kernels for a step and kernel width.
func (s *Set) hasRow(step, kw int) bool {
	return step <= maxStep && kw <= maxKW && s.row[step][kw][1] != nil
}

func (s *Set) runRow(step, kw, tw int, a *RowArgs) { s.row[step][kw][tw](noescape(a)) }
func (s *Set) runPixel(a *PixelArgs)               { s.pixel(noescape(a)) }

// noescape hides p from escape analysis: an argument of a call through a table
// would move to the heap, but no kernel keeps its arguments.
//
// Checks of pointers, which come with the race detector, would call between the
// two conversions, and the stack may move then.
//
//go:nocheckptr
func noescape[T any](p *T) *T {
	x := uintptr(unsafe.Pointer(p))
	return *(**T)(unsafe.Pointer(&x))
}

// rowShapes lists the step and KW of the row kernels.
var rowShapes = [...][2]int{{1, 1}, {1, 2}, {1, 3}, {1, 5}, {2, 3}, {2, 5}}

var genericSet = newGeneric()

func newGeneric() *Set {
	s := &Set{
		Name: "generic", Level: cpu.Generic, Lanes: genericLanes,
		pixel: func(a *PixelArgs) { pixelGeneric(a, genericLanes) },
		grad3: func(a *GradArgs) { gradGeneric(a, 3, 3, 1, genericLanes) },
		gradN: func(a *GradArgs) { gradGeneric(a, 1, 1, gradNV, genericLanes) },
	}
	for _, r := range rowShapes {
		for tw := 1; tw <= maxTW; tw++ {
			s.row[r[0]][r[1]][tw] = func(a *RowArgs) { rowGeneric(a, r[1], r[0], tw, genericLanes) }
		}
	}
	for _, kw := range []int{1, 3, 5} {
		s.grad[kw] = func(a *GradArgs) { gradGeneric(a, 1, kw, 1, genericLanes) }
	}
	return s
}
