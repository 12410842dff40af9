package gemm

import (
	"errors"
	"fmt"
	"math"
	"unsafe"

	"github.com/go-nncf/nncf/internal/kernel/tile"
)

// Shape is the size of a product. The zero value of the flags is A·B.
type Shape struct {
	M, N, K        int
	TransA, TransB bool
}

// MACs returns M·N·K.
func (s Shape) MACs() int { return s.M * s.N * s.K }

// Validate reports everything that is wrong with s. M and N may be 0; a sum
// over K = 0 terms is 0.
func (s Shape) Validate() error {
	var errs []error
	for _, d := range []struct {
		name string
		v    int
	}{{"M", s.M}, {"N", s.N}, {"K", s.K}} {
		if d.v < 0 || d.v > math.MaxInt32 {
			errs = append(errs, fmt.Errorf("got %s %d, want 0 to 2³¹-1", d.name, d.v))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("gemm: %w", err)
	}
	return nil
}

// Options choose how a plan computes. The zero value is right for programs.
type Options struct {
	Kernels *tile.Set // nil means the fastest one here
}

// Fusion is what is done besides the product. The zero value is nothing.
type Fusion struct {
	Bias       []float32 // one per column of C, added; nil means none
	Clip       bool      // c = min(max(c, Lo), Hi); NaN stays NaN
	Lo, Hi     float32
	Accumulate bool // add to C instead of overwriting it; excludes Bias
}

const (
	// kc is the depth of a panel: 512 rows of 16 or 32 floats are 32 or 64 KB,
	// and the six to fourteen rows of A that meet it stay in a first-level cache.
	kc = 512
	// blockFloats bounds the rows of A of one task, per k block.
	blockFloats = 48 << 10
	// wantTasks and minTaskMACs are as in package conv.
	wantTasks   = 32
	minTaskMACs = 1 << 20
)

// Plan is a product of fixed shape. It is immutable; its methods may be called
// by any number of goroutines.
type Plan struct {
	s              Shape
	set            *tile.Set
	nv             int // vectors of a panel; the last one may have fewer
	panels, padded int
	rows, nrow     int // rows of C per task, tasks along M
	cols, ncol     int // panels per task, tasks along N
}

// New plans a product.
func New(s Shape, opt Options) (*Plan, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	p := &Plan{s: s, set: opt.Kernels}
	if p.set == nil {
		p.set = tile.Best()
	}
	if !p.set.Supported() {
		return nil, fmt.Errorf("gemm: got kernels %s, which this machine cannot run", p.set.Name)
	}
	p.nv = p.set.Vectors(s.N)
	nr := p.nv * p.set.Lanes
	p.panels = ceilDiv(s.N, nr)
	if p.panels > 0 {
		last := s.N - (p.panels-1)*nr
		p.padded = (p.panels-1)*nr + ceilDiv(last, p.set.Lanes)*p.set.Lanes
	}
	p.divide()
	return p, nil
}

// divide chooses the tasks, from the shape alone.
func (p *Plan) divide() {
	if p.s.M == 0 || p.s.N == 0 {
		return
	}
	const unit = 36 // whole tiles of 4, 6, 9 and 12 rows
	units := ceilDiv(p.s.M, unit)
	rows, cols := min(units, max(1, blockFloats/min(kc, max(1, p.s.K))/unit)), p.panels
	nr := p.nv * p.set.Lanes
	most := max(minTaskMACs, p.s.MACs()/wantTasks)
	for rows*unit*cols*nr*p.s.K > most && (rows > 1 || cols > 1) {
		if cols == 1 || rows > 1 && rows*unit >= cols*nr {
			rows = ceilDiv(rows, 2)
		} else {
			cols = ceilDiv(cols, 2)
		}
	}
	p.rows, p.cols = rows*unit, cols
	p.nrow, p.ncol = ceilDiv(p.s.M, p.rows), ceilDiv(p.panels, p.cols)
}

// Shape returns what the plan was made for.
func (p *Plan) Shape() Shape { return p.s }

// Sizes are the memory and parallelism a plan asks for.
type Sizes struct {
	PackedB    int // floats
	PackBTasks int
	Tasks      int
}

// Sizes returns the sizes of the plan. They depend on the shape and the kernel
// set, never on the number of threads.
func (p *Plan) Sizes() Sizes {
	return Sizes{PackedB: p.s.K * p.padded, PackBTasks: p.panels, Tasks: p.nrow * p.ncol}
}

// A Region is the part of C one task writes: rows M0 ≤ m < M1, columns N0 ≤ n < N1.
type Region struct{ M0, M1, N0, N1 int }

// Region returns what task of [Plan.Run] writes.
func (p *Plan) Region(task int) Region {
	r, c := task/p.ncol, task%p.ncol
	nr := p.nv * p.set.Lanes
	return Region{r * p.rows, min(p.s.M, (r+1)*p.rows), c * p.cols * nr, min(p.s.N, (c+1)*p.cols*nr)}
}

// panel returns the width and vectors of a panel.
func (p *Plan) panel(i int) (width, nv int) {
	nr := p.nv * p.set.Lanes
	width = min(nr, p.s.N-i*nr)
	return width, ceilDiv(width, p.set.Lanes)
}

// at returns where k block k0 of panel i starts in packed B.
func (p *Plan) at(k0, i, nv int) int {
	return k0*p.padded + i*p.nv*p.set.Lanes*min(kc, p.s.K-k0)
}

// PackBRows returns the columns of the product, which with TransB are rows of
// B, that task of [Plan.PackB] reads. All tasks together read each once.
func (p *Plan) PackBRows(task int) (lo, hi int) {
	width, _ := p.panel(task)
	lo = task * p.nv * p.set.Lanes
	return lo, lo + width
}

// PackB writes panel task of packed B.
func (p *Plan) PackB(task int, dst, b []float32) {
	s := p.s
	need("PackB", "packed B", dst, s.K*p.padded)
	need("PackB", "B", b, s.K*s.N)
	width, nv := p.panel(task)
	nr := nv * p.set.Lanes
	n0 := task * p.nv * p.set.Lanes
	for k0 := 0; k0 < s.K; k0 += kc {
		depth := min(kc, s.K-k0)
		d := dst[p.at(k0, task, nv):][:depth*nr]
		if s.TransB {
			if width < nr {
				clear(d)
			}
			p.set.Transpose(d, nr, b[n0*s.K+k0:], s.K, width, depth)
			continue
		}
		for k := range depth {
			row := d[k*nr:][:nr]
			copy(row[:width], b[(k0+k)*s.N+n0:])
			clear(row[width:])
		}
	}
}

// Run computes part task of C from A and packed B.
func (p *Plan) Run(task int, a, b []float32, f Fusion, c []float32) {
	s := p.s
	if uint(task) >= uint(p.nrow*p.ncol) {
		panic(fmt.Sprintf("gemm: Run: got task %d, want less than %d", task, p.nrow*p.ncol))
	}
	need("Run", "A", a, s.M*s.K)
	need("Run", "packed B", b, s.K*p.padded)
	need("Run", "C", c, s.M*s.N)
	if f.Bias != nil {
		need("Run", "bias", f.Bias, s.N)
		if f.Accumulate {
			panic("gemm: Run: got Bias and Accumulate, want at most one")
		}
	}
	r := p.Region(task)
	if s.K == 0 {
		p.finish(r, f, c, true)
		return
	}
	first := task % p.ncol * p.cols
	for k0 := 0; k0 < s.K; k0 += kc {
		for i := first; i < min(p.panels, first+p.cols); i++ {
			if s.TransA {
				p.outer(r, k0, i, a, b, f, c)
			} else {
				p.dot(r, k0, i, a, b, f, c)
			}
		}
	}
	if s.TransA && f.Clip {
		p.finish(r, f, c, false)
	}
}

var zero int // the only segment of a row

// dot multiplies rows of A with one panel.
func (p *Plan) dot(r Region, k0, i int, a, b []float32, f Fusion, c []float32) {
	s := p.s
	width, nv := p.panel(i)
	depth := min(kc, s.K-k0)
	n0 := i * p.nv * p.set.Lanes
	d := tile.DotArgs{
		XS: 4 * s.K, W: unsafe.Pointer(&b[p.at(k0, i, nv)]), Seg: unsafe.Pointer(&zero), NSeg: 1, Run: depth,
		YS: 4 * s.N, Tail: width - (nv-1)*p.set.Lanes,
	}
	onto := f.Accumulate || k0 > 0
	if onto {
		d.CS = d.YS
	} else if f.Bias != nil {
		bias := unsafe.Pointer(&f.Bias[n0])
		d.C0, d.C1 = bias, bias
	}
	if f.Clip && k0+depth == s.K {
		d.Clip, d.Lo, d.Hi = 1, f.Lo, f.Hi
	}
	most := p.set.MaxMR(nv)
	m := r.M0
	for left := ceilDiv(r.M1-m, most); left > 0; left-- {
		mr := ceilDiv(r.M1-m, left)
		half := min((mr+1)/2, mr-1)
		d.X0, d.X1 = unsafe.Pointer(&a[m*s.K+k0]), unsafe.Pointer(&a[(m+half)*s.K+k0])
		d.Y0, d.Y1 = unsafe.Pointer(&c[m*s.N+n0]), unsafe.Pointer(&c[(m+half)*s.N+n0])
		if onto {
			d.C0, d.C1 = d.Y0, d.Y1
		}
		p.set.Dot(mr, nv, &d)
		m += mr
	}
}

// outer multiplies columns of A with one panel.
func (p *Plan) outer(r Region, k0, i int, a, b []float32, f Fusion, c []float32) {
	s := p.s
	width, nv := p.panel(i)
	depth := min(kc, s.K-k0)
	n0 := i * p.nv * p.set.Lanes
	o := tile.OuterArgs{
		XS: 4 * s.M, Y: unsafe.Pointer(&b[p.at(k0, i, nv)]), YS: 4 * nv * p.set.Lanes, P: depth, R: 1, B: 1,
		DS: 4 * s.N, Tail: width - (nv-1)*p.set.Lanes,
	}
	if k0 == 0 && !f.Accumulate {
		if f.Bias == nil {
			o.Zero = 1
		} else {
			for m := r.M0; m < r.M1; m++ {
				copy(c[m*s.N+n0:][:width], f.Bias[n0:])
			}
		}
	}
	most := p.set.MaxMR(nv)
	m := r.M0
	for left := ceilDiv(r.M1-m, most); left > 0; left-- {
		mr := ceilDiv(r.M1-m, left)
		o.X = unsafe.Pointer(&a[k0*s.M+m])
		o.D = unsafe.Pointer(&c[m*s.N+n0])
		p.set.Outer(mr, nv, &o)
		m += mr
	}
}

// finish clips a region, after making it the sum of no products if empty is set.
func (p *Plan) finish(r Region, f Fusion, c []float32, empty bool) {
	for m := r.M0; m < r.M1; m++ {
		row := c[m*p.s.N:][r.N0:r.N1]
		if empty && !f.Accumulate {
			clear(row)
			if f.Bias != nil {
				copy(row, f.Bias[r.N0:r.N1])
			}
		}
		if f.Clip {
			for i, v := range row {
				if v < f.Lo {
					v = f.Lo
				}
				if v > f.Hi {
					v = f.Hi
				}
				row[i] = v
			}
		}
	}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

func need(name, what string, s []float32, n int) {
	if len(s) < n {
		panic(fmt.Sprintf("gemm: %s: got %d floats of %s, want %d", name, len(s), what, n))
	}
}
