package tile

import (
	"unsafe"

	"github.com/go-nncf/nncf/internal/cpu"
)

// MaxNV is the largest number of vectors in a tile of any set.
const MaxNV = 4

//go:generate go run -C ../_gen ./tile -level avx2 -out ../tile/avx2_amd64.s -stubs ../tile/avx2_stubs_amd64.go -pkg tile -table ../tile/avx2_table_amd64.go
//go:generate go run -C ../_gen ./tile -level avx512 -out ../tile/avx512_amd64.s -stubs ../tile/avx512_stubs_amd64.go -pkg tile -table ../tile/avx512_table_amd64.go

// A Set is one row of the table of variants: all kernels of one instruction set.
type Set struct {
	Name     string
	Level    cpu.Level
	Features cpu.Feature // what the kernels need
	Lanes    int         // L

	dot   [MaxNV + 1][]func(*DotArgs) // [NV][MR]
	reuse [MaxNV + 1][]func(*DotArgs)
	outer [MaxNV + 1][]func(*OuterArgs)

	transpose func(*TransposeArgs)
	copyRows  func(*CopyArgs)

	peak     func(n int)
	peakMACs int // per iteration
}

// Peak runs at least macs multiply-adds as fast as the machine can, without
// touching memory, and returns how many it ran. Benchmarks compare with it.
func (s *Set) Peak(macs int) int {
	n := macs/s.peakMACs + 1
	s.peak(n)
	return n * s.peakMACs
}

// Supported reports whether plans may use the set now: this machine can run it,
// or is assumed to (see [cpu.Assume]).
func (s *Set) Supported() bool { return cpu.Plannable(s.Features) }

// MaxMR returns the largest MR of tiles with nv vectors, 0 if there are none.
func (s *Set) MaxMR(nv int) int { return max(0, len(s.dot[nv])-1) }

// Vectors chooses NV for panels of n columns: the fewest loads and unused lanes
// per multiplication.
func (s *Set) Vectors(n int) int {
	// a multiply-add per vector and row, half a slot per load
	return s.vectors(n, s.MaxMR, func(v int) float64 { return float64(v) + 0.5*(1+float64(v)/float64(s.MaxMR(v))) })
}

// ReuseVectors is Vectors for reuse kernels and rows of cols pixels; 0 if
// there are no reuse kernels.
func (s *Set) ReuseVectors(n, cols int) int {
	if s.MaxReuse(1) == 0 {
		return 0
	}
	return s.vectors(n, s.MaxReuse, func(v int) float64 {
		tiles := (cols + s.MaxReuse(v) - 1) / s.MaxReuse(v)
		mr := float64(cols) / float64(max(1, tiles))
		return float64(3*v) + 0.5*(mr+2+float64(3*v))/mr
	})
}

// vectors minimizes the cost of covering n columns by panels.
func (s *Set) vectors(n int, most func(nv int) int, panel func(nv int) float64) int {
	best, bestCost := 1, 0.0
	for nv := 1; nv <= MaxNV; nv++ {
		if most(nv) == 0 {
			continue
		}
		nr := nv * s.Lanes
		cost := float64(n/nr) * panel(nv)
		if rest := n % nr; rest > 0 {
			cost += panel((rest + s.Lanes - 1) / s.Lanes)
		}
		if bestCost == 0 || cost < bestCost {
			best, bestCost = nv, cost
		}
	}
	return best
}

// Dot runs the dot kernel of tile mr × nv.
func (s *Set) Dot(mr, nv int, a *DotArgs) { s.dot[nv][mr](noescape(a)) }

// MaxReuse returns the largest MR of reuse kernels with nv vectors, 0 if there
// are none.
func (s *Set) MaxReuse(nv int) int { return max(0, len(s.reuse[nv])-1) }

// Reuse runs the reuse kernel of tile mr × nv.
func (s *Set) Reuse(mr, nv int, a *DotArgs) { s.reuse[nv][mr](noescape(a)) }

// Outer runs the outer kernel of tile mr × nv.
func (s *Set) Outer(mr, nv int, a *OuterArgs) { s.outer[nv][mr](noescape(a)) }

// Transpose writes dst[k·ds+r] = src[r·ss+k] for r < rows and k < n. Distances
// are in floats.
func (s *Set) Transpose(dst []float32, ds int, src []float32, ss, rows, n int) {
	if rows == 0 || n == 0 {
		return
	}
	_, _ = dst[(n-1)*ds+rows-1], src[(rows-1)*ss+n-1]
	whole := n &^ 7
	r := 0
	if whole > 0 {
		for ; r+8 <= rows; r += 8 {
			a := TransposeArgs{Src: unsafe.Pointer(&src[r*ss]), SS: 4 * ss, Dst: unsafe.Pointer(&dst[r]), DS: 4 * ds, N: whole}
			s.transpose(noescape(&a))
		}
		for k := whole; k < n; k++ {
			d := dst[k*ds:][:r]
			for i := range d {
				d[i] = src[i*ss+k]
			}
		}
	}
	for ; r < rows; r++ {
		d := dst[r:]
		for k, v := range src[r*ss:][:n] {
			d[k*ds] = v
		}
	}
}

// Copy copies n rows of width floats, ss floats apart in src and ds in dst.
func (s *Set) Copy(dst []float32, ds int, src []float32, ss, width, n int) {
	if n == 0 || width == 0 {
		return
	}
	_, _ = dst[(n-1)*ds+width-1], src[(n-1)*ss+width-1]
	if width%s.Lanes == 0 {
		a := CopyArgs{Src: unsafe.Pointer(&src[0]), SS: 4 * ss, Dst: unsafe.Pointer(&dst[0]), DS: 4 * ds, N: n, Vecs: width / s.Lanes}
		s.copyRows(noescape(&a))
		return
	}
	for i := range n {
		copy(dst[i*ds:][:width], src[i*ss:])
	}
}

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

// Sets returns every variant built into the program, fastest first. Not all
// need be supported here.
func Sets() []*Set { return sets }

// Best returns the fastest supported set.
func Best() *Set { return ForLevel(cpu.LevelAVX512) }

// ForLevel returns the fastest supported set that is not above level l.
func ForLevel(l cpu.Level) *Set {
	for _, s := range sets {
		if s.Level <= l && s.Supported() {
			return s
		}
	}
	panic("tile: no generic set")
}

var genericSet = &Set{
	Name: "generic", Level: cpu.Generic, Lanes: genericLanes,
	dot:       [MaxNV + 1][]func(*DotArgs){1: genericDots(dotGeneric)},
	reuse:     [MaxNV + 1][]func(*DotArgs){1: genericDots(reuseGeneric)},
	outer:     [MaxNV + 1][]func(*OuterArgs){1: genericOuters()},
	transpose: transposeGeneric,
	copyRows:  func(a *CopyArgs) { copyGeneric(a, genericLanes) },
	peak:      peakGeneric, peakMACs: 8,
}

func genericDots(dot func(a *DotArgs, mr, nv, lanes int)) []func(*DotArgs) {
	f := make([]func(*DotArgs), genericMR+1)
	for mr := 1; mr <= genericMR; mr++ {
		f[mr] = func(a *DotArgs) { dot(a, mr, 1, genericLanes) }
	}
	return f
}

func genericOuters() []func(*OuterArgs) {
	f := make([]func(*OuterArgs), genericMR+1)
	for mr := 1; mr <= genericMR; mr++ {
		f[mr] = func(a *OuterArgs) { outerGeneric(a, mr, 1, genericLanes) }
	}
	return f
}
