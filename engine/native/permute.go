package native

import (
	"slices"

	"github.com/go-nncf/nncf/internal/kernel/layout"
	"github.com/go-nncf/nncf/tensor"
)

// permute reorders the axes of a dense tensor in tasks: leading axes that stay
// in place are cut, and so are the rows of a plain transpose.
type permute struct {
	dims, perm []int // of one part
	parts, len int   // parts that lie one after the other
	per        int   // parts per task
	rows       int   // of a plain transpose per task; 0 for any other
}

// newPermute prepares dst axis i = src axis perm[i]. Axes that stay together
// count as one.
func newPermute(dims, perm []int) permute {
	p := permute{parts: 1}
	// Merge src axes a, a+1 that follow each other in dst too; drop axes of 1.
	var groups [][2]int // first src axis, length, in dst order
	next := -1
	for _, a := range perm {
		if dims[a] == 1 {
			continue
		}
		follows := next >= 0 && next <= a && tensor.Shape(dims[next:a]).Numel() == 1
		if k := len(groups) - 1; k >= 0 && follows {
			groups[k][1] *= dims[a]
		} else {
			groups = append(groups, [2]int{a, dims[a]})
		}
		next = a + 1
	}
	sorted := slices.Clone(groups)
	slices.SortFunc(sorted, func(a, b [2]int) int { return a[0] - b[0] })
	for i := range groups {
		p.perm = append(p.perm, slices.Index(sorted, groups[i]))
		p.dims = append(p.dims, sorted[i][1])
	}
	for len(p.perm) > 0 && p.perm[0] == 0 {
		p.parts *= p.dims[0]
		p.dims, p.perm = p.dims[1:], p.perm[1:]
		for i := range p.perm {
			p.perm[i]--
		}
	}
	p.len = tensor.Shape(p.dims).Numel()
	p.per = max(1, moveGrain/max(1, p.len))
	if len(p.dims) == 2 && p.per == 1 {
		p.rows = (max(1, moveGrain/p.dims[1]) + 15) / 16 * 16
	}
	return p
}

func (p permute) tasks() int {
	if p.rows > 0 {
		return p.parts * ((p.dims[0] + p.rows - 1) / p.rows)
	}
	return (p.parts + p.per - 1) / p.per
}

func (p permute) run(dst, src []float32, task int) {
	if p.rows > 0 {
		cuts := (p.dims[0] + p.rows - 1) / p.rows
		part, r := task/cuts*p.len, task%cuts*p.rows
		layout.Transpose2D(dst[part+r:], p.dims[0], src[part+r*p.dims[1]:], p.dims[1], min(p.rows, p.dims[0]-r), p.dims[1])
		return
	}
	lo, hi := task*p.per, min(p.parts, (task+1)*p.per)
	switch len(p.dims) {
	case 0:
		copy(dst[lo*p.len:hi*p.len], src[lo*p.len:])
	case 2:
		layout.Transpose(dst[lo*p.len:hi*p.len], src[lo*p.len:hi*p.len], hi-lo, p.dims[0], p.dims[1])
	default:
		for i := lo; i < hi; i++ {
			layout.Permute(dst[i*p.len:][:p.len], src[i*p.len:][:p.len], p.dims, p.perm)
		}
	}
}
