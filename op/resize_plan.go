package op

import (
	"fmt"

	"github.com/go-nncf/nncf/tensor"
)

// resizePlan is a resize with everything resolved.
type resizePlan struct {
	in, out tensor.Shape
	taps    [][]sample // per axis and output position
}

// plan resolves the arguments: roi, scales and sizes in that order.
func (r Resize) plan(xs tensor.Shape, args []*tensor.Tensor) (*resizePlan, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	list := func(i int) ([]float64, error) {
		if t := present(args, i); t != nil && t.Len() > 0 {
			return t.Float64s()
		}
		return nil, nil
	}
	roi, err := list(0)
	if err != nil {
		return nil, err
	}
	scales, err := list(1)
	if err != nil {
		return nil, err
	}
	var sizes []int
	if t := present(args, 2); t != nil {
		if sizes, err = t.Ints(); err != nil {
			return nil, err
		}
	}
	targets, err := r.targets(xs, scales, sizes)
	if err != nil {
		return nil, err
	}
	axes, err := r.axes(len(xs))
	if err != nil {
		return nil, err
	}
	begin, end := make([]float64, len(xs)), make([]float64, len(xs))
	for i := range end {
		end[i] = 1
	}
	if r.coordinate() == "tf_crop_and_resize" {
		if len(roi) != 2*len(axes) {
			return nil, fmt.Errorf("roi: got %v, want %d entries", roi, 2*len(axes))
		}
		for i, a := range axes {
			begin[a], end[a] = roi[i], roi[i+len(axes)]
		}
	}
	p := &resizePlan{in: xs, out: make(tensor.Shape, len(xs)), taps: make([][]sample, len(xs))}
	for a, t := range targets {
		p.out[a] = t.length
	}
	if err := checkSize(p.out); err != nil {
		return nil, err
	}
	if p.out.Numel() == 0 {
		return p, nil // the other axes may be of any length
	}
	for a, t := range targets {
		if t.length == xs[a] && t.scale == 1 && r.coordinate() != "tf_crop_and_resize" {
			continue // stays as it is
		}
		p.taps[a] = make([]sample, t.length)
		if p.out.Numel() == 0 {
			continue // nothing is sampled; checkSize bounds the axes all the same
		}
		for i := range p.taps[a] {
			p.taps[a][i] = r.sample(i, xs[a], t, begin[a], end[a])
		}
	}
	return p, nil
}

// apply interpolates along one axis after the other.
func (p *resizePlan) apply(x []float64, extrapolation float64) []float64 {
	if p.out.Numel() == 0 {
		return nil
	}
	shape := p.in.Clone()
	for a, taps := range p.taps {
		if taps == nil {
			continue
		}
		outer, n, inner := splitAt(shape, a)
		shape[a] = len(taps)
		y := make([]float64, outer*len(taps)*inner)
		for o := range outer {
			for i, s := range taps {
				row := y[(o*len(taps)+i)*inner:][:inner]
				for k, at := range s.at {
					src := x[(o*n+at)*inner:][:inner]
					for j, v := range src {
						row[j] += s.weight[k] * v
					}
				}
			}
		}
		x = y
	}
	p.eachOutside(func(i int) { x[i] = extrapolation })
	return x
}

// adjoint spreads dy back along one axis after the other.
func (p *resizePlan) adjoint(dy []float64) []float64 {
	if p.out.Numel() == 0 {
		return make([]float64, p.in.Numel())
	}
	p.eachOutside(func(i int) { dy[i] = 0 })
	shape := p.out.Clone()
	for a := len(p.taps) - 1; a >= 0; a-- {
		taps := p.taps[a]
		if taps == nil {
			continue
		}
		outer, _, inner := splitAt(shape, a)
		n := p.in[a]
		shape[a] = n
		dx := make([]float64, outer*n*inner)
		for o := range outer {
			for i, s := range taps {
				row := dy[(o*len(taps)+i)*inner:][:inner]
				for k, at := range s.at {
					dst := dx[(o*n+at)*inner:][:inner]
					for j, v := range row {
						dst[j] += s.weight[k] * v
					}
				}
			}
		}
		dy = dx
	}
	return dy
}

// eachOutside calls f for every output element that lies outside the input.
func (p *resizePlan) eachOutside(f func(i int)) {
	st := p.out.Strides()
	for a, taps := range p.taps {
		for i, s := range taps {
			if !s.outside {
				continue
			}
			shape := p.out.Clone()
			shape[a] = 1
			for _, pos := range stridedPos(shape, st, i*st[a]) {
				f(pos)
			}
		}
	}
}
